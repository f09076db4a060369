"""Publish a corpus as a data set on the Hugging Face Hub, with a card that states only facts.

Paths of this machine do not leave it: they are cut down to their last name in the receipts and in
the columns that say where a row came from, and a row whose text holds the workspace's path stops
the command.
"""

import json
import re
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from r1data.backends import hub
from r1data.card import Rows, card_facts, front_matter, table_order
from r1data.core.errors import InputError, WorkspaceError
from r1data.core.records import SCHEMA_VERSION
from r1data.core.tables import RECEIPT, ROW_GROUP, Workspace

SHARD_BYTES = 256 * 1024 * 1024
SHARDS = re.compile(r"data/train-\d{5}-of-\d{5}\.parquet")
"""Names of published shards; those of an earlier upload are removed."""

PROVENANCE = "provenance.json"
ORIGIN = ("model", "source")
"""Columns that may hold a path."""

PRIVATE = frozenset({"api_key", "token", "hf_token", "password", "base_url", "endpoint"})
"""Settings that are nobody else's business; as options of a command their value is cut."""

VERBATIM = frozenset({"system", "template", "stop"})
"""Settings that the card quotes, so that what looks like a path in them is left alone."""

_INSIDE = re.compile(
    r"(?<![\w.~:/<\\-])(?:file://|~)?(?:/[^\s/'\",;:|<>()\[\]{}]+){2,}/?"
    r"|(?<!\w)[A-Za-z]:\\(?:[^\s\\]+\\)*[^\s\\]+"
)
_WHOLE = r"^(?:(?:file://|~|\.\.)?/|[A-Za-z]:[\\/]).*?([^/\\]+)[/\\]*$"


@dataclass(frozen=True)
class PublishResult:
    """What was published, or would be."""

    url: str
    commit: str | None
    """Id of the commit; None after a dry run."""
    files: tuple[str, ...]
    """Files of the commit, README.md included."""
    rows: int
    card: str
    """Text of README.md as it was sent (a dry run does not see the present one)."""


def publish(
    workspace: Path,
    corpus: str,
    repo: str,
    *,
    private: bool = True,
    dry_run: bool = False,
    licence: str | None = None,
) -> PublishResult:
    """Upload ``corpora/CORPUS`` of a workspace to the data set ``repo`` (OWNER/NAME).

    One commit holds the rows as ``data/train-*.parquet``, README.md and provenance.json.
    ``licence`` (SPDX) is that of the data set as a whole; without it the rows' licences decide. A
    dry run needs neither network nor token and writes nothing.

    Raises WorkspaceError if the corpus is missing or unfinished, ConfigError for a bad repository
    name or visibility, InputError for rows that cannot be published, BackendError for the Hub.
    """
    hub.check_repo(repo)
    space = Workspace(Path(workspace))
    table = _corpus_table(space, corpus)
    if not dry_run:
        hub.token()
    frame = without_paths(space.scan(table))
    rows = frame.select(pl.len()).collect().item()
    if not rows:
        raise InputError(f"{space.path(table)} has no rows, so there is nothing to publish")
    _refuse_paths(frame, space.root)
    receipts = {name: scrub(receipt, space.root) for name, receipt in lineage(space, table).items()}
    facts = card_facts(space, corpus, frame, receipts)
    section = card_section(facts, {"repo": repo, "licence_given": licence})
    found = [licence] if licence else list({row[1] for row in facts["sources"]})
    name = repo.partition("/")[2]
    front = front_matter(name, frame, facts["kind"], hub.licence_fields(found), rows)
    sent = hub.merge_card(front, name, section)

    def card(existing: str | None) -> str:
        nonlocal sent
        sent = hub.merge_card(front, name, section, existing)
        return sent

    groups = _shards(space.path(table))
    files = (*groups, PROVENANCE, hub.README)
    if dry_run:
        return PublishResult(hub.dataset_url(repo), None, files, rows, sent)
    with tempfile.TemporaryDirectory(prefix="r1data-publish-") as folder:
        local = _write(groups, receipts, corpus, Path(folder))
        uploaded = hub.upload(
            repo,
            local,
            card,
            private=private,
            message=f"Publish {corpus}: {rows:,} rows",
            stale=SHARDS,
        )
    return PublishResult(uploaded.url, uploaded.commit, files, rows, sent)


def _corpus_table(space: Workspace, corpus: str) -> str:
    folder = space.path("corpora")
    finished = sorted(p.parent.name for p in folder.glob(f"*/{RECEIPT}"))
    if corpus in finished:
        return f"corpora/{corpus}"
    if any(p.name == corpus for p in folder.glob("*")):
        raise WorkspaceError(
            f"{folder / corpus} is unfinished; run `r1data assemble {corpus}` again"
        )
    there = f"there are {', '.join(finished)}" if finished else "there is none yet"
    raise WorkspaceError(
        f"{space.root} has no corpus {corpus}: {there}; `r1data assemble` makes one"
    )


def lineage(space: Workspace, table: str) -> dict[str, dict[str, Any]]:
    """Return the receipts of a table and of everything it was made from, in data order.

    Of ``picks`` only the slice of the corpus is followed, if the table is sliced.
    """
    corpus = table.partition("/")[2]
    found: dict[str, dict[str, Any]] = {}
    waiting = [table]
    while waiting:
        name = waiting.pop()
        own = f"picks/{corpus}"
        if name == "picks" and space.has(own):
            name = own
        if name in found or not space.has(name):
            continue
        if space.receipt(name) is None:
            waiting += [str(p.relative_to(space.root)) for p in space.slices(name)]
            continue
        receipt = space.receipt(name)
        if receipt is not None:
            found[name] = receipt.model_dump(mode="json")
            waiting += [key for key in receipt.inputs if re.fullmatch(r"[\w-]+(/[\w.-]+)?", key)]
    return {name: found[name] for name in sorted(found, key=table_order)}


def without_paths(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows with absolute paths in ORIGIN columns cut down to their last name."""
    names = [n for n in frame.collect_schema().names() if n in ORIGIN]
    return frame.with_columns(
        pl.coalesce(pl.col(name).str.extract(_WHOLE), pl.col(name)).alias(name) for name in names
    )


def _refuse_paths(frame: pl.LazyFrame, root: Path) -> None:
    """Raise InputError that names the first row whose text holds the workspace's path."""
    places = {str(p) for p in (root.absolute(), root.resolve()) if len(p.parts) > 2}
    for place in sorted(places):
        checks = []
        for name, dtype in frame.collect_schema().items():
            if dtype == pl.String:
                checks.append(pl.col(name).str.contains(place, literal=True))
            elif isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
                content = pl.element().struct.field("content")
                held = content.str.contains(place, literal=True)
                checks.append(pl.col(name).list.eval(held).list.any())
        bad = frame.filter(pl.any_horizontal(checks)).select("row_id").head(1).collect()
        if bad.height:
            raise InputError(
                f"row {bad.item()} holds the path {place} in its text; reject it with "
                "`r1data view`, or move the workspace"
            )


def scrub(value: Any, root: Path, key: str = "") -> Any:
    """Return a receipt (any JSON value) without paths of this machine and PRIVATE settings.

    The workspace's own path becomes ``.``, any other absolute path its last name.
    """
    if isinstance(value, Mapping):
        kept = {k: v for k, v in value.items() if k not in PRIVATE}
        return {scrub(k, root): scrub(v, root, k) for k, v in kept.items()}
    if isinstance(value, list | tuple):
        return [scrub(item, root, key) for item in value]
    if not isinstance(value, str):
        return value
    if key == "command":
        return _scrub_command(value, root)
    text = value
    for place in (root.absolute(), root.resolve()):
        if len(place.parts) > 2:
            text = re.sub(re.escape(str(place)) + r"(?![\w.-])", ".", text)
    if key in VERBATIM:
        return text
    if text.startswith("/") and text.count("/") > 1 and "\n" not in text:
        return Path(text).name  # the whole value is a path, which may hold blanks
    return _INSIDE.sub(lambda match: re.split(r"[/\\]", match[0].rstrip("/"))[-1], text)


def _scrub_command(command: str, root: Path) -> str:
    try:
        words = shlex.split(command)
    except ValueError:  # an open quote
        return str(scrub(command, root))
    kept: list[str] = []
    cut = False
    for word in words:
        option, equals, _ = word.partition("=")
        private = option.lstrip("-").replace("-", "_") in PRIVATE and option.startswith("--")
        if cut or (private and equals):
            kept.append("..." if cut else f"{option}=...")
        else:
            kept.append(str(scrub(word, root)))
        cut = private and not equals and not cut
    return shlex.join(kept)


def _shards(folder: Path) -> dict[str, list[Path]]:
    """Return the part files of each shard, by its published name: about SHARD_BYTES each."""
    groups: list[list[Path]] = []
    size = SHARD_BYTES
    for part in sorted(folder.glob("part-*.parquet")):
        if size >= SHARD_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(part)
        size += part.stat().st_size
    return {
        f"data/train-{i:05d}-of-{len(groups):05d}.parquet": parts for i, parts in enumerate(groups)
    }


def _write(
    groups: Mapping[str, list[Path]],
    receipts: Mapping[str, Any],
    corpus: str,
    folder: Path,
) -> dict[str, Path]:
    """Write the shards and provenance.json below ``folder``; return them by published name."""
    files = {}
    for name, parts in groups.items():
        files[name] = folder / name
        files[name].parent.mkdir(exist_ok=True)
        rows = without_paths(pl.scan_parquet(parts))
        rows.sink_parquet(files[name], compression="zstd", row_group_size=ROW_GROUP)
    stated = {"corpus": corpus, "schema_version": SCHEMA_VERSION, "receipts": receipts}
    files[PROVENANCE] = folder / PROVENANCE
    files[PROVENANCE].write_text(json.dumps(stated, ensure_ascii=False, indent=2) + "\n")
    return files


def card_section(facts: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    """Return the card's text below the title, from ``templates/card.md.jinja``."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("r1data"),
        autoescape=False,  # the card is Markdown
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fence": _fence, "number": _number}
    environment.globals |= {"table": _table}
    return environment.get_template("card.md.jinja").render(**facts, **extra)


def _table(head: list[str], rows: Rows) -> str:
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """Return a value as a Markdown cell; a list holds (reason, rows) pairs."""
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list):
        return ", ".join(f"{_cell(reason)} {_number(rows)}" for reason, rows in value)
    text = re.sub(r"\s+", " ", "unknown" if value is None else value)
    text = text.replace("``", "`").replace("|", "\\|")
    plain_and_code = text.split("`")
    plain_and_code[::2] = [part.replace("<", "&lt;") for part in plain_and_code[::2]]
    return "`".join(plain_and_code)


def _fence(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.1f}"
