"""A workspace is a directory of tables; a table is a directory of Parquet parts and a receipt.

Parts are sealed one by one (written beside, then renamed), the receipt last: a table without one is
unfinished, and nobody reads it by accident. A table may be cut into slices (``picks/NAME``,
``corpora/NAME``, ``problems/SOURCE``), each a table directory of its own.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from r1data.core.errors import SchemaError, WorkspaceError
from r1data.core.records import CORPORA, TABLES, EvalRow, Record, polars_schema
from r1data.core.stage import fingerprint

RECEIPT = "_receipt.json"
STARTED = "_started.json"
ROW_GROUP = 2048  # small groups, so that one trace is read without its 100,000 neighbours

MADE_BY = {
    "problems": "r1data problems add SOURCE",
    "traces": "r1data sample --model MODEL",
    "verdicts": "r1data verify",
    "judgements": "r1data filter",
    "clusters": "r1data dedup",
    "overlaps": "r1data decontaminate --benchmark FILE",
    "picks": "r1data select CORPUS",
    "corpora": "r1data assemble CORPUS",
    "models": "r1data train",
    "evals": "r1data eval",
}
"""The command that makes a table, for messages."""


class Receipt(BaseModel):
    """What made a table, from what, and how many rows came out."""

    model_config = ConfigDict(frozen=True, extra="allow")

    table: str
    stage: str
    version: int
    config: dict[str, Any]
    fingerprint: str
    inputs: dict[str, str]
    rows_in: int
    rows_out: int
    reasons: dict[str, int]
    seconds: float
    cpu_seconds: float
    packages: dict[str, str]
    created: str
    schema_version: int
    command: str = ""


@dataclass(frozen=True)
class Workspace:
    """A directory of tables."""

    root: Path

    def path(self, table: str) -> Path:
        """Return the directory of a table or slice."""
        return self.root / table

    def slices(self, table: str) -> list[Path]:
        """Return the directories that hold the table's parts: itself, or its finished slices."""
        top = self.path(table)
        if any(top.glob("part-*.parquet")) or (top / RECEIPT).exists():
            return [top]
        return sorted(p.parent for p in top.glob(f"*/{RECEIPT}"))

    def has(self, table: str) -> bool:
        """Return whether the table is there and finished."""
        return any((s / RECEIPT).exists() for s in self.slices(table))

    def receipt(self, table: str) -> Receipt | None:
        """Return the receipt of a table or slice, or None while there is none."""
        file = self.path(table) / RECEIPT
        return Receipt.model_validate_json(file.read_text()) if file.exists() else None

    def receipts(self, table: str) -> list[Receipt]:
        """Return the receipts of all slices of a table."""
        found = (self.receipt(str(s.relative_to(self.root))) for s in self.slices(table))
        return [receipt for receipt in found if receipt is not None]

    def fingerprint(self, table: str) -> str:
        """Return what the table's content hangs on: the fingerprints of its receipts."""
        receipts = self.receipts(table)
        if len(receipts) == 1:
            return receipts[0].fingerprint
        return fingerprint(sorted(r.fingerprint for r in receipts))

    def scan(self, table: str) -> pl.LazyFrame:
        """Return a finished table, its columns checked against its record.

        Raises WorkspaceError if it is missing or unfinished, SchemaError if its columns are wrong.
        """
        if not self.root.is_dir():
            raise WorkspaceError(f"{self.root}: no such directory; make one with `r1data init`")
        slices = self.slices(table)
        top = table.partition("/")[0]
        if not slices:
            raise WorkspaceError(f"{self.root} has no {table} table; {_how(top)} makes it")
        for folder in slices:
            if not (folder / RECEIPT).exists():
                rows = pl.scan_parquet(folder / "part-*.parquet").select(pl.len()).collect().item()
                raise WorkspaceError(
                    f"{folder} is unfinished ({rows:,} rows are sealed); "
                    f"run the command that was making it again, or {_how(top)}"
                )
        frames = [scan_parts(s) for s in slices if any(s.glob("part-*.parquet"))]
        record = record_of(slices[0], table)
        if not frames:
            return pl.LazyFrame(schema=polars_schema(record) if record else None)
        for folder, frame in zip(slices, frames, strict=False):
            if record is not None:
                check_columns(frame.collect_schema(), record, folder)
        return pl.concat(frames, how="vertical")


def _how(table: str) -> str:
    return f"`{MADE_BY[table]}`" if table in MADE_BY else "the command that writes it"


def record_of(folder: Path, table: str) -> type[Record] | None:
    """Return the record of a table: by its name, or by the receipt's kind for a corpus."""
    top = table.partition("/")[0]
    if top in TABLES:
        return TABLES[top][0]
    if top == "evals":
        return EvalRow
    if top == "corpora" and (folder / RECEIPT).exists():
        config = json.loads((folder / RECEIPT).read_text())["config"]
        return CORPORA.get(config.get("kind", ""))
    return None


def scan_parts(folder: Path) -> pl.LazyFrame:
    """Return the sealed parts of a table directory."""
    return pl.scan_parquet(folder / "part-*.parquet", glob=True)


def check_columns(schema: pl.Schema, record: type[Record], where: Path) -> None:
    """Raise SchemaError that names every missing, extra and retyped column."""
    expected = polars_schema(record)
    faults = [f"missing {n}" for n in expected if n not in schema]
    faults += [f"unknown {n}" for n in schema if n not in expected]
    faults += [
        f"{n} is {schema[n]}, not {expected[n]}"
        for n in expected
        if n in schema and schema[n] != expected[n]
    ]
    if faults:
        raise SchemaError(
            f"{where} does not fit {record.__name__} ({'; '.join(faults)}); "
            "it was made by another version: make it again with --force"
        )


def write_part(frame: pl.DataFrame, folder: Path, number: int) -> Path:
    """Seal rows as ``part-NNNNN.parquet``: written beside, flushed to disk, then renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"part-{number:05d}.parquet"
    temporary = folder / f".part-{number:05d}.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        frame.write_parquet(file, compression="zstd", row_group_size=ROW_GROUP)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    return target


def next_part(folder: Path) -> int:
    """Return the number after the highest sealed part."""
    numbers = [int(p.stem.removeprefix("part-")) for p in folder.glob("part-*.parquet")]
    return max(numbers, default=-1) + 1


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    temporary.replace(path)


def clear(folder: Path) -> None:
    """Remove a table directory; the receipt first, so that a half-removed table is unfinished."""
    (folder / RECEIPT).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def write_receipt(folder: Path, receipt: Receipt) -> None:
    """Finish a table: write its receipt and remove what marked it as begun."""
    write_json(folder / RECEIPT, receipt.model_dump(mode="json"))
    (folder / STARTED).unlink(missing_ok=True)


def conform(frame: pl.DataFrame, record: type[Record]) -> pl.DataFrame:
    """Return the frame with the record's columns in their order and types.

    A missing column that may be null is added; any other fault raises SchemaError.
    """
    schema = polars_schema(record)
    optional = {n for n, f in record.model_fields.items() if not f.is_required()}
    lacking = [n for n in schema if n not in frame.columns and n not in optional]
    if lacking:
        raise SchemaError(f"rows lack {', '.join(lacking)} of {record.__name__}")
    nulls = [pl.lit(None, dtype=t).alias(n) for n, t in schema.items() if n not in frame.columns]
    return frame.with_columns(nulls).select(pl.col(n).cast(t) for n, t in schema.items())


def reasons(names: Iterable[str | None]) -> dict[str, int]:
    """Return counts by reason, most frequent first; None counts as ``kept``."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name or "kept"] = counts.get(name or "kept", 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
