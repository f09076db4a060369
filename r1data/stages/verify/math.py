"""Mathematical answers: what is decided without sympy, and what may be shown to it at all."""

import re
from typing import NamedTuple

from r1data.stages.verify.extract import Extract, extract_answer, phrase
from r1data.stages.verify.forms import Form, read
from r1data.stages.verify.latex import squeezed, tidy
from r1data.stages.verify.leaf import (
    Decided,
    by_comma,
    by_letter,
    by_yes_or_no,
    quick,
    without_heading,
    without_letter,
)
from r1data.stages.verify.limits import MAX_LENGTH, limit_reason
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.stated import is_bare, only_amount, statement
from r1data.stages.verify.structure import Leaf, parse_answer

_DIGITS = re.compile(r"\d+")
_VALUE = re.compile(r"[\s$(\[{]*[-+]?[\d\\$]")
_CONDITION = re.compile(r"\b(?:when|if|where|for|at)\b")


class Pair(NamedTuple):
    """What a worker has to compare: tidy texts."""

    gold: str
    answer: str


def decide(gold: str, answer: str, policy: VerifyPolicy) -> Decided | Pair:
    """Return the status of a pair of answers, or the pair that a worker has to compare."""
    if not gold.strip(" .,;:!$"):
        return Decided("bad_gold", "empty")
    for side, text in (("gold ", gold), ("", answer)):
        if len(text) > MAX_LENGTH:
            return Decided("limit", f"{side}length")
    ours, theirs = tidy(gold), tidy(answer)
    if not ours.strip(" .,;:!"):
        return Decided("bad_gold", "empty")
    if not theirs.strip(" .,;:!"):
        return Decided("wrong", "empty")
    if squeezed(ours) == squeezed(theirs):
        return Decided("correct", "exact")
    ours, theirs = without_letter(ours, theirs), without_letter(theirs, ours)
    ours, theirs = without_heading(ours, theirs), without_heading(theirs, ours)
    if whole := by_letter(ours, theirs) or by_comma(ours, theirs):
        return whole
    if decided := by_yes_or_no(ours, theirs):
        return decided
    one, other = parse_answer(ours), parse_answer(theirs)
    if (
        isinstance(one, Leaf)
        and isinstance(other, Leaf)
        and (decided := quick(read(one.text), read(other.text), policy))
    ):
        return decided
    for side, text in (("gold ", ours), ("", theirs)):
        if reason := limit_reason(text):
            return Decided("limit", side + reason)
    return Pair(ours, theirs)


def gold_answer(gold: str) -> str:
    r"""Return the answer that a gold text holds: itself, or what a worked solution boxes."""
    if "boxed" in gold or "####" in gold:
        found = extract_answer(gold, "any") or ""
        return "" if "boxed" in found else found
    if len(gold) <= MAX_LENGTH and (not is_bare(gold) or ":" in gold):
        said = phrase(gold) or _whole_statement(gold)
        if said and is_bare(said) and _VALUE.match(said) and not _CONDITION.search(said):
            return said
        return only_amount(gold) or gold
    return gold


def _whole_statement(gold: str) -> str | None:
    """Return what a sentence says if it leaves no other number out."""
    said = statement(gold)
    whole = said and len(_DIGITS.findall(gold)) == len(_DIGITS.findall(said))
    return said if whole else None


__all__ = ["Decided", "Extract", "Form", "Pair", "VerifyPolicy", "decide", "gold_answer"]
