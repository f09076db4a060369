"""The page: facts laid out as figures and tables, filled into one self-contained HTML file."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from r1data.metrics import Interval
from r1data.report import facts as facts_module
from r1data.report import plots
from r1data.report.facts import Facts, percent, ratio
from r1data.report.phase import Phase
from r1data.report.samples import LETTERS, Sample
from r1data.report.training import Curve, Difference, Model

# Controls, soft hyphen, zero-width and bidirectional marks, tags: what a reader would not see.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_NUMBER = re.compile(r"[-+−]?\d|\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*\Z")

FOLD = 700
"""Traces of more characters than this start folded."""
CURVE_ROWS = 12
CONFIG_CHARACTERS = 1600

METRIC_COLUMNS = (
    ("pass@1", "pass@1", "high"),
    ("pass@k", "pass@{k}", "high"),
    ("cons@k", "cons@{k}", "high"),
    ("language_consistency", "language consistency", "high"),
    ("mixed", "mixed", "low"),
    ("format", "format", "high"),
    ("readable", "readable", "high"),
    ("good", "good", "high"),
    ("completion_tokens", "length", ""),
)
"""Metric, heading, and which end is the best."""


@dataclass(frozen=True)
class Table:
    """Headings and rows of text; a cell of the first column heads its row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A picture, or several side by side, and the table that says the same."""

    title: str
    pictures: tuple[Markup, ...]
    table: Table
    note: str = ""
    open: bool = False
    """Whether the table stands open below the picture."""


@dataclass(frozen=True)
class Cell:
    """A number of the table of models."""

    text: str
    interval: str
    best: bool


def write_report(target: Path, out: Path | None = None) -> Path:
    """Write the HTML file and report.json; see `r1data.report.build_report`."""
    path = out or target / "report.html"
    facts = facts_module.read_facts(target)
    numbers = facts_module.to_json(facts)
    data = json.dumps(numbers, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(data.encode()).hexdigest()[:16]
    html = render(facts, digest, path.with_suffix(".json").name)
    path.parent.mkdir(parents=True, exist_ok=True)
    for file, text in ((path.with_suffix(".json"), data + "\n"), (path, html)):
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(file)
    return path


def render(facts: Facts, digest: str, json_name: str) -> str:
    """Return the page. Every text of the facts is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"visible": visible, "marked": marked, "lang": language_code}
    environment.tests["text"] = lambda cell: not _NUMBER.match(cell)
    environment.globals |= {"percent": percent, "ratio": ratio}
    sections = [
        {
            "anchor": f"phase-{place}",
            "phase": phase,
            "figures": phase_figures(phase, f"p{place}"),
            "samples": samples,
        }
        for place, (phase, samples) in enumerate(zip(facts.phases, facts.samples, strict=True))
        if phase.funnel
    ]
    html: str = environment.get_template("report.html.jinja").render(
        facts=facts,
        headings=model_headings(facts.models),
        model_rows=model_rows(facts.models),
        stage_figure=Markup(plots.stages(facts.models, "stages")) if facts.models else None,
        differences=difference_table(facts.differences),
        curves=[curve_figure(curve, f"c{place}") for place, curve in enumerate(facts.curves)],
        sections=sections,
        legend=sorted((letter, rule.replace("_", " ")) for rule, letter in LETTERS.items()),
        receipts=receipt_table(facts),
        configs=[(f"{r['phase']}/{r['table']}", _config(r)) for r in facts.receipts],
        fold=FOLD,
        digest=digest,
        json_name=json_name,
    )
    return html


def visible(text: object, limit: int | None = None) -> Markup:
    """Return text escaped, with invisible characters named and the rest cut off at limit."""
    plain = str(text)
    if limit is not None and len(plain) > limit:
        plain = plain[:limit] + "…"
    parts, end = [], 0
    for found in _HIDDEN.finditer(plain):
        name = f"U+{ord(found.group()):04X}"
        parts += [escape(plain[end : found.start()])]
        parts += [Markup('<span class="control">{}</span>').format(name)]
        end = found.end()
    return Markup("").join([*parts, escape(plain[end:])])


def language_code(code: str | None) -> str:
    """Return a code that is fit for a lang attribute; empty (unknown) for anything else."""
    return code if code and _LANGUAGE.match(code) else ""


def marked(sample: Sample) -> Markup:
    """Return a trace's text with reasoning set apart and offending spans marked by letters."""
    out = []
    for piece in sample.pieces:
        if piece.part == "gap":
            text = f"… {int(piece.text):,} characters left out …"
            out.append(Markup('<span class="gap">{}</span>').format(text))
            continue
        body = visible(piece.text)
        if piece.letters:
            opening = Markup('<mark class="rule-{}" data-letters="{}" lang="{}" title="{}">')
            language = language_code(piece.language or sample.language)
            reason = (piece.reason or "").replace("_", " ")
            body = opening.format(piece.letters[0], piece.letters, language, reason) + body
            body += Markup("</mark>")
        out.append(Markup('<span class="{}">').format(piece.part) + body + Markup("</span>"))
    return Markup("").join(out)


def model_headings(models: Sequence[Model]) -> tuple[str, ...]:
    """Return the headings of the metric columns, with k where all models share one."""
    counts = {model.samples for model in models}
    k = str(counts.pop()) if len(counts) == 1 and None not in counts else "k"
    return tuple(heading.format(k=k) for _, heading, _ in METRIC_COLUMNS)


def model_rows(models: Sequence[Model]) -> list[tuple[Model, list[Cell | None]]]:
    """Return each model with its cells; the best value of a column is the best as displayed."""
    best = {}
    for metric, _, end in METRIC_COLUMNS:
        values = [_shown(metric, m.metrics[metric].value) for m in models if metric in m.metrics]
        if end and len(values) > 1:
            best[metric] = max(values) if end == "high" else min(values)
    rows = []
    for model in models:
        cells: list[Cell | None] = []
        for metric, _, _ in METRIC_COLUMNS:
            interval = model.metrics.get(metric)
            if interval is None:
                cells.append(None)
                continue
            value, low, high = (
                _shown(metric, v) for v in (interval.value, interval.low, interval.high)
            )
            unit = "" if metric == "completion_tokens" else "%"
            cells.append(
                Cell(f"{value:.1f}{unit}", f"{low:.1f}–{high:.1f}", best.get(metric) == value)
            )
        rows.append((model, cells))
    return rows


def _shown(metric: str, value: float) -> float:
    return round(value if metric == "completion_tokens" else 100 * value, 1)


def difference_table(differences: Sequence[Difference]) -> Table | None:
    """Return each stage against the one before, in points, with its paired interval."""
    if not differences:
        return None
    names = ("pass@1", "language_consistency", "good")
    rows = []
    for d in differences:
        cells = [_points(d.metrics.get(name)) for name in names]
        rows.append((f"{d.label} against {d.against}", f"{d.problems:,}", *cells))
    headings = ("stage", "problems", "pass@1", "language consistency", "good")
    return Table(headings, tuple(rows))


def _points(interval: Interval | None) -> str:
    if interval is None:
        return ""
    value, low, high = (100 * v for v in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def phase_figures(phase: Phase, key: str) -> list[Figure]:
    """Return the figures of a workspace; what was not measured has none."""
    steps = tuple(
        (s.name, s.unit, f"{s.rows:,}", f"{s.lost:,}" if s.lost else "", _reasons(s.reasons))
        for s in phase.funnel
    )
    out = [
        Figure(
            "Funnel",
            (Markup(plots.funnel(phase.funnel, f"{key}-funnel")),),
            Table(("step", "unit", "left", "lost here", "why"), steps),
            "A trace that fails several steps is counted at the first of them.",
            open=True,
        )
    ]
    if phase.pass_bins:
        out.append(_pass_figure(phase, key))
    if phase.lengths:
        edges = phase.length_edges
        spans = [f"{a}–{b - 1}" for a, b in pairwise(edges[:-1])]
        spans.append(f"{edges[-2]} and more")
        columns = [[f"{n:,}" for n in values] for values in phase.lengths.values()]
        out.append(
            Figure(
                "Length by verdict",
                (Markup(plots.lengths(edges, phase.lengths, f"{key}-length")),),
                Table(("tokens", *phase.lengths), tuple(zip(spans, *columns, strict=True))),
            )
        )
    return out + _language_figures(phase, key)


def _reasons(reasons: Sequence[tuple[str, int]]) -> str:
    shown = [f"{reason.replace('_', ' ')} {count:,}" for reason, count in reasons[:6]]
    return ", ".join(shown + (["…"] if len(reasons) > 6 else []))


def _pass_figure(phase: Phase, key: str) -> Figure:
    title = "samples correct" if "/" in phase.pass_bins[0][0] else "share of samples correct"
    pictures = [plots.histogram(phase.pass_bins, title, "problems", f"{key}-pass")]
    rows = [("problems with " + name, f"{count:,}", "") for name, count in phase.pass_bins]
    if phase.pass_rates:
        pictures.append(plots.pass_rates(phase.pass_rates, f"{key}-rates"))
    for group in phase.pass_rates:
        at = group.interval
        text = f"{percent(at.value)} ({percent(at.low)} to {percent(at.high)})"
        rows.append((f"{group.dimension} {group.value}", f"{group.problems:,}", text))
    table = Table(("group", "problems", "pass rate"), tuple(rows))
    return Figure("Pass rate", tuple(Markup(picture) for picture in pictures), table)


def _language_figures(phase: Phase, key: str) -> list[Figure]:
    out = []
    if phase.mixing:
        rows = tuple(
            (
                m.language,
                f"{m.traces:,}",
                percent(m.mixed),
                percent(m.consistency),
                f"{m.kept:,}",
                percent(m.kept_mixed),
                percent(m.kept_consistency),
            )
            for m in phase.mixing
        )
        measured = ("mixed", "consistency")
        headings = ("prompt", "traces", *measured, "after filtering", *measured)
        picture = Markup(plots.mixing(phase.mixing, f"{key}-mixing"))
        note = "After filtering: in a corpus, or past every rule where there is no corpus yet."
        out.append(Figure("Language mixing", (picture,), Table(headings, rows), note))
    cells = ((phase.matrix, "mostly written in"), (phase.intruders, "language that intrudes"))
    pictures, rows_out = [], []
    totals: dict[str, int] = {}
    for prompt, _, count in phase.matrix:
        totals[prompt] = totals.get(prompt, 0) + count
    judged = {m.language: m.traces for m in phase.mixing}
    for place, ((found, title), whole) in enumerate(zip(cells, (totals, judged), strict=True)):
        if found:
            pictures.append(Markup(plots.matrix(found, whole, title, f"{key}-matrix{place}")))
        for prompt, trace, count in found:
            share = percent(ratio(count, whole.get(prompt, 0)))
            rows_out.append((prompt, title, trace, f"{count:,}", share))
    if pictures:
        table = Table(("prompt", "what", "language", "traces", "share"), tuple(rows_out))
        note = "By script: Latin letters count as en. A trace can hold several intruders."
        out.append(Figure("Prompt and trace languages", tuple(pictures), table, note))
    return out


def curve_figure(curve: Curve, key: str) -> Figure:
    """Return the panels of a training run and a table of a dozen of its steps."""
    pictures = tuple(Markup(svg) for _, svg in plots.learning(curve, key))
    count = len(curve.steps)
    chosen = sorted({round(i * (count - 1) / max(1, CURVE_ROWS - 1)) for i in range(CURVE_ROWS)})
    rows = tuple(
        (f"{curve.steps[i]:g}", *(_plain(values[i]) for values in curve.series.values()))
        for i in chosen
        if i < count
    )
    headings = ("step", *(name.replace("_", " ") for name in curve.series))
    kind = {"grpo": "GRPO", "sft": "SFT"}.get(curve.kind, curve.kind)
    note = "" if curve.cpu_seconds is None else f"{curve.cpu_seconds:,.0f} CPU seconds."
    return Figure(f"{curve.phase} · {curve.model} · {kind}", pictures, Table(headings, rows), note)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def receipt_table(facts: Facts) -> Table:
    """Return what made each table: stage, rows, time and fingerprint."""
    rows = []
    for r in facts.receipts:
        seconds = [r.get("seconds"), r.get("cpu_seconds")]
        times = ["" if s is None else f"{s:,.1f}" for s in seconds]
        counts = ["" if n is None else f"{n:,}" for n in (r.get("rows_in"), r.get("rows_out"))]
        stage = f"{r.get('stage', '')} {r.get('version', '')}".strip()
        place = f"{r['phase']}/{r['table']}"
        rows.append((place, stage, *counts, *times, str(r.get("fingerprint") or "")))
    headings = ("table", "stage", "rows in", "rows out", "seconds", "CPU seconds", "fingerprint")
    return Table(headings, tuple(rows))


def _config(receipt: dict[str, Any]) -> str:
    text = json.dumps(receipt.get("config") or {}, ensure_ascii=False, indent=1, sort_keys=True)
    return text if len(text) <= CONFIG_CHARACTERS else text[:CONFIG_CHARACTERS] + " …"
