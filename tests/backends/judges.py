"""Functions for workers to run: a judge without any protection of its own, and misbehaviour."""

import os
import signal
import time
from typing import Any

from math_verify import parse, verify


def judge(gold: str, answer: str) -> tuple[str, str, None]:
    """Compare by math-verify alone, its timeouts off."""
    golds, answers = (parse(f"${text}$", parsing_timeout=None) for text in (gold, answer))
    same = verify(golds, answers, timeout_seconds=None)
    return "correct" if same else "wrong", "math-verify", None


def double(chunk: list[Any]) -> list[Any]:
    return [value * 2 for value in chunk]


def behave(chunk: dict[str, Any]) -> Any:
    """Do what the chunk says: sleep, raise, die, take memory, or return its own value."""
    time.sleep(chunk.get("sleep", 0))
    if "raise" in chunk:
        raise ValueError(chunk["raise"])
    if "die" in chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    if "spin" in chunk:
        return 9 ** (9**9)  # one long call that holds the interpreter
    taken = bytearray(chunk.get("bytes", 0))
    return [chunk.get("value"), len(taken), os.getpid()]
