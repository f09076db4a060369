"""Rows of JSONL, JSON, Parquet and CSV files, with the line or row that each stands in."""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from r1data.core.errors import InputError

FORMATS = (".jsonl", ".ndjson", ".json", ".parquet", ".csv")

FoundRow = tuple[int, dict[str, Any] | str]
"""Number from 1, and the row; or the complaint about it, if it is malformed."""


def is_file_name(source: str | Path) -> bool:
    """Return whether a name ends as a readable file does; ``OWNER/NAME-1.1`` does not."""
    return Path(source).suffix.lower() in FORMATS


def slice_name(source: str) -> str:
    """Return a directory name for a source: letters of any script, digits, ``_`` and ``-``."""
    stem = Path(source).stem if is_file_name(source) else source
    # A file system may give names decomposed; marks belong to their letters (Devanagari vowels).
    letters = (
        c if c.isalnum() or c == "_" or unicodedata.category(c).startswith("M") else "-"
        for c in unicodedata.normalize("NFC", stem)
    )
    return re.sub("-+", "-", "".join(letters)).strip("-").lower() or "source"


def read_file(path: Path) -> Iterator[FoundRow]:
    """Yield (number, row) of a file; a malformed line comes as its complaint.

    The number is the line in JSONL and (without line breaks inside of fields) CSV, the row in JSON
    and Parquet. Raises InputError if the file as a whole cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(path)
        elif suffix == ".json":
            yield from enumerate(_json_list(path), 1)
        elif suffix == ".parquet":
            yield from enumerate(_shortest(pl.read_parquet(path)).iter_rows(named=True), 1)
        else:
            # The header is line 1.
            yield from enumerate(pl.read_csv(path, infer_schema=False).iter_rows(named=True), 2)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}") from error


def _json_lines(path: Path) -> Iterator[FoundRow]:
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            try:
                line = data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield number, f"the line is not UTF-8 (byte {error.start + 1})"
                continue
            if line.strip():
                yield number, _json_row(line)


def _json_row(line: str) -> dict[str, Any] | str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f"the line is no JSON ({error.msg} at column {error.colno})"
    return row if isinstance(row, dict) else "the line is no JSON object"


def _json_list(path: Path) -> list[dict[str, Any] | str]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} line {error.lineno} column {error.colno}: the file is no JSON ({error.msg}); "
            "mend it, or name it .jsonl if each line is a row"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: the file is not UTF-8 (byte {error.start + 1}); save it as UTF-8"
        ) from error
    if not isinstance(rows, list):
        raise InputError(f"{path}: a .json file must hold a list of rows; use JSONL instead")
    return [row if isinstance(row, dict) else "the row is no JSON object" for row in rows]


def _shortest(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with 32-bit numbers as they are written: 0.1, not 0.10000000149."""
    return frame.with_columns(pl.col(pl.Float32).cast(pl.String).cast(pl.Float64))
