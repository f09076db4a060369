"""Comparing two answers without structure, as far as it needs no computer algebra."""

import re
from fractions import Fraction
from typing import NamedTuple

from r1data.core.records import Status
from r1data.stages.verify.approximate import plainly_differ
from r1data.stages.verify.forms import Form, clock, split
from r1data.stages.verify.latex import squeezed
from r1data.stages.verify.numbers import (
    decimal_comma,
    decimals,
    join_thousands,
    numeral,
    rational,
    significant_digits,
)
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.units import Unit, comparable, resolved
from r1data.stages.verify.words import NEGATION, YES_NO, fold_words, is_text, same_words, synonymous


class Decided(NamedTuple):
    """A status that needed no sympy."""

    status: Status
    method: str


_WORD = re.compile(r"[^\W\d_]{3,}|[가-힣一-鿿ぁ-ヿ]")
_WORD = re.compile(r"[^\W_]+")
_CHOICE = re.compile(r"\(?([A-J])\)?\s*(?:[).:]|$)\s*(.*)", re.DOTALL)
_OTHER_CHOICE = re.compile(
    r"(?<![A-Za-z])[A-J](?=\s*[).:]|$)|\b(?:not|wrong|incorrect|false)\b|[-+*/]"
)
_BASE = re.compile(r"\(?([0-9A-Fa-f]+)\)?_\{?\(?(\d{1,2})\)?\}?")
_RESIDUE = re.compile(r"(.+?)\s*\(?\s*mod\s*(\d+)\s*\)?")
# Rounding noise of intermediate steps; an integer is not a measured value, so little is allowed.
_NOISE = Fraction(1, 4000)
_CENTS = Fraction(6, 100)


def quick(g: Form, a: Form, policy: VerifyPolicy) -> Decided | None:
    """Return what the texts alone decide, None if it takes computer algebra."""
    g, a = g._replace(unit=resolved(g.unit, a.unit)), a._replace(unit=resolved(a.unit, g.unit))
    if (g.words and _is_money(a.unit)) or (a.words and _is_money(g.unit)):
        return Decided("wrong", "unit")
    if g.words and a.words and not _same_words(g.words, a.words):
        return Decided("wrong", "words")
    return (
        _by_text(g, a)
        or _by_number(g, a, policy)
        or _by_notation(g, a)
        or _by_words(g, a)
        or _by_rough_value(g, a)
    )


def _by_rough_value(g: Form, a: Form) -> Decided | None:
    if g.percent or a.percent or "_" in g.text + a.text or "'" in g.text + a.text:
        return None
    if any(unit and unit.dimension in ("angle", "radian") for unit in (g.unit, a.unit)):
        return None
    return Decided("wrong", "value") if plainly_differ(g.text, a.text) else None


_MONEY = ("dollar", "won", "yuan", "yen", "euro", "sterling", "rupee", "yen or yuan")


def _is_money(unit: Unit | None) -> bool:
    return unit is not None and unit.dimension in _MONEY


def _by_text(g: Form, a: Form) -> Decided | None:
    if squeezed(g.text) != squeezed(a.text) or g.percent != a.percent:
        return None
    if g.unit != a.unit and any(u and u.dimension == "dozen" for u in (g.unit, a.unit)):
        return None
    if comparable(g.unit, a.unit) and g.unit != a.unit:
        return Decided("wrong", "unit")
    return Decided("correct", "exact")


def _by_number(g: Form, a: Form, policy: VerifyPolicy) -> Decided | None:
    ours, theirs = _rational(g), _rational(a)
    if dozens := _by_dozen(g, a):
        return dozens
    if comparable(g.unit, a.unit) and g.unit != a.unit:
        return _by_measure(g, a, ours, theirs, policy)
    if ours is None or theirs is None:
        return None
    if _values(g, ours[0], policy, a) & _values(a, theirs[0], policy, g):
        if policy.form == "simplified" and not reduced(a.text):
            return Decided("wrong", "not simplified")
        return Decided("correct", "number")
    if ours[1] and theirs[1]:
        return Decided("wrong", "number")
    for gold in _values(g, ours[0], policy, a):
        for answer in _values(a, theirs[0], policy, g):
            if same_rounding(gold, g.text, answer, a.text, policy):
                return Decided("correct", "rounding")
    return Decided("wrong", "number")


def _by_dozen(g: Form, a: Form) -> Decided | None:
    """Decide dozens against a number: 3 dozen are 36, or 3 where dozens were asked for."""
    counts = [form.unit is not None and form.unit.dimension == "dozen" for form in (g, a)]
    values = [rational(form.text) for form in (g, a)]
    if not any(counts) or None in values:
        return None
    one, other = (value[0] for value in values if value)
    same = one * (12 if counts[0] else 1) == other * (12 if counts[1] else 1)
    same = same or (counts[0] and one == other)
    return Decided("correct" if same else "wrong", "dozen")


def _rational(form: Form) -> tuple[Fraction, bool] | None:
    found = rational(form.text)
    if found is None and not form.unit and (value := numeral(form.text)) is not None:
        return value, True
    return found


def _by_measure(
    g: Form,
    a: Form,
    ours: tuple[Fraction, bool] | None,
    theirs: tuple[Fraction, bool] | None,
    policy: VerifyPolicy,
) -> Decided | None:
    assert g.unit is not None
    assert a.unit is not None
    if g.unit.dimension != a.unit.dimension:
        angles = {g.unit.dimension, a.unit.dimension} == {"angle", "radian"}
        return None if angles else Decided("wrong", "unit")
    if ours is None or theirs is None:
        return Decided("wrong", "unit")
    gold, answer = ours[0] * g.unit.factor, theirs[0] * a.unit.factor
    close = abs(gold - answer) <= abs(gold) * Fraction(policy.tolerance) and not (
        ours[1] and theirs[1]
    )
    return Decided("correct" if gold == answer or close else "wrong", "unit")


def by_comma(gold: str, answer: str) -> Decided | None:
    """Decide a number with a decimal comma against one with a point."""
    ours, theirs = decimal_comma(gold), decimal_comma(answer)
    if (ours is None) == (theirs is None):
        return None
    pointed = answer if theirs is None else gold
    if "." not in pointed or join_thousands(gold) != gold or join_thousands(answer) != answer:
        return None
    if ours is not None and re.fullmatch(r"[1-9]\d*,\d", gold):
        return None  # more often a list of two numbers
    other = rational(split(pointed).text)
    same = other is not None and other[0] == (ours if ours is not None else theirs)
    return Decided("correct", "number") if same else None


def _values(form: Form, value: Fraction, policy: VerifyPolicy, other: Form) -> set[Fraction]:
    """Return what a number may stand for: 50% is 0.5, or 50 against a 50 that lacks its sign."""
    if not form.percent:
        return {value}
    if other.percent:
        return {value}
    bare = policy.percent == "any" and "/" not in other.text and "frac" not in other.text
    return {value, value / 100} if bare else {value / 100}


def same_rounding(
    gold: Fraction, gold_text: str, answer: Fraction, answer_text: str, policy: VerifyPolicy
) -> bool:
    """Return whether two unequal values agree as far as the coarser of them was written.

    A decimal gold is matched within the policy's tolerance, or by whatever rounds to it; a decimal
    answer matches an exact gold that rounds to it, if it has the policy's significant digits. An
    integer gold allows only for rounding noise.
    """
    error = abs(gold - answer)
    gold_places, places = decimals(gold_text), decimals(answer_text)
    if gold_places == 0:
        if not policy.tolerance or not places or error >= Fraction(1, 2):
            return False
        noise = _NOISE if places <= 2 else Fraction(policy.tolerance)
        return error <= min(abs(gold) * noise, _CENTS)
    if gold_places is not None:
        finer = places is None or places >= gold_places or significant_digits(answer_text) >= 5
        if policy.tolerance and finer and error <= abs(gold) * Fraction(policy.tolerance):
            return True
        finer = places is None or places > gold_places
        enough = significant_digits(gold_text) >= 3
        return bool(policy.digits) and finer and enough and error <= _half_unit(gold_places)
    if not places or not policy.digits:
        return False
    digits = significant_digits(answer_text)
    # Many digits may have been cut off instead of rounded.
    units = 1 if digits < 6 else 2 if digits < 13 else 20  # the last of a double's digits are noise
    return digits >= policy.digits and error <= _half_unit(places) * units


def _half_unit(places: int) -> Fraction:
    return Fraction(1, 2 * 10**places)


def reduced(text: str) -> bool:
    """Return whether a number stands in lowest terms, without arithmetic left to do."""
    compact = "".join(text.split())
    for top, bottom in re.findall(r"\\frac\{(\d+)\}\{(\d+)\}|(\d+)/(\d+)", compact) and [
        (m[1] or m[3], m[2] or m[4])
        for m in re.finditer(r"\\frac\{(\d+)\}\{(\d+)\}|(\d+)/(\d+)", compact)
    ]:
        if int(bottom) <= 1 or Fraction(int(top), int(bottom)).denominator != int(bottom):
            return False
    for inside in re.findall(r"sqrt[{(](\d{1,12})[})]", compact):
        number = int(inside)
        if any(number % (k * k) == 0 for k in range(2, min(2000, int(number**0.5) + 1))):
            return False
    return not re.search(r"\d(?:\\times|\\cdot|\*)\d|(?<!\^)\d[+-]\d", compact)


def _by_notation(g: Form, a: Form) -> Decided | None:
    """Decide clock times, ratios, residues and numbers in other bases."""
    for decide in (_by_clock, _by_base, _by_ratio, _by_residue):
        if decided := decide(g.text, a.text):
            return decided
    return None


def _by_clock(gold: str, answer: str) -> Decided | None:
    if ":" not in gold + answer and not re.search("[시時点mM]", gold + answer):
        return None
    ours, theirs = clock(gold), clock(answer)
    if not ours or not theirs or not (ours[1] or theirs[1]):
        return None
    same = ours[0] == theirs[0] or (
        not (ours[1] and theirs[1]) and (ours[0] - theirs[0]) % 720 == 0
    )
    return Decided("correct" if same else "wrong", "time")


def _by_base(gold: str, answer: str) -> Decided | None:
    ours, theirs = _BASE.fullmatch(gold), _BASE.fullmatch(answer)
    if not ours and not theirs:
        return None
    if ours and theirs:
        same = ours[1].lower().lstrip("0") == theirs[1].lower().lstrip("0") and ours[2] == theirs[2]
        return Decided("correct" if same else "wrong", "base")
    other = gold if theirs else answer
    return Decided("wrong", "base") if other.isalnum() else None


_TIME_OF_DAY = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d")
_TO = re.compile(r"(?<=\d)\s+(?:to|대)\s+(?=\d)|(?<=\d)比(?=\d)")


def _by_ratio(gold: str, answer: str) -> Decided | None:
    gold, answer = _TO.sub(":", gold), _TO.sub(":", answer)
    if ":" not in gold and ":" not in answer:
        return None
    if _TIME_OF_DAY.fullmatch(gold) or _TIME_OF_DAY.fullmatch(answer):
        return Decided("wrong", "time") if ":" in gold and ":" in answer else None
    ours, theirs = _ratio(gold), _ratio(answer)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return None
    same = all(
        one * theirs[0] == other * ours[0] for one, other in zip(ours[1:], theirs[1:], strict=True)
    )
    return Decided("correct" if same else "wrong", "ratio")


def _ratio(text: str) -> list[Fraction] | None:
    parts = [rational(part.strip()) for part in text.split(":")]
    values = [part[0] for part in parts if part]
    if len(values) != len(parts) or not all(values):
        return None
    return [values[0], Fraction(1)] if len(values) == 1 else values


def _by_residue(gold: str, answer: str) -> Decided | None:
    if "mod" not in gold or "mod" not in answer:
        return None
    ours, theirs = _RESIDUE.fullmatch(gold), _RESIDUE.fullmatch(answer)
    if not ours or not theirs:
        return None
    one, other = rational(ours[1].strip("() ")), rational(theirs[1].strip("() "))
    if not one or not other:
        return None
    same = ours[2] == theirs[2] and (one[0] - other[0]) % int(ours[2]) == 0
    return Decided("correct" if same else "wrong", "residue")


def _by_words(g: Form, a: Form) -> Decided | None:
    """Decide words. A word is never shown to the parser, which reads a product of its letters."""
    letter = len(g.text) == 1 and not g.text.isupper()  # a variable
    if not letter and synonymous(fold_words(g.text), fold_words(a.text)):
        return Decided("correct", "text")
    if is_text(g.text):
        return Decided("correct" if same_words(g.text, a.text) else "wrong", "text")
    if is_text(a.text) and rational(g.text) and not _WORD.fullmatch(a.text):
        return _prose(g, a)
    return Decided("wrong", "text") if is_text(a.text) and rational(g.text) else None


_AROUND = (
    "the total sum is are was about equal equals to a an answer value result final so therefore "
    "thus hence number probability of there exactly only just approximately it that which we get "
    "and have has she he they in all area length cost price age average remainder "
    "따라서 그러므로 답 답은 정답 정답은 약 총 모두 所以 因此 故 よって したがって"
)
_CONNECTING = frozenset(_AROUND.split())
"""Words that may stand around a number without changing it."""


def _prose(g: Form, a: Form) -> Decided | None:
    """Decide a number against words around one number; several name no single one."""
    if not re.fullmatch(r"[\w\s,'’.()-]+", a.text):
        return None
    if any(word not in _CONNECTING for word in re.findall(r"[^\W\d]+", a.text.casefold())):
        return Decided("wrong", "text")
    numbers = re.findall(r"(?<![\w.,-])-?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)", a.text)
    if len(numbers) != 1 or not a.text.rstrip(" .").endswith(numbers[0]):
        return Decided("wrong", "several numbers" if len(numbers) > 1 else "text")
    gold = rational(g.text)
    same = gold is not None and Fraction(numbers[0].replace(",", "")) == gold[0]
    return Decided("correct" if same else "wrong", "number")


_LETTER_LAST = re.compile(r"[A-Za-z ]{3,}[:,]?\s\(([A-J])\)$")
_LETTER_FIRST = re.compile(r"\(([A-J])\)\s*(?=\S)|([A-J])[).:]\s+(?=\S)")


def without_letter(text: str, other: str) -> str:
    """Return ``(A) 12`` as 12 if the other side names no letter."""
    named = _CHOICE.fullmatch(other)
    if named and not named[2] and (last := _LETTER_LAST.fullmatch(text)):
        return last[1]
    found = _LETTER_FIRST.match(text)
    return text[found.end() :] if found and not named else text


_HEADING = re.compile(r"[A-Za-z][A-Za-z ,]{2,39}:\s*(?=\S)")


def without_heading(text: str, other: str) -> str:
    """Return ``from left to right: D, B`` without its heading if the other side has none."""
    found = _HEADING.match(text)
    if found and NEGATION.search(found[0].casefold()):
        return text
    return text[found.end() :] if found and ":" not in other else text


def by_yes_or_no(gold: str, answer: str) -> Decided | None:
    """Decide answers that begin with yes or no, whatever reason they go on to give."""
    one, other = YES_NO.match(gold.casefold()), YES_NO.match(answer.casefold())
    if not one or not other:
        return None
    opposite = {"yes": "no", "no": "yes"}
    both = re.search(rf"\b{opposite[other[1]]}\b", answer.casefold())
    return Decided("correct" if one[1] == other[1] and not both else "wrong", "text")


def by_letter(gold: str, answer: str) -> Decided | None:
    """Decide the letter of a choice, with or without the text beside it."""
    if re.match(r"\(?[A-J]\)?\.\d", gold) or re.match(r"\(?[A-J]\)?\.\d", answer):
        return None
    ours, theirs = _CHOICE.fullmatch(gold), _CHOICE.fullmatch(answer)
    if not ours or not theirs:
        return None
    if not ours[2] or not theirs[2]:
        if _OTHER_CHOICE.search(ours[2] or theirs[2]):
            return Decided("wrong", "choice")
        return Decided("correct" if ours[1] == theirs[1] else "wrong", "choice")
    return None


def _same_words(one: str, other: str) -> bool:
    ours, theirs = set(one.split()), set(other.split())
    return ours <= theirs or theirs <= ours
