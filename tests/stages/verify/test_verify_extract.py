import pytest

from r1data.stages.verify import extract_answer

CASES = [
    (r"so \boxed{12}.", "12"),
    (r"\boxed{10} ... wait, \boxed{12}", "12"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{\boxed{7}}", r"\boxed{7}"),
    (r"\boxed{12} and put it within \boxed{}", "12"),
    (r"\fbox{5}", "5"),
    (r"so \boxed{12", "12"),
    (r"\boxed{1} then \boxed{2" + "\nmore", "2"),
    (r"\boxed 9 is it", "9"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{$x+1$}", "x+1"),
    (r"\boxed{3} <answer>4</answer>", "3"),
    ("<answer> 4 </answer>", "4"),
    ("<answer>3</answer> no, <answer>4", "4"),
    ("The answer is 12. I am sure that the answer is correct.", "12"),
    ("The final answer is: **12**.", "12"),
    ("Answer:\n12 apples", "12 apples"),
    ("the answer is $x^2$ indeed", "x^2"),
    ("#### 1,234", "1,234"),
    ("정답은 12입니다.", "12"),
    ("따라서 답: 12개", "12개"),
    ("그의 대답은 5였다. 답은 7이다", "7"),
    ("答案是12", "12"),
    ("答案是：12。", "12"),
    ("答案：12", "12"),
    ("It has 3 sides, so **12**.", "12"),
    ("It is 3. So there are 12 apples in total.", "12"),
    ("사과는 모두 12개가 남는다", "12"),
    (r"Thus $x = \frac{3}{4}$.", r"x = \frac{3}{4}"),
    ("that makes 3.14.", "3.14"),
    ("", None),
    ("no number here", None),
    ("<think>12</think>", None),
    (r"<think>\boxed{12}", None),
    (r"<think>\boxed{1}</think>\boxed{2}", "2"),
    (r"<think>\boxed{1}</think>a<think>\boxed{3}</think>4", "4"),
]


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_extract_answer(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{2}", "2"),
        ("<answer>2</answer>", "2"),
        ("The answer is 2", None),
        ("so 2", None),
    ],
)
def test_marked_takes_boxes_and_tags_alone(text: str, answer: str | None) -> None:
    assert extract_answer(text, "marked") == answer


def test_prefill_opens_the_reasoning() -> None:
    assert extract_answer(r"\boxed{1}", prefill="<think>\n") is None
    assert extract_answer(r"\boxed{1}</think>\boxed{2}", prefill="<think>\n") == "2"


@pytest.mark.parametrize(
    "text",
    [
        "<answer>" * 50_000,
        r"\boxed{" * 20_000,
        "{" * 200_000,
        "answer" + " " * 200_000 + "is",
        "$" * 200_001,
        "**" * 100_000,
        "9" * 200_000,
        "<think>" * 20_000 + "</think>" * 20_000,
    ],
)
def test_hostile_text_is_read_in_linear_time(text: str) -> None:
    extract_answer(text + " so 1")  # a quadratic pass would run into the test's time limit
