"""Everything that a report says, as numbers: read from tables and receipts, drawn by nobody yet.

`report.json` is these facts; the page shows the same values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import polars as pl

from r1data.metrics import Interval
from r1data.report import funnel, samples, source, training
from r1data.report.alerts import Alert, find_alerts
from r1data.report.phase import Phase, measure

LICENCE_ROWS = 40


@dataclass(frozen=True)
class Number:
    """One of the numbers at the top."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """What `read_facts` found. Shares lie in [0, 1]."""

    title: str
    recipe: str | None
    commands: tuple[str, ...]
    created: str | None
    """Time of the newest receipt, so that the same tables give the same report."""
    verdict: str
    numbers: tuple[Number, ...]
    alerts: tuple[Alert, ...]
    models: tuple[training.Model, ...]
    differences: tuple[training.Difference, ...]
    curves: tuple[training.Curve, ...]
    phases: tuple[Phase, ...]
    samples: tuple[tuple[samples.Sample, ...], ...]
    """Traces to read, one tuple a phase."""
    sources: tuple[tuple[str, str, int], ...]
    """(source, licence, distinct problems), the largest first."""
    packages: dict[str, str]
    receipts: tuple[dict[str, Any], ...]


def read_facts(target: Path) -> Facts:
    """Return the facts of a workspace or of a run directory.

    Raises WorkspaceError if there is nothing to report on, SchemaError for a table that lacks
    columns and InputError for a file that cannot be read.
    """
    run = source.open_target(target)
    phases, shown = [], []
    for workspace in run.workspaces:
        rows = funnel.trace_facts(workspace)
        phases.append(measure(workspace, rows))
        shown.append(() if rows is None else samples.read(workspace, rows))
    receipts = [r for workspace in run.workspaces for r in source.receipts(workspace)]
    models, differences = training.models(run.workspaces)
    curves = tuple(c for workspace in run.workspaces for c in training.curves(workspace))
    sources = _sources(run.workspaces)
    alerts = find_alerts(run, phases, models, curves, sources)
    packages = {n: str(v) for r in receipts for n, v in (r.get("packages") or {}).items()}
    return Facts(
        title=run.title,
        recipe=run.recipe,
        commands=(run.command,) if run.command else _commands(receipts),
        created=max((str(r["created"]) for r in receipts if r.get("created")), default=None),
        verdict=_verdict(phases, models, alerts),
        numbers=_numbers(phases, models),
        alerts=alerts,
        models=models,
        differences=differences,
        curves=curves,
        phases=tuple(phases),
        samples=tuple(shown),
        sources=sources,
        packages=dict(sorted(packages.items())),
        receipts=tuple(receipts),
    )


def to_json(facts: Facts) -> dict[str, Any]:
    """Return the facts as JSON-like values; of the traces to read, their ids and faults."""
    out = {f.name: _plain(getattr(facts, f.name)) for f in fields(facts) if f.name != "samples"}
    out["samples"] = [
        [
            {key: getattr(s, key) for key in ("trace_id", "stratum", "status", "faults")}
            for s in phase
        ]
        for phase in facts.samples
    ]
    return {"schema_version": 1, **out}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return value._asdict()
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def best_model(models: Sequence[training.Model]) -> training.Model | None:
    """Return the model with the highest share of good answers, else the highest pass@1."""
    for metric in ("good", "pass@1"):
        measured = [m for m in models if metric in m.metrics]
        if measured:
            return max(measured, key=lambda m: m.metrics[metric].value)
    return None


def percent(share: float | None) -> str:
    """Return a share as text, such as 96.0%."""
    return "" if share is None else f"{100 * share:.1f}%"


def ratio(part: int, whole: int) -> float | None:
    """Return part / whole, or None for an empty whole."""
    return part / whole if whole else None


def _commands(receipts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = dict.fromkeys(str(r["command"]) for r in receipts if r.get("command"))
    return tuple(found)[:20]


def _verdict(
    phases: Sequence[Phase], models: Sequence[training.Model], alerts: Sequence[Alert]
) -> str:
    parts = []
    best = best_model(models)
    if best is not None and "pass@1" in best.metrics:
        text = f"{best.label} solves {percent(best.metrics['pass@1'].value)} of"
        text += f" {best.problems:,} held-out problems" if best.problems else " held-out problems"
        text += " in one try"
        first = models[0]
        if first is not best and "pass@1" in first.metrics:
            text += f" ({first.label}: {percent(first.metrics['pass@1'].value)})"
        if "language_consistency" in best.metrics:
            share = percent(best.metrics["language_consistency"].value)
            text += f" with {share} of its reasoning in the prompt's language"
        parts.append(text)
    traces, kept = sum(p.traces for p in phases), sum(p.kept for p in phases)
    correct, judged = sum(p.correct for p in phases), sum(p.judged for p in phases)
    if traces and kept:
        parts.append(f"{kept:,} of {traces:,} traces kept")
    elif judged:
        parts.append(f"{correct:,} of {judged:,} judged traces are correct")
    elif traces:
        parts.append(f"{traces:,} traces, not judged yet")
    elif not parts:
        parts.append(f"{sum(p.problems for p in phases):,} problems, no traces yet")
    count = sum(alert.severity != "note" for alert in alerts)
    parts.append({0: "no alerts", 1: "one alert"}.get(count, f"{count} alerts"))
    return "; ".join(parts) + "."


def _numbers(phases: Sequence[Phase], models: Sequence[training.Model]) -> tuple[Number, ...]:
    total = {
        name: sum(getattr(p, name) for p in phases)
        for name in ("problems", "traces", "judged", "correct", "kept")
    }
    several = f"over {len(phases)} phases" if len(phases) > 1 else ""
    out = []
    if total["problems"]:
        out.append(Number("problems", f"{total['problems']:,}", several))
    if total["traces"]:
        out.append(Number("traces", f"{total['traces']:,}", several))
    if total["judged"]:
        share = percent(total["correct"] / total["judged"])
        out.append(Number("correct", share, f"{total['correct']:,} traces"))
    if total["traces"] and (total["kept"] or any(p.corpora for p in phases)):
        share = percent(total["kept"] / total["traces"])
        out.append(Number("kept", share, f"{total['kept']:,} traces in a corpus"))
    best = best_model(models)
    if best is not None and "pass@1" in best.metrics:
        interval = best.metrics["pass@1"]
        note = f"{best.label}, {percent(interval.low)} to {percent(interval.high)}"
        out.append(Number("best pass@1", percent(interval.value), note))
    lengths = [p.median_tokens for p in phases if p.median_tokens is not None]
    if len(lengths) == 1:
        out.append(Number("median length", f"{lengths[0]:,.0f}", "tokens a trace"))
    costs = [m.cpu_seconds for m in models if m.cpu_seconds is not None]
    if costs:
        out.append(Number("dearest model", f"{max(costs):,.0f} s", "CPU time of its training"))
    return tuple(out[:5])


def _sources(workspaces: Sequence[source.Workspace]) -> tuple[tuple[str, str, int], ...]:
    tables = [t for t in (w.table("problems") for w in workspaces) if t is not None]
    if not tables:
        return ()
    columns = ("problem_id", "source", "licence")
    counts = (
        pl.concat([table.select(columns) for table in tables])
        .unique("problem_id")
        .group_by("source", pl.col("licence").fill_null("unknown"))
        .len()
        .sort(["len", "source", "licence"], descending=[True, False, False])
        .collect()
        .rows()
    )
    rest = sum(count for *_, count in counts[LICENCE_ROWS:])
    more = [(f"{len(counts) - LICENCE_ROWS} more", "various", rest)] if rest else []
    return (*counts[:LICENCE_ROWS], *more)
