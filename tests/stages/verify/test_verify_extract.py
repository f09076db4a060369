import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.verify import extract_answer
from r1data.stages.verify.math import gold_answer

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)

CASES = [
    # boxes
    (r"so \boxed{12}.", "12"),
    (r"\boxed{10} ... wait, \boxed{12}", "12"),
    (r"\boxed{1} Wait, that is wrong. \boxed{2}", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\boxed{7}}", r"\boxed{7}"),
    (r"\boxed{12} and put it within \boxed{}", "12"),
    (r"\fbox{5}", "5"),
    (r"so \boxed{12", "12"),
    (r"\boxed{\frac{1}{2}", r"\frac{1}{2}"),
    (r"\boxed{1} then \boxed{2" + "\nmore", "2"),
    (r"\boxed 9 is it", "9"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{$x+1$}", "x+1"),
    ("$$\n\\boxed{7}\n$$", "7"),
    (r"\boxed{12}%", "12%"),
    (r"\boxed{41} and \boxed{42}", "41, 42"),
    (r"\boxed{1}, \boxed{2} and \boxed{3}", "1, 2, 3"),
    (r"\boxed{\text{The area is } 5}", "5"),
    (r"\boxed{5} ... The final answer is 7.", "7"),
    # tags
    (r"\boxed{3} <answer>4</answer>", "3"),
    ("<answer> 4 </answer>", "4"),
    ("<answer>3</answer> no, <answer>4", "4"),
    (r"<answer>\boxed{3}</answer>", "3"),
    # phrases
    ("The answer is 12. I am sure that the answer is correct.", "12"),
    ("The final answer is: **12**.", "12"),
    ("**Final answer: 12**", "12"),
    ("### Final Answer\n\n12", "12"),
    ("Answer:\n12 apples", "12 apples"),
    ("the answer is $x^2$ indeed", "x^2"),
    ("The answer is (3, 4).", "(3, 4)"),
    ("The answer is 3:30 PM.", "3:30 PM"),
    ("#### 1,234", "1,234"),
    ("정답은 12입니다.", "12"),
    ("따라서 답: 12개", "12개"),
    ("[정답] 64", "64"),
    ("그의 대답은 5였다. 답은 7이다", "7"),
    ("答案是12", "12"),
    ("答案是：12。", "12"),
    ("答案：12", "12"),
    ("【答案】12", "12"),
    ("最终答案：**12**", "12"),
    ("故选 B", "B"),
    ("答えは12です。", "12"),
    ("したがって、12個です。", "12個"),
    # what is denied, weighed or asked is no answer
    ("The answer is not 12 but 13.", "13"),
    ("답은 12가 아니라 13입니다.", "13"),
    ("答案不是12，而是13", "13"),
    ("答えは12ではなく13です", "13"),
    ("The answer is 12, not 13.", "12"),
    ("The answer is 41 or 42.", "41 or 42"),
    ("The answer is either 41 or 42.", "41 or 42"),
    ("답은 41 또는 42입니다", "41 또는 42"),
    ("The answer is not 12.", None),
    ("Is it 42?", None),
    ("Is the answer 42?", None),
    ("Could the answer be 42?", None),
    # closing words
    ("It has 3 sides, so **12**.", "12"),
    ("So the total is 12 apples.", "12 apples"),
    ("그래서 9", "9"),
    ("7*8 = 56", "56"),
    ("that makes 3.14.", "3.14"),
    # nothing, and reasoning
    ("", None),
    (" \n\t", None),
    ("모르겠습니다", None),
    ("<think>12</think>", None),
    (r"<think>\boxed{12}", None),
    (r"<think>\boxed{1}</think>\boxed{2}", "2"),
    (r"<think>\boxed{1}</think>a<think>\boxed{3}</think>4", "4"),
    ("12<|im_end|>user\n13", "12"),
]


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_extract_answer(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 3. So there are 12 apples in total.", "12"),
        ("사과는 모두 12개가 남는다", "12"),
        (r"Thus $x = \frac{3}{4}$.", r"\frac{3}{4}"),
        ("The value is approximately 3.14", "3.14"),
        ("The answer is 12 cm.", "12"),
    ],
)
def test_words_may_stay_with_their_number(text: str, number: str) -> None:
    found = extract_answer(text)
    assert found is not None
    assert number in found


@pytest.mark.parametrize("text", ["no number here", "I cannot solve this.", "I don't know"])
def test_nothing_is_made_up(text: str) -> None:
    found = extract_answer(text)
    assert found is None or not any(character.isdigit() for character in found)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{2}", "2"),
        ("<answer>2</answer>", "2"),
        ("The answer is 2", None),
        ("#### 2", None),
        ("so 2", None),
    ],
)
def test_marked_takes_boxes_and_tags_alone(text: str, answer: str | None) -> None:
    assert extract_answer(text, "marked") == answer


def test_prefill_opens_the_reasoning() -> None:
    assert extract_answer(r"\boxed{1}", prefill="<think>\n") is None
    assert extract_answer(r"\boxed{1}</think>\boxed{2}", prefill="<think>\n") == "2"


@given(st.integers(-(10**12), 10**12), st.text("ab .,\n", max_size=40))
def test_a_boxed_integer_is_found_behind_any_words(number: int, words: str) -> None:
    assert extract_answer(rf"{words}\boxed{{{number}}}") == str(number)
    assert extract_answer(rf"{words}\boxed{{0}} no, {words}\boxed{{{number}}}") == str(number)
    assert extract_answer(f"{words} <answer>{number}</answer>") == str(number)


@given(st.integers(0, 10**12))
def test_an_integer_is_found_behind_a_phrase(number: int) -> None:
    for text in (
        f"The answer is {number}.",
        f"The final answer is **{number}**.",
        f"Answer: {number}",
        f"#### {number}",
        f"정답은 {number}입니다.",
        f"답: {number}",
        f"答案是{number}。",
        f"答：{number}",
        f"答えは{number}です。",
        f"The answer is ${number}$.",
        rf"The answer is \({number}\).",
    ):
        assert extract_answer(text) == str(number), text


@settings(max_examples=200, deadline=None)
@given(ANY_TEXT)
def test_arbitrary_text_never_raises(text: str) -> None:
    for found in (extract_answer(text), extract_answer(text, "marked"), gold_answer(text)):
        assert found is None or isinstance(found, str)


SIZE = 1_000_000
PATTERNS = [
    "<answer>", r"\boxed{", r"\boxed{1}", r"\boxed{1} and ", "{", "}", "answer ", "answer is ",
    "answer:", "final answer ", "$", "**", "**a", "9", "9,", "9 ", "1/", "-", "(", r"\(", r"\[",
    "<think>", "</think>", "<think></think>", " ", "\n", "is ", "not ", "not a but ", "|", "<|",
    "####", "two ", "twenty-", ".", ". ", "?", "!", r"\text{", r"\frac{", "\\", "\x00", "\ud800",
    "1:1", "a, ", "so ", "는 ", "は", "是", "아니라", "답은 ", "答案是", "一", "만", "하나", "十 ",
    "오후 ", "1 2/", "é",
]  # fmt: skip
# All of them take two seconds: the engine tests see every one.
QUICK = ("<answer>", r"\boxed{", "{", "9", "answer ", "<think>", "一", "two ")
MEGABYTES = [*QUICK, *(pytest.param(p, marks=pytest.mark.engine) for p in PATTERNS)]


@pytest.mark.parametrize("pattern", MEGABYTES)
def test_a_hostile_text_of_a_megabyte_comes_back(pattern: str) -> None:
    text = pattern * (SIZE // len(pattern))
    started = time.monotonic()
    extract_answer(text)
    extract_answer(f"{text} so 1")
    assert time.monotonic() - started < 5  # a quadratic pass takes hours


@pytest.mark.engine  # a few seconds in all
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_hostile_gold_comes_back(pattern: str) -> None:
    gold = pattern * (100_000 // len(pattern))
    started = time.monotonic()
    gold_answer(gold)
    gold_answer(f"{gold}:")
    assert time.monotonic() - started < 5
