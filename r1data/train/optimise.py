"""Settings, optimiser and learning-rate schedule that SFT and GRPO share."""

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from r1data.core.errors import ConfigError
from r1data.core.stage import Config

Schedule = Literal["constant", "linear", "cosine"]

BOOKKEEPING = ("micro_batch", "checkpoint_every", "keep_checkpoints", "gradient_checkpointing")
"""Settings that a resumed run may change: they leave the mathematics of the run as it is."""


class TrainConfig(Config):
    """Settings common to every trainer."""

    learning_rate: float = Field(1e-5, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Schedule = "cosine"
    """What follows the warm-up: constant, linear or cosine descent to min_ratio."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the steps over which the learning rate rises from 0."""
    min_ratio: float = Field(0.1, ge=0, le=1)
    """Last learning rate over the peak, for linear and cosine."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of AdamW's two moments."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay; on matrices only, never on norms and biases."""
    gradient_clip: float = Field(1.0, gt=0)
    """Largest global norm of a step's gradient."""
    seed: int = 0
    """Seed of the order of rows, and of samples."""
    micro_batch: int = Field(16, gt=0)
    """Sequences of one forward pass; the gradient does not depend on it."""
    autocast: bool = False
    """Compute in bfloat16 whatever the parameters are; they should be float32."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third slower."""
    template: str = "chat"
    """Prompt template: chat, r1-zero, few-shot or raw."""
    checkpoint_every: int = Field(100, ge=0)
    """Steps between checkpoints; 0 writes one only when interrupted."""
    keep_checkpoints: int = Field(2, gt=0)
    """Newest checkpoints that are kept."""


def prepare_model(model: Any, config: TrainConfig) -> None:
    """Put a model into training mode, and have it recompute activations if asked."""
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()


def build_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW over a model's trainable parameters, weight decay on matrices only."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        fused=fused or None,
    )


def learning_rate(step: int, total: int, config: TrainConfig) -> float:
    """Return the learning rate of step ``step`` (from 0) of ``total``."""
    rising = math.ceil(config.warmup * total)
    if step < rising:
        return config.learning_rate * (step + 1) / rising
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - rising) / max(total - rising, 1)  # 0 at the peak, below 1 at the last step
    falling = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * (config.min_ratio + (1 - config.min_ratio) * falling)


def optimiser_step(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, rate: float, clip: float
) -> float:
    """Clip the gradients, update the parameters and return the gradient's norm before the clip.

    Raises ConfigError, with the parameters still as they were, if the gradient is not finite.
    """
    norm: Tensor = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    value = float(norm)
    if not math.isfinite(value):
        raise ConfigError(
            f"the gradient's norm is {value}; lower learning_rate, or train in float32"
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return value
