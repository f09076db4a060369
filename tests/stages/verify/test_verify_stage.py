import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.errors import InputError
from r1data.core.records import Problem, Status, Trace, VerdictRow, polars_schema
from r1data.core.stage import Context
from r1data.stages.verify import verify, verify_many
from r1data.stages.verify.gym import is_unsafe
from r1data.stages.verify.stage import VERIFY, VerifyConfig


def table(record: type, rows: list[dict[str, object]]) -> pl.LazyFrame:
    return pl.DataFrame(rows, schema=polars_schema(record)).lazy()


def tables(problems: list[tuple[str, str | None, str, str | None]], texts: list[tuple[str, str]]):
    return {
        "problems": table(
            Problem,
            [
                {"problem_id": i, "answer": a, "verifier": v, "payload": p}
                for i, a, v, p in problems
            ],
        ),
        "traces": table(
            Trace,
            [
                {"trace_id": f"t{n}", "problem_id": i, "text": text, "prefill": ""}
                for n, (i, text) in enumerate(texts)
            ],
        ),
    }


def run(config: VerifyConfig, data: dict[str, pl.LazyFrame]) -> pl.DataFrame:
    assert VERIFY.plan is not None
    assert VERIFY.backend is not None
    shard = VERIFY.plan(config, data).collect()
    with VERIFY.backend(config, Context(Path())) as backend:
        out = VERIFY.fn(config, shard, backend)
    assert isinstance(out, pl.DataFrame)
    return out


def test_a_verdict_per_trace_in_order() -> None:
    data = tables(
        [
            ("p", "12", "math", None),
            ("q", "B", "choice", json.dumps({"options": ["1", "2"]})),
            ("r", "x", "chess", None),
            ("s", "Seoul", "string", None),
        ],
        [
            ("p", r"\boxed{12}"),
            ("p", r"\boxed{13}"),
            ("q", "Answer: B"),
            ("r", "x"),
            ("s", "<answer>seoul</answer>"),
            ("p", "<think>12"),
            ("missing", "12"),
        ],
    )
    out = run(VerifyConfig(), data)
    assert out.schema == polars_schema(VerdictRow)
    # The last trace's problem is gone: select says so, and there is nothing to judge it by.
    assert out["trace_id"].to_list() == [f"t{n}" for n in range(6)]
    assert out["status"].to_list() == [
        *("correct", "wrong", "correct", "error", "correct", "no_answer")
    ]
    assert out["method"][3] == "unknown verifier chess"
    assert out["score"].to_list() == [1.0, 0.0, 1.0, None, 1.0, None]
    assert out["extracted"].to_list()[:3] == ["12", "13", "B"]


@pytest.mark.engine
def test_equal_answers_of_a_problem_are_judged_once() -> None:
    texts = [("p", r"\boxed{1+x}"), ("p", r"so \boxed{1+x}"), ("p", r"\boxed{2+x}")]
    out = run(VerifyConfig(), tables([("p", "x+1", "math", None)], texts))
    assert out["status"].to_list() == ["correct", "correct", "wrong"]
    assert out["method"].to_list() == ["sympy"] * 3
    seconds = out["seconds"].to_list()
    assert seconds[0] > 0
    assert seconds[1] == 0.0


def test_an_empty_shard() -> None:
    out = run(VerifyConfig(), tables([], []))
    assert out.schema == polars_schema(VerdictRow)
    assert out.height == 0


def test_the_config_is_the_policy() -> None:
    texts = [("p", "the answer is 12")]
    problems = [("p", "12", "math", None)]
    assert run(VerifyConfig(extract="marked"), tables(problems, texts))["status"][0] == "no_answer"
    assert run(VerifyConfig(), tables(problems, texts))["status"][0] == "correct"


@pytest.mark.engine
def test_verify_many_keeps_the_order() -> None:
    golds = [str(n) if n % 3 else f"x+{n}" for n in range(1, 40)]
    texts = [rf"\boxed{{{n}}}" if n % 3 else rf"\boxed{{{n}+x}}" for n in range(1, 40)]
    texts[10] = r"\boxed{0}"
    verdicts = verify_many(golds, texts, timeout=30.0)
    assert [v.status for v in verdicts] == ["correct"] * 10 + ["wrong"] + ["correct"] * 28
    assert {v.method for v in verdicts} == {"exact", "number", "sympy"}


def test_verify_many_asks_for_equal_lengths() -> None:
    with pytest.raises(InputError, match="1 golds, 2 texts"):
        verify_many(["1"], ["1", "2"])


@pytest.mark.engine
def test_prefill_and_rounding() -> None:
    assert verify("1", r"\boxed{1}", prefill="<think>").status == "no_answer"
    assert verify("1/3", r"\boxed{0.333333}", timeout=30.0).status == "correct"
    assert verify("300", r"\boxed{299.94}", timeout=30.0).status == "wrong"
    assert verify("\\frac{", r"\boxed{3}", timeout=30.0).status == "bad_gold"


@pytest.mark.engine
@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(max_size=80))
def test_arbitrary_text_gives_a_verdict(gold: str, text: str) -> None:
    for verifier in ("math", "choice", "string"):
        assert verify(gold, text, verifier).status in get_args(Status)


def test_importing_verify_loads_no_sympy() -> None:
    code = (
        "import sys, r1data.stages.verify.stage; "
        "print(sorted({'sympy', 'math_verify', 'reasoning_gym', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("answer", "unsafe"),
    [
        ("__import__('os').system('true')", True),
        ("eval(chr(49))", True),
        ("(open)('x')", True),
        ("[].append(1)", True),
        ("sympify('1')", True),
        ("(1 + 2) * 3", False),
        ("x**2/2 + sin(x) + C", False),
        ("open the door", False),
        ('["1", "2"]', False),
    ],
)
def test_answers_that_could_call_something(answer: str, unsafe: bool) -> None:
    assert is_unsafe(answer) is unsafe


@pytest.mark.engine
def test_gym() -> None:
    reasoning_gym = pytest.importorskip("reasoning_gym")
    golds, texts, payloads = [], [], []
    wanted = []
    for name in ("chain_sum", "countdown", "game_of_life_halting", "prime_factorization"):
        entry = reasoning_gym.create_dataset(name, size=1, seed=3)[0]
        payload = json.dumps({"dataset": name, "entry": entry}, default=str)
        for text, status in ((entry["answer"], "correct"), ("junk", "wrong")):
            golds.append(None)
            texts.append(f"<think>hm</think><answer>{text}</answer>")
            payloads.append(payload)
            wanted.append((name, text, status))
    verdicts = verify_many(golds, texts, "gym", payloads=payloads)
    for (name, _, status), verdict in zip(wanted, verdicts, strict=True):
        if (name, status) == ("prime_factorization", "wrong"):
            assert verdict.status in ("error", "wrong")
        else:
            assert verdict.status == status
        if verdict.status == "correct":
            assert verdict.score == 1.0
    assert verify(None, "x", "gym", payload="{}").method == "payload is no gym entry"
    assert verify(None, "", "gym", payload=payloads[0]).status == "no_answer"
    evil = verify(None, r"\boxed{__import__('os').system('true')}", "gym", payload=payloads[2])
    assert (evil.status, evil.method) == ("limit", "unsafe")
