"""Settings of the trainers, apart from what they set: reading a recipe must not load torch."""

from typing import Literal

from pydantic import Field

from r1data.core.stage import Config

AdvantageScale = Literal["group", "none"]
GrpoLossName = Literal["grpo", "dr_grpo", "dapo"]
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


class SftConfig(TrainConfig):
    """Settings of supervised fine-tuning."""

    epochs: float = Field(2.0, gt=0)
    """Passes over the corpus."""
    steps: int | None = Field(None, gt=0)
    """Optimiser steps; overrides epochs."""
    batch_size: int = Field(32, gt=0)
    """Conversations of one optimiser step."""
    max_length: int = Field(2048, gt=1)
    """Most tokens of prompt and completion; longer rows are left out and counted."""
    normalise: Literal["tokens", "constant"] = "tokens"
    """Divisor of a step's loss: its trained tokens, or batch_size times the corpus' mean
    completion length. Where batches hold documents of one length (bucket_by_length), "tokens"
    gives a short document's tokens more weight, so that a model learns to write short texts."""
    bucket_by_length: bool = False
    """Make batches of documents of similar length: less padding, less random batches."""


class GrpoConfig(TrainConfig):
    """Settings of GRPO. A step draws prompts_per_step * group_size completions."""

    steps: int = Field(100, gt=0)
    """Rollouts, each followed by minibatches * epochs optimiser updates."""
    prompts_per_step: int = Field(16, gt=0)
    """Prompts of one step."""
    group_size: int = Field(16, gt=1)
    """Completions of one prompt."""
    minibatches: int = Field(1, gt=0)
    """Optimiser updates that share a step's completions."""
    epochs: int = Field(1, gt=0)
    """Passes over a step's completions."""
    temperature: float = Field(1.0, gt=0)
    """Temperature of sampling, and of every log-probability in the loss."""
    max_completion_tokens: int = Field(1024, gt=0)
    """Most tokens of one completion."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion, besides the model's own end-of-turn tokens."""
    schedule: Schedule = "constant"
    """What follows the warm-up: constant, linear or cosine descent to min_ratio."""
    loss: GrpoLossName = "dapo"
    """Divisor of the loss: grpo, dr_grpo or dapo (see losses.grpo_loss)."""
    clip_low: float = Field(0.2, ge=0)
    """The ratio is clipped at 1 - clip_low."""
    clip_high: float = Field(0.28, ge=0)
    """The ratio is clipped at 1 + clip_high."""
    beta: float = Field(0.0, ge=0)
    """Weight of the KL term; above 0 a frozen copy of the initial model is kept."""
    advantage_scale: AdvantageScale = "none"
    """group: divide advantages by the group's standard deviation."""
    skip_zero_variance: bool = True
    """Leave groups whose rewards are all equal out of the update, KL term and divisor included."""
    mask_truncated: bool = False
    """Leave completions that were cut at max_completion_tokens out of the update."""
    sampler_correction: bool = True
    """Weigh tokens by min(trainer / sampler, 2), where the sampler gave log-probabilities."""
