import polars as pl

from r1data.core.records import CORPORA, polars_schema
from r1data.stages.assemble import AssembleConfig, assemble
from tests import tables as t

PROBLEM = {"problem_id": "a", "prompt": "1+1?", "language": "ko", "licence": "MIT"}


def test_a_row_leads_back_to_where_it_came_from() -> None:
    tables = {
        "problems": t.problems(PROBLEM),
        "traces": t.traces({"trace_id": "x", "problem_id": "a", "text": "<think>하나</think> 2 "}),
        "picks": t.picks({"problem_id": "a", "trace_id": "x"}),
    }
    frame = assemble(AssembleConfig(corpus="sft"), tables).collect()
    assert frame.schema == polars_schema(CORPORA["sft"])
    assert frame.row(0, named=True) == {
        "row_id": "x",
        "messages": [
            {"role": "user", "content": "1+1?"},
            {"role": "assistant", "content": "<think>하나</think> 2"},
        ],
        "problem_id": "a",
        "trace_id": "x",
        "model": "m",
        "language": "ko",
        "domain": "math",
        "source": "test",
        "licence": "MIT",
    }


def test_what_the_template_had_opened_is_put_back_once() -> None:
    trace = {"trace_id": "x", "problem_id": "a", "prefill": "<think>\n", "text": "so</think>2"}
    tables = {
        "problems": t.problems(PROBLEM),
        "traces": t.traces(trace),
        "picks": t.picks({"problem_id": "a", "trace_id": "x"}),
    }
    frame = assemble(AssembleConfig(corpus="sft"), tables).collect()
    assert frame["messages"][0][-1]["content"] == "<think>\nso</think>2"


def test_left_out_traces_stay_out_and_edits_come_in() -> None:
    tables = {
        "problems": t.problems(PROBLEM),
        "traces": t.traces(*({"trace_id": n, "problem_id": "a"} for n in "xyz")),
        "picks": t.picks(
            {"problem_id": "a", "trace_id": "x"},
            {"problem_id": "a", "trace_id": "y", "role": None, "rank": None, "reason": "wrong"},
            {"problem_id": "a", "trace_id": "z", "rank": 2},
        ),
        "reviews": t.reviews(
            {"trace_id": "z", "problem_id": "a", "decision": "edit", "text": "<think>e</think> 2"}
        ),
    }
    frame = assemble(AssembleConfig(corpus="sft", system="Be brief."), tables).collect()
    assert frame["trace_id"].to_list() == ["x", "z"]
    roles = [m["role"] for m in frame["messages"][1]]
    assert roles == ["system", "user", "assistant"]
    assert frame["messages"][1][-1]["content"] == "<think>e</think> 2"


def test_earlier_turns_come_first() -> None:
    earlier = [{"role": "system", "content": "s"}]
    tables = {
        "problems": t.problems({**PROBLEM, "messages": earlier}),
        "picks": t.picks({"corpus": "rl", "problem_id": "a"}),
    }
    frame = assemble(AssembleConfig(corpus="rl"), tables).collect()
    assert frame["prompt"][0].to_list() == [*earlier, {"role": "user", "content": "1+1?"}]
    assert frame["pass_rate"].to_list() == [None]


def test_rl_rows_carry_gold_and_pass_rate() -> None:
    tables = {
        "problems": t.problems(PROBLEM),
        "picks": t.picks({"corpus": "rl", "problem_id": "a"}),
        "verdicts": t.verdicts(
            {"trace_id": "x", "problem_id": "a", "status": "correct"},
            {"trace_id": "y", "problem_id": "a", "status": "wrong"},
        ),
    }
    row = assemble(AssembleConfig(corpus="rl"), tables).collect().row(0, named=True)
    assert (row["answer"], row["verifier"], row["pass_rate"]) == ("2", "math", 0.5)


def test_preference_rows_hold_both_sides() -> None:
    tables = {
        "problems": t.problems(PROBLEM),
        "traces": t.traces(
            {"trace_id": "x", "problem_id": "a", "text": "good"},
            {"trace_id": "y", "problem_id": "a", "text": "bad"},
        ),
        "picks": t.picks(
            {"corpus": "preference", "problem_id": "a", "trace_id": "x", "role": "chosen"},
            {"corpus": "preference", "problem_id": "a", "trace_id": "y", "role": "rejected"},
        ),
    }
    frame = assemble(AssembleConfig(corpus="preference"), tables).collect()
    row = frame.row(0, named=True)
    assert frame.height == 1
    assert [m["content"] for m in (*row["chosen"], *row["rejected"])] == ["good", "bad"]
    assert (row["chosen_trace_id"], row["rejected_trace_id"], row["row_id"]) == ("x", "y", "xy")
    assert frame.schema == pl.Schema(polars_schema(CORPORA["preference"]))
