"""The tokenizer of the miniature world, and its fresh models."""

from pathlib import Path
from typing import Literal

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from r1data.core.errors import ConfigError
from r1data.mini.world import vocabulary

Size = Literal["teacher", "student"]

SPECIAL_TOKENS = ("<pad>", "<unk>", "<q>", "<a>", "<eos>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] + ' <eos>' }}"
    "{% else %}{{ '<q> ' + message['content'] + ' <a> ' }}{% endif %}"
    "{% endfor %}"
)
"""A question between ``<q>`` and ``<a>``, then the answer and the EOS. The generation prompt adds
nothing, because a question already ends where the answer begins."""

MAX_POSITIONS = 256
# Heads of 32 dimensions: vLLM's CPU attention takes no smaller ones. Weights start at about
# 0.8 / sqrt(hidden_size): from Llama's 0.02 so narrow a model takes nearly twice the steps to learn
# the one-digit facts.
SHAPES: dict[str, dict[str, int | float]] = {
    "teacher": {
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 256,
        "initializer_range": 0.08,
    },
    "student": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 176,
        "initializer_range": 0.1,
    },
}


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer: one token a word, tag, digit, mark or circled number.

    Decoding joins neighbouring digits into a number, so a text of the world comes back exactly.
    """
    tokens = (*SPECIAL_TOKENS, *vocabulary())
    core = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)]
    )
    # WordPiece with a prefix that no token has is the decoder that puts a space between tokens.
    core.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##", cleanup=False),
            decoders.Fuse(),
            decoders.Replace(Regex("(?<=[0-9]) (?=[0-9])"), ""),
        ]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<eos>",
        additional_special_tokens=["<q>", "<a>"],
        padding_side="left",
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def new_model(size: Size, seed: int = 0) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Return a fresh model in float32 with its tokenizer. The global random state is kept.

    Raises ConfigError for an unknown size.
    """
    if size not in SHAPES:
        raise ConfigError(f"unknown size {size!r} of the mini model; one of {', '.join(SHAPES)}")
    tokenizer = new_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPES[size],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return model, tokenizer


def save(folder: Path, size: Size, seed: int = 0) -> None:
    """Write a fresh model as an ordinary Hugging Face folder."""
    disable_progress_bar()
    model, tokenizer = new_model(size, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
