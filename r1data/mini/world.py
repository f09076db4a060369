"""The miniature world: sums in three languages, and a base corpus in which most writing is poor.

A problem is a sum of two numbers with the same count of digits, asked in English, Korean or
Chinese. The text that a base model is trained on holds three ways to answer: to guess, to add
column by column with care, or to add column by column with slips. It also mixes languages, leaves
out tags, breaks off and loops, as text from the web does. What a model becomes by reinforcement
learning must therefore come out of the reward: which way to answer, in which language and in which
format are three independent draws (`SHARES`), so none of them tells of another.

    compute 242 + 388
    <think> ones 2 plus 8 is ⑩ 0 carry 1 . tens 4 plus 8 plus 1 is ⑬ 3 carry 1 . hundreds 2 plus 3
    plus 1 is ⑥ 6 carry 0 . so 630 . </think> <answer> 630 </answer>

The sum of a column stands as one circled number, because a tiny model learns a whole sum far
sooner than its last digit. A circled number belongs to no script, so it is neutral as to language.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from r1data.core.errors import ConfigError
from r1data.core.records import Problem, SftRow, content_hash, polars_schema
from r1data.core.text import normalise_prompt

Split = Literal["train", "validation", "test"]

SOURCE = "mini:addition"
LICENCE = "CC0-1.0"
LANGUAGES = ("en", "ko", "zh")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

SHARES: Mapping[str, Mapping[str, float]] = {
    "strategy": {"guess": 0.35, "careful": 0.30, "slip": 0.35},
    "language": {"matching": 0.45, "other": 0.15, "code-switched": 0.40},
    "format": {
        "full": 0.30,
        "no-think-tags": 0.30,
        "no-answer-mark": 0.15,
        "cut-off": 0.10,
        "looping": 0.05,
        "no-answer": 0.10,
    },
}
"""Shares of the base corpus, one independent draw each. Frozen: they were set once, so that a base
model is right about one time in four, and are not to be tuned to a result."""

DRILL_SHARE = 0.20
"""Documents of bare one-digit facts, without which a small model does not learn to add."""
DRILL_FACTS = 4
SWITCH = 0.35
"""Chance that a word of a code-switched document is in another language than the prompt's."""
SLIP = 0.35
"""Chance that a column of a document with slips is wrong."""
HELD_OUT_PERCENT = {"test": 10, "validation": 5}
"""Percentage of the pairs of numbers that are kept for each split; training has the rest."""

CIRCLED = "⓪①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲"
"""The sums of a column, carry included: 0 to 19."""
PLACES = ("ones", "tens", "hundreds", "thousands")
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {w: w for w in (*PLACES, "plus", "is", "carry", "so", "about", "compute", "practise")},
    "ko": {
        "ones": "일의자리",
        "tens": "십의자리",
        "hundreds": "백의자리",
        "thousands": "천의자리",
        "plus": "더하기",
        "is": "합은",
        "carry": "올림",
        "so": "따라서",
        "about": "대략",
        "compute": "계산하세요:",
        "practise": "연습하세요",
    },
    "zh": {
        "ones": "个位",
        "tens": "十位",
        "hundreds": "百位",
        "thousands": "千位",
        "plus": "加",
        "is": "得",
        "carry": "进位",
        "so": "所以",
        "about": "大概",
        "compute": "计算",
        "practise": "练习",
    },
}
"""Every word of the world by its English name; a word is one token in each language."""
TAGS = ("<think>", "</think>", "<answer>", "</answer>")

Line = list[str]


@dataclass(frozen=True, slots=True)
class Document:
    """One document of the base corpus, with the draws that made it (None for a drill)."""

    prompt: str
    text: str
    language: str
    pair: tuple[int, int] | None = None
    strategy: str | None = None
    mode: str | None = None
    format: str | None = None
    total: int | None = None
    """The sum that the document arrives at, whether or not its format shows it."""


def vocabulary() -> tuple[str, ...]:
    """Return every token that a text of the world can hold, in a fixed order."""
    words = [word for language in LANGUAGES for word in WORDS[language].values()]
    return (*TAGS, ".", "+", *"0123456789", *CIRCLED, *words)


def split_of(a: int, b: int) -> Split:
    """Return the split that a pair of numbers belongs to, in every language and in both orders.

    The hash mixes all digits: a linear rule such as ``(a + b) % 10`` would hold out one kind of
    sum, and so make the test another task than the training.
    """
    low, high = sorted((a, b))
    digest = hashlib.blake2b(f"{low}+{high}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") % 100
    if place < HELD_OUT_PERCENT["test"]:
        return "test"
    if place < HELD_OUT_PERCENT["test"] + HELD_OUT_PERCENT["validation"]:
        return "validation"
    return "train"


def prompt_text(a: int, b: int, language: str) -> str:
    """Return the question in a language.

    The numbers come last in Korean too: with the verb at the end, where it would stand in prose, a
    tiny model must learn to find each digit twice.
    """
    return f"{WORDS[language]['compute']} {a} + {b}"


def problems(
    split: Split,
    size: int,
    seed: int = 0,
    digits: Sequence[int] = (3,),
    languages: Sequence[str] = LANGUAGES,
) -> pl.DataFrame:
    """Return problems of a split, one row a pair of numbers, with the columns of `Problem`.

    The first rows of a larger table are those of a smaller one. Raises ConfigError for settings
    out of range, and where the split has too few pairs.
    """
    _check(digits, languages)
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r} of {SOURCE}; one of {', '.join(SPLITS)}")
    generator = random.Random(f"{SOURCE} {split} {seed}")
    pairs: dict[tuple[int, int], str] = {}
    for _ in range(40 * size + 1000):
        if len(pairs) >= size:
            break
        pair = _pair(generator, digits)
        language = generator.choice(list(languages))
        if split_of(*pair) == split:
            pairs.setdefault(pair, language)
    if len(pairs) < size:
        raise ConfigError(f"{SOURCE} has fewer than {size} {split} problems; lower the size")
    rows = [_problem(a, b, language) for (a, b), language in pairs.items()]
    return pl.DataFrame(rows, schema=polars_schema(Problem))


def pretraining_corpus(
    rows: int,
    seed: int = 0,
    digits: Sequence[int] = (3,),
    languages: Sequence[str] = LANGUAGES,
) -> pl.DataFrame:
    """Return the base corpus with the columns of `SftRow`, from pairs of the training split alone.

    Every document ends its turn, those that break off or loop too: SFT closes each answer with the
    end-of-turn token, so a base model *stops* in the middle rather than running on.
    """
    out = []
    for index, document in enumerate(documents(rows, seed, digits, languages)):
        messages = [
            {"role": "user", "content": document.prompt},
            {"role": "assistant", "content": document.text},
        ]
        out.append(
            {
                "row_id": content_hash(SOURCE, seed, index),
                "messages": messages,
                "problem_id": _problem_id(document),
                "trace_id": content_hash(SOURCE, "trace", seed, index),
                "model": "grammar",
                "language": document.language,
                "domain": "math",
                "source": SOURCE,
                "licence": LICENCE,
            }
        )
    return pl.DataFrame(out, schema=polars_schema(SftRow))


def documents(
    rows: int,
    seed: int = 0,
    digits: Sequence[int] = (3,),
    languages: Sequence[str] = LANGUAGES,
) -> Iterator[Document]:
    """Yield the documents of the base corpus with their draws; document i depends on i alone."""
    _check(digits, languages)
    for index in range(rows):
        generator = random.Random(f"{SOURCE} corpus {seed} {index}")
        language = generator.choice(list(languages))
        mode = _draw(generator, "language")
        if generator.random() < DRILL_SHARE:
            yield _drill(generator, language, mode, languages)
        else:
            yield _document(generator, language, mode, digits, languages)


def careful(a: int, b: int) -> tuple[list[Line], int]:
    """Return the lines of a careful derivation, in English names, and the sum."""
    return _derive(a, b, slips=None)


def write(lines: Sequence[Line], language: str) -> str:
    """Return lines in one language, without tags."""
    words = WORDS[language]
    return " ".join(words.get(word, word) for line in lines for word in line)


def _check(digits: Sequence[int], languages: Sequence[str]) -> None:
    if not digits or any(count not in range(1, len(PLACES) + 1) for count in digits):
        raise ConfigError(f"digits of {SOURCE} are {tuple(digits)}; use 1 to {len(PLACES)}")
    if not languages or any(language not in WORDS for language in languages):
        known = ", ".join(WORDS)
        raise ConfigError(f"languages of {SOURCE} are {tuple(languages)}; use some of {known}")


def _draw(generator: random.Random, name: str) -> str:
    shares = SHARES[name]
    return generator.choices(list(shares), list(shares.values()))[0]


def _pair(generator: random.Random, digits: Sequence[int]) -> tuple[int, int]:
    count = generator.choice(list(digits))
    low, high = 10 ** (count - 1), 10**count - 1
    return generator.randint(low, high), generator.randint(low, high)


def _problem(a: int, b: int, language: str) -> dict[str, object]:
    prompt = prompt_text(a, b, language)
    return {
        "problem_id": _content_id(prompt, str(a + b)),
        "prompt": prompt,
        "answer": str(a + b),
        "verifier": "math",
        "language": language,
        "domain": "math",
        "source": SOURCE,
        "source_id": f"{a}+{b}",
        "licence": LICENCE,
    }


def _content_id(prompt: str, answer: str | None) -> str:
    return content_hash(normalise_prompt(prompt), answer, "math", None)  # None: no payload


def _problem_id(document: Document) -> str:
    return _content_id(document.prompt, str(sum(document.pair)) if document.pair else None)


def _derive(a: int, b: int, slips: random.Random | None) -> tuple[list[Line], int]:
    lines: list[Line] = []
    carry, written = 0, ""
    columns = zip(reversed(str(a)), reversed(str(b)), strict=True)
    for place, (left, right) in zip(PLACES, columns, strict=False):
        terms = [int(left), int(right)] + [1] * carry
        slip = slips.choice(("sum", "carry", "operand")) if slips and _slips(slips) else None
        if slips and slip == "operand":
            terms[slips.randrange(2)] = slips.randrange(10)
        total = sum(terms)
        if slips and slip == "sum":
            total = min(19, max(0, total + slips.choice((-2, -1, 1, 2))))
        carry = total // 10 if slip != "carry" else 1 - total // 10
        sum_of_terms = " plus ".join(map(str, terms)).split()
        shown = [CIRCLED[total], str(total % 10)]
        lines.append([place, *sum_of_terms, "is", *shown, "carry", str(carry), "."])
        written = str(total % 10) + written
    result = int(f"{carry}{written}")
    return [*lines, ["so", str(result), "."]], result


def _slips(generator: random.Random) -> bool:
    return generator.random() < SLIP


def _guess(generator: random.Random, a: int, b: int) -> tuple[list[Line], int]:
    # A fifth of the numbers' size to either side: near the sum, and almost never the sum itself.
    spread = 10 ** len(str(a)) // 5
    total = max(0, a + b + generator.randint(-spread, spread))
    return [["about", str(total), "."]], total


def _document(
    generator: random.Random,
    language: str,
    mode: str,
    digits: Sequence[int],
    languages: Sequence[str],
) -> Document:
    pair = _pair(generator, digits)
    while split_of(*pair) != "train":
        pair = _pair(generator, digits)
    strategy, form = _draw(generator, "strategy"), _draw(generator, "format")
    if strategy == "guess":
        lines, total = _guess(generator, *pair)
    else:
        lines, total = _derive(*pair, slips=generator if strategy == "slip" else None)
    shaped = _shape(generator, lines, total, form)
    text = _speak(generator, shaped, language, mode, languages)
    prompt = prompt_text(*pair, language)
    return Document(prompt, text, language, pair, strategy, mode, form, total)


def _shape(generator: random.Random, lines: list[Line], total: int, form: str) -> Line:
    thinking = [word for line in lines for word in line]
    tagged = ["<think>", *thinking, "</think>"]
    answer = ["<answer>", str(total), "</answer>"]
    if form == "no-think-tags":
        return [*thinking, *answer]
    if form == "no-answer-mark":
        return [*tagged, str(total)]
    if form == "no-answer":
        return tagged
    if form == "looping":
        stop = generator.randrange(len(lines))
        loop = lines[stop] * generator.randint(2, 4)
        return ["<think>", *(word for line in lines[:stop] for word in line), *loop]
    if form == "cut-off":
        return tagged[: generator.randint(2, len(tagged) - 1)]
    return [*tagged, *answer]


def _speak(
    generator: random.Random, words: Line, language: str, mode: str, languages: Sequence[str]
) -> str:
    others = [other for other in languages if other != language] or [language]
    base = generator.choice(others) if mode == "other" else language
    out = []
    for word in words:
        switch = mode == "code-switched" and word in WORDS["en"] and generator.random() < SWITCH
        out.append(WORDS[generator.choice(others) if switch else base].get(word, word))
    return " ".join(out)


def _drill(
    generator: random.Random, language: str, mode: str, languages: Sequence[str]
) -> Document:
    words: Line = []
    for _ in range(DRILL_FACTS):
        terms = [generator.randrange(10), generator.randrange(10)] + [1] * generator.randrange(2)
        total = sum(terms)
        shown = [CIRCLED[total], str(total % 10)]
        words += " plus ".join(map(str, terms)).split()
        words += ["is", *shown, "carry", str(total // 10), "."]
    text = _speak(generator, words, language, mode, languages)
    return Document(WORDS[language]["practise"], text, language, mode=mode)
