"""What a report is made from: a workspace, or a run directory that holds a workspace a phase.

Tables are scanned lazily and only as far as their record asks; receipts and metrics are read whole.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from r1data.core import tables
from r1data.core.errors import InputError, WorkspaceError
from r1data.core.records import TABLES, EvalRow, Record
from r1data.core.tables import RECEIPT


@dataclass(frozen=True)
class Workspace:
    """A directory of tables, with the title that its report section carries."""

    path: Path
    name: str
    title: str

    def table(self, name: str) -> pl.LazyFrame | None:
        """Return a fixed table with all its slices, or None where it is not there.

        Parts that have no receipt yet are read too: an alert says so. Raises SchemaError for
        columns that do not fit and InputError for a part that is no Parquet file.
        """
        folders = tables.Workspace(self.path).slices(name)
        found = [
            frame for frame in (scan(f, TABLES[name][0]) for f in folders) if frame is not None
        ]
        return pl.concat(found) if found else None


@dataclass(frozen=True)
class Run:
    """What `open_target` found."""

    path: Path
    title: str
    recipe: str | None
    command: str | None
    steps: tuple[Mapping[str, Any], ...]
    """What run.json says of each step: phase, use, state."""
    workspaces: tuple[Workspace, ...]


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; {} if there is none. Raises InputError if it is broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); make it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object; make it again")
    return value


def scan(folder: Path, record: type[Record]) -> pl.LazyFrame | None:
    """Return the parts of one table directory, or None if it has none."""
    if not any(folder.glob("part-*.parquet")):
        return None
    try:
        frame = tables.scan_parts(folder)
        tables.check_columns(frame.collect_schema(), record, folder)
    except (pl.exceptions.ComputeError, OSError) as error:
        raise InputError(f"{folder} holds no readable Parquet; make its table again") from error
    return frame


def open_target(target: Path) -> Run:
    """Return the workspaces of a run directory, or the one workspace that target is.

    A run holds ``run.json`` or phases named ``NN-name/``. Raises WorkspaceError if target is not a
    directory or holds nothing that a report could show.
    """
    if not target.is_dir():
        raise WorkspaceError(f"{target} is no directory; give a workspace or a run directory")
    described = read_json(target / "run.json")
    phases = described.get("phases") or []
    known = [p for p in phases if isinstance(p, dict) and (target / str(p.get("dir"))).is_dir()]
    if not known:
        found = sorted(p for p in target.glob("[0-9][0-9]-*") if p.is_dir())
        known = [{"name": p.name, "dir": p.name} for p in found]
    steps = [step for step in described.get("steps") or [] if isinstance(step, dict)]
    workspaces = [
        Workspace(
            path=target / str(p["dir"]),
            name=str(p.get("name") or p["dir"]),
            title=str(p.get("title") or p.get("name") or p["dir"]),
        )
        for p in known
    ]
    name = target.resolve().name
    workspaces = workspaces or [Workspace(target, name, str(described.get("title") or name))]
    if not any(_holds_anything(workspace.path) for workspace in workspaces):
        raise WorkspaceError(
            f"{target} holds no table, model or evaluation to report on; "
            "make one with `r1data problems` or `r1data run`"
        )
    return Run(
        path=target,
        title=str(described.get("title") or name),
        recipe=described.get("recipe"),
        command=described.get("command"),
        steps=tuple(steps),
        workspaces=tuple(workspaces),
    )


def _holds_anything(path: Path) -> bool:
    if any(tables.Workspace(path).slices(name) for name in TABLES):
        return True
    patterns = ["corpora/*/part-*.parquet", "evals/*/part-*.parquet"]
    patterns += [f"evals/*/{RECEIPT}", "models/*/metrics.jsonl"]
    return any(any(path.glob(pattern)) for pattern in patterns)


def receipts(workspace: Workspace) -> list[dict[str, Any]]:
    """Return every receipt of a workspace, in the order in which they were written."""
    patterns = [f"{name}/{inner}{RECEIPT}" for name in TABLES for inner in ("", "*/")]
    patterns += [f"{group}/*/{RECEIPT}" for group in ("corpora", "models", "evals")]
    out = []
    for pattern in patterns:
        for path in sorted(workspace.path.glob(pattern)):
            table = path.parent.relative_to(workspace.path).as_posix()
            out.append({"table": table, "phase": workspace.name, **read_json(path)})
    return sorted(out, key=lambda receipt: str(receipt.get("created", "")))


def unfinished(workspace: Workspace) -> list[str]:
    """Return the tables that have parts but no receipt: they are still being made."""
    groups = [f"{name}/{inner}" for name in TABLES for inner in ("", "*/")]
    groups += ["corpora/*/", "evals/*/"]
    found = {p.parent for g in groups for p in workspace.path.glob(f"{g}part-*.parquet")}
    return [
        folder.relative_to(workspace.path).as_posix()
        for folder in sorted(found)
        if not (folder / RECEIPT).exists()
    ]


def corpora(workspace: Workspace) -> dict[str, int]:
    """Return the rows of each corpus by its name."""
    found = sorted((workspace.path / "corpora").glob("*"))
    return {
        path.name: tables.scan_parts(path).select(pl.len()).collect().item()
        for path in found
        if any(path.glob("part-*.parquet"))
    }


def evaluations(workspace: Workspace) -> list[tuple[dict[str, Any], pl.DataFrame | None]]:
    """Return each evaluation's receipt and, if kept, its rows; sorted by order, then by name."""
    out = []
    for path in sorted((workspace.path / "evals").glob("*")):
        receipt = read_json(path / RECEIPT)
        rows = scan(path, EvalRow)
        if receipt or rows is not None:
            table = None if rows is None else rows.sort("problem_id").collect()
            out.append(({"name": path.name, **receipt}, table))
    return sorted(out, key=lambda pair: (pair[0].get("order") or 0, pair[0]["name"]))


def training_metrics(workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    """Return the steps of each model's metrics.jsonl, one row a step, the last one written.

    A line that a killed process left half-written is passed over.
    """
    out = {}
    for path in sorted(workspace.path.glob("models/*/metrics.jsonl")):
        steps: dict[int, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                steps[row["step"]] = row
        if steps:
            out[path.parent.name] = [steps[step] for step in sorted(steps)]
    return out
