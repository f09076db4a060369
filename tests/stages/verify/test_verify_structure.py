"""The shape of an answer, told from its text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.verify.latex import tidy
from r1data.stages.verify.structure import (
    Group,
    Leaf,
    Node,
    Relation,
    Union,
    parse_answer,
    split_list,
)

PAIR = ("tuple", "1", "2")


def shape(node: Node) -> Any:
    """Return a leaf's text, a relation's pieces joined, and the kind and members of all else."""
    if isinstance(node, Leaf):
        return node.text
    if isinstance(node, Relation):
        pairs = zip(node.sides, (*node.signs, ""), strict=True)
        return " ".join(part for pair in pairs for part in pair).rstrip()
    if isinstance(node, Union):
        return (node.sign, *map(shape, node.parts))
    return (node.kind, *map(shape, node.items))


@pytest.mark.parametrize(
    "text",
    [
        "12", "x+1", "1,000", "1,234,567.5", "f(1,2)", "C(5,2)", "1 hour and 30 minutes", "Anna",
        r"\frac{1}{2}", "1,2,...", "1,2,...,10", r"\max(1,2)", "10_8", "3:4",
    ],
)  # fmt: skip
def test_leaves(text: str) -> None:
    assert parse_answer(text) == Leaf(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1,2", ("list", "1", "2")),
        ("1, 2, and 3", ("list", "1", "2", "3")),
        ("1;2", ("list", "1", "2")),
        ("1 or 2", ("list", "1", "2")),
        ("1 and 2", ("list", "1", "2")),
        ("1 또는 2", ("list", "1", "2")),
        ("1和2", ("list", "1", "2")),
        ("1과 2", ("list", "1", "2")),
        ("(1,2)", ("tuple", "1", "2")),
        ("(1;2)", ("tuple", "1", "2")),
        (r"\langle 1,2\rangle", ("tuple", "1", "2")),
        ("(1,000)", ("tuple", "1", "000")),
        ("(1,(2,3))", ("tuple", "1", ("tuple", "2", "3"))),
        ("(1,2),(3,4)", ("list", ("tuple", "1", "2"), ("tuple", "3", "4"))),
        (r"\{1,2\}", ("set", "1", "2")),
        ("{1,2}", ("set", "1", "2")),
        (r"\{(1,2),(3,4)\}", ("set", ("tuple", "1", "2"), ("tuple", "3", "4"))),
        ("[1,2)", ("interval", "1", "2")),
        ("(1,2]", ("interval", "1", "2")),
        ("[1,2]", ("interval", "1", "2")),
        ("[1,2,3]", ("tuple", "1", "2", "3")),
        ("((((1))))", "1"),
        ("{12}", "12"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", ("tuple", "1", "2")),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", ("tuple", PAIR, ("tuple", "3", "4"))),
        (r"(1,2)\cup(3,4)", ("cup", ("tuple", "1", "2"), ("tuple", "3", "4"))),
        (r"\mathbb{R}\setminus\{2\}", ("setminus", r"\mathbb{R}", ("set", "2"))),
        ("x=1", "x = 1"),
        ("1<x<2", "1 < x < 2"),
        (r"x \in (1,2)", r"x \in (1,2)"),
        ("x=1, 2", ("list", "x = 1", "x = 2")),
        ("x=1, y=2", ("list", "x = 1", "y = 2")),
        ("x=1,y=2 or x=3,y=4", ("list", ("tuple", "x = 1", "y = 2"), ("tuple", "x = 3", "y = 4"))),
        (r"\{x|x>3\}", "x > 3"),
        (r"\{x \in \mathbb{R} : 1<x<2\}", "1 < x < 2"),
        (r"k\pi, k\in\mathbb{Z}", r"k\pi"),
        (r"k\pi, where k is an integer", r"k\pi"),
        ("", ""),
        ("()", ""),
    ],
)  # fmt: skip
def test_shapes(text: str, wanted: Any) -> None:
    assert shape(parse_answer(tidy(text))) == wanted


@pytest.mark.parametrize("text", [r"\pm 2", r"1\pm\sqrt{2}", r"2 \pm 3i"])
def test_plus_minus_is_two_answers(text: str) -> None:
    node = parse_answer(text)
    assert isinstance(node, Group)
    assert (node.kind, len(node.items)) == ("list", 2)
    assert node.items[0] != node.items[1]


def test_plus_minus_in_a_tuple_is_two_tuples() -> None:
    node = parse_answer(r"(\pm 1,0)")
    assert isinstance(node, Group)
    assert [shape(item)[0] for item in node.items] == ["tuple", "tuple"]
    assert [shape(item)[2] for item in node.items] == ["0", "0"]


@given(st.lists(st.integers(-999, 999), min_size=2, max_size=12), st.sampled_from([",", ", ", ";"]))
def test_members_are_kept_in_order(numbers: list[int], comma: str) -> None:
    written = list(map(str, numbers))
    inside = comma.join(written)
    assert shape(parse_answer(f"({inside})")) == ("tuple", *written)
    assert shape(parse_answer(rf"\{{{inside}\}}")) == ("set", *written)
    short = [str(number % 100) for number in numbers]  # 1,234 is one number
    assert shape(parse_answer((comma).join(short))) == ("list", *short)


@given(st.integers(1000, 10**12))
def test_separators_of_thousands_make_no_list(number: int) -> None:
    assert split_list(f"{number:,}") == [f"{number:,}"]
    assert split_list(f"{number:,} km") == [f"{number:,} km"]


@settings(max_examples=300, deadline=None)
@given(st.text("()[]{}\\,;|<>=±∪xyk12 .:orand\n&", max_size=40))
def test_arbitrary_text_has_a_shape(text: str) -> None:
    shape(parse_answer(tidy(text)))


@pytest.mark.parametrize("pattern", ["(", "[1,", "{", "((1),", "x=1,", "or ", r"\{", "<", r"\pm"])
def test_deep_and_long_answers_come_back(pattern: str) -> None:
    parse_answer(pattern * (4000 // len(pattern)))
