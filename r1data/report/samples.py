"""A dozen traces to read: which ones, and their text cut into pieces that a page can mark.

Only the chosen traces' text is read, and of a long one only its ends and what is around the first
offending spans, so a report stays small whatever the traces are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from r1data.report import source

COUNT = 12
HEAD, TAIL, AROUND = 2400, 1200, 160
SHOWN_SPANS = 6
LETTERS = {
    "language_consistency": "L",
    "format": "F",
    "repetition": "R",
    "paragraph_length": "P",
    "length": "T",
    "finished": "U",
}
"""Letter of each rule in the marked text."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a trace's text that is marked in one way."""

    text: str
    part: str
    """thinking, answer, tag (around them), or gap: text says how many characters are left out."""
    letters: str = ""
    """Letters of the rules that object."""
    language: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Sample:
    """A trace as the report shows it."""

    trace_id: str
    problem_id: str
    stratum: str
    language: str | None
    prompt: str
    gold: str | None
    extracted: str | None
    status: str | None
    model: str
    tokens: int
    finish_reason: str
    faults: tuple[tuple[str, str, str], ...]
    """(rule, its letter, reason with the measured value) of each rule that it fails."""
    pieces: tuple[Piece, ...]
    characters: int


def choose(facts: pl.DataFrame, count: int = COUNT) -> pl.DataFrame:
    """Return trace_id and stratum of the traces to show, strata and languages in turn.

    A stratum is ``kept``, the rule that a trace fails first, its verdict if that is not correct,
    ``duplicate`` or ``left out``. Ids are hashes, so the smallest id is as good as a random one.
    """
    status = pl.col("status")
    stratum = (
        pl.when(pl.col("picked"))
        .then(pl.lit("kept"))
        .when(pl.col("failed").is_not_null())
        .then(pl.col("failed"))
        .when(status.is_not_null() & (status != "correct"))
        .then(status)
        .when(pl.col("finish_reason") != "stop")
        .then(pl.lit("cut off"))
        .when(~pl.col("unique"))
        .then(pl.lit("duplicate"))
        .otherwise(pl.lit("left out"))
    )
    # A correct trace that a rule rejects says more about the rule than a wrong one.
    correct = (status == "correct").fill_null(False).alias("correct")
    table = facts.select("trace_id", "language", correct, stratum.alias("stratum"))
    table = table.sort(["stratum", "correct", "trace_id"], descending=[False, True, False])
    turn = pl.int_range(pl.len()).over("stratum", "language").alias("turn")
    table = table.with_columns(turn).sort(["stratum", "turn", "language", "trace_id"])
    order = pl.int_range(pl.len()).over("stratum").alias("order")
    first = (pl.col("stratum") != "kept").alias("rejected")
    table = table.with_columns(order, first).sort(["order", "rejected", "stratum"]).head(count)
    return table.sort(["rejected", "stratum", "order"]).select("trace_id", "stratum")


def read(workspace: source.Workspace, facts: pl.DataFrame) -> tuple[Sample, ...]:
    """Return the traces to show of a workspace, with their text, gold answer and faults."""
    chosen = choose(facts)
    traces = workspace.table("traces")
    if traces is None or chosen.is_empty():
        return ()
    ids = chosen["trace_id"].to_list()
    columns = ("text", "thinking_start", "thinking_end", "answer_start")
    wide = traces.filter(pl.col("trace_id").is_in(ids))
    wide = wide.select(
        "trace_id", "problem_id", "completion_tokens", "model", "finish_reason", *columns
    )
    rows = {row["trace_id"]: row for row in wide.collect().to_dicts()}
    problems = _by_id(workspace, "problems", [row["problem_id"] for row in rows.values()])
    verdicts = _by_id(workspace, "verdicts", ids)
    judgements = _by_id(workspace, "judgements", ids)
    letters = letters_of(judgements)
    status = dict(facts.filter(pl.col("trace_id").is_in(ids)).select("trace_id", "status").rows())
    return tuple(
        _sample(
            rows[trace_id],
            stratum,
            status.get(trace_id),
            (problems.get(rows[trace_id]["problem_id"]) or [{}])[0],
            verdicts.get(trace_id, []),
            judgements.get(trace_id, []),
            letters,
        )
        for trace_id, stratum in chosen.rows()
    )


def letters_of(judgements: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Return the letter of each rule; an unknown rule gets the first one that is free."""
    out = dict(LETTERS)
    for rule in sorted({row["rule"] for rows in judgements.values() for row in rows}):
        if rule not in out:
            alphabet = rule.upper() + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
            free = (c for c in alphabet if c.isalpha() and c not in out.values())
            out[rule] = next(free, "?")
    return out


def _by_id(
    workspace: source.Workspace, table: str, ids: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    frame = workspace.table(table)
    if frame is None:
        return {}
    key = "problem_id" if table == "problems" else "trace_id"
    out: dict[str, list[dict[str, Any]]] = {}
    for row in frame.filter(pl.col(key).is_in(list(ids))).collect().to_dicts():
        out.setdefault(row[key], []).append(row)
    return out


def _sample(
    row: dict[str, Any],
    stratum: str,
    status: str | None,
    problem: dict[str, Any],
    verdicts: list[dict[str, Any]],
    judgements: list[dict[str, Any]],
    letters: dict[str, str],
) -> Sample:
    judged = sorted(judgements, key=lambda j: str(j["rule"]))
    faults = []
    for judgement in judged:
        if not judgement["passed"]:
            value = judgement["value"]
            measured = "" if value is None else f" ({value:.4g})"
            reason = (judgement["reason"] or "failed").replace("_", " ") + measured
            faults.append((judgement["rule"], letters[judgement["rule"]], reason))
    spans = [(span, letters[j["rule"]]) for j in judged for span in j["spans"] or []]
    answers = [v["extracted"] for v in sorted(verdicts, key=lambda v: str(v["verifier"]))]
    thinking = (row["thinking_start"], row["thinking_end"])
    return Sample(
        trace_id=row["trace_id"],
        problem_id=row["problem_id"],
        stratum=stratum,
        language=problem.get("language"),
        prompt=str(problem.get("prompt") or ""),
        gold=problem.get("answer"),
        extracted=next((a for a in answers if a is not None), None),
        status=status,
        model=row["model"],
        tokens=row["completion_tokens"],
        finish_reason=row["finish_reason"],
        faults=tuple(faults),
        pieces=cut(row["text"], thinking, row["answer_start"], spans),
        characters=len(row["text"]),
    )


def cut(
    text: str,
    thinking: tuple[int | None, int | None],
    answer: int | None,
    spans: Sequence[tuple[dict[str, Any], str]],
) -> tuple[Piece, ...]:
    """Return the text as pieces that join to it, but for the gaps of a long one.

    thinking is the span of the reasoning, answer the start of what follows it (nulls: not there).
    spans holds (core.records.Span as a dict, letter of its rule); those that overlap give pieces
    with several letters. Offsets outside the text are clipped.
    """
    size = len(text)
    clipped = [
        (max(0, s["start"]), min(size, s["end"]), s, letter)
        for s, letter in spans
        if s["start"] < size and s["end"] > 0 and s["end"] > s["start"]
    ]
    start, end = thinking if thinking[0] is not None else (size, size)
    begin, close = start or 0, size if end is None else end
    shown = _windows(size, sorted(item[:2] for item in clipped))
    reply = size if answer is None else answer
    borders = {0, size, begin, close, reply, *(at for window in shown for at in window)}
    borders |= {at for item in clipped for at in item[:2]}
    edges = sorted(at for at in borders if 0 <= at <= size)
    pieces: list[Piece] = []
    for left, right in pairwise(edges):
        if not any(a <= left and right <= b for a, b in shown):
            _add_gap(pieces, right - left)
            continue
        here = [item for item in clipped if item[0] <= left and right <= item[1]]
        part = "thinking" if begin <= left and right <= close else "tag"
        part = "answer" if left >= reply else part
        pieces.append(
            Piece(
                text=text[left:right],
                part=part,
                letters="".join(sorted({letter for *_, letter in here})),
                language=next((s["language"] for _, _, s, _ in here if s["language"]), None),
                reason=", ".join(dict.fromkeys(s["reason"] for _, _, s, _ in here)) or None,
            )
        )
    return tuple(pieces)


def _windows(size: int, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the stretches of a text of this size that are shown, apart and in order."""
    if size <= HEAD + TAIL:
        return [(0, size)]
    wanted = [(0, HEAD), (size - TAIL, size)]
    for start, end in spans[:SHOWN_SPANS]:
        wanted.append((max(0, start - AROUND), min(size, end + AROUND, start + 3 * AROUND)))
    out: list[tuple[int, int]] = []
    for start, end in sorted(wanted):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _add_gap(pieces: list[Piece], length: int) -> None:
    if pieces and pieces[-1].part == "gap":
        length += int(pieces.pop().text)
    pieces.append(Piece(str(length), "gap"))
