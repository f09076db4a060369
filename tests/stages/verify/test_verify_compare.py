"""Pairs of answers through the quick rules and, where they leave off, the worker's comparison."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.verify.compare import judge_pair
from r1data.stages.verify.math import Pair, VerifyPolicy, decide

pytestmark = pytest.mark.engine  # loads sympy
POLICY = VerifyPolicy()
NOTATION = r"x 1 2 + - ^ { } ( ) , = < \frac \sqrt \pi \cup or R"


def status(gold: str, answer: str) -> str:
    found = decide(gold, answer, POLICY)
    if isinstance(found, Pair):
        return judge_pair(*found, POLICY.model_dump_json())[0]
    return found.status


SAME = [
    ("x+1", "1+x"),
    ("(x+1)^2", "x^2+2x+1"),
    ("x^{12}", "x^12"),
    ("x**2", "x^2"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    (r"\sin^2 x+\cos^2 x", "1"),
    (r"\sqrt{x^2}", "|x|"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    ("sqrt(3)/2", r"\frac{\sqrt{3}}{2}"),
    (r"2^{10}", "1024"),
    ("10!", "3628800"),
    (r"\binom{5}{2}", "10"),
    (r"\log_2 8", "3"),
    (r"\sin 30^\circ", "1/2"),
    (r"\frac{\pi}{2}", r"90^\circ"),
    (r"90^\circ", r"\frac{\pi}{2}"),
    (r"0.\overline{3}", "1/3"),
    ("2+3i", "3i+2"),
    ("-3", "|-3| - 6"),
    ("x^2+C", "x^2+K"),
    # rounding
    ("1/3", "0.333"),
    ("1/3", "0.333333"),
    (r"\pi", "3.14"),
    ("3.14", r"\pi"),
    (r"\sqrt{17}", "4.1231056"),
    ("3.14", "3.14159"),
    ("12.3", "12.34"),
    # names and equations
    ("5", "x=5"),
    ("x=5", "5"),
    ("f(x)=x^2", "f(t)=t^2"),
    ("f(x)=x^2", "x^2"),
    ("y=2x+1", "2x-y+1=0"),
    ("x^2+y^2=4", "2x^2+2y^2=8"),
    ("3x-y+13=0", "6x-2y+26=0"),
    ("x=5,y=3", "y=3,x=5"),
    ("x=5,y=3", "(5,3)"),
    (r"k\pi, k\in\mathbb{Z}", r"n\pi, n\in\mathbb{Z}"),
    (r"x \equiv 5 \pmod 7", r"x\equiv 12 \pmod 7"),
    # lists
    ("1,2,3", "3,2,1"),
    ("1,2", "1 and 2"),
    ("1,2", "x=1 or x=2"),
    (r"\pm 2", "2,-2"),
    (r"x=\pm 2", "x=2 or x=-2"),
    (r"\{1,2\}", "2,1"),
    ("(1/2, 3)", "(0.5, 3)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
    # sets
    ("x>3", "3<x"),
    ("x>3", r"(3,\infty)"),
    (r"x\in(-\infty,3)", "x<3"),
    (r"\{x \mid x<3\}", "x<3"),
    ("(1,2)", "1<x<2"),
    ("[1,2]", r"1\le x\le 2"),
    (r"(1,2)\cup(3,4)", r"(3,4)\cup(1,2)"),
    ("1<x<2 or 3<x<4", r"(1,2)\cup(3,4)"),
    (r"x\ne 2", r"(-\infty,2)\cup(2,\infty)"),
    ("|x|<3", "-3<x<3"),
    (r"\mathbb{R}", "all real numbers"),
]

DIFFERENT = [
    ("1/2^{99}", "1/2^{98}"),
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
    ("E", "E'"),
    ("E'", "E"),
    ("f'(x)", "f(x)"),
    ("3x-y+13=0", "3x+4y-14=0"),
    ("1331 and 1728", "1728"),
    ("1728", "1331 and 1728"),
    ("1,2,3", "1,2"),
    ("1,2", "1,2,3"),
    ("10_8", "10"),
    ("10 cm", "10 m"),
    ("6 cm^2", "6 cm^3"),
    ("(3,1)", r"\{1,3\}"),
    (r"\{1,3\}", "(3,1)"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "2,1"),
    ("(1,2)", "[1,2]"),
    ("[1,2)", "(1,2)"),
    ("[1,2]", "1<x<2"),
    ("4", r"4\sqrt2"),
    (r"4\sqrt{2}", "4"),
    ("4 4/9%", "40/9"),
    ("2 2/3", "2"),
    ("x>3", "x<3"),
    ("x>3", r"x\ge 3"),
    ("x>3", "3"),
    ("3", "x>3"),
    ("x<1 or x>3", "x<1"),
    ("x<1 or x>3", "1<x<3"),
    (r"x\ne 2", r"x\ne 3"),
    (r"\sin x = 1/2", r"\cos x = 1/2"),
    ("1/0", "2/0"),
    (r"\infty", r"-\infty"),
    ("listen", "silent"),
    ("abc", "cab"),
    ("xyz", "zyx"),
    ("12:00", "1:00"),
    ("12:00 pm", "12:00 am"),
    ("13", "not 12 but 14"),
    ("12", "not 12 but 13"),
    ("12", "12가 아니라 13"),
    ("41", "41 or 42"),
    ("42", "41 or 42"),
    ("42", "either 41 or 42"),
    ("42", "41 또는 42"),
    ("42", "41或42"),
    ("1,2,3", r"1,2,3,\ldots"),
    ("3", r"1,2,3,\ldots"),
    ("x=5", "y=5"),
    ("x=5,y=3", "x=3,y=5"),
    ("x=5,y=3", "(3,5)"),
    ("x_1=2,x_2=3", "x_1=3,x_2=2"),
    ("x=5 or x=6", "x=5"),
    ("x=5", "x=5 or x=6"),
    ("x+y=1", "1"),
    ("1", "x+y=1"),
    ("x^2+y^2=4", "x^2+y^2=5"),
    ("y=2x+1", "y=2x+2"),
    ("E=mc^2", "E=mc^3"),
    ("x+1", "x+2"),
    ("x^2", "y^2"),
    ("x^2", "x_2"),
    ("a+b", "ab"),
    ("10^2", "102"),
    ("5!", "5"),
    ("0", "x"),
    (r"\sqrt{x^2}", "x"),
    ("x^2+C", "x^2"),
    ("2x+C", "x+C"),
    (r"2k\pi", r"k\pi"),
    ("n(n+1)/2", "k(k+1)/2"),
    ("2+3i", "2-3i"),
    ("2^{10}", "1023"),
    (r"\sin 30", "1/2"),
    (r"\frac{22}{7}", r"\pi"),
    (r"\sqrt{17}", "4.13"),
    (r"\sqrt2", "1.5"),
    ("0", r"\emptyset"),
    (r"\{0\}", r"\emptyset"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"),
    ("5 mod 7", "5"),
    (r"x \equiv 5 \pmod 7", r"x\equiv 6 \pmod 7"),
    ("3 apples and 4 oranges", "4 apples and 3 oranges"),
    ("7", "7, 8"),
    ("7", "7 7"),
    ("12,34", "1234"),
    ("1,2", "12"),
    (r"\angle A", "A"),
]


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_answer(gold: str, answer: str) -> None:
    assert status(gold, answer) == "correct"


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_another_answer(gold: str, answer: str) -> None:
    assert status(gold, answer) == "wrong"


@pytest.mark.parametrize("gold", [r"\frac{", r"\sqrt{", "x^", "+", "=", r"\frac{1}{}", "((", "x="])
@pytest.mark.parametrize("answer", ["1", "x+1", "0", "Anna"])
def test_an_unreadable_gold_is_bad_and_never_rewarded(gold: str, answer: str) -> None:
    assert status(gold, answer) == "bad_gold"


def test_a_bad_gold_is_named() -> None:
    assert judge_pair(r"\frac{", "3", POLICY.model_dump_json()) == ("bad_gold", "unparsed", None)
    assert judge_pair("x+1", "1+x", POLICY.model_dump_json()) == ("correct", "sympy", None)
    assert judge_pair("x+1", "2+x", POLICY.model_dump_json()) == ("wrong", "sympy", None)


@pytest.mark.parametrize("answer", [r"\frac{", "x^", "+", "((", r"\sqrt{}", "1+", r"\left(", "?!"])
def test_an_unreadable_answer_is_wrong(answer: str) -> None:
    assert status("x+1", answer) == "wrong"
    assert status("12", answer) == "wrong"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-99, 99), min_size=2, max_size=5, unique=True), st.randoms())
def test_a_list_is_itself_in_any_order_and_never_without_a_member(numbers, random) -> None:
    shuffled = random.sample(numbers, len(numbers))
    gold = ",".join(map(str, numbers))
    for answer in (
        ", ".join(map(str, shuffled)),
        rf"\{{{','.join(map(str, shuffled))}\}}",
        " and ".join(map(str, shuffled)),
        " or ".join(f"x={number}" for number in shuffled),
    ):
        assert status(gold, answer) == "correct"
    assert status(gold, ", ".join(map(str, shuffled[1:]))) == "wrong"
    assert status(gold, ", ".join(map(str, [*shuffled, 100]))) == "wrong"
    assert status(gold, ", ".join(map(str, [*shuffled[1:], 100]))) == "wrong"


@settings(max_examples=60, deadline=None)
@given(st.integers(-50, 50), st.integers(1, 50), st.booleans(), st.booleans(), st.booleans())
def test_an_interval_is_its_inequality_and_no_other(low, width, left, right, other) -> None:
    high = low + width
    written = f"{'[' if left else '('}{low},{high}{']' if right else ')'}"
    signs = [r"\le" if closed else "<" for closed in (left, right)]
    assert status(written, f"{low} {signs[0]} x {signs[1]} {high}") == "correct"
    signs[other] = "<" if signs[other] == r"\le" else r"\le"
    assert status(written, f"{low} {signs[0]} x {signs[1]} {high}") == "wrong"
    assert status(written, f"{low} < x < {high + 1}") == "wrong"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=3, max_size=3), st.integers(-9, 9))
def test_a_polynomial_is_its_factors(roots: list[int], shift: int) -> None:
    a, b, c = roots
    expanded = f"x^3+({-(a + b + c)})x^2+({a * b + b * c + a * c})x+({-a * b * c})"
    factored = "".join(f"(x-({root}))" for root in roots)
    assert status(expanded, factored) == status(factored, expanded) == "correct"
    assert status(expanded, f"{factored}+{abs(shift) + 1}") == "wrong"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(NOTATION.split()), max_size=8),
    st.lists(st.sampled_from(NOTATION.split()), max_size=8),
)
def test_mangled_notation_has_a_status(gold: list[str], answer: list[str]) -> None:
    wanted = {"correct", "wrong", "bad_gold", "limit"}
    assert status(" ".join(gold), " ".join(answer)) in wanted
    assert status("x+1", " ".join(answer)) in wanted
