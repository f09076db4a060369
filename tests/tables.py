"""Small tables for tests of stages: rows with the columns that matter, the rest filled in."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from r1data.core.records import (
    Cluster,
    Judgement,
    Overlap,
    Pick,
    Problem,
    Record,
    Review,
    Trace,
    VerdictRow,
    polars_schema,
)
from r1data.core.text import split_thinking

Rows = Sequence[dict[str, Any]]


def _frame(record: type[Record], rows: Rows, defaults: dict[str, Any]) -> pl.LazyFrame:
    full = [{**defaults, **row} for row in rows]
    names = {name for row in full for name in row}
    missing = {n: None for n in polars_schema(record) if n not in names}
    return pl.DataFrame(
        [{**missing, **row} for row in full], schema=polars_schema(record), orient="row"
    ).lazy()


def problems(*rows: dict[str, Any]) -> pl.LazyFrame:
    defaults = {"prompt": "1+1?", "answer": "2", "verifier": "math", "domain": "math"}
    return _frame(Problem, rows, {**defaults, "language": "en", "source": "test"})


def traces(*rows: dict[str, Any]) -> pl.LazyFrame:
    defaults = {
        "sample_index": 0,
        "sampler": "s",
        "model": "m",
        "engine": "scripted",
        "seed": 0,
        "prompt_hash": "h",
        "prefill": "",
        "text": "<think>so</think> 2",
        "finish_reason": "stop",
        "max_tokens": 100,
        "prompt_tokens": 5,
        "completion_tokens": 10,
    }
    full = []
    for row in rows:
        parts = split_thinking(row.get("text", defaults["text"]), row.get("prefill", ""))
        thinking, answer = parts.thinking or (None, None), parts.answer or (None, None)
        spans = {
            "thinking_start": thinking[0],
            "thinking_end": thinking[1],
            "answer_start": answer[0],
            "answer_end": answer[1],
        }
        full.append(spans | row)
    return _frame(Trace, full, defaults)


def verdicts(*rows: dict[str, Any]) -> pl.LazyFrame:
    return _frame(VerdictRow, rows, {"verifier": "math", "seconds": 0.0, "input_hash": "h"})


def judgements(*rows: dict[str, Any]) -> pl.LazyFrame:
    return _frame(Judgement, rows, {"passed": False, "spans": []})


def clusters(*rows: dict[str, Any]) -> pl.LazyFrame:
    return _frame(Cluster, rows, {"item": "trace", "kept": True})


def overlaps(*rows: dict[str, Any]) -> pl.LazyFrame:
    return _frame(
        Overlap, rows, {"benchmark": "b", "benchmark_row": 0, "unit": "words", "matched": "x"}
    )


def reviews(*rows: dict[str, Any]) -> pl.LazyFrame:
    return _frame(Review, rows, {"reviewer": "kim"})


def picks(*rows: dict[str, Any]) -> pl.LazyFrame:
    return _frame(Pick, rows, {"corpus": "sft", "role": "row", "rank": 1})
