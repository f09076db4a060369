import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.errors import ConfigError, InputError
from r1data.core.records import Problem, Record, Status, Trace, VerdictRow, polars_schema
from r1data.core.run import make_receipt, run_stage
from r1data.core.stage import Context
from r1data.core.tables import Workspace, write_part, write_receipt
from r1data.stages.verify import verify, verify_many
from r1data.stages.verify.gym import is_unsafe
from r1data.stages.verify.stage import VERIFY, VerifyConfig
from tests import tables as t

Problems = list[tuple[str, str | None, str, str | None]]
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


def tables(problems: Problems, texts: list[tuple[str, str]]) -> dict[str, pl.LazyFrame]:
    return {
        "problems": t.problems(
            *(
                {"problem_id": name, "answer": answer, "verifier": verifier, "payload": payload}
                for name, answer, verifier, payload in problems
            )
        ),
        "traces": t.traces(
            *(
                {"trace_id": f"t{number}", "problem_id": name, "text": text}
                for number, (name, text) in enumerate(texts)
            )
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
            ("r", None, "math", None),
            ("s", "Seoul", "string", None),
            ("u", None, "json", json.dumps({"schema": {"type": "object"}})),
        ],
        [
            ("p", r"\boxed{12}"),
            ("p", r"\boxed{13}"),
            ("q", "Answer: B"),
            ("r", r"\boxed{1}"),
            ("s", "<answer>seoul</answer>"),
            ("p", "<think>12"),
            ("u", '```json\n{"a": 1}\n```'),
            ("missing", "12"),
        ],
    )
    out = run(VerifyConfig(), data)
    assert out.schema == polars_schema(VerdictRow)
    # The last trace's problem is gone: select says so, and there is nothing to judge it by.
    assert out["trace_id"].to_list() == [f"t{number}" for number in range(7)]
    assert out["problem_id"].to_list() == list("ppqrspu")
    assert out["status"].to_list() == [
        *("correct", "wrong", "correct", "bad_gold", "correct", "no_answer", "correct")
    ]
    assert out["score"].to_list() == [1.0, 0.0, 1.0, None, 1.0, None, 1.0]
    assert out["extracted"].to_list()[:3] == ["12", "13", "B"]
    assert out["verifier"].to_list() == [
        *("math", "math", "choice", "math", "string", "math", "json")
    ]


@pytest.mark.engine
def test_equal_answers_of_a_problem_are_judged_once() -> None:
    texts = [("p", r"\boxed{1+x}"), ("p", r"so \boxed{1+x}"), ("p", r"\boxed{2+x}")]
    out = run(VerifyConfig(timeout=30.0), tables([("p", "x+1", "math", None)], texts))
    assert out["status"].to_list() == ["correct", "correct", "wrong"]
    assert out["method"].to_list() == ["sympy", "sympy", "value"]
    seconds = out["seconds"].to_list()
    assert seconds[0] > 0
    assert seconds[1] == 0.0


def test_an_empty_shard() -> None:
    out = run(VerifyConfig(), tables([], []))
    assert out.schema == polars_schema(VerdictRow)
    assert out.height == 0


def test_the_config_is_the_policy() -> None:
    texts = [("p", "the answer is 12")]
    problems: Problems = [("p", "12", "math", None)]
    assert run(VerifyConfig(extract="marked"), tables(problems, texts))["status"][0] == "no_answer"
    assert run(VerifyConfig(), tables(problems, texts))["status"][0] == "correct"


def workspace(root: Path, data: dict[str, pl.LazyFrame]) -> Workspace:
    """Write the tables of a small workspace."""
    space = Workspace(root)
    records: dict[str, type[Record]] = {"problems": Problem, "traces": Trace}
    for name, frame in data.items():
        rows = frame.collect()
        assert rows.schema == polars_schema(records[name])
        write_part(rows, space.path(name), 0)
        size = (rows.height, rows.height)
        receipt = make_receipt(name, 1, name, {}, {}, rows=size, counts={}, seconds=(0.0, 0.0))
        write_receipt(space.path(name), receipt)
    return space


def test_verdicts_of_a_workspace_are_its_traces_in_order(tmp_path: Path) -> None:
    texts = [("p", rf"\boxed{{{number % 3}}}") for number in range(50)] + [("q", "Answer: A")]
    problems: Problems = [("p", "1", "math", None), ("q", "B", "choice", None)]
    space = workspace(tmp_path, tables(problems, texts))
    run_stage(VERIFY, VerifyConfig(), Context(tmp_path))
    out = space.scan("verdicts").collect()
    assert out["trace_id"].to_list() == [f"t{number}" for number in range(51)]
    assert out["status"].to_list() == [*(["wrong", "correct", "wrong"] * 17)[:50], "wrong"]
    again = run_stage(VERIFY, VerifyConfig(), Context(tmp_path))
    assert again is not None
    assert space.scan("verdicts").collect().equals(out)


def test_an_unknown_verifier_stops_a_workspace_before_anything_is_judged(tmp_path: Path) -> None:
    problems: Problems = [("p", "1", "math", None), ("q", "x", "chess", None)]
    space = workspace(tmp_path, tables(problems, [("p", r"\boxed{1}"), ("q", "x")]))
    with pytest.raises(ConfigError, match="unknown verifier 'chess'"):
        run_stage(VERIFY, VerifyConfig(), Context(tmp_path))
    assert not list(space.path("verdicts").glob("*.parquet"))


@pytest.mark.engine
def test_verify_many_keeps_the_order() -> None:
    golds = [str(n) if n % 3 else f"x+{n}" for n in range(1, 40)]
    texts = [rf"\boxed{{{n}}}" if n % 3 else rf"\boxed{{{n}+x}}" for n in range(1, 40)]
    texts[10] = r"\boxed{0}"
    verdicts = verify_many(golds, texts, timeout=30.0)
    assert [v.status for v in verdicts] == ["correct"] * 10 + ["wrong"] + ["correct"] * 28
    assert {v.method for v in verdicts} == {"exact", "number", "sympy"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_a_verdict_per_row_in_order_and_none_twice(pairs: list[tuple[int, int]]) -> None:
    golds = [str(gold) for gold, _ in pairs]
    verdicts = verify_many(golds, [rf"so \boxed{{{answer}}}" for _, answer in pairs])
    wanted = [("correct" if gold == answer else "wrong", str(answer)) for gold, answer in pairs]
    assert [(verdict.status, verdict.extracted) for verdict in verdicts] == wanted


def test_verify_many_asks_for_equal_lengths() -> None:
    with pytest.raises(InputError, match=r"1, 2 rows: give one of each per row"):
        verify_many(["1"], ["1", "2"])
    with pytest.raises(InputError, match=r"1, 1, 2 rows"):
        verify_many(["1"], ["1"], payloads=["{}", "{}"])


@pytest.mark.engine
def test_what_the_workers_say() -> None:
    assert verify("1", r"\boxed{1}", prefill="<think>").status == "no_answer"
    assert verify("1/3", r"\boxed{0.333333}", timeout=30.0).status == "correct"
    assert verify("x+1", r"\boxed{1+x}", timeout=30.0).status == "correct"
    assert verify("\\frac{", r"\boxed{3}", timeout=30.0).status == "bad_gold"
    assert verify("9^{9^{9^9}}", r"\boxed{x}", timeout=30.0).status == "limit"


@pytest.mark.engine
@pytest.mark.parametrize("gold", ["", " ", None, "$ $", r"\frac{", r"\sqrt{", r"\boxed{"])
@pytest.mark.parametrize("text", [r"\boxed{3}", r"\boxed{x+1}", r"\boxed{\text{no}}", "so it is 3"])
def test_a_bad_gold_is_counted_and_never_rewarded(gold: str | None, text: str) -> None:
    verdict = verify(gold, text, timeout=30.0)
    assert (verdict.status, verdict.score) == ("bad_gold", None)


@pytest.mark.engine
@settings(max_examples=60, deadline=None)
@given(ANY_TEXT, ANY_TEXT)
def test_arbitrary_text_gives_a_verdict(gold: str, text: str) -> None:
    for verifier in ("math", "choice", "string"):
        verdict = verify(gold, text, verifier)
        assert verdict.status in get_args(Status)
        assert verdict.status != "error"
        verdict.model_dump_json().encode()


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
