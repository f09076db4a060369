"""Answers to reasoning-gym problems, scored by their own data set in a killable worker.

The entry's own answer, where it has one, is correct without its scorer: the scorers of arc_agi and
rearc deny it once the entry has been through JSON. A few scorers of reasoning-gym 0.1.25 give full
marks to answers that are wrong; those answers never reach them (`_STRICTER`).

Several scorers of reasoning-gym pass the answer to ``eval``. An answer that could call anything
there is refused before it is scored; the worker's limits are a second wall, not a sandbox.
"""

import importlib.util
import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from r1data.core.errors import MissingExtraError
from r1data.core.records import Verdict
from r1data.stages.verify.extract import Extract, answer_part, last_number, marked, phrase
from r1data.stages.verify.limits import MAX_LENGTH, limit_reason
from r1data.stages.verify.string import printable

MAX_ANSWER = 20_000
_REFUSED = ("power", "factorial", "digits")
_DANGEROUS = re.compile(
    r"__|\b(?:import|eval|exec|compile|open|input|breakpoint|getattr|setattr|delattr|globals|locals"
    r"|vars|lambda|lambdify|sympify|parse_expr|preview|init_session|source|autowrap|ufuncify"
    r"|plot\w*|pytest|test|doctest|os|sys|subprocess)\b"
)
_NOT_A_NUMBER = re.compile(r"(?<![a-z])(?:nan|inf(?:inity)?)(?:[ij]|(?![a-z]))")
# A denominator of zero and exponents that would fill the memory are no numbers here.
_NUMBER = re.compile(
    r"[+-]?(?:\d{1,60}/0*[1-9]\d{0,60}|(?:\d{1,60}\.?\d{0,60}|\.\d{1,60})(?:[eE][+-]?\d{1,3})?)",
    re.ASCII,
)
_TOLERANCE = Fraction(1, 10_000)
_ATTRIBUTE = re.compile(r"[\])'\"\w]\s*\.\s*[A-Za-z_]\w*\s*\(")


class GymJob(NamedTuple):
    """What the worker has to score."""

    dataset: str
    entry: dict[str, Any]
    answer: str


def require_gym() -> None:
    """Raise MissingExtraError unless reasoning-gym is installed."""
    if importlib.util.find_spec("reasoning_gym") is None:
        raise MissingExtraError("scoring reasoning-gym answers", "gym")


def prepare_gym(
    payload: str | None, text: str, extract: Extract = "any", prefill: str = ""
) -> Verdict | GymJob:
    """Return the job of a row, or its verdict where there is nothing to score.

    ``payload`` is JSON: ``{"dataset": NAME, "entry": {…}}``, the entry as reasoning-gym made it.
    """
    try:
        data = json.loads(payload or "")
        dataset, entry = data["dataset"], data["entry"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Verdict(status="error", method="payload is no gym entry")
    if not isinstance(dataset, str) or not isinstance(entry, dict):
        return Verdict(status="error", method="payload is no gym entry")
    part = answer_part(text, prefill)
    answer = _answer(part, entry, extract) if part else None
    if not answer:
        return Verdict(status="no_answer")
    oracle = entry.get("answer")
    if isinstance(oracle, str) and oracle.strip() and answer.strip() == oracle.strip():
        return Verdict(status="correct", extracted=printable(answer), method="oracle", score=1.0)
    if refusal := _refusal(answer):
        return refusal
    may_be_right = _STRICTER.get(dataset)
    if may_be_right and isinstance(oracle, str) and not may_be_right(answer, oracle):
        said = printable(answer)
        return Verdict(status="wrong", extracted=said, method="beyond its scorer", score=0.0)
    return GymJob(dataset, entry, printable(answer))


def _refusal(answer: str) -> Verdict | None:
    """Return the verdict on an answer that no scorer shall see."""
    if len(answer) > MAX_ANSWER:
        return Verdict(status="limit", method="length")
    if is_unsafe(answer):
        return Verdict(status="limit", extracted=printable(answer), method="unsafe")
    if len(answer) <= MAX_LENGTH and (reason := limit_reason(answer)) in _REFUSED:
        return Verdict(status="limit", extracted=printable(answer), method=reason)
    return None


def is_unsafe(answer: str) -> bool:
    """Return whether an answer could call something if it were evaluated as Python."""
    return "(" in answer and bool(_DANGEROUS.search(answer) or _ATTRIBUTE.search(answer))


def _is_near(answer: str, oracle: str) -> bool:
    """Return whether two numbers are equal to 1e-4: a scorer gave 1 to any prefix, such as 0."""
    sides = [side.replace(",", "").strip() for side in (answer, oracle)]
    if not all(_NUMBER.fullmatch(side) for side in sides):
        return False
    said, wanted = map(Fraction, sides)
    return abs(said - wanted) <= _TOLERANCE


def _is_finite(answer: str, oracle: str) -> bool:
    """Return whether no part is NaN or infinite: a scorer took min(1, NaN) for 1."""
    return not _NOT_A_NUMBER.search(answer.casefold())


def _is_as_long(answer: str, oracle: str) -> bool:
    """Return whether the length is right: a scorer gave 1 to a word said twice."""
    return len(answer.strip()) == len(oracle.strip())


_STRICTER: dict[str, Callable[[str, str], bool]] = {
    "coin_flip": _is_near,
    "complex_arithmetic": _is_finite,
    "spell_backward": _is_as_long,
}


def _answer(part: str, entry: dict[str, Any], extract: Extract) -> str | None:
    found = marked(part)
    if found or extract == "marked":
        return found
    if said := phrase(part):
        return said
    gold = str(entry.get("answer"))
    if re.fullmatch(r"-?\d+(?:\.\d+)?", gold):
        return last_number(part)
    return part  # boards and lists are answers as a whole
