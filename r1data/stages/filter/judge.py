"""The rules of ``r1data filter`` on data in memory: a frame of texts, or one text.

This is where plans are run, so that the stage itself stays a pure plan.
"""

from collections.abc import Sequence

import polars as pl

from r1data.core.errors import ConfigError, SchemaError
from r1data.core.records import Span
from r1data.core.text import LANGUAGE_SCRIPTS, split_thinking
from r1data.stages.filter.language import (
    Consistency,
    ConsistencyPolicy,
    target_language,
    with_consistency,
)
from r1data.stages.filter.stage import RULES, FilterConfig, judgements, with_missing


def judge_traces(
    frame: pl.DataFrame | pl.LazyFrame,
    rules: Sequence[str] | None = None,
    config: FilterConfig | None = None,
) -> pl.DataFrame:
    """Return what ``r1data filter`` says of a frame: one judgement per row and rule.

    Rows come in the frame's order, the rules of a row in the order of RULES. Also the reward of
    GRPO: one definition of format and language, whether a row is curated or a rollout rewarded.

    Args:
        frame: at least ``text`` and ``language`` (ISO 639-1, may be null). Used where present:
            ``trace_id`` (the row's number otherwise), ``problem_id``, ``prompt``, ``prefill``,
            ``finish_reason``, ``completion_tokens``, ``thinking_start`` and ``thinking_end``
            (found in prefill and text otherwise).
        rules: names of rules; the config's by default.
        config: thresholds; the defaults of `FilterConfig` otherwise.

    Raises:
        SchemaError: a column is missing.
        ConfigError: there is no such rule.
    """
    data = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    missing = [name for name in ("text", "language") if name not in data.columns]
    if missing:
        raise SchemaError(f"judge_traces: the frame has no column {', '.join(missing)}")
    config = config or FilterConfig()
    if rules is not None:
        unknown = [rule for rule in rules if rule not in RULES]
        if unknown:
            raise ConfigError(f"no rule {', '.join(unknown)}; there are {', '.join(RULES)}")
        config = config.model_copy(update={"rules": tuple(rules)})
    if "trace_id" not in data.columns:
        number = pl.int_range(pl.len()).cast(pl.String)
        data = data.with_columns(number.alias("trace_id"))
    if "problem_id" not in data.columns:
        data = data.with_columns(pl.lit("").alias("problem_id"))
    data = _with_thinking(data)
    return judgements(config, with_missing(data.lazy(), data.columns)).collect()


def _with_thinking(data: pl.DataFrame) -> pl.DataFrame:
    if "thinking_start" in data.columns and "thinking_end" in data.columns:
        return data
    prefills = data["prefill"].fill_null("") if "prefill" in data.columns else [""] * data.height
    spans = [
        split_thinking(text or "", prefill).thinking or (None, None)
        for text, prefill in zip(data["text"], prefills, strict=True)
    ]
    return data.with_columns(
        pl.Series("thinking_start", [start for start, _ in spans], dtype=pl.Int64),
        pl.Series("thinking_end", [end for _, end in spans], dtype=pl.Int64),
    )


def language_consistency(
    text: str,
    target: str = "ko",
    policy: ConsistencyPolicy | None = None,
    *,
    prompt: str | None = None,
    prefill: str = "",
) -> Consistency:
    """Return how far a text keeps to its target language: exactly what the stage says of its row.

    Args:
        text: a completion; its reasoning is measured, or all of it if it has no think tags.
        target: ISO 639-1 code, with or without a region.
        policy: thresholds; `ConsistencyPolicy` by default.
        prompt: what was asked; foreign text that stands in it is a quotation.
        prefill: what the template had put into the assistant's turn, such as ``<think>``.

    Raises:
        ConfigError: no script is known for the target.
    """
    data = pl.DataFrame(
        {"text": [text], "language": [target], "prompt": [prompt], "prefill": [prefill]},
        schema=dict.fromkeys(("text", "language", "prompt", "prefill"), pl.String),
    )
    frame = _with_thinking(data).lazy().with_columns(target_language().alias("_target"))
    measured = with_consistency(frame, policy or ConsistencyPolicy())
    row = (
        measured.select(pl.col("language_consistency").struct.unnest()).collect().row(0, named=True)
    )
    if row["value"] is None:
        known = ", ".join(sorted(LANGUAGE_SCRIPTS))
        raise ConfigError(f"target {target!r}: no script is known for it; use one of {known}")
    spans = [Span(**span) for span in row["spans"]]
    return Consistency(row["value"], bool(spans), spans)
