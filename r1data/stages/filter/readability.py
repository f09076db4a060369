"""Readability of traces: form, completeness, repetition, paragraphs, length.

R1 dropped "chain-of-thought with mixed languages, long paragraphs, and code blocks" (section 2.3.3)
and published no thresholds; the defaults here cost none of 500 healthy R1-Distill traces. Web
heuristics (Gopher, C4) are no use here: they drop 73 to 100 % of good reasoning.

Each rule is a function ``(policy) -> Expr`` that gives a struct of value, passed, reason, spans.
"""

from typing import Literal

import polars as pl
from pydantic import Field

from r1data.core.stage import Config
from r1data.stages.filter.language import SPANS

_CJK = ("zh", "ja", "ko")


class ReadabilityPolicy(Config):
    """Thresholds of the readability rules."""

    format: Literal["think", "think-answer"] = "think"
    """Form that is well-formed: one ``<think>…</think>`` and then an answer, or, think-answer, one
    ``<answer>…</answer>`` after it and nothing else."""
    ngram_words: int = Field(default=5, ge=2, le=20)
    """Words of an n-gram whose repetition is measured."""
    min_unique_ngrams: float = Field(default=0.3, ge=0, le=1)
    """Smallest share of distinct n-grams."""
    min_repetition_words: int = Field(default=50, ge=1)
    """Words from which the share of distinct n-grams counts."""
    max_repeats: int = Field(default=3, ge=2)
    """Times in a row at which a line or sentence, or a cycle of two or three, is a loop."""
    max_paragraph: int = Field(default=2000, ge=1)
    """Longest paragraph, in characters; a paragraph ends at a line break."""
    max_paragraph_cjk: int = Field(default=1000, ge=1)
    """The same for Chinese, Japanese and Korean targets."""
    min_tokens: int | None = Field(default=None, ge=0)
    """Fewest completion tokens."""
    max_tokens: int | None = Field(default=None, ge=0)
    """Most completion tokens."""


def _outcome(value: pl.Expr, reason: pl.Expr) -> pl.Expr:
    return pl.struct(
        value.cast(pl.Float64).alias("value"),
        reason.is_null().alias("passed"),
        reason.alias("reason"),
        pl.lit([], dtype=SPANS).alias("spans"),
    )


def _first(*faults: tuple[pl.Expr, str]) -> pl.Expr:
    """Return the reason of the first fault that holds, else null."""
    return pl.coalesce(pl.when(holds).then(pl.lit(reason)) for holds, reason in faults)


def _yes_or_no(reason: pl.Expr) -> pl.Expr:
    return _outcome(reason.is_null().cast(pl.Float64), reason)


def _count(tag: str) -> pl.Expr:
    return pl.col("_turn").str.count_matches(tag, literal=True)


def well_formed(policy: ReadabilityPolicy) -> pl.Expr:
    r"""Return 1 for a well-formed turn (prefill and text), else 0 with the first fault.

    Anchored at both ends of the text, not of a line: text after ``</answer>`` on a new line is
    outside the form.
    """
    turn = pl.col("_turn")
    faults = [
        (_count("<think>") == 0, "no_think"),
        (_count("</think>") == 0, "unclosed_think"),
        ((_count("<think>") > 1) | (_count("</think>") > 1), "repeated_think"),
        (~turn.str.contains(r"\A\s*<think>"), "text_before_think"),
        (turn.str.contains(r"<think>\s*</think>"), "empty_reasoning"),
        (turn.str.contains(r"</think>\s*\z"), "empty_answer"),
    ]
    if policy.format == "think-answer":
        faults += [
            (_count("<answer>") == 0, "no_answer"),
            (_count("</answer>") == 0, "unclosed_answer"),
            ((_count("<answer>") > 1) | (_count("</answer>") > 1), "repeated_answer"),
            (~turn.str.contains(r"</think>\s*<answer>"), "text_before_answer"),
            (turn.str.contains(r"<answer>\s*</answer>"), "empty_answer"),
            (~turn.str.contains(r"</answer>\s*\z"), "text_after_answer"),
        ]
    return _yes_or_no(_first(*faults))


def finished(policy: ReadabilityPolicy) -> pl.Expr:
    r"""Return 1 for a turn that came to its end, else 0 with the first sign that it did not.

    The engine's finish_reason where there is one; an open think tag, ``$$``, code fence or
    ``\boxed{``. An odd ``$$`` alone found 42 % of a truncated set and at most 1 % elsewhere.
    """
    turn, ended = pl.col("_turn"), pl.col("finish_reason")
    box = turn.str.extract(r"(?s)\A.*(\\boxed\{.*)\z", 1).str.replace_all(r"\\[{}]", "")
    open_box = box.str.count_matches("{", literal=True) > box.str.count_matches("}", literal=True)
    faults = [
        (ended == "length", "cut_at_max_tokens"),
        (ended == "abort", "aborted"),
        (_count("<think>") > _count("</think>"), "unclosed_think"),
        (_count("```") % 2 == 1, "unclosed_code"),
        (_count("$$") % 2 == 1, "unclosed_math"),
        (open_box, "unclosed_box"),
    ]
    return _yes_or_no(_first(*faults))


# Rows of numbers look like loops and are none.
_GRID = r"(?:\d+[\[\]{}()|,;:\s-]+){8,}"
_CODE = r"(?s:```.*?```)|`[^`\n]+`"
_NGRAM_WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}]{1,2}|\p{Thai}{1,4}|[\p{L}\p{M}\p{N}]+"
_SENTENCE = r"[^.!?。！？।؟\n]{8,}"
_CYCLES = (1, 2, 3)


def _ngram_numbers(width: int) -> pl.Expr:
    """Return a number for each run of ``width`` list elements: equal runs have equal numbers."""
    words = pl.element().hash(0)
    # A polynomial in an odd number, modulo 2^64.
    terms = [words.shift(-i) * pl.lit(_power(i), dtype=pl.UInt64) for i in range(width)]
    return pl.sum_horizontal(terms, ignore_nulls=False).drop_nulls()


def _power(exponent: int) -> int:
    return pow(6364136223846793005, exponent, 2**64)


def _longest_cycle() -> pl.Expr:
    """Return how many times in a row the list repeats itself, at periods of 1 to 3 elements."""
    times = []
    for period in _CYCLES:
        same = (pl.element() == pl.element().shift(period)).fill_null(False).rle()
        length = same.struct.field("len").filter(same.struct.field("value")).max().fill_null(0)
        times.append(pl.when(length > 0).then(length // period + 1).otherwise(1))
    return pl.max_horizontal(times)


def with_repetition(frame: pl.LazyFrame, policy: ReadabilityPolicy) -> pl.LazyFrame:
    """Add what `repetition` decides on: ``_word_count``, ``_share``, ``_repeats``.

    In steps, since an expression over lists is worked out anew wherever it is written.
    """
    prose = pl.col("text").str.replace_all(f"{_CODE}|{_GRID}", "\n").str.to_lowercase()
    sentence = pl.element().str.strip_chars(" \t\r*#>-")
    spoken = sentence.filter(sentence.str.contains(r"\p{L}"))
    words, sentences = pl.col("_words"), pl.col("_sentences")
    frame = frame.with_columns(prose.alias("_prose")).with_columns(
        pl.col("_prose").str.extract_all(_NGRAM_WORD).alias("_words"),
        pl.col("_prose").str.extract_all(_SENTENCE).list.eval(spoken).alias("_sentences"),
    )
    numbers = words.list.eval(_ngram_numbers(policy.ngram_words))
    # Most texts repeat no sentence at all, which is cheap to see.
    repeated = pl.when(sentences.list.n_unique() < sentences.list.len()).then(sentences)
    frame = frame.with_columns(
        numbers.alias("_numbers"), repeated.list.eval(_longest_cycle()).list.first().alias("_cycle")
    )
    distinct = pl.col("_numbers").list.n_unique().cast(pl.Int64)
    total = pl.col("_numbers").list.len().cast(pl.Int64)
    return frame.with_columns(
        pl.when(total > 0).then(distinct / total).alias("_share"),
        pl.col("_cycle").fill_null(1).alias("_repeats"),
        words.list.len().alias("_word_count"),
    ).drop("_prose", "_words", "_sentences", "_numbers", "_cycle")


def repetition(policy: ReadabilityPolicy) -> pl.Expr:
    """Return the share of distinct word n-grams, outside code and grids; null for a few words.

    A line or sentence (or a cycle of up to three) that follows itself max_repeats times is a loop
    however short the text. Needs the columns of `with_repetition`.
    """
    share = pl.col("_share")
    enough = pl.col("_word_count") >= policy.min_repetition_words
    return _outcome(
        share,
        _first(
            (pl.col("_repeats") >= policy.max_repeats, "repeated_lines"),
            (enough & (share < policy.min_unique_ngrams), "repeated_ngrams"),
        ),
    )


def paragraph_length(policy: ReadabilityPolicy) -> pl.Expr:
    """Return the characters of the longest paragraph; a line break ends one."""
    lengths = pl.col("text").str.split("\n").list.eval(pl.element().str.len_chars())
    longest = lengths.list.max()
    cjk = pl.col("_target").is_in(_CJK).fill_null(False)
    limit = pl.when(cjk).then(policy.max_paragraph_cjk).otherwise(policy.max_paragraph)
    return _outcome(longest, _first((longest > limit, "long_paragraph")))


def length(policy: ReadabilityPolicy) -> pl.Expr:
    """Return the tokens of the completion, as the engine counted them; null where it did not."""
    tokens = pl.col("completion_tokens")
    short = tokens < policy.min_tokens if policy.min_tokens is not None else pl.lit(False)
    long = tokens > policy.max_tokens if policy.max_tokens is not None else pl.lit(False)
    return _outcome(tokens, _first((short, "too_short"), (long, "too_long")))


RULES = {
    "format": well_formed,
    "finished": finished,
    "repetition": repetition,
    "paragraph_length": paragraph_length,
    "length": length,
}
"""Readability rules by name."""
