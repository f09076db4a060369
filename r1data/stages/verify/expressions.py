"""Comparing two expressions: by what the texts decide, by value, at points."""

import re
from fractions import Fraction

from r1data.backends import math_compare
from r1data.stages.verify.forms import Form, split
from r1data.stages.verify.latex import to_latex
from r1data.stages.verify.leaf import quick, same_rounding
from r1data.stages.verify.numbers import rational
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.units import comparable
from r1data.stages.verify.words import is_text

_SCRIPTED_DIGIT = re.compile(r"\d_")
_JUXTAPOSED = re.compile(r"[\d./,]+(?:\s+[\d./,]+)+")


def readable(text: str) -> bool:
    """Return whether a leaf is words or an expression that can be parsed."""
    form = split(text)
    return is_text(form.text) or math_compare.parse(to_latex(form.text)) is not None


def same_leaf(gold: str, answer: str, policy: VerifyPolicy, rename: bool = False) -> bool:
    """Return whether two answers without structure are the same."""
    if ":" in gold and ":" in answer and not any(sign in gold + answer for sign in "=<>"):
        one, other = gold.split(":"), answer.split(":")
        if all(map(str.strip, one + other)) and len(one) == len(other):
            return _proportional(one, other)
    g, a = split(gold), split(answer)
    if decided := quick(g, a, policy):
        return decided.status == "correct"
    if comparable(g.unit, a.unit) and g.unit != a.unit and not _angles(g, a):
        return False
    if is_text(a.text) or g.percent != a.percent:
        return False
    return same_expression(g, a, policy, rename)


def _proportional(gold: list[str], answer: list[str]) -> bool:
    """Return whether two ratios are the same, or two times of day."""
    decided = quick(split(":".join(gold)), split(":".join(answer)), VerifyPolicy())
    if decided:
        return decided.status == "correct"
    values = [[math_compare.value(to_latex(part)) for part in side] for side in (gold, answer)]
    if any(value is None or value == 0 for side in values for value in side):
        return False
    (first, *ours), (other, *theirs) = ([complex(v) for v in side if v] for side in values)
    return all(
        math_compare.close(one / first, two / other) for one, two in zip(ours, theirs, strict=True)
    )


def _angles(g: Form, a: Form) -> bool:
    return {u.dimension for u in (g.unit, a.unit) if u} == {"angle", "radian"}


def same_expression(g: Form, a: Form, policy: VerifyPolicy, rename: bool) -> bool:
    """Return whether two expressions have the same value, or the same at every point tried."""
    if _SCRIPTED_DIGIT.search(a.text) or _SCRIPTED_DIGIT.search(g.text):
        return False  # a number in another base, which the parser takes for a name
    if _JUXTAPOSED.fullmatch(a.text) or _JUXTAPOSED.fullmatch(g.text):
        return False  # two numbers side by side, which the parser would read as it likes
    gold, answer = to_latex(g.text), to_latex(a.text)
    if gold.count("'") != answer.count("'"):
        return False  # the parser drops primes
    one, other = _value(g.text, gold), _value(a.text, answer)
    if one is not None and other is not None:
        return _same_value(g, a, one, other, policy)
    return math_compare.same_function(gold, answer, rename)


def _value(text: str, latex: str) -> complex | Fraction | None:
    """Return a value; of a decimal as it is written, which the parser knows to 15 digits."""
    found = rational(text)
    return found[0] if found else math_compare.value(latex)


def _same_value(
    g: Form, a: Form, one: complex | Fraction, other: complex | Fraction, policy: VerifyPolicy
) -> bool:
    if _degrees(g) != _degrees(a):
        # An angle without a unit is in radians if pi stands in it, in degrees otherwise.
        one, other = _in_degrees(g, one), _in_degrees(a, other)
    if math_compare.close(one, other):
        return True
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return same_rounding(one, g.text, other, a.text, policy)
    return False


def _degrees(form: Form) -> bool:
    return form.unit is not None and form.unit.dimension == "angle"


def _in_degrees(form: Form, value: complex | Fraction) -> complex | Fraction:
    radian = form.unit is not None and form.unit.dimension == "radian"
    if radian or (not _degrees(form) and "pi" in form.text):
        return math_compare.in_degrees(value)
    return value


def number(text: str) -> Fraction | None:
    """Return the value of a text that is a real number."""
    found = math_compare.value(to_latex(split(text).text))
    return found if isinstance(found, Fraction) else None
