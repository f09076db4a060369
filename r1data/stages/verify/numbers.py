"""Numbers as people write them: fractions, mixed numbers, and numerals in words.

Korean (Sino-Korean and native), Chinese and Japanese numerals, alone or after Arabic digits
(3만 5천, 1億2千万), and the English number words up to the millions.
"""

import re
from fractions import Fraction

MAX_DIGITS = 4000
_FRACTION = re.compile(
    r"(?P<sign>[+-]?)\s?(?:(?P<whole>\d+)\s*)?"
    r"\\frac\s*\{\s*(?P<a>[+-]?\d+)\s*\}\s*\{\s*(?P<c>[+-]?\d+)\s*\}"
    r"|(?P<sign2>[+-]?)\s?(?:(?P<whole2>\d+)\s+(?:and\s+)?)?(?P<e>\d+)\s*/\s*(?P<f>\d+)"
)
_DECIMAL = re.compile(r"[+-]?\s?(?:\d+\.?\d*|\.\d+)")
_SCIENTIFIC = re.compile(
    r"([+-]?\d+(?:\.\d+)?)\s*(?:\\times|\\cdot|\*|x)\s*10\s?\^\s?\{?\s?(-?\d{1,3})\s?\}?"
    r"|([+-]?\d+(?:\.\d+)?)[eE]([+-]?\d{1,3})"
)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_SPACED_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)")


def rational(text: str) -> tuple[Fraction, bool] | None:
    """Return the exact value of an integer, decimal, fraction or mixed number.

    With it: whether it is an integer or a plain fraction, for which unequal means wrong.
    """
    if len(text) > MAX_DIGITS or not text:
        return None
    if _DECIMAL.fullmatch(text):
        return Fraction(text.replace(" ", "")), "." not in text
    if "frac" not in text and "/" not in text:
        return _scientific(text)
    found = _FRACTION.fullmatch(text)
    if not found:
        return None
    top = int(found["a"] or found["e"])
    bottom = int(found["c"] or found["f"])
    whole = found["whole"] or found["whole2"]
    if bottom == 0 or (whole and not 0 <= top < bottom):
        return None
    value = Fraction(top, bottom) + int(whole or 0)
    return (-value if "-" in (found["sign"], found["sign2"]) else value), True


def _scientific(text: str) -> tuple[Fraction, bool] | None:
    found = _SCIENTIFIC.fullmatch(text)
    if not found:
        return None
    value = Fraction(found[1] or found[3]) * Fraction(10) ** int(found[2] or found[4])
    return value, False


def join_thousands(text: str) -> str:
    """Return a number without its separators of thousands; any other text as it is."""
    if _THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    return text.replace(" ", "") if _SPACED_THOUSANDS.fullmatch(text) else text


def decimal_comma(text: str) -> Fraction | None:
    """Return the value of ``2,74`` read with a decimal comma."""
    found = _DECIMAL_COMMA.fullmatch(text)
    return Fraction(f"{found[1]}.{found[2]}") if found else None


def decimals(text: str) -> int | None:
    """Return the places after the point of a decimal number, None for anything else."""
    if found := _SCIENTIFIC.fullmatch(text):
        mantissa, exponent = found[1] or found[3], int(found[2] or found[4])
        return max(0, len(mantissa.partition(".")[2]) - exponent)
    if not _DECIMAL.fullmatch(text):
        return None
    return len(text.rpartition(".")[2]) if "." in text else 0


def significant_digits(text: str) -> int:
    """Return the significant digits of a decimal number."""
    if found := _SCIENTIFIC.fullmatch(text):
        text = found[1] or found[3]
    return len(text.lstrip("+- ").replace(".", "").lstrip("0"))


_ONES = {
    **dict(zip("零一二三四五六七八九", range(10), strict=True)),
    **dict(zip("〇壱弐参", (0, 1, 2, 3), strict=True)),
    **dict(zip("壹贰叁肆伍陆柒捌玖", range(1, 10), strict=True)),
    "两": 2,
    "兩": 2,
    "仨": 3,
    **dict(zip("영일이삼사오육칠팔구", range(10), strict=True)),
    "공": 0,
    "륙": 6,
}
_TENS = {
    "十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000,
    "십": 10, "백": 100, "천": 1000,
}  # fmt: skip
_MYRIADS = {
    "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8, "兆": 10**12,
    "만": 10**4, "억": 10**8, "조": 10**12,
}  # fmt: skip
_NATIVE = {
    "하나": 1, "한": 1, "둘": 2, "두": 2, "셋": 3, "세": 3, "넷": 4, "네": 4, "다섯": 5,
    "여섯": 6, "일곱": 7, "여덟": 8, "아홉": 9, "열": 10, "스물": 20, "스무": 20, "서른": 30,
    "마흔": 40, "쉰": 50, "예순": 60, "일흔": 70, "여든": 80, "아흔": 90,
}  # fmt: skip
_NATIVE_WORD = re.compile("|".join(sorted(_NATIVE, key=len, reverse=True)))
NATIVE = rf"(?:백\s?)?(?:{_NATIVE_WORD.pattern}){{1,4}}"
SIGNS = "".join(_ONES) + "".join(_TENS) + "".join(_MYRIADS)
NUMERAL = (
    rf"(?:{NATIVE}|[\d.,]{{0,20}}\s?[{SIGNS}](?:[\d.,{SIGNS}]|\s(?=[\d{SIGNS}])){{0,24}}"
    rf"(?:[點点점][{SIGNS}]{{1,24}})?)"
)
_NEGATIVE = re.compile(r"(?:负|負|マイナス|마이너스|음의|minus\b|negative\b)\s*", re.I)
_POINT = re.compile(r"[点點점]")
_TOKEN = re.compile(rf"\d[\d,]*(?:\.\d+)?|[{SIGNS}]")
_ONES_ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS_ENGLISH = "twenty thirty forty fifty sixty seventy eighty ninety"
_ENGLISH = {word: number for number, word in enumerate(_ONES_ENGLISH.split())} | {
    word: 10 * number for number, word in enumerate(_TENS_ENGLISH.split(), start=2)
}
_FRACTIONS = {
    name: bottom
    for bottom, names in enumerate(
        (
            "half halves",
            "third thirds",
            "quarter quarters fourth fourths",
            "fifth fifths",
            "sixth sixths",
            "seventh sevenths",
            "eighth eighths",
            "ninth ninths",
            "tenth tenths",
        ),
        start=2,
    )
    for name in names.split()
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}


def numeral(text: str) -> Fraction | None:
    """Return the value of a number in words (or in words after digits), None if it is none."""
    text = text.strip()
    if negative := _NEGATIVE.match(text):
        value = numeral(text[negative.end() :])
        return -value if value is not None else None
    if not text or len(text) > 60:
        return None
    if text.isascii():
        return _english(text)
    if _NATIVE_WORD.match(text.removeprefix("백").strip()):
        return _native(text)
    head, point, tail = _POINT.split(text, maxsplit=1)[0], _POINT.search(text), ""
    if point:
        tail = "".join(str(_ONES.get(sign, "x")) for sign in text[point.end() :])
        if not tail.isdecimal():
            return None
    value = _positional(head.replace(" ", ""))
    return value if value is None or not tail else value + Fraction(f"0.{tail}")


def _native(text: str) -> Fraction | None:
    total = 100 if text.startswith("백") else 0
    rest = text.removeprefix("백").replace(" ", "")
    values = []
    while found := _NATIVE_WORD.match(rest):
        values.append(_NATIVE[found[0]])
        rest = rest[found.end() :]
    ordered = len(values) == 1 or (len(values) == 2 and values[0] >= 10 > values[1])
    return Fraction(total + sum(values)) if not rest and ordered else None


def _positional(text: str) -> Fraction | None:
    tokens = _TOKEN.findall(text)
    if not tokens or "".join(tokens) != text:
        return None
    total = section = Fraction(0)
    number: Fraction | None = None
    last_small, last_big = 10**4, 10**16
    for token in tokens:
        if token[0].isdecimal():
            if number is not None:
                return None
            number = Fraction(token.replace(",", ""))
        elif token in _ONES:
            number = Fraction(_ONES[token]) + (0 if number is None else number * 10)
        elif token in _TENS:
            if _TENS[token] >= last_small and section:
                return None
            last_small = _TENS[token]
            section += (1 if number is None else number) * _TENS[token]
            number = None
        else:
            if _MYRIADS[token] >= last_big:
                return None
            last_big, last_small = _MYRIADS[token], 10**4
            section += number or 0
            total += (section or 1) * _MYRIADS[token]
            section, number = Fraction(0), None
    return total + section + (number or 0)


def _english(text: str) -> Fraction | None:
    words = re.findall(r"[a-z]+", text.lower().replace("-", " "))
    words = [word for word in words if word != "and"]
    if len(words) == 2 and words[1] in _FRACTIONS and words[0] in _ENGLISH | {"a": 1, "an": 1}:
        return Fraction(_ENGLISH.get(words[0], 1), _FRACTIONS[words[1]])
    if not words or any(word not in _ENGLISH and word not in _SCALES for word in words):
        return None
    if re.search(r"[^A-Za-z\s-]", text):
        return None
    total = section = 0
    for word in words:
        if word in _ENGLISH:
            tens = section % 100
            if tens and not (tens >= 20 and tens % 10 == 0 and 0 < _ENGLISH[word] < 10):
                return None  # "two three" is no number
            section += _ENGLISH[word]
        elif word == "hundred":
            if section >= 100:
                return None
            section = (section or 1) * 100
        else:
            total, section = total + (section or 1) * _SCALES[word], 0
    return Fraction(total + section)


_LONGEST = 400
_PARTS = re.compile(
    rf"(?P<bottom>\d+|{NUMERAL})\s*(?:분의|분지|分之|分の)\s*(?P<top>\d+|{NUMERAL})"
)
_MIXED = re.compile(rf"(?P<whole>\d+|{NUMERAL})\s*(?:와|과|又|と)\s*(?=\d+\s?/\s?\d+(?!\d))")
_HUNDREDTH = re.compile(rf"(?:百分之|백분의)\s*(?P<top>\d+(?:\.\d+)?|{NUMERAL})")


def spell_out(text: str) -> str:
    """Return the text with fractions in Korean, Chinese or Japanese words as ``a/b`` or ``a%``."""
    if text.isascii() or len(text) > _LONGEST:
        return text
    if found := _HUNDREDTH.fullmatch(text):
        value = _value(found["top"])
        return text if value is None else f"{plain(value)}%"
    parts = _PARTS.search(text)
    if parts:
        top, bottom = _value(parts["top"]), _value(parts["bottom"])
        if top is not None and bottom:
            text = f"{text[: parts.start()]}{plain(top)}/{plain(bottom)}{text[parts.end() :]}"
    if found := _MIXED.match(text):
        whole = _value(found["whole"])
        if whole is not None:
            text = f"{plain(whole)} {text[found.end() :]}"
    return text


def _value(text: str) -> Fraction | None:
    return Fraction(text) if re.fullmatch(r"\d+(?:\.\d+)?", text) else numeral(text)


def plain(value: Fraction) -> str:
    """Return a value as an integer, a finite decimal or a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    bottom, places = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while bottom % prime == 0:
            bottom, count = bottom // prime, count + 1
        places = max(places, count)
    if bottom != 1 or places > 12:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
