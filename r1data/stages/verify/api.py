"""One definition of correct, for rows of a table, for an evaluation and for a reward."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from r1data.backends.math_pool import MathPool, shared_pool
from r1data.core.errors import ConfigError, InputError
from r1data.core.recipe import config_faults
from r1data.core.records import Verdict
from r1data.stages.verify.engines import COMPARE, Engines, missing
from r1data.stages.verify.judge import Judged, JudgeRow, needs_judge, settle
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.prepare import Row, prepare_rows

PRELOAD = (COMPARE.partition(":")[0], "r1data.stages.verify.prepare")
"""What workers should have imported before they are forked."""
_SECOND_OPINION = frozenset({"math", "choice", "string", "json"})


def verify(
    gold: str | None,
    text: str,
    verifier: str = "math",
    policy: VerifyPolicy | Mapping[str, Any] | None = None,
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
    payloads. ``policy`` says what counts as the same answer: a `VerifyPolicy`, or its settings as a
    dict such as ``{"percent": "hundredth"}`` (``r1data explain verify`` lists them).

    >>> verify("1/2", r"So the answer is \\boxed{0.5}.").status
    'correct'
    """
    rows = [Row(verifier, gold, text, payload, prefill, question)]
    engines = Engines(_policy(policy), _shared(2), timeout)
    return judge_rows(rows, engines)[0]


def verify_many(
    golds: Sequence[str | None],
    texts: Sequence[str],
    verifier: str = "math",
    policy: VerifyPolicy | Mapping[str, Any] | None = None,
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
    engines = Engines(_policy(policy), _shared(workers), timeout, workers)
    return judge_rows(rows, engines)


def _policy(given: VerifyPolicy | Mapping[str, Any] | None) -> VerifyPolicy:
    if isinstance(given, VerifyPolicy):
        return given
    try:
        return VerifyPolicy.model_validate(dict(given or {}))
    except ValidationError as error:
        faults = "; ".join(config_faults(error, VerifyPolicy))
        raise ConfigError(f"policy: {faults}") from None


def _shared(workers: int) -> Callable[[], MathPool]:
    return lambda: shared_pool(workers, PRELOAD)


def judge_rows(rows: Sequence[Row], engines: Engines) -> list[Verdict]:
    """Return a verdict per row, in order."""
    policy = engines.policy
    missing({row.verifier for row in rows}, policy)
    prepared = prepare_rows(rows, policy, engines.pool, engines.workers)
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
