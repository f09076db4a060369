"""Where the reasoning and the answer stand in a trace; scripts and languages; text for ids.

Offsets are counted in characters (Unicode code points), as Python and polars do.
"""

import re
import unicodedata
from typing import Any, NamedTuple

import polars as pl

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"

LANGUAGE_SCRIPTS: dict[str, tuple[str, ...]] = {
    "ko": ("Hangul",),
    "ja": ("Hiragana", "Katakana", "Han"),
    "zh": ("Han",),
    "ru": ("Cyrillic",),
    "uk": ("Cyrillic",),
    "ar": ("Arabic",),
    "fa": ("Arabic",),
    "th": ("Thai",),
    "hi": ("Devanagari",),
    "bn": ("Bengali",),
    "te": ("Telugu",),
    "ta": ("Tamil",),
    "he": ("Hebrew",),
    "el": ("Greek",),
    "en": ("Latin",),
    "de": ("Latin",),
    "fr": ("Latin",),
    "es": ("Latin",),
    "pt": ("Latin",),
    "it": ("Latin",),
    "vi": ("Latin",),
    "id": ("Latin",),
    "tr": ("Latin",),
    "pl": ("Latin",),
    "nl": ("Latin",),
    "sw": ("Latin",),
}
"""Unicode scripts that a language is written in (scripts, not blocks: UAX #24)."""

# Kana decide before Han, since Japanese uses both; Latin last, since formulae hold Latin letters.
_SCRIPT_LANGUAGE = (
    (r"[\p{Hiragana}\p{Katakana}]", "ja"),
    (r"\p{Hangul}", "ko"),
    (r"\p{Han}", "zh"),
    (r"\p{Cyrillic}", "ru"),
    (r"\p{Arabic}", "ar"),
    (r"\p{Thai}", "th"),
    (r"\p{Devanagari}", "hi"),
    (r"\p{Bengali}", "bn"),
    (r"\p{Telugu}", "te"),
    (r"\p{Tamil}", "ta"),
    (r"\p{Hebrew}", "he"),
)


class Parts(NamedTuple):
    """Spans of a completion: ``(start, end)`` each, None where the part is missing."""

    thinking: tuple[int, int] | None
    answer: tuple[int, int] | None


def opens_thinking(prefill: str) -> bool:
    """Return whether a template's prefill leaves a ``<think>`` open."""
    return prefill.rfind(THINK_OPEN) > prefill.rfind(THINK_CLOSE)


def split_thinking(text: str, prefill: str = "") -> Parts:
    """Return the spans of reasoning and answer in a completion.

    The reasoning begins after the first ``<think>`` (or at 0 if the prefill opened it) and ends at
    the last ``</think>``, so that nothing said inside a repeated block can pass as the answer.
    Reasoning that never ends has no answer; text without tags is all answer.
    """
    opened = 0 if opens_thinking(prefill) else None
    if opened is None and (first := text.find(THINK_OPEN)) >= 0:
        opened = first + len(THINK_OPEN)
    closed = text.rfind(THINK_CLOSE)
    if closed >= 0:
        start = opened if opened is not None and opened <= closed else 0
        return Parts((start, closed), (closed + len(THINK_CLOSE), len(text)))
    if opened is not None:
        return Parts((opened, len(text)), None)
    return Parts(None, (0, len(text)))


def normalise_prompt(text: str) -> str:
    """Return the text that a problem's id is made of: NFC, white space folded."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold(text: str) -> str:
    """Return the text that counts as equal for exact duplicates: NFKC, case and space folded."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def language_code(value: Any) -> str | None:
    """Return a language code in its usual case (KO is ko, pt_br is pt-BR), or None if it is none.

    A code has two or three letters, and may name script and region.
    """
    pattern = r"[a-z]{2,3}([-_][a-z0-9]{2,8})*"
    if not isinstance(value, str) or not re.fullmatch(pattern, value.strip(), re.I | re.ASCII):
        return None
    first, *rest = value.strip().replace("_", "-").lower().split("-")
    cased = [{2: str.upper, 4: str.title}.get(len(part), str)(part) for part in rest]
    return "-".join([first, *cased])


def script_language(column: str) -> pl.Expr:
    """Return an expression that guesses a text's language (ISO 639-1) from its letters' scripts.

    The script with the most letters wins. A text in Latin letters is called ``en``: the script
    cannot tell more. Null for a text without letters.
    """
    text = pl.col(column)
    counts = [text.str.count_matches(pattern) for pattern, _ in _SCRIPT_LANGUAGE]
    # Formulae are full of Latin letters, so only words of two letters or more count.
    latin = text.str.replace_all(r"\\[A-Za-z]+", " ").str.count_matches(r"\p{Latin}{2,}")
    # A Hangul, Han or Thai letter carries about as much as half a Latin word.
    best = pl.max_horizontal(*counts)
    out = pl.when((best > 0) & (best >= latin)).then(
        pl.coalesce(
            pl.when(count == best).then(pl.lit(name))
            for count, (_, name) in zip(counts, _SCRIPT_LANGUAGE, strict=True)
        )
    )
    kana_and_han = (counts[0] > 0) & (best == counts[2])
    has_latin = text.str.contains(r"\p{Latin}")
    return (
        pl.when(kana_and_han & (best >= latin))
        .then(pl.lit("ja"))
        .otherwise(out.otherwise(pl.when(has_latin).then(pl.lit("en"))))
    )


def last_boxed(text: str) -> str | None:
    r"""Return what stands in the last brace-balanced ``\boxed{…}`` of a text, or None."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    begin = start + len("\\boxed{")
    depth = 1
    for position in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position].strip()
    return None
