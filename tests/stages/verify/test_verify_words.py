"""Verifiers of words through the one entry, and faults that stay with their row."""

import json

import pytest

from r1data.core.errors import ConfigError
from r1data.stages.verify import VerifyPolicy, verify, verify_many

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
def test_a_choice_is_found(text: str) -> None:
    verdict = verify("B", text, "choice", payload=PAYLOAD)
    assert (verdict.status, verdict.score) == ("correct", 1.0)
    assert verify("C", text, "choice", payload=PAYLOAD).status == "wrong"


@pytest.mark.parametrize("gold", ["B", "(B)", "②", "green", "Green"])
def test_golds_of_a_choice(gold: str) -> None:
    assert verify(gold, r"\boxed{B}", "choice", payload=PAYLOAD).status == "correct"
    assert verify(gold, r"\boxed{A}", "choice", payload=PAYLOAD).status == "wrong"


def test_statuses_of_a_choice() -> None:
    assert verify("B", "<think>B", "choice").status == "no_answer"
    assert verify("purple!", "B", "choice", payload=PAYLOAD).status == "bad_gold"
    assert verify("B", "I do not know", "choice", payload=PAYLOAD).status in ("wrong", "no_answer")
    marked = VerifyPolicy(extract="marked")
    assert verify("B", "Answer: B", "choice", marked).status == "no_answer"


def test_several_choices_are_a_set() -> None:
    assert verify("AC", r"\boxed{A,C}", "choice").status == "correct"
    assert verify("AC", r"\boxed{C, A}", "choice").status == "correct"
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


@pytest.mark.parametrize(
    ("gold", "text", "status"),
    [
        ("yes", "Yes.", "correct"),
        ("Yes", r"\boxed{\text{No}}", "wrong"),
        ("no solution", "The answer is: no solution.", "correct"),
        ("does not exist", r"\boxed{\text{DNE}}", "correct"),
        ("Tuesday", r"\boxed{\text{Tuesday}}", "correct"),
        ("Tuesday", r"\boxed{\text{Thursday}}", "wrong"),
        ("listen", r"\boxed{\text{silent}}", "wrong"),
        ("odd", "The answer is even.", "wrong"),
        ("짝수", "답은 짝수입니다.", "correct"),
    ],
)
def test_words_as_an_answer_to_mathematics(gold: str, text: str, status: str) -> None:
    assert verify(gold, text).status == status


def test_faults_stay_with_their_row() -> None:
    golds = ["1", None, "1", "", "1"]
    texts = [r"\boxed{1}", r"\boxed{1}", "", r"\boxed{1}", "<think>1"]
    statuses = [v.status for v in verify_many(golds, texts)]
    assert statuses == ["correct", "bad_gold", "no_answer", "bad_gold", "no_answer"]
    broken = verify_many(["B", "B"], ["B", "B"], "choice", payloads=["not json", None])
    assert [verdict.status for verdict in broken] == ["error", "correct"]
    assert (broken[0].method or "").startswith("JSONDecodeError")
    assert broken[0].score is None


def test_an_unknown_verifier_is_an_error_before_anything_is_judged() -> None:
    with pytest.raises(ConfigError, match="unknown verifier 'chess'; one of math, choice"):
        verify("1", "1", "chess")
    with pytest.raises(ConfigError, match="unknown verifier 'chess'"):
        verify_many(["1", "2"], ["1", "2"], "chess")
