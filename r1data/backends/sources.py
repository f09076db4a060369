"""Problem sources: Hub datasets, reasoning-gym, and the fields of HumanEval and MBPP."""

import contextlib
import io
import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from r1data.core.errors import BackendError, ConfigError, MissingExtraError

NO_ORACLE = frozenset({"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"})
"""reasoning-gym 0.1.25 tasks whose own answer is None: only their scorer can judge."""


def hub_rows(
    name: str, *, split: str = "train", config: str | None = None, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Hub dataset, streamed when a limit is given.

    Raises BackendError if the dataset cannot be loaded, with the library's own first line.
    """
    import datasets

    try:
        rows = datasets.load_dataset(name, config, split=split, streaming=limit is not None)
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise BackendError(f"dataset {name!r} (split {split!r}) did not load: {first}") from error
    for number, row in enumerate(rows):
        if limit is not None and number >= limit:
            return
        yield dict(row)


def gym_names() -> list[str]:
    """Return the names of reasoning-gym's tasks."""
    try:
        with warnings.catch_warnings():
            # A dependency compares with `is` and is told so at its first import.
            warnings.simplefilter("ignore", SyntaxWarning)
            from reasoning_gym.factory import DATASETS
    except ImportError:
        raise MissingExtraError("reasoning-gym problems", "gym") from None
    return sorted(DATASETS)


def gym_rows(
    name: str, *, size: int, seed: int = 0, options: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """Yield ``prompt``, ``answer`` and ``payload`` of each row of a reasoning-gym task, as a dict.

    The payload is what its scorer needs to judge an answer. A row whose entry does not survive JSON
    comes as a complaint (a str) instead. Raises ConfigError for an unknown task or option, naming
    the valid ones.
    """
    names = gym_names()
    if name not in names:
        close = ", ".join(names)
        raise ConfigError(f"reasoning-gym has no task {name!r}; it has {close}")
    import reasoning_gym

    try:
        # Some tasks print while they generate; results belong on stdout, noise does not.
        with contextlib.redirect_stdout(io.StringIO()):
            tasks = reasoning_gym.create_dataset(name, size=size, seed=seed, **dict(options or {}))
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigError(f"gym:{name} does not take these options: {error}") from error
    for number in range(size):
        with contextlib.redirect_stdout(io.StringIO()):
            entry = tasks[number]
        payload = gym_payload(name, entry)
        if payload is None:
            yield "its entry cannot be stored as JSON"
            continue
        oracle = None if name in NO_ORACLE else entry["answer"]
        yield {
            "prompt": entry["question"],
            "answer": None if oracle is None else str(oracle),
            "payload": payload,
            "source_id": f"{seed}:{number}",
        }


def gym_payload(name: str, entry: Mapping[str, Any]) -> str | None:
    """Return the JSON that a task's scorer needs, or None if the entry does not survive it.

    A value that JSON does not know (a fraction among the variables of gsm_symbolic) is stored as
    its text, if the scorer still gives 1 to the entry's own answer.
    """
    content = {"dataset": name, "entry": dict(entry)}
    try:
        return json.dumps(content, ensure_ascii=False)
    except TypeError:
        pass
    import reasoning_gym

    try:
        payload = json.dumps(content, ensure_ascii=False, default=str)
        scorer = reasoning_gym.get_score_answer_fn(name)
        with contextlib.redirect_stdout(io.StringIO()):
            score = float(scorer(entry["answer"], json.loads(payload)["entry"]))
    except Exception:  # a scorer raises whatever it likes on an entry that it does not know
        return None
    return payload if score == 1.0 else None


def humaneval_payload(row: Mapping[str, Any]) -> str:
    """Return the payload of a row of HumanEval (prompt, test, entry_point)."""
    kept = {"check": row["test"], "entry_point": row["entry_point"], "prompt": row["prompt"]}
    return json.dumps(kept, ensure_ascii=False)


def mbpp_payload(row: Mapping[str, Any]) -> str:
    """Return the payload of a row of MBPP (test_list, test_setup_code or test_imports)."""
    setup = "\n".join([*row.get("test_imports", []), row.get("test_setup_code") or ""]).strip()
    return json.dumps({"asserts": row["test_list"], "setup": setup}, ensure_ascii=False)


def code_payload(row: Mapping[str, Any]) -> str | None:
    """Return the payload of a row that has HumanEval's or MBPP's fields, None for any other."""
    if all(isinstance(row.get(name), str) for name in ("test", "entry_point", "prompt")):
        return humaneval_payload(row)
    tests = row.get("test_list")
    if isinstance(tests, list) and tests and all(isinstance(test, str) for test in tests):
        return mbpp_payload(row)
    return None
