"""One answer without structure: a value, with its unit, percent sign and words taken off it."""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from r1data.stages.verify.latex import tidy
from r1data.stages.verify.numbers import (
    NUMERAL,
    join_thousands,
    numeral,
    plain,
    rational,
    spell_out,
)
from r1data.stages.verify.units import PREFIXES, UNITS, Unit, parse_unit, resolved


class Form(NamedTuple):
    """An answer brought to a form that can be compared."""

    text: str
    unit: Unit | None
    percent: bool
    words: str
    """Words after the number that are no known unit, taken off it."""


_TRAILING = " \t\n,;:\\"
_PERCENT = re.compile(
    r"(.*?)\s*(?:%|퍼센트|프로|(?:\b|(?<=\d))(?:per\s?cent(?:age)?|pct)|パーセント|百分点)"
    r"(?:\s+of\s+[a-z ]+)?",
    re.DOTALL | re.I,
)
_PREFIX = re.compile(r"([+-]?)\s*([$€₩¥£₹])\s*([+-]?)(?=[\d.\\(])")
_APPROXIMATE = re.compile(
    r"(?:\\approx|\\sim|≈|~|about|approximately|approx\.?|roughly|around|nearly|exactly|just|only"
    r"|a total of|total|약|대략|총|모두|전부|합계|大约|约|約|大約|共|一共|总共|およそ|合計)"
    r"\s*(?=[-+\d\\$€₩¥£.(零一二三四五六七八九十百千万两영일이삼사오육칠팔구십백천만])",
    re.I,
)
_TAIL = re.compile(
    r"(?:(?<=[\d})\]!'])|(?<=\\pi))\s*(?=[^\W\d_]|°|\\pi\s?[A-Za-z]|\\mu|[$€₩¥£¢])|(?<=°)(?=[CF])"
)
_NUMBER = (
    r"[+-]?\s?(?:(?:\d+\s+)?\\frac\s?\{[^{}]*\}\s?\{[^{}]*\}|\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?"
    r"|\d*\\sqrt\{\d+\})"
)
_WORDS = re.compile(
    rf"(?P<core>{_NUMBER})\s*"
    r"(?P<words>\(?[A-Za-z]{2,}(?:[ '-][A-Za-z]+)*\)?|[가-힣 ]+|[一-鿿ぁ-ヿ]+)"
)
_NOT_A_NOUN = re.compile(
    r"\b(?:am|pm|or|and|more|less|mod|to|pi|sqrt|sin|cos|tan|log|ln|exp|if|when|than|remainder|[ap]\.m"
    r"|hundred|thousand|(?:m|b|tr)illion|bn|lakh|crore|dozen|squared|cubed|factorial|halves|\w+ths?|thirds?"
    r"|quarters|plus|minus|times|divided|over|below|above|under|before|after|between|not|no|never|wrong"
    r"|false|incorrect|except|base|percent|power|negative|without|degrees below)\b"
    r"|이상|이하|미만|초과|또는|아님|아니|아닌|보다|제곱|세제곱|배|음수|반|以上|以下|或|未満|超|小于|大于|平方|立方"
    r"|倍|不|错|错误|半|より|ではない"
)
_SCALED = re.compile(r"([+-]?\d[\d,]*(?:\.\d+)?)\s+(hundred|thousand|million|billion)\b", re.I)
_SCALE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_NUMERAL_START = re.compile(NUMERAL)
_PART = re.compile(r"\s*([\d.]+(?:\s?/\s?\d+)?)\s*([^\W\d_]+)\.?\s*(?:,|and|그리고)?")
_CLOCK = re.compile(
    r"(?P<early>오전|午前|上午|早上)?(?P<late>오후|午後|下午|晚上)?\s*(?P<hour>\d{1,2})\s*"
    r"(?:(?::|시|時|时|点)\s*(?:(?P<half>반|半)|(?P<minute>\d{1,2})\s*(?:분|分)?)?)?"
    r"(?P<second>:\d{2})?\s*(?P<half_day>[ap]\.?\s?m\.?)?",
    re.I,
)
_HOUR_WORD = re.compile(rf"({NUMERAL})\s?([시時时点])")
_COPULA = re.compile(r"(?<=[\d%가-힣\s\w}])(?:입니다|이다|이에요|예요|이예요|です|である|だ)$")
_CUT_OFF = re.compile(r"(?<=\.\d{3})(\d*)\.\.\.$")
_MEASURED = re.compile(r"\d{2,}|\d+\.\d+")
_VARIABLE = re.compile(r"(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])")
_TRIGONOMETRIC = re.compile(r"(?:sin|cos|tan|cot|sec|csc)")
_REMARK = re.compile(
    r"(?:(?<=[\d})%])\s*|(?<=[a-z])\s+)"
    r"\((?=[^()\d]*[A-Za-z가-힣一-鿿]{2})[^()\d]*\)$"
)
_ENGLISH_START = re.compile(
    r"(?:(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty"
    r"|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million)(?![A-Za-z])[\s-]?"
    r"(?:and\s)?)+",
    re.I,
)
_HOURLY = re.compile(r"(?:시속|時速|时速)\s*(?=[\d.])")
_MINUTE = UNITS["분"]


@lru_cache(maxsize=1 << 14)
def read(text: str) -> Form:
    """Return the comparable form of an answer (see `Form`); the text need not be tidy."""
    return split(tidy(text))


def split(text: str) -> Form:
    """Return the form of tidy text: percent, money, units, counters and words taken off."""
    text = _ending_stripped(text.strip()).lstrip(" :")
    if text.isdecimal():
        return Form(text, None, False, "")
    text = _CUT_OFF.sub(r"\1", text)
    text = _APPROXIMATE.sub("", text, count=1) if _APPROXIMATE.match(text) else text
    text = _COPULA.sub("", text).rstrip() if not text.isascii() else text
    text = _HOURLY.sub("", text) + "/h" if _HOURLY.match(text) else text
    text = _numerals(spell_out(text))
    currency = None
    if prefix := _PREFIX.match(text):
        currency = PREFIXES[prefix[2]]
        text = prefix[1] + prefix[3] + text[prefix.end() :]
    percent = False
    if ending := _PERCENT.fullmatch(text):
        text, percent = ending[1].rstrip("\\ "), True
    text, unit, words = _split_unit(_scaled(text))
    return Form(join_thousands(text.strip()), unit or currency, percent, words)


def _ending_stripped(text: str) -> str:
    """Take off closing punctuation (never an ellipsis or a factorial) and a remark in brackets."""
    text = text.rstrip(_TRAILING)
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip(_TRAILING)
    return without_remark(text)


def _numerals(text: str) -> str:
    """Write a leading number in words (십이, 三千五百元, twelve apples) in digits."""
    if text.isascii():
        if (whole := numeral(text)) is not None:
            return plain(whole)
        found = _ENGLISH_START.match(text)
        value = numeral(found[0].strip(" -")) if found else None
        return text if found is None or value is None else f"{plain(value)} {text[found.end() :]}"
    found = _NUMERAL_START.match(text)
    if not found:
        return text
    for end in range(found.end(), 0, -1):
        head, rest = text[:end], text[end:]
        known = not rest.strip() or parse_unit(rest) or _PERCENT.fullmatch("1" + rest)
        if known and (value := numeral(head)) is not None:
            return plain(value) + rest
    return text


def _scaled(text: str) -> str:
    found = _SCALED.match(text)
    if not found:
        return text
    value = Fraction(found[1].replace(",", "")) * _SCALE[found[2].lower()]
    return plain(value) + text[found.end() :]


def _split_unit(text: str) -> tuple[str, Unit | None, str]:
    if measured := _composite(text):
        return measured
    for place in _TAIL.finditer(text):
        core, tail = text[: place.start()], text[place.end() :]
        unit = parse_unit(tail.removeprefix("\\"))
        # A lone letter that touches its number is a variable more often than a unit, and the
        # degrees of a sine belong to its argument.
        touches = place.start() == place.end() and len(tail) == 1 and tail.isascii()
        variable = touches and tail.isalpha() and not _MEASURED.fullmatch(core)
        # So does a letter after letters: pi r^2 h has no hours.
        variable = variable or (len(tail) == 1 and bool(_VARIABLE.search(core)))
        if (
            unit
            and not variable
            and not (unit.dimension == "angle" and _TRIGONOMETRIC.search(core))
        ):
            return core, unit, ""
        if place.start() > 200:
            break
    named = _WORDS.fullmatch(text)
    if named and any(parse_unit(word) for word in named["words"].split()[:1]):
        return named["core"], Unit(f"?{named['words']}"), ""  # kg m is not kg
    if named and not _NOT_A_NOUN.search(named["words"]):
        return named["core"], None, named["words"].strip(" ()").casefold().rstrip("s")
    return text, None, ""


def without_remark(text: str) -> str:
    """Return ``1,000 (one thousand)`` without what the brackets add, unless they change it."""
    found = _REMARK.search(text)
    if found is None:
        return text
    said = found[0].strip(" ()")
    before = text[: found.start()]
    if (spelt := numeral(said)) is not None:
        value = rational(join_thousands(before))
        return before if value and value[0] == spelt else text
    return text if _NOT_A_NOUN.search(said) else before


def is_composite(text: str) -> bool:
    """Return whether a text is one measure in several units: ``1 hour and 30 minutes``."""
    return _composite(text) is not None


def _composite(text: str) -> tuple[str, Unit, str] | None:
    """Read ``3시간 30분`` or ``5 feet 3 inches`` as one measure, in base units."""
    place, total, first, parts = 0, Fraction(0), None, 0
    while found := _PART.match(text, place):
        unit = UNITS.get(found[2]) or UNITS.get(found[2].lower())
        unit = resolved(unit, _MINUTE)
        if unit is None or not unit.dimension or (first and unit.dimension != first.dimension):
            return None
        value = rational(found[1].replace(" ", ""))
        if value is None or (first and unit.factor >= first.factor and parts):
            return None
        first = first or unit
        total += value[0] * unit.factor
        place, parts = found.end(), parts + 1
    if place < len(text) or first is None or parts < 2:
        return None
    return plain(total), Unit(first.dimension), ""


def clock(text: str) -> tuple[int, bool] | None:
    """Return the minutes after midnight of a time of day, and whether its half of the day is sure.

    None unless the text is one: ``3:30 PM``, ``오후 3시 30분``, ``15:30``.
    """
    text = _HOUR_WORD.sub(lambda found: plain(numeral(found[1]) or Fraction(0)) + found[2], text)
    found = _CLOCK.fullmatch(text.strip(" ."))
    if not found or not re.search(r"[:시時时点]|[ap]\.?\s?m", text, re.I):
        return None
    hour, minute = int(found["hour"]), 30 if found["half"] else int(found["minute"] or 0)
    if hour > 24 or minute > 59:
        return None
    half_day = (found["half_day"] or "").lower()
    late, early = (
        bool(found["late"]) or half_day[:1] == "p",
        bool(found["early"]) or (half_day[:1] == "a"),
    )
    if late and hour < 12:
        hour += 12
    if early and hour == 12:
        hour = 0
    return hour * 60 + minute, late or early or hour > 12
