"""Reward models: sequence-classification folders that score a conversation's last turn.

A head of one logit is brought to [0, 1] by the sigmoid, which keeps the order of scores; a head of
two labels gives the softmax probability of label 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from r1data.backends.models import DTYPES, _libraries, _without_bars, model_fingerprint
from r1data.core.errors import BackendError, ConfigError

Messages = Sequence[Mapping[str, str]]


class Scored(NamedTuple):
    """What a reward model says of one answer."""

    score: float | None
    """In [0, 1]; None if the row could not be scored."""
    logits: tuple[float, ...]
    """One or two, as the head gave them."""
    tokens: int
    """Length of the conversation and answer."""
    error: str | None = None
    """Why there is no score."""


@dataclass(frozen=True, slots=True)
class RewardModel:
    """A loaded reward model."""

    name: str
    fingerprint: str
    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    device: str
    labels: int
    longest: int | None
    """Most tokens it has positions for."""
    padding: int | None
    """Token id that fills up a batch; without one, rows are scored one by one."""


def load_reward_model(
    folder: str | Path, *, device: str = "auto", dtype: str = "float32"
) -> RewardModel:
    """Return the reward model in a folder, in eval mode on its device.

    Nothing is fetched and no code of the model's own is run. Raises ConfigError for a folder
    without config.json, an unknown dtype or a head of more than two labels, MissingExtraError
    without torch or transformers, BackendError if the folder does not load or holds no trained
    head (a language model would get a random one).
    """
    torch, transformers = _libraries("scoring by a reward model")
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise ConfigError(f"reward model folder {path} has no config.json")
    if dtype not in DTYPES:
        raise ConfigError(f"unknown dtype {dtype!r}; one of {', '.join(DTYPES)}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _without_bars(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
            model, loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
                path, dtype=getattr(torch, dtype), output_loading_info=True, **options
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BackendError(f"reward model {path} did not load: {lines[0]}") from error
    if missing := sorted(map(str, loaded["missing_keys"])):
        raise BackendError(
            f"reward model {path} lacks weights ({', '.join(missing[:3])}); give the folder of a "
            "trained sequence-classification model"
        )
    labels = int(model.config.num_labels)
    if labels not in (1, 2):
        raise ConfigError(f"reward model {path} has {labels} labels; it must have 1 or 2")
    return _ready(model.to(device).eval(), tokenizer, path, device, labels)


def score_texts(
    folder: str | Path,
    rows: Sequence[tuple[Messages, str]],
    *,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int = 16,
) -> list[Scored]:
    """Return the scores of answers by a reward model's folder, which is loaded for this call.

    See `load_reward_model` for the errors and `score_rows` for the rest.
    """
    model = load_reward_model(folder, device=device, dtype=dtype)
    return score_rows(model, rows, batch_size=batch_size)


def score_rows(
    model: RewardModel, rows: Sequence[tuple[Messages, str]], *, batch_size: int = 16
) -> list[Scored]:
    """Return the score of each (conversation, answer), in order.

    The tokenizer's chat template renders both; without one, it is the turns' text and the answer
    with blank lines between. Rows of like length share a batch. A row that the template refuses, or
    that is longer than the model, has an error instead of a score.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    out: dict[int, Scored] = {}
    encoded: dict[int, list[int]] = {}
    for number, (messages, answer) in enumerate(rows):
        ids = _encode(model.tokenizer, messages, answer)
        if isinstance(ids, str):
            out[number] = Scored(None, (), 0, ids)
        elif not ids or (model.longest and len(ids) > model.longest):
            fault = f"{len(ids)} tokens; the reward model takes 1 to {model.longest or 'any'}"
            out[number] = Scored(None, (), len(ids), fault)
        else:
            encoded[number] = ids
    # Longest first: memory runs out at once or never.
    order = sorted(encoded, key=lambda number: -len(encoded[number]))
    size = batch_size if model.padding is not None else 1
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        logits = _forward(model, [encoded[number] for number in batch])
        for number, values in zip(batch, logits, strict=True):
            out[number] = _scored(values, len(encoded[number]), model.labels)
    return [out[number] for number in range(len(rows))]


def to_score(logits: Sequence[float]) -> float:
    """Return the score in [0, 1] of one logit (sigmoid) or two (softmax, label 1)."""
    difference = logits[0] if len(logits) == 1 else logits[1] - logits[0]
    small = math.exp(-abs(difference))  # of the negative side, so that nothing overflows
    return (1.0 if difference >= 0 else small) / (1.0 + small)


def _ready(model: Any, tokenizer: Any, path: Path, device: str, labels: int) -> RewardModel:
    config = model.config
    # A decoder's head reads the last token that is not padding, by the config's own padding id.
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    limits = [getattr(config.get_text_config(), "max_position_embeddings", None)]
    limits.append(tokenizer.model_max_length)
    return RewardModel(
        name=path.name,
        fingerprint=model_fingerprint(path),
        model=model,
        tokenizer=tokenizer,
        device=device,
        labels=labels,
        longest=min((limit for limit in limits if limit and limit < 10**9), default=None),
        padding=config.pad_token_id,
    )


def _encode(tokenizer: Any, messages: Messages, answer: str) -> list[int] | str:
    """Return a row's token ids, or what is wrong with it."""
    try:
        if tokenizer.chat_template:
            turns = [*map(dict, messages), {"role": "assistant", "content": answer}]
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        text = "\n\n".join([*(message["content"] for message in messages), answer])
        return list(tokenizer(text, verbose=False)["input_ids"])
    except Exception as error:  # a template may raise anything; it stays with the row
        return f"{type(error).__name__}: {error}"[:200]


def _forward(model: RewardModel, rows: Sequence[list[int]]) -> list[list[float]]:
    """Return the logits of a batch, (rows, labels), in float32."""
    import torch

    longest = max(map(len, rows))
    padding = 0 if model.padding is None else model.padding
    ids = [row + [padding] * (longest - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    with torch.inference_mode():
        output = model.model(
            input_ids=torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
        )
    found: list[list[float]] = output.logits.float().reshape(len(rows), -1).tolist()
    return found


def _scored(logits: Sequence[float], tokens: int, labels: int) -> Scored:
    if len(logits) != labels:
        fault = f"the reward model gave {len(logits)} numbers for {labels} labels"
        return Scored(None, tuple(logits[:2]), tokens, fault)
    if not all(map(math.isfinite, logits)):
        return Scored(None, tuple(logits), tokens, "the reward model gave no finite number")
    return Scored(to_score(logits), tuple(logits), tokens)
