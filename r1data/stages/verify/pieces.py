"""Sets of real numbers whose ends have values: union, intersection and a normal form."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple


class Cut(NamedTuple):
    """A place on the real line: just before a value (side -1), at it, or just after it (1)."""

    value: Fraction
    side: int


class Span(NamedTuple):
    """What lies between two cuts; an end that is None is unbounded."""

    low: Cut | None
    high: Cut | None


def span(low: Fraction | None, low_closed: bool, high: Fraction | None, high_closed: bool) -> Span:
    """Return the span of an interval."""
    return Span(
        None if low is None else Cut(low, -1 if low_closed else 1),
        None if high is None else Cut(high, 1 if high_closed else -1),
    )


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the union of spans, sorted, without overlaps, empty ones or shared ends."""
    out: list[Span] = []
    for one in sorted((s for s in spans if not _is_empty(s)), key=_start):
        if out and _reaches(out[-1].high, one.low):
            out[-1] = Span(out[-1].low, _later(out[-1].high, one.high))
        else:
            out.append(one)
    return tuple(out)


def common(one: Sequence[Span], other: Sequence[Span]) -> tuple[Span, ...]:
    """Return the intersection of two unions of spans."""
    both = [
        Span(_latest_start(a.low, b.low), _earliest_end(a.high, b.high)) for a in one for b in other
    ]
    return merged(both)


def _start(one: Span) -> tuple[bool, Cut]:
    return one.low is not None, one.low or Cut(Fraction(0), 0)


def _is_empty(one: Span) -> bool:
    return one.low is not None and one.high is not None and one.low >= one.high


def _reaches(high: Cut | None, low: Cut | None) -> bool:
    return high is None or low is None or low <= high


def _later(one: Cut | None, other: Cut | None) -> Cut | None:
    return None if one is None or other is None else max(one, other)


def _latest_start(one: Cut | None, other: Cut | None) -> Cut | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def _earliest_end(one: Cut | None, other: Cut | None) -> Cut | None:
    if one is None or other is None:
        return one or other
    return min(one, other)
