"""The step loop that SFT and GRPO share: resuming, metrics, checkpoints, Ctrl-C.

A step has two halves. ``prepare`` may be interrupted at any moment, for it changes nothing that a
checkpoint holds but the random state, of which the loop keeps a copy from the step's beginning.
``update`` changes the model; Ctrl-C is held back until it and its line of metrics are done. So
the state that an interruption saves is always that of a whole step, and going on from it gives the
parameters of a run that was never interrupted, bit for bit.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from r1data.train.checkpoint import (
    Json,
    load_checkpoint,
    parameters_hash,
    random_state,
    save_checkpoint,
    save_model,
)
from r1data.train.settings import BOOKKEEPING, TrainConfig

Report = Callable[[Json], None]
Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Run:
    """What one training run works on."""

    kind: str
    config: TrainConfig
    steps: int
    identity: Json
    """What must agree for this run to go on with another's checkpoint."""
    model: Any
    tokenizer: Any
    optimizer: torch.optim.Optimizer
    out: Path
    report: Report | None = None


def run_identity(
    kind: str, settings: type[TrainConfig], config: TrainConfig, rows_hash: str, model: Any
) -> Json:
    """Return what a checkpoint must agree with: settings of the trainer, rows, starting model."""
    names = settings.model_fields.keys() - set(BOOKKEEPING)
    values = config.model_dump(mode="json", include=names)
    start = parameters_hash(model)
    return {"kind": kind, **values, "rows of the corpus": rows_hash, "starting model": start}


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, then raise KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    held: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if held:
        raise KeyboardInterrupt


def train_loop(
    run: Run, prepare: Callable[[int], Prepared], update: Callable[[int, Prepared], Json]
) -> Json:
    """Do the steps that are still to be done, write the model folder, and return a summary.

    prepare, update: the halves of step ``step`` (from 0); update returns the step's metrics.
    Raises KeyboardInterrupt after writing a checkpoint.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    folder, log = run.out / "checkpoints", run.out / "metrics.jsonl"
    start = load_checkpoint(folder, run.identity, run.model, run.optimizer)
    _cut_log(log, start)
    done, random, totals = start, random_state(), _Totals()

    def save() -> None:
        with uninterrupted():
            keep = run.config.keep_checkpoints
            save_checkpoint(folder, done, run.identity, run.model, run.optimizer, random, keep)

    with log.open("a", encoding="utf-8") as lines:
        try:
            for step in range(start, run.steps):
                began = time.perf_counter()
                prepared = prepare(step)
                with uninterrupted():
                    line = {"step": step + 1, "kind": run.kind, **update(step, prepared)}
                    line["seconds"] = round(time.perf_counter() - began, 4)
                    lines.write(json.dumps(line) + "\n")
                    lines.flush()
                    totals.add(line)
                    done, random = step + 1, random_state()
                if run.report:
                    run.report(line)
                if run.config.checkpoint_every and done % run.config.checkpoint_every == 0:
                    save()
        except KeyboardInterrupt:
            if done:
                save()
            raise
    with uninterrupted():
        save_model(run.model, run.tokenizer, run.out)
    return {"steps": run.steps, "resumed_from": start, **totals.summary()}


class _Totals:
    def __init__(self) -> None:
        self.tokens = 0
        self.seconds = 0.0
        self.last: Json = {}

    def add(self, line: Json) -> None:
        self.tokens += line["tokens"]
        self.seconds += line["seconds"]
        self.last = line

    def summary(self) -> Json:
        """Return tokens and seconds of the steps done in this process, and the last step's loss."""
        seconds = round(self.seconds, 3)
        return {"tokens": self.tokens, "seconds": seconds, "loss": self.last.get("loss")}


def _cut_log(log: Path, step: int) -> None:
    """Drop the lines of steps after the checkpoint, which are about to be done again."""
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    # A line that a killed process left unfinished is the last one, and of a later step.
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    temporary = log.with_suffix(".tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, log)
