import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.core.text import last_boxed, normalise_prompt, script_language, split_thinking


@pytest.mark.parametrize(
    ("text", "prefill", "thinking", "answer"),
    [
        ("<think>a</think> b", "", "a", " b"),
        ("a</think>b", "<think>\n", "a", "b"),
        ("a</think>b", "", "a", "b"),
        ("just an answer", "", None, "just an answer"),
        ("<think>never ends", "", "never ends", None),
        ("never ends", "<think>", "never ends", None),
        ("Sure. <think>a</think>b", "", "a", "b"),
        ("<think>a</think>b<think>c</think>d", "", "a</think>b<think>c", "d"),
        ("😀<think>각</think>é", "", "각", "é"),
        ("</think><think>a", "", "", "<think>a"),
        ("", "", None, ""),
    ],
)
def test_split_thinking(text: str, prefill: str, thinking: str | None, answer: str | None) -> None:
    parts = split_thinking(text, prefill)
    assert (text[slice(*parts.thinking)] if parts.thinking else None) == thinking
    assert (text[slice(*parts.answer)] if parts.answer else None) == answer


@given(st.text(alphabet="ab<think>/ \n", max_size=60), st.sampled_from(["", "<think>\n"]))
def test_spans_lie_within_the_text_and_do_not_overlap(text: str, prefill: str) -> None:
    parts = split_thinking(text, prefill)
    for span in parts:
        assert span is None or 0 <= span[0] <= span[1] <= len(text)
    if parts.thinking and parts.answer:
        assert parts.thinking[1] <= parts.answer[0]
    assert parts.thinking is not None or parts.answer is not None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Solve 2 + 2 for me", "en"),
        ("사과가 3개 있다. 몇 개인가?", "ko"),
        ("计算 1+1 的值", "zh"),
        ("りんごが三個あります", "ja"),
        ("Сколько будет 2+2?", "ru"),
        ("함수 f(x)=2x에서 \\frac{1}{2}의 값", "ko"),
        ("12 + 3", None),
        ("Find x so that 素 holds in the text", "en"),
    ],
)
def test_script_language(text: str, language: str | None) -> None:
    assert pl.DataFrame({"t": [text]}).select(script_language("t")).item() == language


def test_last_boxed_is_balanced_and_last() -> None:
    assert last_boxed(r"\boxed{1} then \boxed{\frac{1}{2}} end") == r"\frac{1}{2}"
    assert last_boxed(r"\boxed{1") is None
    assert last_boxed("none") is None


def test_normalise_prompt_folds_space_and_composes() -> None:
    assert normalise_prompt(" 가\n\t나  b ") == "가 나 b"
    assert normalise_prompt("가") == "가"
