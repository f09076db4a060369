"""Language consistency of reasoning: DeepSeek-R1's ratio of words, and where languages mix.

Two measurements per text. The **ratio** is R1's reward (section 2.3.2): words of the target
language among the words of the reasoning. **Mixed** says that the text holds an offending span,
which is what a curator wants: real mixing is a few characters in thousands and leaves no ratio.

Words, counted where formulae, code, URLs and tags are masked out:

* alphabetic scripts: a maximal run of letters of one script;
* Han and kana: up to two characters a word; Thai: up to four (scripts without spaces);
* Greek letters and characters of no script (digits, signs, ⑩) are nobody's words;
* where the target is not written in Latin letters, single Latin letters and Latin runs with an
  inner capital (x, BFS, NumPy) are symbols and terms, so nobody's words either.

Spans, in characters of the text:

* ``foreign_script``: letters of a script that neither the target nor Latin is written in. Tested on
  the unmasked text, since leaked tokens hide in number grids and code (`0,0,极,0,0`);
* ``latin_clause``: a run of Latin words inside a text of a non-Latin target, outside masks;
* ``other_language``: a sentence in another Latin language, by language identification.

No span: what the prompt holds verbatim, and short glosses in parentheses after a word, 소수(素數).

The expressions decide which rows can hold a span; only for those does `offending_spans` run.
"""

import functools
from typing import Literal, NamedTuple

import polars as pl
from pydantic import Field

from r1data.core.errors import ConfigError
from r1data.core.records import Judgement, Span, polars_schema
from r1data.core.stage import Config
from r1data.core.text import LANGUAGE_SCRIPTS, script_language
from r1data.stages.filter.spans import (
    LATIN_TERM,
    MASK,
    MASKED,
    SpanRules,
    clause_of,
    offending_spans,
)

SPANS = polars_schema(Judgement)["spans"]
"""Polars type of a judgement's spans."""

_SPACELESS = {"Han": 2, "Hiragana": 2, "Katakana": 2, "Thai": 4}
_ALWAYS_ALLOWED = r"\p{Greek}\p{Common}\p{Inherited}"
_LOWER_WORD = r"[\p{Latin}&&\p{Ll}]{2}"


class ConsistencyPolicy(Config):
    """What counts as consistent."""

    scope: Literal["thinking", "all"] = "thinking"
    """Part that is measured: the reasoning (all of a text that has none), or always all of it."""
    allow: tuple[str, ...] = ()
    """Further languages (ISO 639-1) that the text may use; their words count as the target's."""
    latin_words: int = Field(default=3, ge=1, le=20)
    """Latin words in a row, two of them lower-case, that make a foreign clause inside a text of a
    non-Latin language. 1 objects to every lower-case word of two letters or more."""
    min_ratio: float = Field(default=0.5, ge=0, le=1)
    """Smallest share of words in the target language, from min_ratio_words words up."""
    min_ratio_words: int = Field(default=8, ge=1)
    """Words from which min_ratio counts; a shorter text is judged by its spans alone."""
    no_words: Literal["pass", "fail"] = "pass"
    """What becomes of a text without a single word, such as pure formulae: pass is a ratio of 1,
    fail a ratio of 0. A reward needs fail, or silence would earn the language bonus."""
    lid: bool = True
    """Whether to identify each sentence's language where the target is written in Latin letters."""
    lid_letters: int = Field(default=30, ge=10, le=200)
    """Letters from which a sentence is identified."""
    lid_probability: float = Field(default=0.7, ge=0, le=1)
    """Probability from which the identified language is believed."""


class Consistency(NamedTuple):
    """How far one text keeps to its language."""

    ratio: float
    """Words of the target language / words, in [0, 1]."""
    mixed: bool
    """Whether there is an offending span."""
    spans: list[Span]
    """Where, in characters of the text."""


class _Patterns(NamedTuple):
    own: str
    other: str
    foreign: str


def _word(script: str) -> str:
    if script in _SPACELESS:
        mark = "ー" if script in ("Hiragana", "Katakana") else ""
        return rf"[\p{{{script}}}{mark}]{{1,{_SPACELESS[script]}}}"
    return rf"\p{{{script}}}[\p{{{script}}}\p{{M}}]*"


def _own_word(scripts: tuple[str, ...]) -> str:
    if {"Han", "Hiragana", "Katakana"} <= set(scripts):
        rest = [_word(s) for s in scripts if s not in ("Han", "Hiragana", "Katakana")]
        return "|".join([r"[\p{Han}\p{Hiragana}\p{Katakana}ー]{1,2}", *rest])
    return "|".join(_word(script) for script in scripts)


def _patterns(language: str, allow: tuple[str, ...]) -> _Patterns:
    own = tuple(dict.fromkeys(s for name in (language, *allow) for s in LANGUAGE_SCRIPTS[name]))
    classes = "".join(rf"\p{{{script}}}" for script in own)
    special = [script for script in _SPACELESS if script not in own]
    other = [_word(script) for script in special]
    if "Latin" not in own:
        other.append(r"\p{Latin}{2,}")
    spaceless = "".join(rf"\p{{{script}}}" for script in _SPACELESS)
    rest = rf"[\p{{L}}&&[^\p{{Latin}}{_ALWAYS_ALLOWED}{spaceless}{classes}]]"
    other.append(rf"{rest}[{rest}\p{{M}}]*")
    foreign = rf"[\p{{L}}&&[^\p{{Latin}}{_ALWAYS_ALLOWED}{classes}]]"
    return _Patterns(_own_word(own), "|".join(other), rf"{foreign}[{foreign}\p{{M}}]*")


@functools.cache
def _all_patterns(allow: tuple[str, ...]) -> dict[str, _Patterns]:
    unknown = [name for name in allow if name not in LANGUAGE_SCRIPTS]
    if unknown:
        known = ", ".join(sorted(LANGUAGE_SCRIPTS))
        raise ConfigError(f"allow: no script is known for {', '.join(unknown)}; use of {known}")
    return {language: _patterns(language, allow) for language in LANGUAGE_SCRIPTS}


def target_language(language: str = "language", prompt: str | None = None) -> pl.Expr:
    """Return an expression for the target language of a row.

    The declared language without its region (``zh-TW`` is ``zh``), else the language of the
    prompt's script, else null.
    """
    declared = pl.col(language).cast(pl.String)
    code = declared.str.extract(r"^([A-Za-z]{2,3})(?:[-_]|$)", 1).str.to_lowercase()
    return code if prompt is None else pl.coalesce(code, script_language(prompt))


def _measured_part(scope: str, text: str) -> tuple[pl.Expr, pl.Expr]:
    start = pl.col("thinking_start").fill_null(0).cast(pl.Int64)
    if scope == "all":
        return pl.col(text), pl.lit(0, dtype=pl.Int64)
    end = pl.col("thinking_end").fill_null(pl.col(text).str.len_chars()).cast(pl.Int64)
    return pl.col(text).str.slice(start, (end - start).clip(0)), start


def _by_target(policy: ConsistencyPolicy, field: Literal["own", "other", "foreign"]) -> pl.Expr:
    table = {name: getattr(found, field) for name, found in _all_patterns(policy.allow).items()}
    return pl.col("_target").replace_strict(table, default=None, return_dtype=pl.String)


def _latin_languages(policy: ConsistencyPolicy) -> list[str]:
    """Targets beside which Latin letters are at home."""
    return [
        name
        for name in LANGUAGE_SCRIPTS
        if any("Latin" in LANGUAGE_SCRIPTS[own] for own in (name, *policy.allow))
    ]


def with_consistency(frame: pl.LazyFrame, policy: ConsistencyPolicy) -> pl.LazyFrame:
    """Add the column ``language_consistency``: struct of value, passed, reason, spans.

    ``frame`` has ``text``, ``prompt`` (may be null), ``thinking_start``, ``thinking_end`` (null
    without reasoning) and ``_target`` (see `target_language`). A row whose target is null or in no
    known script cannot be measured: it passes with value null.
    """
    foreign = _by_target(policy, "foreign")
    part, offset = _measured_part(policy.scope, "text")
    latin = pl.col("_target").is_in(_latin_languages(policy))
    frame = frame.with_columns(
        pl.when(pl.col("_target").is_in(list(LANGUAGE_SCRIPTS))).then(part).alias("_part"),
        offset.alias("_offset"),
        foreign.alias("_foreign"),
        latin.alias("_latin"),
    ).with_columns(pl.col("_part").str.replace_all(MASK, MASKED).alias("_masked"))
    beside = pl.when(~pl.col("_latin")).then(pl.col("_masked"))
    # A cheap test that holds wherever a clause may stand; `offending_spans` then decides.
    clause = _LOWER_WORD if policy.latin_words == 1 else clause_of(policy.latin_words)
    frame = frame.with_columns(
        pl.col("_masked").str.count_matches(_by_target(policy, "own")).alias("_own"),
        (
            pl.col("_masked").str.count_matches(_by_target(policy, "other")).cast(pl.Int64)
            - beside.str.count_matches(LATIN_TERM).fill_null(0).cast(pl.Int64)
        ).alias("_other"),
        (
            pl.col("_part").str.contains(pl.col("_foreign"))
            | beside.str.contains(clause).fill_null(False)
        ).alias("_suspect"),
    )
    return frame.with_columns(_found(policy).alias("_found")).with_columns(
        _judged(policy).alias("language_consistency")
    )


def _found(policy: ConsistencyPolicy) -> pl.Expr:
    rules = SpanRules(
        latin_words=policy.latin_words,
        lid=policy.lid,
        lid_letters=policy.lid_letters,
        lid_probability=policy.lid_probability,
        allow=policy.allow,
    )
    # Rows of a Latin target go in masked, for language identification; others only if suspect.
    identified = pl.col("_latin") if policy.lid else pl.lit(False)
    return pl.map_batches(
        [
            pl.when("_suspect").then("_part").alias("part"),
            pl.when(identified).then("_masked").alias("masked"),
            pl.when(identified).then("_part").alias("whole"),
            pl.col("_offset").alias("offset"),
            pl.col("_target").alias("target"),
            pl.col("_foreign").alias("foreign"),
            pl.col("_latin").alias("latin"),
            pl.col("prompt").alias("prompt"),
            _by_target(policy, "own").alias("own"),
            _by_target(policy, "other").alias("other"),
        ],
        functools.partial(offending_spans, rules=rules),
        return_dtype=pl.Struct({"spans": SPANS, "quoted": pl.Int64(), "own": pl.Int64()}),
        is_elementwise=True,
    )


def _judged(policy: ConsistencyPolicy) -> pl.Expr:
    found = pl.col("_found")
    spans = found.struct.field("spans")
    # Sentences of another language in the same script were counted as the target's.
    own = pl.col("_own").cast(pl.Int64) - found.struct.field("own")
    words = own + found.struct.field("own") + pl.col("_other") - found.struct.field("quoted")
    silent = 1.0 if policy.no_words == "pass" else 0.0
    value = pl.when(words > 0).then(own / words).when(words == 0).then(silent)
    reason = (
        pl.when(spans.list.len() > 0)
        .then(spans.list.first().struct.field("reason"))
        .when((words >= policy.min_ratio_words) & (value < policy.min_ratio))
        .then(pl.lit("off_target"))
    )
    if policy.no_words == "fail":
        reason = reason.when(words == 0).then(pl.lit("no_words"))
    return pl.struct(
        value.cast(pl.Float64).alias("value"),
        reason.otherwise(None).is_null().alias("passed"),
        reason.otherwise(None).alias("reason"),
        spans.alias("spans"),
    )
