"""One definition of correct, for rows of a table, for an evaluation and for a reward."""

import json
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from r1data.backends.math_pool import MathPool, shared_pool
from r1data.core.errors import InputError
from r1data.core.records import Verdict
from r1data.stages.verify.choice import check_choice
from r1data.stages.verify.code import prepare_code
from r1data.stages.verify.engines import COMPARE, Engines, Job, MathJob, missing, verdict_of
from r1data.stages.verify.extract import extract_answer
from r1data.stages.verify.format import check_format
from r1data.stages.verify.gym import prepare_gym
from r1data.stages.verify.json_schema import check_json
from r1data.stages.verify.judge import Judged, JudgeRow, needs_judge, settle
from r1data.stages.verify.math import Decided, Pair, decide, gold_answer
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.reward_model import RewardRow
from r1data.stages.verify.string import check_string, printable

PRELOAD = (COMPARE.partition(":")[0],)
"""What workers should have imported before they are forked."""
_RULED = ("math", "choice", "string", "json")
_SECOND_OPINION = frozenset(_RULED)


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


def verify(
    gold: str | None,
    text: str,
    verifier: str = "math",
    policy: VerifyPolicy | None = None,
    *,
    timeout: float = 2.0,
    payload: str | None = None,
    prefill: str = "",
    question: str | None = None,
) -> Verdict:
    """Return the verdict on one completion: its status, and how it came about.

    ``text`` is what the model wrote, ``gold`` the reference answer. Statuses: ``correct``;
    ``wrong``; ``no_answer`` (nothing to judge, or the reasoning never ended); ``bad_gold`` (the
    gold is empty or unreadable: count the row, never reward it); ``timeout`` and ``limit`` (the
    answer asked for too much time, memory or length); ``error`` (the verifier failed). ``method``
    says how it was decided, ``extracted`` what was judged. See `verify_many` for verifiers and
    payloads, `VerifyPolicy` for what counts as the same answer.

    >>> verify("1/2", r"So the answer is \\boxed{0.5}.").status
    'correct'
    """
    rows = [Row(verifier, gold, text, payload, prefill, question)]
    engines = Engines(policy or VerifyPolicy(), _shared(2), timeout)
    return judge_rows(rows, engines)[0]


def verify_many(
    golds: Sequence[str | None],
    texts: Sequence[str],
    verifier: str = "math",
    policy: VerifyPolicy | None = None,
    *,
    workers: int = 2,
    timeout: float = 2.0,
    payloads: Sequence[str | None] | None = None,
    prefills: Sequence[str] | None = None,
    questions: Sequence[str | None] | None = None,
) -> list[Verdict]:
    """Return the verdict on each completion, in order, judged in parallel.

    ``verifier`` is one of `core.records.VERIFIERS`. ``payloads`` are their JSON: the options of a
    choice, the aliases of a string, a JSON schema, a gym entry, the tests of a program (see each
    verifier's module); ``prefills`` are what the template had put into the assistant's turn;
    ``questions`` are for judges. ``timeout`` is the wall seconds of one comparison. A row never
    raises: what goes wrong with it is its status. The worker processes belong to this process and
    are kept for the next call. Raises InputError if the sequences differ in length, ConfigError
    for an unknown verifier or a judge without a server, MissingExtraError for a library that is
    not installed, BackendError if no worker, sandbox or server can be had at all.
    """
    columns = (golds, texts, payloads, prefills, questions)
    count = len(golds)
    if any(column is not None and len(column) != count for column in columns):
        found = ", ".join(str(len(column)) for column in columns if column is not None)
        raise InputError(
            f"golds, texts, payloads, prefills and questions have {found} rows: give one of each "
            "per row"
        )
    filled = [[None] * count if column is None else column for column in columns]
    rows = [Row(verifier, *values) for values in zip(*filled, strict=True)]
    engines = Engines(policy or VerifyPolicy(), _shared(workers), timeout, workers)
    return judge_rows(rows, engines)


def _shared(workers: int) -> Callable[[], MathPool]:
    return lambda: shared_pool(workers, PRELOAD)


def judge_rows(rows: Sequence[Row], engines: Engines) -> list[Verdict]:
    """Return a verdict per row, in order."""
    policy = engines.policy
    missing({row.verifier for row in rows}, policy)
    prepared = _prepare_many(rows, policy)
    left = [number for number, found in enumerate(prepared) if not isinstance(found, Verdict)]
    settled = engines.run([job for job in prepared if not isinstance(job, Verdict)])
    done = dict(zip(left, settled, strict=True))
    verdicts = [
        found if isinstance(found, Verdict) else done[number]
        for number, found in enumerate(prepared)
    ]
    return _second_opinions(rows, verdicts, engines) if policy.judge_url else verdicts


def _second_opinions(
    rows: Sequence[Row], verdicts: list[Verdict], engines: Engines
) -> list[Verdict]:
    """Ask the judge about rows that a rule rejected or could not judge; accepts stand."""
    asked = [
        number
        for number, (row, verdict) in enumerate(zip(rows, verdicts, strict=True))
        if row.verifier in _SECOND_OPINION and row.gold is not None and needs_judge(verdict)
    ]
    questions = [
        JudgeRow(rows[n].question, rows[n].gold, rows[n].text, rows[n].prefill) for n in asked
    ]
    opinions = engines.judge(questions) if questions else []
    out = list(verdicts)
    for number, opinion in zip(asked, opinions, strict=True):
        out[number] = settle(verdicts[number], Judged(opinion, opinion.evidence))
    return out


def _prepare_many(rows: Sequence[Row], policy: VerifyPolicy) -> list[Verdict | Job]:
    decided: _Memo = {}
    golds: dict[str, str] = {}
    return [_prepare(row, policy, decided, golds) for row in rows]


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
