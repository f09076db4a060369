import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.stages.verify.approximate import plainly_differ, rough


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+3*4", 14.0),
        ("-3^2", -9.0),
        (r"\frac{1}{2}", 0.5),
        (r"2\sqrt{9}", 6.0),
        (r"\sqrt[3]{8}", 2.0),
        (r"3\pi/4", 3 * math.pi / 4),
        ("2(3+4)", 14.0),
        ("(1+2)(3-1)", 6.0),
        ("2^{-1}", 0.5),
        ("e^2", math.e**2),
        ("6/2*3", 9.0),
        ("1.5-.5", 1.0),
    ],
)
def test_rough_values(text: str, value: float) -> None:
    found = rough(text)
    assert found is not None
    assert found[0] == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    ["", "1/0", r"\sqrt{-1}", r"\sin x", "x=3", "(1", "1)", "9^{9^9}", "2i", "x+C", "1,2", "^"],
)
def test_what_has_no_rough_value(text: str) -> None:
    assert rough(text) is None


def test_letters_must_be_the_same_to_differ() -> None:
    assert plainly_differ("6r^2-4r-24", "6r^2-4r-29")
    assert not plainly_differ("(x-2)^2(x+2)", "x^3-2x^2-4x+8")
    assert not plainly_differ("x+1", "y+5")
    assert not plainly_differ(r"\sqrt{2}", "1.41")


@given(st.integers(-999, 999), st.integers(1, 99), st.integers(1, 99))
def test_equal_values_never_differ(top: int, bottom: int, factor: int) -> None:
    one = rf"\frac{{{top}}}{{{bottom}}}"
    assert not plainly_differ(one, f"{top * factor}/({bottom * factor})")


@given(st.text(max_size=60))
def test_nothing_raises(text: str) -> None:
    rough(text)
