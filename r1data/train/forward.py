"""Log-probabilities of the trained tokens from a causal language model.

Documents are padded on the right, so causal attention alone keeps padding away from real tokens and
no attention mask is needed. Only positions that predict a trained token reach the output head: the
logits of prompts and padding, most of the memory with a large vocabulary, are never computed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from r1data.train.losses import token_logprobs

Score = Callable[[Tensor, Tensor, float], Tensor]
"""(ids (B, T), loss_mask (B, T), temperature) -> fp32 log-probabilities (n,) of the n masked-in
tokens, row by row."""

_CHUNK_ELEMENTS = 1 << 25


def make_score(model: Any, autocast: bool = False) -> Score:
    """Return the scoring function of a Hugging Face causal model.

    The head is called on the wanted positions alone if the model is ``head(body(ids))``, which is
    tested on a few tokens; a model that does more (soft-capped or scaled logits) is called whole.
    autocast: compute the body in bfloat16; the head stays in the parameters' dtype, since rounded
    logits are what makes sampler and trainer disagree.
    """
    plain = _is_body_and_head(model)

    def score(ids: Tensor, loss_mask: Tensor, temperature: float) -> Tensor:
        keep = loss_mask[:, 1:]  # (B, T-1): position t predicts token t + 1
        inputs, targets = ids[:, :-1], ids[:, 1:][keep]  # (B, T-1), (n,)
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=autocast):
            if not plain:
                logits = model(input_ids=inputs, use_cache=False).logits  # (B, T-1, V)
                return token_logprobs(logits[keep], targets, temperature)
            hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state[
                keep
            ]  # (n, d)
        return _head_logprobs(model.lm_head, hidden, targets, temperature)

    return score


@torch.no_grad()
def _is_body_and_head(model: Any) -> bool:
    head = getattr(model, "lm_head", None)
    if not isinstance(head, torch.nn.Linear) or not hasattr(model, "model"):
        return False
    training = model.training
    model.eval()
    # Not one token repeated: the padding's embedding may be 0, and so every logit.
    ids = torch.arange(min(8, head.out_features), device=head.weight.device).unsqueeze(0)
    whole = model(input_ids=ids, use_cache=False).logits
    parts = head(model.model(input_ids=ids, use_cache=False).last_hidden_state)
    model.train(training)
    return bool(torch.equal(whole, parts))


def _head_logprobs(
    head: torch.nn.Linear, hidden: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """Return log-probabilities (n,); logits over 32M elements are made again in the backward."""
    hidden = hidden.to(head.weight.dtype)

    def part(states: Tensor, wanted: Tensor) -> Tensor:
        return token_logprobs(head(states), wanted, temperature)

    rows = max(1, _CHUNK_ELEMENTS // head.out_features)
    if len(targets) <= rows:
        return part(hidden, targets)
    chunks = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
    return torch.cat([checkpoint(part, h, t, use_reentrant=False) for h, t in chunks])


def to_grid(flat: Tensor, mask: Tensor) -> Tensor:
    """Return (B, C) with ``flat`` (n,) at the n places of ``mask`` (B, C) in row order, else 0."""
    return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, flat)
