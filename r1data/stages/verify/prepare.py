"""From a row to its verdict, or to what an engine has to do for it: all that text alone decides.

Many rows are sent to the pool's workers in chunks, so that every core reads answers.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from r1data.backends.math_pool import MathPool
from r1data.core.records import Verdict
from r1data.stages.verify.choice import check_choice
from r1data.stages.verify.code import prepare_code
from r1data.stages.verify.engines import Job, MathJob, verdict_of
from r1data.stages.verify.extract import extract_answer
from r1data.stages.verify.format import check_format
from r1data.stages.verify.gym import prepare_gym
from r1data.stages.verify.json_schema import check_json
from r1data.stages.verify.judge import JudgeRow
from r1data.stages.verify.math import Decided, Pair, decide, gold_answer
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.reward_model import RewardRow
from r1data.stages.verify.string import check_string, printable

_CHUNK = 256
_WORTH_SHARING = 2 * _CHUNK
_WORTH_STARTING = 8192
"""Rows from which sharing out pays: with workers that run, and with workers yet to be started."""
_CHUNK_SECONDS = 30.0


class Row(NamedTuple):
    """One answer to judge."""

    verifier: str
    gold: str | None
    text: str | None
    payload: str | None = None
    prefill: str | None = None
    question: str | None = None
    """What the model was asked: for a judge or reward model only."""


_Memo = dict[tuple[str, str], Decided | Pair]


def prepare_rows(
    rows: Sequence[Row], policy: VerifyPolicy, pool: Callable[[], MathPool], workers: int = 1
) -> list[Verdict | Job]:
    """Return the verdict of each row or the job that is left of it, in order."""
    plain = all(row.verifier == "math" for row in rows)
    if workers < 2 or len(rows) < _WORTH_SHARING or not plain:
        return _prepare_here(rows, policy)
    shared = pool()
    if not shared.is_ready():
        shared.start()
        if len(rows) < _WORTH_STARTING:
            return _prepare_here(rows, policy)
    return _prepare_there(rows, policy, shared)


def _prepare_here(rows: Sequence[Row], policy: VerifyPolicy) -> list[Verdict | Job]:
    decided: _Memo = {}
    golds: dict[str, str] = {}
    return [_prepare(row, policy, decided, golds) for row in rows]


def _prepare_there(
    rows: Sequence[Row], policy: VerifyPolicy, pool: MathPool
) -> list[Verdict | Job]:
    """Have the pool's workers prepare rows. A chunk that is lost there is done here."""
    rules = policy.model_dump_json()
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    sent = [[rules, [(row.gold, row.text, row.prefill) for row in chunk]] for chunk in chunks]
    out: list[Verdict | Job] = []
    for chunk, replies in zip(chunks, pool.map_rows(_TARGET, sent, _CHUNK_SECONDS), strict=True):
        whole = isinstance(replies, list) and len(replies) == len(chunk)
        out += map(_unpacked, replies) if whole else _prepare_here(chunk, policy)
    return out


_TARGET = "r1data.stages.verify.prepare:prepare_chunk"


def prepare_chunk(chunk: tuple[str, list[tuple[str | None, str | None, str | None]]]) -> list[Any]:
    """Prepare rows of the maths verifier in a worker: the policy as JSON, (gold, text, prefill)."""
    rules, rows = chunk
    policy = VerifyPolicy.model_validate_json(rules)
    prepared = _prepare_here([Row("math", g, text, None, p) for g, text, p in rows], policy)
    return [_packed(found) for found in prepared]


def _packed(found: Verdict | Job) -> Any:
    if isinstance(found, MathJob):
        return [*found.pair, found.extracted]
    assert isinstance(found, Verdict)
    return [found.status, found.method, found.extracted, found.score, found.seconds]


def _unpacked(reply: Any) -> Verdict | MathJob:
    if len(reply) == 3:
        return MathJob(Pair(reply[0], reply[1]), reply[2])
    status, method, extracted, score, seconds = reply
    return Verdict.model_construct(
        status=status, method=method, extracted=extracted, score=score, seconds=seconds
    )


def _prepare(
    row: Row, policy: VerifyPolicy, decided: _Memo, golds: dict[str, str]
) -> Verdict | Job:
    """Return the verdict of a row, or what is left to do for it. Never raises."""
    started = time.perf_counter()
    try:
        prepared = _begin(row, policy, decided, golds)
    except Exception as error:  # a row's fault, whatever it is, stays with the row
        method = printable(f"{type(error).__name__}: {error}"[:200])
        prepared = Verdict(status="error", method=method)
    if isinstance(prepared, Verdict):
        return prepared.model_copy(update={"seconds": time.perf_counter() - started})
    return prepared


def _begin(row: Row, policy: VerifyPolicy, decided: _Memo, golds: dict[str, str]) -> Verdict | Job:
    text, prefill, extract = row.text or "", row.prefill or "", policy.extract
    if row.verifier == "judge":
        return JudgeRow(row.question, row.gold, text, prefill)
    if row.verifier == "reward-model":
        return RewardRow([{"role": "user", "content": row.question or ""}], text, prefill)
    if row.verifier == "gym":
        return prepare_gym(row.payload, text, extract, prefill)
    if row.verifier == "code":
        return prepare_code(row.payload, text, extract, prefill)
    if row.verifier == "format":
        return check_format(row.payload, text, extract, prefill)
    if row.verifier == "json":
        return check_json(row.gold, row.payload, text, extract, prefill)
    if row.gold is None or not str(row.gold).strip():
        return Verdict(status="bad_gold", method="empty")
    gold = str(row.gold)
    if row.verifier == "math":
        return _begin_math(gold, text, prefill, policy, decided, golds)
    if row.verifier == "choice":
        return check_choice(gold, text, _strings(row.payload, "options"), extract, prefill)
    return check_string(gold, text, _strings(row.payload, "aliases"), extract, prefill)


def _begin_math(
    gold: str,
    text: str,
    prefill: str,
    policy: VerifyPolicy,
    decided: _Memo,
    golds: dict[str, str],
) -> Verdict | MathJob:
    if gold not in golds:
        golds[gold] = gold_answer(gold)
    extracted = extract_answer(text, policy.extract, prefill)
    if extracted is None:
        empty = not golds[gold].strip()
        return Verdict(status="bad_gold", method="empty") if empty else Verdict(status="no_answer")
    key = (golds[gold], extracted)
    if key not in decided:
        decided[key] = decide(*key, policy)
    found = decided[key]
    shown = printable(extracted)
    return (
        MathJob(found, shown)
        if isinstance(found, Pair)
        else verdict_of(found.status, shown, found.method, 0.0)
    )


def _strings(payload: str | None, key: str) -> list[str]:
    values = json.loads(payload).get(key, []) if payload else []
    return [str(value) for value in values]
