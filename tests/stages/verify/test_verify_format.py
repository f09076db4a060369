import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.filter.readability import ReadabilityPolicy, well_formed
from r1data.stages.verify.format import check_format

GOOD = "<think>two and two</think>4"
TAGGED = "<think>two and two</think>\n<answer>4</answer>\n"


def fault(text: str, prefill: str = "", **options: object) -> str | None:
    verdict = check_format(json.dumps(options) if options else None, text, prefill=prefill)
    assert verdict.status == ("correct" if verdict.method == "format" else "wrong")
    assert verdict.score == float(verdict.status == "correct")
    return None if verdict.status == "correct" else verdict.method


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD, None),
        ("\n " + GOOD, None),
        (TAGGED, None),
        ("", "no_think"),
        ("4", "no_think"),
        ("two</think>4", "no_think"),
        ("<think>two and two", "unclosed_think"),
        (GOOD + GOOD, "repeated_think"),
        ("<think><think>nested</think></think>4", "repeated_think"),
        ("<think>two</think></think>4", "repeated_think"),
        ("Sure! " + GOOD, "text_before_think"),
        ("</think>4<think>", "text_before_think"),
        ("<think> \n</think>4", "empty_reasoning"),
        ("<think>two</think> \n", "empty_answer"),
    ],
)
def test_thinking(text: str, wanted: str | None) -> None:
    assert fault(text) == wanted


def test_a_prefill_belongs_to_the_turn() -> None:
    assert fault("two</think>4", prefill="<think>\n") is None
    assert fault(GOOD, prefill="<think>\n") == "repeated_think"
    assert fault("two", prefill="<think>\n") == "unclosed_think"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (TAGGED, None),
        (GOOD, "no_answer"),
        ("<think>a</think><answer>4", "unclosed_answer"),
        (TAGGED + "<answer>4</answer>", "repeated_answer"),
        ("<think>a</think>So <answer>4</answer>", "text_before_answer"),
        ("<think><answer>4</answer></think>4", "text_before_answer"),
        ("<think>a</think><answer> </answer>", "empty_answer"),
        (TAGGED + "Bye", "text_after_answer"),
    ],
)
def test_answer_tags(text: str, wanted: str | None) -> None:
    assert fault(text, answer_tags=True) == wanted


def test_boxed() -> None:
    assert fault(r"<think>a</think>\boxed{4}", boxed=True) is None
    assert fault(r"<think>\boxed{4}</think>4", boxed=True) == "no_box"
    assert fault(r"<think>a</think>\boxed{}", boxed=True) == "no_box"
    both = r"<think>a</think><answer>\boxed{4}</answer>"
    assert fault(both, boxed=True, answer_tags=True) is None


def test_thinking_forbidden() -> None:
    assert fault("4", thinking="forbidden") is None
    assert fault(GOOD, thinking="forbidden") == "unexpected_think"
    assert fault("a</think>4", thinking="forbidden") == "unexpected_think"
    assert fault(" ", thinking="forbidden") == "empty_answer"
    assert fault("<answer>4</answer>", thinking="forbidden", answer_tags=True) is None
    assert fault("So <answer>4</answer>", thinking="forbidden", answer_tags=True) == (
        "text_before_answer"
    )
    assert fault(GOOD, thinking="required") is None


@pytest.mark.parametrize(
    "payload",
    ["no", "[]", '{"boxd": true}', '{"thinking": "maybe"}', "[" * 100_000, '{"boxed": 3}'],
)
def test_payloads_that_say_nothing(payload: str) -> None:
    verdict = check_format(payload, GOOD)
    assert verdict.status == "error"
    assert verdict.method is not None
    assert verdict.method.startswith("payload")


_PIECES = ["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "word", "4"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=9), st.sampled_from(["", "<think>\n"]))
def test_it_is_the_filters_definition(pieces: list[str], prefill: str) -> None:
    text = "".join(pieces)
    frame = pl.DataFrame({"_turn": [prefill + text]})
    for form, options in (("think", {}), ("think-answer", {"answer_tags": True})):
        rule = well_formed(ReadabilityPolicy.model_validate({"format": form}))
        reason = frame.select(rule.struct.field("reason")).item()
        assert fault(text, prefill, **options) == reason


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.just("\ud800<think>\0"), st.text(max_size=20))
def test_any_text_gives_a_verdict(text: str, payload: str) -> None:
    assert check_format(payload, text).status in ("correct", "wrong", "error")
    assert check_format('{"boxed": true, "answer_tags": true}', text).status in ("correct", "wrong")


@pytest.mark.parametrize("piece", ["<think>", "</think>", "<answer>", "\\boxed{", " "])
def test_long_texts_come_back(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert check_format('{"boxed": true, "answer_tags": true}', text).status == "wrong"
