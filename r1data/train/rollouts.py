"""What a GRPO step samples and how its completions become tensors."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from r1data.core.errors import BackendError
from r1data.core.records import content_hash
from r1data.core.sampling import Completion, Prompt, Request
from r1data.train.checkpoint import Json
from r1data.train.data import Documents, join_documents
from r1data.train.losses import group_advantages
from r1data.train.settings import GrpoConfig


@dataclass(frozen=True)
class Rollouts:
    """The completions of one step."""

    documents: Documents
    """N prompts with their completions, token ids as sampled."""
    advantages: Tensor
    """(N,) fp32."""
    sampler_logprobs: Tensor
    """(N, C) fp32; NaN where the sampler gave none, and past the completion's end."""
    trained: Tensor
    """(n,) numbers of the completions that take part in the update."""
    metrics: Json
    """What is logged of the step's sampling and rewards."""


def step_prompts(rows: int, config: GrpoConfig, step: int) -> list[int]:
    """Return the rows asked in a step: permutation after permutation, by seed and step alone."""
    chosen = []
    order, current = torch.empty(0), -1
    for position in range(step * config.prompts_per_step, (step + 1) * config.prompts_per_step):
        epoch, place = divmod(position, rows)
        if epoch != current:
            generator = torch.Generator().manual_seed((config.seed << 20) + epoch)
            order, current = torch.randperm(rows, generator=generator), epoch
        chosen.append(int(order[place]))
    return chosen


def step_requests(
    config: GrpoConfig,
    names: Sequence[str],
    prompts: Sequence[Prompt],
    chosen: list[int],
    step: int,
) -> list[Request]:
    """Return group_size requests for each row in ``chosen``, group after group."""
    requests: list[Request] = []
    drawn: Counter[str] = Counter()
    for i in chosen:
        # 62 bits, so that adding the sample's number stays a signed 64-bit seed.
        base = int(content_hash(names[i], config.seed, step), 16) >> 2
        for _ in range(config.group_size):
            requests.append(Request(prompts[i], base + drawn[names[i]]))
            drawn[names[i]] += 1  # a problem that comes twice in a step goes on counting
    return requests


def make_rollouts(
    config: GrpoConfig,
    prompt_ids: Sequence[Sequence[int]],
    completions: Sequence[Completion],
    judged: pl.DataFrame,
) -> Rollouts:
    """Return a step's completions with advantages; group g is rows g*group_size and onwards.

    Raises BackendError if ``judged`` lacks a column ``reward`` or has another number of rows.
    """
    if "reward" not in judged.columns or len(judged) != len(completions):
        raise BackendError(
            f"the reward function gave {len(judged)} rows of {', '.join(judged.columns)} for "
            f"{len(completions)} completions; it must give one row each, with a column reward"
        )
    documents = join_documents(prompt_ids, [c.token_ids for c in completions])
    rewards = torch.tensor(judged["reward"].cast(pl.Float64).fill_null(float("nan")).to_list())
    aborted = torch.tensor([c.finish_reason == "abort" for c in completions])
    rewards = rewards.masked_fill(aborted, float("nan"))  # an engine's failure is not a reward of 0
    groups = torch.arange(len(completions)) // config.group_size
    advantages = group_advantages(rewards, groups, config.advantage_scale)
    lengths = documents.completion_lengths
    truncated = torch.tensor([c.finish_reason == "length" for c in completions])
    flat = advantages.view(-1, config.group_size).eq(0).all(1)
    trained = ~rewards.isnan() & (lengths > 0)
    if config.skip_zero_variance:
        trained &= ~flat.repeat_interleave(config.group_size)
    if config.mask_truncated:
        trained &= ~truncated
    known = rewards[~rewards.isnan()]
    metrics: Json = {
        "tokens": int(lengths.sum()),
        "reward": float(known.mean()) if len(known) else None,
        **{name: judged[name].mean() for name in _components(judged)},
        "completion_tokens": float(lengths.double().mean()),
        "truncated": float(truncated.double().mean()),
        "zero_variance_groups": int(flat.sum()),
        "trained": int(trained.sum()),
    }
    sampler = _sampler_grid(completions, int(lengths.max()))
    return Rollouts(documents, advantages, sampler, trained.nonzero().flatten(), metrics)


def _components(judged: pl.DataFrame) -> list[str]:
    return [
        name
        for name, dtype in judged.schema.items()
        if name != "reward" and (dtype.is_numeric() or dtype == pl.Boolean)
    ]


def _sampler_grid(completions: Sequence[Completion], width: int) -> Tensor:
    grid = torch.full((len(completions), width), float("nan"))
    for row, completion in zip(grid, completions, strict=True):
        if len(completion.logprobs) == len(completion.token_ids) > 0:
            row[: len(completion.logprobs)] = torch.tensor(completion.logprobs)
    return grid
