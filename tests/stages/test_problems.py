import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.core.errors import InputError, R1DataError
from r1data.core.run import Result
from r1data.core.stage import Context
from r1data.core.tables import Workspace
from r1data.registry import resolve
from r1data.stages.problems import ProblemsConfig, gold_answer, guess_verifier

Write = Callable[[str, list[Any]], Path]


def add(context: Context, source: Path | str, **settings: Any) -> Result:
    action: Any = resolve("problems")
    result: Result = action.fn(ProblemsConfig(source=str(source), **settings), context)
    return result


def table(context: Context) -> pl.DataFrame:
    return Workspace(context.root).scan("problems").collect()


def test_guesses_the_columns_of_public_datasets(context: Context, write_rows: Write) -> None:
    rows = [{"question": "한 상자에 사과가 3개", "answer": "So 3*4 = 12\n#### 1,200", "id": "q7"}]
    result = add(context, write_rows("gsm.jsonl", rows), licence="MIT")
    row = table(context).row(0, named=True)
    assert (row["prompt"], row["answer"], row["language"]) == ("한 상자에 사과가 3개", "1200", "ko")
    assert (row["verifier"], row["source_id"], row["licence"]) == ("math", "q7", "MIT")
    assert (row["source"], result.table, result.rows) == ("gsm.jsonl", "problems/gsm", 1)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".json"])
def test_formats_give_the_same_problems(context: Context, suffix: str) -> None:
    rows = [{"problem": "What is 1+1?", "answer": "2"}, {"problem": "2+2?", "answer": "4"}]
    path = context.root / f"a{suffix}"
    if suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(r) for r in rows))
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    elif suffix == ".csv":
        pl.DataFrame(rows).write_csv(path)
    else:
        pl.DataFrame(rows).write_parquet(path)
    add(context, path)
    assert table(context).select("prompt", "answer").rows() == [
        ("What is 1+1?", "2"),
        ("2+2?", "4"),
    ]


def test_a_malformed_line_names_file_line_and_field(context: Context, write_rows: Write) -> None:
    rows = [{"question": "a", "answer": "1"}, '{"question": "b", "answer"', {"question": " "}]
    path = write_rows("bad.jsonl", rows)
    with pytest.raises(InputError, match=r"bad.jsonl line 2: the line is no JSON \(.*column"):
        add(context, path)
    result = add(context, path, skip_bad=True)
    assert result.rows == 1
    assert result.receipt.reasons == {"malformed": 2, "kept": 1}
    empty = write_rows(
        "empty.jsonl", [{"question": "a", "answer": "1"}, {"question": "", "answer": "1"}]
    )
    with pytest.raises(
        InputError, match="empty.jsonl line 2: field 'question' is empty or no text"
    ):
        add(context, empty)
    without = write_rows("none.jsonl", [{"question": "a", "answer": None}])
    with pytest.raises(InputError, match="none.jsonl line 1: field 'answer' is empty, so nothing"):
        add(context, without)


def test_an_unknown_column_says_what_there_is(context: Context, write_rows: Write) -> None:
    path = write_rows("a.jsonl", [{"q": "1+1", "a": "2"}])
    with pytest.raises(InputError, match=r"name it with --prompt \(it has q, a\)"):
        add(context, path)
    with pytest.raises(InputError, match=r"no column 'x' \(--prompt\); it has q, a"):
        add(context, path, prompt="x")
    assert add(context, path, prompt="q", answer="a").rows == 1


def test_duplicates_are_counted_within_and_across_sources(
    context: Context, write_rows: Write
) -> None:
    first = write_rows("a.jsonl", [{"question": "1+1", "answer": "2"}] * 3)
    result = add(context, first)
    assert result.receipt.reasons == {"kept": 1, "duplicate": 2}
    second = write_rows(
        "b.jsonl", [{"question": " 1+1 ", "answer": "2"}, {"question": "2+2", "answer": "4"}]
    )
    result = add(context, second)
    assert result.receipt.reasons == {"kept": 1, "duplicate of another source": 1}
    assert table(context)["prompt"].to_list() == ["1+1", "2+2"]


def test_adding_again_skips_and_ids_do_not_depend_on_order(
    context: Context, write_rows: Write
) -> None:
    rows = [{"question": str(i), "answer": str(i)} for i in range(5)]
    add(context, write_rows("a.jsonl", rows))
    ids = set(table(context)["problem_id"])
    assert add(context, context.root / "a.jsonl").state == "skipped"
    add(context, write_rows("a.jsonl", rows[::-1]))
    assert set(table(context)["problem_id"]) == ids


def test_sources_that_are_none(context: Context) -> None:
    with pytest.raises(InputError, match="no such file; a source is a"):
        add(context, "missing.jsonl")
    with pytest.raises(R1DataError, match="mini has no problems 'x'"):
        add(context, "mini:x")
    (context.root / "a.txt").write_text("x")
    with pytest.raises(InputError, match="unknown format; one of .jsonl"):
        add(context, context.root / "a.txt")


def test_conversations_keep_their_earlier_turns(context: Context, write_rows: Write) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+1?"},
    ]
    add(context, write_rows("c.jsonl", [{"prompt": turns, "answer": "2"}]))
    row = table(context).row(0, named=True)
    assert row["prompt"] == "1+1?"
    assert row["messages"] == [{"role": "system", "content": "Be brief."}]


def test_options_make_a_choice_question(context: Context, write_rows: Write) -> None:
    rows = [{"question": "Which?", "answer": "B", "options": ["one", "two"]}]
    add(context, write_rows("m.jsonl", rows))
    row = table(context).row(0, named=True)
    assert (row["verifier"], json.loads(row["payload"])) == ("choice", {"options": ["one", "two"]})


@pytest.mark.parametrize(
    ("value", "gold"),
    [
        ("#### 5,600", "5600"),
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (12.0, "12"),
        (0.5, "0.5"),
        ("025", "025"),
        ("", None),
        (None, None),
    ],
)
def test_gold_answer(value: object, gold: str | None) -> None:
    assert gold_answer(value) == gold


def test_guess_verifier() -> None:
    assert guess_verifier("(C)", None) == "choice"
    assert guess_verifier(r"\pi", None) == "math"
    assert guess_verifier("Paris", None) == "string"


@pytest.mark.engine
def test_gym_problems_carry_what_their_scorer_needs(context: Context) -> None:
    result = add(context, "gym:chain_sum", size=4, seed=3)
    frame = table(context)
    assert (result.rows, frame["verifier"].unique().to_list()) == (4, ["gym"])
    payload = json.loads(frame["payload"][0])
    assert payload["dataset"] == "chain_sum"
    assert payload["entry"]["answer"] == frame["answer"][0]
    with pytest.raises(R1DataError, match="has no task 'chain_sun'"):
        add(context, "gym:chain_sun")
    with pytest.raises(R1DataError, match="does not take these options"):
        add(context, "gym:chain_sum", options={"terms": 3})
