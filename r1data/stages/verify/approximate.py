r"""A rough value of a simple expression, to tell plainly different answers apart without a parser.

Numbers, letters, ``+ - * / ^``, ``\frac``, ``\sqrt``, ``\pi``, brackets and products without a
sign. Letters stand for fixed numbers. Anything else has no value here, and nothing is ever called
equal on its account.
"""

import math
import re
import zlib
from functools import lru_cache

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|\\(?P<command>frac|sqrt|pi|cdot|times)(?![A-Za-z])"
    r"|(?P<letter>[A-Za-z])|(?P<sign>[-+*/^(){}\[\]]))"
)
_LONGEST = 120
_SPECIAL = frozenset("iCcKdj")
"""Letters that may be more than a variable: units of imagination, constants, differentials."""


@lru_cache(maxsize=1 << 13)
def rough(text: str) -> tuple[float, frozenset[str]] | None:
    """Return the value of an expression with fixed numbers for its letters, and its letters."""
    if len(text) > _LONGEST:
        return None
    tokens = _tokens(text)
    if not tokens:
        return None
    letters = frozenset(token for token in tokens if len(token) == 1 and token.isalpha())
    if letters & _SPECIAL:
        return None
    reader = _Reader(tokens)
    try:
        value = reader.sum()
    except (IndexError, ValueError, ZeroDivisionError, OverflowError, RecursionError):
        return None
    complete = reader.place == len(tokens) and math.isfinite(value)
    return (value, letters - {"e"}) if complete else None


def plainly_differ(gold: str, answer: str) -> bool:
    """Return whether both have values that differ by more than any rounding would explain."""
    one, other = rough(gold), rough(answer)
    if one is None or other is None or one[1] != other[1]:
        return False
    return abs(one[0] - other[0]) > 0.02 * max(abs(one[0]), abs(other[0]))


def _tokens(text: str) -> list[str]:
    out: list[str] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found:
            return [] if text[place:].strip() else out
        out.append((found["command"] and f"\\{found['command']}") or found[0].strip())
        place = found.end()
    return out


class _Reader:
    """Reads a sum by recursive descent; raises ValueError or IndexError where it makes no sense."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0

    def sum(self) -> float:
        total = self.product()
        while self._next() in ("+", "-"):
            sign = self._take()
            term = self.product()
            total += term if sign == "+" else -term
        return total

    def product(self) -> float:
        if self._next() in ("+", "-"):
            return self.product() if self._take() == "+" else -self.product()
        value = self.power()
        while (token := self._next()) not in ("", "+", "-", ")", "}", "]", "^"):
            if token in ("*", "\\cdot", "\\times"):
                self._take()
                value *= self._signed()
            elif token == "/":
                self._take()
                value /= self._signed()
            else:
                value *= self.power()
        return value

    def _signed(self) -> float:
        return self.power() if self._next() != "-" else -self._after().power()

    def _after(self) -> "_Reader":
        self._take()
        return self

    def power(self) -> float:
        base = self.atom()
        if self._next() != "^":
            return base
        self._take()
        exponent = self._signed()
        if abs(exponent) > 300 or (base < 0 and exponent != int(exponent)):
            raise ValueError("out of range")
        return float(base**exponent)

    def atom(self) -> float:
        token = self._take()
        if token in ("(", "{", "["):
            value = self.sum()
            if self._take() != {"(": ")", "{": "}", "[": "]"}[token]:
                raise ValueError("brackets do not match")
            return value
        if token == "\\frac":
            return self.atom() / self.atom()
        if token == "\\sqrt":
            degree = self.atom() if self._next() == "[" else 2.0
            inside = self.atom()
            if inside < 0:
                raise ValueError("no real root")
            return float(inside ** (1 / degree))
        if token == "\\pi":
            return math.pi
        if token == "e":
            return math.e
        if len(token) == 1 and token.isalpha():
            return 1.1 + zlib.crc32(token.encode()) % 97 / 41
        return float(token)

    def _next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def _take(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1]
