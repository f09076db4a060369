import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.core.errors import ConfigError, InputError, R1DataError
from r1data.core.records import content_hash
from r1data.core.run import Result
from r1data.core.stage import Context, Silent
from r1data.core.tables import Workspace
from r1data.core.text import language_code
from r1data.registry import resolve
from r1data.stages.problems import (
    BadRow,
    ProblemsConfig,
    gold_answer,
    guess_columns,
    guess_verifier,
    make_action,
    problem_row,
)

Write = Callable[[str, list[Any]], Path]


def add(context: Context, source: Path | str, **settings: Any) -> Result:
    action: Any = resolve("problems")
    result: Result = action.fn(ProblemsConfig(source=str(source), **settings), context)
    return result


class Notes(Silent):
    """Keeps what a person would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


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
        (1234567.0, "1234567"),
        (3.14159265, "3.14159265"),
        (-0.0, "0"),
        (1e-7, "0.0000001"),
        (1e22, "1" + 22 * "0"),
        (0.5, "0.5"),
        ("025", "025"),
        ("", None),
        (None, None),
    ],
)
def test_gold_answer(value: object, gold: str | None) -> None:
    assert gold_answer(value) == gold


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gold_answer_is_finite(value: float) -> None:
    with pytest.raises(BadRow, match=f"the answer is {value}, which is no number"):
        gold_answer(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_gold_answer_keeps_its_value(value: float) -> None:
    text = gold_answer(value)
    assert text is not None
    assert float(text) == value
    assert "e" not in text


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
        add(context, "gym:chain_sum", name="terms", options={"terms": 3})


@pytest.mark.engine
def test_a_gym_entry_with_a_fraction_is_stored_and_still_scored(context: Context) -> None:
    import reasoning_gym

    assert add(context, "gym:gsm_symbolic", size=8).receipt.reasons == {"kept": 8}
    entry = json.loads(table(context)["payload"][7])["entry"]
    assert entry["metadata"]["variables"]["serving_fraction"] == "2"
    assert reasoning_gym.get_score_answer_fn("gsm_symbolic")(entry["answer"], entry) == 1.0


@pytest.mark.engine
def test_a_gym_entry_that_does_not_survive_json_has_no_payload() -> None:
    from r1data.backends.sources import gym_payload

    entry = {"question": "?", "answer": "8", "metadata": {("a", 1): 2}}
    assert gym_payload("gsm_symbolic", entry) is None


def test_a_generator_may_complain_of_a_row(context: Context) -> None:
    rows: list[tuple[int, dict[str, Any] | str]] = [
        (1, {"question": "1+1", "answer": "2"}),
        (2, "its entry cannot be stored as JSON"),
        (3, {"question": "2+2", "answer": "4"}),
    ]
    action = make_action({"gym": lambda config, name: iter(rows)})
    with pytest.raises(InputError, match="gym:x row 2: its entry cannot be stored as JSON;"):
        action(ProblemsConfig(source="gym:x"), context)
    result = action(ProblemsConfig(source="gym:x", skip_bad=True), context)
    assert result.receipt.reasons == {"kept": 2, "malformed": 1}
    first_two = ProblemsConfig(source="gym:x", skip_bad=True, limit=2, name="two")
    assert action(first_two, context).receipt.rows_in == 2


def test_limit_takes_no_more_from_a_generator_than_it_needs(context: Context) -> None:
    drawn = []

    def rows() -> Any:
        for number in range(1, 100):
            drawn.append(number)
            yield number, {"question": str(number), "answer": "1"}

    action = make_action({"hub": lambda config, name: rows()})
    assert action(ProblemsConfig(source="hub:x", limit=3), context).rows == 3
    assert drawn == [1, 2, 3]
    with pytest.raises(ConfigError, match="limit is 0; it must be at least 1"):
        action(ProblemsConfig(source="hub:x", limit=0), context)


def test_another_source_of_the_same_name_replaces_nothing_unasked(
    context: Context, write_rows: Write
) -> None:
    for folder in ("a", "b"):
        (context.root / folder).mkdir()
        write_rows(f"{folder}/train.jsonl", [{"question": folder, "answer": "1"}])
    add(context, "a/train.jsonl")
    message = r"problems/train is there already.*'a/train.jsonl' -> 'b/train.jsonl'.*--name NAME"
    with pytest.raises(ConfigError, match=message):
        add(context, "b/train.jsonl")
    with pytest.raises(ConfigError, match=r"\(limit: None -> 1\)"):
        add(context, "a/train.jsonl", limit=1)
    assert table(context)["prompt"].to_list() == ["a"]
    assert add(context, "a/train.jsonl", skip_bad=True).state == "skipped"
    add(context, "b/train.jsonl", name="second")
    assert table(context)["prompt"].to_list() == ["b", "a"]
    forced = Context(context.root, force=True)
    assert add(forced, "a/train.jsonl", licence="MIT").state == "done"
    assert set(table(context)["licence"]) == {None, "MIT"}


def test_rows_that_changed_replace_the_old_ones_and_it_is_said(
    context: Context, write_rows: Write
) -> None:
    row = {"question": "1+1", "answer": "2"}
    notes = Notes()
    noted = Context(context.root, notes)
    add(noted, write_rows("a.jsonl", [row]))
    add(noted, write_rows("a.jsonl", [row]))
    assert notes.lines == []
    assert add(noted, write_rows("a.jsonl", [row | {"license": "MIT"}])).state == "done"
    assert table(context)["licence"].to_list() == ["MIT"]
    (line,) = notes.lines
    assert line.endswith("a.jsonl gives other rows than before: problems/a is replaced")


def test_a_hub_id_may_hold_a_dot(context: Context) -> None:
    rows = [(1, {"question": "1+1", "solution": "2"})]
    action = make_action({"hub": lambda config, name: iter(rows)})
    result = action(ProblemsConfig(source="simplescaling/s1K-1.1"), context)
    assert result.table == "problems/simplescaling-s1k-1-1"
    assert table(context)["source"].to_list() == ["simplescaling/s1K-1.1"]


def test_conversations_that_differ_in_earlier_turns_are_different_problems(
    context: Context, write_rows: Write
) -> None:
    user = {"role": "user", "content": "And 1 more?"}
    starts = [{"role": "assistant", "content": f"It is {i}."} for i in (3, 4)]
    rows = [{"prompt": [start, user], "answer": "4"} for start in starts]
    rows.append({"prompt": [user], "answer": "4"})
    assert add(context, write_rows("c.jsonl", rows)).receipt.reasons == {"kept": 3}
    # The id of a plain problem has no part for turns.
    assert table(context)["problem_id"][2] == content_hash("And 1 more?", "4", "math", None)


def test_a_table_of_problems_keeps_its_conversations(context: Context, write_rows: Write) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
    add(context, write_rows("c.jsonl", [{"prompt": turns, "answer": "2"}]))
    first = table(context)
    other = Context(context.root / "other")
    first.write_parquet(context.root / "p.parquet")
    add(other, context.root / "p.parquet")
    assert (
        table(other).select("problem_id", "messages").equals(first.select("problem_id", "messages"))
    )


@pytest.mark.parametrize(
    ("turn", "complaint"),
    [
        ({"role": "human", "content": "x"}, "turn 1: role 'human'; one of system, user, assistant"),
        ({"role": "system", "content": ["x"]}, "turn 1: its content is no text"),
        ({"role": "system"}, "is a list, but not of role and content"),
    ],
)
def test_a_conversation_has_known_roles_and_texts(
    context: Context, write_rows: Write, turn: object, complaint: str
) -> None:
    path = write_rows("c.jsonl", [{"prompt": [turn, {"role": "user", "content": "1"}]}])
    with pytest.raises(InputError, match=f"c.jsonl line 1: field 'prompt' {complaint}"):
        add(context, path)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("KO", "ko"),
        (" pt_br ", "pt-BR"),
        ("zh-hans-cn", "zh-Hans-CN"),
        ("Korean", None),
        ("한국", None),
        ("k", None),
        (7, None),
        (None, None),
    ],
)
def test_language_code(given: object, code: str | None) -> None:
    assert language_code(given) == code


def test_a_language_is_a_code_or_a_column_that_exists(context: Context, write_rows: Write) -> None:
    rows = [
        {"question": "Un et un?", "answer": "2", "tongue": "FR"},
        {"question": "하나 더하기 둘은?", "answer": "3", "tongue": "Korean"},
    ]
    path = write_rows("l.jsonl", rows)
    with pytest.raises(ConfigError, match="language is 'Korean'; it must be an ISO 639 code"):
        add(context, path, language="Korean")
    with pytest.raises(InputError, match=r"no column 'nope' \(--language\); it has question,"):
        add(context, path, language="column:nope")
    add(context, path, language="column:tongue")
    assert table(context)["language"].to_list() == ["fr", "ko"]
    add(context, write_rows("m.jsonl", [{"question": "x", "answer": "5"}]), language="KO")
    assert table(context)["language"].to_list() == ["fr", "ko", "ko"]


def problem_of(row: dict[str, Any]) -> dict[str, Any]:
    config = ProblemsConfig(source="x.jsonl")
    return problem_row(config, guess_columns(config, row, "x.jsonl"), row)


def test_a_row_may_bring_its_verifier_payload_and_licence() -> None:
    row = {"question": "Capital?", "answer": "12", "verifier": "string"}
    found = problem_of(row | {"payload": {"aliases": ["열둘"]}, "license": ["MIT", "CC0-1.0"]})
    assert found["verifier"] == "string"
    assert found["payload"] == '{"aliases": ["열둘"]}'
    assert found["licence"] == "MIT, CC0-1.0"
    other = row | {"verifier": "rule"}
    config = ProblemsConfig(source="x.jsonl", verifier="math")
    assert problem_row(config, guess_columns(config, other, "x"), other)["verifier"] == "math"


def test_rows_of_humaneval_and_mbpp_are_programming_tasks() -> None:
    task = {"prompt": "def f(x):", "test": "def check(f): assert f(1) == 2", "entry_point": "f"}
    found = problem_of(task | {"canonical_solution": "    return x + 1", "task_id": "HumanEval/0"})
    assert (found["verifier"], found["answer"], found["source_id"]) == ("code", None, "HumanEval/0")
    assert json.loads(found["payload"])["entry_point"] == "f"
    found = problem_of({"text": "Write f.", "test_list": ["assert f(1) == 2"], "code": "x"})
    assert found["verifier"] == "code"
    assert json.loads(found["payload"]) == {"asserts": ["assert f(1) == 2"], "setup": ""}


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        (
            {"verifier": "rule"},
            "field 'verifier' is 'rule', not math, choice.* --verifier overrules",
        ),
        ({"payload": 7}, "field 'payload' is 7; it must be JSON"),
        ({"payload": [{1, 2}]}, "field 'payload' cannot be stored as JSON"),
        ({"license": {"name": "MIT"}}, "field 'license' is .*; it must be text"),
        ({"licence": 4}, "field 'licence' is 4; it must be text"),
        ({"answer": float("nan")}, "the answer is nan, which is no number"),
        ({"question": "a \ud800 b"}, "half of a surrogate pair"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(field: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadRow, match=complaint):
        problem_of({"question": "1+1", "answer": "2"} | field)


def test_a_broken_json_file_is_named_with_the_place(context: Context) -> None:
    path = context.root / "a.json"
    path.write_text('[{"question": "1+1",\n "answer" 2}]')
    with pytest.raises(InputError, match=r"a.json line 2 column 11: the file is no JSON \(.*"):
        add(context, path)
    path.write_bytes(b'["\xff"]')
    with pytest.raises(InputError, match=r"a.json: the file is not UTF-8 \(byte 3\)"):
        add(context, path)


def test_lines_of_a_csv_count_its_header(context: Context) -> None:
    path = context.root / "a.csv"
    path.write_text("question,answer\n1+1,2\n2+2,\n")
    with pytest.raises(InputError, match="a.csv line 3: field 'answer' is empty"):
        add(context, path)


def test_bytes_that_are_not_utf8_are_a_malformed_line(context: Context) -> None:
    good = '{"question": "1+1", "answer": "2"}\r\n'.encode("utf-8-sig")
    path = context.root / "a.jsonl"
    path.write_bytes(good + '{"question": "é", "answer": "2"}\n'.encode("latin-1"))
    with pytest.raises(InputError, match=r"a.jsonl line 2: the line is not UTF-8 \(byte 15\)"):
        add(context, path)
    assert add(context, path, skip_bad=True).receipt.reasons == {"kept": 1, "malformed": 1}


def test_a_32_bit_answer_keeps_its_digits(context: Context) -> None:
    frame = pl.DataFrame({"question": ["1/10?"], "answer": [0.1]})
    frame.cast({"answer": pl.Float32}).write_parquet(context.root / "f.parquet")
    add(context, context.root / "f.parquet")
    assert table(context)["answer"].to_list() == ["0.1"]
