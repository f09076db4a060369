"""The figures: altair charts turned into inline SVG that follows the page's light or dark text.

Every mark has a mid-tone colour of at least 3:1 contrast with both grounds; text and grid take the
page's own colour. No figure is told apart by colour alone: lines and points have shapes as well.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair
import vl_convert

from r1data.metrics import Interval
from r1data.report.funnel import Step
from r1data.report.phase import Group, Mixing
from r1data.report.training import Curve, Model

BLUE, ORANGE, GREEN, ROSE, GREY = "#3f7fc1", "#c8711f", "#2f9470", "#c2557f", "#858b94"
COLOURS = (BLUE, ORANGE, GREEN, ROSE, GREY)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
# Colours that stand for the page's own text and lines; `_inline` swaps them.
_TEXT, _LINE = "#010203", "#040506"
_WIDTH, _PANEL = 340, 222

_CONFIG = {
    "background": "transparent",
    # Only measures labels here: the page chooses the font, and may choose a wider one.
    "font": "sans-serif",
    "padding": {"left": 10, "right": 8, "top": 4, "bottom": 4},
    "view": {"stroke": None},
    "axis": {
        "labelColor": _TEXT,
        "titleColor": _TEXT,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": _LINE,
        "gridOpacity": 0.16,
        "domainColor": _LINE,
        "domainOpacity": 0.5,
        "tickColor": _LINE,
        "tickOpacity": 0.5,
        "labelLimit": 220,
    },
    "legend": {
        "labelColor": _TEXT,
        "titleColor": _TEXT,
        "labelFontSize": 12,
        "orient": "top",
        "title": None,
        "symbolStrokeWidth": 2,
        "columns": 3,
        "columnPadding": 22,
        "labelLimit": 240,
    },
    "header": {"labelColor": _TEXT, "labelFontSize": 12, "titleColor": _TEXT},
}

# The reader's font may be wider than the one that labels are measured with.
_PADDING = {"left": 24, "top": 5, "right": 10, "bottom": 5}

_IDS = re.compile(r'\b(id="|url\(#|href="#)([\w-]+)')
_NOISE = re.compile(r' (?:aria-[\w-]+|role|pointer-events|xmlns(?::\w+)?)="[^"]*"')


def _inline(chart: Any, label: str, key: str) -> str:
    """Return a chart as the text of one svg element; key keeps its ids apart from other charts'.

    label is read out in place of the picture.
    """
    # Checking every chart against Vega-Lite's JSON Schema would take as long as drawing it.
    specification = chart.to_dict(validate=False) | {"config": _CONFIG, "padding": _PADDING}
    drawn = vl_convert.vegalite_to_svg(specification)
    drawn = _NOISE.sub("", drawn)
    drawn = _IDS.sub(lambda found: f"{found[1]}{key}-{found[2]}", drawn)
    for colour in (_TEXT, _LINE):
        drawn = drawn.replace(f'"{colour}"', '"currentColor"')
    drawn = re.sub(r' font-family="[^"]*"', "", drawn)
    drawn = re.sub(r"(\d+\.\d{2})\d+", r"\1", drawn)
    head, _, body = drawn.partition(">")
    size = re.search(r' width="([\d.]+)" height="([\d.]+)"', head)
    width, height = (float(size[1]), float(size[2])) if size else (600.0, 300.0)
    title = label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f'<svg role="img" aria-labelledby="{key}-t" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}"><title id="{key}-t">{title}</title>{body}'
    )


def _values(rows: Sequence[Mapping[str, Any]]) -> Any:
    return altair.Data(values=[dict(row) for row in rows])


def _axis(title: str | None, **options: Any) -> Any:
    return altair.Axis(title=title, **options)


def _series(names: Sequence[str], columns: int = 3) -> tuple[Any, Any]:
    """Return colour and shape encodings of named series, in this order."""
    count = len(names)
    colour = altair.Scale(domain=list(names), range=list(COLOURS[:count]))
    shape = altair.Scale(domain=list(names), range=list(SHAPES[:count]))
    return (
        altair.Color("series:N", scale=colour, sort=None, legend=altair.Legend(columns=columns)),
        altair.Shape("series:N", scale=shape, sort=None),
    )


def stages(models: Sequence[Model], key: str) -> str:
    """Draw pass@1 and language consistency of each model with their intervals."""
    names = {"pass@1": "pass@1", "language_consistency": "language consistency"}
    rows = []
    for place, model in enumerate(models):
        for metric, name in names.items():
            if metric in model.metrics:
                rows.append(
                    _interval_row(f"{place + 1}  {model.label}", model.metrics[metric], name)
                )
    return _inline(
        _dots(rows, list(names.values()), "share of answers or of reasoning words", 34, 400),
        "pass@1 and language consistency by stage, with 95% intervals; the values are in the table",
        key,
    )


def pass_rates(groups: Sequence[Group], key: str) -> str:
    """Draw the pass rate of each language, domain and source with its interval."""
    rows = [
        _interval_row(f"{g.value}  (n {g.problems:,})", g.interval, g.dimension) for g in groups
    ]
    dimensions = list(dict.fromkeys(g.dimension for g in groups))
    chart = _dots(rows, dimensions, "pass rate of one sample", 26, _WIDTH)
    return _inline(chart, "pass rate by language, domain and source, with 95% intervals", key)


def _interval_row(place: str, interval: Interval, series: str) -> dict[str, Any]:
    ends = {"low": interval.low, "high": interval.high}
    return {"place": place, "value": interval.value, "series": series, **ends}


def _dots(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], title: str, step: int, width: int
) -> Any:
    places = list(dict.fromkeys(row["place"] for row in rows))
    colour, shape = _series(names)
    scale = altair.Scale(domain=[0, 1])
    y = altair.Y("place:N", sort=places, axis=_axis(None, grid=True, ticks=False, domain=False))
    offset = altair.YOffset("series:N", sort=list(names))
    base = altair.Chart(_values(rows)).encode(y=y, color=colour)
    if len(places) < len(rows):
        base = base.encode(yOffset=offset)
    x = altair.X("low:Q", scale=scale, axis=_axis(title, format="%", tickCount=5))
    bars = base.mark_rule(strokeWidth=2, opacity=1).encode(x=x, x2="high:Q")
    points = base.mark_point(filled=True, size=64, opacity=1).encode(x="value:Q", shape=shape)
    return (bars + points).properties(width=width, height=altair.Step(step, **{"for": "position"}))


def funnel(steps: Sequence[Step], key: str) -> str:
    """Draw the rows left after each step, problems and traces and rows each on their own axis."""
    units = [
        (unit, [s for s in steps if s.unit == unit]) for unit in ("problems", "traces", "rows")
    ]
    colours = {"problems": ORANGE, "traces": BLUE, "rows": GREEN}
    # One scale for traces and corpus rows, so that the last bars can be compared with the first.
    most = {"problems": max((s.rows for u, g in units if u == "problems" for s in g), default=1)}
    most["traces"] = max((s.rows for u, g in units if u != "problems" for s in g), default=1)
    most["rows"] = most["traces"]
    panels = []
    for unit, group in units:
        if not group:
            continue
        first = group[0].rows if unit != "rows" else most["traces"]
        rows = [
            {"place": step.name, "rows": step.rows, "text": _bar_text(step, first)}
            for step in group
        ]
        places = [row["place"] for row in rows]
        scale = altair.Scale(domain=[0, max(1, most[unit]) * 1.35])
        base = altair.Chart(_values(rows)).encode(
            y=altair.Y("place:N", sort=places, axis=_axis(None, ticks=False)),
            x=altair.X("rows:Q", scale=scale, axis=None),
        )
        bars = base.mark_bar(color=colours[unit], height=15)
        text = base.mark_text(align="left", dx=5, color=_TEXT, fontSize=12).encode(text="text:N")
        panels.append((bars + text).properties(width=330, height=altair.Step(24)))
    chart = altair.vconcat(*panels, spacing=14) if len(panels) > 1 else panels[0]
    return _inline(chart, "rows left after each step of the funnel; the table says why", key)


def _bar_text(step: Step, first: int) -> str:
    share = f" · {100 * step.rows / first:.0f}%" if first and step.rows != first else ""
    return f"{step.rows:,}{share}"


def histogram(bins: Sequence[tuple[str, int]], title: str, counted: str, key: str) -> str:
    """Draw counts over named bins, in order."""
    rows = [{"bin": name, "count": count} for name, count in bins]
    angle = -40 if any(len(name) > 5 for name, _ in bins) else 0
    x = altair.X("bin:N", sort=[name for name, _ in bins], axis=_axis(title, labelAngle=angle))
    y = altair.Y("count:Q", axis=_axis(counted, tickCount=4, tickMinStep=1))
    chart = altair.Chart(_values(rows)).mark_bar(color=BLUE).encode(x=x, y=y)
    return _inline(chart.properties(width=_WIDTH, height=170), f"{counted} by {title}", key)


def lengths(edges: Sequence[int], counts: Mapping[str, Sequence[int]], key: str) -> str:
    """Draw one histogram of completion lengths a verdict, all on one axis of tokens."""
    colours = {"correct": GREEN, "wrong": ROSE, "no answer": ORANGE, "other": GREY}
    panels = []
    for place, (status, values) in enumerate(counts.items()):
        rows = [
            {"start": left, "end": right, "count": count}
            for left, right, count in zip(edges, edges[1:], values, strict=False)
        ]
        last = place == len(counts) - 1
        title = "tokens of the completion (the last bin holds all longer ones)"
        axis = _axis(title if last else None, labels=last, tickCount=6)
        scale = altair.Scale(domain=[edges[0], edges[-1]], nice=False)
        x = altair.X("start:Q", bin="binned", scale=scale, axis=axis)
        y = altair.Y("count:Q", axis=_axis("traces", tickCount=2))
        heading = altair.TitleParams(
            f"{status} (n {sum(values):,})", anchor="start", color=_TEXT, fontSize=12, offset=2
        )
        bars = altair.Chart(_values(rows)).mark_bar(color=colours.get(status, GREY), binSpacing=1)
        bars = bars.encode(x=x, x2="end:Q", y=y)
        panels.append(bars.properties(width=_WIDTH, height=54, title=heading))
    chart = altair.vconcat(*panels, spacing=8)
    return _inline(chart, "completion lengths by verdict", key)


def mixing(table: Sequence[Mixing], key: str) -> str:
    """Draw the share of traces that mix languages, all of them beside those that were kept."""
    names = ("all traces", "after filtering")
    rows = []
    for row in table:
        rows.append({"language": row.language, "series": names[0], "mixed": row.mixed})
        if row.kept_mixed is not None:
            rows.append({"language": row.language, "series": names[1], "mixed": row.kept_mixed})
    colour, _ = _series(names)
    base = altair.Chart(_values(rows)).encode(
        x=altair.X("mixed:Q", axis=_axis("share that mixes languages", format="%", tickCount=4)),
        y=altair.Y("language:N", axis=_axis("prompt language", titlePadding=14, ticks=False)),
        yOffset=altair.YOffset("series:N", sort=list(names)),
    )
    bars = base.mark_bar().encode(color=colour)
    text = base.mark_text(align="left", dx=4, color=_TEXT, fontSize=11)
    text = text.encode(text=altair.Text("mixed:Q", format=".1%"))
    chart = (bars + text).properties(width=_WIDTH - 30, height=altair.Step(20))
    return _inline(chart, "share of traces that mix languages, before and after filtering", key)


def matrix(
    cells: Sequence[tuple[str, str, int]], totals: Mapping[str, int], title: str, key: str
) -> str:
    """Draw the share of the traces of each prompt language (rows) that fall in each column."""
    rows = [
        {"prompt": prompt, "trace": trace, "share": count / max(1, totals.get(prompt, 0))}
        for prompt, trace, count in cells
    ]
    base = altair.Chart(_values(rows)).encode(
        x=altair.X("trace:N", axis=_axis(title, labelAngle=0, orient="bottom")),
        y=altair.Y("prompt:N", axis=_axis("prompt language")),
    )
    opacity = altair.Opacity(
        "share:Q", scale=altair.Scale(domain=[0, 1], range=[0.08, 0.75]), legend=None
    )
    boxes = base.mark_rect(color=BLUE, cornerRadius=3).encode(opacity=opacity)
    text = base.mark_text(color=_TEXT, fontSize=12).encode(
        text=altair.Text("share:Q", format=".1%")
    )
    size = {"width": altair.Step(62), "height": altair.Step(34)}
    return _inline((boxes + text).properties(**size), f"prompt language by {title}", key)


CURVE_PANELS = (
    ("shares", "share", ("accuracy", "format", "language_consistency", "mixed", "truncated")),
    ("reward", "mean reward", ("reward",)),
    ("length", "tokens of a completion", ("completion_tokens",)),
    ("loss", "loss (nats a token)", ("loss",)),
)


def learning(curve: Curve, key: str) -> list[tuple[str, str]]:
    """Draw the panels of a run: (name, svg) of shares, reward and length, or of an SFT's loss."""
    out = []
    for name, title, quantities in CURVE_PANELS:
        found = [q for q in quantities if q in curve.series]
        # The loss of GRPO is near zero by construction and says nothing about progress.
        if not found or (name == "loss" and curve.kind == "grpo"):
            continue
        rows = [
            {"step": step, "value": value, "series": quantity.replace("_", " ")}
            for quantity in found
            for step, value in zip(curve.steps, curve.series[quantity], strict=True)
            if value is not None
        ]
        label = f"{name} of {curve.model} over training steps"
        out.append((name, _inline(_lines(rows, title, found), label, f"{key}-{name}")))
    return out


def _lines(rows: Sequence[Mapping[str, Any]], title: str, quantities: Sequence[str]) -> Any:
    names = [quantity.replace("_", " ") for quantity in quantities]
    colour, _ = _series(names, columns=2)
    share = title == "share"
    scale = altair.Scale(domain=[0, 1]) if share else altair.Scale(zero=False)
    axis = _axis(title, tickCount=4, **({"format": "%"} if share else {}))
    base = altair.Chart(_values(rows)).encode(
        x=altair.X(
            "step:Q", axis=_axis("step", tickCount=6, tickMinStep=1), scale=altair.Scale(nice=False)
        ),
        y=altair.Y("value:Q", axis=axis, scale=scale),
    )
    if len(names) == 1:
        line = base.mark_line(color=BLUE, strokeWidth=2)
        return line.properties(width=_PANEL, height=170)
    dashes = altair.StrokeDash(
        "series:N",
        scale=altair.Scale(
            domain=names, range=[[1, 0], [6, 2], [2, 2], [8, 3, 2, 3], [4, 4]][: len(names)]
        ),
        sort=None,
    )
    line = base.mark_line(strokeWidth=2).encode(color=colour, strokeDash=dashes)
    return line.properties(width=_PANEL, height=170)
