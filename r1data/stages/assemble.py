"""picks -> corpora: the rows that are trained on, with ids that lead back to where they came from.

This is the first stage that leaves anything out, and picks say why. An answer enters as it was
sampled, with what its template had already opened put back, so reasoning stands inline in exactly
one ``<think>…</think>`` pair: the one form that every trainer reads.
"""

import polars as pl

from r1data.core.errors import WorkspaceError
from r1data.core.frames import CorpusConfig, pass_rates
from r1data.core.records import CORPORA, polars_schema
from r1data.core.stage import Stage, Tables


class AssembleConfig(CorpusConfig):
    """Settings of `r1data assemble`."""

    system: str | None = None
    """System message to put before every conversation."""


def _message(role: str, content: pl.Expr) -> pl.Expr:
    return pl.struct(pl.lit(role).alias("role"), content.alias("content"))


def _prompt(config: AssembleConfig) -> pl.Expr:
    """Return the conversation up to the model's turn, as a list of messages."""
    turns = pl.concat_list(_message("user", pl.col("prompt")))
    earlier = pl.col("messages").fill_null(pl.lit([], dtype=pl.List(pl.Struct(_MESSAGE))))
    turns = pl.concat_list(earlier, turns)
    if config.system is not None:
        turns = pl.concat_list(pl.concat_list(_message("system", pl.lit(config.system))), turns)
    return turns


_MESSAGE = {"role": pl.String, "content": pl.String}


def _answers(config: AssembleConfig, tables: Tables) -> pl.LazyFrame:
    """Return the picked traces with their problem and the text that enters the corpus."""
    if "traces" not in tables:
        raise WorkspaceError(
            "assemble needs a traces table; `r1data sample --model MODEL` makes it"
        )
    picks = tables["picks"].filter((pl.col("corpus") == config.corpus) & pl.col("reason").is_null())
    traces = tables["traces"].select("trace_id", "model", "prefill", "text")
    if "reviews" in tables:
        edits = tables["reviews"].filter(pl.col("decision") == "edit")
        edits = edits.group_by("trace_id").agg(pl.col("text").last().alias("_edited"))
        traces = traces.join(edits, on="trace_id", how="left")
    else:
        traces = traces.with_columns(pl.lit(None, dtype=pl.String).alias("_edited"))
    content = pl.coalesce("_edited", pl.concat_str("prefill", "text")).str.strip_chars()
    problems = tables["problems"].select(
        "problem_id", "prompt", "messages", "language", "domain", "source", "licence"
    )
    return (
        picks.select("problem_id", "trace_id", "role", "rank")
        .join(traces, on="trace_id", how="inner")
        .join(problems, on="problem_id", how="inner")
        .with_columns(content.alias("content"), _prompt(config).alias("_prompt"))
    )


def _sft(config: AssembleConfig, tables: Tables) -> pl.LazyFrame:
    reply = pl.concat_list(_message("assistant", pl.col("content")))
    return (
        _answers(config, tables)
        .with_columns(
            pl.concat_list("_prompt", reply).alias("messages"), pl.col("trace_id").alias("row_id")
        )
        .sort("problem_id", "rank")
    )


def _preference(config: AssembleConfig, tables: Tables) -> pl.LazyFrame:
    answers = _answers(config, tables)
    reply = pl.concat_list(_message("assistant", pl.col("content")))
    sides = {
        role: answers.filter(pl.col("role") == role).with_columns(
            reply.alias(role), pl.col("trace_id").alias(f"{role}_trace_id")
        )
        for role in ("chosen", "rejected")
    }
    other = sides["rejected"].select("problem_id", "rank", "rejected", "rejected_trace_id")
    return (
        sides["chosen"]
        .join(other, on=["problem_id", "rank"], how="inner")
        .with_columns(
            pl.col("_prompt").alias("prompt"),
            pl.concat_str("chosen_trace_id", "rejected_trace_id").alias("row_id"),
        )
        .sort("problem_id", "rank")
    )


def _rl(config: AssembleConfig, tables: Tables) -> pl.LazyFrame:
    picks = tables["picks"].filter((pl.col("corpus") == config.corpus) & pl.col("reason").is_null())
    problems = tables["problems"].with_columns(_prompt(config).alias("prompt"))
    if "verdicts" in tables:
        problems = problems.join(pass_rates(tables), on="problem_id", how="left")
    else:
        problems = problems.with_columns(pl.lit(None, dtype=pl.Float64).alias("pass_rate"))
    return (
        picks.select("problem_id")
        .join(problems, on="problem_id", how="inner")
        .with_columns(pl.col("problem_id").alias("row_id"))
        .sort("problem_id")
    )


def assemble(config: AssembleConfig, tables: Tables) -> pl.LazyFrame:
    """Return the rows of a corpus."""
    make = {"rl": _rl, "preference": _preference}.get(config.kind, _sft)
    return make(config, tables).select(list(polars_schema(CORPORA[config.kind])))


ASSEMBLE = Stage(
    name="assemble",
    version=1,
    reads=("problems", "picks/{corpus}"),
    optional=("traces", "verdicts", "reviews"),
    fresh=("picks/{corpus}",),
    writes="corpora/{corpus}",
    config=AssembleConfig,
    fn=assemble,
    kind="frame",
)
