"""A random two-layer Llama and a word-level tokenizer, built in memory."""

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>", "<turn>", "<think>", "</think>")
WORDS = tuple(f"{first}{last}" for first in "bdfgklmn" for last in "aeiou")
VOCABULARY = {word: number for number, word in enumerate(SPECIAL + WORDS)}


def tiny_tokenizer() -> Any:
    inner = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens=["<turn>", "<think>", "</think>"],
    )


def tiny_model(eos: int | list[int] | None = None, positions: int = 128, **settings: Any) -> Any:
    """Return a model whose logits are spread enough for samples to differ from one another."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.2,
        bos_token_id=VOCABULARY["<bos>"],
        eos_token_id=eos,
        pad_token_id=VOCABULARY["<pad>"],
        **settings,
    )
    return LlamaForCausalLM(config).eval()
