"""The functions for use from Python, without files in between."""

from pathlib import Path

import polars as pl
import pytest

import r1data
from r1data.core.errors import InputError
from r1data.core.records import Problem, content_hash, polars_schema
from r1data.core.stage import Context
from r1data.registry import resolve
from r1data.stages.problems import ProblemsConfig


def problems() -> pl.DataFrame:
    rows = [
        {
            "problem_id": "kept-0",
            "prompt": "세 더하기 넷은?",
            "messages": [{"role": "system", "content": "짧게."}],
            "answer": "7",
            "verifier": "string",
            "language": "ko",
            "domain": "logic",
            "source": "mine",
        },
        {
            "problem_id": "kept-1",
            "prompt": "2+2?",
            "verifier": "gym",
            "payload": "{}",
            "domain": "math",
            "source": "mine",
        },
    ]
    return pl.DataFrame(rows, schema=polars_schema(Problem), orient="row")


def test_sample_draws_n_traces_of_rows_in_memory() -> None:
    rows = [{"question": "What is 12 + 30?", "answer": "42"}]
    traces = r1data.sample(rows, model="scripted", n=3, max_tokens=200)
    problem_id = content_hash("What is 12 + 30?", "42", "math", None)
    assert traces["problem_id"].to_list() == [problem_id] * 3
    assert traces["sample_index"].to_list() == [0, 1, 2]


def test_sample_keeps_the_ids_of_problems() -> None:
    frame = problems()
    expected = ["kept-0", "kept-0", "kept-1", "kept-1"]
    for given in (frame, frame.lazy(), frame.to_dicts()):
        traces = r1data.sample(given, model="scripted", n=2, max_tokens=200)
        assert traces["problem_id"].to_list() == expected


def test_sample_takes_what_read_returns(tmp_path: Path) -> None:
    action = resolve("problems")
    action.fn(ProblemsConfig(source="mini:addition", size=3), Context(tmp_path))
    table = r1data.read(tmp_path, "problems")
    traces = r1data.sample(table, model="scripted", n=1, max_tokens=200)
    assert traces["problem_id"].to_list() == table.collect()["problem_id"].to_list()


def test_sample_needs_no_answers() -> None:
    traces = r1data.sample([{"question": "Why?"}], model="scripted", n=1, max_tokens=200)
    assert traces.height == 1


def test_sample_says_which_row_it_cannot_use() -> None:
    with pytest.raises(InputError, match="sample: row 2: field 'question' is empty or no text$"):
        r1data.sample([{"question": "a"}, {"question": ""}], model="scripted")
    with pytest.raises(InputError, match=r"sample: .*; call it prompt \(it has q\)"):
        r1data.sample([{"q": "a"}], model="scripted")
    row = {"problem_id": "x", "prompt": "1+1", "verifier": "math", "answer": 2}
    with pytest.raises(InputError, match="sample: row 1: field 'answer': Input should be a valid"):
        r1data.sample([row], model="scripted")
    with pytest.raises(InputError, match="sample: no problems"):
        r1data.sample([], model="scripted")
