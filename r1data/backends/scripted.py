"""A sampler without a model, for tests, documentation and dry runs.

What it says is a function of the prompt's text and the seed. Like a base model it is right some of
the time, mixes languages, loops, and runs out of budget; the shares are parameters.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from r1data.core.errors import ConfigError
from r1data.core.prompts import render as render_messages
from r1data.core.sampling import Completion, Progress, Prompt, Request, SamplingParams
from r1data.core.text import THINK_CLOSE, THINK_OPEN, opens_thinking

# A token is a word or a mark, with the space that follows.
_TOKEN = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")


class Phrases(NamedTuple):
    """What the sampler says in one language."""

    opening: str
    step: str
    closing: str


PHRASES = {
    "en": Phrases("Let us look at the question.", "Now check step {n} again.", "So it is {answer}"),
    "ko": Phrases("문제를 살펴보자.", "이제 {n}단계를 다시 확인하자.", "따라서 답은 {answer}"),
    "zh": Phrases("我们先看问题。", "现在再检查第{n}步。", "所以答案是 {answer}"),
}


class ScriptedTokenizer:
    """The chat format of the scripted sampler, which opens ``<think>``."""

    chat_template = "scripted"
    eos_token = "<|end|>"

    def apply_chat_template(self, conversation: Any, **options: Any) -> str:
        """Return the conversation as text."""
        turns = "".join(f"<|{turn['role']}|>{turn['content']}<|end|>" for turn in conversation)
        opening = f"<|assistant|>{THINK_OPEN}\n"
        return turns + (opening if options.get("add_generation_prompt") else "")


class ScriptedSampler:
    """Answers by a hash of prompt and seed (a `core.sampling.Sampler`).

    ``answers`` maps a problem's text to its gold answer: a prompt that contains one is answered
    rightly with probability ``correct``, and any other with a small number. ``mixed``, ``endless``
    and ``repeating`` are the shares of samples whose reasoning changes language, that run out of
    budget while thinking, and that say one line over and over; they are drawn independently.
    Temperature 0 gives one answer a prompt, whatever the seed. Raises ConfigError for a share
    outside [0, 1].
    """

    engine = "scripted"

    def __init__(
        self,
        answers: Mapping[str, str] | None = None,
        *,
        correct: float = 0.5,
        mixed: float = 0.2,
        endless: float = 0.1,
        repeating: float = 0.1,
    ) -> None:
        shares = {
            "correct": correct,
            "mixed": mixed,
            "endless": endless,
            "repeating": repeating,
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ConfigError(f"scripted: {name} must be between 0 and 1, got {share}")
        self.answers = dict(answers or {})
        self.shares = shares

    def render(self, prompt: str, template: str, system: str | None = None) -> Prompt:
        """Return the rendered prompt of one user turn; template chat opens ``<think>``."""
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": prompt})
        return render_messages(turns, template, ScriptedTokenizer())

    def generate(
        self,
        requests: Sequence[Request],
        params: SamplingParams,
        progress: Progress | None = None,
    ) -> Iterator[tuple[int, Completion]]:
        """Yield (position in requests, completion) in order. Log-probabilities are all 0."""
        for index, request in enumerate(requests):
            completion = self._complete(request, params)
            if progress:
                progress(1, len(completion.token_ids))
            yield index, completion

    def _complete(self, request: Request, params: SamplingParams) -> Completion:
        seed = request.seed if params.temperature > 0 else 0
        text = self._text(request.prompt, seed)
        ends = [at for stop in params.stop if (at := text.find(stop)) >= 0]
        words = _TOKEN.findall(text[: min(ends)] if ends else text)
        if not ends and THINK_CLOSE not in text:
            words *= 1 + params.max_tokens // len(words)
        cut = len(words) + 1 > params.max_tokens  # one token more ends the turn
        words = words[: params.max_tokens]
        token_ids = [_number(word) for word in words] + ([] if cut else [0])
        prompt_ids = [_number(word) for word in _TOKEN.findall(request.prompt.text)]
        return Completion(
            text="".join(words),
            token_ids=token_ids,
            logprobs=[0.0] * len(token_ids),
            finish_reason="length" if cut else "stop",
            prompt_tokens=len(prompt_ids),
            prompt_ids=prompt_ids,
        )

    def _text(self, prompt: Prompt, seed: int) -> str:
        is_drawn = {
            name: _share(prompt.text, seed, name) < share for name, share in self.shares.items()
        }
        gold = self._gold(prompt.text)
        answer = gold
        if gold is None or not is_drawn["correct"]:
            answer = _wrong(gold, int(_share(prompt.text, seed, "answer") * 100))
        own = _language(prompt.text)
        languages = list(PHRASES) if is_drawn["mixed"] else [own]
        lines = [PHRASES[own].opening]
        for number in range(1, 3 + int(_share(prompt.text, seed, "length") * 4)):
            language = languages[number % len(languages)]
            lines.append(PHRASES[language].step.format(n=number))
        if is_drawn["repeating"]:
            lines += [lines[-1]] * 12
        opening = "" if opens_thinking(prompt.prefill) else f"{THINK_OPEN}\n"
        if is_drawn["endless"]:
            return opening + "\n".join(lines) + "\n"
        lines.append(PHRASES[own].closing.format(answer=answer) + ".")
        reasoning = "\n".join(lines)
        return f"{opening}{reasoning}\n{THINK_CLOSE}\n\\boxed{{{answer}}}"

    def _gold(self, text: str) -> str | None:
        # The longest match, since one problem's text may be the beginning of another's.
        found = [problem for problem in self.answers if problem in text]
        return self.answers[max(found, key=len)] if found else None


def _wrong(gold: str | None, number: int) -> str:
    """Return a small number that is not the gold answer."""
    return str(number + 1 if str(number) == gold else number)


def _language(text: str) -> str:
    if re.search("[가-힣]", text):
        return "ko"
    return "zh" if re.search("[一-鿿]", text) else "en"


def _digest(*parts: object) -> int:
    data = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _share(text: str, seed: int, purpose: str) -> float:
    """Return a number in [0, 1), uniform over texts and seeds and independent by purpose."""
    return (_digest(purpose, seed, text) >> 11) * 2.0**-53


def _number(word: str) -> int:
    """Return a stable token id above 0, which ends a turn."""
    return 1 + _digest(word) % 49_999
