import json

import pytest

from r1data.stages.verify import VerifyPolicy, verify, verify_many
from r1data.stages.verify.choice import read_choice
from r1data.stages.verify.string import canonical

OPTIONS = ["red", "green", "blue", "a cat"]
PAYLOAD = json.dumps({"options": OPTIONS})


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{B}",
        r"\boxed{\text{B}}",
        r"\boxed{(B)}",
        r"\boxed{\textbf{(B)}\ green}",
        r"\boxed{green}",
        "<answer>B</answer>",
        "B: green",
        "Answer: B",
        "The answer is (B) green.",
        "**Answer: B**",
        "정답: ②",
        "정답은 B입니다.",
        "정답은 2번입니다.",
        "答案是B。",
        "故选 B",
        "So it is (B).",
        "It cannot be A.\n\nB",
        "Answer: B, since A = 3 and C = 4.",
        r"\boxed{A = 3} so the answer is B",
    ],
)
def test_choice_is_found(text: str) -> None:
    verdict = verify("B", text, "choice", payload=PAYLOAD)
    assert (verdict.status, verdict.score) == ("correct", 1.0)
    assert verify("C", text, "choice", payload=PAYLOAD).status == "wrong"


@pytest.mark.parametrize("gold", ["B", "(B)", "②", "green", "Green"])
def test_choice_golds(gold: str) -> None:
    assert verify(gold, r"\boxed{B}", "choice", payload=PAYLOAD).status == "correct"
    assert verify(gold, r"\boxed{A}", "choice", payload=PAYLOAD).status == "wrong"


def test_choice_statuses() -> None:
    assert verify("B", "<think>B", "choice").status == "no_answer"
    assert verify("purple!", "B", "choice", payload=PAYLOAD).status == "bad_gold"
    assert verify("B", "I do not know", "choice", payload=PAYLOAD).status == "wrong"
    marked = VerifyPolicy(extract="marked")
    assert verify("B", "Answer: B", "choice", marked).status == "no_answer"


def test_several_choices_are_a_set() -> None:
    assert read_choice("A, C") == read_choice("CA") == frozenset({0, 2})
    assert verify("AC", r"\boxed{A,C}", "choice").status == "correct"
    assert verify("AC", r"\boxed{A}", "choice").status == "wrong"


@pytest.mark.parametrize(
    ("gold", "text", "status", "method"),
    [
        ("Paris", r"\boxed{paris.}", "correct", "exact"),
        ("Paris", "The answer is **Paris**.", "correct", "exact"),
        ("New York", r"\boxed{\text{new  york}}", "correct", "exact"),
        ("서울", "정답은 서울입니다.", "correct", "exact"),
        ("Ａ１", r"\boxed{a1}", "correct", "exact"),
        ("Seoul", "<answer>서울</answer>", "correct", "alias"),
        ("Seoul", "<answer>Busan</answer>", "wrong", "exact"),
        ("Seoul", "I think it is\nSeoul", "correct", "exact"),
    ],
)
def test_string(gold: str, text: str, status: str, method: str) -> None:
    verdict = verify(gold, text, "string", payload='{"aliases": ["서울", "Hanyang"]}')
    assert (verdict.status, verdict.method) == (status, method)


def test_canonical_keeps_what_stands_inside() -> None:
    assert canonical(' "U.S.A." ') == "u.s.a"


def test_faults_stay_with_their_row() -> None:
    golds = ["1", None, "1", "B"]
    texts = [r"\boxed{1}", r"\boxed{1}", "", "B"]
    statuses = [v.status for v in verify_many(golds, texts)]
    assert statuses == ["correct", "bad_gold", "no_answer", "no_answer"]
    verdict = verify("1", "1", "chess")
    assert (verdict.status, verdict.method) == ("error", "unknown verifier chess")
    broken = verify("B", "B", "choice", payload="not json")
    assert broken.status == "error"
    assert broken.method is not None
    assert broken.method.startswith("JSONDecodeError")
