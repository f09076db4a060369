"""Expressions in LaTeX through math-verify's parser: values, identities, equations, inequalities.

Identity is decided by evaluating at points, not by ``simplify``, whose tail is endless. Nothing
here limits its time or memory: it runs in a worker process that is killed when it overruns.
"""

import importlib
import itertools
import math
import re
import zlib
from fractions import Fraction
from functools import lru_cache
from typing import Any

Value = Fraction | complex

_DIGITS = 40
_CLOSE = Fraction(1, 10**20)
_ZERO = Fraction(1, 10**30)
_POINTS = 4
_SPREAD = ("0.37", "1.91", "0.83", "-1.43", "2.59")
_CONSTANTS = "cCkKaAbBdD"
_DECIMAL = re.compile(r"\d*\.\d+")


@lru_cache(maxsize=4096)
def parse(latex: str) -> Any | None:
    """Return math-verify's reading of a whole text (a sympy object), None if it has none."""
    if not latex.strip():
        return None
    math_verify = importlib.import_module("math_verify")
    normalization = importlib.import_module("latex2sympy2_extended").NormalizationConfig
    # Units are taken off before; "m" that is left is a variable.
    config = math_verify.LatexExtractionConfig(
        boxed_match_priority=0,
        normalization_config=normalization(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
        ),
    )
    # A number found inside text that failed to parse would pass for the whole of it, so the text
    # is delimited and nothing else is tried.
    options = {"parsing_timeout": None, "raise_on_error": True, "fallback_mode": "no_fallback"}
    try:
        found = list(math_verify.parse(f"${latex}$", [config], **options))
    except MemoryError:
        raise
    except Exception:  # what cannot be read has no reading
        return None
    return found[0] if found else None


@lru_cache(maxsize=4096)
def _expression(latex: str) -> Any | None:
    """Return a reading that is an expression, its symbols without assumptions.

    The parser calls a letter real in one text and not in another, and sympy takes these for two.
    """
    found = parse(latex)
    sympy = importlib.import_module("sympy")
    if not isinstance(found, sympy.Expr):
        return None
    return found.xreplace({symbol: sympy.Symbol(symbol.name) for symbol in found.free_symbols})


@lru_cache(maxsize=4096)
def value(latex: str) -> Value | None:
    """Return the value of a number, exact if it is rational, else to 40 digits; None if it is none.

    A real irrational is a Fraction near it; a number with an imaginary part is a complex.
    """
    expression = _expression(latex)
    if expression is None:
        return None
    if [str(symbol) for symbol in expression.free_symbols] == ["i"]:
        expression = _imaginary(expression)
    if expression.free_symbols:
        return None
    if expression.is_Rational:
        return Fraction(int(expression.p), int(expression.q))
    return _evaluate(expression, {})


def _evaluate(expression: Any, point: dict[Any, Any]) -> Value | None:
    try:
        found = expression.evalf(_DIGITS, subs=point) if point else expression.evalf(_DIGITS)
        real, imaginary = found.as_real_imag()
        if not (real.is_Number and imaginary.is_Number) or not (real.is_finite):
            return None
    except MemoryError:
        raise
    except Exception:  # sympy raises whatever it likes on what has no value
        return None
    if abs(imaginary) > 1e-25 * max(1, abs(real)):
        return complex(float(real), float(imaginary))
    return _fraction(real)


def _fraction(number: Any) -> Fraction | None:
    if number.is_Rational:
        return Fraction(int(number.p), int(number.q))
    sign, mantissa, exponent, _ = number._mpf_
    if abs(exponent) > 40_000:
        return None  # more than 10,000 digits
    return Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** int(exponent)


def close(one: Value, other: Value, tolerance: Fraction | None = None) -> bool:
    """Return whether two values agree to 20 digits, or 12 where they are complex."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        if not one or not other:
            return abs(one - other) < _ZERO
        return abs(one - other) <= (_CLOSE if tolerance is None else tolerance) * abs(one)
    one, other = complex(one), complex(other)
    return abs(one - other) <= (tolerance or 1e-12) * max(abs(one), abs(other), 1e-6)


def in_degrees(angle: Value) -> Value:
    """Return an angle in radians in degrees."""
    if isinstance(angle, complex):
        return math.degrees(1) * angle
    pi = Fraction(314159265358979323846264338327950288419716939937510, 10**50)
    return angle * 180 / pi


def same_function(gold: str, answer: str, rename: bool = False) -> bool:
    """Return whether two expressions agree at every point where both could be evaluated.

    ``rename`` allows a parameter (n for k) to have another name; constants of integration always
    may. Decimals are believed to their last digit. What is no expression (a matrix, a logical
    formula) is left to math-verify.
    """
    one, other = _expression(gold), _expression(answer)
    if one is None or other is None:
        return _verify(gold, answer)
    if one.is_finite is False or other.is_finite is False or "nan" in (str(one), str(other)):
        return one == other and "zoo" not in str(one) and "nan" not in str(one)
    tolerance = _written_precision(gold + " " + answer)
    for reading in _readings(one, other, rename):
        if _agree(one, reading, tolerance):
            return True
        if _agree(_imaginary(one), _imaginary(reading), tolerance):
            return True
    return _differ_by_constant(one, other)


def _written_precision(text: str) -> Fraction | None:
    """Return the relative error that the coarsest decimal of at least four digits allows."""
    digits = [len(number.replace(".", "").lstrip("0")) for number in _DECIMAL.findall(text)]
    coarsest = min((count for count in digits if count >= 4), default=None)
    return None if coarsest is None else Fraction(2, 10 ** (coarsest - 1))


def _imaginary(expression: Any) -> Any:
    """Read the letter i as the imaginary unit."""
    sympy = importlib.import_module("sympy")
    return expression.subs(sympy.Symbol("i"), sympy.I)


def _differ_by_constant(gold: Any, answer: Any) -> bool:
    """Return whether two antiderivatives differ by a constant, where both have a ``+ C``."""
    sympy = importlib.import_module("sympy")
    constants = [
        [s for s in e.free_symbols if str(s) in ("C", "c", "K", "k") and e.diff(s) == 1]
        for e in (gold, answer)
    ]
    if not all(constants):
        return False
    symbols = gold.free_symbols | answer.free_symbols
    difference = gold.subs(constants[0][0], 0) - answer.subs(constants[1][0], 0)
    values = [_evaluate(difference, _point(symbols, number)) for number in range(len(_SPREAD))]
    known = [value for value in values if isinstance(value, Fraction)]
    scale = max((abs(value) for value in known), default=Fraction(0)) + 1
    same = all(abs(value - known[0]) < Fraction(1, 10**15) * scale for value in known)
    return len(known) >= 3 and same and isinstance(difference, sympy.Expr)


def _agree(one: Any, other: Any, tolerance: Fraction | None) -> bool:
    if one == other:
        return True
    agreed = 0
    for number in range(len(_SPREAD) + 2):
        point = _point(one.free_symbols | other.free_symbols, number)
        ours, theirs = _evaluate(one, point), _evaluate(other, point)
        if ours is None or theirs is None:
            continue
        if not close(ours, theirs, tolerance):
            if isinstance(ours, complex) or isinstance(theirs, complex):
                continue  # another branch of a root or logarithm, perhaps
            return False
        agreed += 1
        if agreed >= _POINTS:
            return True
    return agreed >= 2


def _point(symbols: set[Any], number: int) -> dict[Any, Any]:
    """Return a point of evaluation; the last two have integers, which sums and floors need."""
    sympy = importlib.import_module("sympy")
    point = {}
    for symbol in sorted(symbols, key=str):
        seed = zlib.crc32(str(symbol).encode())
        if number >= len(_SPREAD):
            point[symbol] = sympy.Integer(2 + (seed + 3 * number) % 7)
        else:
            shift = sympy.Rational(seed % 89, 97)
            point[symbol] = sympy.Rational(_SPREAD[(number + seed) % len(_SPREAD)]) + shift
    return point


def _readings(gold: Any, answer: Any, rename: bool) -> list[Any]:
    """Return the answer, and it with its constants or free parameter named as in the gold."""
    ours = {str(symbol): symbol for symbol in gold.free_symbols}
    theirs = {str(symbol): symbol for symbol in answer.free_symbols}
    missing, extra = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    if not missing or len(missing) != len(extra) or len(missing) > 2:
        return [answer]
    constants = all(name[0] in "CcK" for name in missing) and all(
        name[0] in _CONSTANTS for name in extra
    )
    parameters = rename and all(len(name) == 1 for name in (*missing, *extra))
    if not constants and not parameters:
        return [answer]
    return [
        answer.subs({theirs[old]: ours[new] for old, new in zip(order, missing, strict=True)})
        for order in itertools.permutations(extra)
    ]


def steps(latex: str) -> tuple[Fraction, Fraction] | None:
    """Return value at 0 and slope of an expression that is linear in its only symbol."""
    expression = _expression(latex)
    if expression is None or len(expression.free_symbols) != 1:
        return None
    (symbol,) = expression.free_symbols
    values = [expression.subs(symbol, number) for number in range(3)]
    if not all(value.is_Rational for value in values):
        return None
    first, second, third = (Fraction(int(value.p), int(value.q)) for value in values)
    return (first, second - first) if third - second == second - first != 0 else None


def same_equation(gold_left: str, gold_right: str, left: str, right: str) -> bool:
    """Return whether two equations have the same solutions: proportional differences of sides."""
    sides: list[Any] = [_expression(text) for text in (gold_left, gold_right, left, right)]
    if any(side is None for side in sides):
        return False
    one, other = sides[0] - sides[1], sides[2] - sides[3]
    if one.free_symbols != other.free_symbols or not one.free_symbols:
        return False
    ratios: list[complex] = []
    for number in range(len(_SPREAD)):
        point = _point(one.free_symbols, number)
        ours, theirs = _evaluate(one, point), _evaluate(other, point)
        if ours is None or theirs is None:
            continue
        if min(abs(complex(ours)), abs(complex(theirs))) < 1e-12:
            return False
        ratios.append(complex(ours) / complex(theirs))
    return len(ratios) >= 3 and all(close(ratios[0], ratio) for ratio in ratios[1:])


def same_relation(gold: str, answer: str) -> bool:
    """Return math-verify's word on two inequalities."""
    return _verify(gold, answer)


def _verify(gold: str, answer: str) -> bool:
    one, other = parse(gold), parse(answer)
    if one is None or other is None:
        return False
    try:
        found = importlib.import_module("math_verify").verify(
            one, other, timeout_seconds=None, raise_on_error=True
        )
    except MemoryError:
        raise
    except Exception:  # sympy raises whatever it likes on things that do not compare
        return False
    return bool(found)
