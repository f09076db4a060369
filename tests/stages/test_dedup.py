import pytest

from r1data.core.errors import WorkspaceError
from r1data.stages.dedup import DedupConfig, cluster
from tests import tables as t


def test_traces_are_compared_within_their_problem() -> None:
    tables = {
        "problems": t.problems({"problem_id": "p"}, {"problem_id": "q"}),
        "traces": t.traces(
            {"trace_id": "2", "problem_id": "p", "text": "So  ２ apples\n"},
            {"trace_id": "1", "problem_id": "p", "text": "so 2 APPLES"},
            {"trace_id": "3", "problem_id": "p", "text": "so 3 apples"},
            {"trace_id": "0", "problem_id": "q", "text": "so 2 apples"},
        ),
    }
    frame = cluster(DedupConfig(), tables).collect().sort("item_id")
    assert frame.select("item_id", "cluster_id", "kept").rows() == [
        ("0", "0", True),
        ("1", "1", True),
        ("2", "1", False),
        ("3", "3", True),
    ]


def test_problems_are_compared_by_prompt() -> None:
    tables = {
        "problems": t.problems(
            {"problem_id": "b", "prompt": "1 + 1?"}, {"problem_id": "a", "prompt": "1 +  1? "}
        )
    }
    frame = cluster(DedupConfig(item="problem"), tables).collect()
    assert dict(frame.select("item_id", "kept").iter_rows()) == {"a": True, "b": False}
    assert frame["item"].unique().to_list() == ["problem"]


def test_traces_must_be_there() -> None:
    with pytest.raises(WorkspaceError, match="dedup needs a traces table"):
        cluster(DedupConfig(), {"problems": t.problems({"problem_id": "a"})})
