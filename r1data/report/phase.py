"""What one workspace's tables say, as numbers: funnel, pass rates, lengths, language mixing.

Everything is a count over bins, groups or reasons, so its size does not grow with the data.
"""

from dataclasses import dataclass, field, replace

import polars as pl

from r1data import metrics
from r1data.core.text import script_language
from r1data.report import funnel, source

LENGTH_BINS = 24
MATRIX_TRACES = 20_000
"""Most traces whose text is read for the matrix of scripts; ids are hashes, so it is a sample."""


@dataclass(frozen=True)
class Group:
    """Pass rate of the problems that share a language, domain or source."""

    dimension: str
    value: str
    problems: int
    interval: metrics.Interval


@dataclass(frozen=True)
class Mixing:
    """Language mixing of the traces of one prompt language, before and after filtering."""

    language: str
    traces: int
    mixed: float
    consistency: float | None
    kept: int
    kept_mixed: float | None
    kept_consistency: float | None


@dataclass(frozen=True)
class Phase:
    """The figures of one workspace. Shares lie in [0, 1], lengths are tokens."""

    name: str
    title: str
    problems: int
    bad_gold_problems: int
    contaminated: int
    corpora: dict[str, int]
    """Rows of each corpus."""
    funnel: tuple[funnel.Step, ...]
    traces: int = 0
    judged: int = 0
    """Traces that have a verdict."""
    correct: int = 0
    kept: int = 0
    """Traces that entered a corpus."""
    truncated: int = 0
    """Traces cut at max_tokens."""
    verifier_trouble: int = 0
    """Traces whose verifier ran out of time or room, or failed."""
    median_tokens: float | None = None
    pass_bins: tuple[tuple[str, int], ...] = ()
    pass_rates: tuple[Group, ...] = ()
    length_edges: tuple[int, ...] = ()
    lengths: dict[str, tuple[int, ...]] = field(default_factory=dict)
    mixing: tuple[Mixing, ...] = ()
    matrix: tuple[tuple[str, str, int], ...] = ()
    """(prompt language, language that the reasoning is mostly written in, traces)."""
    intruders: tuple[tuple[str, str, int], ...] = ()
    """(prompt language, language of an offending span, traces that hold one)."""


def measure(workspace: source.Workspace, facts: pl.DataFrame | None) -> Phase:
    """Return every figure of a workspace; what has no table is empty or 0.

    facts are the rows of `funnel.trace_facts`.
    """
    problems, verdicts = workspace.table("problems"), workspace.table("verdicts")
    bad = None if verdicts is None else verdicts.filter(pl.col("status") == "bad_gold")
    corpora = source.corpora(workspace)
    phase = Phase(
        name=workspace.name,
        title=workspace.title,
        problems=0 if problems is None else problems.select(pl.len()).collect().item(),
        bad_gold_problems=_distinct(bad),
        contaminated=_distinct(workspace.table("overlaps")),
        corpora=corpora,
        funnel=funnel.steps(workspace, facts, corpora),
    )
    if facts is None or facts.is_empty():
        return phase
    edges, lengths = _lengths(facts)
    trouble = pl.col("status").is_in(["timeout", "limit", "error"])
    return replace(
        phase,
        traces=facts.height,
        judged=facts.height - facts["status"].null_count(),
        correct=facts.filter(pl.col("status") == "correct").height,
        kept=facts.filter(pl.col("picked")).height,
        truncated=facts.filter(pl.col("finish_reason") == "length").height,
        verifier_trouble=facts.filter(trouble).height,
        median_tokens=float(facts.select(pl.col("completion_tokens").median()).item()),
        pass_bins=_pass_bins(facts),
        pass_rates=_pass_rates(facts),
        length_edges=edges,
        lengths=lengths,
        mixing=_mixing(facts),
        matrix=_matrix(workspace, facts),
        intruders=_intruders(workspace, facts),
    )


def _distinct(frame: pl.LazyFrame | None) -> int:
    if frame is None:
        return 0
    return int(frame.select(pl.col("problem_id").n_unique()).collect().item())


def _per_problem(rows: pl.DataFrame) -> pl.DataFrame:
    judged = rows.filter(pl.col("status").is_not_null())
    correct = pl.col("status") == "correct"
    about = [pl.col(name).first() for name in ("language", "domain", "source")]
    return (
        judged.group_by("problem_id")
        .agg(correct.sum().alias("correct"), pl.len().alias("samples"), *about)
        .sort("problem_id")
    )


def _pass_bins(rows: pl.DataFrame) -> tuple[tuple[str, int], ...]:
    """Return problems by their number correct, or by tenths where samples are many or uneven."""
    table = _per_problem(rows)
    if table.is_empty():
        return ()
    if table["samples"].n_unique() == 1 and table["samples"][0] <= 16:
        samples = table["samples"][0]
        counts = dict(table["correct"].value_counts().rows())
        return tuple((f"{c}/{samples}", counts.get(c, 0)) for c in range(samples + 1))
    rate = table["correct"] / table["samples"]
    bins = [("0", int((rate == 0).sum()))]
    for tenth in range(10):
        inside = (rate > tenth / 10) & (rate <= (tenth + 1) / 10) & (rate < 1)
        bins.append((f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}", int(inside.sum())))
    return (*bins, ("1", int((rate == 1).sum())))


def _pass_rates(rows: pl.DataFrame) -> tuple[Group, ...]:
    table = _per_problem(rows)
    groups = []
    for dimension in ("language", "domain", "source"):
        values = table.filter(pl.col(dimension).is_not_null()).group_by(dimension).len()
        values = values.sort(["len", dimension], descending=[True, False]).head(8)
        if values.height < 2 and dimension != "language":
            continue
        for value, count in values.rows():
            here = table.filter(pl.col(dimension) == value)
            interval = metrics.bootstrap_interval((here["correct"] / here["samples"]).to_list())
            groups.append(Group(dimension, value, count, interval))
    return tuple(groups)


_VERDICTS = {"correct": "correct", "wrong": "wrong", "no_answer": "no answer"}


def _lengths(rows: pl.DataFrame) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
    tokens = rows["completion_tokens"]
    top = int(tokens.quantile(0.995, "higher") or 0) + 1
    width = max(1, -(-top // LENGTH_BINS))
    edges = tuple(range(0, width * LENGTH_BINS + 1, width))
    last = LENGTH_BINS - 1
    binned = rows.select(
        pl.col("status").replace_strict(_VERDICTS, default="other").fill_null("other"),
        (pl.col("completion_tokens") // width).clip(0, last).alias("bin"),
    )
    counts = {(s, b): n for s, b, n in binned.group_by("status", "bin").len().rows()}
    out = {}
    for status in (*_VERDICTS.values(), "other"):
        values = tuple(counts.get((status, b), 0) for b in range(LENGTH_BINS))
        if any(values):
            out[status] = values
    return edges, out


def _mixing(rows: pl.DataFrame) -> tuple[Mixing, ...]:
    judged = rows.filter(pl.col("mixed").is_not_null())
    out = []
    for language in judged["language"].unique().sort().to_list():
        here = judged.filter(pl.col("language").eq_missing(language))
        # What reached a corpus; before there is one, what passed every rule.
        kept = here.filter(pl.col("picked") if rows["picked"].any() else pl.col("failed").is_null())
        out.append(
            Mixing(
                str(language or "unknown"),
                here.height,
                _mean(here["mixed"]) or 0.0,
                _mean(here["consistency"]),
                kept.height,
                _mean(kept["mixed"]),
                _mean(kept["consistency"]),
            )
        )
    return tuple(out)


def _mean(values: pl.Series) -> float | None:
    known = values.drop_nulls().cast(pl.Float64)
    return None if known.is_empty() else round(float(known.sum()) / len(known), 6)


def _matrix(workspace: source.Workspace, rows: pl.DataFrame) -> tuple[tuple[str, str, int], ...]:
    traces = workspace.table("traces")
    if traces is None:
        return ()
    last = rows["trace_id"][min(MATRIX_TRACES, rows.height) - 1]
    start = pl.col("thinking_start").fill_null(0)
    end = pl.col("thinking_end").fill_null(pl.col("text").str.len_chars())
    written = (
        traces.filter(pl.col("trace_id") <= last)
        .select("trace_id", pl.col("text").str.slice(start, end - start).alias("thinking"))
        .with_columns(pl.col("thinking").str.replace_all(r"</?(?:think|answer)>", " "))
        .select("trace_id", script_language("thinking").fill_null("no letters").alias("trace"))
        .collect()
    )
    table = rows.select("trace_id", pl.col("language").fill_null("unknown"))
    counts = table.join(written, on="trace_id").group_by("language", "trace").len().rows()
    return tuple(sorted(counts))


def _intruders(workspace: source.Workspace, rows: pl.DataFrame) -> tuple[tuple[str, str, int], ...]:
    judgements = workspace.table("judgements")
    if judgements is None:
        return ()
    found = (
        judgements.filter(pl.col("rule") == "language_consistency")
        .select("trace_id", "spans")
        .explode("spans")
        .select("trace_id", pl.col("spans").struct.field("language").alias("intruder"))
        .drop_nulls()
        .unique()
        .collect()
    )
    table = rows.select("trace_id", pl.col("language").fill_null("unknown"))
    counts = table.join(found, on="trace_id").group_by("language", "intruder").len().rows()
    return tuple(sorted(counts))
