"""Traces to judgements: one row a trace and rule, with the measured value and the reason.

Nothing is dropped here: a judgement is a row, and `assemble` decides. The rules are expressions,
so a changed threshold costs seconds, and the reward of GRPO is the same code as the filter.
"""

from collections.abc import Sequence
from typing import get_args

import polars as pl

from r1data.core.errors import ConfigError
from r1data.core.records import Judgement, Rule, polars_schema
from r1data.core.stage import Stage, Tables
from r1data.stages.filter import readability
from r1data.stages.filter.language import ConsistencyPolicy, target_language, with_consistency
from r1data.stages.filter.readability import ReadabilityPolicy

RULES: tuple[Rule, ...] = get_args(Rule)
"""Every rule, in the order in which judgements come."""

GROUPS: dict[str, tuple[Rule, ...]] = {
    "lang-consistency": ("language_consistency",),
    "readability": ("format", "finished", "repetition", "paragraph_length", "length"),
}
"""Rules behind each flag of ``r1data filter``; both groups if no flag is given."""

# What each rule reads besides the text, and what stands in where a frame does not have it.
_OPTIONAL = {
    "trace_id": pl.String,
    "problem_id": pl.String,
    "prompt": pl.String,
    "prefill": pl.String,
    "thinking_start": pl.Int64,
    "thinking_end": pl.Int64,
    "finish_reason": pl.String,
    "completion_tokens": pl.Int64,
}


class FilterConfig(ConsistencyPolicy, ReadabilityPolicy):
    """Which rules judge the traces, and by which thresholds."""

    rules: tuple[Rule, ...] = RULES
    """Rules to judge by."""


def rules_of(groups: Sequence[str]) -> tuple[Rule, ...]:
    """Return the rules of the named groups, all of them if none is named.

    Raises:
        ConfigError: there is no such group.
    """
    for name in groups:
        if name not in GROUPS:
            raise ConfigError(f"filter: no group of rules {name!r}; there are {', '.join(GROUPS)}")
    chosen = [rule for name in (groups or GROUPS) for rule in GROUPS[name]]
    return tuple(rule for rule in RULES if rule in chosen)


def judgements(config: FilterConfig, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return one judgement per row and rule: rows in order, rules in the order of RULES.

    ``frame`` has ``text`` and ``language`` (the target, may be null: then the script of ``prompt``
    decides); further columns of a trace are used where they are (see `with_missing`).
    """
    rules = [rule for rule in RULES if rule in config.rules]
    frame = frame.with_columns(
        target_language("language", "prompt").alias("_target"),
        (pl.col("prefill").fill_null("") + pl.col("text")).alias("_turn"),
    )
    if "language_consistency" in rules:
        frame = with_consistency(frame, config)
    if "repetition" in rules:
        frame = readability.with_repetition(frame, config)
    frame = frame.with_columns(
        readability.RULES[rule](config).alias(rule) for rule in rules if rule in readability.RULES
    )
    named = [
        pl.struct(pl.lit(rule).alias("rule"), pl.col(rule).struct.unnest()).alias(rule)
        for rule in rules
    ]
    schema = polars_schema(Judgement)
    if not named:
        return pl.LazyFrame(schema=schema)
    return (
        frame.select("trace_id", "problem_id", pl.concat_list(named).alias("judgement"))
        .explode("judgement", empty_as_null=False)
        .unnest("judgement")
        .select(pl.col(name).cast(kind) for name, kind in schema.items())
    )


def with_missing(frame: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    """Add the optional columns that ``columns``, the names in the frame, does not have: null."""
    return frame.with_columns(
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in _OPTIONAL.items()
        if name not in columns
    )


def filter_traces(config: FilterConfig, tables: Tables) -> pl.LazyFrame:
    """Return the judgements of every trace. The target language is its problem's."""
    problems = tables["problems"].select("problem_id", "prompt", "language")
    traces = tables["traces"].select(
        *("trace_id", "problem_id", "text", "prefill", "thinking_start", "thinking_end"),
        *("finish_reason", "completion_tokens"),
    )
    return judgements(
        config, traces.join(problems, on="problem_id", how="left", maintain_order="left")
    )


FILTER = Stage(
    name="filter",
    version=1,
    reads=("problems", "traces"),
    writes="judgements",
    kind="frame",
    config=FilterConfig,
    fn=filter_traces,
    loose=("rules",),
    reason="reason",
)
