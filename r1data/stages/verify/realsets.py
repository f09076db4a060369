r"""Sets of real numbers however they are written: intervals, inequalities, set-builders, unions.

``x > 3``, ``(3, \infty)``, ``x \in (3, \infty)`` and ``\{x | x > 3\}`` are read into the same
`RealSet`, whose ends stay text for the caller to compare.
"""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from r1data.stages.verify.forms import split
from r1data.stages.verify.numbers import rational
from r1data.stages.verify.pieces import Span, common, merged, span
from r1data.stages.verify.structure import (
    Group,
    Leaf,
    Node,
    Relation,
    Union,
    alternatives,
    parse_answer,
)


class Piece(NamedTuple):
    """An interval; an end that is None is unbounded. A point is its own both closed ends."""

    low: str | None
    low_closed: bool
    high: str | None
    high_closed: bool


class RealSet(NamedTuple):
    """Pieces joined, and whether the text is surely a set (``(1,2)`` may be a point)."""

    pieces: tuple[Piece, ...]
    explicit: bool
    variable: str = ""


_BELOW = ("<", "\\le")
_ABOVE = (">", "\\ge")
_EVERYTHING = Piece(None, False, None, False)
_ALL_REALS = re.compile(
    r"\\mathbb\{R\}|(?-i:R)|(?:all|any|every|the set of (?:all )?)\s*(?:the )?real(?:s| numbers?)"
    r"|real numbers|모든 실수(?:이다)?|실수 전체(?:의 집합)?|全体实数"
    r"|所有实数|任意实数|一切实数|すべての実数",
    re.I,
)
_INFINITY = re.compile(r"([+-]?)\s*(?:\\infty|oo|infinity|inf|무한대|无穷)", re.I)
_VARIABLE = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?'*|\\[a-z]+|[A-Za-z]\s?\(\s?[A-Za-z]\s?\)")
_ABSOLUTE = re.compile(r"\|\s?([A-Za-z])\s?\|")
_EXCEPT = re.compile(
    r"\s+(?:except(?: for)?|excluding|other than|but not)\s+|\s*\(?제외\)?\s*", re.I
)


def real_set(node: Node) -> RealSet | None:
    """Return the set of real numbers that a node stands for, None if it stands for none."""
    if isinstance(node, Leaf):
        return _from_words(node.text)
    if isinstance(node, Relation):
        return _from_relation(node)
    if isinstance(node, Union):
        return _from_union(node)
    if node.kind == "interval" or (node.kind == "tuple" and node.brackets == "()"):
        return _from_pair(node)
    if node.kind == "set":
        points = [_text(item) for item in node.items]
        if all(point is not None for point in points):
            return RealSet(tuple(Piece(p, True, p, True) for p in points), False)
        return None
    return _from_list(node)


def _from_words(text: str) -> RealSet | None:
    if _ALL_REALS.fullmatch(text):
        return RealSet((_EVERYTHING,), True)
    parts = _EXCEPT.split(text, maxsplit=1)
    if len(parts) == 2 and _ALL_REALS.fullmatch(parts[0]):
        return _half_line("x", "\\ne", parts[1])
    return RealSet((), True) if text == "\\emptyset" else None


def _text(node: Node) -> str | None:
    return node.text if isinstance(node, Leaf) else None


def _end(text: str, sign: str = "") -> str | None:
    """Return the text of an end, None if it is infinity with the right sign."""
    found = _INFINITY.fullmatch(text.strip())
    wrong = found and sign and (found[1] or "+") != sign
    return None if found and not wrong else text.strip()


def _from_pair(node: Group) -> RealSet | None:
    if len(node.items) != 2:
        return None
    low, high = _text(node.items[0]), _text(node.items[1])
    if low is None or high is None:
        return None
    start, end = _end(low, "-"), _end(high, "+")
    explicit = node.kind == "interval" or start is None or end is None
    one, two = _value(low), _value(high)
    if not explicit and one is not None and two is not None and one >= two:
        return None  # a point
    piece = Piece(start, node.brackets[0] == "[", end, node.brackets[1] == "]")
    return RealSet((piece,), explicit)


def _from_relation(node: Relation) -> RealSet | None:
    sides, signs = node.sides, node.signs
    if signs[-1] == "\\in" and len(signs) == 1:
        inner = real_set(parse_answer(sides[1]))
        return inner and RealSet(inner.pieces, True, sides[0])
    if len(signs) == 1:
        return _half_line(sides[0], signs[0], sides[1])
    distance = _ABSOLUTE.fullmatch(sides[1]) if len(signs) == 2 else None
    if len(signs) != 2 or not (_VARIABLE.fullmatch(sides[1]) or distance):
        return None
    if all(sign in _BELOW for sign in signs):
        low, high, first, second = sides[0], sides[2], signs[0], signs[1]
    elif all(sign in _ABOVE for sign in signs):
        low, high, first, second = sides[2], sides[0], signs[1], signs[0]
    else:
        return None
    piece = Piece(_end(low), first in ("\\le", "\\ge"), _end(high), second in ("\\le", "\\ge"))
    if distance:
        return RealSet((_mirrored(piece), piece), True, distance[1])
    return RealSet((piece,), True, sides[1])


def _mirrored(piece: Piece) -> Piece:
    low = None if piece.high is None else _negative(piece.high)
    high = None if piece.low is None else _negative(piece.low)
    return Piece(low, piece.high_closed, high, piece.low_closed)


def _negative(text: str) -> str:
    return f"-{text}" if re.fullmatch(r"[\d.]+|\\frac\{\d+\}\{\d+\}", text) else f"-({text})"


def _half_line(left: str, sign: str, right: str) -> RealSet | None:
    if distance := _ABSOLUTE.fullmatch(left):
        above = Piece(_end(right), sign == "\\ge", None, False)
        below = Piece(_negative(right), sign == "\\le", _end(right), sign == "\\le")
        if sign in _ABOVE:
            return RealSet((_mirrored(above), above), True, distance[1])
        return RealSet((below,), True, distance[1]) if sign in _BELOW else None
    if not _VARIABLE.fullmatch(left):
        if not _VARIABLE.fullmatch(right):
            return None
        mirrored = dict(zip(_BELOW + _ABOVE, _ABOVE + _BELOW, strict=True))
        left, sign, right = right, mirrored.get(sign, sign), left
    elif _VARIABLE.fullmatch(right) and not right.startswith("\\"):
        return None
    if sign == "\\ne":
        node = parse_answer(right)
        points = [_text(item) for item in node.items] if isinstance(node, Group) else [right]
        return _without(left, [point for point in points if point]) if all(points) else None
    if sign in _BELOW:
        return RealSet((Piece(None, False, _end(right), sign == "\\le"),), True, left)
    if sign in _ABOVE:
        return RealSet((Piece(_end(right), sign == "\\ge", None, False),), True, left)
    return None


def _without(variable: str, points: Sequence[str]) -> RealSet | None:
    """Return the real line without points, which can be ordered only if they are numbers."""
    values = [_value(point) for point in points]
    if len(points) > 1 and any(value is None for value in values):
        return None
    ordered = [p for _, p in sorted(zip(values, points, strict=True))] if points[1:] else [*points]
    ends = [None, *ordered, None]
    pieces = (Piece(ends[i], False, ends[i + 1], False) for i in range(len(ends) - 1))
    return RealSet(tuple(pieces), True, variable)


def _value(text: str) -> Fraction | None:
    found = rational(split(text).text)
    return found[0] if found else None


def _from_union(node: Union) -> RealSet | None:
    if node.sign == "setminus":
        whole, removed = real_set(node.parts[0]), node.parts[1]
        if whole is None or whole.pieces != (_EVERYTHING,) or not isinstance(removed, Group):
            return None
        points = [_text(item) for item in removed.items]
        return _without("", [p for p in points if p]) if all(points) else None
    parts = [real_set(part) for part in node.parts]
    if any(part is None for part in parts):
        return None
    return RealSet(tuple(piece for part in parts if part for piece in part.pieces), True)


def _from_list(node: Group) -> RealSet | None:
    """Read ``x < 1 or x > 3`` and ``x > 1, x < 3``: which is meant is told by the values."""
    if not all(isinstance(item, Relation | Union | Group) for item in node.items):
        return None
    if any(isinstance(item, Group) and item.kind != "interval" for item in node.items):
        return None
    parts = [real_set(item) for item in node.items]
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) or len({part.variable for part in known if part.variable}) > 1:
        return None
    variable = next((part.variable for part in known if part.variable), "")
    points = [_excluded(part) for part in known]
    if all(points):
        return _without(variable, [point for point in points if point])
    if len(known) == 2 and all(len(part.pieces) == 1 for part in known):
        low, high = sorted((part.pieces[0] for part in known), key=lambda p: p.low is None)
        if low.low is not None and low.high is None and high.low is None and high.high is not None:
            start, end = _value(low.low), _value(high.high)
            if start is not None and end is not None and start < end:
                both = Piece(low.low, low.low_closed, high.high, high.high_closed)
                return RealSet((both,), True, variable)
    return RealSet(tuple(piece for part in known for piece in part.pieces), True, variable)


_AND = re.compile(r"\band\b|그리고|且|かつ|\\land|\\wedge")
Value = Callable[[str], Fraction | None]


def spans(node: Node, value: Value) -> tuple[Span, ...] | None:
    """Return a set of reals as spans, "and" and "or" carried out; None if an end has no value.

    Commas join conditions that hold together if they can (``x > 1, x < 3``), else alternatives.
    """
    if isinstance(node, Group) and node.kind == "list" and node.text:
        strict = _AND.search(node.text) is not None
        parts = [_together(part, value, strict) for part in alternatives(node.text)]
        if any(part is None for part in parts):
            return None
        return merged(one for part in parts if part is not None for one in part)
    if isinstance(node, Union) and node.sign == "cup":
        found = [spans(part, value) for part in node.parts]
        if any(part is None for part in found):
            return None
        return merged(one for part in found if part is not None for one in part)
    whole = _point(node) or real_set(node)
    return None if whole is None else _valued(whole, value)


def variables(node: Node) -> set[str]:
    """Return what the inequalities of a node are about."""
    if isinstance(node, Group | Union):
        members = node.items if isinstance(node, Group) else node.parts
        return set().union(*map(variables, members))
    if not isinstance(node, Relation) or node.signs == ("=",):
        return set()
    named = [s for s in node.sides if _VARIABLE.fullmatch(s) or _ABSOLUTE.fullmatch(s)]
    return {named[0].strip("| ")} if named else set()


def _together(items: Sequence[str], value: Value, strict: bool) -> tuple[Span, ...] | None:
    found = [spans(parse_answer(item), value) for item in items]
    known = [part for part in found if part is not None]
    if len(known) != len(found) or not known:
        return None
    both = known[0]
    for part in known[1:]:
        both = common(both, part)
    return both or (() if strict else merged(one for part in known for one in part))


def _point(node: Node) -> RealSet | None:
    if isinstance(node, Relation) and node.signs == ("=",) and _VARIABLE.fullmatch(node.sides[0]):
        return RealSet((Piece(node.sides[1], True, node.sides[1], True),), False, node.sides[0])
    return None


def _valued(found: RealSet, value: Value) -> tuple[Span, ...] | None:
    out = []
    for piece in found.pieces:
        low = None if piece.low is None else value(piece.low)
        high = None if piece.high is None else value(piece.high)
        if (low is None) != (piece.low is None) or (high is None) != (piece.high is None):
            return None
        out.append(span(low, piece.low_closed, high, piece.high_closed))
    return merged(out)


def _excluded(part: RealSet) -> str | None:
    """Return the one point that a set leaves out of the real line."""
    if len(part.pieces) != 2:
        return None
    first, second = part.pieces
    hole = first.low is None and second.high is None and first.high == second.low
    return first.high if hole and not first.high_closed and not second.low_closed else None
