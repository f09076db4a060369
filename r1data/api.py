"""The public functions of r1data: what its commands do, for use from Python."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from r1data.core.errors import InputError
from r1data.core.pipeline import Pipeline, StepResult, Unwatched
from r1data.core.recipe import load_recipe
from r1data.core.records import Verdict
from r1data.core.stage import Context, Tables
from r1data.core.tables import Workspace
from r1data.registry import PRELOAD, resolve
from r1data.resources import find_recipe
from r1data.stages.filter.judge import judge_traces, language_consistency
from r1data.stages.filter.language import Consistency
from r1data.stages.problems import problems_in_memory
from r1data.stages.sample import SampleConfig
from r1data.stages.verify import verify, verify_many

__all__ = [
    "Consistency",
    "Verdict",
    "judge_traces",
    "language_consistency",
    "read",
    "run",
    "sample",
    "verify",
    "verify_many",
]


def read(directory: str | os.PathLike[str], table: str) -> pl.LazyFrame:
    """Return a table of a workspace: problems, traces, verdicts, …, or a slice such as corpora/sft.

    Raises WorkspaceError if it is missing or unfinished.
    """
    return Workspace(Path(directory)).scan(table)


def sample(
    problems: pl.DataFrame | pl.LazyFrame | Sequence[Mapping[str, Any]],
    *,
    model: str,
    n: int = 16,
    **settings: Any,
) -> pl.DataFrame:
    """Return n traces a problem, in memory.

    problems: rows with a question, in any of the columns that `problems add` knows; an answer is
        not needed. Rows of a problems table keep their ids, verifiers and everything else.
    settings: those of `SampleConfig` (template, temperature, top_p, max_tokens, seed, …).
    Raises InputError that names the row and field, ConfigError for settings out of range.
    """
    config = SampleConfig(model=model, n=n, **settings)
    if isinstance(problems, pl.LazyFrame):
        problems = problems.collect()
    rows = problems.to_dicts() if isinstance(problems, pl.DataFrame) else problems
    table = problems_in_memory(rows, "sample")
    if not table.height:
        raise InputError("sample: no problems")
    stage: Any = resolve("sample")
    identity = stage.identity(config, Path.cwd())
    tables: Tables = {
        "problems": table.lazy(),
        "=model": pl.LazyFrame({"model": [identity["model"]]}),
    }
    work = stage.plan(config, tables).collect()
    with stage.backend(config, Context(Path.cwd())) as backend:
        shards = work.iter_slices(config.batch_size)
        frames: list[pl.DataFrame] = [stage.fn(config, shard, backend) for shard in shards]
    return pl.concat(frames)


def run(
    recipe: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    force: bool = False,
) -> list[StepResult]:
    """Run a recipe into a directory and return what each step came to. See `r1data run`."""
    found = load_recipe(find_recipe(os.fspath(recipe)), resolve, parameters)
    pipeline = Pipeline(found, Path(out), resolve, Unwatched(), force=force, preload=PRELOAD)
    return pipeline.run(jobs or found.jobs)
