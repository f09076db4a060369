"""The form of a turn, as an answer of its own: where the thinking stands, and what follows it.

The faults and their order are those of the ``format`` rule of the filter stage, which says the same
of a whole table in polars; a test holds the two together.
"""

import json
import re
from collections.abc import Iterator

from r1data.core.records import Verdict
from r1data.core.text import THINK_CLOSE, THINK_OPEN
from r1data.stages.verify.extract import Extract, answer_part, boxed

_ANSWER_OPEN = "<answer>"
_ANSWER_CLOSE = "</answer>"
_OPTIONS: dict[str, tuple[object, ...]] = {
    "answer_tags": (False, True),
    "boxed": (False, True),
    "thinking": ("required", "forbidden"),
}


def check_format(
    payload: str | None, text: str, extract: Extract = "any", prefill: str = ""
) -> Verdict:
    """Return correct for a well-formed turn (prefill and text), else wrong with the first fault.

    Well-formed is R1's form: exactly one ``<think>…</think>``, not empty, with nothing before it
    and an answer after it. ``payload`` is JSON and may ask for more: ``answer_tags`` (true: exactly
    one ``<answer>…</answer>`` after the thinking, and nothing else), ``boxed`` (true: a box in the
    answer), ``thinking`` (required, the default, or forbidden). The method is the fault's name:
    no_think, unclosed_think, repeated_think, text_before_think, empty_reasoning, empty_answer,
    unexpected_think, no_answer, unclosed_answer, repeated_answer, text_before_answer,
    text_after_answer, no_box. A payload that is none of this has status error. ``extract`` has no
    bearing.
    """
    options = _read_options(payload)
    if isinstance(options, str):
        return Verdict(status="error", method=options)
    turn = prefill + text
    forbidden = options.get("thinking") == "forbidden"
    fault = next(_no_thinking_faults(turn) if forbidden else _thinking_faults(turn), None)
    if fault is None and options.get("answer_tags"):
        fault = next(_answer_faults(turn, forbidden), None)
    if fault is None and options.get("boxed"):
        part = answer_part(text, prefill)
        fault = None if part and boxed(part) else "no_box"
    return Verdict(
        status="wrong" if fault else "correct", method=fault or "format", score=float(not fault)
    )


def _read_options(payload: str | None) -> dict[str, object] | str:
    """Return the options, or what is wrong with them."""
    try:
        options = json.loads(payload) if payload else {}
    except (ValueError, RecursionError):
        return "payload is not JSON"
    if not isinstance(options, dict):
        return "payload is no object"
    for name, value in options.items():
        if not any(value is allowed or value == allowed for allowed in _OPTIONS.get(name, ())):
            return f"payload: {name[:40]!a} is none of {', '.join(_OPTIONS)} or has no such value"
    return options


def _thinking_faults(turn: str) -> Iterator[str]:
    opened, closed = turn.count(THINK_OPEN), turn.count(THINK_CLOSE)
    if opened == 0:
        yield "no_think"
    if closed == 0:
        yield "unclosed_think"
    if opened > 1 or closed > 1:
        yield "repeated_think"
    if not turn.lstrip().startswith(THINK_OPEN):
        yield "text_before_think"
    thinking, _, answer = turn.partition(THINK_CLOSE)
    if not thinking.lstrip().removeprefix(THINK_OPEN).strip():
        yield "empty_reasoning"
    if not answer.strip():
        yield "empty_answer"


def _no_thinking_faults(turn: str) -> Iterator[str]:
    if THINK_OPEN in turn or THINK_CLOSE in turn:
        yield "unexpected_think"
    if not turn.strip():
        yield "empty_answer"


def _answer_faults(turn: str, forbidden: bool) -> Iterator[str]:
    opened, closed = turn.count(_ANSWER_OPEN), turn.count(_ANSWER_CLOSE)
    if opened == 0:
        yield "no_answer"
    if closed == 0:
        yield "unclosed_answer"
    if opened > 1 or closed > 1:
        yield "repeated_answer"
    part = (turn if forbidden else turn.partition(THINK_CLOSE)[2]).strip()
    if not part.startswith(_ANSWER_OPEN):
        yield "text_before_answer"
    if re.search(rf"{_ANSWER_OPEN}\s*{_ANSWER_CLOSE}", part):
        yield "empty_answer"
    if not part.endswith(_ANSWER_CLOSE):
        yield "text_after_answer"
