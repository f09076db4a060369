"""The facts that the card of a published corpus states, from its rows and receipts.

A fact that is unknown is left out. Receipts come as plain dictionaries from which paths
of this machine are gone already, keyed by table or slice (``picks/NAME``).
"""

import json
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from r1data.backends import hub
from r1data.core.frames import pass_rates as problem_rates
from r1data.core.prompts import FEW_SHOT, R1_ZERO
from r1data.core.records import PreferenceRow, Record, RlRow, SftRow
from r1data.core.tables import Workspace

Receipts = Mapping[str, Mapping[str, Any]]
Rows = list[tuple[Any, ...]]

ORDER = ("problems", "overlaps", "clusters", "traces", "verdicts", "judgements", "reviews", "picks")
SAMPLING = (
    ("model", "model"),
    ("revision", "revision"),
    ("weights", "fingerprint of the weights"),
    ("engine", "engine"),
    ("template", "prompt template"),
    ("n", "samples per problem (n)"),
    ("temperature", "temperature"),
    ("top_p", "top-p"),
    ("max_tokens", "max tokens"),
    ("stop", "stop strings"),
    ("seed", "seed"),
)
"""Settings of the sample stage that the card names, and their labels."""

PASS_BINS = ("0", "up to 0.25", "up to 0.5", "up to 0.75", "below 1", "1")
_UNKNOWN: tuple[Any, ...] = (None, "", [], (), {})
_CONTENTS: dict[type[Record], str] = {
    SftRow: "conversations with the reasoning inline in `<think>…</think>`",
    PreferenceRow: "pairs of a better and a worse answer",
    RlRow: "prompts with what a verifiable reward needs",
}
_TEMPLATES = {"r1-zero": R1_ZERO, "few-shot": FEW_SHOT}


def record_of_rows(frame: pl.LazyFrame) -> type[Record]:
    """Return the record that a corpus's columns are of."""
    names = frame.collect_schema().names()
    if "chosen" in names:
        return PreferenceRow
    return SftRow if "messages" in names else RlRow


def table_order(table: str) -> tuple[int, str]:
    """Sort key: tables in the order in which data flows, corpora last."""
    top = table.partition("/")[0]
    return (ORDER.index(top) if top in ORDER else len(ORDER), table)


def front_matter(
    name: str, frame: pl.LazyFrame, kind: str | None, licence: Mapping[str, str], rows: int
) -> dict[str, Any]:
    """Return the card's YAML as a dictionary. ``licence`` holds license and license_name."""
    record = record_of_rows(frame)
    codes = [c for c, _ in counts(frame, "language") if c and re.fullmatch("[a-z]{2,3}", c)]
    made = ["reinforcement-learning"] if record is RlRow else ["chain-of-thought", "synthetic"]
    sources = {source for (source, _) in counts(frame, "source")}
    front: dict[str, Any] = {
        "pretty_name": name,
        "language": codes,
        **licence,
        "size_categories": [hub.size_category(rows)],
        "task_categories": ["text-generation"],
        "tags": ["r1data", "reasoning", *made, *([kind] if kind else [])],
        "source_datasets": sorted(i for i in map(hub.hub_id, sources) if i),
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
        "dataset_info": [
            {
                "config_name": "default",
                "features": hub.features(frame.collect_schema()),
            }
        ],
    }
    return {key: value for key, value in front.items() if value}


def counts(frame: pl.LazyFrame, *columns: str) -> Rows:
    """Return (values…, rows) of every distinct combination, the most frequent first."""
    grouped = frame.group_by(columns).agg(pl.len().alias("rows"))
    order = [True, *(False for _ in columns)]
    return grouped.sort("rows", *columns, descending=order, nulls_last=True).collect().rows()


def card_facts(
    workspace: Workspace, corpus: str, frame: pl.LazyFrame, receipts: Receipts
) -> dict[str, Any]:
    """Return everything that the template states, by name.

    ``frame`` holds the published rows. Raises WorkspaceError if a table that a receipt names has
    become unfinished.
    """
    own = receipts[f"corpora/{corpus}"]
    reached = {table.partition("/")[0] for table in receipts}
    picks = (
        workspace.scan("picks").filter(pl.col("corpus") == corpus) if "picks" in reached else None
    )
    traces = workspace.scan("traces") if "traces" in reached else None
    written = "model" in frame.collect_schema()
    facts: dict[str, Any] = {
        "corpus": corpus,
        "kind": own["config"].get("kind"),
        "rows": frame.select(pl.len()).collect().item(),
        "created": own["created"][:10],
        "contents": _CONTENTS[record_of_rows(frame)],
        "models": [f"`{m}`" for m, _ in counts(frame, "model")] if written else [],
        "settings": settings(receipts),
        "samplers": samplers(receipts, traces),
        "funnel": funnel(receipts, picks),
        "verdicts": [],
        "pass_rates": [],
        "rules": [],
        "finish": counts(traces, "finish_reason") if traces is not None else [],
        "overlaps": overlaps(workspace, frame),
        "columns": columns(frame),
        "lengths": lengths(frame, traces),
        "sources": counts(frame, "source", "licence"),
        "languages": counts(frame, "language"),
        "versions": versions(receipts),
        "commands": commands(corpus, receipts),
    }
    if "verdicts" in reached:
        facts["verdicts"] = counts(workspace.scan("verdicts"), "verifier", "status")
        facts["pass_rates"] = pass_rates(workspace.scan("verdicts"))
    if "judgements" in reached:
        facts["rules"] = rules(workspace.scan("judgements"))
    return {**facts, "limits": limits(facts, workspace, receipts, reached)}


def samplers(receipts: Receipts, traces: pl.LazyFrame | None) -> list[dict[str, Any]]:
    """Return settings, template and system prompt of every sampling run."""
    if traces is None:
        return []
    engines = [engine for engine, _ in counts(traces, "engine")]
    names = [table for table in receipts if table.partition("/")[0] == "traces"]
    return [_sampler(receipts[name], engines) for name in names]


def _sampler(receipt: Mapping[str, Any], engines: list[str]) -> dict[str, Any]:
    config, packages = receipt["config"], receipt["packages"]
    known = {**config, "weights": receipt["inputs"].get("=model")}
    used = [config["engine"]] if config.get("engine") else engines
    known["engine"] = [f"{e} {packages[e]}" if e in packages else e for e in used]
    shown = [(label, _said(known[k])) for k, label in SAMPLING if known.get(k) not in _UNKNOWN]
    name = config.get("template")
    text = _TEMPLATES[name].format(prompt="{prompt}") if name in _TEMPLATES else None
    return {"settings": shown, "name": name, "template": text, "system": config.get("system")}


def settings(receipts: Receipts) -> Rows:
    """Return (table, setting, value) of the stages that judge, select and assemble."""
    shown = ("overlaps", "clusters", "judgements", "picks", "corpora")
    return [
        (f"`{table}`", key, _said(value))
        for table in sorted(receipts, key=table_order)
        if table.partition("/")[0] in shown
        for key, value in receipts[table]["config"].items()
        if value not in _UNKNOWN
    ]


def funnel(receipts: Receipts, picks: pl.LazyFrame | None) -> Rows:
    """Return (table, rows in, rows out, [(reason, rows)]) of every stage, in data order."""
    steps: Rows = []
    for table in sorted(receipts, key=table_order):
        receipt = receipts[table]
        reasons = [(k, v) for k, v in receipt["reasons"].items() if k != "kept" and v]
        rows_in, rows_out = receipt["rows_in"], receipt["rows_out"]
        if table.partition("/")[0] == "picks" and picks is not None:
            found = counts(picks, "reason")
            reasons = [(reason, rows) for reason, rows in found if reason is not None]
            rows_in = sum(rows for _, rows in found)
            rows_out = rows_in - sum(rows for _, rows in reasons)
        steps.append((f"`{table}`", rows_in, rows_out, reasons))
    return steps


def pass_rates(verdicts: pl.LazyFrame) -> Rows:
    """Return (share of correct samples, problems) over the bins of PASS_BINS."""
    per_problem = problem_rates({"verdicts": verdicts}).drop_nulls("pass_rate")
    share = pl.col("pass_rate")
    bins = [share == 0, share <= 0.25, share <= 0.5, share <= 0.75, share < 1]
    label: Any = pl.lit(PASS_BINS[-1])
    for condition, name in reversed(list(zip(bins, PASS_BINS, strict=False))):
        label = pl.when(condition).then(pl.lit(name)).otherwise(label)
    found: dict[str, int] = dict(counts(per_problem.select(label.alias("bin")), "bin"))
    return [(name, found[name]) for name in PASS_BINS if name in found]


def rules(judgements: pl.LazyFrame) -> Rows:
    """Return (rule, traces measured, traces that failed, [(reason, traces)])."""
    failed = counts(judgements.filter(~pl.col("passed")), "rule", "reason")
    return [
        (
            rule,
            total,
            sum(n for r, _, n in failed if r == rule),
            [(reason or "no reason", n) for r, reason, n in failed if r == rule],
        )
        for rule, total in sorted(counts(judgements, "rule"))
    ]


def overlaps(workspace: Workspace, frame: pl.LazyFrame) -> dict[str, Any] | None:
    """Return the benchmarks with the problems that overlap each, and the rows published anyway."""
    if not workspace.has("overlaps"):
        return None
    table = workspace.scan("overlaps")
    hits: dict[str, int] = dict(counts(table.unique(["problem_id", "benchmark"]), "benchmark"))
    named: list[str] = []
    for receipt in workspace.receipts("overlaps"):
        for key in ("benchmark", "benchmarks"):
            value = receipt.config.get(key) or []
            named += [Path(v).stem for v in ([value] if isinstance(value, str) else value)]
    for name in named:
        if name not in hits and name not in {Path(h).stem for h in hits}:
            hits[name] = 0
    inside = frame.join(table.select("problem_id").unique(), on="problem_id", how="semi")
    published = inside.select(pl.len()).collect().item()
    return {"benchmarks": sorted((Path(n).name, c) for n, c in hits.items()), "rows": published}


def columns(frame: pl.LazyFrame) -> Rows:
    """Return (column, type, description) from the record's fields."""
    fields = record_of_rows(frame).model_fields
    shown = [name for name in frame.collect_schema().names() if name in fields]
    return [
        (f"`{n}`", _type_name(fields[n].annotation), fields[n].description or "") for n in shown
    ]


def _type_name(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return f"list of {_type_name(parts[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(part) for part in parts)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return f"{{{', '.join(annotation.model_fields)}}}"
    names = {str: "string", int: "integer", float: "number", types.NoneType: "null"}
    return names.get(annotation) or str(annotation.__name__).lower()


def lengths(frame: pl.LazyFrame, traces: pl.LazyFrame | None) -> Rows:
    """Return (quantity, mean, median, 90th percentile, maximum) over the published rows."""
    record = record_of_rows(frame)
    content = pl.element().struct.field("content")

    def characters(turns: pl.Expr) -> pl.Expr:
        return turns.list.eval(content.str.len_chars()).list.sum()

    if record is SftRow:
        turns = pl.col("messages")
        answer = turns.list.last().struct.field("content")
        measured = {
            "prompt, characters": characters(turns.list.head(turns.list.len() - 1)),
            "answer, characters": answer.str.len_chars(),
            "reasoning, characters": answer.str.extract("(?s)<think>(.*?)</think>").str.len_chars(),
        }
        ids = {"answer, tokens": "trace_id"}
    else:
        names = ("prompt", "chosen", "rejected") if record is PreferenceRow else ("prompt",)
        measured = {f"{name}, characters": characters(pl.col(name)) for name in names}
        ids = {f"{name}, tokens": f"{name}_trace_id" for name in names[1:]}
    out = [_spread(label, frame.select(value.alias("v"))) for label, value in measured.items()]
    if traces is not None:
        tokens = traces.select("trace_id", v="completion_tokens")
        out += [
            _spread(label, frame.select(trace_id=name).join(tokens, on="trace_id").select("v"))
            for label, name in ids.items()
        ]
    return [row for row in out if row[1] is not None]


def _spread(label: str, values: pl.LazyFrame) -> tuple[Any, ...]:
    v = pl.col("v")
    row = values.select(
        v.mean().round(1).alias("mean"),
        v.median().alias("median"),
        v.quantile(0.9, "nearest").cast(pl.Int64).alias("p90"),
        v.max().cast(pl.Int64).alias("max"),
    )
    return (label, *row.collect().row(0))


def versions(receipts: Receipts) -> Rows:
    """Return (package, versions) over all receipts."""
    found: dict[str, list[str]] = {}
    for table in sorted(receipts, key=table_order):
        for package, version in receipts[table]["packages"].items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    return [(package, ", ".join(seen)) for package, seen in sorted(found.items())]


def commands(corpus: str, receipts: Receipts) -> list[str]:
    """Return the commands that made the corpus, in data order, each once."""
    found = [
        receipts[table].get("command", "")
        for table in sorted(receipts, key=table_order)
        if receipts[table]["config"].get("corpus") in (None, corpus)
    ]
    return list(dict.fromkeys(command for command in found if command))


def limits(
    facts: Mapping[str, Any], workspace: Workspace, receipts: Receipts, reached: set[str]
) -> list[str]:
    """Return sentences on what the corpus is known not to be."""
    found = []
    if facts["verdicts"]:
        found.append(
            "A verdict of `correct` says that the final answer matched the gold answer; the steps "
            "of the reasoning were not checked."
        )
    cut = dict(facts["finish"]).get("length", 0)
    if cut:
        total = sum(n for _, n in facts["finish"])
        found.append(f"{cut:,} of {total:,} sampled traces ended at the token budget.")
    for field, name in (("sources", "licence"), ("languages", "language")):
        unknown = sum(row[-1] for row in facts[field] if row[-2] is None)
        if unknown:
            found.append(f"The {name} of {unknown:,} of {facts['rows']:,} rows is unknown.")
    if facts["overlaps"] is None:
        found.append("No comparison of the problems with a benchmark is recorded.")
    elif facts["overlaps"]["rows"]:
        found.append(f"{_of_rows(facts['overlaps']['rows'])} to problems that overlap a benchmark.")
    if "reviews" not in reached:
        found.append("No review by a person is recorded.")
    return found + _outdated(workspace, receipts)


def _outdated(workspace: Workspace, receipts: Receipts) -> list[str]:
    """Say which tables were made again after the table that was made from them."""
    newer = {
        name
        for receipt in receipts.values()
        for name, fingerprint in receipt["inputs"].items()
        if workspace.has(name) and workspace.fingerprint(name) != fingerprint
    }
    return [
        f"The table `{name}` was made again after the corpus; its counts above are the newer ones."
        for name in sorted(newer, key=table_order)
    ]


def _said(value: Any) -> str:
    """Return a setting as text, numbers as they were typed."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {_said(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _of_rows(count: int) -> str:
    return "1 row belongs" if count == 1 else f"{count:,} rows belong"
