from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.verify.math import (
    Decided,
    Pair,
    VerifyPolicy,
    decide,
    limit_reason,
    normalise,
    rational,
)

POLICY = VerifyPolicy()

CORRECT = [
    ("12", "12개"),
    ("12", "１２"),
    ("12", "12元"),
    ("12", r"12\text{个}"),
    ("12", "12 apples"),
    ("12", "12."),
    ("025", "25"),
    ("25", "025"),
    ("1,234", "1234"),
    ("1234", "1,234"),
    ("1234", r"1\,234"),
    ("10000", "10{,}000"),
    (r"32,\!348", "32348"),
    (r"\frac12", "0.5"),
    ("0.5", "1/2"),
    (r"\dfrac{1}{2}", r"\frac{2}{4}"),
    (r"-\frac{1}{2}", "-0.5"),
    (r"2\frac{2}{3}", r"\frac{8}{3}"),
    ("(1,2)", "（1，2）"),
    ("(1, 2)", r"\left(1,2\right)"),
    ("1,2", "1、2"),
    (r"\$5", "5"),
    ("5", r"\$5"),
    ("90", r"90^\circ"),
    (r"15\mbox{ cm}^2", "15"),
    (r"1\text{ m}", r"100\text{ cm}"),
    ("3/4", "4분의 3"),
    ("3/4", "4分之3"),
    (r"\text{Evelyn}", "evelyn"),
    ("18", "18달러"),
]


@pytest.mark.parametrize(("gold", "answer"), CORRECT)
def test_correct_without_sympy(gold: str, answer: str) -> None:
    decided = decide(gold, answer, POLICY)
    assert isinstance(decided, Decided)
    assert decided.status == "correct"


@pytest.mark.parametrize(
    ("gold", "answer", "method"),
    [
        ("12", "13", "number"),
        ("1/2", "1/3", "number"),
        ("12", "-12", "number"),
        (r"10\text{ m}", "10 cm", "unit"),
        ("5원", "5달러", "unit"),
        ("listen", "silent", "text"),
        ("12 apples", "12 oranges", "words"),
    ],
)
def test_wrong_without_sympy(gold: str, answer: str, method: str) -> None:
    assert decide(gold, answer, POLICY) == Decided("wrong", method)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("300", "299.94"), ("1/3", "0.333333"), ("x+1", "1+x"), ("5", "x=5"), ("(1,2)", "(2,1)")],
)
def test_undecided_goes_to_the_worker(gold: str, answer: str) -> None:
    assert isinstance(decide(gold, answer, POLICY), Pair)


@pytest.mark.parametrize(
    ("gold", "answer", "any_way", "hundredth"),
    [
        ("50%", "0.5", "correct", "correct"),
        ("50%", "50", "correct", "wrong"),
        (r"0.5", r"50\%", "correct", "correct"),
        ("50", "50％", "correct", "wrong"),
        ("50%", "50%", "correct", "correct"),
        ("50%", "51%", "wrong", "wrong"),
    ],
)
def test_percent_policy(gold: str, answer: str, any_way: str, hundredth: str) -> None:
    for percent, status in (("any", any_way), ("hundredth", hundredth)):
        decided = decide(gold, answer, VerifyPolicy(percent=percent))
        assert isinstance(decided, Decided)
        assert decided.status == status


@pytest.mark.parametrize("gold", ["", "  ", "$ $", "."])
def test_an_empty_gold_is_bad(gold: str) -> None:
    assert decide(gold, "1", POLICY).status == "bad_gold"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9^{9^{9^9}}", "power"),
        ("9**9**9**9", "power"),
        ("2^{2^{2^{49}}}", "power"),
        ("3^{10^9}", "power"),
        ("3^{1000000000}", "power"),
        ("10^7!", "factorial"),
        ("10000000!", "factorial"),
        ("((3!)!)!", "factorial"),
        (r"\binom{1000000}{500000}", "factorial"),
        (r"\Gamma(10^9)", "factorial"),
        (r"\sum_{i=1}^{10^{12}} i", "power"),
        ("{" * 3000 + "1" + "}" * 3000, "length"),
        ("(" * 100 + "1" + ")" * 100, "nesting"),
        ("9" * 200_000, "length"),
        ("9" * 1000, "digits"),
        ("a," * 500, "items"),
        ("2^{1000}", None),
        ("x^{100}+1", None),
        ("e^{x^2}", None),
        ("2^{2^{3}}", None),
        ("10!", None),
        (r"\binom{20}{10}", None),
        (r"\frac{n(n+1)}{2}", None),
    ],
)
def test_limits(text: str, reason: str | None) -> None:
    assert limit_reason(text) == reason


def test_a_limit_names_the_gold() -> None:
    assert decide("9^{9^{9^9}}", "1+x", POLICY) == Decided("limit", "gold power")
    assert decide("x+1", "9^{9^{9^9}}", POLICY) == Decided("limit", "power")


@given(st.integers())
def test_an_integer_is_itself_however_it_is_written(number: int) -> None:
    for written in (str(number), f"{number:,}", f"{number}개", f"${number}$", f"{number}.0"):
        assert decide(str(number), written, POLICY).status == "correct"  # type: ignore[union-attr]


@given(st.fractions(max_denominator=10**6))
def test_a_fraction_is_itself_and_not_the_next(value: Fraction) -> None:
    top, bottom = value.numerator, value.denominator
    latex = rf"\frac{{{3 * top}}}{{{3 * bottom}}}"
    assert decide(f"{top}/{bottom}", latex, POLICY).status == "correct"  # type: ignore[union-attr]
    assert decide(f"{top + 1}/{bottom}", latex, POLICY) == Decided("wrong", "number")
    assert rational(normalise(latex).text) == (value, True)


@settings(max_examples=300)
@given(st.text(max_size=60), st.text(max_size=60))
def test_arbitrary_text_never_raises(gold: str, answer: str) -> None:
    assert decide(gold, answer, POLICY) is not None
    same = Decided("correct", "exact") if gold.strip() else Decided("bad_gold", "empty")
    assert decide(gold, gold, POLICY) == same


@pytest.mark.parametrize(
    ("answer", "status", "method"),
    [
        ("따라서 9", "correct", "number"),
        ("therefore 9", "correct", "number"),
        ("so 8", "wrong", "number"),
        ("5 ⑮ 5", "wrong", "several numbers"),
        ("56 carry 59", "wrong", "several numbers"),
        ("8 또는 9", None, None),
        ("9 or 8", None, None),
        ("x 9", None, None),
        ("2 2/3", None, None),
    ],
)
def test_words_beside_numbers(answer: str, status: str | None, method: str | None) -> None:
    found = decide("9", answer, VerifyPolicy())
    if status is None:
        assert isinstance(found, Pair)
    else:
        assert found == Decided(status, method)
