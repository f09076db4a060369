"""The verify stage: a verdict per trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
from pydantic import Field

from r1data.backends.math_pool import MathPool, shared_pool
from r1data.core.records import VerdictRow, content_hash, polars_schema
from r1data.core.stage import Config, Context, Stage, Tables
from r1data.stages.verify.api import PRELOAD, judge_rows
from r1data.stages.verify.engines import Engines, missing
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.prepare import Row


class VerifyConfig(VerifyPolicy):
    """Settings of `r1data verify`: the policy, and how much the workers may use."""

    workers: int = Field(default=2, ge=1)
    """Worker processes."""
    timeout: float = Field(default=2.0, gt=0)
    """Wall seconds after which the judgement of one answer is given up."""


def plan(config: VerifyConfig, tables: Tables) -> pl.LazyFrame:
    """Return one row per trace, with its problem's verifier, gold answer and payload."""
    problems = tables["problems"].select(
        "problem_id", "verifier", "answer", "payload", pl.col("prompt").alias("question")
    )
    traces = tables["traces"].select("trace_id", "problem_id", "text", "prefill")
    work = traces.join(problems, on="problem_id", how="inner", maintain_order="left").select(
        "trace_id",
        "problem_id",
        "verifier",
        "answer",
        "payload",
        "text",
        "prefill",
        "question",
    )
    return work.map_batches(
        with_input_hash, schema=work.collect_schema() | {"input_hash": pl.String()}
    )


def with_input_hash(work: pl.DataFrame) -> pl.DataFrame:
    """Add the hash of what is judged, so that a text that was sampled anew is judged anew."""
    judged = work.select("answer", "payload", "prefill", "text").iter_rows()
    return work.with_columns(
        pl.Series("input_hash", [content_hash(*row) for row in judged], pl.String)
    )


def judge(config: VerifyConfig, shard: pl.DataFrame, backend: MathPool) -> pl.DataFrame:
    """Return the verdicts of a shard of `plan`, in its order."""
    work = shard.select("verifier", "answer", "text", "payload", "prefill", "question")
    rows = [Row(*values) for values in work.iter_rows()]
    verdicts = judge_rows(rows, Engines(config, lambda: backend, config.timeout, config.workers))
    out: list[dict[str, Any]] = [
        {
            "trace_id": trace_id,
            "problem_id": problem_id,
            "verifier": verifier,
            "input_hash": input_hash,
            **verdict.model_dump(),
        }
        for (trace_id, problem_id, verifier, input_hash), verdict in zip(
            shard.select("trace_id", "problem_id", "verifier", "input_hash").iter_rows(),
            verdicts,
            strict=True,
        )
    ]
    return pl.DataFrame(out, schema=polars_schema(VerdictRow))


@contextmanager
def open_pool(config: VerifyConfig, context: Context) -> Iterator[MathPool]:
    """Lend the process' own pool. It starts nothing before the first hard answer."""
    yield shared_pool(config.workers, PRELOAD)


def check(config: VerifyConfig, work: pl.DataFrame) -> None:
    """Raise for verifiers that are unknown, or that lack what they need, before anything runs."""
    missing(work["verifier"].unique().to_list(), config)


def shard_rows(config: Config) -> int:
    """Return the rows of a part file: most are decided in microseconds."""
    return 4096


VERIFY = Stage(
    name="verify",
    version=2,
    reads=("problems", "traces"),
    writes="verdicts",
    config=VerifyConfig,
    fn=judge,
    kind="batch",
    plan=plan,
    check=check,
    backend=open_pool,
    shard_rows=shard_rows,
    loose=("workers",),
    reason="status",
)
