from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.records import Status
from r1data.stages.verify.string import MAX_LENGTH, canonical, check_string, token_f1


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("Paris", "The answer is Paris."),
        ("Paris", r"\boxed{paris.}"),
        ("Paris", r"\boxed{\text{The answer is Paris.}}"),
        ("Paris", "<answer>The answer is Paris.</answer>"),
        ("Paris", "**Answer:** Paris"),
        ("Paris", "The answer is **“Paris”**."),
        ("Paris", "Answer: 'Paris'"),
        ("Paris", "Long ago ...\nParis"),
        ("Ｐａｒｉｓ", "<answer>PARIS</answer>"),
        ("New York", "<answer>new \n york</answer>"),
        ("St. Louis", "The answer is St. Louis."),
        ("Do as I say", "The answer is Do as I say."),
        ("서울", "정답은 서울입니다."),
        ("서울", "정답은 '서울'이에요."),
        ("서울", "<answer>서울입니다.</answer>"),
        ("서울", "<answer>서울이 정답입니다</answer>"),
        ("나무", r"\boxed{\text{나무예요}}"),
        ("東京", "答えは東京です。"),
        ("東京", "<answer>「東京」</answer>"),
        ("北京", "答案是北京。"),
        ("입니다", r"\boxed{입니다}"),
        ("?", r"\boxed{?}"),
        ("C++", "The answer is C++."),
        ("ﬁne", "<answer>fine</answer>"),
    ],
)
def test_the_gold_is_found(gold: str, text: str) -> None:
    verdict = check_string(gold, text)
    assert (verdict.status, verdict.method, verdict.score) == ("correct", "exact", 1.0)
    assert check_string("Busan", text).status == "wrong"


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("Paris", "The answer is not Paris."),
        ("Paris", "Paris is not the answer.\nLyon"),
        ("Who", "<answer>The Who</answer>"),  # articles count
        ("Paris", "<answer>Paris or Lyon</answer>"),
        ("Paris", "<answer>Par is</answer>"),
        ("서울", "<answer>서울시</answer>"),
    ],
)
def test_what_only_holds_the_gold_is_wrong(gold: str, text: str) -> None:
    assert check_string(gold, text).status == "wrong"


def test_aliases() -> None:
    verdict = check_string("Seoul", "<answer>서울입니다</answer>", ["서울", "Hanyang"])
    assert (verdict.status, verdict.method, verdict.score) == ("correct", "alias", 1.0)
    assert check_string("Seoul", r"\boxed{!}", [""]).status == "wrong"


def test_statuses() -> None:
    assert check_string("Paris", "<think>Paris").status == "no_answer"
    assert check_string("Paris", "Answer: Paris", extract="marked").status == "no_answer"
    assert check_string(" \n", "Paris").status == "bad_gold"
    assert check_string("Paris", "<answer>" + "x" * (MAX_LENGTH + 1)).status == "limit"
    assert check_string("x" * (MAX_LENGTH + 1), "x").status == "bad_gold"


def test_the_score_of_a_wrong_answer_is_its_f1() -> None:
    def score(text: str) -> float | None:
        return check_string("the red cat", f"<answer>{text}</answer>", ["a dog"]).score

    assert score("red cat") == pytest.approx(0.8)
    assert score("a dog barks") == pytest.approx(0.8)
    assert score("birds") == 0.0
    assert score("cat the red") == 0.99
    assert token_f1("서울 시", "서울") == pytest.approx(0.8)
    assert token_f1("", "") == 0.0


def test_surrogates_do_not_reach_the_verdict() -> None:
    verdict = check_string("Paris", "<answer>\ud800Paris</answer>")
    assert (verdict.status, verdict.extracted) == ("wrong", "?Paris")


@given(st.text(max_size=40))
def test_canonical_settles(text: str) -> None:
    assert canonical(text.casefold().strip()) == canonical(text) or "\\" in text or "$" in text


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30), st.text(max_size=100), st.lists(st.text(max_size=9), max_size=3))
def test_any_text_gives_a_verdict(gold: str, text: str, aliases: list[str]) -> None:
    for said in (text, f"\\boxed{{{text}", "answer is \ud800\0" + text):
        verdict = check_string(gold, said, aliases)
        assert verdict.status in get_args(Status)
        assert verdict.status == "correct" or verdict.score is None or verdict.score < 1


@given(st.text(alphabet="abc xyz12", min_size=1, max_size=20).filter(str.strip))
def test_a_gold_is_its_own_answer(gold: str) -> None:
    assert check_string(gold, f"<answer>{gold}</answer>").status == "correct"


@pytest.mark.parametrize(
    "piece", ["a", "\u0301\u0316", "\\text{", "answer is ", "입니다", " ", '"']
)
def test_long_texts_come_back(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    for said in (text, f"<answer>{text}</answer>", "answer: " + text[:9000]):
        assert check_string("Paris", said).status in ("wrong", "limit", "no_answer")
