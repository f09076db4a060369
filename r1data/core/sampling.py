"""What a sampler is asked and what it gives: the values that sample, eval and GRPO share."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from r1data.core.records import FinishReason
from r1data.core.stage import Config


class SamplingParams(Config):
    """How completions are drawn. All but max_tokens change their distribution."""

    temperature: float = 1.0
    """Softmax temperature; 0 is greedy."""
    top_p: float = 1.0
    """Nucleus mass; 1 keeps every token."""
    max_tokens: int = 1024
    """Most tokens of one completion."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion; they are cut off."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt."""

    text: str
    """All text the model sees before its own, the prefill included."""
    prefill: str = ""
    """Tail of the text that already belongs to the assistant's turn."""
    add_special_tokens: bool = False
    """Whether the tokenizer must add its own (a template has written them already)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One sample to draw."""

    prompt: Prompt
    seed: int


@dataclass(frozen=True, slots=True)
class Completion:
    """One sample drawn."""

    text: str
    token_ids: list[int]
    logprobs: list[float] = field(repr=False)
    """Log-probability of each token under the sampling distribution (after temperature, top-p)."""
    finish_reason: FinishReason
    prompt_tokens: int
    prompt_ids: list[int] = field(default_factory=list, repr=False)


Progress = Callable[[int, int], None]
"""Called with completions finished and tokens sampled since the last call."""


class Sampler(Protocol):
    """An engine that draws samples. One sample depends on its request alone, not on the batch."""

    engine: str

    def render(self, prompt: str, template: str, system: str | None = None) -> Prompt:
        """Return the rendered prompt of one user turn."""
        ...

    def generate(
        self,
        requests: Sequence[Request],
        params: SamplingParams,
        progress: Progress | None = None,
    ) -> Iterator[tuple[int, Completion]]:
        """Yield (position in requests, completion) as samples end, in any order."""
        ...
