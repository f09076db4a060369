"""Units, percent signs, money and words are taken off a value, and remembered."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.stages.verify.forms import clock, is_composite, read, without_remark
from r1data.stages.verify.units import UNITS, comparable, parse_unit


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("12", "12", None),
        ("12.", "12", None),
        ("x+1", "x+1", None),
        ("5!", "5!", None),
        ("12...", "12...", None),
        ("1,000", "1000", None),
        ("about 5", "5", None),
        ("five", "5", None),
        ("twenty-one", "21", None),
        ("2 million", "2000000", None),
        ("3만 5천", "35000", None),
        ("負5", "-5", None),
        ("12 (approx)", "12", None),
        ("12개", "12", ""),
        ("약 12명입니다", "12", ""),
        ("¥100", "100", "yen or yuan"),
        ("10 cm", "10", "length"),
        ("3 hours", "3", "time"),
        ("12 kg of rice", "12", "mass"),
        ("5 m^2", "5", "length2"),
        ("5 square meters", "5", "length2"),
        ("90 degrees", "90", "angle"),
        ("-5 °C", "-5", "celsius"),
        ("$5", "5", "dollar"),
        ("-$5", "-5", "dollar"),
        ("1,234.5 원", "1234.5", "won"),
        ("3.5 km/h", "3.5", "length/time"),
        ("시속 60km", "60", "length/time"),
    ],
)
def test_read(text: str, value: str, dimension: str | None) -> None:
    form = read(text)
    assert form.text == value
    assert (form.unit and form.unit.dimension) == dimension
    assert not form.percent


@pytest.mark.parametrize("text", ["5%", r"5\%", "5 percent", "5퍼센트", "5％", "5 pct", "5%."])
def test_a_percent_sign_is_remembered(text: str) -> None:
    form = read(text)
    assert (form.text, form.percent, form.unit) == ("5", True, None)


def test_a_noun_is_remembered() -> None:
    assert read("12 apples").text == "12"
    assert read("12 apples").words == read("3 apples").words != ""
    assert read("12 apples").words != read("12 oranges").words
    assert read("12").words == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3시간 30분", 12600),
        ("1 hour and 30 minutes", 5400),
        ("1 hour 30 minutes", 5400),
        ("2 days 3 hours", 183600),
    ],
)
def test_a_measure_in_several_units_is_one(text: str, seconds: int) -> None:
    form = read(text)
    assert is_composite(text)
    assert form.unit is not None
    assert (form.unit.dimension, Fraction(form.text) * form.unit.factor) == ("time", seconds)


@pytest.mark.parametrize(
    "text", ["5 cm and 3 cm", "30 minutes 1 hour", "3 hours", "1, 2", "5 m 3 kg"]
)
def test_what_is_no_measure_in_several_units(text: str) -> None:
    assert not is_composite(text)


@pytest.mark.parametrize(
    ("text", "minutes", "sure"),
    [
        ("3:30 PM", 930, True),
        ("3:30", 210, False),
        ("15:30", 930, True),
        ("12:00 am", 0, True),
        ("12:00 pm", 720, True),
        ("오후 3시 30분", 930, True),
        ("오전 9시", 540, True),
        ("오후 세시 반", 930, True),
        ("下午3点", 900, True),
        ("午前9時15分", 555, True),
    ],
)
def test_clock(text: str, minutes: int, sure: bool) -> None:
    assert clock(text) == (minutes, sure)


@pytest.mark.parametrize("text", ["12", "25:00", "3:75", "3:4:5:6", "x", "", "3시간"])
def test_what_is_no_time_of_day(text: str) -> None:
    assert clock(text) is None


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("km", "m", 1000),
        ("m", "cm", 100),
        ("hours", "minutes", 60),
        ("dollars", "cents", 100),
        ("m^2", "cm^2", 10_000),
        ("square km", "m^2", 10**6),
        ("cm^3", "ml", 1),
        ("리터", "毫升", 1000),
        ("m/s", "m/min", 60),
        ("yards", "feet", 3),
        ("miles", "yards", 1760),
        ("feet", "inches", 12),
        ("pounds", "ounces", 16),
        ("year", "months", 12),
        ("周", "days", 7),
    ],
)
def test_units_are_what_they_measure(one: str, other: str, ratio: int) -> None:
    first, second = parse_unit(one), parse_unit(other)
    assert first is not None
    assert second is not None
    assert first.dimension == second.dimension != ""
    assert first.factor == ratio * second.factor


@pytest.mark.parametrize("text", ["", "x", "apple pie", "sin", "m/s/s/s" * 20, "()", "cm/parsec"])
def test_what_is_no_unit(text: str) -> None:
    assert parse_unit(text) is None


def test_counters_contradict_nothing() -> None:
    assert not comparable(UNITS["개"], UNITS["cm"])
    assert not comparable(None, UNITS["cm"])
    assert comparable(UNITS["m"], UNITS["cm"])


def test_a_remark_in_brackets_comes_off() -> None:
    assert without_remark("1,000 (one thousand)") == "1,000"
    assert without_remark("f(x)") == "f(x)"
    assert without_remark("2(x+1)") == "2(x+1)"


ENDINGS = ["", "개", "원", " cm", " apples", "%", "km/h", " dollars", "입니다", "度", "人"]


@given(st.decimals(0, 10**9, places=2), st.sampled_from(ENDINGS))
def test_the_value_does_not_depend_on_what_follows(value: object, ending: str) -> None:
    assert Fraction(read(f"{value}{ending}").text) == Fraction(str(value))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_arbitrary_text_has_a_form(text: str) -> None:
    assert isinstance(read(text).text, str)
    parse_unit(text)
    clock(text)
