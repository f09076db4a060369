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
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

Tables = Mapping[str, pl.LazyFrame]
FrameFunction = Callable[[Any, Tables], pl.LazyFrame]
BatchFunction = Callable[[Any, pl.DataFrame, Any], pl.DataFrame]


class Config(BaseModel):
    """Settings of one stage or command. The text below each field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class Stage:
    """A step from tables to a table."""

    name: str
    version: int
    """Raised whenever the same config and input would give another output."""
    reads: tuple[str, ...]
    writes: str
    config: type[Config]
    fn: FrameFunction | BatchFunction
    kind: Literal["frame", "batch"]
    optional: tuple[str, ...] = ()
    """Tables that are read if they exist."""
    plan: FrameFunction | None = None
    """batch: the rows of work, with the key columns of the written table."""
    valid: Callable[[Any, pl.LazyFrame], pl.LazyFrame] | None = None
    """batch: which rows of an earlier run can be kept; all of them by default."""
    backend: Callable[[Any], AbstractContextManager[Any]] | None = None
    """batch: opens the engine that fn works with."""
    shard_rows: Callable[[Any], int] | None = None
    """batch: rows of a sealed part file; 1024 by default."""
    loose: tuple[str, ...] = ()
    """Config fields that do not change a row once it is made, so are no drift."""
    append: tuple[str, ...] = ()
    """frame: columns that name a slice of the table (a corpus, an item); other slices are kept."""


def fingerprint(*parts: Any) -> str:
    """Return 16 hex digits for JSON-like values; raise TypeError for what has no stable bytes."""
    data = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(data.encode(), digest_size=8).hexdigest()
