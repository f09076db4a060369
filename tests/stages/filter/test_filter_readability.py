import polars as pl
import pytest

from r1data.stages.filter.judge import judge_traces
from r1data.stages.filter.stage import FilterConfig


def judge(text: str, rule: str, config: FilterConfig | None = None, **columns: object) -> dict:
    row = {"text": text, "language": "en", **columns}
    judged = judge_traces(pl.DataFrame([row]), [rule], config)
    assert judged.height == 1
    return judged.row(0, named=True)


THINK = [
    ("<think>a</think>b", "", None),
    ("\n<think>\na\n</think>\n\nb\n", "", None),
    ("a\n</think>\nb", "<think>\n", None),
    ("<think>a</think>b", "<think>\n", "repeated_think"),
    ("<think>a</think>b<think>c</think>d", "", "repeated_think"),
    ("<think>a</think></think>b", "", "repeated_think"),
    ("b", "", "no_think"),
    ("a</think>b", "", "no_think"),
    ("<think>a", "", "unclosed_think"),
    ("Sure.\n<think>a</think>b", "", "text_before_think"),
    ("</think><think>a b", "", "text_before_think"),
    ("<think> \n</think>b", "", "empty_reasoning"),
    ("<think>a</think> \n", "", "empty_answer"),
]


@pytest.mark.parametrize(("text", "prefill", "reason"), THINK)
def test_think_format(text: str, prefill: str, reason: str | None) -> None:
    row = judge(text, "format", prefill=prefill)
    assert (row["reason"], row["passed"], row["value"]) == (reason, reason is None, reason is None)


GOOD = "<think>a\n\nb</think>\n<answer>7</answer>"
ANSWERED = [
    (GOOD + "\n", None),
    # open-r1's format_reward accepts this one: its `$` matches at every line's end.
    (GOOD + "\nSo it is 7.", "text_after_answer"),
    (GOOD + "<answer>8</answer>", "repeated_answer"),
    (GOOD + "\n</answer>", "repeated_answer"),
    ("<think>a</think>7", "no_answer"),
    ("<think>a</think><answer>7", "unclosed_answer"),
    ("<think>a</think>so <answer>7</answer>", "text_before_answer"),
    ("<think>a <answer>7</answer></think>b", "text_before_answer"),
    ("<think>a</think><answer> </answer>", "empty_answer"),
    ("<think>a</think><think>b</think><answer>7</answer>", "repeated_think"),
]


@pytest.mark.parametrize(("text", "reason"), ANSWERED)
def test_think_answer_format(text: str, reason: str | None) -> None:
    row = judge(text, "format", FilterConfig(format="think-answer"))
    assert (row["reason"], row["passed"]) == (reason, reason is None)


FINISHED = [
    ("a</think>7", "stop", None),
    ("a</think>7", None, None),
    ("a</think>7", "length", "cut_at_max_tokens"),
    ("a</think>7", "abort", "aborted"),
    ("a", "stop", "unclosed_think"),
    ("a</think>$$x$$ and $$y", "stop", "unclosed_math"),
    ("a</think>```python\nx", "stop", "unclosed_code"),
    ("a</think>\\boxed{\\frac{1}{2}", "stop", "unclosed_box"),
    ("a</think>\\boxed{1} or \\boxed{", "stop", "unclosed_box"),
    ("a</think>\\boxed{\\{1, 2\\}}", "stop", None),
    ("\\boxed{ a</think>\\boxed{\\frac{1}{2}} $$x$$ ```a```", "stop", None),
]


@pytest.mark.parametrize(("text", "finish_reason", "reason"), FINISHED)
def test_finished(text: str, finish_reason: str | None, reason: str | None) -> None:
    row = judge(text, "finished", prefill="<think>\n", finish_reason=finish_reason)
    assert (row["reason"], row["passed"]) == (reason, reason is None)


FORTY = " ".join(f"word{i}" for i in range(20)) + ". "
LOOPS = [
    FORTY + "So we add three to it. " * 3,
    FORTY + "\n- So we add three to it" * 3,
    FORTY + "Let me check the sum. No, that is wrong. " * 3,
    "일의자리 2 더하면 8 합은 10 . 십의자리 3 더하면 4 합은 7 . " * 3,
    "因此我们需要计算它们。" * 3,
]


@pytest.mark.parametrize("text", LOOPS)
def test_a_short_loop_is_found(text: str) -> None:
    row = judge(text, "repetition")
    assert (row["passed"], row["reason"]) == (False, "repeated_lines")
    assert judge(text, "repetition", FilterConfig(max_repeats=4))["passed"]


def test_share_of_distinct_ngrams() -> None:
    # 1 + 4 n-grams of "a b c d e f" cycled: 60 words hold 56 five-grams, six of them distinct.
    looping = "aa bb cc dd ee ff " * 10
    row = judge(looping, "repetition")
    assert row["value"] == pytest.approx(6 / 56)
    assert (row["passed"], row["reason"]) == (False, "repeated_ngrams")
    assert judge("aa bb cc dd ee ff " * 8, "repetition")["passed"]
    assert judge(FORTY, "repetition")["value"] == 1.0
    assert judge("aa bb cc dd", "repetition")["value"] is None
    assert judge("aa bb aa bb", "repetition", FilterConfig(ngram_words=2))["value"] == 2 / 3


CALM = [
    "\n".join(["0 0 0 1 0 0 1 0"] * 30),
    "```\n" + "x = x + 1\n" * 10 + "```",
    "Hmm. Hmm. Hmm. Hmm. So it is.",
    "3.5\n3.5\n3.5\n3.5",
    "------------\n" * 5,
    "",
]


@pytest.mark.parametrize("text", CALM)
def test_grids_code_and_short_words_are_no_loop(text: str) -> None:
    row = judge(text, "repetition")
    assert (row["passed"], row["reason"]) == (True, None)


def test_longest_paragraph_in_characters() -> None:
    row = judge("é" * 2000 + "\n" + "b" * 10, "paragraph_length")
    assert (row["value"], row["passed"]) == (2000.0, True)
    row = judge("é" * 2001, "paragraph_length")
    assert (row["value"], row["passed"], row["reason"]) == (2001.0, False, "long_paragraph")
    assert not judge("가" * 1001, "paragraph_length", language="ko")["passed"]
    assert judge("가" * 1000, "paragraph_length", language="ko")["passed"]


def test_length_is_off_until_bounded() -> None:
    bounded = FilterConfig(min_tokens=5, max_tokens=9)
    outcomes = [judge("a", "length", bounded, completion_tokens=n)["reason"] for n in (4, 5, 9, 10)]
    assert outcomes == ["too_short", None, None, "too_long"]
    row = judge("a", "length", completion_tokens=100_000)
    assert (row["value"], row["passed"]) == (100_000.0, True)
    assert judge("a", "length", bounded)["value"] is None
