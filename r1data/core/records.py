"""The one schema of r1data: a frozen record per table.

A record gives three things: the checks on a row (pydantic), the polars schema of its table
(`polars_schema`) and the JSON Schema in ``schemas/`` (`json_schemas`). Wide text lives only in
`Problem` and `Trace`; every later table is thin and keyed by their ids.
"""

import hashlib
import json
import re
import types
import typing
from typing import Any, Literal, Union

import polars as pl
from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1

Status = Literal["correct", "wrong", "no_answer", "bad_gold", "timeout", "limit", "error"]
Rule = Literal[
    "language_consistency", "format", "finished", "repetition", "paragraph_length", "length"
]
FinishReason = Literal["stop", "length", "abort"]


def content_hash(*parts: str | int | None) -> str:
    """Return 16 hex digits (64 bits of blake2b) that depend on every part and on their borders."""
    data = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class Record(BaseModel):
    """A frozen row. The text below each field becomes its description in the JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said; an assistant's reasoning stands inline in ``<think>…</think>``."""


class Span(Record):
    """A stretch of a trace's text that a rule objects to."""

    start: int
    """First character, counted in the trace's text."""
    end: int
    """One past the last character."""
    language: str | None = None
    """ISO 639-1 code of the offending language, if the rule is about language."""
    reason: str
    """Snake-case name of what is wrong."""


VERIFIERS = (
    "math",
    "choice",
    "string",
    "json",
    "gym",
    "code",
    "format",
    "judge",
    "reward-model",
)
"""What a problem may name as its verifier."""


class Problem(Record):
    """A question to be sampled, with what is needed to judge an answer."""

    problem_id: str
    """Content hash of the normalised prompt, answer and verifier."""
    prompt: str
    """The question as the user would ask it (the last user turn)."""
    messages: list[Message] | None = None
    """Turns before the prompt, for problems that are conversations."""
    answer: str | None = None
    """Gold answer; null where only the payload can judge."""
    verifier: str
    """Name of the verifier, one of `VERIFIERS`."""
    payload: str | None = None
    """JSON that the verifier needs besides the answer: options, tests, a gym entry."""
    language: str | None = None
    """ISO 639-1 code of the prompt, and the target language of its traces."""
    domain: str
    """math, code, logic, general, …"""
    source: str
    """Where the row came from: a file, a Hub id, gym:NAME, mini:NAME."""
    source_id: str | None = None
    """The source's own id or row number."""
    licence: str | None = None
    """SPDX id of the row's licence, if known."""


class Trace(Record):
    """One sampled completion."""

    trace_id: str
    """hash(problem_id, sampler, sample_index): sampling again gives the same id."""
    problem_id: str
    """The problem that was answered."""
    sample_index: int
    """Number of the sample among those of its problem and sampler, from 0."""
    sampler: str
    """Fingerprint of what changes the distribution: model, template, temperature, top-p, stop."""
    model: str
    """Model folder, Hub id or served name."""
    engine: str
    """transformers, scripted, …"""
    seed: int
    """Seed of this sample alone: hash(problem_id, run seed) + sample_index."""
    prompt_hash: str
    """Content hash of the rendered prompt."""
    prefill: str
    """Text that the template had already put into the assistant's turn, such as ``<think>\\n``."""
    text: str
    """Completion as sampled, without the prefill and without the end-of-turn token."""
    thinking_start: int | None = None
    """First character of the reasoning in text, after ``<think>``; null without reasoning."""
    thinking_end: int | None = None
    """One past the last character of the reasoning."""
    answer_start: int | None = None
    """First character of what follows the reasoning; null if the reasoning never ended."""
    answer_end: int | None = None
    """One past the last character of the answer part."""
    finish_reason: FinishReason
    """stop: the model ended its turn; length: cut at max_tokens; abort: the engine gave up."""
    max_tokens: int
    """Token budget of this sample."""
    prompt_tokens: int
    """Tokens of the rendered prompt."""
    completion_tokens: int
    """Tokens sampled, the end-of-turn token included."""
    token_ids: list[int] | None = None
    """Sampled token ids, if kept."""
    logprobs: list[float] | None = None
    """Natural log-probability of each sampled token under the sampling distribution, if kept."""


class Verdict(Record):
    """What a verifier says of one answer. Never a bare bool."""

    status: Status
    """correct, wrong, no_answer, bad_gold, timeout, limit or error."""
    extracted: str | None = None
    """The final answer as it was found in the text."""
    method: str | None = None
    """How the status was decided: exact, number, sympy, …"""
    score: float | None = None
    """Graded score in [0, 1] where the verifier has one; 1.0 for correct, 0.0 for wrong."""
    seconds: float = 0.0
    """Wall seconds that the judgement took."""
    evidence: str | None = None
    """JSON of what a judge or reward model was asked and what it said."""


class VerdictRow(Record):
    """What one verifier said of one trace."""

    trace_id: str
    """The trace that was judged."""
    problem_id: str
    """Its problem."""
    verifier: str
    """Which verifier judged it, one of `VERIFIERS`."""
    status: Status
    """correct, wrong, no_answer, bad_gold, timeout, limit or error; never a bare bool."""
    extracted: str | None = None
    """The final answer as it was found in the text."""
    method: str | None = None
    """How the status was decided: exact, number, sympy, …"""
    score: float | None = None
    """Graded score in [0, 1] where the verifier has one; 1.0 for correct, 0.0 for wrong."""
    seconds: float
    """Wall seconds that the judgement took."""
    evidence: str | None = None
    """JSON of what a judge or reward model was asked and what it said."""
    input_hash: str
    """Content hash of gold, payload and text, so that a changed text is judged again."""


class Judgement(Record):
    """What one readability or language rule measured on one trace."""

    trace_id: str
    """The trace that was measured."""
    problem_id: str
    """Its problem."""
    rule: str
    """language_consistency, format, finished, repetition, paragraph_length, length."""
    value: float | None = None
    """The measured quantity, in the rule's own unit."""
    passed: bool
    """Whether the trace is fine by this rule."""
    reason: str | None = None
    """Snake-case reason when it is not."""
    spans: list[Span]
    """The offending stretches of text."""


class Review(Record):
    """A human's word on a trace."""

    trace_id: str
    """The trace that was read."""
    problem_id: str
    """Its problem."""
    reviewer: str
    """Who read it."""
    decision: Literal["keep", "reject", "edit"]
    """What to do with it."""
    text: str | None = None
    """The edited text."""
    note: str | None = None
    """A remark."""


class Cluster(Record):
    """Membership of a problem or trace in a group of duplicates."""

    item_id: str
    """problem_id or trace_id."""
    item: Literal["problem", "trace"]
    """Which of the two."""
    problem_id: str
    """The problem, so that clusters join like every other table."""
    cluster_id: str
    """Id of the group."""
    kept: bool
    """Whether this member represents its group."""


class Overlap(Record):
    """A match between a problem and a benchmark."""

    problem_id: str
    """The problem that overlaps."""
    benchmark: str
    """Name of the benchmark file."""
    benchmark_row: int
    """Row of the benchmark, from 0."""
    unit: Literal["words", "characters", "whole"]
    """What was compared: word n-grams, character n-grams, or the whole of a short prompt."""
    matched: str
    """The matching n-gram."""


class Pick(Record):
    """Whether a trace (or, for RL, a problem) entered a corpus, or the one reason why not."""

    corpus: str
    """Name of the corpus."""
    problem_id: str
    """The problem."""
    trace_id: str | None = None
    """The trace; null in an RL corpus, whose rows are problems."""
    role: Literal["row", "chosen", "rejected"] | None = None
    """Part that it plays in its row; null if it was left out."""
    rank: int | None = None
    """Rank among the picks of its problem, from 1; null if it was left out."""
    reason: str | None = None
    """The one reason why it was left out; null if it was picked."""


class SftRow(Record):
    """A row of a cold-start, sft or distill corpus."""

    row_id: str
    """Content hash of corpus and trace."""
    messages: list[Message]
    """The conversation; reasoning stands inline in ``<think>…</think>``."""
    problem_id: str
    """The problem."""
    trace_id: str
    """The trace the answer came from."""
    model: str
    """The model that wrote the answer."""
    language: str | None = None
    """ISO 639-1 code of the prompt."""
    domain: str
    """The problem's domain."""
    source: str
    """The problem's source."""
    licence: str | None = None
    """The problem's licence."""


class RlRow(Record):
    """A row of an RL corpus: a prompt and what its reward needs."""

    row_id: str
    """Content hash of corpus and problem."""
    prompt: list[Message]
    """The conversation up to the model's turn."""
    problem_id: str
    """The problem."""
    answer: str | None = None
    """Gold answer."""
    verifier: str
    """Name of the verifier."""
    payload: str | None = None
    """JSON for the verifier."""
    language: str | None = None
    """Target language of the reasoning."""
    pass_rate: float | None = None
    """Share of correct samples, where samples were drawn."""
    domain: str
    """The problem's domain."""
    source: str
    """The problem's source."""
    licence: str | None = None
    """The problem's licence."""


class PreferenceRow(Record):
    """A row of a preference corpus."""

    row_id: str
    """Content hash of corpus and both traces."""
    prompt: list[Message]
    """The conversation up to the model's turn."""
    chosen: list[Message]
    """The better answer."""
    rejected: list[Message]
    """The worse answer."""
    problem_id: str
    """The problem."""
    chosen_trace_id: str
    """Trace of the better answer."""
    rejected_trace_id: str
    """Trace of the worse answer."""
    model: str
    """The model that wrote both."""
    language: str | None = None
    """ISO 639-1 code of the prompt."""
    source: str
    """The problem's source."""
    licence: str | None = None
    """The problem's licence."""


class EvalRow(Record):
    """What an evaluation measured on one problem."""

    problem_id: str
    """The problem."""
    language: str | None = None
    """Target language."""
    samples: int
    """Samples drawn, k."""
    correct: int
    """How many were correct."""
    consensus_correct: bool | None = None
    """Whether the majority answer (by equivalence) is correct; null if no sample had an answer."""
    language_consistency: float | None = None
    """Mean ratio of reasoning words in the target language."""
    mixed: int
    """Samples whose reasoning holds an offending span."""
    well_formed: int
    """Samples whose think and answer parts are well-formed."""
    readable: int
    """Samples that pass every readability rule and hold no offending span."""
    good: int
    """Samples that are correct and readable."""
    completion_tokens: float
    """Mean tokens of a sample."""


Kind = Literal["cold-start", "sft", "distill", "rl", "preference"]

TABLES: dict[str, tuple[type[Record], tuple[str, ...]]] = {
    "problems": (Problem, ("problem_id",)),
    "traces": (Trace, ("trace_id",)),
    "verdicts": (VerdictRow, ("trace_id", "verifier")),
    "judgements": (Judgement, ("trace_id", "rule")),
    "reviews": (Review, ("trace_id", "reviewer")),
    "clusters": (Cluster, ("item_id", "item")),
    "overlaps": (Overlap, ("problem_id", "benchmark", "benchmark_row")),
    "picks": (Pick, ("corpus", "problem_id", "trace_id")),
}
"""Fixed tables of a workspace: record and key."""

CORPORA: dict[str, type[Record]] = {
    "cold-start": SftRow,
    "sft": SftRow,
    "distill": SftRow,
    "rl": RlRow,
    "preference": PreferenceRow,
}
"""Record of ``corpora/NAME`` by the kind of corpus."""

_SCALARS: dict[Any, pl.DataType] = {
    str: pl.String(),
    int: pl.Int64(),
    float: pl.Float64(),
    bool: pl.Boolean(),
}


def _polars_type(annotation: Any) -> pl.DataType:
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin = typing.get_origin(annotation)
    arguments = [a for a in typing.get_args(annotation) if a is not types.NoneType]
    if origin is Literal:
        return pl.String()
    if origin in (Union, types.UnionType):
        return _polars_type(arguments[0])
    if origin is list:
        return pl.List(_polars_type(arguments[0]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pl.Struct(dict(polars_schema(annotation)))
    raise TypeError(f"no polars type for {annotation!r}")


def polars_schema(record: type[BaseModel]) -> pl.Schema:
    """Return the polars schema of a record's table, columns in the order of its fields."""
    return pl.Schema({n: _polars_type(f.annotation) for n, f in record.model_fields.items()})


def json_schemas() -> dict[str, str]:
    """Return the text of every ``schemas/NAME.json``, by NAME."""
    records: list[type[Record]] = [record for record, _ in TABLES.values()]
    records += [SftRow, RlRow, PreferenceRow, EvalRow]
    out = {}
    for record in records:
        schema = record.model_json_schema()
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        schema["x-r1data-schema-version"] = SCHEMA_VERSION
        words = re.findall("[A-Z][a-z]*", record.__name__)
        name = "_".join(word.lower() for word in words if word != "Row" or len(words) == 1)
        out[name] = json.dumps(schema, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    return out
