"""A tokenizer, a Llama and a sampler that are small enough for a test, as the fixture `tiny`."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from r1data.core.sampling import Completion, Request, SamplingParams
from r1data.train.data import encode_prompts

WORDS = ["<pad>", "<eos>", "<bos>", "<q>", "<a>", "<think>", "</think>", "+", "is", "so", "."]
DIGITS = [str(i) for i in range(10)]
CHAT = (
    "{% for m in messages %}{% if m.role == 'user' %}<q> {{ m.content }} <a>"
    "{% else %} {{ m.content }} <eos>{% endif %}{% endfor %}"
)


def tokenizer(template: str | None = CHAT, pad: str = "<pad>") -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(WORDS + DIGITS)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="."))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<eos>", pad_token=pad, bos_token="<bos>", unk_token="."
    )
    fast.chat_template = template
    return fast


def llama(seed: int = 0, hidden: int = 32, layers: int = 2, heads: int = 2) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS + DIGITS),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def conversations(pairs: Sequence[tuple[str, str]]) -> pl.DataFrame:
    turns = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in pairs
    ]
    return pl.DataFrame({"messages": turns})


def problems(questions: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "prompt": [[{"role": "user", "content": q}] for q in questions],
            "problem_id": [f"p{i}" for i in range(len(questions))],
            "answer": questions,
        }
    )


def sampler(model: Any, fast: Any, eos: int | None = 1) -> Any:
    """Return a sampler of the live model: no cache, one generator a request."""

    @torch.no_grad()
    def sample(requests: list[Request], params: SamplingParams) -> list[Completion]:
        prompts = encode_prompts([request.prompt for request in requests], fast)
        generators = [torch.Generator().manual_seed(request.seed) for request in requests]
        rows = [list(ids) for ids in prompts]
        logprobs: list[list[float]] = [[] for _ in rows]
        ended = [False] * len(rows)
        for _ in range(params.max_tokens):
            width = max(map(len, rows))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
            last = torch.tensor([len(row) - 1 for row in rows])
            logits = model(input_ids=ids, use_cache=False).logits[torch.arange(len(rows)), last]
            scores = torch.log_softmax(logits.float() / params.temperature, -1)
            for i, generator in enumerate(generators):
                if not ended[i]:
                    token = int(torch.multinomial(scores[i].exp(), 1, generator=generator))
                    rows[i].append(token)
                    logprobs[i].append(float(scores[i, token]))
                    ended[i] = token == eos
        out = []
        for row, prompt, values, end in zip(rows, prompts, logprobs, ended, strict=True):
            ids = row[len(prompt) :]
            text = fast.decode(ids, skip_special_tokens=True)
            reason = "stop" if end else "length"
            out.append(Completion(text, ids, values, reason, len(prompt), list(prompt)))
        return out

    return sample


def share_of_sevens(
    rows: pl.DataFrame, completions: list[Completion], prefills: list[str]
) -> pl.DataFrame:
    """A dense reward: the share of sampled tokens that are the word 7."""
    seven = len(WORDS) + 7
    shares = [c.token_ids.count(seven) / max(len(c.token_ids), 1) for c in completions]
    return pl.DataFrame({"reward": shares, "sevens": shares})


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    torch.set_num_threads(1)
    return SimpleNamespace(
        tokenizer=tokenizer,
        llama=llama,
        conversations=conversations,
        problems=problems,
        sampler=sampler,
        share_of_sevens=share_of_sevens,
        words=WORDS,
    )
