"""How problems become rows of a corpus: one thin row a trace, and the steps that lose some.

The steps are counted one after the other, in the order of the tables: a trace that fails two rules
is lost at the first of them.
"""

from dataclasses import dataclass

import polars as pl

from r1data.report import source

RULES = ("finished", "format", "length", "repetition", "paragraph_length", "language_consistency")
"""Order of the funnel; a rule not named here comes after these, by name."""


@dataclass(frozen=True)
class Step:
    """A bar of the funnel."""

    name: str
    unit: str
    rows: int
    lost: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


def trace_facts(workspace: source.Workspace) -> pl.DataFrame | None:
    """Return one thin row a trace with what every stage said of it, or None without traces.

    Columns: trace_id, problem_id, finish_reason, completion_tokens, language, domain, source,
    status (correct if every verifier says so; null if unjudged), mixed and consistency (null if
    unjudged), failed (first failed rule in funnel order), unique, picked.
    """
    traces = workspace.table("traces")
    if traces is None:
        return None
    frame = traces.select("trace_id", "problem_id", "finish_reason", "completion_tokens", "model")
    problems = workspace.table("problems")
    about = ("language", "domain", "source")
    if problems is not None:
        frame = frame.join(problems.select("problem_id", *about), on="problem_id", how="left")
    else:
        frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in about)
    frame = frame.join(_statuses(workspace), on="trace_id", how="left")
    frame = frame.join(_rule_summary(workspace), on="trace_id", how="left")
    clusters = workspace.table("clusters")
    duplicates = _ids(
        None if clusters is None else clusters.filter((pl.col("item") == "trace") & ~pl.col("kept"))
    )
    picks = workspace.table("picks")
    picked = _ids(None if picks is None else picks.filter(pl.col("role").is_not_null()), "trace_id")
    return (
        frame.with_columns(
            pl.col("trace_id").is_in(duplicates).not_().alias("unique"),
            pl.col("trace_id").is_in(picked).alias("picked"),
        )
        .sort("trace_id")
        .collect()
    )


def _ids(frame: pl.LazyFrame | None, column: str = "item_id") -> list[str]:
    if frame is None:
        return []
    return frame.select(pl.col(column).drop_nulls().unique()).collect()[column].to_list()


def _statuses(workspace: source.Workspace) -> pl.LazyFrame:
    verdicts = workspace.table("verdicts")
    if verdicts is None:
        return pl.LazyFrame(schema={"trace_id": pl.String, "status": pl.String})
    fault = pl.col("status").filter(pl.col("status") != "correct").min()
    return verdicts.group_by("trace_id").agg(fault.fill_null("correct").alias("status"))


def _rule_summary(workspace: source.Workspace) -> pl.LazyFrame:
    judgements = workspace.table("judgements")
    if judgements is None:
        empty = {"mixed": pl.Boolean, "consistency": pl.Float64, "failed": pl.String}
        return pl.LazyFrame(schema={"trace_id": pl.String, **empty})
    rule = pl.col("rule")
    language = rule == "language_consistency"
    rank = rule.replace_strict({r: i for i, r in enumerate(RULES)}, default=len(RULES))
    order = pl.format("{}{}", rank, rule)
    return judgements.group_by("trace_id").agg(
        (pl.col("spans").list.len() > 0).filter(language).first().alias("mixed"),
        pl.col("value").filter(language).first().alias("consistency"),
        order.filter(~pl.col("passed")).min().str.slice(1).alias("failed"),
    )


def steps(
    workspace: source.Workspace, rows: pl.DataFrame | None, corpora: dict[str, int]
) -> tuple[Step, ...]:
    """Return the funnel of a workspace: problems, then traces, then what reached each corpus.

    rows are those of `trace_facts`, corpora the rows of each corpus by name.
    """
    out = _problem_steps(workspace, rows)
    alive = None
    if rows is not None and not rows.is_empty():
        alive, traces = _trace_steps(workspace, rows)
        out += traces
    return (*out, *_corpus_steps(workspace, alive, corpora))


def _counted(reasons: pl.Series) -> tuple[tuple[str, int], ...]:
    counts = reasons.fill_null("no reason given").value_counts().rows()
    return tuple(sorted(counts, key=lambda pair: (-pair[1], pair[0])))


def _problem_steps(workspace: source.Workspace, rows: pl.DataFrame | None) -> list[Step]:
    problems = workspace.table("problems")
    if problems is None:
        return []
    ids = problems.select("problem_id").collect()
    steps = [Step("problems", "problems", ids.height)]
    overlaps = workspace.table("overlaps")
    if overlaps is not None:
        first = overlaps.group_by("problem_id").agg(pl.col("benchmark").min()).collect()
        lost = first.join(ids, on="problem_id", how="semi")
        ids = ids.join(first, on="problem_id", how="anti")
        reasons = _counted("in " + lost["benchmark"])
        steps.append(Step("in no benchmark", "problems", ids.height, lost.height, reasons))
    if rows is not None and not rows.is_empty():
        sampled = ids.join(rows, on="problem_id", how="semi")
        lost_here = ids.height - sampled.height
        reasons = (("not sampled", lost_here),) if lost_here else ()
        steps.append(Step("sampled", "problems", sampled.height, lost_here, reasons))
        if rows["status"].is_not_null().any():
            solved = sampled.join(
                rows.filter(pl.col("status") == "correct"), on="problem_id", how="semi"
            )
            lost_here = sampled.height - solved.height
            reasons = (("no sample correct", lost_here),) if lost_here else ()
            steps.append(
                Step("solved at least once", "problems", solved.height, lost_here, reasons)
            )
    return steps


def _trace_steps(
    workspace: source.Workspace, rows: pl.DataFrame
) -> tuple[pl.DataFrame, list[Step]]:
    """Return the traces that pass every step, and the steps."""
    steps = [Step("traces", "traces", rows.height)]

    def keep(name: str, alive: pl.DataFrame, good: pl.Expr, why: pl.Expr) -> pl.DataFrame:
        good = good.fill_null(False)
        lost = alive.filter(~good).with_columns(why.alias("why"))["why"]
        rest = alive.filter(good)
        if not (name == "passed finished" and lost.is_empty()):
            steps.append(Step(name, "traces", rest.height, len(lost), _counted(lost)))
        return rest

    finish = pl.col("finish_reason")
    why = finish.replace_strict({"length": "cut at max_tokens"}, default=finish)
    alive = keep("finished", rows, finish == "stop", why)
    if workspace.table("verdicts") is not None:
        status = pl.col("status")
        alive = keep("correct", alive, status == "correct", status.fill_null("not judged"))
    judgements = workspace.table("judgements")
    if judgements is not None:
        found = judgements.select(pl.col("rule").unique()).collect()["rule"].to_list()
        for rule in sorted(found, key=lambda r: (RULES.index(r) if r in RULES else 99, r)):
            judged = judgements.filter(pl.col("rule") == rule).select(
                "trace_id", "passed", pl.col("reason").fill_null("failed")
            )
            joined = alive.join(judged.collect(), on="trace_id", how="left")
            why = pl.col("reason").fill_null("not judged")
            alive = keep(f"passed {rule.replace('_', ' ')}", joined, pl.col("passed"), why).drop(
                "passed", "reason"
            )
    if workspace.table("clusters") is not None:
        alive = keep("unique", alive, pl.col("unique"), pl.lit("duplicate"))
    return alive, steps


def _corpus_steps(
    workspace: source.Workspace, alive: pl.DataFrame | None, corpora: dict[str, int]
) -> list[Step]:
    steps = []
    table = workspace.table("picks")
    picks = pl.DataFrame() if table is None else table.collect()
    names = [] if picks.is_empty() else sorted(picks["corpus"].unique().to_list())
    for name in names:
        here = picks.filter(pl.col("corpus") == name)
        by_trace = here["trace_id"].is_not_null().any()
        key = "trace_id" if by_trace else "problem_id"
        chosen = here.filter(pl.col("role").is_not_null())[key].n_unique()
        out = here.filter(pl.col("role").is_null())
        if by_trace and alive is not None:
            out = out.join(alive, on="trace_id", how="semi")
        unit = "traces" if by_trace else "problems"
        reasons = _counted(out["reason"])
        steps.append(Step(f"picked for {name}", unit, chosen, out.height, reasons))
    steps += [Step(f"corpus {name}", "rows", rows) for name, rows in corpora.items()]
    return steps
