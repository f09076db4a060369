"""sources -> problems: JSONL, Parquet, CSV, Hub datasets, reasoning-gym and the miniature world.

Each source is a slice ``problems/NAME`` of the problems table. Columns are guessed from the names
that public datasets use, and can be named. Every row that does not enter has a counted reason.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from r1data.core.errors import ConfigError, InputError
from r1data.core.records import Problem, content_hash, polars_schema
from r1data.core.run import Clock, Result, make_receipt
from r1data.core.stage import Config, Context, fingerprint
from r1data.core.tables import Workspace, clear, reasons, write_part, write_receipt
from r1data.core.text import last_boxed, normalise_prompt, script_language

PROMPT_NAMES = ("prompt", "problem", "question", "instruction", "input", "query", "text")
ANSWER_NAMES = ("answer", "gold", "final_answer", "ground_truth", "golden", "solution", "output")
ID_NAMES = ("problem_id", "unique_id", "task_id", "uuid", "id")
VERIFIERS = ("math", "choice", "string", "gym")
FORMATS = (".jsonl", ".ndjson", ".json", ".parquet", ".csv")

Rows = Iterable[tuple[int, dict[str, Any]]]
"""Row number (line in the file, from 1) and the row."""


class ProblemsConfig(Config):
    """Settings of `r1data problems add`."""

    source: str
    """JSONL, Parquet or CSV file, Hub dataset id, gym:NAME or mini:addition."""
    name: str | None = None
    """Name of the slice; made from the source by default."""
    prompt: str | None = None
    """Column of the question."""
    answer: str | None = None
    """Column of the gold answer."""
    language: str | None = None
    """ISO 639-1 code of all rows, or column:NAME; detected by script by default."""
    verifier: str | None = None
    """math, choice, string or gym; guessed by default."""
    domain: str = "math"
    """Domain of all rows."""
    licence: str | None = None
    """SPDX id of all rows."""
    split: str = "train"
    """Split of a Hub dataset, or of mini:addition (train, validation, test)."""
    subset: str | None = None
    """Configuration of a Hub dataset."""
    size: int = 1000
    """Rows to generate (gym, mini)."""
    seed: int = 0
    """Seed of generated rows."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of a generator."""
    limit: int | None = None
    """Take only the first rows."""
    skip_bad: bool = False
    """Leave malformed rows out, counted, instead of stopping."""


@dataclass(frozen=True)
class Columns:
    """Where a source keeps what a problem needs."""

    prompt: str
    answer: str | None
    source_id: str | None


class BadRow(ValueError):
    """A row that cannot become a problem; the message names the field."""


def slice_name(source: str) -> str:
    """Return a directory name for a source."""
    stem = Path(source).stem if Path(source).suffix in FORMATS else source
    return re.sub(r"[^0-9A-Za-z가-힣_-]+", "-", stem).strip("-").lower() or "source"


def read_file(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield (line or row number, row) of a file; a malformed line comes as its complaint."""
    if path.suffix in (".jsonl", ".ndjson"):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _json_row(line)
        return
    if path.suffix == ".json":
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(rows, list):
            raise InputError(f"{path}: a .json file must hold a list of rows; use JSONL instead")
        for number, row in enumerate(rows, 1):
            yield number, row if isinstance(row, dict) else "the row is no JSON object"
        return
    try:
        frame = (
            pl.read_parquet(path)
            if path.suffix == ".parquet"
            else pl.read_csv(path, infer_schema=False)
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}") from error
    yield from enumerate(frame.iter_rows(named=True), 1)


def _json_row(line: str) -> dict[str, Any] | str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f"the line is no JSON ({error.msg} at column {error.colno})"
    return row if isinstance(row, dict) else "the line is no JSON object"


def guess_columns(config: ProblemsConfig, names: Iterable[str], where: str) -> Columns:
    """Return the columns to read; raise InputError that lists what the source has."""
    present = list(names)
    lower = {name.lower(): name for name in reversed(present)}

    def find(given: str | None, guesses: tuple[str, ...], flag: str) -> str | None:
        if given is not None:
            if given not in present:
                raise InputError(
                    f"{where} has no column {given!r} ({flag}); it has {', '.join(present)}"
                )
            return given
        return next((lower[g] for g in guesses if g in lower), None)

    prompt = find(config.prompt, PROMPT_NAMES, "--prompt")
    if prompt is None:
        raise InputError(
            f"{where}: no column looks like the question; name it with --prompt "
            f"(it has {', '.join(present)})"
        )
    answer = find(config.answer, tuple(n for n in ANSWER_NAMES if n != prompt), "--answer")
    return Columns(prompt, answer, find(None, ID_NAMES, ""))


def gold_answer(value: Any) -> str | None:
    r"""Return the final answer in a gold column: after ``####``, in the last box, or the value."""
    if value is None:
        return None
    text = f"{value:g}" if isinstance(value, float) else str(value).strip()
    if "####" in text:
        return text.rpartition("####")[2].strip().replace(",", "")
    boxed = last_boxed(text)
    return boxed if boxed is not None else text or None


def _options(row: Mapping[str, Any]) -> list[str] | None:
    for name in ("options", "choices"):
        value = row.get(name)
        if isinstance(value, dict):
            value = value.get("text")
        if isinstance(value, list) and value:
            return [str(option) for option in value]
    return None


def guess_verifier(answer: str | None, options: list[str] | None) -> str:
    """Return choice for a letter (or with options), math for anything with a digit or LaTeX."""
    if options is not None or (answer is not None and re.fullmatch(r"\(?[A-J]\)?", answer)):
        return "choice"
    if answer is None or re.search(r"[\d\\]", answer):
        return "math"
    return "string"


def problem_row(config: ProblemsConfig, columns: Columns, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the problem of one source row. Raises BadRow that names the field."""
    prompt = row.get(columns.prompt)
    messages = None
    if isinstance(prompt, list):
        messages, prompt = _conversation(prompt, columns.prompt)
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadRow(f"field {columns.prompt!r} is empty or no text")
    answer = gold_answer(row.get(columns.answer)) if columns.answer else None
    options = _options(row)
    payload = row.get("payload") or (
        json.dumps({"options": options}, ensure_ascii=False) if options else None
    )
    verifier = config.verifier or ("gym" if config.source.startswith("gym:") else None)
    verifier = verifier or guess_verifier(answer, options)
    if answer is None and payload is None:
        named = f"field {columns.answer!r} is empty" if columns.answer else "there is no answer"
        raise BadRow(f"{named}, so nothing can judge a trace")
    source_id = row.get(columns.source_id) if columns.source_id else None
    language = config.language or row.get("language") or row.get("lang")
    if language is not None and not re.fullmatch(r"column:.+|[a-z]{2,3}(-\w+)?", str(language)):
        language = None
    if language and language.startswith("column:"):
        language = str(row.get(language.removeprefix("column:")) or "") or None
    # A gym entry holds its own seed and index, so it is no part of what the problem is.
    payload_id = None if verifier == "gym" else payload
    return {
        "problem_id": content_hash(normalise_prompt(prompt), answer, verifier, payload_id),
        "prompt": prompt.strip(),
        "messages": messages,
        "answer": answer,
        "verifier": verifier,
        "payload": payload,
        "language": language,
        "domain": config.domain,
        # The name alone: a path of this machine would travel into every published row.
        "source": Path(config.source).name if Path(config.source).suffix else config.source,
        "source_id": None if source_id is None else str(source_id),
        "licence": config.licence or row.get("licence") or row.get("license"),
    }


def _conversation(turns: list[Any], field: str) -> tuple[list[dict[str, str]] | None, str]:
    """Return (earlier turns, last user turn) of a chat-style prompt column."""
    try:
        pairs = [{"role": t["role"], "content": t["content"]} for t in turns]
    except (TypeError, KeyError):
        raise BadRow(f"field {field!r} is a list, but not of role and content") from None
    if not pairs or pairs[-1]["role"] != "user":
        raise BadRow(f"field {field!r} does not end with a user turn")
    return pairs[:-1] or None, pairs[-1]["content"]


def normalise(
    config: ProblemsConfig, rows: Iterable[tuple[int, dict[str, Any] | str]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return (problem rows, complaints). The first complaint raises unless skip_bad."""
    out: list[dict[str, Any]] = []
    complaints: list[str] = []
    columns: Columns | None = None
    for number, row in rows:
        if config.limit is not None and len(out) >= config.limit:
            break
        try:
            if isinstance(row, str):
                raise BadRow(row)
            if columns is None:
                columns = guess_columns(config, row, config.source)
            out.append(problem_row(config, columns, row))
        except BadRow as error:
            complaint = f"{config.source} line {number}: {error}"
            if not config.skip_bad:
                raise InputError(
                    f"{complaint}; mend the row, or leave such rows out with --skip-bad"
                ) from None
            complaints.append(complaint)
    return out, complaints


def add_columns(config: ProblemsConfig, rows: Iterable[tuple[int, dict[str, Any]]]) -> pl.DataFrame:
    """Return the problems of rows in memory, languages detected, duplicates left out."""
    found, _ = normalise(config, rows)
    return with_language(found).unique("problem_id", keep="first", maintain_order=True)


def with_language(found: list[dict[str, Any]]) -> pl.DataFrame:
    """Return the table of problem rows; a language that is not given is detected by script."""
    frame = pl.DataFrame(found, schema=polars_schema(Problem), orient="row")
    return frame.with_columns(pl.coalesce("language", script_language("prompt")))


def make_action(generators: Mapping[str, Callable[[ProblemsConfig, str], Rows]]) -> Any:
    """Return ``add(config, context) -> Result`` over generators by prefix (gym, mini, hub)."""

    def rows_of(config: ProblemsConfig, root: Path) -> Iterable[tuple[int, dict[str, Any] | str]]:
        prefix, _, rest = config.source.partition(":")
        if rest and prefix in generators:
            return generators[prefix](config, rest)
        path = Path(config.source)
        path = path if path.is_absolute() or path.exists() else root / path
        if path.exists():
            if path.suffix not in FORMATS:
                raise InputError(f"{path}: unknown format; one of {', '.join(FORMATS)}")
            return read_file(path)
        if re.fullmatch(r"[\w.-]+/[\w.-]+", config.source) and not path.suffix:
            return generators["hub"](config, config.source)
        raise InputError(
            f"{config.source}: no such file; a source is a {', '.join(FORMATS)} file, a Hub "
            "dataset id OWNER/NAME, gym:TASK or mini:addition"
        )

    def add(config: ProblemsConfig, context: Context) -> Result:
        if config.verifier is not None and config.verifier not in VERIFIERS:
            raise ConfigError(
                f"unknown verifier {config.verifier!r}; one of {', '.join(VERIFIERS)}"
            )
        context.root.mkdir(parents=True, exist_ok=True)
        return _add(config, context, lambda: rows_of(config, context.root))

    return add


def _add(
    config: ProblemsConfig,
    context: Context,
    rows: Callable[[], Iterable[tuple[int, dict[str, Any] | str]]],
) -> Result:
    clock = Clock()
    table = f"problems/{slice_name(config.name or config.source)}"
    workspace = Workspace(context.root)
    present = workspace.receipt(table)
    found, complaints = normalise(config, rows())
    inputs = {"=source": fingerprint([row["problem_id"] for row in found])}
    receipt = make_receipt(
        "problems",
        1,
        table,
        config.model_dump(mode="json"),
        inputs,
        rows=(len(found) + len(complaints), 0),
        counts={},
        seconds=(0.0, 0.0),
        command=context.command,
    )
    if present is not None and present.fingerprint == receipt.fingerprint and not context.force:
        return Result(table, "skipped", present.rows_out, present)
    frame, counts = _new_rows(found, workspace, table)
    if not frame.height and not counts:
        raise InputError(f"{config.source}: no rows")
    for complaint in complaints[:3]:
        context.progress.note(f"left out: {complaint}")
    clear(workspace.path(table))
    if frame.height:
        write_part(frame, workspace.path(table), 0)
    wall, cpu = clock.seconds()
    counts = reasons(["malformed"] * len(complaints)) | counts
    receipt = receipt.model_copy(
        update={"rows_out": frame.height, "reasons": counts, "seconds": wall, "cpu_seconds": cpu}
    )
    write_receipt(workspace.path(table), receipt)
    return Result(table, "done", frame.height, receipt)


def _new_rows(
    found: list[dict[str, Any]], workspace: Workspace, table: str
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the rows that enter, and counts of those kept and of duplicates."""
    frame = with_language(found)
    unique = frame.unique("problem_id", keep="first", maintain_order=True)
    counts = {"kept": unique.height, "duplicate": frame.height - unique.height}
    for folder in workspace.slices("problems"):
        if folder == workspace.path(table) or not any(folder.glob("part-*.parquet")):
            continue
        others = pl.read_parquet(folder / "part-*.parquet", columns=["problem_id"])
        before = unique.height
        unique = unique.join(others, on="problem_id", how="anti", maintain_order="left")
        counts["duplicate of another source"] = (
            counts.get("duplicate of another source", 0) + before - unique.height
        )
        counts["kept"] = unique.height
    return unique, {name: count for name, count in counts.items() if count}
