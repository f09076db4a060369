"""Group relative policy optimisation with a verifiable reward.

The objective of DeepSeek-R1 (arXiv 2501.12948, equations 1-3; `losses` gives it in full), and what
this file does with each term:

* group of G completions a prompt, A = (r - mean) / std: kept; dividing by std is a setting, off by
  default, since it gives the easiest and the hardest prompts the largest weight;
* min(ratio A, clip(ratio) A): kept, per token and with two bounds; the paper's epsilon is 10, which
  is ``clip_low=1 clip_high=10``;
* KL(policy, reference), k3, coefficient 0.001: kept, off by default (beta 0);
* reference replaced by the policy every 400 steps: left out, the reference is the initial model;
* 1/|completion| per sequence (DeepSeekMath): ``loss="grpo"``; the default divides by tokens;
* one rollout of 8,192 completions for 16 updates: ``minibatches``, 1 by default.

Added: groups whose rewards are all equal are left out of the update (and so of its KL term and its
divisor), and a truncated importance weight corrects a sampler that is not quite the trainer.
A completion is trained on as the very token ids that were sampled.
"""

import copy
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from r1data.core.errors import BackendError, InputError
from r1data.core.prompts import FEW_SHOT_STOP, render
from r1data.core.sampling import Completion, Prompt, Request, SamplingParams
from r1data.train.checkpoint import Json
from r1data.train.data import collate, encode_prompts, padding_id
from r1data.train.forward import Score, make_score, to_grid
from r1data.train.loop import Report, Run, run_identity, train_loop
from r1data.train.losses import grpo_loss, policy_metrics
from r1data.train.optimise import build_optimizer, learning_rate, optimiser_step, prepare_model
from r1data.train.rollouts import Rollouts, make_rollouts, step_prompts, step_requests
from r1data.train.settings import GrpoConfig

__all__ = ["GrpoConfig", "Policy", "Reward", "Sample", "train_grpo", "update_policy"]

Sample = Callable[[list[Request], SamplingParams], list[Completion]]
"""Draws one completion a request, in order, from the model as it is at that moment."""
Reward = Callable[[pl.DataFrame, list[Completion], list[str]], pl.DataFrame]
"""(rl rows, completions, prefills), one each per completion -> frame with ``reward`` and parts."""


@dataclass(frozen=True)
class Policy:
    """A model in training and what its updates need."""

    model: Any
    optimizer: torch.optim.Optimizer
    score: Score
    reference: Score | None
    """Scores under the frozen initial model; None at beta 0."""
    pad_id: int
    device: torch.device


def train_grpo(
    config: GrpoConfig,
    rows: pl.DataFrame,
    model: Any,
    tokenizer: Any,
    sample: Sample,
    reward: Reward,
    out: Path,
    report: Report | None = None,
) -> Json:
    """Train ``model`` in place by GRPO and write it to ``out`` as a Hugging Face folder.

    rows: an RL corpus (``core.records.RlRow``): at least prompt, problem_id and what ``reward``
    reads. ``sample`` must draw from the live ``model``, at top-p 1. ``reward`` returns a float
    column ``reward`` (null or NaN: could not be judged, so left out of its group) and any number of
    component columns, whose means are logged.

    Each step's metrics go to ``report`` and ``out/metrics.jsonl``: step, kind, loss, learning_rate,
    grad_norm (mean over updates), tokens (sampled), seconds, sample_seconds, reward and component
    means, completion_tokens (mean), truncated (share), zero_variance_groups, trained (completions),
    clip_fraction, entropy (estimate: mean of -log p of the sampled tokens, nats), kl (k3 to the
    reference, beta > 0), sampler_gap and sampler_gap_mean (|log p trainer - log p sampler|).
    A checkpoint of the same run in ``out/checkpoints`` is continued.

    Returns steps, resumed_from, tokens, seconds, loss. Raises InputError for unusable rows,
    BackendError if sample or reward break their contract, DriftError if ``out`` holds checkpoints
    of other settings, KeyboardInterrupt after writing a checkpoint.
    """
    prompts = _render_prompts(config, rows, tokenizer)
    prompt_ids = encode_prompts(prompts, tokenizer)
    prepare_model(model, config)
    _switch_dropout_off(model)
    policy = _make_policy(config, model, tokenizer)
    rows_hash = hashlib.blake2b(rows.write_json().encode(), digest_size=8).hexdigest()
    identity = run_identity("grpo", GrpoConfig, config, rows_hash, model)
    optimizer = policy.optimizer
    run = Run("grpo", config, config.steps, identity, model, tokenizer, optimizer, out, report)

    def prepare(step: int) -> Rollouts:
        chosen = step_prompts(len(rows), config, step)
        requests = step_requests(config, rows["problem_id"].to_list(), prompts, chosen, step)
        began = time.perf_counter()
        completions = _draw(config, model, sample, requests)
        seconds = round(time.perf_counter() - began, 4)
        repeated = [i for i in chosen for _ in range(config.group_size)]
        prefills = [request.prompt.prefill for request in requests]
        judged = reward(rows[repeated], completions, prefills)
        ids = [c.prompt_ids or prompt_ids[i] for c, i in zip(completions, repeated, strict=True)]
        rollouts = make_rollouts(config, ids, completions, judged)
        rollouts.metrics["sample_seconds"] = seconds
        return rollouts

    def update(step: int, rollouts: Rollouts) -> Json:
        rate = learning_rate(step, config.steps, config)
        return update_policy(config, policy, rollouts, step, rate)

    return train_loop(run, prepare, update)


def _render_prompts(config: GrpoConfig, rows: pl.DataFrame, tokenizer: Any) -> list[Prompt]:
    missing = [name for name in ("prompt", "problem_id") if name not in rows.columns]
    if missing:
        raise InputError(f"the RL corpus has no column {', '.join(missing)}")
    if not len(rows):
        raise InputError("the RL corpus is empty; loosen its filters or add problems")
    return [render(turns, config.template, tokenizer) for turns in rows["prompt"].to_list()]


def _switch_dropout_off(model: torch.nn.Module) -> None:
    """Dropout would make the first ratio differ from 1, and the sampler from the trainer."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if "attention_dropout" in vars(module):
            vars(module)["attention_dropout"] = 0.0


def _make_policy(config: GrpoConfig, model: Any, tokenizer: Any) -> Policy:
    reference: Score | None = None
    if config.beta > 0:
        frozen = copy.deepcopy(model).eval().requires_grad_(False)
        reference = make_score(frozen, config.autocast)
    return Policy(
        model=model,
        optimizer=build_optimizer(model, config),
        score=make_score(model, config.autocast),
        reference=reference,
        pad_id=padding_id(tokenizer),
        device=next(model.parameters()).device,
    )


def _draw(
    config: GrpoConfig, model: Any, sample: Sample, requests: list[Request]
) -> list[Completion]:
    stop = config.stop or (FEW_SHOT_STOP if config.template == "few-shot" else ())
    params = SamplingParams(
        temperature=config.temperature, max_tokens=config.max_completion_tokens, stop=stop
    )
    model.eval()
    with torch.no_grad():
        completions = sample(requests, params)
    model.train()
    if len(completions) != len(requests):
        raise BackendError(
            f"the sampler gave {len(completions)} completions for {len(requests)} requests"
        )
    return completions


def plan_updates(config: GrpoConfig, trained: Tensor, step: int) -> list[Tensor]:
    """Return the rows of each optimiser update of a step; at most epochs * minibatches updates."""
    generator = torch.Generator().manual_seed((config.seed << 20) + step)
    parts: list[Tensor] = []
    for _ in range(config.epochs):
        order = trained[torch.randperm(len(trained), generator=generator)]
        parts += [part for part in order.tensor_split(config.minibatches) if len(part)]
    return parts


def update_policy(
    config: GrpoConfig, policy: Policy, rollouts: Rollouts, step: int, rate: float
) -> Json:
    """Do the optimiser updates of one step and return its metrics.

    The old log-probabilities are the trainer's own, of before the first update: the first update
    takes its forward pass for them, and completions of later ones are scored beforehand.
    """
    updates = plan_updates(config, rollouts.trained, step)
    old = torch.zeros_like(rollouts.sampler_logprobs, device=policy.device)  # (N, C)
    later = set(rollouts.trained.tolist()) - set(updates[0].tolist() if updates else [])
    with torch.no_grad():
        for part in _micro_batches(config, rollouts, torch.tensor(sorted(later)).long()):
            logprobs, _ = _score(config, policy.score, policy, rollouts, part)
            old[part, : logprobs.shape[1]] = logprobs
    losses, norms = [], []
    sums = torch.zeros(3, device=policy.device)  # tokens, clipped, kl
    for number, update in enumerate(updates):
        policy.optimizer.zero_grad(set_to_none=True)
        tokens = int(rollouts.documents.completion_lengths[update].sum())
        total = torch.zeros((), device=policy.device)
        for part in _micro_batches(config, rollouts, update):
            share = len(part) / len(update)
            loss, counts = _part_loss(
                config, policy, rollouts, part, old, fresh=number == 0, tokens=tokens, share=share
            )
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            total += loss.detach()
            sums += counts
        losses.append(float(total))
        norms.append(optimiser_step(policy.model, policy.optimizer, rate, config.gradient_clip))
    return {
        "loss": sum(losses) / max(len(losses), 1),
        "learning_rate": rate,
        "grad_norm": sum(norms) / max(len(norms), 1),
        **rollouts.metrics,
        **_token_metrics(config, rollouts, old.cpu(), sums.tolist()),
    }


def _micro_batches(config: GrpoConfig, rollouts: Rollouts, rows: Tensor) -> list[Tensor]:
    lengths = rollouts.documents.lengths[rows]
    if not len(rows):
        return []
    order = lengths.argsort(descending=True, stable=True)
    return list(torch.split(rows[order], config.micro_batch))


def _score(
    config: GrpoConfig, score: Score, policy: Policy, rollouts: Rollouts, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities (B, C), 0 past the end, and the mask (B, C) of ``rows`` (B,)."""
    batch = collate(rollouts.documents, rows, policy.pad_id)
    lengths = rollouts.documents.completion_lengths[rows]
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)  # (B, C)
    ids, loss_mask = batch.ids.to(policy.device), batch.loss_mask.to(policy.device)
    mask = mask.to(policy.device)
    return to_grid(score(ids, loss_mask, config.temperature), mask), mask


def _part_loss(
    config: GrpoConfig,
    policy: Policy,
    rollouts: Rollouts,
    rows: Tensor,
    old: Tensor,
    *,
    fresh: bool,
    tokens: int,
    share: float,
) -> tuple[Tensor, Tensor]:
    """Return a micro-batch's part of an update's loss, and its sums (tokens, clipped, kl)."""
    logprobs, mask = _score(config, policy.score, policy, rollouts, rows)  # (B, C)
    width = mask.shape[1]
    if fresh:
        old[rows, :width] = logprobs.detach()
    reference = None
    if policy.reference:
        with torch.no_grad():
            reference, _ = _score(config, policy.reference, policy, rollouts, rows)
    sampler = rollouts.sampler_logprobs[rows, :width].to(policy.device)
    advantages = rollouts.advantages[rows].to(policy.device)
    loss = grpo_loss(
        logprobs,
        old[rows, :width],
        advantages,
        mask,
        loss=config.loss,
        clip_low=config.clip_low,
        clip_high=config.clip_high,
        ref_logprobs=reference,
        beta=config.beta,
        sampler_logprobs=sampler if config.sampler_correction else None,
        total_tokens=tokens,
        max_completion_tokens=config.max_completion_tokens,
    )
    if config.loss != "dapo":
        loss = loss * share  # a mean over the micro-batch's sequences becomes the update's
    counts = policy_metrics(
        logprobs,
        old[rows, :width],
        advantages,
        mask,
        clip_low=config.clip_low,
        clip_high=config.clip_high,
        ref_logprobs=reference,
    )
    return loss, torch.stack([count.float() for count in counts])


def _token_metrics(
    config: GrpoConfig, rollouts: Rollouts, old: Tensor, sums: Sequence[float]
) -> Json:
    tokens, clipped, kl = sums
    lengths = rollouts.documents.completion_lengths[rollouts.trained]
    mask = torch.arange(old.shape[1]) < lengths.unsqueeze(1)  # (n, C)
    taken = old[rollouts.trained][mask]
    gap = (taken - rollouts.sampler_logprobs[rollouts.trained][mask]).abs()
    gap = gap[~gap.isnan()]
    metrics: Json = {
        "clip_fraction": clipped / max(tokens, 1),
        "entropy": -float(taken.mean()) if len(taken) else None,
        "sampler_gap": float(gap.max()) if len(gap) else None,
        "sampler_gap_mean": float(gap.mean()) if len(gap) else None,
    }
    return metrics | ({"kl": kl / max(tokens, 1)} if config.beta > 0 else {})
