"""Optimiser and learning-rate schedule that SFT and GRPO share."""

import math
from typing import Any

import torch
from torch import Tensor

from r1data.core.errors import ConfigError
from r1data.train.settings import TrainConfig


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
