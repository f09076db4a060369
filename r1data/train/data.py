"""Conversations and rollouts as token ids with a loss mask.

A document is a prompt followed by a completion. The prompt is rendered by `core.prompts`, so that a
model is trained on exactly the text that it is sampled from; the completion is what the assistant
said, less what the template had already opened (``<think>``), and the text that ends its turn. Only
the completion carries loss, the end-of-turn token included. Masks come from lengths, never from
comparing ids with the padding id, so a model whose padding is its EOS still learns to stop.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl
import torch
from torch import Tensor

from r1data.core.errors import ConfigError, InputError
from r1data.core.prompts import render, turn_end
from r1data.core.sampling import Prompt
from r1data.core.text import THINK_OPEN, opens_thinking

_ENCODE_ROWS = 4096


@dataclass(frozen=True)
class Documents:
    """Documents one after another: all tokens in one tensor."""

    ids: Tensor
    """(tokens,) int32."""
    starts: Tensor
    """(documents + 1,) int64: document i is ids[starts[i]:starts[i + 1]]."""
    prompt_lengths: Tensor
    """(documents,) int64: tokens that carry no loss."""

    def __len__(self) -> int:
        return len(self.prompt_lengths)

    @property
    def lengths(self) -> Tensor:
        """(documents,) int64: tokens of prompt and completion."""
        return self.starts.diff()

    @property
    def completion_lengths(self) -> Tensor:
        """(documents,) int64: tokens that carry loss."""
        return self.lengths - self.prompt_lengths


class Batch(NamedTuple):
    """Documents of one forward pass, padded on the right."""

    ids: Tensor
    """(B, T) int64."""
    loss_mask: Tensor
    """(B, T) bool: which tokens are to be predicted."""


class Corpus(NamedTuple):
    """Documents made from rows, and the rows that made none."""

    documents: Documents
    left_out: dict[str, int]
    """Rows by the reason why they were left out."""


def join_documents(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> Documents:
    """Return one document for each pair of prompt ids and completion ids."""
    tokens = [i for p, c in zip(prompts, completions, strict=True) for ids in (p, c) for i in ids]
    prompt_lengths = torch.tensor([len(p) for p in prompts], dtype=torch.int64)
    lengths = prompt_lengths + torch.tensor([len(c) for c in completions], dtype=torch.int64)
    starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return Documents(torch.tensor(tokens, dtype=torch.int32), starts, prompt_lengths)


def collate(documents: Documents, rows: Tensor, pad_id: int) -> Batch:
    """Return the documents numbered ``rows`` (B,), padded on the right to the longest of them."""
    lengths = documents.lengths[rows]
    column = torch.arange(int(lengths.max()))  # (T,)
    places = documents.starts[rows].unsqueeze(1) + column  # (B, T)
    filled = column < lengths.unsqueeze(1)  # (B, T)
    ids = (
        documents.ids[places.clamp(max=len(documents.ids) - 1)].long().masked_fill(~filled, pad_id)
    )
    return Batch(ids, filled & (column >= documents.prompt_lengths[rows].unsqueeze(1)))


def padding_id(tokenizer: Any) -> int:
    """Return the id to pad with. Which one does not matter, since masks come from lengths."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0


def encode_prompts(prompts: Sequence[Prompt], tokenizer: Any) -> list[list[int]]:
    """Return each prompt's ids: one BOS at most, and no EOS that the tokenizer would append."""
    if not prompts:
        return []
    special = prompts[0].add_special_tokens  # one template, so all prompts agree
    encoded = _encode_texts([prompt.text for prompt in prompts], tokenizer, special)
    if not special:
        return encoded
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    return [_trim(ids, bos, eos) for ids in encoded]


def _encode_texts(texts: list[str], tokenizer: Any, special: bool) -> list[list[int]]:
    if not getattr(tokenizer, "is_fast", False):
        return [tokenizer.encode(text, add_special_tokens=special) for text in texts]
    backend = tokenizer.backend_tokenizer  # a few times faster than the call around it
    backend.no_padding()
    backend.no_truncation()
    encoded = backend.encode_batch_fast(texts, add_special_tokens=special)
    return [encoding.ids for encoding in encoded]


def _trim(ids: list[int], bos: int | None, eos: int | None) -> list[int]:
    if bos is not None and ids[:2] == [bos, bos]:
        ids = ids[1:]
    if eos is not None and eos != bos and ids[-1:] == [eos]:
        ids = ids[:-1]
    return ids


def completion_text(content: str, prefill: str, end: str) -> str | None:
    """Return what the model must write: content less the prefill, plus the end of the turn.

    None if the template opened the reasoning but the content has none: training the answer inside
    an open ``<think>`` would teach the opposite of what the row says.
    """
    if opens_thinking(prefill):
        bare = content.lstrip()
        if not bare.startswith(THINK_OPEN):
            return None
        inside = bare[len(THINK_OPEN) :]
        space = prefill[prefill.rfind(THINK_OPEN) + len(THINK_OPEN) :]
        content = inside.removeprefix(space) if inside.startswith(space) else inside.lstrip()
    return content if content.endswith(end) else content + end


def encode_conversations(
    rows: pl.DataFrame, tokenizer: Any, template: str = "chat", max_length: int = 2048
) -> Corpus:
    """Return the documents of an SFT corpus.

    rows: a column ``messages``, list of struct (role, content), whose last turn is the assistant's
    and alone is trained. A row that cannot be used is left out whole and counted by its reason:
    ``no_assistant_turn``, ``no_prompt``, ``empty_completion``, ``no_reasoning`` (the template opens
    ``<think>``, the row has none) or ``too_long`` (more than ``max_length`` tokens).

    Raises InputError without usable rows, ConfigError if the tokenizer cannot end a turn.
    """
    if "messages" not in rows.columns:
        raise InputError(f"the corpus has no column messages; it has {', '.join(rows.columns)}")
    end = turn_end(tokenizer)
    if not end:
        raise ConfigError("the tokenizer has no EOS token, so no model can learn to stop; set one")
    left_out: Counter[str] = Counter()
    prompts: list[list[int]] = []
    completions: list[list[int]] = []
    for part in rows.select("messages").iter_slices(_ENCODE_ROWS):
        texts = [
            _split_row(messages, template, tokenizer, end)
            for messages in part["messages"].to_list()
        ]
        usable = [pair for pair in texts if not isinstance(pair, str)]
        left_out.update(reason for reason in texts if isinstance(reason, str))
        for prompt, completion in _encode_pairs(usable, tokenizer):
            if not prompt:
                left_out["no_prompt"] += 1
            elif len(prompt) + len(completion) > max_length:
                left_out["too_long"] += 1
            else:
                prompts.append(prompt)
                completions.append(completion)
    if not prompts:
        why = ", ".join(f"{n} {reason}" for reason, n in sorted(left_out.items())) or "it is empty"
        raise InputError(f"no row of the corpus can be trained on ({why})")
    return Corpus(join_documents(prompts, completions), dict(sorted(left_out.items())))


def _split_row(
    messages: Sequence[Mapping[str, str]] | None, template: str, tokenizer: Any, end: str
) -> tuple[Prompt, str] | str:
    if not messages or messages[-1]["role"] != "assistant":
        return "no_assistant_turn"
    if len(messages) == 1:
        return "no_prompt"
    content = messages[-1]["content"]
    if not content or not content.strip():
        return "empty_completion"
    prompt = render(messages[:-1], template, tokenizer)
    text = completion_text(content, prompt.prefill, end)
    return "no_reasoning" if text is None else (prompt, text)


def _encode_pairs(
    pairs: Sequence[tuple[Prompt, str]], tokenizer: Any
) -> list[tuple[list[int], list[int]]]:
    """Encode prompt and completion so that the prompt's ids are those of sampling.

    The completion's ids come from the joined text where that begins with the prompt's ids, since
    some tokenizers put a space before every text; else (a merge across the border) from its own.
    """
    if not pairs:
        return []
    prompts = encode_prompts([prompt for prompt, _ in pairs], tokenizer)
    joined = _encode_texts([prompt.text + text for prompt, text in pairs], tokenizer, False)
    completions: list[list[int]] = []
    merged: list[int] = []
    for row, (ids, whole) in enumerate(zip(prompts, joined, strict=True)):
        # The joined text was encoded without special tokens, so it may lack the prompt's BOS.
        bare = ids if whole[:1] == ids[:1] else ids[1:]
        if not bare or whole[: len(bare)] != bare:
            merged.append(row)
        completions.append(whole[len(bare) :])
    alone = _encode_texts([pairs[row][1] for row in merged], tokenizer, False)
    for row, ids in zip(merged, alone, strict=True):
        completions[row] = ids
    return list(zip(prompts, completions, strict=True))


def trained_text(documents: Documents, row: int, tokenizer: Any) -> str:
    """Return the text of the tokens of one document that carry loss, special tokens included."""
    batch = collate(documents, torch.tensor([row]), padding_id(tokenizer))
    return str(tokenizer.decode(batch.ids[batch.loss_mask].tolist(), skip_special_tokens=False))


def documents_hash(documents: Documents) -> str:
    """Return 16 hex digits that change with any token or border of the documents."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in (documents.ids, documents.starts, documents.prompt_lengths):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
