"""What a stage is: a frozen value around an ordinary function, in one of two shapes.

* ``frame``: ``fn(config, tables) -> LazyFrame``. Pure: no collect, no I/O, no Python per row.
* ``batch``: ``plan(config, tables) -> LazyFrame`` names the work, one row a key; then
  ``fn(config, shard, backend) -> DataFrame`` does one shard of it. It may be slow or costly; only
  the runner knows of shards, retries, resuming and processes.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict

Tables = Mapping[str, pl.LazyFrame]
FrameFunction = Callable[[Any, Tables], pl.LazyFrame]


class Config(BaseModel):
    """Settings of one stage or command. The text below each field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Progress(Protocol):
    """Where long work reports what it has done."""

    def start(self, total: int, unit: str) -> None:
        """Announce how many rows are to be done."""
        ...

    def advance(self, rows: int = 0, tokens: int = 0) -> None:
        """Report rows finished and tokens sampled."""
        ...

    def note(self, text: str) -> None:
        """Say one line that a person should see."""
        ...


class Silent:
    """Progress that nobody watches."""

    def start(self, total: int, unit: str) -> None:
        """Do nothing."""

    def advance(self, rows: int = 0, tokens: int = 0) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Context:
    """What a stage or action may know of the run it is part of."""

    root: Path
    """The workspace."""
    progress: Progress = field(default_factory=Silent)
    force: bool = False
    """Make again what exists with other settings."""
    command: str = ""
    """The command line or recipe step, for the receipt."""


@dataclass(frozen=True)
class Stage:
    """A step from tables to a table."""

    name: str
    version: int
    """Raised whenever the same config and input would give another output."""
    reads: tuple[str, ...]
    writes: str
    """Table, or slice with a config field in braces: ``picks/{corpus}``."""
    config: type[Config]
    fn: Callable[..., pl.LazyFrame | pl.DataFrame]
    kind: Literal["frame", "batch"]
    optional: tuple[str, ...] = ()
    """Tables that are read if they exist."""
    sources: Callable[[Any, Path], dict[str, pl.LazyFrame]] | None = None
    """Files that are read besides tables; the frames join the tables under their names."""
    plan: FrameFunction | None = None
    """batch: the rows of work, with the key columns of the written table."""
    check: Callable[[Any, pl.DataFrame], None] | None = None
    """batch: raises for planned work that cannot be done, before any of it is."""
    valid: Callable[[Any, pl.LazyFrame], pl.LazyFrame] | None = None
    """batch: which rows of an earlier run can be kept; all of them by default."""
    backend: Callable[[Any, Context], AbstractContextManager[Any]] | None = None
    """batch: opens the engine that fn works with."""
    shard_rows: Callable[[Any], int] | None = None
    """batch: rows of a sealed part file; 1024 by default."""
    loose: tuple[str, ...] = ()
    """Config fields that do not change a row once it is made, so are no drift."""
    fresh: tuple[str, ...] = ()
    """Tables that must have been made from the other tables as they are now."""
    enters: str = ""
    """Table whose rows the receipt counts as entering (config fields in braces); the last of reads
    by default."""
    counts_itself: bool = False
    """batch: fn reports finished rows as it goes, so the runner does not."""
    reason: str | None = None
    """Column whose values the receipt counts."""
    identity: Callable[[Any, Path], dict[str, str]] | None = None
    """What the config's names stand for (weights behind a model path), for the fingerprint."""


@dataclass(frozen=True)
class Action:
    """A command over tables that is not a plain table function: problems, train, eval, mini."""

    name: str
    version: int
    config: type[Config]
    fn: Callable[[Any, Context], Any]
    reads: tuple[str, ...] = ()
    writes: str = ""
    """What it writes, with config fields in braces: ``models/{name}``."""
    is_gate: bool = False
    """Whether a recipe's later phases must wait for it."""


def fingerprint(*parts: Any) -> str:
    """Return 16 hex digits for JSON-like values; raise TypeError for what has no stable bytes."""
    data = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(data.encode(), digest_size=8).hexdigest()
