from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.records import Status
from r1data.stages.verify.choice import check_choice, read_choice

COLOURS = ["red", "green", "blue", "a cat"]
VALUES = ["$12$", r"$\frac{1}{2}$", "3", "15 cm"]
TEN = [f"text {letter}" for letter in "abcdefghij"]


def judge(gold: str, text: str, options: list[str] | None = None, **more: str) -> tuple[str, str]:
    verdict = check_choice(gold, text, options or [], **more)
    assert verdict.score in ({"correct": 1.0, "wrong": 0.0}.get(verdict.status), None)
    return verdict.status, verdict.method or ""


NAMES_B = [
    r"\boxed{B}",
    r"\boxed{b}",
    r"\boxed{(B)}",
    r"\boxed{ [B] }",
    r"\boxed{\text{B}}",
    r"\boxed{\text{(B) green}}",
    r"\boxed{\mathrm{B}}",
    r"$\boxed{\textbf{(B)}\ 12}$",
    r"\fbox{B.}",
    r"\boxed{B: green}",
    r"\boxed{\text{Option B}}",
    r"\boxed{②}",
    r"\boxed{B}, because A and C fail.",
    r"\boxed{A = 3}, so the answer is B",
    r"\boxed{A}. Wait, no. The answer is B.",
    r"The answer is A. Let me check: no. \boxed{B}",
    "<answer>B</answer>",
    "<answer>The answer is B.</answer>",
    "<answer>(B) green</answer>",
    "B",
    "(B)",
    "B.",
    "**B**",
    "B: green",
    "B. green",
    "B) green",
    "**B) green**",
    "B\n\nA is wrong, since it is too long.",
    "B. green\n\nThis is the colour of grass.",
    "Answer: B",
    "answer: b",
    "Answer:B",
    "ANSWER: (B)",
    "Answer: **B**",
    "**Answer:** B",
    "**Answer: B**",
    "**Answer**: B. green",
    "### Answer\nB",
    "Answer:\n\nB",
    "#### B",
    "Final answer: $\\text{B}$",
    "The final answer is $\\boxed{B}$. I hope it is correct.",
    "The answer is (B).",
    "The answer is B because A is too small.",
    "The answer is (B) green.",
    "The answer is B green.",
    "The correct answer is option B.",
    "The correct option is **B**.",
    "The best answer is therefore B",
    "The correct answer to the question is B.",
    "The answer is green.",
    "The answer is: green (B).",
    "So the answer should be B, not A.",
    "I would choose B.",
    "I think B.",
    "I'd go with (B).",
    "Option B is correct.",
    "(B) is the right answer",
    "It cannot be A.\n\nTherefore, option B.",
    "So it is (B).",
    "Answer: B, since A = 3 and C = 4.",
    "The answer is B. A and C are wrong, and so is D.",
    "The answer is A.\nOn second thought, the answer is B.",
    "A: too long\nB: fits\nC: too short\n\nAnswer: B",
    "정답: B",
    "정답: ②",
    "정답은 ②번입니다.",
    "정답은 ②번이다.",
    "정답은 2번입니다.",
    "정답 ②",
    "**정답: (B)**",
    "정답은 B입니다.",
    "답: 나",
    "답은 (나)이다.",
    "따라서 답은 나입니다.",
    "옳은 것을 고르면 ②이다.",
    "②번이 정답입니다.",
    "②",
    "2번",
    "선택지 B가 정답이다.",
    "故选：B",
    "故选 B.",
    "故选: $B$.",
    "故选 $\\mathrm{B}$.",
    "应选 $B$.",
    "选B",
    "选项A错误，选项B正确",
    "答案是B。",
    "答案：Ｂ",
    "答案为 B",
    "所以正确答案是（B）。",
    "正确的选项是B",
    "因此答案选B。",
    "故選：B",
    "答えはBです。",
    "答えは「B」です。",
    "正解：イ",
    "正解はBである。",
]


@pytest.mark.parametrize("text", NAMES_B)
@pytest.mark.parametrize("options", [COLOURS, None])
def test_the_second_option_is_found(text: str, options: list[str] | None) -> None:
    if options is None and text == "The answer is green.":
        return
    assert judge("B", text, options) == ("correct", "choice")
    assert judge("C", text, options) == ("wrong", "choice")


@pytest.mark.parametrize(
    "text",
    [
        "A man bought a cow.",
        "I think we have to guess.",
        "Plan B failed.",
        "Vitamin C is in fruit.",
        "The answer is a matter of taste.",
        "The answer is A = 3 in this case",
        "Let A be a point. Then C = 4.",
        "no option at all",
        "The answer is not B",
        "대답은 나중에 하겠습니다",
        "답은 나무입니다",
        r"\boxed{A_1 + B^2}",
        r"\boxed{7}",
        "$A \\cup B$",
        "A: too long\nB: too short\nC: too red\nD: too blue",
    ],
)
def test_prose_and_formulae_name_nothing(text: str) -> None:
    for gold in "ABCD":
        assert judge(gold, text) == ("wrong", "not an option")


@pytest.mark.parametrize(
    ("gold", "text", "options", "method"),
    [
        ("B", r"\boxed{B. blue}", COLOURS, "contradiction"),
        ("C", r"\boxed{B. blue}", COLOURS, "contradiction"),
        ("B", "The answer is B (blue).", COLOURS, "contradiction"),
        ("B", "Answer: B) red", COLOURS, "contradiction"),
        ("B", "blue (B)", COLOURS, "contradiction"),
        ("A", "Answer: A or B", None, "hedged"),
        ("B", "The answer is either A or B.", None, "hedged"),
        ("B", "Answer: A/B", None, "hedged"),
        ("B", r"\boxed{A \text{ or } B}", None, "hedged"),
        ("B", r"$\boxed{A}$ or $\boxed{B}$", None, "hedged"),
        ("B", "정답은 ① 또는 ②이다.", None, "hedged"),
        ("B", "答案是A或B", None, "hedged"),
        ("B", "The answer is A and B.", None, "choice"),
        ("B", "(A) and (B)", None, "choice"),
        ("B", r"\boxed{AB}", None, "choice"),
        ("B", r"\boxed{E}", COLOURS, "choice"),
        ("B", "The answer is B. No: the answer is E.", COLOURS, "choice"),
    ],
)
def test_what_is_wrong_on_purpose(
    gold: str, text: str, options: list[str] | None, method: str
) -> None:
    assert judge(gold, text, options) == ("wrong", method)


@pytest.mark.parametrize(
    "gold", ["B", "b", "(B)", "2", "②", "2번", "나", "green", "Green", "B. green"]
)
def test_golds(gold: str) -> None:
    assert judge(gold, r"\boxed{B}", COLOURS) == ("correct", "choice")
    assert judge(gold, r"\boxed{A}", COLOURS) == ("wrong", "choice")
    assert judge(gold, "정답은 ②번", COLOURS) == ("correct", "choice")


@pytest.mark.parametrize(
    ("gold", "options"),
    [
        ("purple", COLOURS),
        ("E", COLOURS),
        ("5", COLOURS),
        ("0", COLOURS),
        ("A or B", COLOURS),
        ("", COLOURS),
        ("green", None),
        ("A, E", COLOURS),
    ],
)
def test_golds_that_are_no_option(gold: str, options: list[str] | None) -> None:
    assert judge(gold, r"\boxed{A}", options)[0] == "bad_gold"
    assert judge("B. blue", r"\boxed{A}", COLOURS) == ("bad_gold", "contradiction")


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{A,C}",
        r"\boxed{AC}",
        r"\boxed{\text{A, C}}",
        r"\boxed{A \text{ and } C}",
        r"\boxed{A}, \boxed{C}",
        r"\boxed{A} and \boxed{C}",
        "The answer is C and A.",
        "Answer: A, C",
        "Answer: A, C.",
        "Answers: A & C",
        "Answer: (A), (C)",
        "**A and C**",
        "A, C",
        "AC",
        "答案：AC",
        "故选：AC",
        "正解はAとCです。",
        "정답: ①, ③",
        "정답은 ①과 ③이다.",
        "<answer>red, blue</answer>",
    ],
)
def test_several_answers_in_any_order(text: str) -> None:
    for gold in ("AC", "CA", "A, C", "A and C", "['A', 'C']"):
        assert judge(gold, text, COLOURS) == ("correct", "choice")
    assert judge("A", text, COLOURS)[0] == "wrong"
    assert judge("ABC", text, COLOURS)[0] == "wrong"


def test_statements_of_a_korean_question() -> None:
    options = ["ㄱ", "ㄷ", "ㄱ, ㄴ", "ㄴ, ㄷ", "ㄱ, ㄴ, ㄷ"]
    for text in (
        "정답은 ㄱ, ㄴ이다.",
        r"\boxed{ㄴ, ㄱ}",
        "정답: ③",
        "옳은 것은 ㄱ, ㄴ\n\n답: ㄱㄴ",
    ):
        assert judge("③", text, options) == ("correct", "choice")
        assert judge("④", text, options) == ("wrong", "choice")
    # ㄴ is the second statement, not the second option.
    assert judge("②", "답: ㄴ", options)[0] == "wrong"
    assert judge("B", "답: ㄴ") == ("wrong", "not an option")
    assert judge("ㄱ, ㄷ", "답: ㄱ, ㄷ") == ("correct", "choice")
    assert judge("ㄱ, ㄷ", r"\boxed{\text{ㄱ, ㄴ}}") == ("wrong", "choice")
    assert judge("가, 나", "정답은 가와 나이다.") == ("correct", "choice")


def test_numbers_are_values_where_options_are() -> None:
    assert judge("C", r"\boxed{3}", VALUES) == ("correct", "choice")
    assert judge("B", r"\boxed{2}", VALUES) == ("wrong", "not an option")
    assert judge("B", r"정답은 2번", VALUES) == ("correct", "choice")
    assert judge("B", r"\boxed{\dfrac{1}{2}}", VALUES) == ("correct", "choice")
    assert judge("A", "so the value is $x = 12$.", VALUES) == ("correct", "choice")
    assert judge("B", r"\boxed{2}", COLOURS) == ("correct", "choice")
    assert judge("3", "The answer is 3.") == ("correct", "choice")
    assert judge("3", "The answer is 3.5.") == ("wrong", "not an option")
    assert judge("C", "(3) Last step, and I am done.", COLOURS) == ("wrong", "not an option")


def test_up_to_26_options_and_roman_numbers() -> None:
    assert judge("J", "The answer is (J).", TEN) == ("correct", "choice")
    assert judge("I", "The answer is I.", TEN) == ("correct", "choice")
    assert judge("Z", r"\boxed{Z}") == ("correct", "choice")
    assert judge("iii", "The answer is (iii).", COLOURS) == ("correct", "choice")
    assert judge("II", r"\boxed{\text{ii}}", COLOURS) == ("correct", "choice")
    assert judge("i", r"\boxed{ii}", COLOURS) == ("wrong", "choice")


def test_options_that_look_like_labels() -> None:
    groups = ["O", "A", "B", "AB"]  # blood groups
    assert judge("D", r"\boxed{AB}", groups) == ("correct", "choice")
    assert judge("A", "The answer is O.", groups) == ("correct", "choice")
    assert judge("C", r"\boxed{C. B}", groups) == ("correct", "choice")
    genes = ["AA", "Aa", "aa"]
    assert judge("B", r"\boxed{Aa}", genes) == ("correct", "choice")
    assert judge("C", r"\boxed{Aa}", genes) == ("wrong", "choice")
    labelled = ["A. red", "B. green"]
    assert judge("B", "The answer is green.", labelled) == ("correct", "choice")


def test_marked_takes_boxes_and_tags_alone() -> None:
    assert judge("B", "Answer: B", extract="marked") == ("no_answer", "")
    assert judge("B", r"\boxed{B} no: the answer is C", extract="marked") == ("correct", "choice")
    assert judge("B", r"\boxed{x} Answer: B", extract="marked") == ("wrong", "not an option")


def test_thinking_is_no_answer() -> None:
    assert judge("B", "<think>The answer is B") == ("no_answer", "")
    assert judge("B", "The answer is B", prefill="<think>") == ("no_answer", "")
    assert judge("C", "<think>The answer is B</think>C") == ("correct", "choice")
    assert judge("B", "") == ("no_answer", "")


def test_read_choice() -> None:
    assert read_choice("A, C") == read_choice("CA") == frozenset({0, 2})
    assert read_choice("2번") == read_choice("❷") == read_choice("ⓑ") == frozenset({1})
    assert read_choice("a cat", COLOURS) == frozenset({3})
    assert read_choice("a cat") == frozenset()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30), st.text(max_size=120), st.lists(st.text(max_size=10), max_size=5))
def test_any_text_gives_a_verdict(gold: str, text: str, options: list[str]) -> None:
    assert check_choice(gold, text, options).status in get_args(Status)
    assert check_choice("B", text, options).status in get_args(Status)


_PIECES = [
    "answer is ",
    "\ud800",
    "\0",
    "\\boxed{",
    "}",
    "(B)",
    "A",
    " or ",
    "정답",
    "①",
    "\n",
    "선택",
    "B.",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=30).map("".join))
def test_pieces_of_answers_give_a_verdict(text: str) -> None:
    assert check_choice("B", text, COLOURS).status in ("correct", "wrong", "no_answer")


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "\\boxed{B} or ",
        "the answer is ",
        "A, ",
        " ",
        "**",
        "B or ",
        "가와 ",
        "\\text{",
        "正确 ",
        "I think ",
    ],
)
def test_long_texts_come_back(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert check_choice("B", text, COLOURS).status in ("correct", "wrong", "no_answer")
    assert check_choice("B", rf"\boxed{{{text}}}", COLOURS).status in (
        "wrong",
        "no_answer",
        "correct",
    )
