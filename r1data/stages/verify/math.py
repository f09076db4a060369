"""Mathematical answers: what can be decided without sympy, and what may be shown to sympy at all.

The fast path says "wrong" only where both sides are integers or plain fractions; a decimal may be
a rounding, and everything else is for the worker. The policy's flags say where graders differ.
"""

import re
import unicodedata
from fractions import Fraction
from typing import Literal, NamedTuple

from r1data.core.records import Status
from r1data.core.stage import Config
from r1data.stages.verify.extract import Extract, strip_delimiters
from r1data.stages.verify.units import UNITS, Unit, unit_power


class VerifyPolicy(Config):
    """What counts as an answer, and as the same answer."""

    extract: Extract = "any"
    """any: boxes, answer tags, answer phrases, the last number; marked: boxes and tags alone."""
    percent: Literal["any", "hundredth"] = "any"
    """Whether 50% equals both 50 and 0.5 (any) or 0.5 alone (hundredth)."""


class Form(NamedTuple):
    """An answer brought to a form that can be compared."""

    text: str
    unit: Unit | None
    percent: bool
    words: str
    """Words after the number that are no known unit, taken off it."""


class Decided(NamedTuple):
    """A status that needed no sympy."""

    status: Status
    method: str


class Pair(NamedTuple):
    """What the worker has to compare."""

    gold: str
    answer: str


MAX_LENGTH = 4096
_MAX_NESTING = 64
_MAX_DIGITS = 256
_MAX_ITEMS = 256
_MAX_EXPONENT = 10_000
_MAX_FACTORIAL = 1000

_SPACES = re.compile(r"\\(?:[,;:! ]|quad\b|qquad\b|thinspace\b)|~")
_THIN_THOUSANDS = re.compile(r"(?<=\d)(?:\\[,;:! ]|\{,\}|~)+(?=\d{3}(?!\d))")
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}"
)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_TRAILING = " \t\n.。,、;:!"
_UNIT_NAMES = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_UNIT = re.compile(
    rf"(?P<core>.*[\d}})π])(?P<gap>\s*)\\?(?P<square>square |cubic )?(?P<unit>{_UNIT_NAMES})"
    r"(?:\s*\^?\{?(?P<power>[23])\}?)?",
    re.DOTALL | re.IGNORECASE,
)
_WORDS = re.compile(
    r"(?:약|총|모두|about|total)?\s*(?P<core>[+-]?\d[\d,]*(?:\.\d+)?(?:/\d+)?)\s*"
    r"(?P<words>[A-Za-z]{2,}(?: [A-Za-z]+)*|[가-힣 ]+|[一-鿿]+)"
)
_NOT_A_NOUN = re.compile(
    r"\b(?:am|pm|or|and|more|less|mod|to|pi|sqrt|sin|cos|tan|log|ln|exp|if|when|than)\b"
    r"|이상|이하|미만|초과|또는|以上|以下|或"
)
# Words of two letters or more and whole numbers: no operator, variable, LaTeX or list comma.
_PLAIN_WORDS = re.compile(r"(?:\d+|[^\W\d_]{2,})(?: (?:\d+|[^\W\d_]{2,}))+")
_CURRENCY = {"$": "dollar", "€": "euro", "₩": "won", "¥": "yuan", "￥": "yuan"}
_FRACTION = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<whole>\d+)\s*)?"
    r"(?:\\[dt]?frac\s*(?:\{\s*(?P<a>-?\d+)\s*\}|(?P<b>\d))\s*(?:\{\s*(?P<c>-?\d+)\s*\}|(?P<d>\d)))"
    r"|(?P<sign2>[+-]?)(?:(?P<whole2>\d+)\s+)?(?P<e>\d+)\s*/\s*(?P<f>\d+)"
)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_FRACTION_WORDS = re.compile(r"(\d+)\s*(?:분의|分之)\s*(\d+)")
_FUNCTIONS = re.compile(r"\\[A-Za-z]+|\b(?:sqrt|sinh?|cosh?|tanh?|log|frac|infty|infinity)\b")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")


def decide(gold: str, answer: str, policy: VerifyPolicy) -> Decided | Pair:
    """Return the status of a pair of answers, or the pair that math-verify has to compare."""
    if not gold.strip():
        return Decided("bad_gold", "empty")
    if strip_delimiters(gold) == strip_delimiters(answer):
        return Decided("correct", "exact")
    for side, text in (("gold ", gold), ("", answer)):
        if len(text) > MAX_LENGTH:
            return Decided("limit", f"{side}length")
    g, a = normalise(gold), normalise(answer)
    if not g.text:
        return Decided("bad_gold", "empty")
    if not a.text:
        return Decided("wrong", "empty")
    if g.words and a.words and g.words != a.words:
        return Decided("wrong", "words")
    quick = _by_number(g, a, policy) or _by_text(g, a) or _by_words(g, a)
    if quick:
        return quick
    for side, form in (("gold ", g), ("", a)):
        if reason := limit_reason(form.text):
            return Decided("limit", side + reason)
    return Pair(_for_worker(g, policy), _for_worker(a, policy))


def normalise(text: str) -> Form:
    """Return the comparable form: NFKC, no delimiters, spacing, unit, percent or closing stop."""
    text = _FRACTION_WORDS.sub(r"\2/\1", unicodedata.normalize("NFKC", text)).replace("−", "-")
    text = " ".join(text.split())
    text = strip_delimiters(text.strip().rstrip(_TRAILING)).rstrip(_TRAILING)
    text = _THIN_THOUSANDS.sub("", text).replace("、", ",")
    text = _SPACES.sub(" ", text.replace(r"\!", "").replace(r"\left", "").replace(r"\right", ""))
    text = _TEXT.sub(r" \1 ", text).strip()
    text = re.sub(r"\\[dt]frac", r"\\frac", text.replace("×", r"\times ").replace("÷", "/"))
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?", "°", text).strip().rstrip(_TRAILING)
    currency = None
    if prefix := re.match(r"\s*([+-]?)\s*\\?([$€₩¥￥])\s*(?=[\d.])", text):
        currency = UNITS[_CURRENCY[prefix[2]]]
        text = prefix[1] + text[prefix.end() :]
    percent = False
    if ending := re.fullmatch(r"(.*?)\s*(?:\\?%|퍼센트|\bpercent|프로)", text, re.DOTALL):
        text, percent = ending[1], True
    text, unit, words = _split_unit(text)
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    return Form(text.strip(), unit or currency, percent, words)


def _split_unit(text: str) -> tuple[str, Unit | None, str]:
    found = _UNIT.fullmatch(text)
    # A lone letter that touches its number is a variable more often than a unit.
    if found and (len(found["unit"]) > 1 or not found["unit"].isascii() or found["gap"]):
        unit = UNITS[found["unit"] if found["unit"] in UNITS else found["unit"].lower()]
        power = {"square ": 2, "cubic ": 3}.get(found["square"] or "", int(found["power"] or 1))
        return found["core"].strip(), unit_power(unit, power), ""
    named = _WORDS.fullmatch(text)
    if named and not _NOT_A_NOUN.search(named["words"]):
        return named["core"], None, named["words"].strip().casefold().rstrip("s")
    return text.strip(), None, ""


def rational(text: str) -> tuple[Fraction, bool] | None:
    """Return the exact value of an integer, decimal, fraction or mixed number.

    With it: whether it is an integer or a plain fraction, for which unequal means wrong.
    """
    if len(text) > 4000:
        return None
    if _DECIMAL.fullmatch(text):
        return Fraction(text), "." not in text
    found = _FRACTION.fullmatch(text)
    if not found:
        return None
    top = int(found["a"] or found["b"] or found["e"])
    bottom = int(found["c"] or found["d"] or found["f"])
    whole = found["whole"] or found["whole2"]
    if bottom == 0 or (whole and not 0 < top < bottom):
        return None
    value = Fraction(top, bottom) + int(whole or 0)
    return (-value if "-" in (found["sign"], found["sign2"]) else value), not whole


def _values(form: Form, value: Fraction, policy: VerifyPolicy) -> set[Fraction]:
    if not form.percent:
        return {value}
    return {value, value / 100} if policy.percent == "any" else {value / 100}


def _by_number(g: Form, a: Form, policy: VerifyPolicy) -> Decided | None:
    ours, theirs = rational(g.text), rational(a.text)
    both_measured = bool(g.unit and a.unit and g.unit.dimension and a.unit.dimension)
    if both_measured and g.unit != a.unit:
        assert g.unit is not None
        assert a.unit is not None
        same = (
            ours is not None
            and theirs is not None
            and g.unit.dimension == a.unit.dimension
            and ours[0] * g.unit.factor == theirs[0] * a.unit.factor
        )
        return Decided("correct" if same else "wrong", "unit")
    if ours is None or theirs is None:
        return None
    if _values(g, ours[0], policy) & _values(a, theirs[0], policy):
        return Decided("correct", "number")
    if ours[1] and theirs[1]:
        return Decided("wrong", "number")
    return None


def _by_text(g: Form, a: Form) -> Decided | None:
    ours, theirs = "".join(g.text.split()), "".join(a.text.split())
    if ours == theirs and (g.percent == a.percent):
        return Decided("correct", "exact")
    # math-verify reads a word as a product of its letters, so an anagram would be equal.
    if _LONG_WORD.search(_FUNCTIONS.sub("", g.text)) and "=" not in g.text:
        same = ours.casefold() == theirs.casefold()
        return Decided("correct" if same else "wrong", "text")
    return None


def _by_words(g: Form, a: Form) -> Decided | None:
    """Decide a gold integer against words and numbers side by side, without any sign of maths.

    "therefore 9" says 9; "5 15 5" and "56 carry 59" name several numbers, so no single one.
    """
    gold = rational(g.text)
    if gold is None or not gold[1] or not _PLAIN_WORDS.fullmatch(a.text):
        return None
    if _NOT_A_NOUN.search(a.text):
        return None
    numbers = [word for word in a.text.split() if word.isdecimal()]
    if len(numbers) == 1 and a.text.endswith(numbers[0]):
        same = Fraction(numbers[0]) == gold[0]
        return Decided("correct" if same else "wrong", "number")
    return Decided("wrong", "several numbers") if len(numbers) > 1 else None


def _for_worker(form: Form, policy: VerifyPolicy) -> str:
    value = rational(form.text)
    text = form.text
    if value and "." not in text:
        text = f"{value[0].numerator}/{value[0].denominator}"  # mixed numbers would be misread
    return rf"\frac{{{text}}}{{100}}" if form.percent and policy.percent == "hundredth" else text


def limit_reason(text: str) -> str | None:
    """Return why a text is not shown to sympy, or None. A sieve: the wall is the worker's kill."""
    if len(text) > MAX_LENGTH:
        return "length"
    depth = deepest = 0
    for character in text:
        if character in "{([":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "})]":
            depth -= 1
    if deepest > _MAX_NESTING:
        return "nesting"
    if re.search(rf"\d{{{_MAX_DIGITS + 1}}}", text):
        return "digits"
    if text.count(",") + text.count("&") > _MAX_ITEMS:
        return "items"
    checks = (
        ("power", _power_too_large),
        ("factorial", _factorial_too_large),
    )
    return next((name for name, too_large in checks if too_large(text)), None)


def _power_too_large(text: str) -> bool:
    text = re.sub(r"\s+", "", text.replace("**", "^"))
    if re.search(rf"\^[{{(]*-?\d{{{len(str(_MAX_EXPONENT)) + 1},}}", text):
        return True
    # A tower: an exponent that itself holds a power of numbers, such as 9^{9^9}.
    for found in re.finditer(r"\^[{(]*-?(\d+)[})]*\^[{(]*(\d+)", text):
        base, exponent = int(found[1]), int(found[2])
        if base > 1 and (exponent > 20 or base**exponent > _MAX_EXPONENT):
            return True
    return re.search(r"\d\^[{(]*\d+\^[{(]*\d+\^", text) is not None


def _factorial_too_large(text: str) -> bool:
    text = re.sub(r"\s+", "", text)
    numbers = re.findall(r"(\d+)[})]*!", text)
    numbers += re.findall(r"\\(?:[dt]?binom|Gamma|operatorname\{Gamma\})[{(]+(\d+)", text)
    if any(len(number) > 5 or int(number) > _MAX_FACTORIAL for number in numbers):
        return True
    return re.search(r"\^[{(]*\d+[})]*!|![})]*!", text) is not None or (
        re.search(r"\\(?:[dt]?binom|Gamma)[{(]+\d+\^", text) is not None
    )
