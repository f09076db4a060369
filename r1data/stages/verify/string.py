"""Answers that are words: equal after folding, or equal to an alias."""

from collections.abc import Sequence

from r1data.core.records import Verdict
from r1data.core.text import fold
from r1data.stages.verify.extract import (
    Extract,
    answer_part,
    bold,
    marked,
    phrase,
    strip_delimiters,
)

_EDGES = " \t\n.,;:!?。、，；：！？\"'“”‘’「」『』`*"


def check_string(
    gold: str, text: str, aliases: Sequence[str] = (), extract: Extract = "any", prefill: str = ""
) -> Verdict:
    """Return the verdict on a text answer: NFKC, case, white space and edge punctuation folded."""
    wanted = canonical(gold)
    if not wanted:
        return Verdict(status="bad_gold", method="empty")
    part = answer_part(text, prefill)
    found = marked(part) if part else None
    if part and not found and extract == "any":
        found = phrase(part) or bold(part) or strip_delimiters(part.rsplit("\n", 1)[-1])
    if not found:
        return Verdict(status="no_answer")
    said = canonical(found)
    if said == wanted:
        return Verdict(status="correct", extracted=found, method="exact", score=1.0)
    if said and said in {canonical(alias) for alias in aliases}:
        return Verdict(status="correct", extracted=found, method="alias", score=1.0)
    return Verdict(status="wrong", extracted=found, method="exact", score=0.0)


def canonical(text: str) -> str:
    r"""Return the folded text without ``\text{}`` and without punctuation at its edges."""
    text = strip_delimiters(text)
    if text.startswith("\\text{") and text.endswith("}"):
        text = text[len("\\text{") : -1]
    return fold(text).strip(_EDGES)
