"""One definition of correct, for rows of a table, for an evaluation and for a reward."""

import json
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from r1data.backends.math_pool import MathPool, shared_pool
from r1data.core.errors import InputError
from r1data.core.records import Status, Verdict
from r1data.stages.verify.choice import check_choice
from r1data.stages.verify.extract import extract_answer
from r1data.stages.verify.gym import GymJob, prepare_gym, require_gym
from r1data.stages.verify.math import Decided, Pair, VerifyPolicy, decide
from r1data.stages.verify.string import check_string

VERIFIERS = ("math", "choice", "string", "gym")


class Row(NamedTuple):
    """One answer to judge."""

    verifier: str
    gold: str | None
    text: str | None
    payload: str | None = None
    prefill: str | None = None


_Memo = dict[tuple[str, str], Decided | Pair]


class _MathJob(NamedTuple):
    pair: Pair
    extracted: str


def verify(
    gold: str | None,
    text: str,
    verifier: str = "math",
    policy: VerifyPolicy | None = None,
    *,
    timeout: float = 5.0,
    payload: str | None = None,
    prefill: str = "",
) -> Verdict:
    """Return the verdict on one completion. See `verify_many`."""
    rows = [Row(verifier, gold, text, payload, prefill)]
    return judge_rows(rows, policy or VerifyPolicy(), shared_pool, timeout)[0]


def verify_many(
    golds: Sequence[str | None],
    texts: Sequence[str],
    verifier: str = "math",
    policy: VerifyPolicy | None = None,
    *,
    workers: int = 2,
    timeout: float = 5.0,
    payloads: Sequence[str | None] | None = None,
    prefills: Sequence[str] | None = None,
) -> list[Verdict]:
    """Return the verdict on each completion, in order, judged in parallel.

    ``verifier`` is math, choice, string or gym; ``payloads`` are their JSON (options, aliases, a
    gym entry); ``prefills`` are what the template had put into the assistant's turn. A row never
    raises: what goes wrong with it is its status. The worker processes belong to this process and
    are kept for the next call. Raises InputError if the sequences differ in length,
    MissingExtraError if verifier is gym without reasoning-gym, and BackendError if no worker can be
    started at all.
    """
    count = len(golds)
    payloads = [None] * count if payloads is None else payloads
    prefills = [""] * count if prefills is None else prefills
    if not count == len(texts) == len(payloads) == len(prefills):
        raise InputError(
            f"{count} golds, {len(texts)} texts, {len(payloads)} payloads and {len(prefills)} "
            "prefills: give one of each per row"
        )
    rows = [
        Row(verifier, gold, text, payload, prefill)
        for gold, text, payload, prefill in zip(golds, texts, payloads, prefills, strict=True)
    ]
    return judge_rows(rows, policy or VerifyPolicy(), lambda: shared_pool(workers), timeout)


def judge_rows(
    rows: Sequence[Row], policy: VerifyPolicy, pool: Callable[[], MathPool], timeout: float
) -> list[Verdict]:
    """Return a verdict per row, in order. ``pool`` is asked only if a worker is needed."""
    if any(row.verifier == "gym" for row in rows):
        require_gym()
    decided: _Memo = {}
    verdicts: dict[int, Verdict] = {}
    maths: dict[int, _MathJob] = {}
    gyms: dict[int, GymJob] = {}
    for number, row in enumerate(rows):
        prepared = _prepare(row, policy, decided)
        if isinstance(prepared, Verdict):
            verdicts[number] = prepared
        elif isinstance(prepared, GymJob):
            gyms[number] = prepared
        else:
            maths[number] = prepared
    if maths:
        checked = pool().check_many([job.pair for job in maths.values()], timeout)
        for (number, job), (status, method, seconds) in zip(maths.items(), checked, strict=True):
            verdicts[number] = _verdict(status, job.extracted, method, seconds)
    if gyms:
        scored = pool().score_many(list(gyms.values()), timeout)
        for (number, gym), outcome in zip(gyms.items(), scored, strict=True):
            verdict = _verdict(outcome.status, gym.answer, outcome.method, outcome.seconds)
            verdicts[number] = verdict.model_copy(update={"score": outcome.score})
    return [verdicts[number] for number in range(len(rows))]


def _prepare(row: Row, policy: VerifyPolicy, decided: _Memo) -> Verdict | _MathJob | GymJob:
    """Return the verdict of a row, or what a worker has to do for it. Never raises."""
    started = time.perf_counter()
    try:
        prepared = _begin(row, policy, decided)
    except Exception as error:  # a row's fault, whatever it is, stays with the row
        prepared = Verdict(status="error", method=f"{type(error).__name__}: {error}"[:200])
    if isinstance(prepared, Verdict):
        return prepared.model_copy(update={"seconds": time.perf_counter() - started})
    return prepared


def _begin(row: Row, policy: VerifyPolicy, decided: _Memo) -> Verdict | _MathJob | GymJob:
    if row.verifier not in VERIFIERS:
        return Verdict(status="error", method=f"unknown verifier {row.verifier}")
    text, prefill = row.text or "", row.prefill or ""
    if row.verifier == "gym":
        return prepare_gym(row.payload, text, policy.extract, prefill)
    if row.gold is None or not str(row.gold).strip():
        return Verdict(status="bad_gold", method="empty")
    gold = str(row.gold)
    if row.verifier == "math":
        return _begin_math(gold, text, prefill, policy, decided)
    if row.verifier == "choice":
        options = _strings(row.payload, "options")
        return check_choice(gold, text, options, policy.extract, prefill)
    aliases = _strings(row.payload, "aliases")
    return check_string(gold, text, aliases, policy.extract, prefill)


def _begin_math(
    gold: str, text: str, prefill: str, policy: VerifyPolicy, decided: _Memo
) -> Verdict | _MathJob:
    extracted = extract_answer(text, policy.extract, prefill)
    if extracted is None:
        return Verdict(status="no_answer")
    key = (gold, extracted)
    if key not in decided:
        decided[key] = decide(gold, extracted, policy)
    found = decided[key]
    if isinstance(found, Pair):
        return _MathJob(found, extracted)
    return _verdict(found.status, extracted, found.method, 0.0)


def _verdict(status: Status, extracted: str, method: str, seconds: float) -> Verdict:
    score = {"correct": 1.0, "wrong": 0.0}.get(status)
    return Verdict(status=status, extracted=extracted, method=method, score=score, seconds=seconds)


def _strings(payload: str | None, key: str) -> list[str]:
    values = json.loads(payload).get(key, []) if payload else []
    return [str(value) for value in values]
