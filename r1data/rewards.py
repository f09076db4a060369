"""The reward of GRPO: the verdicts of verify and the judgements of filter, weighted.

One definition of correct, of format and of language consistency serves curation and RL alike.
"""

from collections.abc import Sequence
from typing import Literal

import polars as pl
from pydantic import Field

from r1data.backends.math_pool import shared_pool
from r1data.core.sampling import Completion
from r1data.core.stage import Config
from r1data.stages.filter.judge import judge_traces
from r1data.stages.filter.stage import FilterConfig
from r1data.stages.verify.api import PRELOAD, judge_rows
from r1data.stages.verify.engines import Engines
from r1data.stages.verify.prepare import Row
from r1data.stages.verify.stage import VerifyConfig

RULES = ("language_consistency", "format")


class RewardFilterConfig(FilterConfig):
    """The filter's definitions, but reasoning without words fails: silence earns no bonus."""

    no_words: Literal["pass", "fail"] = "fail"
    """What reasoning without a single word is worth: pass a ratio of 1, fail a ratio of 0."""


class RewardConfig(Config):
    """Weights and definitions of a reward; R1 adds its three parts with equal weight."""

    accuracy: float = 1.0
    """Weight of a correct final answer (0 or 1)."""
    format: float = 0.1
    """Weight of well-formed think and answer parts (0 or 1)."""
    language: float = 0.0
    """Weight of the share of reasoning words in the target language (R1 eq. 7)."""
    verify: VerifyConfig = Field(default_factory=VerifyConfig)
    """What counts as correct."""
    filter: RewardFilterConfig = Field(default_factory=RewardFilterConfig)
    """What counts as well-formed and as the target language."""


def measure(
    config: RewardConfig,
    rows: pl.DataFrame,
    completions: Sequence[Completion],
    prefills: Sequence[str],
) -> pl.DataFrame:
    """Return one row per completion: reward and its parts.

    The reward is null where the gold answer or the verifier failed, for that says nothing of the
    completion.

    rows: the RL row of each completion (answer, verifier, payload, language, prompt).
    """
    texts = [done.text for done in completions]
    frame = pl.DataFrame(
        {
            "trace_id": [str(i) for i in range(len(texts))],
            "problem_id": rows["problem_id"],
            "text": texts,
            "prefill": list(prefills),
            "language": rows["language"],
            "prompt": rows["prompt"].list.last().struct.field("content"),
            "finish_reason": [done.finish_reason for done in completions],
            "completion_tokens": [len(done.token_ids) for done in completions],
        },
        schema_overrides={"language": pl.String},
    )
    judged = judge_traces(frame, rules=RULES, config=config.filter)
    wide = judged.select(
        "trace_id", "rule", "value", "passed", pl.col("spans").list.len().alias("spans")
    )
    language = wide.filter(pl.col("rule") == "language_consistency")
    form = wide.filter(pl.col("rule") == "format")
    out = frame.select("trace_id").join(
        language.select("trace_id", "value", "spans"),
        on="trace_id",
        how="left",
        maintain_order="left",
    )
    out = out.join(
        form.select("trace_id", "passed"), on="trace_id", how="left", maintain_order="left"
    )
    judged_rows = [
        Row(verifier, gold, text, payload, prefill, question)
        for verifier, gold, payload, text, prefill, question in zip(
            rows["verifier"],
            rows["answer"],
            rows["payload"],
            texts,
            prefills,
            frame["prompt"],
            strict=True,
        )
    ]
    settings = config.verify
    engines = Engines(
        settings, lambda: shared_pool(settings.workers, PRELOAD), settings.timeout, settings.workers
    )
    verdicts = judge_rows(judged_rows, engines)
    accuracy = pl.Series("accuracy", [float(v.status == "correct") for v in verdicts])
    parts = out.select(
        accuracy,
        pl.col("passed").fill_null(False).cast(pl.Float64).alias("format"),
        pl.col("value").fill_null(0.0).alias("language_consistency"),
        (pl.col("spans").fill_null(0) > 0).cast(pl.Float64).alias("mixed"),
    )
    total = (
        config.accuracy * pl.col("accuracy")
        + config.format * pl.col("format")
        + config.language * pl.col("language_consistency")
    )
    decided = pl.Series([v.status not in ("bad_gold", "error") for v in verdicts])
    return parts.with_columns(pl.when(decided).then(total).alias("reward"))
