"""The sample stage over the scripted sampler: ids, seeds, and what a rerun does not do again."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.backends.scripted import ScriptedSampler
from r1data.core.errors import ConfigError, DriftError
from r1data.core.run import Result, run_stage
from r1data.core.stage import Context, Stage
from r1data.core.tables import Workspace
from r1data.core.text import split_thinking
from r1data.registry import resolve
from r1data.stages.problems import ProblemsConfig
from r1data.stages.sample import SampleConfig, make_stage, sample_seed, sampler_fingerprint


class Counting(ScriptedSampler):
    """Counts the samples it draws."""

    drawn = 0

    def generate(self, requests: Any, params: Any, progress: Any = None) -> Any:
        for item in super().generate(requests, params, progress):
            type(self).drawn += 1
            yield item


@pytest.fixture
def stage() -> Stage:
    Counting.drawn = 0
    return make_stage(lambda config, root: Counting(), lambda model, root: model)


def config(**changes: Any) -> SampleConfig:
    return SampleConfig(**{"model": "scripted", "n": 3, "max_tokens": 200} | changes)


def put(root: Path, count: int) -> None:
    action: Any = resolve("problems")
    source = ProblemsConfig(source="mini:addition", size=count)
    action.fn(source, Context(root, force=True))


def run(stage: Stage, root: Path, **changes: Any) -> Result:
    return run_stage(stage, config(**changes), Context(root))


def traces(root: Path) -> pl.DataFrame:
    return Workspace(root).scan("traces").collect().sort("trace_id")


def test_n_samples_a_problem_with_their_spans(stage: Stage, tmp_path: Path) -> None:
    put(tmp_path, 4)
    assert run(stage, tmp_path).rows == 12
    frame = traces(tmp_path)
    assert frame["trace_id"].n_unique() == frame["seed"].n_unique() == 12
    assert sorted(frame["sample_index"].unique()) == [0, 1, 2]
    for row in frame.iter_rows(named=True):
        parts = split_thinking(row["text"], row["prefill"])
        assert (row["thinking_start"], row["thinking_end"]) == (parts.thinking or (None, None))
        assert (row["answer_start"], row["answer_end"]) == (parts.answer or (None, None))


def test_raising_n_draws_only_the_new_ones(stage: Stage, tmp_path: Path) -> None:
    put(tmp_path, 4)
    run(stage, tmp_path)
    before = traces(tmp_path)
    result = run(stage, tmp_path, n=5)
    assert (result.state, result.rows, Counting.drawn) == ("resumed", 20, 20)
    kept = traces(tmp_path).filter(pl.col("trace_id").is_in(before["trace_id"].to_list()))
    assert kept.equals(before)


def test_lowering_n_or_adding_problems_keeps_all(stage: Stage, tmp_path: Path) -> None:
    put(tmp_path, 4)
    run(stage, tmp_path)
    assert run(stage, tmp_path, n=1).state == "skipped"
    put(tmp_path, 5)
    assert run(stage, tmp_path).rows == 15
    assert Counting.drawn == 15


def test_a_larger_budget_draws_again_only_what_was_cut(stage: Stage, tmp_path: Path) -> None:
    put(tmp_path, 20)
    run(stage, tmp_path, max_tokens=12)
    cut = traces(tmp_path).filter(pl.col("finish_reason") == "length").height
    assert cut > 0
    drawn = Counting.drawn
    run(stage, tmp_path, max_tokens=300)
    assert Counting.drawn - drawn == cut
    frame = traces(tmp_path)
    assert frame.height == 60
    assert set(frame.filter(pl.col("finish_reason") == "length")["max_tokens"]) <= {300}


def test_a_resumed_run_gives_the_traces_of_an_uninterrupted_one(
    stage: Stage, tmp_path: Path
) -> None:
    for name in ("whole", "parts"):
        put(tmp_path / name, 6)
    run(stage, tmp_path / "whole", n=4, batch_size=5)
    for n in (1, 2, 4):
        run(stage, tmp_path / "parts", n=n, batch_size=3)
    assert traces(tmp_path / "whole").equals(traces(tmp_path / "parts"))


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.5}, {"top_p": 0.9}, {"template": "r1-zero"}, {"system": "x"}, {"seed": 1}],
)
def test_what_changes_the_samples_stops_and_is_named(
    stage: Stage, tmp_path: Path, change: dict[str, Any]
) -> None:
    put(tmp_path, 2)
    run(stage, tmp_path)
    with pytest.raises(DriftError, match=next(iter(change))):
        run(stage, tmp_path, **change)


def test_one_changed_word_of_the_prompt_reuses_nothing() -> None:
    prints = {
        sampler_fingerprint(config(**c), "weights")
        for c in ({}, {"system": "Think."}, {"system": "Think!"}, {"temperature": 0.5})
    }
    assert len(prints) == 4
    assert sampler_fingerprint(config(), "other") not in prints
    assert sampler_fingerprint(config(n=9, max_tokens=9, batch_size=9), "weights") in prints


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8), st.integers(0, 99))
def test_seeds_of_problems_do_not_meet(a: str, b: str, seed: int) -> None:
    assert 0 <= sample_seed(a, seed) < 2**48
    if a != b:
        assert abs(sample_seed(a, seed) - sample_seed(b, seed)) > 10_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": 0}, "n is 0; it must be at least 1"),
        ({"temperature": -1.0}, "temperature is -1.0; it must be 0 or more"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"template": "alpaca"}, "unknown template 'alpaca'; one of r1-zero, chat"),
    ],
)
def test_settings_out_of_range(
    stage: Stage, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    put(tmp_path, 1)
    with pytest.raises(ConfigError, match=said):
        run(stage, tmp_path, **change)
