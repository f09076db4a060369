"""What a reader should look at first: one line each, with the section that shows it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from r1data.report import source
from r1data.report.phase import Phase
from r1data.report.training import Curve, Model

TRUNCATED = 0.10
BAD_GOLD = 0.01
VERIFIER_TROUBLE = 0.01
MIXED_KEPT = 0.01
MIXED_MODEL = 0.10
FLAT_PROBLEMS = 0.80
FLAT_GROUPS = 0.50
FALL = 0.10


@dataclass(frozen=True)
class Alert:
    """One line. stop: do not go on; warn: read before you go on; note: good to know."""

    severity: Literal["stop", "warn", "note"]
    text: str
    anchor: str


def find_alerts(
    run: source.Run,
    phases: Sequence[Phase],
    models: Sequence[Model],
    curves: Sequence[Curve],
    sources: Sequence[tuple[str, str, int]],
) -> tuple[Alert, ...]:
    """Return every alert, the most severe first."""
    found = [*_failures(run)]
    for position, (workspace, phase) in enumerate(zip(run.workspaces, phases, strict=True)):
        prefix = f"{phase.title}: " if len(phases) > 1 else ""
        found += [
            Alert(alert.severity, prefix + alert.text, alert.anchor)
            for alert in _phase_alerts(workspace, phase, f"phase-{position}")
        ]
    found += _model_alerts(models)
    for curve in curves:
        found += _curve_alerts(curve)
    unknown = sum(count for _, licence, count in sources if licence == "unknown")
    if unknown:
        found.append(Alert("note", f"{_problems(unknown)} without a known licence", "sources"))
    rank = {"stop": 0, "warn": 1, "note": 2}
    return tuple(sorted(found, key=lambda alert: rank[alert.severity]))


def _failures(run: source.Run) -> Iterator[Alert]:
    """Yield the steps of the run that failed; a gate fails where a metric is out of bounds."""
    titles = {w.name: w.title for w in run.workspaces}
    for step in run.steps:
        if step.get("state") == "failed":
            what = "gate not met" if step.get("use") == "gate" else f"step {step.get('use')} failed"
            name = str(step.get("phase"))
            said = f": {step['message']}" if step.get("message") else ""
            yield Alert("stop", f"{titles.get(name, name)}: {what}{said}", "top")


def _problems(count: int) -> str:
    return "1 problem" if count == 1 else f"{count:,} problems"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}% ({part:,} of {whole:,})"


def _phase_alerts(workspace: source.Workspace, phase: Phase, anchor: str) -> Iterator[Alert]:
    for table in source.unfinished(workspace):
        text = f"table {table} has no receipt: it is still being made, or was cut short"
        yield Alert("warn", text, anchor)
    if phase.contaminated:
        text = f"{_problems(phase.contaminated)} found in a benchmark"
        yield Alert("note", text, anchor)
    if phase.problems and phase.bad_gold_problems > BAD_GOLD * phase.problems:
        share = _share(phase.bad_gold_problems, phase.problems)
        yield Alert("warn", f"gold answer cannot be read for {share} problems", anchor)
    if not phase.traces:
        return
    if phase.truncated > TRUNCATED * phase.traces:
        share = _share(phase.truncated, phase.traces)
        yield Alert("warn", f"cut at max_tokens: {share} traces; raise --max-tokens", anchor)
    if phase.judged and phase.verifier_trouble > VERIFIER_TROUBLE * phase.judged:
        share = _share(phase.verifier_trouble, phase.judged)
        yield Alert("warn", f"the verifier ran out of time or failed on {share} traces", anchor)
    if phase.judged and not phase.correct:
        yield Alert("stop", f"none of {phase.judged:,} judged traces is correct", anchor)
    flat = sum(count for name, count in phase.pass_bins if _is_flat(name))
    solvable = sum(count for _, count in phase.pass_bins)
    if solvable and flat > FLAT_PROBLEMS * solvable:
        text = f"all samples right or all wrong on {_share(flat, solvable)} problems"
        yield Alert("note", f"{text}: RL learns nothing from those", anchor)
    kept = sum(m.kept for m in phase.mixing)
    mixed = sum(round(m.kept * (m.kept_mixed or 0)) for m in phase.mixing)
    if phase.kept and kept and mixed > MIXED_KEPT * kept:
        yield Alert("warn", f"kept traces that mix languages: {_share(mixed, kept)}", anchor)


def _is_flat(name: str) -> bool:
    done, _, samples = name.partition("/")
    return name in ("0", "1") or (bool(samples) and done in ("0", samples))


def _model_alerts(models: Sequence[Model]) -> Iterator[Alert]:
    if not models or "mixed" not in models[-1].metrics:
        return
    last = models[-1]
    mixed = last.metrics["mixed"].value
    if mixed > MIXED_MODEL:
        text = f"{last.label} mixes languages in {100 * mixed:.1f}% of its answers"
        yield Alert("warn", text, "models")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _curve_alerts(curve: Curve) -> Iterator[Alert]:
    if curve.kind != "grpo":
        return
    where, tail = f"{curve.phase}/{curve.model}", 5
    for quantity in ("accuracy", "language_consistency"):
        values = [v for v in curve.series.get(quantity, ()) if v is not None]
        if len(values) <= tail:
            continue
        windows = [sum(values[i : i + tail]) / tail for i in range(len(values) - tail + 1)]
        if max(windows) - windows[-1] > FALL:
            name = quantity.replace("_", " ")
            text = f"{where}: {name} fell from {max(windows):.2f} to {windows[-1]:.2f}"
            yield Alert("warn", text, "curves")
    limits = {"truncated": (TRUNCATED, "cut at max_tokens")}
    limits["zero_variance_groups"] = (FLAT_GROUPS, "groups without any variance")
    for quantity, (limit, name) in limits.items():
        mean = _mean(curve.series.get(quantity, ())[-tail:])
        # A trainer that counts groups instead of giving their share says nothing here.
        if mean is not None and limit < mean <= 1:
            text = f"{where}: {100 * mean:.0f}% {name} in the last {tail} steps"
            yield Alert("warn" if quantity == "truncated" else "note", text, "curves")
