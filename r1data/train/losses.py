"""Losses of SFT and GRPO as pure functions of tensors.

Notation: B sequences, C completion tokens (right-padded), V vocabulary. There is one mask polarity
in the package: ``loss_mask`` is 1 where a token is trained. Nothing at a masked position, not even
an infinity, reaches a loss or a gradient.

The objective of DeepSeek-R1 (arXiv 2501.12948, equations 1-3) is, for a group of G completions,

    1/G sum_i [ min(ratio_i A_i, clip(ratio_i, 1 - eps, 1 + eps) A_i) - beta KL_i ]
    KL = pi_ref/pi - log(pi_ref/pi) - 1,    A_i = (r_i - mean(r)) / std(r)

with the ratio written for a whole completion. Kept here: the group advantage, the clipped ratio,
the KL estimator k3. Different here: the ratio is that of a token, as in DeepSeekMath
(arXiv 2402.03300, equation 3) and every open trainer; the upper clip may differ from the lower one
(DAPO, arXiv 2503.14476); the default divides by tokens, not by completions. Added: a truncated
importance weight for a sampler whose probabilities differ from the trainer's. Left out: dual
clipping, entropy bonuses, and the KL gradient's own importance weight ("bias correction").
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from r1data.core.errors import ConfigError
from r1data.train.settings import AdvantageScale, GrpoLossName

STD_EPSILON = 1e-4
SAMPLER_WEIGHT_LIMIT = 2.0
_CHUNK_ELEMENTS = 1 << 24


class PolicyMetrics(NamedTuple):
    """Sums over the masked-in tokens of a batch, so that micro-batches add up."""

    tokens: Tensor
    clipped: Tensor
    """Tokens whose gradient the clip has cut."""
    kl: Tensor
    """k3 estimate of KL(policy, reference); 0 without a reference."""


def token_logprobs(logits: Tensor, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """Return fp32 log-probabilities (...) of ``ids`` (...) under ``logits`` (..., V) / temperature.

    Rows are taken in chunks of at most 16M elements, so half-precision logits of a large vocabulary
    are never copied to fp32 as a whole.
    """
    if temperature <= 0:
        raise ConfigError(f"temperature {temperature} has no log-probabilities; use one above 0")
    rows = max(1, _CHUNK_ELEMENTS // logits.shape[-1])
    flat, targets = logits.flatten(0, -2), ids.flatten()  # (n, V), (n,)
    parts = [
        -torch.nn.functional.cross_entropy(_tempered(chunk, temperature), target, reduction="none")
        for chunk, target in zip(torch.split(flat, rows), torch.split(targets, rows), strict=True)
    ]
    joined = parts[0] if len(parts) == 1 else torch.cat(parts)
    return joined.view(ids.shape)


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    logits = logits.float()
    return logits if temperature == 1 else logits / temperature


def sft_loss(
    logprobs: Tensor, loss_mask: Tensor, *, total_tokens: float | Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of the masked-in tokens, divided by ``total_tokens``.

    logprobs, loss_mask: any one shape, usually (B, T). ``total_tokens`` is that of the whole
    optimiser step, so that the gradient does not depend on how the step is split into
    micro-batches; by default the sum of ``loss_mask``. All masked out gives 0 and zero gradients.
    """
    mask = loss_mask.bool()
    total = mask.sum() if total_tokens is None else total_tokens
    return -logprobs.masked_fill(~mask, 0.0).sum() / _at_least_one(total)


def group_advantages(
    rewards: Tensor | Sequence[float],
    group_ids: Tensor | Sequence[Hashable],
    scale: AdvantageScale = "group",
) -> Tensor:
    """Return fp32 advantages (n,): rewards less the mean of their group.

    scale: "group" divides by the group's standard deviation (unbiased, plus 1e-4), equation 3 of
    the paper; "none" does not (Dr. GRPO, arXiv 2503.20783). A group whose rewards are all equal, or
    that has one member, gets exactly 0. NaN marks a completion that could not be judged: it takes
    no part in its group and gets 0.
    """
    if scale not in ("group", "none"):
        raise ConfigError(f"advantage scale {scale!r} is unknown; use group or none")
    values = torch.as_tensor(rewards, dtype=torch.float64)
    group = _group_numbers(group_ids).to(values.device)
    judged = ~values.isnan()
    group_kept, kept = group[judged], values[judged]
    groups = int(group.max()) + 1 if len(group) else 0

    def total(of: Tensor) -> Tensor:
        return of.new_zeros(groups).index_add(0, group_kept, of)

    count = total(torch.ones_like(kept))
    centred = kept - (total(kept) / count.clamp(min=1))[group_kept]
    high = kept.new_full((groups,), -torch.inf).scatter_reduce(0, group_kept, kept, "amax")
    low = kept.new_full((groups,), torch.inf).scatter_reduce(0, group_kept, kept, "amin")
    if scale == "group":
        deviation = (total(centred.square()) / (count - 1).clamp(min=1)).sqrt()
        centred = centred / (deviation[group_kept] + STD_EPSILON)
    out = torch.zeros_like(values)
    # Rounding of the mean must not give a group of equal rewards a direction.
    out[judged] = torch.where((high == low)[group_kept], 0.0, centred)
    return out.float()


def _group_numbers(group_ids: Tensor | Sequence[Hashable]) -> Tensor:
    if isinstance(group_ids, Tensor):
        inverse: Tensor = torch.unique(group_ids, return_inverse=True)[1]
        return inverse
    numbers: dict[Hashable, int] = {}
    return torch.tensor([numbers.setdefault(g, len(numbers)) for g in group_ids]).long()


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Return exp(d) - d - 1 for d = ref - policy: never negative, unbiased for KL(policy, ref)."""
    difference = ref_logprobs - logprobs
    return torch.expm1(difference) - difference


def sampler_weight(old_logprobs: Tensor, sampler_logprobs: Tensor) -> Tensor:
    """Return exp(old - sampler), at most 2: truncated importance sampling of the engine's policy.

    A sampler that gave no usable log-probability (NaN) leaves its token at weight 1.
    """
    weight = torch.exp(old_logprobs - sampler_logprobs).clamp(max=SAMPLER_WEIGHT_LIMIT)
    return torch.nan_to_num(weight, nan=1.0).detach()


def grpo_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    loss_mask: Tensor,
    *,
    loss: GrpoLossName = "dapo",
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    ref_logprobs: Tensor | None = None,
    beta: float = 0.0,
    sampler_logprobs: Tensor | None = None,
    total_tokens: float | Tensor | None = None,
    max_completion_tokens: int | None = None,
) -> Tensor:
    """Return the GRPO loss, a scalar tensor to minimise.

    logprobs, old_logprobs, loss_mask, ref_logprobs, sampler_logprobs: (B, C), natural logarithms at
    the sampling temperature. advantages: (B,). Per token the loss is

        -weight min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A) + beta k3(policy, ref)

    summed over ``loss_mask`` and divided as the loss's name says:

    * ``grpo``: token mean of each sequence, then mean over sequences (DeepSeekMath, equation 3);
    * ``dr_grpo``: by B * max_completion_tokens, a constant (arXiv 2503.20783);
    * ``dapo``: by ``total_tokens``, the tokens of the whole optimiser step (arXiv 2503.14476,
      equation 8); by default those of this batch.

    Raises ConfigError for an unknown name, for dr_grpo without max_completion_tokens, and for
    beta > 0 without ref_logprobs.
    """
    mask = loss_mask.bool()  # (B, C)
    old = old_logprobs.detach()
    # Masked before exp: an infinity at padding would come back as NaN through the gradient.
    ratio = torch.exp((logprobs - old).masked_fill(~mask, 0.0))  # (B, C)
    advantage = advantages.to(ratio.dtype).unsqueeze(1)  # (B, 1)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    per_token = -torch.minimum(ratio * advantage, clipped * advantage)
    if sampler_logprobs is not None:
        per_token = per_token * sampler_weight(old, sampler_logprobs).masked_fill(~mask, 1.0)
    if beta > 0:
        if ref_logprobs is None:
            raise ConfigError("beta > 0 needs ref_logprobs, the reference's log-probabilities")
        policy = logprobs.masked_fill(~mask, 0.0)
        per_token = per_token + beta * k3(policy, ref_logprobs.detach().masked_fill(~mask, 0.0))
    per_token = per_token.masked_fill(~mask, 0.0)
    if loss == "grpo":
        return (per_token.sum(1) / mask.sum(1).clamp(min=1)).mean()
    if loss == "dr_grpo":
        if max_completion_tokens is None:
            raise ConfigError("loss dr_grpo divides by max_completion_tokens; give it")
        return per_token.sum() / (len(mask) * max_completion_tokens)
    if loss == "dapo":
        return per_token.sum() / _at_least_one(mask.sum() if total_tokens is None else total_tokens)
    raise ConfigError(f"loss {loss!r} is unknown; use grpo, dr_grpo or dapo")


@torch.no_grad()
def policy_metrics(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    loss_mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    ref_logprobs: Tensor | None = None,
) -> PolicyMetrics:
    """Return how often the clip cut a gradient and how far the policy is from its reference."""
    mask = loss_mask.bool()
    ratio = torch.exp((logprobs - old_logprobs).masked_fill(~mask, 0.0))
    sign = advantages.unsqueeze(1)
    cut = ((sign > 0) & (ratio > 1 + clip_high)) | ((sign < 0) & (ratio < 1 - clip_low))
    kl = logprobs.new_zeros(())
    if ref_logprobs is not None:
        kl = k3(logprobs.masked_fill(~mask, 0.0), ref_logprobs.masked_fill(~mask, 0.0)).sum()
    return PolicyMetrics(mask.sum(), (cut & mask).sum(), kl)


def _at_least_one(total: float | Tensor) -> float | Tensor:
    return total.clamp(min=1) if isinstance(total, Tensor) else max(total, 1)
