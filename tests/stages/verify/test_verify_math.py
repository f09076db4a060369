"""What is decided about two answers without computer algebra, and what is shown to it at all."""

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.verify.limits import limit_reason
from r1data.stages.verify.math import Decided, Pair, VerifyPolicy, decide, gold_answer

POLICY = VerifyPolicy()
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)  # lone surrogates and NUL too


def status(gold: str, answer: str) -> str:
    found = decide(gold, answer, POLICY)
    assert isinstance(found, Decided), found
    return found.status


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("12", "12개"),
        ("12", "１２"),
        ("12", "12元"),
        ("12", r"12\text{个}"),
        ("12", "12 apples"),
        ("12", "12."),
        ("12", "**12**"),
        ("12", "십이"),
        ("12", "열두 명"),
        ("12", "十二"),
        ("12", "twelve"),
        ("12", r"\(12\)"),
        ("025", "25"),
        ("25", "025"),
        ("1,234", "1234"),
        ("1234", "1,234"),
        ("1234", r"1\,234"),
        ("10000", "10{,}000"),
        (r"32,\!348", "32348"),
        ("10000", "10 000"),
        (r"\frac12", "0.5"),
        ("0.5", "1/2"),
        (r"\dfrac{1}{2}", r"\frac{2}{4}"),
        (r"-\frac{1}{2}", "-0.5"),
        (r"2\frac{2}{3}", r"\frac{8}{3}"),
        ("2 2/3", "8/3"),
        ("2½", "2.5"),
        ("1e3", "1000"),
        (r"3 \times 10^{8}", "300000000"),
        ("(1,2)", "（1，2）"),
        ("(1, 2)", r"\left(1,2\right)"),
        ("1,2", "1、2"),
        (r"\$5", "5"),
        ("5", r"\$5"),
        ("$5", "500 cents"),
        ("90", r"90^\circ"),
        (r"15\mbox{ cm}^2", "15"),
        (r"1\text{ m}", r"100\text{ cm}"),
        ("5 m/s", "18 km/h"),
        ("90 minutes", "1 hour 30 minutes"),
        ("90분", "1시간 30분"),
        ("3:30 PM", "15:30"),
        ("오후 3시 30분", "3:30 PM"),
        ("3:4", "6:8"),
        ("5 mod 7", "12 mod 7"),
        ("10_8", "10_{8}"),
        ("3/4", "4분의 3"),
        ("3/4", "4分之3"),
        ("3/4", "四分之三"),
        (r"\text{Evelyn}", "evelyn"),
        ("no solution", r"\emptyset"),
        ("yes", "Yes."),
        ("18", "18달러"),
        ("B", "(B)"),
        ("B", r"\textbf{(B)}\ 12"),
        ("12", "(A) 12"),
    ],
)
def test_correct_without_sympy(gold: str, answer: str) -> None:
    assert status(gold, answer) == "correct"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("12", "13"),
        ("12", "-12"),
        ("12", "1 2/3"),
        ("1/2", "1/3"),
        ("1", "1.0001e3"),
        ("2 2/3", "2"),
        ("8/3", "2 1/3"),
        (r"1\frac{1}{2}", r"\frac{11}{2}"),
        (r"10\text{ m}", "10 cm"),
        ("10 cm", "10 m"),
        ("6 cm", "6 cm^2"),
        ("6 hours", "6 minutes"),
        ("5원", "5달러"),
        ("$5", "5 cents"),
        ("5 m/s", "5 km/h"),
        ("10_8", "10"),
        ("10", "10_8"),
        ("10_8", "10_2"),
        ("12:00 pm", "12:00 am"),
        ("3:4", "4:3"),
        ("5 mod 7", "6 mod 7"),
        ("A", "B"),
        ("12", "(A) 13"),
        ("listen", "silent"),
        ("cat", "act"),
        ("left", "felt"),
        ("yes", "no"),
        ("odd", "even"),
        ("no solution", "1"),
        ("none", "0"),
        ("12 apples", "12 oranges"),
        ("Tuesday", "Thursday"),
        ("4 4/9%", "40/9"),
        ("1/3", "0.33"),
        ("2/3", "0.666"),
        ("1.99", "2"),
        ("2", "1.99"),
        ("0.12345", "0.1234"),
        ("0", "0.0001"),
        ("1000000", "1000001"),
    ],
)
def test_wrong_without_sympy(gold: str, answer: str) -> None:
    assert status(gold, answer) == "wrong"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x+1", "1+x"),
        ("5", "x=5"),
        ("(1,2)", "(2,1)"),
        ("1,2", "2,1"),
        ("x>3", "3<x"),
        (r"\sqrt{2}", "1.4142"),
        ("9", "8 or 9"),
    ],
)
def test_the_rest_goes_to_the_worker(gold: str, answer: str) -> None:
    assert isinstance(decide(gold, answer, POLICY), Pair)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("따라서 9", "correct"),
        ("therefore 9", "correct"),
        ("therefore 8", "wrong"),
        ("56 carry 59", "wrong"),
        ("8 comes before 9", "wrong"),
    ],
)
def test_words_beside_numbers(answer: str, wanted: str) -> None:
    assert status("9", answer) == wanted


@pytest.mark.parametrize("gold", ["", "  ", "$ $", ".", "\n", r"\(\)", "\u3000"])
def test_an_empty_gold_is_bad(gold: str) -> None:
    assert status(gold, "1") == "bad_gold"
    assert status(gold, "x+1") == "bad_gold"


@pytest.mark.parametrize("answer", ["", " ", "$ $", "."])
def test_an_empty_answer_is_wrong(answer: str) -> None:
    assert status("1", answer) == "wrong"


@pytest.mark.parametrize(
    ("gold", "held"),
    [
        ("12", "12"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        (r"So it is \boxed{12}.", "12"),
        ("3 + 4 = 7\n#### 7", "7"),
        ("The answer is 12.", "12"),
        ("정답: 12", "12"),
        ("x > 3", "x > 3"),
        ("no solution", "no solution"),
        (r"\boxed{", ""),
    ],
)
def test_gold_answer(gold: str, held: str) -> None:
    assert gold_answer(gold) == held


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
    assert decide("9" * 5000, "1", POLICY) == Decided("limit", "gold length")
    assert decide("1", "9" * 5000, POLICY) == Decided("limit", "length")


WRITINGS = (
    "{}", "{:,}", "{}.0", "{}.", " {} ", "${}$", "**{}**", r"\({}\)", r"\[{}\]", r"\text{{{}}}",
    "{}개", "{}元", "{}本", "{} apples", r"{}\text{{ 명}}", "{}입니다", "약 {}",
    "{}/1", r"\frac{{{}}}{{1}}", r"\left({}\right)", r"\boxed{{{}}}", "{}円です",
)  # fmt: skip


@given(st.integers(-(10**30), 10**30), st.sampled_from(WRITINGS))
def test_an_integer_is_itself_however_it_is_written(number: int, writing: str) -> None:
    assert status(str(number), writing.format(number)) == "correct"
    assert status(writing.format(number), str(number)) == "correct"


@given(st.integers(0, 10**12))
def test_an_integer_in_full_width_digits(number: int) -> None:
    wide = str(number).translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    assert status(str(number), wide) == "correct"
    assert status(wide, str(number + 1)) == "wrong"


@given(st.integers(-(10**9), 10**9), st.integers(2, 999))
def test_a_fraction_is_itself_and_not_the_next(top: int, bottom: int) -> None:
    sign, size = ("-" if top < 0 else ""), abs(top)
    whole, rest = divmod(size, bottom)
    writings = [
        f"{top}/{bottom}",
        f"{3 * top}/{3 * bottom}",
        rf"\frac{{{top}}}{{{bottom}}}",
        rf"\dfrac{{{2 * top}}}{{{2 * bottom}}}",
        rf"{sign}\tfrac{{{size}}}{{{bottom}}}",
        rf"${sign}\frac{{{size}}}{{{bottom}}}$",
        rf"{sign}{whole}\frac{{{rest}}}{{{bottom}}}",
    ]
    assert status(f"{top}/{bottom}", f"{sign}{whole} {rest}/{bottom}") == "correct"
    for written in writings:
        assert status(f"{top}/{bottom}", written) == "correct"
        assert status(f"{top + 1}/{bottom}", written) == "wrong"


@given(st.fractions(max_denominator=1000), st.fractions(max_denominator=1000))
def test_exact_numbers_compare_both_ways(one: Fraction, other: Fraction) -> None:
    wanted = "correct" if one == other else "wrong"
    assert status(str(one), str(other)) == status(str(other), str(one)) == wanted


@settings(max_examples=200, deadline=None)
@given(ANY_TEXT, ANY_TEXT)
def test_arbitrary_text_never_raises(gold: str, answer: str) -> None:
    assert decide(gold, answer, POLICY) is not None
    assert isinstance(gold_answer(gold), str)
    assert status(gold, gold) in ("correct", "bad_gold")


NOTATION = (
    r"\frac { } 1 23 0 / . , ; : ( ) [ ] \{ \} \cup \in \mathbb{R} x \sqrt \pi \infty ^ _ $ $$ \% "
    r"° cm km/h \text{ or and 또는 와 개 십 万 分之 分の 시 오후 반 < > = \le \ne \pm | ! ' _8 mod "
    r"\ldots \boxed{ <answer> </think> is 답은 答案是 ** ` ½ ² √ ① ％ （ 、 。 \\ & "
    r"\begin{pmatrix} \overline{ - * e5 PM twelve half not but ٣ 𝟙 İ ㎞ 5e999 \left. \langle"
)
FRAGMENTS = NOTATION.split()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*FRAGMENTS, "\x00", "\ud800"]), max_size=9),
    st.lists(st.sampled_from(FRAGMENTS), max_size=9),
    st.booleans(),
)
def test_mangled_notation_never_raises(gold: list[str], answer: list[str], spaced: bool) -> None:
    joint = " " if spaced else ""
    strict = VerifyPolicy(form="simplified", order="given", interval="strict", tolerance=0)
    for policy in (POLICY, strict):
        assert decide(joint.join(gold), joint.join(answer), policy) is not None
    assert isinstance(gold_answer(joint.join(gold)), str)


HOSTILE = (
    r"一 만 하나 십 1万 一分之 2분의 twenty- 1, 1/ 1: ( { [ $ ** | \{ \cup \pm \text{ \frac{ √( ½ "
    r"sqrt( ^( x=1, x< 1< ° 시간 % ! ' _ & \\ ~ \overline{ 오후 입니다 \mathbb{R} 1e5 (1,2)\cup ﷺ"
)


@pytest.mark.parametrize(
    "pattern", [*HOSTILE.split(), "1 ", "一 ", "two ", "or ", "not ", "about "]
)
def test_what_is_decided_beside_the_workers_comes_back(pattern: str) -> None:
    # No process is killed here, so the rules themselves have to be linear.
    text = pattern * (4090 // len(pattern))
    started = time.monotonic()
    for gold, answer in ((text, "12"), ("12", text), ("x+1", f"{text}1"), (f"{text}1", f"{text}2")):
        decide(gold, answer, POLICY)
    assert time.monotonic() - started < 5
