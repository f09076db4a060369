import ast
from pathlib import Path

import polars as pl
import pytest

import r1data.stages.filter.stage
from r1data.core.errors import ConfigError, SchemaError
from r1data.core.records import Judgement, Problem, Trace, polars_schema
from r1data.core.text import split_thinking
from r1data.stages.filter.judge import judge_traces
from r1data.stages.filter.stage import FILTER, GROUPS, RULES, FilterConfig, rules_of

TEXTS = {
    "t1": ("p1", "<think>합은 3이다</think>3"),
    "t2": ("p1", "<think>합은 因此 3이다</think>3"),
    "t3": ("p2", "So it is 3"),
    "t4": ("p3", "<think>합은 3이다</think>3"),
    "t5": ("p4", "<think>abc def</think>3"),
}


def tables() -> dict[str, pl.LazyFrame]:
    problems = [
        ("p1", "더하라", "ko"),
        ("p2", "Add it", "en"),
        ("p3", "더하라", None),
        ("p4", "2", None),
    ]
    shared = {"verifier": "math", "domain": "math", "source": "test"}
    rows = [{"problem_id": i, "prompt": p, "language": x, **shared} for i, p, x in problems]
    traces = []
    for trace_id, (problem_id, text) in TEXTS.items():
        start, end = split_thinking(text).thinking or (None, None)
        row = {"trace_id": trace_id, "problem_id": problem_id, "text": text, "prefill": ""}
        row |= {"thinking_start": start, "thinking_end": end, "finish_reason": "stop"}
        traces.append({**row, "completion_tokens": 9})
    return {
        "problems": pl.LazyFrame(rows, schema=polars_schema(Problem)),
        "traces": pl.LazyFrame(traces, schema=polars_schema(Trace)),
    }


def test_one_judgement_per_trace_and_rule() -> None:
    judged = FILTER.fn(FilterConfig(), tables()).collect()
    assert judged.schema == polars_schema(Judgement)
    assert judged["trace_id"].to_list() == [t for t in TEXTS for _ in RULES]
    assert judged["rule"].to_list() == list(RULES) * len(TEXTS)
    assert judged.filter(pl.col("passed") != pl.col("reason").is_null()).is_empty()
    failed = judged.filter(~pl.col("passed")).select("trace_id", "rule", "reason").rows()
    assert failed == [
        ("t2", "language_consistency", "foreign_script"),
        ("t3", "format", "no_think"),
    ]


def test_target_is_the_problem_s_language_else_its_script_else_none() -> None:
    config = FilterConfig(rules=("language_consistency",))
    judged = FILTER.fn(config, tables()).collect()
    values = dict(judged.select("trace_id", "value").rows())
    # t2: 합은 and 이다 are two words of Korean, 因此 is one of Chinese.
    assert values == {"t1": 1.0, "t2": 2 / 3, "t3": 1.0, "t4": 1.0, "t5": None}
    assert judged.row(4, named=True)["passed"]
    (span,) = judged.row(1, named=True)["spans"]
    assert TEXTS["t2"][1][span["start"] : span["end"]] == "因此"


def test_the_stage_only_plans() -> None:
    def forbidden(frame: pl.DataFrame) -> pl.DataFrame:
        raise AssertionError("a table was read while planning")

    lazy = {name: frame.map_batches(forbidden) for name, frame in tables().items()}
    plan = FILTER.fn(FilterConfig(), lazy)
    assert plan.collect_schema() == polars_schema(Judgement)
    folder = Path(r1data.stages.filter.stage.__file__).parent
    for name in ("stage.py", "language.py", "readability.py"):
        called = {
            node.func.attr
            for node in ast.walk(ast.parse((folder / name).read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert not called & {"collect", "collect_all", "map_elements", "iter_rows", "to_list"}


def test_in_memory_it_says_what_the_stage_says() -> None:
    given = tables()
    rows = given["traces"].join(given["problems"], on="problem_id", maintain_order="left").collect()
    expected = FILTER.fn(FilterConfig(), given).collect()
    assert judge_traces(rows).equals(expected)
    # Reasoning is looked for where the frame does not say where it stands.
    bare = rows.select("trace_id", "problem_id", "text", "language", "prompt")
    assert judge_traces(bare.lazy(), RULES[:4]).equals(
        expected.filter(pl.col("rule").is_in(RULES[:4]))
    )


def test_a_frame_needs_only_text_and_language() -> None:
    frame = pl.DataFrame({"text": ["안녕", "hello there"], "language": ["ko", "en"]})
    judged = judge_traces(frame, ["format", "language_consistency"])
    assert judged.select("trace_id", "problem_id", "rule").rows() == [
        ("0", "", "language_consistency"),
        ("0", "", "format"),
        ("1", "", "language_consistency"),
        ("1", "", "format"),
    ]
    assert judge_traces(frame.clear()).schema == polars_schema(Judgement)
    assert judge_traces(frame, []).is_empty()
    with pytest.raises(SchemaError, match="language"):
        judge_traces(frame.drop("language"))
    with pytest.raises(ConfigError, match="no rule spelling"):
        judge_traces(frame, ["spelling"])


def test_groups_cover_every_rule_once() -> None:
    assert sorted(rule for rules in GROUPS.values() for rule in rules) == sorted(RULES)
    assert rules_of([]) == RULES
    assert rules_of(["lang-consistency"]) == ("language_consistency",)
    assert rules_of(["readability", "lang-consistency"]) == RULES
    with pytest.raises(ConfigError, match="spelling"):
        rules_of(["spelling"])
