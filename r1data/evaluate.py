"""eval: problems x model -> evals/NAME: pass@1, pass@k, cons@k, language, format, lengths.

An evaluation is a workspace inside the workspace: it samples, verifies and filters with the same
stages, so it resumes like them, and adds one row per problem and a summary with intervals.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from r1data.core.errors import ConfigError, GateError, WorkspaceError
from r1data.core.records import EvalRow, polars_schema
from r1data.core.run import Clock, Result, make_receipt, run_stage
from r1data.core.stage import Action, Config, Context, Stage
from r1data.core.tables import RECEIPT, Workspace, write_part, write_receipt
from r1data.metrics import consensus, summarise
from r1data.stages.filter.stage import FILTER, FilterConfig
from r1data.stages.sample import SampleConfig
from r1data.stages.verify import verify
from r1data.stages.verify.stage import VERIFY, VerifyConfig


class EvalConfig(Config):
    """Settings of `r1data eval`."""

    model: str
    """Model folder, smollm2, a Hub id, or scripted."""
    name: str | None = None
    """Name of the evaluation: evals/NAME; the model's name by default."""
    label: str | None = None
    """Name in tables and plots."""
    listed: bool = True
    """Whether the table of models shows it; a gate's own evaluation need not."""
    problems: str = "."
    """Workspace that holds the problems."""
    k: int = 8
    """Samples a problem."""
    limit: int | None = None
    """Evaluate on the first problems only."""
    template: str = "chat"
    """Prompt template."""
    temperature: float = 1.0
    """Softmax temperature (R1's own figures: 0.6)."""
    top_p: float = 1.0
    """Nucleus mass (R1's own figures: 0.95)."""
    max_tokens: int = 1024
    """Most tokens of one completion."""
    seed: int = 1
    """Run seed."""
    batch_size: int = 64
    """Sequences sampled together."""
    dtype: str = "auto"
    """float32, bfloat16, or auto."""
    verify: VerifyConfig = Field(default_factory=VerifyConfig)
    """What counts as correct."""
    filter: FilterConfig = Field(default_factory=FilterConfig)
    """What counts as readable and as the target language."""


def sample_config(config: EvalConfig, model: str) -> SampleConfig:
    """Return how the evaluation samples."""
    return SampleConfig(
        model=model,
        n=config.k,
        template=config.template,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        seed=config.seed,
        batch_size=config.batch_size,
        dtype=config.dtype,
    )


def eval_name(config: EvalConfig) -> str:
    """Return the name of an evaluation."""
    return config.name or Path(config.model).name


def _consensus(group: pl.DataFrame, config: EvalConfig) -> bool | None:
    """Return whether the largest class of equivalent answers is the correct one."""
    policy = config.verify
    verifier = str(group["verifier"][0])

    def equivalent(a: str, b: str) -> bool:
        if a == b:
            return True
        boxed = f"\\boxed{{{b}}}"
        return verify(a, boxed, verifier=verifier, policy=policy).status == "correct"

    chosen = consensus(group["extracted"].to_list(), equivalent)
    return None if chosen is None else bool(group["status"][chosen] == "correct")


def eval_rows(workspace: Workspace, config: EvalConfig) -> pl.DataFrame:
    """Return one EvalRow per problem of an evaluation's workspace."""
    judged = workspace.scan("judgements").collect()
    language = judged.filter(pl.col("rule") == "language_consistency").select(
        "trace_id",
        pl.col("value").alias("ratio"),
        (pl.col("spans").list.len() > 0).alias("is_mixed"),
    )
    form = judged.filter(pl.col("rule") == "format").select(
        "trace_id", pl.col("passed").alias("formed")
    )
    fine = judged.group_by("trace_id").agg(pl.col("passed").all().alias("fine"))
    traces = workspace.scan("traces").select(
        "trace_id", "problem_id", "sample_index", "completion_tokens"
    )
    frame = (
        # A larger k or limit may have been drawn before; its samples stay, but are not counted.
        traces.filter(pl.col("sample_index") < config.k)
        .join(workspace.scan("problems").select("problem_id"), on="problem_id", how="semi")
        .collect()
        .join(workspace.scan("verdicts").drop("problem_id").collect(), on="trace_id")
        .join(language, on="trace_id", how="left")
        .join(form, on="trace_id", how="left")
        .join(fine, on="trace_id", how="left")
        .with_columns(is_correct=pl.col("status") == "correct")
        .with_columns(is_readable=pl.col("fine") & ~pl.col("is_mixed").fill_null(False))
        .sort("problem_id", "sample_index")
    )
    votes = {
        str(key[0]): _consensus(group, config) for key, group in frame.group_by(["problem_id"])
    }
    rows = frame.group_by("problem_id", maintain_order=True).agg(
        pl.len().alias("samples"),
        pl.col("is_correct").sum().alias("correct"),
        pl.col("ratio").mean().alias("language_consistency"),
        pl.col("is_mixed").fill_null(False).sum().alias("mixed"),
        pl.col("formed").fill_null(False).sum().alias("well_formed"),
        pl.col("is_readable").fill_null(False).sum().alias("readable"),
        (pl.col("is_correct") & pl.col("is_readable").fill_null(False)).sum().alias("good"),
        pl.col("completion_tokens").mean(),
    )
    problems = workspace.scan("problems").select("problem_id", "language").collect()
    return (
        rows.join(problems, on="problem_id", how="left", maintain_order="left")
        .with_columns(
            pl.Series("consensus_correct", [votes[p] for p in rows["problem_id"]], pl.Boolean)
        )
        .select(pl.col(n).cast(t) for n, t in polars_schema(EvalRow).items())
    )


def _copy_problems(config: EvalConfig, root: Path, inner: Workspace, context: Context) -> None:
    source = Workspace((root / config.problems).resolve())
    problems = source.scan("problems")
    rows = (problems.head(config.limit) if config.limit else problems).collect()
    settings = {"limit": config.limit}
    receipt = make_receipt(
        "problems",
        1,
        "problems",
        settings,
        {"problems": source.fingerprint("problems")},
        rows=(rows.height, rows.height),
        counts={},
        seconds=(0.0, 0.0),
        command=context.command,
    )
    present = inner.receipt("problems")
    if present is None or present.fingerprint != receipt.fingerprint:
        write_part(rows, inner.path("problems"), 0)
        write_receipt(inner.path("problems"), receipt)


def make_action(sample: Stage) -> Action:
    """Return the eval action over the sample stage."""

    def run(config: EvalConfig, context: Context) -> Result:
        if config.k < 1:
            raise ConfigError(f"k is {config.k}; it must be at least 1")
        return run_eval(config, context, sample)

    return Action("eval", 1, EvalConfig, run, (), "evals/{name}")


def run_eval(config: EvalConfig, context: Context, sample: Stage) -> Result:
    """Sample, verify, filter and summarise; skip what is there."""
    clock = Clock()
    name = eval_name(config)
    table = f"evals/{name}"
    inner = Workspace(context.root / table)
    _copy_problems(config, context.root, inner, context)
    model = config.model
    folder = Path(model) if Path(model).is_absolute() else context.root / model
    if folder.is_dir():
        model = str(Path("../..") / model) if not Path(model).is_absolute() else model
    nested = Context(inner.root, context.progress, context.force, context.command)
    run_stage(sample, sample_config(config, model), nested)
    run_stage(VERIFY, config.verify, nested)
    run_stage(FILTER, config.filter, nested)
    settings = config.model_dump(mode="json")
    inputs = {t: inner.fingerprint(t) for t in ("problems", "traces", "verdicts", "judgements")}
    rows = eval_rows(inner, config)
    cost = Workspace(folder.parent).receipt(folder.name) if folder.is_dir() else None
    receipt = make_receipt(
        "eval",
        1,
        table,
        settings,
        inputs,
        rows=(rows.height, rows.height),
        counts={},
        seconds=clock.seconds(),
        command=context.command,
        label=config.label or name,
        model=config.model,
        listed=config.listed,
        samples=config.k,
        summary={k: v._asdict() for k, v in summarise(rows).items()},
        train_cpu_seconds=getattr(cost, "chain_cpu_seconds", None),
    )
    present = Workspace(context.root).receipt(table)
    if present is not None and present.fingerprint == receipt.fingerprint:
        return Result(table, "skipped", present.rows_out, present)
    write_part(rows, inner.root, 0)
    write_receipt(inner.root, receipt)
    return Result(table, "done", rows.height, receipt)


class GateConfig(Config):
    """Settings of a recipe's gate."""

    eval: str
    """Evaluation to look at: evals/NAME, or a path to one."""
    metric: str = "pass@1"
    """Metric of its summary."""
    minimum: float = 0.0
    """Least value to go on."""
    maximum: float = 1.0
    """Largest value to go on."""
    why: str = ""
    """What it means when the gate stays shut."""


def run_gate(config: GateConfig, context: Context) -> None:
    """Raise GateError if a metric is outside its bounds."""
    name = config.eval if "/" in config.eval else f"evals/{config.eval}"
    file = context.root / name / RECEIPT
    if not file.exists():
        raise WorkspaceError(f"gate: no evaluation {name} in {context.root}")
    summary: dict[str, Any] = json.loads(file.read_text())["summary"]
    if config.metric not in summary:
        raise ConfigError(f"gate: no metric {config.metric!r}; it has {', '.join(summary)}")
    value = summary[config.metric]["value"]
    if not config.minimum <= value <= config.maximum:
        raise GateError(
            f"{config.metric} of {name} is {value:.3f}, outside {config.minimum} to "
            f"{config.maximum}: {config.why or 'going on would be a waste'}"
        )
    context.progress.note(f"gate: {config.metric} of {name} is {value:.3f}")


GATE = Action("gate", 1, GateConfig, run_gate, is_gate=True)
