"""Run one stage in a workspace: skip, resume, do, or stop because the settings have changed.

A frame stage is made again when its inputs change. A batch stage keeps every sealed row that is
still valid and does only what is missing; rows that were done again replace the older ones.
"""

import hashlib
import importlib.metadata
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from r1data.core.errors import DriftError, Interrupted, WorkspaceError
from r1data.core.records import CORPORA, SCHEMA_VERSION, TABLES, EvalRow, Record
from r1data.core.stage import Config, Context, Stage, Tables, fingerprint
from r1data.core.tables import (
    MADE_BY,
    RECEIPT,
    STARTED,
    Receipt,
    Workspace,
    clear,
    conform,
    next_part,
    reasons,
    scan_parts,
    write_json,
    write_part,
    write_receipt,
)

PACKAGES = ("r1data", "polars", "torch", "transformers", "math-verify", "reasoning-gym", "vllm")
SHARD_ROWS = 1024

State = Literal["done", "skipped", "resumed"]


@dataclass(frozen=True)
class Result:
    """What running a stage came to."""

    table: str
    state: State
    rows: int
    receipt: Receipt


class Clock:
    """Wall and CPU seconds since it was made; children that have ended count as CPU."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = self._used()

    @staticmethod
    def _used() -> float:
        own, children = (
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

    def seconds(self) -> tuple[float, float]:
        """Return (wall, CPU) seconds."""
        return round(time.perf_counter() - self._wall, 3), round(self._used() - self._cpu, 3)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that rows may depend on, where installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def drift(old: Mapping[str, Any], new: Mapping[str, Any], loose: tuple[str, ...]) -> list[str]:
    """Return ``field: old -> new`` for every setting that differs, loose fields left out."""
    names = sorted((set(old) | set(new)) - set(loose))
    return [f"{n}: {old.get(n)!r} -> {new.get(n)!r}" for n in names if old.get(n) != new.get(n)]


def target_of(writes: str, config: Config) -> str:
    """Return the table or slice that a config writes to."""
    return writes.format(**config.model_dump())


def make_receipt(
    stage: str,
    version: int,
    table: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    rows: tuple[int, int],
    counts: dict[str, int],
    seconds: tuple[float, float],
    command: str = "",
    loose: tuple[str, ...] = (),
    **extra: Any,
) -> Receipt:
    """Return the receipt of a table made now. ``rows`` is (in, out), ``seconds`` (wall, CPU)."""
    strict = {k: v for k, v in config.items() if k not in loose}
    return Receipt(
        table=table,
        stage=stage,
        version=version,
        config=dict(config),
        fingerprint=fingerprint(stage, version, strict, dict(inputs)),
        inputs=dict(inputs),
        rows_in=rows[0],
        rows_out=rows[1],
        reasons=counts,
        seconds=seconds[0],
        cpu_seconds=seconds[1],
        packages=package_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        schema_version=SCHEMA_VERSION,
        command=command,
        **extra,
    )


def run_stage(stage: Stage, config: Config, context: Context) -> Result:
    """Run a stage in the context's workspace and return what it came to.

    Raises DriftError if the table was made with other settings (unless ``context.force``),
    WorkspaceError if a table it reads is missing, Interrupted on Ctrl-C.
    """
    workspace = Workspace(context.root)
    table = target_of(stage.writes, config)
    tables, inputs = _inputs(stage, config, workspace)
    settings = config.model_dump(mode="json")
    folder = workspace.path(table)
    old = _settings_on_disk(folder)
    if old is not None:
        if stage.identity is not None:
            inputs_old = old["inputs"]
            changed = [n for n in inputs if n.startswith("=") and inputs_old.get(n) != inputs[n]]
        else:
            changed = []
        differing = drift(old["config"], settings, stage.loose)
        differing += [f"{name[1:]} (its content)" for name in changed]
        if old["version"] != stage.version:
            differing.append(f"version of {stage.name}: {old['version']} -> {stage.version}")
        if differing and not context.force:
            raise DriftError(str(folder), differing)
    else:
        differing = []
    _check_fresh(stage, config, workspace, inputs)
    if stage.kind == "frame":
        return _run_frame(stage, config, context, table, tables, inputs)
    if stage.plan is None:
        raise TypeError(f"batch stage {stage.name} has no plan")
    # Planned before anything is cleared: settings out of range must not cost what is there.
    work = stage.plan(config, tables).collect()
    if stage.check is not None:
        stage.check(config, work)
    if differing:
        clear(folder)
    return _run_batch(stage, config, context, table, work, inputs)


def _check_fresh(
    stage: Stage, config: Config, workspace: Workspace, inputs: Mapping[str, str]
) -> None:
    """Raise WorkspaceError if a table that must be up to date was made from other input."""
    for name in (target_of(t, config) for t in stage.fresh):
        receipt = workspace.receipt(name)
        for table, made_from in (receipt.inputs if receipt else {}).items():
            if table in inputs and inputs[table] != made_from:
                raise WorkspaceError(
                    f"{workspace.path(name)} was made before {table} changed; "
                    f"run `{MADE_BY[name.partition('/')[0]]}` again"
                )


def _inputs(
    stage: Stage, config: Config, workspace: Workspace
) -> tuple[dict[str, pl.LazyFrame], dict[str, str]]:
    tables: dict[str, pl.LazyFrame] = {}
    inputs: dict[str, str] = {}
    optional = [t for t in stage.optional if workspace.has(t)]
    for name in [*(target_of(r, config) for r in stage.reads), *optional]:
        top = name.partition("/")[0]
        tables[top] = workspace.scan(name)
        inputs[name] = workspace.fingerprint(name)
    if stage.sources is not None:
        for name, frame in stage.sources(config, workspace.root).items():
            tables[name] = frame
            inputs[name] = fingerprint(frame.collect().write_ndjson())
    if stage.identity is not None:
        for name, value in stage.identity(config, workspace.root).items():
            inputs[f"={name}"] = value
            tables[f"={name}"] = pl.LazyFrame({name: [value]})
    return tables, inputs


def _settings_on_disk(folder: Path) -> dict[str, Any] | None:
    for name in (RECEIPT, STARTED):
        if (folder / name).exists():
            receipt = Receipt.model_validate_json((folder / name).read_text())
            return receipt.model_dump()
    return None


def _record(stage: Stage, config: Config) -> type[Record]:
    top = stage.writes.partition("/")[0]
    if top == "corpora":
        return CORPORA[config.model_dump()["kind"]]
    return EvalRow if top == "evals" else TABLES[top][0]


def _counts(stage: Stage, frame: pl.LazyFrame) -> dict[str, int]:
    if stage.reason is None:
        return {}
    values = frame.select(stage.reason).collect().to_series()
    if values.dtype == pl.Boolean:  # clusters: whether a member represents its group
        return reasons(None if kept else "duplicate" for kept in values)
    return reasons(values)


def _run_frame(
    stage: Stage,
    config: Config,
    context: Context,
    table: str,
    tables: Tables,
    inputs: dict[str, str],
) -> Result:
    folder = context.root / table
    settings = config.model_dump(mode="json")
    present = Workspace(context.root).receipt(table)
    # Unlike a batch stage, all rows come anew: a loose field is no drift, but makes another table.
    if present and present.fingerprint == fingerprint(stage.name, stage.version, settings, inputs):
        return Result(table, "skipped", present.rows_out, present)
    clock = Clock()
    record = _record(stage, config)
    out = conform(stage.fn(config, tables).lazy().collect(), record)
    clear(folder)
    if out.height:
        write_part(out, folder, 0)
    source = target_of(stage.enters or stage.reads[-1], config).partition("/")[0]
    entering = tables[source].select(pl.len()).collect().item()
    receipt = make_receipt(
        stage.name,
        stage.version,
        table,
        settings,
        inputs,
        rows=(entering, out.height),
        counts=_counts(stage, out.lazy()),
        seconds=clock.seconds(),
        command=context.command,
    )
    write_receipt(folder, receipt)
    return Result(table, "done", out.height, receipt)


def _todo(stage: Stage, config: Config, work: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Return the rows of work whose result is not sealed yet, or no longer valid."""
    if not any(folder.glob("part-*.parquet")):
        return work
    sealed = scan_parts(folder)
    if stage.valid is not None:
        sealed = stage.valid(config, sealed)
    keys = [*TABLES[stage.writes][1]]
    if "input_hash" in work.columns:
        keys.append("input_hash")
    return work.join(sealed.select(keys).collect(), on=keys, how="anti")


def _compact(stage: Stage, folder: Path) -> None:
    """Remove rows that a later part holds again, so that every key stands once."""
    keys = list(TABLES[stage.writes][1])
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        return
    later = pl.concat(
        pl.scan_parquet(p).select(*keys, pl.lit(i).alias("_part")) for i, p in enumerate(parts)
    )
    last = later.group_by(keys).agg(pl.col("_part").max()).collect()
    for number, part in enumerate(parts):
        frame = pl.read_parquet(part)
        kept = frame.join(last.filter(pl.col("_part") == number), on=keys, how="semi")
        if kept.height < frame.height:
            write_part(kept, folder, int(part.stem.removeprefix("part-")))


def _run_batch(
    stage: Stage,
    config: Config,
    context: Context,
    table: str,
    work: pl.DataFrame,
    inputs: dict[str, str],
) -> Result:
    folder = context.root / table
    clock = Clock()
    todo = _todo(stage, config, work, folder)
    present = Workspace(context.root).receipt(table)
    if present is not None and not todo.height:
        return Result(table, "skipped", present.rows_out, present)
    settings = config.model_dump(mode="json")
    # A run that was cut off left what it had spent in its own mark.
    earlier = present or _started(folder)
    before = (earlier.seconds, earlier.cpu_seconds) if earlier else (0.0, 0.0)

    def receipt_now(rows_out: int, counts: dict[str, int], content: str = "") -> Receipt:
        wall, cpu = clock.seconds()
        return make_receipt(
            stage.name,
            stage.version,
            table,
            settings,
            {**inputs, "=content": content},
            rows=(work.height, rows_out),
            counts=counts,
            seconds=(before[0] + wall, before[1] + cpu),
            command=context.command,
            loose=stage.loose,
        )

    def mark() -> None:
        write_json(folder / STARTED, receipt_now(0, {}).model_dump(mode="json"))

    for leftover in folder.glob(".part-*.tmp"):
        leftover.unlink()
    state: State = "resumed" if todo.height < work.height else "done"
    if state == "resumed":
        context.progress.note(
            f"{table}: {work.height - todo.height:,} of {work.height:,} rows are there already"
        )
    _do_shards(stage, config, context, todo, folder, mark)
    _compact(stage, folder)
    out = scan_parts(folder) if any(folder.glob("part-*.parquet")) else None
    rows = out.select(pl.len()).collect().item() if out is not None else 0
    counts = _counts(stage, out) if out is not None else {}
    receipt = receipt_now(rows, counts, _content(folder))
    write_receipt(folder, receipt)
    return Result(table, state, rows, receipt)


def _started(folder: Path) -> Receipt | None:
    file = folder / STARTED
    return Receipt.model_validate_json(file.read_text()) if file.exists() else None


def _content(folder: Path) -> str:
    """Return the hash of all parts: what later tables are made from, whatever the settings say."""
    digest = hashlib.blake2b(digest_size=8)
    for part in sorted(folder.glob("part-*.parquet")):
        with part.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _do_shards(
    stage: Stage,
    config: Config,
    context: Context,
    todo: pl.DataFrame,
    folder: Path,
    mark: Callable[[], None],
) -> None:
    """Do the work shard by shard; ``mark`` notes in the folder that it is unfinished."""
    if stage.backend is None:
        raise TypeError(f"batch stage {stage.name} has no backend")
    if not todo.height:
        return
    record = _record(stage, config)
    size = stage.shard_rows(config) if stage.shard_rows else SHARD_ROWS
    number = next_part(folder)
    sealed = 0
    context.progress.start(todo.height, stage.writes)
    try:
        with stage.backend(config, context) as backend:
            # Only now: an engine that does not start must not cost a finished table its receipt.
            mark()
            (folder / RECEIPT).unlink(missing_ok=True)
            for shard in todo.iter_slices(size):
                out = conform(stage.fn(config, shard, backend).lazy().collect(), record)
                if out.height != shard.height:
                    raise WorkspaceError(
                        f"{stage.name} returned {out.height} rows for a shard of {shard.height}"
                    )
                write_part(out, folder, number)
                number += 1
                sealed += shard.height
                if not stage.counts_itself:
                    context.progress.advance(rows=shard.height)
    except KeyboardInterrupt:
        if sealed:
            mark()
        raise Interrupted(
            f"stopped: {sealed:,} of {todo.height:,} rows of {stage.writes} were sealed in this "
            "run and are kept; the same command goes on from there"
        ) from None


def workspace_root(path: Path) -> Path:
    """Return the workspace directory, or raise WorkspaceError if it does not exist."""
    if not path.is_dir():
        raise WorkspaceError(f"{path}: no such directory; make a workspace with `r1data init`")
    return Path(os.path.abspath(path))
