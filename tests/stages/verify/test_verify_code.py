import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from r1data.backends.sources import humaneval_payload, mbpp_payload
from r1data.core.records import Verdict
from r1data.stages.verify.code import (
    CodeJob,
    outputs_equal,
    prepare_code,
    run_code,
)

ADD = "def add(a, b):\n    return a + b"
ASSERTS = {"asserts": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"]}
STDIN = {"stdin": [{"input": "1 2\n", "output": "3\n"}, {"input": "2 2\n", "output": "4\n"}]}
CHECK = {
    "check": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
    "entry_point": "add",
    "prompt": 'import math\n\ndef add(a, b):\n    """Return the sum."""\n',
}
SHARED = Path(os.environ.get("R1DATA_SHARED", Path(__file__).parents[4] / "shared")) / "data"
ENGINE = [
    pytest.mark.engine,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]


def engine(test: Any) -> Any:
    for mark in ENGINE:
        test = mark(test)
    return test


def fenced(code: str, language: str = "python") -> str:
    return f"Here it is:\n```{language}\n{code}\n```\nDone."


def job(payload: dict[str, Any], text: str, **options: Any) -> CodeJob:
    prepared = prepare_code(json.dumps(payload), text, **options)
    assert isinstance(prepared, CodeJob), prepared
    return prepared


def said(payload: str | None, text: str = fenced(ADD), **options: Any) -> tuple[str, str | None]:
    prepared = prepare_code(payload, text, **options)
    assert isinstance(prepared, Verdict), prepared
    return prepared.status, prepared.method


def judged(payload: dict[str, Any], code: str, **limits: Any) -> tuple[str, str | None]:
    verdict = run_code([job(payload | limits, fenced(code))], workers=1, timeout=5.0)[0]
    return verdict.status, verdict.method


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("{", ("error", "payload is not JSON")),
        ("[1]", ("error", "payload is no JSON object")),
        (None, ("bad_gold", "no tests")),
        ("{}", ("bad_gold", "no tests")),
        ('{"stdin": []}', ("bad_gold", "no tests")),
        ('{"asserts": ["x"], "stdin": [1]}',
         ("error", "payload has stdin and asserts: give one of them")),
        ('{"stdin": [{"input": 1, "output": "2"}]}',
         ("error", "payload: stdin must be a list of {input, output}, both strings")),
        ('{"stdin": [{"input": "1", "output": "2"}], "checker": "prefix"}',
         ("error", "payload: checker must be one of exact, tokens, float")),
        ('{"asserts": [1]}',
         ("error", "payload: tests must be strings, asserts a list of strings")),
        ('{"asserts": ["assert f( == 1"]}', ("bad_gold", "a test does not parse: assert f( == 1")),
        ('{"check": "x = 1", "entry_point": "f"}', ("bad_gold", "check defines no function check")),
        ('{"check": "def check(c): pass"}', ("bad_gold", "entry_point is no name")),
        ('{"asserts": ["assert f()"], "timeout": -1}',
         ("error", "payload: timeout must be seconds above 0, at most 3600")),
        ('{"asserts": ["assert f()"], "memory_mb": true}',
         ("error", "payload: memory_mb must be at least 32")),
    ],
)  # fmt: skip
def test_payload_faults(payload: str | None, expected: tuple[str, str]) -> None:
    assert said(payload) == expected


def test_limits_of_the_payload_are_read() -> None:
    found = job(ASSERTS | {"timeout": 1.5, "memory_mb": 64}, fenced(ADD))
    assert (found.timeout, found.memory_mb) == (1.5, 64)
    assert (job(ASSERTS, fenced(ADD)).timeout, job(ASSERTS, fenced(ADD)).memory_mb) == (None, 512)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (fenced(ADD), ADD),
        (fenced(ADD, "py"), ADD),
        (fenced(ADD, ""), ADD),
        (fenced("x = 1") + "\n" + fenced(ADD), ADD),
        (fenced(ADD) + "\nUse it so:\n" + fenced("print(add(1, 2))"), ADD),
        (fenced(ADD) + "\nIt prints:\n" + fenced("3", ""), ADD),
        (fenced("def add(a, b):\n    return 0") + "\nNo:\n" + fenced(ADD), ADD),
        ("<think>" + fenced("x = 1") + "</think>" + fenced(ADD), ADD),
        ("```python\n" + ADD, ADD),
        ("~~~python\n" + ADD + "\n~~~", ADD),
        ("1. So:\n   ```python\n   def add(a, b):\n       return a + b\n   ```", ADD),
        ("````python\n" + ADD + "\n```\n````", ADD + "\n```"),
        ("\r\n```python\r\n" + ADD, ADD),
    ],
)
def test_program_is_found_in_fences(text: str, code: str) -> None:
    assert job(ASSERTS, text).code == code
    assert job(ASSERTS, text, extract="marked").code == code


def test_fence_that_the_template_opened() -> None:
    found = job(ASSERTS, ADD + "\n```\nDone.", prefill="Sure.\n```python\n", extract="marked")
    assert found.code == ADD


def test_bare_program_only_with_any() -> None:
    assert job(ASSERTS, ADD + "\n").code == ADD
    assert job(STDIN, "print(sum(map(int, input().split())))").sources[0].startswith("print(")
    assert said(json.dumps(ASSERTS), ADD, extract="marked")[0] == "no_answer"


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "The answer is 3.", "42", "hello", "a, b", "<think>" + fenced(ADD),
     fenced("fn main() {}", "rust"), fenced(" ")],
)  # fmt: skip
def test_no_program_is_no_answer(text: str) -> None:
    assert said(json.dumps(ASSERTS), text)[0] == "no_answer"


def test_a_program_too_long_is_a_limit() -> None:
    assert said(json.dumps(ASSERTS), fenced("#" * 300_000)) == ("limit", "length")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 19_000,
        "-" * 19_000 + "1",
        "x" + ".a" * 9_000,
        "lambda:" * 2_500 + "1",
        "not " * 4_500 + "1",
        "if x:" * 3_000,
        "\0",
        "\ud800 = 1",
        "'\\d'",
        "```" * 60_000,
        "`" * 190_000,
        "```python\n" * 19_000,
        " " * 190_000 + "```",
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_hostile_texts_are_answered(text: str) -> None:
    for payload in (ASSERTS, CHECK):
        prepared = prepare_code(json.dumps(payload), text)
        assert isinstance(prepared, CodeJob) or prepared.status == "no_answer"


def test_readings_of_a_humaneval_answer() -> None:
    body = "    return a + b"
    head = CHECK["prompt"].rstrip() + "\n"
    assert job(CHECK, fenced(ADD)).sources == ("import math\n\n" + ADD, ADD)
    assert job(CHECK, fenced(body)).sources[0] == head + body
    assert job(CHECK, fenced("return a + b")).sources[0] == head + body
    assert job(CHECK, "    return a + b\n").sources[0] == head + body + "\n"
    loop = "for c in [a]:\n        b += c\n    return b\n\nprint(add(1, 2))"
    assert head + "    for c in [a]:\n        b += c\n    return b" in "\n".join(
        job(CHECK, loop).sources
    )
    assert said(json.dumps(CHECK), "I cannot do that.")[0] == "no_answer"


@pytest.mark.parametrize(
    ("found", "wanted", "checkers"),
    [
        ("3\n", "3", "exact tokens float"),
        ("3 \n\n", "3\n", "exact tokens float"),
        ("1 2\n", "1  2", "tokens float"),
        ("1\n2", "1 2", "tokens float"),
        (" 3", "3", "tokens float"),
        ("3", "3\n4", ""),
        ("3\n4", "3", ""),
        ("", "3", ""),
        ("3", "", ""),
        ("0.3333333", "0.33333333", "float"),
        ("0.333", "0.334", ""),
        ("1000000.1", "1000000.2", "float"),
        ("1e3", "1000", "float"),
        ("1000000007", "1000000008", ""),
        ("+5", "5", "float"),
        ("nan", "1", ""),
        ("yes", "YES", ""),
        ("inf", "1e308", ""),
    ],
)
def test_checkers(found: str, wanted: str, checkers: str) -> None:
    passed = [name for name in ("exact", "tokens", "float") if outputs_equal(found, wanted, name)]
    assert passed == checkers.split()


def test_no_jobs_need_no_sandbox() -> None:
    assert run_code([], workers=2, timeout=1.0, unsafe_local=False) == []


@engine
class TestVerdicts:
    def test_stdin(self) -> None:
        good = "print(sum(map(int, input().split())))"
        assert judged(STDIN, good) == ("correct", "2 stdin")
        assert judged(STDIN, "print(3)") == ("wrong", "stdin 2: output differs")
        assert judged(STDIN, "print(3)\n1 / 0") == ("wrong", "stdin 1: exception ZeroDivisionError")
        assert judged(STDIN, good + "\nraise SystemExit(4)") == ("wrong", "stdin 1: exit code 4")
        assert judged(STDIN, "print(") == ("wrong", "stdin 1: exception SyntaxError")
        assert judged(STDIN, "while True: pass", timeout=0.5) == ("timeout", "stdin 1")
        assert judged(STDIN, "a = 'x' * 10**9", memory_mb=128) == ("limit", "stdin 1: memory")
        assert judged(STDIN, "while True: print('3')") == ("limit", "stdin 1: output")
        assert judged(STDIN, "print('3\\n4')") == ("wrong", "stdin 1: output differs")
        by_value = STDIN | {"checker": "float"}
        source = "print(3.0 if input()[0] == '1' else '4e0')"
        assert judged(by_value, source) == ("correct", "2 stdin")

    def test_asserts(self) -> None:
        assert judged(ASSERTS, ADD) == ("correct", "2 asserts")
        assert judged(ASSERTS, "def add(a, b):\n    return 3") == ("wrong", "assert 2 of 2")
        assert judged(ASSERTS, "def add(a, b):\n    return a / 0") == (
            "wrong",
            "assert 1 of 2: exception ZeroDivisionError",
        )
        assert judged(ASSERTS, "def sub(): pass") == ("wrong", "assert 1 of 2: exception NameError")
        assert judged(ASSERTS, "def add(") == ("wrong", "loading: exception SyntaxError")
        assert judged(ASSERTS, "while True: pass", timeout=0.5) == ("timeout", "loading")
        assert judged(ASSERTS, "def add(a, b):\n    return 'x' * 10**9", memory_mb=128) == (
            "limit",
            "assert 1 of 2: memory",
        )
        assert judged({"asserts": ["assert True"]}, ADD)[0] == "bad_gold"

    def test_check(self) -> None:
        assert judged(CHECK, ADD) == ("correct", "check")
        assert judged(CHECK, "    return a + b") == ("correct", "check")
        assert judged(CHECK, "return a * b") == ("wrong", "check line 2")

    def test_order_scores_and_extracted(self) -> None:
        codes = [ADD, "def add(a, b):\n    return 0", ADD + " + 0", "def add(a, b): 1 / 0"] * 2
        verdicts = run_code([job(ASSERTS, fenced(code)) for code in codes], workers=2, timeout=5.0)
        assert [verdict.status for verdict in verdicts] == ["correct", "wrong"] * 4
        assert [verdict.score for verdict in verdicts] == [1.0, 0.0] * 4
        assert [verdict.extracted for verdict in verdicts] == codes
        assert all(0 < verdict.seconds < 60 for verdict in verdicts)


def rows(name: str, count: int) -> list[dict[str, Any]]:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not in {SHARED.name}: set R1DATA_SHARED to the folder above data")
    every = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return every[:: len(every) // count][:count]


@engine
@pytest.mark.parametrize("whole", [True, False])
def test_humaneval_solutions_pass_and_broken_ones_fail(whole: bool) -> None:
    sample = rows("humaneval.jsonl", 20)
    texts = [fenced((row["prompt"] if whole else "") + row["canonical_solution"]) for row in sample]
    broken = [fenced(row["prompt"] + "    return object()") for row in sample]
    jobs = [
        prepare_code(humaneval_payload(row), text)
        for row, text in [*zip(sample, texts, strict=True), *zip(sample, broken, strict=True)]
    ]
    verdicts = run_code([j for j in jobs if isinstance(j, CodeJob)], workers=2, timeout=20.0)
    assert [verdict.status for verdict in verdicts] == ["correct"] * 20 + ["wrong"] * 20


@engine
def test_mbpp_solutions_pass_and_broken_ones_fail() -> None:
    sample = rows("mbpp.jsonl", 20)
    codes = [row["code"] for row in sample] + ["raise ValueError"] * 20
    jobs = [
        prepare_code(mbpp_payload(row), fenced(code))
        for row, code in zip(sample * 2, codes, strict=True)
    ]
    verdicts = run_code([j for j in jobs if isinstance(j, CodeJob)], workers=2, timeout=20.0)
    assert [verdict.status for verdict in verdicts] == ["correct"] * 20 + ["wrong"] * 20
