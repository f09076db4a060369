"""sources -> problems: JSONL, Parquet, CSV, Hub datasets, reasoning-gym and the miniature world.

Each source is a slice ``problems/NAME`` of the problems table. Columns are guessed from the names
that public datasets use, and can be named. Every row that does not enter has a counted reason.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field, ValidationError

from r1data.backends.files import FORMATS, FoundRow, is_file_name, read_file, slice_name
from r1data.backends.sources import code_payload
from r1data.core.errors import ConfigError, InputError
from r1data.core.records import VERIFIERS, Problem, content_hash, polars_schema
from r1data.core.run import Clock, Result, drift, make_receipt
from r1data.core.stage import Config, Context, fingerprint
from r1data.core.tables import Receipt, Workspace, clear, reasons, write_part, write_receipt
from r1data.core.text import language_code, last_boxed, normalise_prompt, script_language

PROMPT_NAMES = ("prompt", "problem", "question", "instruction", "input", "query", "text")
ANSWER_NAMES = ("answer", "gold", "final_answer", "ground_truth", "golden", "solution", "output")
ID_NAMES = ("problem_id", "unique_id", "task_id", "uuid", "id")
ROLES = ("system", "user", "assistant")
LOOSE = ("name", "skip_bad")
"""Settings that do not change what a good row becomes."""

Rows = Iterable[FoundRow]
"""Number of the row (or its line) and the row, or the complaint about it."""


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
    """ISO 639-1 code of all rows, or column:NAME; their own or detected by script by default."""
    verifier: str | None = None
    """math, choice, string or gym; the row's own or guessed by default."""
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
    """Take only the first rows of the source."""
    skip_bad: bool = False
    """Leave malformed rows out, counted, instead of stopping."""


@dataclass(frozen=True)
class Columns:
    """Where a source keeps what a problem needs."""

    prompt: str
    answer: str | None
    source_id: str | None


_KNOWN = ", ".join(VERIFIERS)
_NEEDS_NO_GOLD = ("format", "judge", "reward-model")


class BadRow(ValueError):
    """A row that cannot become a problem; the message names the field."""


def check(config: ProblemsConfig) -> None:
    """Raise ConfigError for settings out of range."""
    if config.verifier is not None and config.verifier not in VERIFIERS:
        raise ConfigError(f"unknown verifier {config.verifier!r}; one of {_KNOWN}")
    given = config.language
    if given is not None and not given.startswith("column:") and language_code(given) is None:
        raise ConfigError(
            f"language is {given!r}; it must be an ISO 639 code such as ko or pt-BR, or column:NAME"
        )
    for name, value in (("size", config.size), ("limit", config.limit)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1")


def guess_columns(
    config: ProblemsConfig,
    names: Iterable[str],
    where: str,
    advice: str = "name it with --prompt",
) -> Columns:
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
            f"{where}: no column looks like the question; {advice} (it has {', '.join(present)})"
        )
    if config.language and config.language.startswith("column:"):
        find(config.language.removeprefix("column:"), (), "--language")
    answer = find(config.answer, tuple(n for n in ANSWER_NAMES if n != prompt), "--answer")
    return Columns(prompt, answer, find(None, ID_NAMES, ""))


def gold_answer(value: Any) -> str | None:
    r"""Return the final answer in a gold column: after ``####``, in the last box, or the value.

    A number keeps all its digits. Raises BadRow for one that is not finite.
    """
    if value is None:
        return None
    text = _digits(value) if isinstance(value, float) else str(value).strip()
    if "####" in text:
        return text.rpartition("####")[2].strip().replace(",", "")
    boxed = last_boxed(text)
    return boxed if boxed is not None else text or None


def _digits(value: float) -> str:
    if not math.isfinite(value):
        raise BadRow(f"the answer is {value}, which is no number")
    # The shortest digits that give the value back; + 0.0 makes a plain zero of -0.0.
    text = format(Decimal(repr(value + 0.0)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


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


def is_problem(row: Mapping[str, Any]) -> bool:
    """Return whether a row is one of a problems table already."""
    texts = (row.get(name) for name in ("problem_id", "prompt", "verifier"))
    return all(isinstance(text, str) for text in texts) and row["verifier"] in VERIFIERS


def problem_row(
    config: ProblemsConfig, columns: Columns, row: Mapping[str, Any], *, judged: bool = True
) -> dict[str, Any]:
    """Return the problem of one source row. Raises BadRow that names the field.

    judged: whether traces will be judged, so that there must be something to judge them by.
    """
    prompt = row.get(columns.prompt)
    messages = None
    if isinstance(prompt, list):
        messages, prompt = _conversation(prompt, columns.prompt)
    elif is_problem(row) and row.get("messages"):
        messages = _turns(row["messages"], "messages")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadRow(f"field {columns.prompt!r} is empty or no text")
    answer = gold_answer(row.get(columns.answer)) if columns.answer else None
    options = _options(row)
    program = code_payload(row)
    payload = _payload(row, options) or program
    own = row.get("verifier")
    if own is not None and own not in VERIFIERS and config.verifier is None:
        raise BadRow(f"field 'verifier' is {own!r}, not {_KNOWN}; --verifier overrules it")
    verifier = config.verifier or ("gym" if config.source.startswith("gym:") else own)
    if program is not None and payload == program and verifier in (None, "code"):
        verifier, answer = "code", None  # the reference solution is no answer to compare with
    verifier = verifier or guess_verifier(answer, options)
    if judged and answer is None and payload is None and verifier not in _NEEDS_NO_GOLD:
        named = f"field {columns.answer!r} is empty" if columns.answer else "there is no answer"
        raise BadRow(f"{named}, so nothing can judge a trace")
    source_id = row.get(columns.source_id) if columns.source_id else None
    # A gym entry holds its own seed and index, so it is no part of what the problem is.
    identity = [normalise_prompt(prompt), answer, verifier, None if verifier == "gym" else payload]
    if messages:
        turns = [[turn["role"], normalise_prompt(turn["content"])] for turn in messages]
        identity.append(json.dumps(turns, ensure_ascii=False))
    problem = {
        "prompt": prompt.strip(),
        "messages": messages,
        "answer": answer,
        "verifier": verifier,
        "payload": payload,
        "language": _language(config, row),
        "domain": config.domain,
        # The name alone: a path of this machine would travel into every published row.
        "source": Path(config.source).name if is_file_name(config.source) else config.source,
        "source_id": None if source_id is None else str(source_id),
        "licence": config.licence or _licence(row),
    }
    try:
        json.dumps(problem, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRow("its text holds half of a surrogate pair, which is no character") from None
    return {"problem_id": content_hash(*identity), **problem}


def _payload(row: Mapping[str, Any], options: list[str] | None) -> str | None:
    value = row.get("payload") or ({"options": options} if options else None)
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, dict | list):
        raise BadRow(f"field 'payload' is {value!r}; it must be JSON")
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError as error:
        raise BadRow(f"field 'payload' cannot be stored as JSON ({error})") from None


def _licence(row: Mapping[str, Any]) -> str | None:
    name = "licence" if row.get("licence") else "license"
    value = row.get(name)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if value is not None and not isinstance(value, str):
        raise BadRow(f"field {name!r} is {value!r}; it must be text, such as an SPDX id")
    return value or None


def _language(config: ProblemsConfig, row: Mapping[str, Any]) -> str | None:
    if config.language is None:
        return language_code(row.get("language")) or language_code(row.get("lang"))
    prefix, _, name = config.language.partition(":")
    return language_code(row.get(name) if prefix == "column" else config.language)


def _conversation(turns: list[Any], field: str) -> tuple[list[dict[str, str]] | None, str]:
    """Return (earlier turns, last user turn) of a chat-style prompt column."""
    pairs = _turns(turns, field)
    if not pairs or pairs[-1]["role"] != "user":
        raise BadRow(f"field {field!r} does not end with a user turn")
    return pairs[:-1] or None, pairs[-1]["content"]


def _turns(turns: Any, field: str) -> list[dict[str, str]]:
    try:
        pairs = [{"role": t["role"], "content": t["content"]} for t in turns]
    except (TypeError, KeyError):
        raise BadRow(f"field {field!r} is a list, but not of role and content") from None
    for number, pair in enumerate(pairs, 1):
        if pair["role"] not in ROLES:
            raise BadRow(
                f"field {field!r} turn {number}: role {pair['role']!r}; one of {', '.join(ROLES)}"
            )
        if not isinstance(pair["content"], str):
            raise BadRow(f"field {field!r} turn {number}: its content is no text")
    return pairs


def normalise(config: ProblemsConfig, rows: Rows) -> tuple[list[dict[str, Any]], list[str]]:
    """Return (problem rows, complaints). The first complaint raises unless skip_bad."""
    out: list[dict[str, Any]] = []
    complaints: list[str] = []
    columns: Columns | None = None
    suffix = Path(config.source).suffix.lower()
    unit = "line" if suffix in (".jsonl", ".ndjson", ".csv") else "row"
    for number, row in islice(rows, config.limit):
        try:
            if isinstance(row, str):
                raise BadRow(row)
            if columns is None:
                columns = guess_columns(config, row, config.source)
            out.append(problem_row(config, columns, row))
        except BadRow as error:
            complaint = f"{config.source} {unit} {number}: {error}"
            if not config.skip_bad:
                raise InputError(
                    f"{complaint}; mend the row, or leave such rows out with --skip-bad"
                ) from None
            complaints.append(complaint)
    return out, complaints


def problems_in_memory(rows: Iterable[Mapping[str, Any]], where: str) -> pl.DataFrame:
    """Return the problems of rows in memory, languages detected, duplicates left out.

    Rows of a problems table stay as they are; others need a question, but no answer. Raises
    InputError that names ``where``, the row (from 1) and the field.
    """
    config = ProblemsConfig(source="memory")
    columns: Columns | None = None
    found: list[dict[str, Any]] = []
    for number, row in enumerate(rows, 1):
        try:
            if is_problem(row):
                found.append(_kept(config, row))
                continue
            if columns is None:
                columns = guess_columns(config, row, where, "call it prompt")
            found.append(problem_row(config, columns, row, judged=False))
        except BadRow as error:
            raise InputError(f"{where}: row {number}: {error}") from None
    return with_language(found).unique("problem_id", keep="first", maintain_order=True)


def _kept(config: ProblemsConfig, row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: row[name] for name in Problem.model_fields if row.get(name) is not None}
    try:
        problem = Problem.model_validate({"domain": config.domain, "source": config.source} | known)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadRow(f"field {first['loc'][0]!r}: {first['msg']}") from None
    return problem.model_dump()


def with_language(found: list[dict[str, Any]]) -> pl.DataFrame:
    """Return the table of problem rows; a language that is not given is detected by script."""
    frame = pl.DataFrame(found, schema=polars_schema(Problem), orient="row")
    return frame.with_columns(pl.coalesce("language", script_language("prompt")))


def make_action(generators: Mapping[str, Callable[[ProblemsConfig, str], Rows]]) -> Any:
    """Return ``add(config, context) -> Result`` over generators by prefix (gym, mini, hub)."""

    def rows_of(config: ProblemsConfig, root: Path) -> Rows:
        prefix, _, rest = config.source.partition(":")
        if rest and prefix in generators:
            return generators[prefix](config, rest)
        path = Path(config.source)
        path = path if path.is_absolute() or path.exists() else root / path
        if path.exists():
            if not is_file_name(path):
                raise InputError(f"{path}: unknown format; one of {', '.join(FORMATS)}")
            return read_file(path)
        if re.fullmatch(r"[\w.-]+/[\w.-]+", config.source) and not is_file_name(path):
            return generators["hub"](config, config.source)
        raise InputError(
            f"{config.source}: no such file; a source is a {', '.join(FORMATS)} file, a Hub "
            "dataset id OWNER/NAME, gym:TASK or mini:addition"
        )

    def add(config: ProblemsConfig, context: Context) -> Result:
        check(config)
        context.root.mkdir(parents=True, exist_ok=True)
        return _add(config, context, lambda: rows_of(config, context.root))

    return add


def _add(config: ProblemsConfig, context: Context, rows: Callable[[], Rows]) -> Result:
    clock = Clock()
    table = f"problems/{slice_name(config.name or config.source)}"
    workspace = Workspace(context.root)
    present = None if context.force else workspace.receipt(table)
    if present is not None:
        _refuse_another(config, present)
    found, complaints = normalise(config, rows())
    inputs = {"=source": fingerprint(found, complaints)}
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
        loose=LOOSE,
    )
    if present is not None and present.fingerprint == receipt.fingerprint:
        return Result(table, "skipped", present.rows_out, present)
    frame, counts = _new_rows(found, workspace, table)
    if not frame.height and not counts:
        raise InputError(f"{config.source}: no rows")
    if present is not None:
        context.progress.note(f"{config.source} gives other rows than before: {table} is replaced")
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


def _refuse_another(config: ProblemsConfig, present: Receipt) -> None:
    """Raise ConfigError if a slice of that name was made from other settings."""
    differing = drift(present.config, config.model_dump(mode="json"), LOOSE)
    if differing:
        raise ConfigError(
            f"{present.table} is there already, added with other settings "
            f"({', '.join(differing)}); use --name NAME to add this beside it, or --force to "
            "replace it"
        )


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
