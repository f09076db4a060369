"""Every flag of the policy, with both of its values."""

from typing import Any

import pytest
from pydantic import ValidationError

import r1data
from r1data.stages.verify.compare import judge_pair
from r1data.stages.verify.extract import extract_answer
from r1data.stages.verify.math import Pair, decide
from r1data.stages.verify.policy import VerifyPolicy


def status(gold: str, answer: str, **flags: Any) -> str:
    policy = VerifyPolicy(**flags)
    found = decide(gold, answer, policy)
    if isinstance(found, Pair):
        return judge_pair(*found, policy.model_dump_json())[0]
    return found.status


# gold, answer, whether it is correct by default, whether it is with the flag
TABLE: dict[str, tuple[dict[str, Any], list[tuple[str, str, bool, bool]]]] = {
    "percent": (
        {"percent": "hundredth"},
        [
            ("50%", "0.5", True, True),
            ("0.5", r"50\%", True, True),
            ("1/2", "50%", True, True),
            ("50%", "1/2", True, True),
            ("50%", "50%", True, True),
            ("50%", "50", True, False),
            ("50", "50％", True, False),
            ("50%", "51%", False, False),
            ("50%", "5000", False, False),
            ("4 4/9%", "40/9", False, False),
        ],
    ),
    "order": (
        {"order": "given"},
        [
            ("1,2", "1,2", True, True),
            ("1,2", "2,1", True, False),
            ("1 and 2", "2 and 1", True, False),
            (r"\{1,2\}", r"\{2,1\}", True, True),
            ("(1,2)", "(1,2)", True, True),
            ("(1,2)", "(2,1)", False, False),
            ("1,2", "1,3", False, False),
        ],
    ),
    "interval": (
        {"interval": "strict"},
        [
            ("(1,2)", "1<x<2", True, False),
            ("1<x<2", "(1,2)", True, False),
            ("1<x<2", "1<x<2", True, True),
            ("(1,2)", "(1,2)", True, True),
            ("1<x<2", "2>x>1", True, True),
            ("x>3", r"(3,\infty)", True, True),
            ("(1,2)", "1<x<3", False, False),
        ],
    ),
    "tolerance": (
        {"tolerance": 0},
        [
            ("2.5", "2.5", True, True),
            ("2.5", "2.50", True, True),
            ("2.5", "5/2", True, True),
            ("300", "299.999", True, False),
            ("2.7183", "2.71832", True, True),  # it rounds to the gold: that is what digits allows
            ("271.83", "271.82", True, False),
            ("2.5", "2.6", False, False),
            ("300", "301", False, False),
        ],
    ),
    "wide tolerance": (
        {"tolerance": 0.05},
        [("2.50", "2.45", False, True), ("2.50", "2.3", False, False), ("7", "8", False, False)],
    ),
    "digits": (
        {"digits": 0},
        [
            ("1/3", "0.333", True, False),
            ("1/3", "0.33333333", True, False),
            (r"\sqrt{2}", "1.414", True, False),
            ("1/4", "0.25", True, True),
            ("1/3", "2/6", True, True),
            (r"\sqrt{2}", r"\frac{2}{\sqrt{2}}", True, True),
            ("1/3", "0.334", False, False),
        ],
    ),
    "more digits": (
        {"digits": 6},
        [
            ("1/3", "0.333", True, False),
            ("1/3", "0.333333", True, True),
            (r"\sqrt{2}", "1.414", True, False),
            (r"\sqrt{2}", "1.41421", True, True),
        ],
    ),
    "fewer digits": ({"digits": 2}, [("1/3", "0.33", False, True), ("1/3", "0.3", False, False)]),
    "form": (
        {"form": "simplified"},
        [
            ("1/2", "2/4", True, False),
            ("1/2", r"\frac{2}{4}", True, False),
            ("1/2", r"\frac{1}{2}", True, True),
            ("1/2", "1/2", True, True),
            ("2", "4/2", True, False),
            ("2", "2", True, True),
            ("1/2", "3/4", False, False),
        ],
    ),
}
ROWS = [(flags, *row) for flags, rows in TABLE.values() for row in rows]


@pytest.mark.engine
@pytest.mark.parametrize(("flags", "gold", "answer", "usual", "flagged"), ROWS)
def test_a_flag(flags: dict[str, Any], gold: str, answer: str, usual: bool, flagged: bool) -> None:
    words = {True: "correct", False: "wrong"}
    assert status(gold, answer) == words[usual]
    assert status(gold, answer, **flags) == words[flagged]


@pytest.mark.parametrize(
    ("text", "anywhere", "marked"),
    [
        (r"\boxed{2}", "2", "2"),
        ("<answer>2</answer>", "2", "2"),
        ("The answer is 2.", "2", None),
        ("답은 2입니다.", "2", None),
        ("#### 2", "2", None),
        ("so **2**", "2", None),
        ("That makes 2.", "2", None),
    ],
)
def test_extract(text: str, anywhere: str, marked: str | None) -> None:
    assert extract_answer(text, VerifyPolicy().extract) == anywhere
    assert extract_answer(text, VerifyPolicy(extract="marked").extract) == marked
    verdict = r1data.verify("2", text, policy=VerifyPolicy(extract="marked"))
    assert verdict.status == ("no_answer" if marked is None else "correct")


def test_the_defaults() -> None:
    flags = ("extract", "percent", "order", "interval", "form", "tolerance", "digits")
    policy = VerifyPolicy()
    assert [getattr(policy, flag) for flag in flags] == ["any"] * 5 + [1e-4, 3]


@pytest.mark.parametrize(
    "flags",
    [
        {"percent": "both"},
        {"order": "none"},
        {"interval": ""},
        {"form": "reduced"},
        {"extract": "boxed"},
        {"tolerance": -1},
        {"tolerance": 1},
        {"digits": -1},
        {"rounding": 3},
    ],
)
def test_what_is_no_policy(flags: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VerifyPolicy(**flags)


@pytest.mark.engine
def test_the_worker_gets_the_policy() -> None:
    for policy, wanted in ((VerifyPolicy(), "correct"), (VerifyPolicy(order="given"), "wrong")):
        assert r1data.verify("1,2", r"\boxed{2,1}", policy=policy, timeout=30.0).status == wanted
    for policy, wanted in ((VerifyPolicy(), "correct"), (VerifyPolicy(digits=0), "wrong")):
        verdict = r1data.verify(r"\sqrt{2}", r"\boxed{1.414}", policy=policy, timeout=30.0)
        assert verdict.status == wanted
