"""Where a text leaves its language: the one vectorised function of the language rule.

It sees only rows that an expression has flagged (and, with language identification, the text of
Latin targets). Regular expressions with Unicode scripts run in polars, whose engine knows them;
Python only looks at the few matches. Offsets are characters.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import polars as pl

from r1data.backends.language_id import identify
from r1data.core.text import LANGUAGE_SCRIPTS

MASKED = "\x00"
"""Stands for a masked stretch: no letter, no space, so that it ends every run of words."""

# Read alike by Python and by polars: ASCII classes only, no look-around, first alternative wins.
MASK = "|".join(
    (
        r"(?s:```.*?```|\$\$.*?\$\$|\\\(.*?\\\)|\\\[.*?\\\])",
        r"`[^`\n]+`",
        r"\$[^$\n]+\$",
        r"https?://[!-~]+",
        r"\\(?:begin|end)\{[a-z*]*\}",
        r"\\[A-Za-z]+",
        r"</?(?:think|answer)>",
    )
)
"""Fences, LaTeX, inline code, URLs, commands and tags. An open fence masks nothing."""

_LETTERS = r"\p{Latin}(?:[\p{Latin}\p{M}]|['’-]\p{Latin})"
_WORD, _LONG_WORD = f"{_LETTERS}*", f"{_LETTERS}+"
_GAP = r"(?: {1,2}|\n)"
# No comma between words: BFS, numpy, pandas are a list of terms, not a clause.
_CLAUSE = f"{_WORD}(?:{_GAP}{_WORD})*"
LATIN_TERM = r"\p{Latin}+[\p{Latin}&&\p{Lu}]\p{Latin}*"
"""A run with a capital after its first letter: a term or an identifier, in any language."""

# An equals sign ends a sentence too: Profit per bag = Price per bag is a formula in words.
_SENTENCE = r"[^.!?=\n]+"
_FUNCTION_WORDS = {
    "en": "the|is|are|of|to|and|that|this|we|it|for|with|from|be|so|if|then|can|not|which|let",
    "es": "el|los|las|del|es|son|que|una|para|con|por|como|entonces|y|se|lo|pero|hay",
    "fr": "le|les|des|du|est|sont|une|et|pour|dans|nous|donc|ce|qui|avec|au|sur|il|on",
    "de": "der|die|das|und|ist|sind|wir|ein|eine|mit|zu|den|von|nicht|also|auf|es|sich|dem",
    "pt": "os|das|dos|do|da|uma|um|para|com|não|são|é|e|então|por|isso|se|ou|temos",
    "it": "il|gli|della|del|che|è|sono|una|per|con|di|non|quindi|si|ma|le|nel|abbiamo",
    "nl": "de|het|een|en|van|is|zijn|dat|voor|met|niet|we|dus|op|te|als|dit",
}
_WORDS_PER_FUNCTION_WORD = 6

_GLOSS = 30
"""Characters that a parenthesised gloss may have on either side of the foreign run."""

_BLOCK_LANGUAGES = {
    "CJK": "zh",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "THAI": "th",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TELUGU": "te",
    "TAMIL": "ta",
    "HEBREW": "he",
    "GREEK": "el",
}


def clause_of(words: int) -> str:
    """Return a pattern found in every run of so many Latin words of two letters or more.

    Single letters may stand between them (I need a loop), as in a clause; n log n is none.
    """
    return rf"{_LONG_WORD}(?:{_GAP}(?:\p{{Latin}}{_GAP})*{_LONG_WORD}){{{words - 1}}}"


class SpanRules(NamedTuple):
    """The thresholds of a policy that decide on spans; see `ConsistencyPolicy`."""

    latin_words: int
    lid: bool
    lid_letters: int
    lid_probability: float
    allow: tuple[str, ...]


class _Place(NamedTuple):
    row: int
    start: int
    end: int
    language: str | None
    reason: str


def offending_spans(columns: Sequence[pl.Series], rules: SpanRules) -> pl.Series:
    """Return, for each row, its offending spans and the words that they change the ratio by.

    Args:
        columns: ``part`` (text of a suspect row, else null), ``masked`` and ``whole`` (texts of a
            row whose sentences are identified, else null), ``offset`` (of the part in the text),
            ``target``, ``foreign`` (pattern), ``latin`` (whether Latin words are at home),
            ``prompt``, ``own`` and ``other`` (patterns of words).
        rules: thresholds.

    Returns:
        Structs of ``spans``, ``quoted`` (foreign words that stand in the prompt or in a gloss) and
        ``own`` (words that were taken for the target's but belong to another language).
    """
    frame = pl.DataFrame(list(columns)).with_row_index("row")
    rows = frame.select(pl.col("row").cast(pl.Int64))
    places, quoted = _foreign(frame.filter(pl.col("part").is_not_null()), rules)
    own: dict[int, int] = {}
    if rules.lid:
        identified, own = _identified(frame.filter(pl.col("masked").is_not_null()), rules)
        places += identified
    return (
        rows.join(_as_lists(places), on="row", how="left", maintain_order="left")
        .with_columns(
            pl.col("spans").fill_null([]),
            pl.col("row").replace_strict(quoted, default=0, return_dtype=pl.Int64).alias("quoted"),
            pl.col("row").replace_strict(own, default=0, return_dtype=pl.Int64).alias("own"),
        )
        .select(pl.struct("spans", "quoted", "own").alias("found"))
        .to_series()
    )


def _as_lists(places: list[_Place]) -> pl.DataFrame:
    """Return a row of spans, in the order of the text, for each row that has any."""
    columns = list(zip(*sorted(places, key=itemgetter(0, 1, 2)), strict=True)) or [()] * len(
        _PLACES
    )
    flat = pl.DataFrame(dict(zip(_PLACES, columns, strict=True)), schema=_PLACES)
    spans = pl.struct(list(_PLACES)[1:]).alias("spans")
    return flat.select("row", spans).group_by("row", maintain_order=True).agg("spans")


_PLACES = {
    "row": pl.Int64,
    "start": pl.Int64,
    "end": pl.Int64,
    "language": pl.String,
    "reason": pl.String,
}


def blank_masked(text: str) -> str:
    """Return the text with masked stretches blanked out, of the same length."""
    return re.sub(MASK, lambda match: MASKED * len(match[0]), text)


def _foreign(rows: pl.DataFrame, rules: SpanRules) -> tuple[list[_Place], dict[int, int]]:
    """Return the foreign letters and Latin clauses, and how many words of each row are quoted."""
    if rows.is_empty():
        return [], {}
    blank = pl.Series("blank", [blank_masked(text) for text in rows["part"]], dtype=pl.String)
    rows = rows.with_columns(blank).with_columns(
        pl.col("part").str.extract_all(pl.col("foreign")).alias("runs"),
        pl.when(~pl.col("latin")).then("blank").str.extract_all(_CLAUSE).alias("clauses"),
    )
    places: list[_Place] = []
    quotations: list[str | None] = []
    for row in rows.iter_rows(named=True):
        found, quoted = _foreign_of(row, rules.latin_words)
        places += found
        quotations.append("\n".join(quoted) or None)
    text = pl.col("quotation")
    terms = pl.when(~pl.col("latin")).then(text).str.count_matches(LATIN_TERM).fill_null(0)
    words = (
        rows.with_columns(pl.Series("quotation", quotations, dtype=pl.String))
        .filter(text.is_not_null())
        .select("row", text.str.count_matches(pl.col("other")).cast(pl.Int64) - terms)
    )
    return places, dict(words.iter_rows())


def _foreign_of(row: dict[str, Any], latin_words: int) -> tuple[list[_Place], list[str]]:
    text, prompt, offset = row["part"], row["prompt"] or "", row["offset"]
    found: list[_Place] = []
    quoted: list[str] = []
    runs = [(start, run, "foreign_script") for start, run in _placed(text, row["runs"])]
    for start, run in _placed(row["blank"], row["clauses"] or []):
        runs += [(start + at, piece, "latin_clause") for at, piece in _clauses(run, latin_words)]
    parentheses = "(" in text or "（" in text
    for start, run, reason in runs:
        end = start + len(run)
        if run in prompt or (parentheses and is_gloss(text, start, end)):
            # Only what the ratio counted can be taken off it again.
            if row["blank"][start] != MASKED:
                quoted.append(run)
            continue
        language = language_of(run) if reason == "foreign_script" else None
        found.append(_Place(row["row"], offset + start, offset + end, language, reason))
    return found, quoted


def _placed(text: str, runs: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield where each match stands. Matches are leftmost, so none can stand earlier again."""
    at = 0
    for run in runs:
        at = text.index(run, at)
        yield at, run
        at += len(run)


def _clauses(run: str, latin_words: int) -> Iterator[tuple[int, str]]:
    words = [(m.start(), m[0]) for m in re.finditer(r"[^ \n]+", run) if len(m[0]) >= 2]
    lower = [(at, word) for at, word in words if word.islower()]
    if latin_words == 1:
        yield from lower
    elif len(words) >= latin_words and len(lower) >= 2:
        yield 0, run


def is_gloss(text: str, start: int, end: int) -> bool:
    """Return whether text[start:end] stands in short parentheses right after a word."""
    before, after = text[max(0, start - _GLOSS) : start], text[end : end + _GLOSS]
    opened = max(before.rfind("("), before.rfind("（"))
    if opened < 0 or re.search(r"[)）\n]", before[opened:]):
        return False
    closed = re.search(r"[()（）\n]", after)
    if closed is None or closed[0] not in ")）":
        return False
    opening = start - len(before) + opened
    return text[max(0, opening - 2) : opening].rstrip(" ")[-1:].isalpha()


@functools.lru_cache(4096)
def language_of(run: str) -> str | None:
    """Return the language that a run's script stands for; kana decide before Han."""
    names = [_BLOCK_LANGUAGES.get(unicodedata.name(char, "").split(" ")[0]) for char in run]
    return "ja" if "ja" in names else names[0]


def _identified(rows: pl.DataFrame, rules: SpanRules) -> tuple[list[_Place], dict[int, int]]:
    """Return sentences in another language of the same script, and the words of each row's."""
    hits = _foreign_sentences(rows, rules)
    places: list[_Place] = []
    words: dict[int, int] = {}
    for row in rows.filter(pl.col("row").is_in(list(hits))).iter_rows(named=True):
        index, blank = row["row"], blank_masked(row["whole"])
        sentences = pl.Series([blank]).str.extract_all(_SENTENCE).item().to_list()
        # A masked stretch is one character in one text and many in the other: same sentences.
        for number, (start, sentence) in enumerate(_placed(blank, sentences)):
            cut = start + len(sentence) - len(sentence.lstrip())
            end = start + len(sentence.rstrip())
            if number not in hits[index] or row["whole"][cut:end] in (row["prompt"] or ""):
                continue
            at, language = row["offset"], hits[index][number]
            places.append(_Place(index, at + cut, at + end, language, "other_language"))
            count = pl.Series([sentence]).str.count_matches(row["own"]).item()
            words[index] = words.get(index, 0) + count
    return places, words


def _foreign_sentences(rows: pl.DataFrame, rules: SpanRules) -> dict[int, dict[int, str]]:
    """Return row -> number of the sentence -> language, for sentences of another language."""
    gates = {name: rf"(?i)\b(?:{words})\b" for name, words in _FUNCTION_WORDS.items()}
    letters = rf"(?:\p{{L}}[^\p{{L}}]*){{{rules.lid_letters}}}"
    table = (
        rows.select("row", "target", pl.col("masked").str.extract_all(_SENTENCE).alias("sentence"))
        .with_columns(pl.int_ranges(pl.col("sentence").list.len()).alias("number"))
        .explode("sentence", "number", empty_as_null=False)
        .filter(pl.col("sentence").str.len_bytes() >= rules.lid_letters)
        .filter(pl.col("sentence").str.contains(letters))
        .with_columns(
            pl.col("sentence")
            .str.count_matches(pl.col("target").replace_strict(gates, default=None))
            .fill_null(0)
            .alias("function_words")
        )
        .filter(
            pl.col("function_words") * _WORDS_PER_FUNCTION_WORD
            < pl.col("sentence").str.count_matches(r"\p{L}+")
        )
        .with_columns(
            pl.col("sentence").str.replace_all(r"[^\p{L}\p{M}'’ -]+", " ").str.to_lowercase()
        )
    )
    out: dict[int, dict[int, str]] = {}
    answers = identify(table["sentence"].to_list())
    for row, target, number, (language, probability) in zip(
        table["row"], table["target"], table["number"], answers, strict=True
    ):
        home = {target, *rules.allow}
        believed = probability >= rules.lid_probability and language not in home
        if believed and "Latin" in LANGUAGE_SCRIPTS.get(language, ()):
            out.setdefault(row, {})[number] = language
    return out
