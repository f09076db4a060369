"""A reward model's opinion of an answer: correct from a threshold on."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from r1data.backends.reward_model import RewardModel, Scored, score_rows
from r1data.core.errors import ConfigError
from r1data.core.records import Status, Verdict
from r1data.stages.verify.extract import answer_part
from r1data.stages.verify.judge import Judged


class RewardRow(NamedTuple):
    """One trace to be scored."""

    messages: Sequence[Mapping[str, str]]
    """The conversation up to the model's turn."""
    text: str | None
    prefill: str | None = None


def check_reward(
    rows: Sequence[RewardRow],
    model: RewardModel,
    *,
    threshold: float = 0.5,
    batch_size: int = 16,
) -> list[Judged]:
    """Return a reward model's verdict per row, in order, with the logits as evidence.

    What is scored is the answer after the reasoning; a trace without one is ``no_answer``. The
    score in [0, 1] (see `backends.reward_model`) is correct from ``threshold`` on. A row that the
    model has no room for is ``limit``; one that cannot be rendered, or scored by a finite number,
    is ``error``. Raises ConfigError for a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be between 0 and 1, got {threshold}")
    answers = [answer_part(row.text or "", row.prefill or "") for row in rows]
    asked = [(row.messages, a) for row, a in zip(rows, answers, strict=True) if a is not None]
    started = time.perf_counter()
    scored = iter(score_rows(model, asked, batch_size=batch_size))
    seconds = (time.perf_counter() - started) / max(1, len(asked))
    return [
        Judged(Verdict(status="no_answer"), None)
        if answer is None
        else _judged(next(scored), model, threshold, seconds)
        for answer in answers
    ]


def _judged(scored: Scored, model: RewardModel, threshold: float, seconds: float) -> Judged:
    method = f"reward-model {model.name} {model.fingerprint}"
    if scored.score is None:
        status: Status = "limit" if scored.tokens and not scored.logits else "error"
        method = f"{method}: {scored.error}"
    else:
        status = "correct" if scored.score >= threshold else "wrong"
    evidence = {
        "model": model.name,
        "fingerprint": model.fingerprint,
        "labels": model.labels,
        "threshold": threshold,
        "tokens": scored.tokens,
        "logits": [value if math.isfinite(value) else None for value in scored.logits],
        "error": scored.error,
    }
    verdict = Verdict(status=status, method=method, score=scored.score, seconds=seconds)
    return Judged(verdict, json.dumps(evidence, ensure_ascii=False))
