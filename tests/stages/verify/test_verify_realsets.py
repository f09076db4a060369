"""Intervals, inequalities and set-builders are read into the same sets of reals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.verify.latex import tidy
from r1data.stages.verify.realsets import Piece, RealSet, real_set
from r1data.stages.verify.structure import parse_answer


def read(text: str) -> RealSet | None:
    return real_set(parse_answer(tidy(text)))


def pieces(text: str) -> tuple[Piece, ...]:
    found = read(text)
    assert found is not None
    return found.pieces


ABOVE = Piece("3", False, None, False)
FROM = Piece("3", True, None, False)
OPEN = Piece("1", False, "2", False)
CLOSED = Piece("1", True, "2", True)


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("x>3", ABOVE),
        ("3<x", ABOVE),
        ("t > 3", ABOVE),
        (r"(3,\infty)", ABOVE),
        (r"(3,+\infty)", ABOVE),
        (r"x\in(3,\infty)", ABOVE),
        (r"\{x | x>3\}", ABOVE),
        (r"\{x \in \mathbb{R} : x>3\}", ABOVE),
        (r"x\ge 3", FROM),
        ("x >= 3", FROM),
        ("3 ≤ x", FROM),
        (r"[3,\infty)", FROM),
        ("x<3", Piece(None, False, "3", False)),
        (r"(-\infty,3)", Piece(None, False, "3", False)),
        (r"(-\infty,3]", Piece(None, False, "3", True)),
        (r"x\le 3", Piece(None, False, "3", True)),
        ("1<x<2", OPEN),
        ("2>x>1", OPEN),
        ("(1,2)", OPEN),
        (r"x\in(1,2)", OPEN),
        (r"1\le x\le 2", CLOSED),
        ("[1,2]", CLOSED),
        (r"1\le x<2", Piece("1", True, "2", False)),
        ("[1,2)", Piece("1", True, "2", False)),
        ("(1,2]", Piece("1", False, "2", True)),
        ("|x|<3", Piece("-3", False, "3", False)),
        ("x>1 and x<3", Piece("1", False, "3", False)),
        (r"\mathbb{R}", Piece(None, False, None, False)),
        ("all real numbers", Piece(None, False, None, False)),
        ("모든 실수", Piece(None, False, None, False)),
        (r"(-\infty,\infty)", Piece(None, False, None, False)),
    ],
)
def test_one_piece(text: str, piece: Piece) -> None:
    assert pieces(text) == (piece,)


@pytest.mark.parametrize(
    "text",
    [
        r"(-\infty,1)\cup(3,\infty)",
        "x<1 or x>3",
        "x<1 또는 x>3",
        r"x\in(-\infty,1)\cup(3,\infty)",
    ],
)
def test_two_pieces(text: str) -> None:
    assert set(pieces(text)) == {Piece(None, False, "1", False), Piece("3", False, None, False)}


@pytest.mark.parametrize(
    "text",
    [
        r"x\ne 2",
        r"(-\infty,2)\cup(2,\infty)",
        r"\mathbb{R}\setminus\{2\}",
        "all real numbers except 2",
        "x≠2",
    ],
)
def test_the_line_without_a_point(text: str) -> None:
    assert pieces(text) == (Piece(None, False, "2", False), Piece("2", False, None, False))


@pytest.mark.parametrize("text", ["(1,2)", r"\{1,2\}"])
def test_what_may_be_a_point_or_list_is_not_surely_a_set(text: str) -> None:
    found = read(text)
    assert found is not None
    assert not found.explicit


@pytest.mark.parametrize("text", ["[1,2)", "1<x<2", r"(3,\infty)", r"x\in(1,2)", r"\emptyset"])
def test_what_is_surely_a_set(text: str) -> None:
    found = read(text)
    assert found is not None
    assert found.explicit


@pytest.mark.parametrize("text", ["12", "1,2", "x+1", "x=3", "(1,2,3)", "Anna", "x+y>3", "a<b", ""])
def test_what_is_no_set_of_reals(text: str) -> None:
    assert read(text) is None


@given(st.integers(-99, 99), st.integers(1, 99), st.booleans(), st.booleans())
def test_an_interval_is_its_inequality(low: int, width: int, left: bool, right: bool) -> None:
    high = low + width
    interval = f"{'[' if left else '('}{low},{high}{']' if right else ')'}"
    below = [r"\le" if left else "<", r"\le" if right else "<"]
    above = [r"\ge" if right else ">", r"\ge" if left else ">"]
    chain = f"{low} {below[0]} x {below[1]} {high}"
    turned = f"{high} {above[0]} x {above[1]} {low}"
    wanted = (Piece(str(low), left, str(high), right),)
    assert pieces(interval) == pieces(chain) == pieces(turned) == wanted


@settings(max_examples=300, deadline=None)
@given(st.text("()[]{}\\,|<>=≤≠∪∈∞R±xy12 .-or", max_size=30))
def test_arbitrary_text_never_raises(text: str) -> None:
    read(text)
