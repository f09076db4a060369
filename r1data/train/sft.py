"""Supervised fine-tuning of a causal language model on conversations.

The R1 paper trains three times this way: the cold start, the second SFT on about 800k samples
(2-3 epochs, cosine decay) and the distilled models. Kept of it: next-token cross-entropy on the
completion alone, AdamW, cosine decay. Left out: packing (a document never sees another one), and
training on earlier assistant turns, whose reasoning the paper's templates drop.

The loss of an optimiser step is a sum over trained tokens divided by one number for the whole step,
so it does not depend on how the step is split into micro-batches.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from r1data.train.checkpoint import Json
from r1data.train.data import (
    Documents,
    collate,
    documents_hash,
    encode_conversations,
    padding_id,
)
from r1data.train.forward import make_score
from r1data.train.loop import Report, Run, run_identity, train_loop
from r1data.train.losses import sft_loss
from r1data.train.optimise import (
    build_optimizer,
    learning_rate,
    optimiser_step,
    prepare_model,
)
from r1data.train.settings import SftConfig

_BUCKET_BATCHES = 64


def train_sft(
    config: SftConfig,
    rows: pl.DataFrame,
    model: Any,
    tokenizer: Any,
    out: Path,
    report: Report | None = None,
) -> Json:
    """Train ``model`` in place on ``rows`` and write it to ``out`` as a Hugging Face folder.

    rows: a column ``messages`` (list of struct role, content) whose last turn is the assistant's.
    report is called with each step's metrics, which also go to ``out/metrics.jsonl``: step, kind,
    loss (nats per trained token, or over the constant), learning_rate, grad_norm, tokens (trained),
    seconds. A checkpoint of the same run in ``out/checkpoints`` is continued.

    Returns steps, resumed_from, tokens, seconds, loss, rows (used), left_out (by reason), and
    completion_tokens (mean). Raises InputError without usable rows, DriftError if ``out`` holds
    checkpoints of other settings, KeyboardInterrupt after writing a checkpoint.
    """
    documents, left_out = encode_conversations(rows, tokenizer, config.template, config.max_length)
    prepare_model(model, config)
    optimizer = build_optimizer(model, config)
    steps = config.steps or max(1, round(config.epochs * batches_per_epoch(documents, config)))
    identity = run_identity("sft", SftConfig, config, documents_hash(documents), model)
    run = Run("sft", config, steps, identity, model, tokenizer, optimizer, out, report)
    backward = _backward(config, documents, model, padding_id(tokenizer))
    batches = _Batches(documents, config)

    def prepare(step: int) -> tuple[float, int]:
        optimizer.zero_grad(set_to_none=True)
        return backward(batches[step])

    def update(step: int, done: tuple[float, int]) -> Json:
        rate = learning_rate(step, steps, config)
        norm = optimiser_step(model, optimizer, rate, config.gradient_clip)
        loss, tokens = done
        return {"loss": loss, "learning_rate": rate, "grad_norm": norm, "tokens": tokens}

    summary = train_loop(run, prepare, update)
    mean = float(documents.completion_lengths.double().mean())
    return {**summary, "rows": len(documents), "left_out": left_out, "completion_tokens": mean}


def _backward(
    config: SftConfig, documents: Documents, model: Any, pad_id: int
) -> Callable[[Tensor], tuple[float, int]]:
    """Return the function that adds a batch's gradient and returns its loss and trained tokens."""
    score = make_score(model, config.autocast)
    device = next(model.parameters()).device
    constant = config.batch_size * float(documents.completion_lengths.double().mean())

    def backward(rows: Tensor) -> tuple[float, int]:
        rows = rows[documents.lengths[rows].argsort(descending=True, stable=True)]
        tokens = int(documents.completion_lengths[rows].sum())
        divisor = tokens if config.normalise == "tokens" else constant
        total = torch.zeros((), device=device)
        for part in torch.split(rows, config.micro_batch):
            ids, loss_mask = (t.to(device) for t in collate(documents, part, pad_id))
            logprobs = score(ids, loss_mask, 1.0)  # (n,): the trained tokens alone
            loss = sft_loss(logprobs, torch.ones_like(logprobs), total_tokens=divisor)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            total += loss.detach()
        return float(total), tokens

    return backward


def batches_per_epoch(documents: Documents, config: SftConfig) -> int:
    """Return the optimiser steps of one pass; the last batch may be smaller."""
    return math.ceil(len(documents) / config.batch_size)


def epoch_batches(documents: Documents, config: SftConfig, epoch: int) -> list[Tensor]:
    """Return the batches of one epoch: every document once, in an order of seed and epoch alone."""
    generator = torch.Generator().manual_seed((config.seed << 20) + epoch)
    order = torch.randperm(len(documents), generator=generator)
    if not config.bucket_by_length:
        return list(torch.split(order, config.batch_size))
    batches: list[Tensor] = []
    for window in torch.split(order, _BUCKET_BATCHES * config.batch_size):
        by_length = window[documents.lengths[window].argsort(stable=True)]
        batches += torch.split(by_length, config.batch_size)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


class _Batches:
    """Batch of any step: a function of the settings, so a resumed run needs no position but it."""

    def __init__(self, documents: Documents, config: SftConfig) -> None:
        self._documents, self._config = documents, config
        self._epoch, self._batches = -1, list[Tensor]()

    def __getitem__(self, step: int) -> Tensor:
        epoch, index = divmod(step, batches_per_epoch(self._documents, self._config))
        if epoch != self._epoch:
            self._batches = epoch_batches(self._documents, self._config, epoch)
            self._epoch = epoch
        return self._batches[index]
