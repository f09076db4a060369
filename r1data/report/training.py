"""Models and how they were trained: the table of evaluations and the learning curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from r1data import metrics
from r1data.metrics import Interval
from r1data.report import source

CURVE_POINTS = 120
"""Longer runs are averaged into this many bins of equal width."""

COMPARED = ("pass@1", "language_consistency", "good")
QUANTITIES = (
    "loss",
    "reward",
    "accuracy",
    "format",
    "language_consistency",
    "mixed",
    "truncated",
    "completion_tokens",
    "zero_variance_groups",
    "clip_fraction",
    "learning_rate",
    "grad_norm",
)


@dataclass(frozen=True)
class Model:
    """A row of the table of models."""

    label: str
    name: str
    phase: str
    model: str | None
    samples: int | None
    problems: int | None
    metrics: dict[str, Interval]
    cpu_seconds: float | None
    """CPU seconds of this model's own chain of training, if known."""


@dataclass(frozen=True)
class Difference:
    """A row of the table against the row above it, on the problems that both answered."""

    label: str
    against: str
    problems: int
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class Curve:
    """The steps of one training run; every series is as long as steps."""

    phase: str
    model: str
    kind: str
    steps: tuple[float, ...]
    series: dict[str, tuple[float | None, ...]]
    cpu_seconds: float | None


def models(
    workspaces: Sequence[source.Workspace],
) -> tuple[tuple[Model, ...], tuple[Difference, ...]]:
    """Return the evaluations of all workspaces by their order, and each one against the last."""
    found = []
    for position, workspace in enumerate(workspaces):
        for receipt, rows in source.evaluations(workspace):
            if not receipt.get("listed", True):
                continue
            order = receipt.get("order")
            place = position if order is None else order
            key = (place, position, receipt.get("created", ""), receipt["name"])
            found.append((key, _model(workspace, receipt, rows), rows))
    found.sort(key=lambda item: item[0])
    differences = []
    for (_, above, before), (_, below, after) in pairwise(found):
        if before is not None and after is not None:
            difference = _difference(below.label, above.label, after, before)
            if difference is not None:
                differences.append(difference)
    return tuple(model for _, model, _ in found), tuple(differences)


def _model(
    workspace: source.Workspace, receipt: dict[str, Any], rows: pl.DataFrame | None
) -> Model:
    summary = {}
    for name, value in (receipt.get("summary") or {}).items():
        if isinstance(value, dict) and value.get("value") is not None:
            low, high = value.get("low"), value.get("high")
            at = float(value["value"])
            summary[_metric(name)] = Interval(
                at, at if low is None else float(low), at if high is None else float(high)
            )
    known = rows is not None and not rows.is_empty()
    if rows is not None and known and not summary:
        summary = metrics.summarise(rows)
    samples = receipt.get("samples")
    if samples is None and rows is not None and known:
        samples = int(rows["samples"].to_list()[0])
    return Model(
        label=str(receipt.get("label") or receipt["name"]),
        name=receipt["name"],
        phase=workspace.name,
        model=receipt.get("model"),
        samples=samples,
        problems=rows.height if rows is not None else receipt.get("rows_out"),
        metrics={m: _rounded(summary[m]) for m in metrics.METRICS if m in summary},
        cpu_seconds=receipt.get("train_cpu_seconds"),
    )


def _metric(name: str) -> str:
    """Return the name that `metrics.METRICS` has for a summary's key, such as pass@16."""
    if name.startswith(("pass@", "cons@")) and name != "pass@1":
        return f"{name[:4]}@k"
    return "format" if name == "well_formed" else name


def _rounded(interval: Interval) -> Interval:
    return Interval(*(round(v, 6) for v in (interval.value, interval.low, interval.high)))


def _difference(
    label: str, against: str, after: pl.DataFrame, before: pl.DataFrame
) -> Difference | None:
    shared = after.select("problem_id").join(before, on="problem_id", how="semi")
    shared = shared.sort("problem_id")
    if shared.is_empty():
        return None
    a = metrics.per_problem(shared.join(after, on="problem_id", maintain_order="left"))
    b = metrics.per_problem(shared.join(before, on="problem_id", maintain_order="left"))
    out = {}
    for name in COMPARED:
        pairs = [(x, y) for x, y in zip(a[name], b[name], strict=True) if None not in (x, y)]
        known = [(x, y) for x, y in pairs if x is not None and y is not None]
        if known:
            first, second = zip(*known, strict=True)
            out[name] = _rounded(metrics.paired_difference(first, second))
    return Difference(label, against, shared.height, out)


def curves(workspace: source.Workspace) -> tuple[Curve, ...]:
    """Return the learning curve of each model of a workspace."""
    costs = {r["table"]: r.get("cpu_seconds") for r in source.receipts(workspace)}
    out = []
    for name, rows in source.training_metrics(workspace).items():
        steps = [float(row["step"]) for row in rows]
        series = {}
        for quantity in QUANTITIES:
            values = [_number(row.get(quantity)) for row in rows]
            if any(value is not None for value in values):
                series[quantity] = values
        steps, series = _binned(steps, series)
        kind = str(rows[-1].get("kind") or "sft")
        cost = costs.get(f"models/{name}")
        frozen = {key: tuple(values) for key, values in series.items()}
        out.append(Curve(workspace.name, name, kind, tuple(steps), frozen, cost))
    return tuple(out)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # NaN and infinities have no place in JSON or on an axis.
    return round(float(value), 6) if abs(value) < 1e300 else None


def _binned(
    steps: list[float], series: dict[str, list[float | None]]
) -> tuple[list[float], dict[str, list[float | None]]]:
    if len(steps) <= CURVE_POINTS:
        return steps, series
    width = -(-len(steps) // CURVE_POINTS)
    starts = range(0, len(steps), width)

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return round(sum(known) / len(known), 6) if known else None

    middles = [mean(steps[at : at + width]) or 0.0 for at in starts]
    return middles, {n: [mean(v[at : at + width]) for at in starts] for n, v in series.items()}
