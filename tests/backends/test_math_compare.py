"""Values, identities and equations through math-verify's parser."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.backends import math_compare

pytestmark = pytest.mark.engine  # loads sympy


@pytest.mark.parametrize(
    ("latex", "wanted"),
    [
        ("12", Fraction(12)),
        ("-12", Fraction(-12)),
        ("0.25", Fraction(1, 4)),
        (r"\frac{1}{3}", Fraction(1, 3)),
        (r"\frac{6}{4}-1", Fraction(1, 2)),
        ("2^{10}", Fraction(1024)),
        ("10!", Fraction(3628800)),
        (r"\binom{5}{2}", Fraction(10)),
        (r"\log_{2} 8", Fraction(3)),
        (r"\sqrt{16}", Fraction(4)),
        ("|-3|", Fraction(3)),
        ("x-x+1", Fraction(1)),
    ],
)
def test_exact_values(latex: str, wanted: Fraction) -> None:
    assert math_compare.value(latex) == wanted


@pytest.mark.parametrize(
    ("latex", "wanted"),
    [
        (r"\pi", math.pi),
        ("e", math.e),
        (r"\sqrt{2}", math.sqrt(2)),
        (r"\ln 2", math.log(2)),
        (r"\frac{\sqrt{3}}{2}", math.sqrt(3) / 2),
        (r"\sin 1", math.sin(1)),
        (r"\arctan 1", math.pi / 4),
        (r"2\pi+1", 2 * math.pi + 1),
    ],
)
def test_irrational_values(latex: str, wanted: float) -> None:
    found = math_compare.value(latex)
    assert isinstance(found, Fraction)
    assert float(found) == pytest.approx(wanted, rel=1e-15)


def test_irrational_values_have_forty_digits() -> None:
    found = math_compare.value(r"\sqrt{2}")
    assert isinstance(found, Fraction)
    assert abs(found**2 - 2) < Fraction(1, 10**35)


def test_complex_values() -> None:
    assert math_compare.value("2+3i") == 2 + 3j
    assert math_compare.value("i^2") == Fraction(-1)


@pytest.mark.parametrize("latex", ["x", "x+1", "", r"\frac{", "1/0", r"\frac{1}{0}", "((", "x>3"])
def test_what_has_no_value(latex: str) -> None:
    assert math_compare.value(latex) is None


@pytest.mark.parametrize("latex", ["", " ", r"\frac{", "((("])
def test_what_cannot_be_parsed(latex: str) -> None:
    assert math_compare.parse(latex) is None


def test_code_is_not_run(tmp_path) -> None:
    canary = tmp_path / "canary"
    for latex in (
        f"__import__('os').system('touch {canary}')",
        f"open('{canary}','w')",
        f"eval(\"open('{canary}','w')\")",
    ):
        math_compare.value(latex)
        math_compare.same_function(latex, "1")
        math_compare.same_relation(latex, "x>1")
    assert not canary.exists()


def test_close() -> None:
    third = Fraction(1, 3)
    near = math_compare.Near(third + Fraction(1, 10**25))
    assert math_compare.close(third, near)
    assert not math_compare.close(third, third + Fraction(1, 10**25))  # both are exact
    assert not math_compare.close(third, math_compare.Near(third + Fraction(1, 10**15)))
    assert math_compare.close(third, third + Fraction(1, 10**4), Fraction(1, 100))
    assert not math_compare.close(Fraction(0), Fraction(1, 10**20))
    assert math_compare.close(1 + 1j, 1 + 1j)
    assert not math_compare.close(1 + 1j, 1 - 1j)
    # Neighbouring powers are far apart, however small they are.
    assert not math_compare.close(Fraction(1, 2**99), Fraction(1, 2**98))


def test_in_degrees() -> None:
    half_turn = math_compare.value(r"\pi")
    assert half_turn is not None
    assert math_compare.close(math_compare.in_degrees(half_turn), Fraction(180))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x+1", "1+x"),
        ("(x+1)^2", "x^2+2x+1"),
        (r"\sin^2 x", r"1-\cos^2 x"),
        (r"\frac{x^2-1}{x-1}", "x+1"),
        (r"\sqrt{x^2}", "|x|"),
        ("e^{2x}", "(e^x)^2"),
        (r"\frac{1}{2}x", r"\frac{x}{2}"),
        ("x^2+C", "x^2+K"),
        ("x^2+C", "x^2+5+C"),
        (r"\tan x", r"\frac{\sin x}{\cos x}"),
        (r"\ln(x^2+1)", r"\frac{1}{2}\ln((x^2+1)^2)"),
    ],
)
def test_the_same_function(gold: str, answer: str) -> None:
    assert math_compare.same_function(gold, answer)
    assert math_compare.same_function(answer, gold)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x+1", "x+2"),
        ("x^2", "x^3"),
        ("x", "y"),
        ("xy", "x+y"),
        (r"\sin x", r"\cos x"),
        (r"\sqrt{x^2}", "x"),
        ("x^2+C", "x^2"),
        ("2x+C", "x+C"),
        ("nx", "kx"),
        ("x", "1"),
        ("x+1", ""),
        ("x+1", r"\frac{"),
        (r"\infty", r"-\infty"),
        ("1/0", "2/0"),
        ("x^{100}", "x^{99}"),
        ("x+10^{-3}", "x"),
    ],
)
def test_another_function(gold: str, answer: str) -> None:
    assert not math_compare.same_function(gold, answer)


def test_a_parameter_may_be_renamed_only_on_request() -> None:
    assert not math_compare.same_function("3k+1", "3n+1")
    assert math_compare.same_function("3k+1", "3n+1", rename=True)
    assert not math_compare.same_function("3k+1", "2n+1", rename=True)
    assert math_compare.same_function(r"2\pi k", r"2\pi n")  # turns, whatever they are counted by
    assert not math_compare.same_function(r"2\pi k", r"\pi n")
    assert not math_compare.same_function("x+n", "n", rename=True)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (("y", "2x+1"), ("2x-y", "-1")),
        (("x^2+y^2", "4"), ("2x^2+2y^2", "8")),
        (("3x-y+13", "0"), ("y", "3x+13")),
        ((r"\frac{x}{2}+\frac{y}{3}", "1"), ("3x+2y", "6")),
    ],
)
def test_the_same_equation(gold: tuple[str, str], answer: tuple[str, str]) -> None:
    assert math_compare.same_equation(*gold, *answer)
    assert math_compare.same_equation(*answer, *gold)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (("3x-y+13", "0"), ("3x+4y-14", "0")),
        (("y", "2x+1"), ("y", "2x+2")),
        ((r"\sin x", "1/2"), (r"\cos x", "1/2")),
        (("x^2+y^2", "4"), ("x^2+y^2", "5")),
        (("x", "1"), ("y", "1")),
        (("x", "x"), ("y", "y")),
        (("1", "2"), ("3", "4")),
        (("x", "1"), ("x", r"\frac{")),
    ],
)
def test_another_equation(gold: tuple[str, str], answer: tuple[str, str]) -> None:
    assert not math_compare.same_equation(*gold, *answer)


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [("x+y>3", "y+x>3", True), ("x+y>3", "x+y<3", False), ("x+y>3", "", False)],
)
def test_inequalities(gold: str, answer: str, same: bool) -> None:
    assert math_compare.same_relation(gold, answer) is same


@settings(max_examples=40, deadline=None)
@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_rational_arithmetic(one: Fraction, other: Fraction) -> None:
    def latex(number: Fraction) -> str:
        return rf"\frac{{{number.numerator}}}{{{number.denominator}}}"

    assert math_compare.value(latex(one)) == one
    for operator, wanted in (("+", one + other), (r"\cdot", one * other)):
        found = math_compare.value(f"({latex(one)}){operator}({latex(other)})")
        assert isinstance(found, Fraction)
        assert abs(found - wanted) <= abs(wanted) / 10**30
