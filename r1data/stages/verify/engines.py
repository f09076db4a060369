"""What verification needs besides text: workers, a sandbox, a judge, a reward model.

Each is opened when the first row asks for it. `missing` says beforehand, in one line, what the
named verifiers lack.
"""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from r1data.backends.math_pool import MathPool
from r1data.core.errors import ConfigError, MissingExtraError
from r1data.core.records import VERIFIERS, Status, Verdict
from r1data.stages.verify.code import CodeJob, run_code
from r1data.stages.verify.gym import GymJob, require_gym
from r1data.stages.verify.judge import Judged, JudgeRow, ask_judge
from r1data.stages.verify.math import Pair
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.reward_model import RewardRow, check_reward

COMPARE = "r1data.stages.verify.compare:judge_pair"
"""What a worker calls to compare two answers."""


class MathJob(NamedTuple):
    """A pair of answers that takes computer algebra."""

    pair: Pair
    extracted: str


Job = MathJob | GymJob | CodeJob | JudgeRow | RewardRow


class Engines:
    """Runs the jobs that rows leave over. ``pool`` is asked only if a worker is needed."""

    def __init__(
        self, policy: VerifyPolicy, pool: Callable[[], MathPool], timeout: float, workers: int = 2
    ) -> None:
        self.policy = policy
        self.pool = pool
        self.timeout = timeout
        self.workers = workers

    def run(self, jobs: Sequence[Job]) -> list[Verdict]:
        """Return the verdict on each job, in order; jobs of one kind are done together."""
        kinds: dict[type, Callable[[Any], list[Verdict]]] = {
            MathJob: self._compare,
            GymJob: self._score,
            CodeJob: self._run_programs,
            JudgeRow: self.judge,
            RewardRow: self._reward,
        }
        verdicts: dict[int, Verdict] = {}
        for kind, run in kinds.items():
            chosen = [number for number, job in enumerate(jobs) if type(job) is kind]
            if chosen:
                found = run([jobs[number] for number in chosen])
                verdicts |= dict(zip(chosen, found, strict=True))
        return [verdicts[number] for number in range(len(jobs))]

    def _compare(self, jobs: Sequence[MathJob]) -> list[Verdict]:
        rules = self.policy.model_dump_json(include=_COMPARING)
        pairs = [(*job.pair, rules) for job in jobs]
        outcomes = self.pool().check_many(COMPARE, pairs, self.timeout)
        return [
            verdict_of(outcome.status, job.extracted, outcome.method, outcome.seconds)
            for job, outcome in zip(jobs, outcomes, strict=True)
        ]

    def _score(self, jobs: Sequence[GymJob]) -> list[Verdict]:
        outcomes = self.pool().score_many(list(jobs), self.timeout)
        return [
            verdict_of(o.status, job.answer, o.method, o.seconds).model_copy(
                update={"score": o.score}
            )
            for job, o in zip(jobs, outcomes, strict=True)
        ]

    def _run_programs(self, jobs: Sequence[CodeJob]) -> list[Verdict]:
        return run_code(
            jobs,
            workers=self.workers,
            timeout=self.policy.code_timeout,
            unsafe_local=self.policy.unsafe_local,
        )

    def judge(self, rows: Sequence[JudgeRow]) -> list[Verdict]:
        """Ask the judge about rows. Raises ConfigError if none is configured."""
        judged = ask_judge(rows, self._endpoint, accept=self.policy.judge_accept)
        return [_with_evidence(one) for one in judged]

    @cached_property
    def _endpoint(self) -> Any:
        from r1data.backends.endpoint import Endpoint

        if self.policy.judge_url is None or self.policy.judge_model is None:
            raise ConfigError(_NO_JUDGE)
        return Endpoint(
            base_url=self.policy.judge_url,
            model=self.policy.judge_model,
            key_variable=self.policy.judge_key,
        )

    def _reward(self, rows: Sequence[RewardRow]) -> list[Verdict]:
        if self.policy.reward_model is None:
            raise ConfigError(_NO_REWARD_MODEL)
        model = _reward_model(self.policy.reward_model)
        judged = check_reward(rows, model, threshold=self.policy.reward_threshold)
        return [_with_evidence(one) for one in judged]


_COMPARING = {"percent", "order", "interval", "tolerance", "digits", "form"}
_NO_JUDGE = "the judge has no server: give judge_url and judge_model (--set judge_url=http://…/v1)"
_NO_REWARD_MODEL = "verifier reward-model has no model: give reward_model, a folder"


def missing(verifiers: Iterable[str], policy: VerifyPolicy) -> None:
    """Raise ConfigError or MissingExtraError for what these verifiers lack."""
    named = set(verifiers)
    if unknown := sorted(named - set(VERIFIERS)):
        raise ConfigError(f"unknown verifier {unknown[0]!r}; one of {', '.join(VERIFIERS)}")
    if "gym" in named:
        require_gym()
    judging = "judge" in named or policy.judge_url is not None
    if judging and (policy.judge_url is None or policy.judge_model is None):
        raise ConfigError(_NO_JUDGE)
    if judging and importlib.util.find_spec("openai") is None:
        raise MissingExtraError("asking a judge", "endpoint")
    if "reward-model" in named and policy.reward_model is None:
        raise ConfigError(_NO_REWARD_MODEL)
    if "code" in named:
        from r1data.backends.sandbox import shared_sandbox

        shared_sandbox(1, policy.unsafe_local)


@lru_cache(maxsize=1)
def _reward_model(folder: str) -> Any:
    from r1data.backends.reward_model import load_reward_model

    return load_reward_model(folder)


def _with_evidence(judged: Judged) -> Verdict:
    return judged.verdict.model_copy(update={"evidence": judged.evidence})


def verdict_of(
    status: Status, extracted: str | None, method: str | None, seconds: float
) -> Verdict:
    """Return a verdict whose score follows from its status."""
    score = {"correct": 1.0, "wrong": 0.0}.get(status)
    method = method or None
    return Verdict(status=status, extracted=extracted, method=method, score=score, seconds=seconds)
