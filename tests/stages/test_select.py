from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.errors import ConfigError, WorkspaceError
from r1data.core.frames import pass_rates
from r1data.stages.select import SelectConfig, select
from tests import tables as t


def ids(*names: str) -> list[dict[str, Any]]:
    """Return trace rows: the first letter names the problem."""
    return [{"trace_id": n, "problem_id": n[0] * 16} for n in names]


def run(config: SelectConfig, tables: dict[str, pl.LazyFrame]) -> dict[str, str | None]:
    frame = select(config, tables).collect()
    key = "problem_id" if config.kind == "rl" else "trace_id"
    return dict(zip(frame[key], frame["reason"], strict=True))


def test_every_trace_has_its_one_reason() -> None:
    names = ["a1", "a2", "a3", "b1", "c1", "d1", "e1", "a4"]
    status = {"a2": "wrong", "a3": "no_answer"}
    tables = {
        "problems": t.problems(
            *({"problem_id": c * 16} for c in "abcd"), {"problem_id": "e" * 16, "answer": None}
        ),
        "traces": t.traces(*ids(*names)),
        "verdicts": t.verdicts(
            *({**row, "status": status.get(row["trace_id"], "correct")} for row in ids(*names[:-1]))
        ),
        "judgements": t.judgements(
            {**ids("d1")[0], "rule": "repetition", "reason": "repeated_lines"},
            {**ids("d1")[0], "rule": "language_consistency", "reason": "foreign_script"},
            *({**row, "rule": "format", "passed": True} for row in ids("a1", "b1", "c1", "e1")),
        ),
        "overlaps": t.overlaps({"problem_id": "b" * 16}),
        "clusters": t.clusters(
            {
                "item_id": "c" * 16,
                "problem_id": "c" * 16,
                "item": "problem",
                "kept": False,
                "cluster_id": "x",
            }
        ),
    }
    assert run(SelectConfig(corpus="sft", keep=4), tables) == {
        "a1": None,
        "a2": "wrong",
        "a3": "no_answer",
        "a4": "not_verified",
        "b1": "overlaps_benchmark",
        "c1": "duplicate_problem",
        "d1": "language_consistency:foreign_script",
        "e1": "no_gold",
    }


def test_what_filter_has_not_seen_does_not_enter() -> None:
    tables = base(a1=1, b1=1)
    tables["judgements"] = t.judgements({**ids("a1")[0], "rule": "format", "passed": True})
    assert run(SelectConfig(corpus="sft"), tables) == {"a1": None, "b1": "not_filtered"}


def test_traces_of_a_problem_that_is_gone() -> None:
    tables = base(a1=1, b1=1)
    tables["problems"] = t.problems({"problem_id": "a" * 16})
    assert run(SelectConfig(corpus="sft"), tables) == {"a1": None, "b1": "problem_gone"}


def test_two_verdicts_make_no_second_row() -> None:
    tables = base(a1=1)
    more = t.verdicts({**ids("a1")[0], "status": "correct", "verifier": "string"})
    tables["verdicts"] = pl.concat([tables["verdicts"], more])
    assert select(SelectConfig(corpus="sft"), tables).collect().height == 1


def test_traces_that_dedup_has_not_seen_are_no_duplicates() -> None:
    tables = base(a1=1, a2=1)
    tables["clusters"] = t.clusters(
        {"item_id": "a" * 16, "problem_id": "a" * 16, "item": "problem", "cluster_id": "a" * 16}
    )
    assert run(SelectConfig(corpus="sft", keep=2), tables) == {"a1": None, "a2": None}


def test_a_band_of_pass_rates_needs_verdicts() -> None:
    with pytest.raises(WorkspaceError, match="a pass-rate band needs a verdicts table"):
        select(
            SelectConfig(corpus="rl", pass_rate_min=0.2),
            {"problems": t.problems({"problem_id": "a" * 16})},
        )


def base(**tokens: int) -> dict[str, pl.LazyFrame]:
    """Return correct traces by name with their lengths."""
    rows = [{**ids(n)[0], "completion_tokens": k} for n, k in tokens.items()]
    return {
        "problems": t.problems(*({"problem_id": c * 16} for c in sorted({n[0] for n in tokens}))),
        "traces": t.traces(*rows),
        "verdicts": t.verdicts(*({**ids(n)[0], "status": "correct"} for n in tokens)),
    }


@pytest.mark.parametrize(("order", "kept"), [("shortest", {"a2", "b1"}), ("longest", {"a3", "b1"})])
def test_keep_k_in_order(order: Any, kept: set[str]) -> None:
    tables = base(a1=5, a2=3, a3=9, b1=1)
    found = run(SelectConfig(corpus="sft", order=order), tables)
    assert {n for n, reason in found.items() if reason is None} == kept
    assert {reason for reason in found.values() if reason} == {"beyond_keep"}


def test_ranks_count_from_one_within_a_problem() -> None:
    frame = select(SelectConfig(corpus="sft", keep=2, order="shortest"), base(a1=5, a2=3, a3=9))
    rows = dict(frame.collect().select("trace_id", "rank").iter_rows())
    assert rows == {"a2": 1, "a1": 2, "a3": None}


def test_one_trace_a_cluster() -> None:
    tables = base(a1=5, a2=5, a3=7)
    tables["clusters"] = t.clusters(
        *(
            {"item_id": n, "problem_id": "a" * 16, "cluster_id": c}
            for n, c in [("a1", "x"), ("a2", "x"), ("a3", "y")]
        )
    )
    found = run(SelectConfig(corpus="sft", keep=9), tables)
    assert sorted(r or "kept" for r in found.values()) == ["duplicate_trace", "kept", "kept"]
    assert found["a3"] is None


def test_pass_rate_band() -> None:
    tables = base(a1=1, a2=1, b1=1, b2=1, c1=1)
    wrong = [{**ids(n)[0], "status": "wrong"} for n in ("b3", "c2", "c3", "c4")]
    tables["traces"] = t.traces(*ids("a1", "a2", "b1", "b2", "b3", "c1", "c2", "c3", "c4"))
    tables["verdicts"] = pl.concat([tables["verdicts"], t.verdicts(*wrong)])
    config = SelectConfig(corpus="sft", keep=9, pass_rate_min=0.5, pass_rate_max=0.9)
    found = run(config, tables)
    assert (found["a1"], found["b1"], found["c1"]) == ("pass_rate_high", None, "pass_rate_low")


def test_what_says_nothing_of_the_model_is_no_part_of_its_pass_rate() -> None:
    rows = [
        {**ids(n)[0], "status": s}
        for n, s in [("a1", "correct"), ("a2", "error"), ("b1", "bad_gold")]
    ]
    rates = dict(pass_rates({"verdicts": t.verdicts(*rows)}).collect().iter_rows())
    assert rates == {"a" * 16: 1.0, "b" * 16: None}


def test_a_reviewer_has_the_last_word() -> None:
    tables = base(a1=1, b1=1, c1=1)
    tables["verdicts"] = t.verdicts(
        {**ids("a1")[0], "status": "correct"},
        {**ids("b1")[0], "status": "wrong"},
        {**ids("c1")[0], "status": "correct"},
    )
    tables["judgements"] = t.judgements({**ids("c1")[0], "rule": "format", "reason": "no_think"})
    tables["reviews"] = t.reviews(
        {**ids("a1")[0], "decision": "reject"},
        {**ids("b1")[0], "decision": "keep"},
        {**ids("c1")[0], "decision": "keep"},
    )
    assert run(SelectConfig(corpus="sft"), tables) == {
        "a1": "rejected_by_reviewer",
        "b1": None,
        "c1": None,
    }


def test_rl_corpora_pick_problems() -> None:
    tables = {
        "problems": t.problems(*({"problem_id": c * 16} for c in "abc")),
        "overlaps": t.overlaps({"problem_id": "b" * 16}),
    }
    assert run(SelectConfig(corpus="rl"), tables) == {
        "a" * 16: None,
        "b" * 16: "overlaps_benchmark",
        "c" * 16: None,
    }


def test_preference_pairs_the_right_with_the_wrong() -> None:
    tables = base(a1=1, a2=1, b1=1)
    wrong = [{**ids(n)[0], "status": "wrong"} for n in ("a3", "c1")]
    tables["problems"] = t.problems(*({"problem_id": c * 16} for c in "abc"))
    tables["traces"] = t.traces(*ids("a1", "a2", "a3", "b1", "c1"))
    tables["verdicts"] = pl.concat([tables["verdicts"], t.verdicts(*wrong)])
    frame = select(SelectConfig(corpus="preference", keep=3), tables).collect()
    rows = {r["trace_id"]: (r["role"], r["rank"], r["reason"]) for r in frame.to_dicts()}
    assert rows["a3"] == ("rejected", 1, None)
    assert sorted([rows["a1"][2] or "kept", rows["a2"][2] or "kept"]) == ["beyond_keep", "kept"]
    assert rows["b1"] == (None, None, "no_partner")
    assert rows["c1"] == (None, None, "no_partner")


def test_limit_takes_whole_problems() -> None:
    tables = base(a1=1, a2=1, b1=1, b2=1, c1=1, c2=1)
    found = run(SelectConfig(corpus="sft", keep=2, limit=2), tables)
    kept = {name[0] for name, reason in found.items() if reason is None}
    assert len(kept) == 2
    assert sum(reason == "beyond_limit" for reason in found.values()) == 2


@settings(deadline=None, max_examples=25)
@given(
    st.dictionaries(
        st.from_regex(r"[a-d][0-9]", fullmatch=True), st.integers(1, 9), min_size=1, max_size=12
    ),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_nothing_is_lost_and_k_is_never_exceeded(
    tokens: dict[str, int], keep: int, seed: int
) -> None:
    frame = select(SelectConfig(corpus="sft", keep=keep, seed=seed), base(**tokens)).collect()
    assert sorted(frame["trace_id"]) == sorted(tokens)
    assert frame.select((pl.col("rank").is_null() == pl.col("reason").is_not_null()).all()).item()
    kept = frame.filter(pl.col("reason").is_null()).group_by("problem_id").len()["len"].to_list()
    sizes = [sum(n[0] == c for n in tokens) for c in sorted({n[0] for n in tokens})]
    assert sorted(kept) == sorted(min(keep, size) for size in sizes)


def test_faults_of_settings() -> None:
    with pytest.raises(ConfigError, match="corpus 'mine' needs a kind: cold-start, sft"):
        SelectConfig(corpus="mine")
    assert SelectConfig(corpus="mine", kind="sft").kind == "sft"
    with pytest.raises(ConfigError, match="must rise within 0 and 1"):
        select(SelectConfig(corpus="sft", pass_rate_min=0.9, pass_rate_max=0.1), base(a1=1))
    with pytest.raises(WorkspaceError, match="select needs a traces table; `r1data sample"):
        select(SelectConfig(corpus="sft"), {"problems": t.problems({"problem_id": "a"})})
