"""Data for reasoning models the DeepSeek-R1 way.

The names below are the public ones; everything else may change. They are imported when they are
first used, so that ``import r1data`` stays light.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r1data.api import (
        Consistency,
        Verdict,
        judge_traces,
        language_consistency,
        read,
        run,
        sample,
        verify,
        verify_many,
    )

__version__ = "0.1.0"

__all__ = [
    "Consistency",
    "Verdict",
    "judge_traces",
    "language_consistency",
    "read",
    "run",
    "sample",
    "verify",
    "verify_many",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("r1data.api"), name)
    raise AttributeError(f"module 'r1data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
