"""Evaluation over the scripted sampler: what it counts, what it skips, and the gate."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.core.errors import ConfigError, DriftError, GateError, WorkspaceError
from r1data.core.stage import Context
from r1data.core.tables import Workspace
from r1data.evaluate import EvalConfig, GateConfig, run_gate
from r1data.registry import resolve
from r1data.stages.problems import ProblemsConfig


def add(root: Path, size: int) -> None:
    action: Any = resolve("problems")
    action.fn(ProblemsConfig(source="mini:addition", size=size), Context(root))


def evaluate(root: Path, **settings: Any) -> Any:
    action: Any = resolve("eval")
    config = EvalConfig(**{"model": "scripted", "name": "s", "k": 4, "max_tokens": 300} | settings)
    return action.fn(config, Context(root))


def test_an_evaluation_counts_what_its_tables_say(tmp_path: Path) -> None:
    add(tmp_path, 12)
    result = evaluate(tmp_path)
    rows = Workspace(tmp_path).scan("evals/s").collect()
    inner = Workspace(tmp_path / "evals" / "s")
    verdicts = inner.scan("verdicts").collect()
    assert (result.rows, rows["samples"].unique().to_list()) == (12, [4])
    assert rows["correct"].sum() == (verdicts["status"] == "correct").sum()
    mixed = inner.scan("judgements").filter(
        (pl.col("rule") == "language_consistency") & (pl.col("spans").list.len() > 0)
    )
    assert rows["mixed"].sum() == mixed.collect().height
    summary = result.receipt.model_extra["summary"]
    assert summary["pass@1"]["value"] == pytest.approx(rows["correct"].sum() / 48)
    assert summary["pass@k"]["value"] == pytest.approx((rows["correct"] > 0).mean())
    assert summary["pass@1"]["low"] <= summary["pass@1"]["value"] <= summary["pass@1"]["high"]
    assert summary["completion_tokens"]["value"] == pytest.approx(rows["completion_tokens"].mean())


def test_an_evaluation_is_skipped_extended_and_stopped_on_drift(tmp_path: Path) -> None:
    add(tmp_path, 3)
    evaluate(tmp_path)
    assert evaluate(tmp_path).state == "skipped"
    before = Workspace(tmp_path / "evals" / "s").scan("traces").collect()
    extended = evaluate(tmp_path, k=6)
    after = Workspace(tmp_path / "evals" / "s").scan("traces").collect()
    assert extended.state == "done"
    assert set(before["trace_id"]) < set(after["trace_id"])
    with pytest.raises(DriftError, match="temperature: 1.0 -> 0.5"):
        evaluate(tmp_path, temperature=0.5)


def test_problems_of_another_workspace(tmp_path: Path) -> None:
    add(tmp_path / "test", 5)
    root = tmp_path / "work"
    root.mkdir()
    assert evaluate(root, problems="../test", limit=2).rows == 2
    with pytest.raises(WorkspaceError, match="no problems table"):
        evaluate(tmp_path / "work", name="t")


def test_k_must_be_positive(tmp_path: Path) -> None:
    add(tmp_path, 1)
    with pytest.raises(ConfigError, match="k is 0"):
        evaluate(tmp_path, k=0)


def test_the_gate(tmp_path: Path) -> None:
    add(tmp_path, 6)
    evaluate(tmp_path)
    context = Context(tmp_path)
    run_gate(GateConfig(eval="s", minimum=0.0, maximum=1.0), context)
    with pytest.raises(
        GateError, match=r"good of evals/s is 0\.\d{3}, outside 0.99 to 1.0: too weak"
    ):
        run_gate(GateConfig(eval="s", metric="good", minimum=0.99, why="too weak"), context)
    with pytest.raises(ConfigError, match="no metric 'pass'; it has pass@1, pass@k"):
        run_gate(GateConfig(eval="s", metric="pass"), context)
    with pytest.raises(WorkspaceError, match="no evaluation evals/x"):
        run_gate(GateConfig(eval="x"), context)


def test_a_smaller_k_or_limit_counts_only_its_own_samples(tmp_path: Path) -> None:
    add(tmp_path, 5)
    evaluate(tmp_path, k=6)
    evaluate(tmp_path, k=2, limit=3)
    rows = Workspace(tmp_path).scan("evals/s").collect()
    assert (rows.height, rows["samples"].unique().to_list()) == (3, [2])


def test_a_larger_k_is_judged_whole(tmp_path: Path) -> None:
    add(tmp_path, 3)
    evaluate(tmp_path, k=1)
    evaluate(tmp_path, k=9)
    inner = Workspace(tmp_path / "evals" / "s")
    for table in ("traces", "verdicts"):
        assert inner.scan(table).collect().height == 27
    assert inner.scan("judgements").collect().height == 27 * 6
