"""Recipe steps that only the miniature world needs: its base corpus and its fresh models."""

from typing import Literal

import polars as pl

from r1data.core.errors import ConfigError
from r1data.core.frames import CorpusConfig
from r1data.core.run import Clock, Result, make_receipt
from r1data.core.stage import Action, Config, Context
from r1data.core.tables import Receipt, Workspace, clear, write_part, write_receipt
from r1data.mini.world import LANGUAGES, pretraining_corpus


class CorpusSettings(CorpusConfig):
    """Settings of the base corpus."""

    rows: int = 20000
    """Documents."""
    seed: int = 0
    """Seed of the documents."""
    digits: tuple[int, ...] = (3,)
    """Counts of digits of the numbers."""
    languages: tuple[str, ...] = LANGUAGES
    """Languages of the questions."""


class ModelSettings(Config):
    """Settings of a fresh model."""

    name: str
    """models/NAME."""
    size: Literal["teacher", "student"] = "teacher"
    """teacher (0.34M parameters) or student (0.1M)."""
    seed: int = 0
    """Seed of the weights."""


def _present(config: Config, context: Context, name: str, table: str) -> tuple[Receipt, bool]:
    receipt = make_receipt(
        name,
        1,
        table,
        config.model_dump(mode="json"),
        {},
        rows=(0, 0),
        counts={},
        seconds=(0.0, 0.0),
        command=context.command,
    )
    old = Workspace(context.root).receipt(table)
    if old is not None and old.fingerprint == receipt.fingerprint and not context.force:
        return old, True
    clear(context.root / table)
    return receipt, False


def make_corpus(config: CorpusSettings, context: Context) -> Result:
    """Write the base corpus as corpora/NAME."""
    if config.kind != "sft":
        raise ConfigError(f"the base corpus is of kind sft, not {config.kind}")
    table = f"corpora/{config.corpus}"
    receipt, there = _present(config, context, "mini.corpus", table)
    if there:
        return Result(table, "skipped", receipt.rows_out, receipt)
    clock = Clock()
    rows: pl.DataFrame = pretraining_corpus(
        config.rows, config.seed, config.digits, config.languages
    )
    write_part(rows, context.root / table, 0)
    wall, cpu = clock.seconds()
    receipt = receipt.model_copy(
        update={"rows_out": rows.height, "seconds": wall, "cpu_seconds": cpu}
    )
    write_receipt(context.root / table, receipt)
    return Result(table, "done", rows.height, receipt)


def make_model(config: ModelSettings, context: Context) -> Result:
    """Write a fresh model as models/NAME."""
    table = f"models/{config.name}"
    receipt, there = _present(config, context, "mini.model", table)
    if not there:
        from r1data.mini.model import save

        save(context.root / table, config.size, config.seed)
        write_receipt(context.root / table, receipt)
    return Result(table, "skipped" if there else "done", 0, receipt)


CORPUS = Action("mini.corpus", 1, CorpusSettings, make_corpus, (), "corpora/{corpus}")
MODEL = Action("mini.model", 1, ModelSettings, make_model, (), "models/{name}")
