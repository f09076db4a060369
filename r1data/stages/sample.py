"""problems -> traces: n samples a problem, each with its own seed and id.

What changes the distribution of a trace is in the sampler's fingerprint and so in its id; what does
not (n, max_tokens, batch size) is not. Raising n or max_tokens, or adding problems, therefore keeps
every trace that is still valid: only a trace that was cut at a smaller budget is drawn again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from r1data.core.errors import ConfigError
from r1data.core.prompts import FEW_SHOT_STOP, TEMPLATES
from r1data.core.records import Trace, content_hash, polars_schema
from r1data.core.sampling import Completion, Request, Sampler, SamplingParams
from r1data.core.stage import Config, Context, Stage, Tables
from r1data.core.text import split_thinking


class SampleConfig(Config):
    """Settings of `r1data sample`."""

    model: str
    """Model folder, smollm2, a Hub id, or scripted."""
    n: int = 1
    """Samples a problem."""
    template: str = "chat"
    """Prompt template: r1-zero, chat, few-shot or raw."""
    system: str | None = None
    """System message (chat template only)."""
    temperature: float = 1.0
    """Softmax temperature; 0 is greedy."""
    top_p: float = 1.0
    """Nucleus mass; 1 keeps every token."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion."""
    max_tokens: int = 1024
    """Most tokens of one completion."""
    seed: int = 0
    """Run seed; a sample's seed is hash(problem_id, seed) + its index."""
    batch_size: int = 64
    """Sequences sampled together; a part file is sealed after every four batches."""
    limit: int | None = None
    """Sample only the first problems of the table."""
    keep_tokens: bool = False
    """Keep token ids and logprobs."""
    dtype: str = "auto"
    """float32, bfloat16, or auto: bfloat16 on a GPU, float32 on a CPU."""


@dataclass(frozen=True)
class OpenSampler:
    """A sampler with what its rows need to say of it."""

    sampler: Sampler
    context: Context


def sampler_fingerprint(config: SampleConfig, model: str) -> str:
    """Return the hash of what changes a trace's distribution; ``model`` identifies the weights."""
    return content_hash(
        "sampler-1",
        model,
        config.template,
        config.system,
        repr(config.temperature),
        repr(config.top_p),
        *config.stop,
    )


def sample_seed(problem_id: str, run_seed: int) -> int:
    """Return the seed of a problem's sample 0; sample i has this + i. At most 2^48."""
    return int(content_hash(problem_id, run_seed), 16) >> 16


def check(config: SampleConfig) -> None:
    """Raise ConfigError for settings out of range."""
    if config.template not in TEMPLATES:
        raise ConfigError(f"unknown template {config.template!r}; one of {', '.join(TEMPLATES)}")
    for name, good, what in (
        ("n", config.n >= 1, "at least 1"),
        ("max_tokens", config.max_tokens >= 1, "at least 1"),
        ("temperature", config.temperature >= 0, "0 or more"),
        ("top_p", 0 < config.top_p <= 1, "above 0 and at most 1"),
        ("batch_size", config.batch_size >= 1, "at least 1"),
    ):
        if not good:
            raise ConfigError(f"{name} is {getattr(config, name)}; it must be {what}")


def plan_samples(config: SampleConfig, tables: Tables, model: str) -> pl.LazyFrame:
    """Return one row per sample to draw: its ids, seed, problem and the text it hangs on."""
    check(config)
    problems = tables["problems"].select("problem_id", "prompt")
    if config.limit is not None:
        problems = problems.head(config.limit)
    sampler = sampler_fingerprint(config, model)

    def identify(frame: pl.DataFrame) -> pl.DataFrame:
        rows = frame.select("problem_id", "sample_index").rows()
        return frame.with_columns(
            pl.Series("trace_id", [content_hash(p, sampler, i) for p, i in rows], pl.String),
            pl.Series("seed", [sample_seed(p, config.seed) + i for p, i in rows], pl.Int64),
            pl.lit(sampler).alias("sampler"),
        )

    return (
        problems.with_columns(pl.int_ranges(config.n).alias("sample_index"))
        .explode("sample_index")
        .collect()
        .pipe(identify)
        .lazy()
    )


def still_valid(config: SampleConfig, traces: pl.LazyFrame) -> pl.LazyFrame:
    """Keep finished traces, and those that were cut at this budget or a larger one.

    A trace without tokens is drawn again where they are asked for.
    """
    cut = (pl.col("finish_reason") == "length") & (pl.col("max_tokens") < config.max_tokens)
    lacking = pl.col("token_ids").is_null() & pl.lit(config.keep_tokens)
    return traces.filter(~cut & ~lacking & (pl.col("finish_reason") != "abort"))


def trace_row(
    config: SampleConfig, row: dict[str, Any], prompt_text: str, prefill: str, done: Completion
) -> dict[str, Any]:
    """Return the trace of one completion."""
    parts = split_thinking(done.text, prefill)
    thinking = parts.thinking or (None, None)
    answer = parts.answer or (None, None)
    return {
        "trace_id": row["trace_id"],
        "problem_id": row["problem_id"],
        "sample_index": row["sample_index"],
        "sampler": row["sampler"],
        "model": config.model,
        "seed": row["seed"],
        "prompt_hash": content_hash(prompt_text),
        "prefill": prefill,
        "text": done.text,
        "thinking_start": thinking[0],
        "thinking_end": thinking[1],
        "answer_start": answer[0],
        "answer_end": answer[1],
        "finish_reason": done.finish_reason,
        "max_tokens": config.max_tokens,
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": len(done.token_ids),
        "token_ids": done.token_ids if config.keep_tokens else None,
        "logprobs": done.logprobs if config.keep_tokens else None,
    }


def sample_shard(config: SampleConfig, shard: pl.DataFrame, backend: OpenSampler) -> pl.DataFrame:
    """Draw the samples of a shard; rows come back in the shard's order."""
    sampler = backend.sampler
    rows = list(shard.iter_rows(named=True))
    rendered = {
        text: sampler.render(text, config.template, config.system)
        for text in dict.fromkeys(row["prompt"] for row in rows)
    }
    requests = [Request(rendered[row["prompt"]], row["seed"]) for row in rows]
    params = SamplingParams(
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        stop=config.stop or (FEW_SHOT_STOP if config.template == "few-shot" else ()),
    )

    def advance(finished: int, tokens: int) -> None:
        backend.context.progress.advance(rows=finished, tokens=tokens)

    out: list[dict[str, Any]] = [{} for _ in rows]
    for index, done in sampler.generate(requests, params, advance):
        prompt = requests[index].prompt
        out[index] = trace_row(config, rows[index], prompt.text, prompt.prefill, done)
        out[index]["engine"] = sampler.engine
    return pl.DataFrame(out, schema=polars_schema(Trace), orient="row")


def make_stage(open_sampler: Any, identify: Any) -> Stage:
    """Return the sample stage over ``open_sampler(config, root)`` and ``identify(model, root)``.

    ``identify`` names the weights behind a model path, so that a checkpoint that was trained on
    under the same path does not pass for the old one.
    """

    @contextmanager
    def backend(config: SampleConfig, context: Context) -> Iterator[OpenSampler]:
        yield OpenSampler(open_sampler(config, context.root), context)

    def plan(config: SampleConfig, tables: Tables) -> pl.LazyFrame:
        (model,) = tables["=model"].collect().to_series().to_list()
        return plan_samples(config, tables, model)

    def identity(config: SampleConfig, root: Path) -> dict[str, str]:
        return {"model": identify(config.model, root)}

    return Stage(
        name="sample",
        version=1,
        reads=("problems",),
        writes="traces",
        config=SampleConfig,
        fn=sample_shard,
        kind="batch",
        plan=plan,
        valid=still_valid,
        backend=backend,
        # Four batches a part: a sequence that waits takes the place of one that has ended.
        shard_rows=lambda config: 4 * config.batch_size,
        loose=("n", "max_tokens", "batch_size", "limit", "keep_tokens"),
        identity=identity,
        counts_itself=True,
    )
