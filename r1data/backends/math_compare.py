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


class Near(Fraction):
    """A real number that is not rational, or not known to be, to 40 digits."""


Value = Fraction | complex

_DIGITS = 40
_CLOSE = Fraction(1, 10**20)
_ZERO = Fraction(1, 10**30)
_HIDDEN_ZERO = Fraction(1, 10**100)
"""What sympy makes of a zero that it could not prove to be one."""
_SPREAD = ("0.37", "1.91", "0.83", "-1.43", "2.59", "37.3", "-41.7")
_INTEGERS = (2, 3, 6, 7)
"""Both parities: (-1)^n tells them apart."""
_CONSTANT = re.compile(r"[CK](?:_\{?\w\}?)?")
_DECIMAL = re.compile(r"\d*\.\d+")


@lru_cache(maxsize=4096)
def parse(latex: str) -> Any | None:
    """Return a sympy object for a whole text by math-verify's parser, None if it cannot be read.

    Not through `math_verify.parse`: that takes R for r, and looks for numbers inside what it cannot
    read as a whole.
    """
    if not latex.strip():
        return None
    parser = importlib.import_module("latex2sympy2_extended.latex2sympy2")
    normalization = importlib.import_module("latex2sympy2_extended").NormalizationConfig
    # Units are taken off before; "m" that is left is a variable.
    config = normalization(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
    )
    cased = parser.ConversionConfig(lowercase_symbols=False)
    try:
        return parser.latex2sympy(latex, normalization_config=config, conversion_config=cased)
    except MemoryError:
        raise
    except Exception:  # what cannot be read has no reading
        return None


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

    A real irrational is a `Near`; a number with an imaginary part is a complex.
    """
    expression = _expression(latex)
    if expression is None:
        return None
    if [str(symbol) for symbol in expression.free_symbols] == ["i"]:
        expression = _imaginary(expression)
    if expression.free_symbols:
        return None
    if not expression.is_Rational:
        expression = _worked_out(expression)
    if expression.is_Rational:
        return Fraction(int(expression.p), int(expression.q))
    return _evaluate(expression, {})


def _worked_out(expression: Any) -> Any:
    """Carry out arithmetic that was only written down, where that is cheap."""
    try:
        done = expression.doit()
    except MemoryError:
        raise
    except Exception:  # what cannot be worked out stays as it was written
        return expression
    return done if done.is_number else expression


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
    return Near(Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** int(exponent))


def close(one: Value, other: Value, tolerance: Fraction | None = None) -> bool:
    """Return whether two values are the same: rationals exactly, others to 20 digits, or 12.

    Complex ones are known to 12 digits.
    """
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        if tolerance is None and not isinstance(one, Near) and not isinstance(other, Near):
            return one == other
        if not one or not other:
            return abs(one - other) < _ZERO
        if max(abs(one), abs(other)) < _HIDDEN_ZERO:
            return True
        return abs(one - other) <= (_CLOSE if tolerance is None else tolerance) * abs(one)
    one, other = complex(one), complex(other)
    return abs(one - other) <= (tolerance or 1e-12) * max(abs(one), abs(other), 1e-6)


def in_degrees(angle: Value) -> Value:
    """Return an angle in radians in degrees."""
    if isinstance(angle, complex):
        return math.degrees(1) * angle
    pi = Fraction(314159265358979323846264338327950288419716939937510, 10**50)
    return Near(angle * 180 / pi)


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
    tolerance = _written_precision(gold)
    for reading in _readings(one, other, rename):
        if _agree(one, reading, tolerance):
            return True
        if _agree(_imaginary(one), _imaginary(reading), tolerance):
            return True
    return _differ_by_constant(one, other)


def _written_precision(text: str) -> Fraction | None:
    """Return the relative error that the coarsest decimal of a gold answer allows."""
    digits = [len(number.replace(".", "").lstrip("0")) for number in _DECIMAL.findall(text)]
    coarsest = min((count for count in digits if count >= 4), default=None)
    return None if coarsest is None else Fraction(1, 10 ** (coarsest - 1))


def _imaginary(expression: Any) -> Any:
    """Read the letter i as the imaginary unit."""
    sympy = importlib.import_module("sympy")
    return expression.subs(sympy.Symbol("i"), sympy.I)


def _differ_by_constant(gold: Any, answer: Any) -> bool:
    """Return whether two antiderivatives differ by a constant, where both have a ``+ C``."""
    sympy = importlib.import_module("sympy")
    constants = [
        [s for s in e.free_symbols if str(s)[0] in first and e.diff(s) == 1]
        for e, first in ((gold, "CK"), (answer, "CcKk"))
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
    for number in range(len(_SPREAD) + len(_INTEGERS)):
        point = _point(one.free_symbols | other.free_symbols, number)
        ours, theirs = _evaluate(one, point), _evaluate(other, point)
        if ours is None or theirs is None:
            continue
        if not close(ours, theirs, tolerance):
            branch = isinstance(ours, complex) or isinstance(theirs, complex)
            if branch and number < len(_SPREAD):
                continue  # another branch of a root or logarithm, perhaps
            return False
        agreed += 1
    return agreed >= 2


def _point(symbols: set[Any], number: int) -> dict[Any, Any]:
    """Return a point of evaluation; the last two have integers, which sums and floors need."""
    sympy = importlib.import_module("sympy")
    point = {}
    for symbol in sorted(symbols, key=str):
        seed = zlib.crc32(str(symbol).encode())
        if number >= len(_SPREAD):
            point[symbol] = sympy.Integer(_INTEGERS[number - len(_SPREAD)] + 8 * (seed % 3))
        else:
            shift = sympy.Rational(seed % 89, 97)
            point[symbol] = sympy.Rational(_SPREAD[(number + seed) % len(_SPREAD)]) + shift
    return point


def _readings(gold: Any, answer: Any, rename: bool) -> list[Any]:
    """Return the answer, and it with its constants or free parameters named as in the gold.

    ``C`` and ``C_1``, ``C_2`` are constants of integration wherever something else is free too;
    other letters are parameters if a clause says so, or beside pi (k pi and n pi).
    """
    ours = {str(symbol): symbol for symbol in gold.free_symbols}
    theirs = {str(symbol): symbol for symbol in answer.free_symbols}
    shared = [name for name in ours if name in theirs and not _CONSTANT.fullmatch(name)]
    constants = [name for name in ours if _CONSTANT.fullmatch(name)]
    missing, extra = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    if not missing and not extra and len(constants) == 2 and shared:
        first, second = (ours[name] for name in constants)
        return [answer, answer.subs({first: second, second: first}, simultaneous=True)]
    if not missing or len(missing) != len(extra) or len(missing) > 2:
        return [answer]
    integral = shared and all(_CONSTANT.fullmatch(name) for name in missing)
    named = integral and all(name[0] in "CcKkAB" for name in extra)
    turning = {*missing, *extra} <= {"k", "n", "m"} and "pi" in str(gold) and "pi" in str(answer)
    parameter = (rename or turning) and len(missing) == 1 and len(missing[0]) == len(extra[0]) == 1
    if not named and not parameter:
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
