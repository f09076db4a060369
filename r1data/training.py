"""train: corpora -> models. Loads the model, wires sampler and reward, keeps the receipt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from r1data.core.errors import ConfigError, DriftError, InputError, WorkspaceError
from r1data.core.run import Clock, Result, drift, make_receipt
from r1data.core.sampling import Completion, Request, SamplingParams
from r1data.core.stage import Action, Config, Context
from r1data.core.tables import Workspace, clear, write_receipt
from r1data.rewards import RewardConfig, measure
from r1data.train.settings import BOOKKEEPING, GrpoConfig, SftConfig


class ModelConfig(Config):
    """What every trainer needs to know of its model."""

    model: str
    """Model folder, smollm2 or a Hub id to start from."""
    corpus: str
    """Corpus to train on: a name under corpora/, or a path to a corpus directory."""
    name: str
    """Name of the trained model: models/NAME."""
    dtype: str = "float32"
    """Type of the master weights."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    limit: int | None = None
    """Train on the first rows only."""


class TrainSftConfig(SftConfig, ModelConfig):
    """Settings of `r1data train sft`."""

    corpus: str = "sft"
    """Corpus to train on: a name under corpora/, or a path to a corpus directory."""
    name: str = "sft"
    """Name of the trained model: models/NAME."""


class TrainDistillConfig(TrainSftConfig):
    """Settings of `r1data train distill`: SFT of a student on a teacher's traces."""

    corpus: str = "distill"
    """Corpus to train on: a name under corpora/, or a path to a corpus directory."""
    name: str = "distill"
    """Name of the trained model: models/NAME."""
    model: str = "smollm2"
    """Student to start from: model folder, smollm2 or a Hub id."""


class TrainGrpoConfig(GrpoConfig, ModelConfig):
    """Settings of `r1data train grpo`."""

    corpus: str = "rl"
    """RL corpus: a name under corpora/, or a path to a corpus directory."""
    name: str = "grpo"
    """Name of the trained model: models/NAME."""
    batch_size: int = 256
    """Sequences sampled together."""
    reward: RewardConfig = Field(default_factory=RewardConfig)
    """Weights and definitions of the reward."""


def corpus_folder(root: Path, corpus: str) -> tuple[Workspace, str]:
    """Return the workspace and table of a corpus: ``corpora/NAME`` here, or a path to one."""
    if "/" not in corpus:
        return Workspace(root), f"corpora/{corpus}"
    folder = Path(corpus) if Path(corpus).is_absolute() else root / corpus
    if folder.parent.name != "corpora":
        raise ConfigError(f"corpus {corpus!r}: a path must end in corpora/NAME")
    return Workspace(folder.parent.parent), f"corpora/{folder.name}"


def read_corpus(root: Path, corpus: str, limit: int | None) -> tuple[pl.DataFrame, str]:
    """Return a corpus and its fingerprint. Raises WorkspaceError that lists what there is."""
    workspace, table = corpus_folder(root, corpus)
    if not workspace.has(table):
        names = sorted(p.parent.name for p in workspace.path("corpora").glob("*/_receipt.json"))
        there = f"there are {', '.join(names)}" if names else "there are none yet"
        raise WorkspaceError(
            f"no corpus {corpus!r} in {workspace.root} ({there}); `r1data select {corpus}` and "
            f"`r1data assemble {corpus}` make it"
        )
    frame = workspace.scan(table)
    rows = (frame.head(limit) if limit else frame).collect()
    if not rows.height:
        raise InputError(
            f"corpus {corpus!r} has no rows; `r1data report` shows where they were left out"
        )
    return rows, workspace.fingerprint(table)


def _model_cost(root: Path, model: str) -> float:
    """Return the CPU seconds that went into a starting point trained by r1data, else 0."""
    folder = Path(model) if Path(model).is_absolute() else root / model
    receipt = Workspace(folder.parent).receipt(folder.name)
    return float(getattr(receipt, "chain_cpu_seconds", 0.0)) if receipt else 0.0


def _train(config: Any, context: Context, stage: str, train: Any) -> Result:
    """Skip, or train and write the receipt. ``train(rows, model, tokenizer, out, report)``."""
    from r1data.backends.models import load_model, model_fingerprint, resolve_model

    root = context.root
    rows, corpus_print = read_corpus(root, config.corpus, config.limit)
    start = resolve_model(config.model, root)
    inputs = {f"corpora/{config.corpus}": corpus_print, "=model": model_fingerprint(start)}
    table = f"models/{config.name}"
    settings = config.model_dump(mode="json")
    workspace = Workspace(root)
    present = workspace.receipt(table)
    clock = Clock()

    def receipt_now(**extra: Any) -> Any:
        return make_receipt(
            stage,
            1,
            table,
            settings,
            inputs,
            rows=(rows.height, extra.pop("trained", rows.height)),
            counts=extra.pop("left_out", {}),
            seconds=clock.seconds(),
            command=context.command,
            loose=BOOKKEEPING,
            **extra,
        )

    if present is not None:
        if present.fingerprint == receipt_now().fingerprint:
            return Result(table, "skipped", present.rows_out, present)
        if not context.force:
            fields = drift(present.config, settings, BOOKKEEPING)
            raise DriftError(
                str(workspace.path(table)), fields or ["the corpus or the starting model"]
            )
    folder = workspace.path(table)
    if isinstance(start, Path) and start.resolve() == folder.resolve():
        raise ConfigError(f"{table} cannot replace the model it starts from; give another --name")
    model, tokenizer = load_model(start, dtype=config.dtype, device=config.device)
    if context.force:
        clear(folder)  # or the trainer would go on from its checkpoints
    summary = train(rows, model, tokenizer, workspace.path(table))
    cost = clock.seconds()[1]
    left_out = dict(summary.get("left_out", {}))
    receipt = receipt_now(
        left_out=left_out,
        trained=rows.height - sum(left_out.values()),
        summary={k: v for k, v in summary.items() if k != "left_out"},
        chain_cpu_seconds=round(_model_cost(root, config.model) + cost, 1),
    )
    write_receipt(workspace.path(table), receipt)
    return Result(table, "done", receipt.rows_out, receipt)


def _report(context: Context, total: int) -> Any:
    context.progress.start(total, "steps")

    def report(metrics: dict[str, Any]) -> None:
        context.progress.advance(rows=1, tokens=int(metrics.get("tokens", 0)))

    return report


def run_sft(config: TrainSftConfig, context: Context) -> Result:
    """Train on a cold-start, sft or distill corpus."""
    from r1data.train.sft import train_sft

    def train(rows: pl.DataFrame, model: Any, tokenizer: Any, out: Path) -> dict[str, Any]:
        if "messages" not in rows.columns:
            raise InputError(f"corpus {config.corpus!r} has no messages; is it an RL corpus?")
        steps = config.steps or int(-(-rows.height // config.batch_size) * config.epochs)
        return train_sft(config, rows, model, tokenizer, out, _report(context, steps))

    return _train(config, context, "train-sft", train)


def run_grpo(config: TrainGrpoConfig, context: Context) -> Result:
    """Train by GRPO on an RL corpus, rewarded by verify and filter."""
    from r1data.backends.transformers import TransformersSampler
    from r1data.train.grpo import train_grpo

    def train(rows: pl.DataFrame, model: Any, tokenizer: Any, out: Path) -> dict[str, Any]:
        if "prompt" not in rows.columns or "verifier" not in rows.columns:
            raise InputError(f"corpus {config.corpus!r} is no RL corpus; assemble one of kind rl")
        sampler = TransformersSampler(model, tokenizer, batch_size=config.batch_size)

        def sample(requests: list[Request], params: SamplingParams) -> list[Completion]:
            out = dict(sampler.generate(requests, params))
            return [out[i] for i in range(len(requests))]

        def reward(
            rows: pl.DataFrame, completions: Sequence[Completion], prefills: Sequence[str]
        ) -> pl.DataFrame:
            return measure(config.reward, rows, completions, prefills)

        report = _report(context, config.steps)
        return train_grpo(config, rows, model, tokenizer, sample, reward, out, report)

    return _train(config, context, "train-grpo", train)


SFT = Action("train.sft", 1, TrainSftConfig, run_sft, ("corpora/{corpus}",), "models/{name}", True)
DISTILL = Action(
    "train.distill", 1, TrainDistillConfig, run_sft, ("corpora/{corpus}",), "models/{name}"
)
GRPO = Action("train.grpo", 1, TrainGrpoConfig, run_grpo, ("corpora/{corpus}",), "models/{name}")
