"""Comparing two answers by math-verify, inside a worker process: nothing here limits its time."""

import importlib
from typing import Any

Reply = tuple[str, str, float | None]


def judge_math(gold: str, answer: str) -> Reply:
    """Return (status, method, None) of two answers in LaTeX or plain notation, by math-verify.

    Never symmetric: the gold's form leads. Without a time limit: run it in a worker.
    """
    golds = _parse(gold)
    if not golds:
        return "bad_gold", "unparsed", None
    answers = _parse(answer)
    if not answers:
        return "wrong", "unparsed", None
    verify = importlib.import_module("math_verify").verify
    failure: str | None = None
    for one in golds:
        for other in answers:
            try:
                if verify(one, other, timeout_seconds=None, raise_on_error=True):
                    return "correct", "sympy", None
            except MemoryError:
                raise
            except Exception:  # sympy raises whatever it likes on things that do not compare
                failure = "incomparable"
    return "wrong", failure or "sympy", None


def _parse(text: str) -> list[Any]:
    """Return what math-verify reads in the whole text; nothing if it cannot."""
    math_verify = importlib.import_module("math_verify")
    config = math_verify.LatexExtractionConfig(boxed_match_priority=0)
    # LaTeX is read only between delimiters, and a number found inside text that failed to parse
    # would pass for the whole of it; so everything is delimited and nothing else is tried.
    wrapped = text if "$" in text else f"${' '.join(text.split())}$"
    options = {"parsing_timeout": None, "raise_on_error": True, "fallback_mode": "no_fallback"}
    try:
        return list(math_verify.parse(wrapped, [config], **options))
    except MemoryError:
        raise
    except Exception:  # what cannot be read has no reading
        return []
