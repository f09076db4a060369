"""Prompt templates, and how a rendered prompt meets the assistant's turn.

Sampling, SFT and GRPO all render through here, so a model is trained on exactly the text that it
is sampled from.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from r1data.core.errors import ConfigError
from r1data.core.sampling import Prompt

TEMPLATES = ("r1-zero", "chat", "few-shot", "raw")

R1_ZERO = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves "
    "it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>. User: {prompt}. Assistant:"
)
"""Table 1 of the DeepSeek-R1 paper (arXiv 2501.12948)."""

FEW_SHOT = (
    "Question: What is 17 + 25?\n"
    "Answer: <think>\n17 + 25 = 17 + 20 + 5 = 37 + 5 = 42.\n</think>\n\\boxed{{42}}\n\n"
    "Question: A pen costs 3 coins and a book costs 4 times as much. What do both cost together?\n"
    "Answer: <think>\nThe book costs 4 x 3 = 12 coins. Together they cost 3 + 12 = 15.\n</think>\n"
    "\\boxed{{15}}\n\n"
    "Question: {prompt}\nAnswer:"
)
"""Two worked examples, for base models that follow no instruction."""

FEW_SHOT_STOP = ("\nQuestion:",)

_OPEN_THINK = re.compile(r"<think>\s*\Z")
_MARK = "\u2063r1data\u2063"


class ChatTokenizer(Protocol):
    """The part of a Hugging Face tokenizer that templates need."""

    chat_template: Any
    eos_token: Any

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """Render a conversation."""
        ...


def render(
    messages: Sequence[Mapping[str, str]], template: str, tokenizer: ChatTokenizer
) -> Prompt:
    """Return the prompt that ends where the assistant's next turn begins.

    Raises ConfigError for an unknown template, or for chat without a chat template.
    """
    if template == "chat":
        if not tokenizer.chat_template:
            raise ConfigError(
                "the model has no chat template; use --template r1-zero, few-shot or raw"
            )
        text = tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=False
        )
        opened = _OPEN_THINK.search(text)
        return Prompt(text, prefill=opened.group() if opened else "")
    bodies = {"r1-zero": R1_ZERO, "few-shot": FEW_SHOT, "raw": "{prompt}"}
    if template not in bodies:
        raise ConfigError(f"unknown template {template!r}; one of {', '.join(TEMPLATES)}")
    body = bodies[template].format(prompt=messages[-1]["content"])
    return Prompt(body, add_special_tokens=True)


def turn_end(tokenizer: ChatTokenizer) -> str:
    """Return the text that closes an assistant's turn: what the template writes, or the EOS."""
    eos = str(tokenizer.eos_token or "")
    if not tokenizer.chat_template:
        return eos
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _MARK}]
    tail = str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(_MARK)[2]
    if eos and eos in tail:
        return tail[: tail.index(eos) + len(eos)]
    return tail.rstrip() or eos
