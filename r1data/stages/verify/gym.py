"""Answers to reasoning-gym problems, scored by their own data set in a killable worker.

Several scorers of reasoning-gym pass the answer to ``eval``. An answer that could call anything
there is refused before it is scored; the worker's limits are a second wall, not a sandbox.
"""

import importlib.util
import json
import re
from typing import Any, NamedTuple

from r1data.core.errors import MissingExtraError
from r1data.core.records import Verdict
from r1data.stages.verify.extract import Extract, answer_part, last_number, marked, phrase
from r1data.stages.verify.math import MAX_LENGTH, limit_reason

MAX_ANSWER = 20_000
_REFUSED = ("power", "factorial", "digits")
_DANGEROUS = re.compile(
    r"__|\b(?:import|eval|exec|compile|open|input|breakpoint|getattr|setattr|delattr|globals|locals"
    r"|vars|lambda|lambdify|sympify|parse_expr|preview|init_session|source|autowrap|ufuncify"
    r"|plot\w*|pytest|test|doctest|os|sys|subprocess)\b"
)
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
    except (ValueError, KeyError, TypeError):
        return Verdict(status="error", method="payload is no gym entry")
    if not isinstance(dataset, str) or not isinstance(entry, dict):
        return Verdict(status="error", method="payload is no gym entry")
    part = answer_part(text, prefill)
    answer = _answer(part, entry, extract) if part else None
    if not answer:
        return Verdict(status="no_answer")
    if len(answer) > MAX_ANSWER:
        return Verdict(status="limit", method="length")
    if is_unsafe(answer):
        return Verdict(status="limit", extracted=answer, method="unsafe")
    if len(answer) <= MAX_LENGTH and (reason := limit_reason(answer)) in _REFUSED:
        return Verdict(status="limit", extracted=answer, method=reason)
    return GymJob(dataset, entry, answer)


def is_unsafe(answer: str) -> bool:
    """Return whether an answer could call something if it were evaluated as Python."""
    return "(" in answer and bool(_DANGEROUS.search(answer) or _ATTRIBUTE.search(answer))


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
