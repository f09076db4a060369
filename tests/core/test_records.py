import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from r1data.core.records import (
    Judgement,
    Problem,
    VerdictRow,
    content_hash,
    json_schemas,
    polars_schema,
)


def test_polars_schema_follows_the_record() -> None:
    span = pl.Struct(
        {"start": pl.Int64, "end": pl.Int64, "language": pl.String, "reason": pl.String}
    )
    assert polars_schema(Judgement) == pl.Schema(
        {
            "trace_id": pl.String,
            "problem_id": pl.String,
            "rule": pl.String,
            "value": pl.Float64,
            "passed": pl.Boolean,
            "reason": pl.String,
            "spans": pl.List(span),
        }
    )


def test_records_are_frozen_and_closed() -> None:
    row = Problem(problem_id="1", prompt="p", verifier="math", domain="math", source="s")
    with pytest.raises(ValidationError):
        row.prompt = "q"
    with pytest.raises(ValidationError):
        Problem.model_validate({**row.model_dump(), "gold": "1"})


def test_status_is_one_of_seven() -> None:
    fields = {"trace_id": "t", "problem_id": "p", "verifier": "math", "input_hash": "h"}
    with pytest.raises(ValidationError, match="correct"):
        VerdictRow.model_validate({**fields, "status": "true", "seconds": 0.0})


def test_content_hash_is_pinned() -> None:
    """Ids of published rows hang on it: a change of this value breaks every one of them."""
    assert content_hash("프롬프트", "12", None) == "2d6f0a153f75a34b"


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_content_hash_depends_on_borders(parts: list[str]) -> None:
    assert content_hash(*parts) == content_hash(*parts)
    assert content_hash(*parts) != content_hash(*parts, "")
    assert len(content_hash(*parts)) == 16


def test_one_schema_a_table() -> None:
    assert sorted(json_schemas()) == [
        *("cluster", "eval", "judgement", "overlap", "pick", "preference", "problem", "review"),
        *("rl", "sft", "trace", "verdict"),
    ]
