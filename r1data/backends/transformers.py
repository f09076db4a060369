"""The embedded sampler: batched decoding of a transformers model in this process.

It samples from a live model, so GRPO's rollouts and ``r1data sample`` are the same code. Each
sample has a random stream of its own and depends on its request alone, up to the rounding of
floating point: batch mates change the shapes of matrix products, hence their last bits, so a draw
that falls within about 1e-6 of the border between two tokens may differ.
"""

from collections import deque
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from r1data.backends.decoding import DecodingTable, NewRow
from r1data.core.errors import BackendError, ConfigError
from r1data.core.prompts import render as render_messages
from r1data.core.prompts import turn_end
from r1data.core.sampling import Completion, Progress, Prompt, Request, SamplingParams

STEPS_BETWEEN_REPORTS = 32
_ATTENTION = {"full_attention", "sliding_attention"}


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return every token id that ends a turn.

    They are the EOS ids (one or a list) of the generation config, the config and the tokenizer,
    and what the chat template closes a turn with, if that is a single token.
    """
    found: set[int] = set()
    for holder in (getattr(model, "generation_config", None), model.config, tokenizer):
        value = getattr(holder, "eos_token_id", None)
        found.update([value] if isinstance(value, int) else value or ())
    closing = turn_end(tokenizer)
    ids = tokenizer.encode(closing, add_special_tokens=False) if closing else []
    if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
        found.update(ids)
    return frozenset(found)


class TransformersSampler:
    """Draws samples from a live transformers model (a `core.sampling.Sampler`).

    ``batch_size`` is the most sequences decoded at once; a sequence that ends leaves the batch and
    a waiting one takes its place. With ``logprobs=False`` the log-probabilities are left out.
    Raises ConfigError for a model that cannot be decoded from keys and values alone.
    """

    engine = "transformers"

    def __init__(
        self, model: Any, tokenizer: Any, batch_size: int = 64, logprobs: bool = True
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        config = model.config.get_text_config()
        strange = set(getattr(config, "layer_types", None) or ()) - _ATTENTION
        if strange or getattr(config, "is_encoder_decoder", False):
            kind = ", ".join(sorted(strange)) or "encoder-decoder"
            raise ConfigError(
                f"the transformers sampler cannot decode {config.model_type} ({kind}); "
                "use a decoder with full or sliding attention, or serve the model and name the "
                "server"
            )
        self.model, self.tokenizer = model, tokenizer
        self.batch_size, self.logprobs = batch_size, logprobs
        self.stop_ids = stop_ids(model, tokenizer)
        self._longest: int | None = getattr(config, "max_position_embeddings", None)
        self._padding: int | None = tokenizer.pad_token_id
        self._pieces: dict[int, str] = {}

    def render(self, prompt: str, template: str, system: str | None = None) -> Prompt:
        """Return the rendered prompt of one user turn.

        Raises ConfigError for a system prompt with a template that has no place for one.
        """
        if system and template != "chat":
            raise ConfigError(
                f"template {template} has no system turn; use --template chat, or leave the "
                "system prompt out"
            )
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": prompt})
        return render_messages(turns, template, self.tokenizer)

    def generate(
        self,
        requests: Sequence[Request],
        params: SamplingParams,
        progress: Progress | None = None,
    ) -> Iterator[tuple[int, Completion]]:
        """Yield (position in requests, completion) as samples end.

        At temperature 0 the log-probabilities are those of temperature 1. ``max_tokens`` counts
        the end-of-turn token. Raises ConfigError, before anything is sampled, for parameters out
        of range, an empty prompt, or a prompt that leaves no room for ``max_tokens``.
        """
        _check(params)
        prompts = self._encode({request.prompt for request in requests}, params.max_tokens)
        rows = [NewRow(i, prompts[r.prompt], r.seed) for i, r in enumerate(requests)]
        # Longest first: memory runs out at once or never, and rows that join later always fit.
        rows.sort(key=lambda row: (-len(row.prompt), row.prompt))
        return self._run(rows, params, progress)

    def _encode(self, prompts: Set[Prompt], max_tokens: int) -> dict[Prompt, tuple[int, ...]]:
        found: dict[Prompt, tuple[int, ...]] = {}
        for add in (False, True):
            group = [prompt for prompt in prompts if prompt.add_special_tokens == add]
            texts = [prompt.text for prompt in group]
            if texts:
                encoded = self.tokenizer(texts, add_special_tokens=add, verbose=False)["input_ids"]
                found.update(zip(group, map(tuple, encoded), strict=True))
        return {prompt: self._fit(prompt, ids, max_tokens) for prompt, ids in found.items()}

    def _fit(self, prompt: Prompt, ids: tuple[int, ...], max_tokens: int) -> tuple[int, ...]:
        """Return a prompt's ids, left open for a completion of max_tokens."""
        eos = self.tokenizer.eos_token
        if eos and len(ids) > 1 and ids[-1] == self.tokenizer.eos_token_id:
            # A tokenizer may close every text; a prompt that is closed has nothing to go on with.
            ids = ids if prompt.text.rstrip().endswith(eos) else ids[:-1]
        if not ids:
            raise ConfigError("a prompt renders to no tokens at all; check the template")
        if self._longest and len(ids) + max_tokens > self._longest:
            raise ConfigError(
                f"a prompt of {len(ids)} tokens + max_tokens {max_tokens} exceed the model's "
                f"{self._longest} positions; lower --max-tokens to at most "
                f"{max(0, self._longest - len(ids))} or shorten the prompt"
            )
        return ids

    def _run(
        self, rows: list[NewRow], params: SamplingParams, progress: Progress | None
    ) -> Iterator[tuple[int, Completion]]:
        waiting = deque(rows)
        prompts = {row.request: row.prompt for row in rows}
        table = DecodingTable(self.model, min(self.batch_size, len(rows)), params.max_tokens)
        while waiting or table.count:
            # Nothing is yielded inside: a consumer may train the model between two samples.
            with _inference(self.model):
                ended, sampled = self._advance(table, waiting, params, prompts)
            if progress:
                progress(len(ended), sampled)
            yield from ended

    def _advance(
        self,
        table: DecodingTable,
        waiting: deque[NewRow],
        params: SamplingParams,
        prompts: dict[int, tuple[int, ...]],
    ) -> tuple[list[tuple[int, Completion]], int]:
        """Decode until samples end, or for some steps; return them and the tokens sampled."""
        sampled = 0
        for _ in range(STEPS_BETWEEN_REPORTS):
            if waiting and (not table.count or 4 * table.free >= self.batch_size):
                joining = min(table.free, len(waiting))
                table.admit([waiting.popleft() for _ in range(joining)])
            tokens = table.step(params.temperature, params.top_p)
            sampled += len(tokens)
            stopped = np.isin(tokens, tuple(self.stop_ids))
            if params.stop:
                stopped |= self._at_stop_string(table, tokens, params.stop)
            full = table.width - table.answer[: table.count] >= params.max_tokens
            rows = np.flatnonzero(stopped | full)
            ended = []
            for row in rows:
                request = int(table.request[row])
                done = self._complete(table, int(row), bool(stopped[row]), prompts[request], params)
                ended.append((request, done))
            table.drop(rows)
            if table.count:
                table.forward()
            if ended:
                return ended, sampled
        return [], sampled

    def _complete(
        self,
        table: DecodingTable,
        row: int,
        stopped: bool,
        prompt: tuple[int, ...],
        params: SamplingParams,
    ) -> Completion:
        ids, logprobs = table.answer_of(row)
        if np.isnan(logprobs).any():
            raise BackendError(
                "the model gives NaN logits; check its weights, or use --dtype float32"
            )
        text, _ = _cut(self._text(prompt, ids), params.stop)
        return Completion(
            text=text,
            token_ids=ids,
            logprobs=logprobs if self.logprobs else [],
            finish_reason="stop" if stopped else "length",
            prompt_tokens=len(prompt),
            prompt_ids=list(prompt),
        )

    def _text(self, prompt: tuple[int, ...], ids: list[int]) -> str:
        """Return the text such that prompt + text reads as the ids do.

        Special tokens such as ``<think>`` stay; the end-of-turn token and padding do not.
        """
        if ids and ids[-1] in self.stop_ids:
            ids = ids[:-1]
        ids = [i for i in ids if i != self._padding]
        # Some tokenizers drop a space at the start of what they decode, so there is a token before.
        before = self._piece(prompt[-1])
        whole = self._decode((*prompt[-1:], *ids))
        return whole[len(before) :] if whole.startswith(before) else self._decode(ids)

    def _piece(self, token: int) -> str:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._decode([token])
        return piece

    def _decode(self, ids: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _at_stop_string(
        self, table: DecodingTable, tokens: npt.NDArray[np.int64], stop: tuple[str, ...]
    ) -> npt.NDArray[np.bool_]:
        """Return which rows' text holds a stop string now, shape (rows,)."""
        # Up to four tokens may make one character. Decoding is costly, so only rows whose newest
        # token can end a stop string are looked at.
        reach = 4 * max(map(len, stop)) + 4
        found = np.zeros(len(tokens), bool)
        for row in np.flatnonzero([self._may_end(int(token), stop) for token in tokens]):
            begin = max(int(table.answer[row]), table.width - reach)
            before = table.ids[row, begin - 1 : table.width].tolist()
            found[row] = _cut(self._text((before[0],), before[1:]), stop)[1]
        return found

    def _may_end(self, token: int, stop: tuple[str, ...]) -> bool:
        piece = self._piece(token)
        # Part of a character decodes to U+FFFD, and white space depends on the neighbours.
        return "\ufffd" in piece or any(s[-1].isspace() or s[-1] in piece for s in stop)


def _check(params: SamplingParams) -> None:
    if params.temperature < 0:
        raise ConfigError(f"temperature must be 0 or more, got {params.temperature}")
    if not 0 < params.top_p <= 1:
        raise ConfigError(f"top_p must be above 0 and at most 1, got {params.top_p}")
    if params.max_tokens < 1:
        raise ConfigError(f"max_tokens must be at least 1, got {params.max_tokens}")
    if not all(params.stop):
        raise ConfigError("a stop string is empty; give at least one character")


def _cut(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """Return the text up to the first stop string, and whether there is one."""
    ends = [at for s in stop if (at := text.find(s)) >= 0]
    return (text[: min(ends)], True) if ends else (text, False)


@contextmanager
def _inference(model: Any) -> Iterator[None]:
    """Switch to eval mode without gradients, and give every module its own mode back."""
    training = [module for module in model.modules() if module.training]
    try:
        if training:
            model.eval()
        # Not inference_mode: a buffer that forward makes there could not be trained with later.
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
