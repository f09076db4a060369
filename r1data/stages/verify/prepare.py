"""From a row to its verdict, or to what an engine has to do for it: all that text alone decides.

Many rows are sent to the pool's workers in chunks, so that every core reads answers.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from r1data.backends.math_pool import MathPool
from r1data.core.records import Status, Verdict
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
_SHARES = 4
"""Rounds in which chunks are sent."""


class Row(NamedTuple):
    """One answer to judge."""

    verifier: str
    gold: str | None
    text: str | None
    payload: str | None = None
    prefill: str | None = None
    question: str | None = None
    """What the model was asked: for a judge or reward model only."""


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
    memo = _Memo(policy)
    return [_prepare(row, memo) for row in rows]


def _prepare_there(
    rows: Sequence[Row], policy: VerifyPolicy, pool: MathPool
) -> list[Verdict | Job]:
    """Have the pool's workers prepare rows. A chunk that is lost there is done here."""
    rules = policy.model_dump_json()
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    sent = [[rules, [(row.gold, row.text, row.prefill) for row in chunk]] for chunk in chunks]
    share = max(2 * pool.workers, -(-len(chunks) // _SHARES))
    groups = [sent[start : start + share] for start in range(0, len(sent), share)]
    replies: list[Any] = []
    with ThreadPoolExecutor(1) as thread:  # reads what has come back while workers go on
        asked = [thread.submit(pool.map_rows, _TARGET, g, _CHUNK_SECONDS) for g in groups]
        for future, start in zip(asked, range(0, len(sent), share), strict=True):
            for chunk, found in zip(chunks[start : start + share], future.result(), strict=True):
                whole = isinstance(found, list) and len(found) == len(chunk)
                replies += (
                    [_unpacked(one, row, policy) for one, row in zip(found, chunk, strict=True)]
                    if whole
                    else _prepare_here(chunk, policy)
                )
    return replies


_TARGET = "r1data.stages.verify.prepare:prepare_chunk"


def prepare_chunk(chunk: tuple[str, list[tuple[str | None, str | None, str | None]]]) -> list[Any]:
    """Prepare rows of the maths verifier in a worker: the policy as JSON, (gold, text, prefill)."""
    rules, rows = chunk
    memo = _Memo(VerifyPolicy.model_validate_json(rules))
    return [_packed(gold, text, prefill, memo) for gold, text, prefill in rows]


def _packed(gold: str | None, text: str | None, prefill: str | None, memo: "_Memo") -> Any:
    try:
        return memo.outcome(gold, text or "", prefill or "")
    except Exception:  # whatever it is, the process that asked will say it of the row
        return None


def _unpacked(reply: Any, row: Row, policy: VerifyPolicy) -> Verdict | Job:
    return _prepare(row, _Memo(policy)) if reply is None else _settled(reply)


def _settled(outcome: Any) -> Verdict | MathJob:
    if len(outcome) == 3:
        return MathJob(Pair(outcome[0], outcome[1]), outcome[2])
    return verdict_of(*outcome)


class _Memo:
    """What has been decided of a gold and an answer; many samples share both."""

    def __init__(self, policy: VerifyPolicy) -> None:
        self.policy = policy
        self.decided: dict[tuple[str, str], Decided | Pair] = {}
        self.golds: dict[str, str] = {}

    def outcome(
        self, gold: str | None, text: str, prefill: str
    ) -> tuple[str, str, str] | tuple[Status, str | None, str, float]:
        """Return (gold, answer, shown) for a worker, or status, answer, method and seconds."""
        started = time.perf_counter()
        if gold is None or not gold.strip():
            return "bad_gold", None, "empty", 0.0
        if gold not in self.golds:
            self.golds[gold] = gold_answer(gold)
        wanted = self.golds[gold]
        extracted = extract_answer(text, self.policy.extract, prefill)
        if extracted is None:
            status: Status = "no_answer" if wanted.strip() else "bad_gold"
            return status, None, "empty" if status == "bad_gold" else "", 0.0
        key = (wanted, extracted)
        if key not in self.decided:
            self.decided[key] = decide(*key, self.policy)
        found = self.decided[key]
        shown = printable(extracted)
        if isinstance(found, Pair):
            return found.gold, found.answer, shown
        return found.status, shown, found.method, time.perf_counter() - started


def _prepare(row: Row, memo: _Memo) -> Verdict | Job:
    """Return the verdict of a row, or what is left to do for it. Never raises."""
    started = time.perf_counter()
    try:
        prepared = _begin(row, memo)
    except Exception as error:  # a row's fault, whatever it is, stays with the row
        method = printable(f"{type(error).__name__}: {error}"[:200])
        prepared = Verdict(status="error", method=method)
    if isinstance(prepared, Verdict) and not prepared.seconds:
        return prepared.model_copy(update={"seconds": time.perf_counter() - started})
    return prepared


def _begin(row: Row, memo: _Memo) -> Verdict | Job:
    text, prefill, extract = row.text or "", row.prefill or "", memo.policy.extract
    if row.verifier == "math":
        return _settled(memo.outcome(None if row.gold is None else str(row.gold), text, prefill))
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
    if row.verifier == "choice":
        return check_choice(gold, text, _strings(row.payload, "options"), extract, prefill)
    return check_string(gold, text, _strings(row.payload, "aliases"), extract, prefill)


def _strings(payload: str | None, key: str) -> list[str]:
    values = json.loads(payload).get(key, []) if payload else []
    return [str(value) for value in values]
