"""Numbers in digits and in words."""

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from r1data.stages.verify.numbers import join_thousands, numeral, plain, rational, spell_out

KOREAN, CHINESE = "영일이삼사오육칠팔구", "零一二三四五六七八九"
ONES_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
ONES = ONES_WORDS.split()
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NATIVE_ONES = ["", "하나", "둘", "셋", "넷", "다섯", "여섯", "일곱", "여덟", "아홉"]
NATIVE_TENS = ["", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔"]


def korean(number: int, one: bool = False) -> str:
    """Return Sino-Korean words; ``one`` writes 일만 for 만."""
    words = ""
    for scale, name in ((10**8, "억"), (10**4, "만"), (1, "")):
        part = number // scale % 10**4
        section = "".join(
            ("" if digit == 1 and unit else KOREAN[digit]) + unit
            for unit, digit in zip(("천", "백", "십", ""), map(int, f"{part:04}"), strict=True)
            if digit
        )
        bare = name == "만" and part == 1 and not words and not one
        words += ("" if bare else section) + name if part else ""
    return words or "영"


def chinese(number: int) -> str:
    words, gap = "", False
    for scale, name in ((10**8, "亿"), (10**4, "万"), (1, "")):
        part = number // scale % 10**4
        if not part:
            gap = gap or bool(words)
            continue
        words += "零" if words and (gap or part < 1000) else ""
        section, zero, gap = "", False, False
        for unit, digit in zip(("千", "百", "十", ""), map(int, f"{part:04}"), strict=True):
            if digit:
                section += ("零" if zero and section else "") + CHINESE[digit] + unit
            zero = not digit
        words += section + name
    return (words.removeprefix("一") if words.startswith("一十") else words) or "零"


def english(number: int) -> str:
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f"-{ONES[number % 10]}" if number % 10 else "")
    for scale, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= scale:
            rest = f" {english(number % scale)}" if number % scale else ""
            return f"{english(number // scale)} {name}{rest}"
    raise AssertionError(number)


# As many figures as there are orders of magnitude, and round numbers among them.
NUMBERS = st.integers(0, 8).flatmap(
    lambda zeros: st.integers(0, 10**8 // 10**zeros).map(lambda value: value * 10**zeros)
)


@example(10**8)
@example(10_010_001)
@given(NUMBERS)
def test_korean_words(number: int) -> None:
    assert numeral(korean(number)) == numeral(korean(number, one=True)) == number


@example(10**8)
@example(10_010_001)
@given(NUMBERS)
def test_chinese_words(number: int) -> None:
    assert numeral(chinese(number)) == number


@given(st.integers(0, 9999) | st.integers(1, 99).map(lambda number: number * 10**6))
def test_english_words(number: int) -> None:
    assert numeral(english(number)) == numeral(english(number).replace("-", " ").title()) == number


def test_the_generators_are_right() -> None:
    assert [korean(n) for n in (0, 12, 10_000, 120_305)] == ["영", "십이", "만", "십이만삼백오"]
    assert korean(10_000, one=True) == "일만"
    assert [chinese(n) for n in (12, 105, 10_010_001)] == ["十二", "一百零五", "一千零一万零一"]
    assert english(21_305) == "twenty-one thousand three hundred five"


@pytest.mark.parametrize("number", range(1, 100))
def test_native_korean_words(number: int) -> None:
    words = NATIVE_TENS[number // 10] + NATIVE_ONES[number % 10]
    assert numeral(words) == number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("한", 1),
        ("스무", 20),
        ("백열두", 112),
        ("3만 5천", 35_000),
        ("1억2千万", 120_000_000),
        ("1.5만", 15_000),
        ("两百", 200),
        ("二〇二五", 2025),
        ("贰佰", 200),
        ("三点一四", Fraction(314, 100)),
        ("삼점일사", Fraction(314, 100)),
        ("负五", -5),
        ("마이너스 오", -5),
        ("マイナス三", -3),
        ("minus five", -5),
        ("one half", Fraction(1, 2)),
        ("two thirds", Fraction(2, 3)),
        ("twelve hundred", 1200),
        ("one hundred and five", 105),
    ],
)
def test_numeral(text: str, value: Fraction | int) -> None:
    assert numeral(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "apple",
        "and",
        "two x",
        "十百",
        "백백",
        "스물열",
        "열하나둘",
        "만억만",
        "一a",
    ],
)
def test_what_is_no_numeral(text: str) -> None:
    assert numeral(text) is None


@pytest.mark.parametrize(
    ("text", "value", "exact"),
    [
        ("12", 12, True),
        ("-12", -12, True),
        ("+12", 12, True),
        ("007", 7, True),
        ("1/2", Fraction(1, 2), True),
        (r"\frac{1}{2}", Fraction(1, 2), True),
        (r"-\frac{2}{4}", Fraction(-1, 2), True),
        (r"\frac{-1}{2}", Fraction(-1, 2), True),
        ("0.5", Fraction(1, 2), False),
        (".5", Fraction(1, 2), False),
        ("2 1/2", Fraction(5, 2), True),
        ("2 and 1/2", Fraction(5, 2), True),
        ("-2 1/2", Fraction(-5, 2), True),
        (r"2\frac{1}{2}", Fraction(5, 2), True),
        ("1e3", 1000, False),
        (r"1.5\times 10^{3}", 1500, False),
        (r"3\cdot 10^{-2}", Fraction(3, 100), False),
    ],
)
def test_rational(text: str, value: Fraction | int, exact: bool) -> None:
    assert rational(text) == (value, exact)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1/0",
        r"\frac{1}{0}",
        "1,2",
        "1.2.3",
        "2 5/2",
        "1 2",
        "--1",
        "9" * 5000,
        "1e9999",
        "1/",
    ],
)
def test_what_is_no_number(text: str) -> None:
    assert rational(text) is None


@given(st.fractions())
def test_plain_is_read_back(value: Fraction) -> None:
    found = rational(plain(value))
    assert found is not None
    assert found[0] == value


@given(st.integers(1, 10**15))
def test_separators_of_thousands(number: int) -> None:
    assert join_thousands(f"{number:,}") == str(number)
    assert join_thousands(f"{number:,}".replace(",", " ")) == str(number)


@pytest.mark.parametrize("text", ["1,2", "12,34", "0,123", "1,0000", "1,000,00", "x", "1, 000"])
def test_what_has_no_separators_of_thousands(text: str) -> None:
    assert join_thousands(text) == text


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("4분의 3", "3/4"),
        ("사분의 삼", "3/4"),
        ("四分之三", "3/4"),
        ("4分の3", "3/4"),
        ("百分之五十", "50%"),
        ("백분의 오", "5%"),
        ("2와 1/2", "2 1/2"),
        ("사과", "사과"),
        ("3/4", "3/4"),
    ],
)
def test_spell_out(text: str, spelt: str) -> None:
    assert spell_out(text) == spelt


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_arbitrary_text_never_raises(text: str) -> None:
    for read in (numeral, rational, spell_out, join_thousands):
        read(text)
