"""verdicts, judgements, clusters, overlaps, reviews -> picks: who enters a corpus, or why not.

Every trace (every problem, for an RL corpus) gets one row: a rank, or the first reason that holds.
The order of reasons is the order of the tests below.
"""

from typing import Literal

import polars as pl

from r1data.core.errors import ConfigError, WorkspaceError
from r1data.core.frames import CorpusConfig, chance, first_reason, pass_rates
from r1data.core.records import Pick, Rule, polars_schema
from r1data.core.stage import Stage, Tables

Test = tuple[pl.Expr, pl.Expr | str]
"""A condition, and the reason it gives."""


class SelectConfig(CorpusConfig):
    """Settings of `r1data select`."""

    keep: int = 1
    """Traces (or preference pairs) to keep a problem."""
    order: Literal["shortest", "longest", "random"] = "random"
    """Which of a problem's good traces come first."""
    pass_rate_min: float = 0.0
    """Leave out problems that are solved less often than this."""
    pass_rate_max: float = 1.0
    """Leave out problems that are solved more often than this."""
    limit: int | None = None
    """Most problems in the corpus, taken at random."""
    rules: tuple[Rule, ...] | None = None
    """Judgements that must hold; all that are there by default."""
    seed: int = 0
    """Seed of the random order."""


def check(config: SelectConfig) -> None:
    """Raise ConfigError for settings out of range."""
    if not 0 <= config.pass_rate_min <= config.pass_rate_max <= 1:
        raise ConfigError(
            f"pass_rate_min {config.pass_rate_min} and pass_rate_max {config.pass_rate_max} "
            "must rise within 0 and 1"
        )
    if config.keep < 1:
        raise ConfigError(f"keep is {config.keep}; it must be at least 1")


def _problem_facts(tables: Tables) -> pl.LazyFrame:
    """Return the problems with what speaks against each."""
    out = tables["problems"].select("problem_id", "answer", "payload", pl.lit(True).alias("_known"))
    if "overlaps" in tables:
        hits = tables["overlaps"].select("problem_id").unique()
        out = out.join(
            hits.with_columns(pl.lit(True).alias("_overlaps")), on="problem_id", how="left"
        )
    else:
        out = out.with_columns(pl.lit(False).alias("_overlaps"))
    if "clusters" in tables:
        copies = tables["clusters"].filter((pl.col("item") == "problem") & ~pl.col("kept"))
        copies = copies.select(pl.col("item_id").alias("problem_id"), pl.lit(True).alias("_copy"))
        out = out.join(copies, on="problem_id", how="left")
    else:
        out = out.with_columns(pl.lit(False).alias("_copy"))
    if "verdicts" in tables:
        return out.join(pass_rates(tables), on="problem_id", how="left")
    return out.with_columns(pl.lit(None, dtype=pl.Float64).alias("pass_rate"))


def _problem_tests(config: SelectConfig) -> list[Test]:
    rate = pl.col("pass_rate")
    return [
        (pl.col("_known").is_null(), "problem_gone"),
        (pl.col("_overlaps"), "overlaps_benchmark"),
        (pl.col("_copy"), "duplicate_problem"),
        (pl.col("answer").is_null() & pl.col("payload").is_null(), "no_gold"),
        (rate < config.pass_rate_min, "pass_rate_low"),
        (rate > config.pass_rate_max, "pass_rate_high"),
    ]


def _trace_facts(config: SelectConfig, tables: Tables) -> pl.LazyFrame:
    """Return the traces with verdict, first failed rule, duplicate mark and review."""
    if "traces" not in tables or "verdicts" not in tables:
        lacking = "traces" if "traces" not in tables else "verdicts"
        hint = "r1data sample --model MODEL" if lacking == "traces" else "r1data verify"
        raise WorkspaceError(f"select needs a {lacking} table; `{hint}` makes it")
    out = tables["traces"].select("trace_id", "problem_id", "completion_tokens")
    verdicts = tables["verdicts"].select("trace_id", "status").unique("trace_id", keep="last")
    out = out.join(verdicts, on="trace_id", how="left")
    if "judgements" in tables:
        asked = tables["judgements"]
        if config.rules is not None:
            asked = asked.filter(pl.col("rule").is_in(list(config.rules)))
        failed = asked.filter(~pl.col("passed"))
        seen = asked.select("trace_id").unique().with_columns(pl.lit(True).alias("_judged"))
        out = out.join(seen, on="trace_id", how="left")
        said = pl.concat_str("rule", pl.lit(":"), pl.col("reason").fill_null("failed"))
        failed = failed.group_by("trace_id").agg(said.sort_by("rule").first().alias("_failed"))
        out = out.join(failed, on="trace_id", how="left")
    else:
        out = out.with_columns(
            pl.lit(None, dtype=pl.String).alias("_failed"), pl.lit(True).alias("_judged")
        )
    if "clusters" in tables:
        copies = tables["clusters"].filter(pl.col("item") == "trace")
        copies = copies.select(pl.col("item_id").alias("trace_id"), "cluster_id")
        out = out.join(copies, on="trace_id", how="left")
        # A trace that came after dedup stands for itself.
        out = out.with_columns(pl.coalesce("cluster_id", "trace_id").alias("cluster_id"))
    else:
        out = out.with_columns(pl.col("trace_id").alias("cluster_id"))
    if "reviews" in tables:
        # The latest word counts; keep overrides rules, reject overrides everything.
        words = tables["reviews"].group_by("trace_id").agg(pl.col("decision").last())
        return out.join(words, on="trace_id", how="left")
    return out.with_columns(pl.lit(None, dtype=pl.String).alias("decision"))


def _rank(config: SelectConfig) -> pl.Expr:
    orders = {
        "shortest": [pl.col("completion_tokens"), chance("trace_id", config.seed)],
        "longest": [-pl.col("completion_tokens"), chance("trace_id", config.seed)],
        "random": [chance("trace_id", config.seed)],
    }
    rank = pl.struct(orders[config.order]).rank("ordinal")
    return rank.over("problem_id", "_open", "role").cast(pl.Int64)


def _limit(config: SelectConfig, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Mark the problems beyond the limit, by a random order of the problems that have a pick."""
    if config.limit is None:
        return frame
    chosen = frame.filter(pl.col("reason").is_null()).select("problem_id").unique()
    order = chance("problem_id", config.seed).rank("ordinal")
    beyond = chosen.filter(order > config.limit).with_columns(pl.lit(True).alias("_beyond"))
    out = frame.join(beyond, on="problem_id", how="left")
    over = pl.col("reason").is_null() & pl.col("_beyond").fill_null(False)
    return out.with_columns(
        pl.when(over).then(pl.lit("beyond_limit")).otherwise("reason").alias("reason")
    )


def _finish(config: SelectConfig, frame: pl.LazyFrame) -> pl.LazyFrame:
    kept = pl.col("reason").is_null()
    return (
        frame.with_columns(
            pl.lit(config.corpus).alias("corpus"),
            pl.when(kept).then("rank").alias("rank"),
            pl.when(kept).then("role").alias("role"),
        )
        .select(pl.col(n).cast(t) for n, t in polars_schema(Pick).items())
        .sort("problem_id", "trace_id", nulls_last=False)
    )


def select(config: SelectConfig, tables: Tables) -> pl.LazyFrame:
    """Return the picks of a corpus."""
    check(config)
    if "verdicts" not in tables and (config.pass_rate_min > 0 or config.pass_rate_max < 1):
        raise WorkspaceError("a pass-rate band needs a verdicts table; `r1data verify` makes it")
    problems = _problem_facts(tables)
    if config.kind == "rl":
        frame = problems.with_columns(
            first_reason(*_problem_tests(config)).alias("reason"),
            pl.lit(None, dtype=pl.String).alias("trace_id"),
            pl.lit("row").alias("role"),
            pl.lit(1, dtype=pl.Int64).alias("rank"),
        )
        return _finish(config, _limit(config, frame))
    traces = _trace_facts(config, tables).join(problems, on="problem_id", how="left")
    status = pl.col("status")
    kept_by_human = (pl.col("decision") == "keep").fill_null(False)
    tests = [
        *_problem_tests(config),
        (pl.col("decision") == "reject", "rejected_by_reviewer"),
        (status.is_null(), "not_verified"),
    ]
    rules: list[Test] = [
        (pl.col("_judged").is_null() & ~kept_by_human, "not_filtered"),
        (pl.col("_failed").is_not_null() & ~kept_by_human, pl.col("_failed")),
    ]
    if config.kind == "preference":
        return _finish(config, _limit(config, _pairs(config, traces, tests, rules)))
    wrong = ((status != "correct") & ~kept_by_human, status)
    frame = traces.with_columns(first_reason(*tests, wrong, *rules).alias("reason"))
    return _finish(config, _limit(config, _best(config, frame)))


def _best(config: SelectConfig, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Keep one trace a cluster, then the best k of a problem."""
    fine = _without_copies(config, frame.with_columns(pl.lit("row").alias("role")))
    fine = fine.with_columns(_rank(config).alias("rank"))
    beyond = pl.col("_open") & (pl.col("rank") > config.keep)
    return fine.with_columns(
        pl.when(beyond).then(pl.lit("beyond_keep")).otherwise("reason").alias("reason")
    )


def _without_copies(config: SelectConfig, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Leave one open trace a cluster, role and problem; add ``_open``, whether a trace still is."""
    fine = frame.with_columns(pl.col("reason").is_null().alias("_open"))
    order = pl.struct(chance("trace_id", config.seed)).rank("ordinal")
    copy = pl.col("_open") & (order.over("problem_id", "cluster_id", "role", "_open") > 1)
    said = pl.when(copy).then(pl.lit("duplicate_trace")).otherwise("reason")
    return fine.with_columns(said.alias("reason")).with_columns(
        pl.col("reason").is_null().alias("_open")
    )


def _pairs(
    config: SelectConfig,
    traces: pl.LazyFrame,
    tests: list[Test],
    rules: list[Test],
) -> pl.LazyFrame:
    """Pair the i-th good trace of a problem with its i-th wrong one."""
    correct = pl.col("status") == "correct"
    unjudged = (pl.col("status").is_in(["bad_gold", "error"]), pl.col("status"))
    good = traces.filter(correct).with_columns(
        first_reason(*tests, *rules).alias("reason"), pl.lit("chosen").alias("role")
    )
    bad = traces.filter(~correct | pl.col("status").is_null()).with_columns(
        first_reason(*tests, unjudged).alias("reason"), pl.lit("rejected").alias("role")
    )
    frame = _without_copies(config, pl.concat([good, bad]))
    ranked = frame.with_columns(_rank(config).alias("rank"))
    pairs = pl.min_horizontal(
        ((pl.col("role") == "chosen") & pl.col("_open")).sum().over("problem_id"),
        ((pl.col("role") == "rejected") & pl.col("_open")).sum().over("problem_id"),
        pl.lit(config.keep),
    )
    beyond = pl.col("_open") & (pl.col("rank") > pairs)
    said = pl.when(pairs == 0).then(pl.lit("no_partner")).otherwise(pl.lit("beyond_keep"))
    return ranked.with_columns(pl.when(beyond).then(said).otherwise("reason").alias("reason"))


SELECT = Stage(
    name="select",
    version=1,
    reads=("problems",),
    optional=("traces", "verdicts", "judgements", "clusters", "overlaps", "reviews"),
    writes="picks/{corpus}",
    config=SelectConfig,
    fn=select,
    kind="frame",
    reason="reason",
)
