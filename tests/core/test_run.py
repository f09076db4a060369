"""Skip, resume, drift, force: with a toy batch stage whose engine counts what it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.core.errors import (
    BackendError,
    DriftError,
    Interrupted,
    SchemaError,
    WorkspaceError,
)
from r1data.core.records import Problem, VerdictRow, polars_schema
from r1data.core.run import make_receipt, run_stage
from r1data.core.stage import Config, Context, Stage, Tables
from r1data.core.tables import (
    RECEIPT,
    STARTED,
    Receipt,
    Workspace,
    conform,
    scan_parts,
    write_part,
    write_receipt,
)


class ToyConfig(Config):
    word: str = "a"
    workers: int = 1


class Engine:
    """Judges everything correct; stops with Ctrl-C before shard ``stop_at``."""

    def __init__(self) -> None:
        self.judged: list[str] = []
        self.stop_at: int | None = None
        self.shards = 0


def toy_plan(config: ToyConfig, tables: Tables) -> pl.LazyFrame:
    return tables["problems"].select(
        pl.col("problem_id").alias("trace_id"),
        "problem_id",
        pl.lit("math").alias("verifier"),
        pl.col("prompt").alias("input_hash"),
    )


def toy_stage(engine: Engine, **changes: Any) -> Stage:
    @contextmanager
    def backend(config: ToyConfig, context: Context) -> Iterator[Engine]:
        yield engine

    def judge(config: ToyConfig, shard: pl.DataFrame, engine: Engine) -> pl.DataFrame:
        if engine.shards == engine.stop_at:
            raise KeyboardInterrupt
        engine.shards += 1
        engine.judged += shard["problem_id"].to_list()
        return shard.with_columns(status=pl.lit("correct"), seconds=pl.lit(0.0))

    options: dict[str, Any] = {
        "name": "toy",
        "version": 1,
        "reads": ("problems",),
        "writes": "verdicts",
        "config": ToyConfig,
        "fn": judge,
        "kind": "batch",
        "plan": toy_plan,
        "backend": backend,
        "shard_rows": lambda config: 2,
        "loose": ("workers",),
        "reason": "status",
    }
    return Stage(**options | changes)


def put_problems(root: Path, names: str, prompt: str = "p") -> None:
    rows = [
        {"problem_id": n, "prompt": prompt, "verifier": "math", "domain": "math", "source": "s"}
        for n in names
    ]
    frame = conform(pl.DataFrame(rows), Problem)
    workspace = Workspace(root)
    write_part(frame, workspace.path("problems"), 0)
    receipt = make_receipt(
        "problems",
        1,
        "problems",
        {},
        {"=rows": names + prompt},
        rows=(0, 0),
        counts={},
        seconds=(0.0, 0.0),
    )
    write_receipt(workspace.path("problems"), receipt)


def verdicts(root: Path) -> list[str]:
    return Workspace(root).scan("verdicts").collect()["trace_id"].sort().to_list()


def test_done_then_skipped(context: Context) -> None:
    put_problems(context.root, "abcde")
    engine = Engine()
    first = run_stage(toy_stage(engine), ToyConfig(), context)
    again = run_stage(toy_stage(engine), ToyConfig(), context)
    assert (first.state, first.rows, again.state) == ("done", 5, "skipped")
    assert engine.judged == list("abcde")
    assert first.receipt.reasons == {"correct": 5}
    assert len(list((context.root / "verdicts").glob("part-*.parquet"))) == 3


def test_ctrl_c_keeps_sealed_parts_and_a_rerun_does_only_the_rest(context: Context) -> None:
    put_problems(context.root, "abcde")
    engine = Engine()
    engine.stop_at = 2
    with pytest.raises(Interrupted, match="4 of 5 rows of verdicts were sealed"):
        run_stage(toy_stage(engine), ToyConfig(), context)
    assert scan_parts(context.root / "verdicts").collect().height == 4
    with pytest.raises(WorkspaceError, match="unfinished \\(4 rows are sealed\\)"):
        Workspace(context.root).scan("verdicts")
    engine.stop_at = None
    result = run_stage(toy_stage(engine), ToyConfig(), context)
    assert (result.state, result.rows) == ("resumed", 5)
    assert engine.judged == list("abcde")
    assert verdicts(context.root) == list("abcde")


def test_a_part_that_was_being_written_at_a_crash_is_no_part(context: Context) -> None:
    put_problems(context.root, "ab")
    folder = context.root / "verdicts"
    folder.mkdir()
    (folder / ".part-00000.77.tmp").write_bytes(b"half a file")
    result = run_stage(toy_stage(Engine()), ToyConfig(), context)
    assert (result.state, verdicts(context.root)) == ("done", ["a", "b"])
    assert list(folder.glob(".part*")) == []


def test_new_problems_are_added_and_nothing_is_done_twice(context: Context) -> None:
    put_problems(context.root, "abc")
    engine = Engine()
    run_stage(toy_stage(engine), ToyConfig(), context)
    put_problems(context.root, "abcd")
    result = run_stage(toy_stage(engine), ToyConfig(), context)
    assert (result.state, result.rows, engine.judged) == ("resumed", 4, list("abcd"))


def test_a_changed_input_is_done_again_and_replaces_the_old_row(context: Context) -> None:
    put_problems(context.root, "abc")
    engine = Engine()
    run_stage(toy_stage(engine), ToyConfig(), context)
    put_problems(context.root, "abc", prompt="other text")
    run_stage(toy_stage(engine), ToyConfig(), context)
    assert engine.judged == list("abcabc")
    assert verdicts(context.root) == list("abc")
    hashes = Workspace(context.root).scan("verdicts").collect()["input_hash"]
    assert hashes.unique().to_list() == ["other text"]


def test_changed_settings_stop_and_name_the_field(context: Context) -> None:
    put_problems(context.root, "ab")
    engine = Engine()
    run_stage(toy_stage(engine), ToyConfig(word="a"), context)
    with pytest.raises(DriftError, match="word: 'a' -> 'b'") as caught:
        run_stage(toy_stage(engine), ToyConfig(word="b"), context)
    assert caught.value.fields == ("word: 'a' -> 'b'",)
    assert verdicts(context.root) == ["a", "b"]
    forced = Context(context.root, force=True)
    assert run_stage(toy_stage(engine), ToyConfig(word="b"), forced).state == "done"
    assert engine.judged == list("abab")


def test_drift_is_seen_in_an_unfinished_table_too(context: Context) -> None:
    put_problems(context.root, "abc")
    engine = Engine()
    engine.stop_at = 1
    with pytest.raises(Interrupted):
        run_stage(toy_stage(engine), ToyConfig(word="a"), context)
    assert (context.root / "verdicts" / STARTED).exists()
    with pytest.raises(DriftError):
        run_stage(toy_stage(engine), ToyConfig(word="b"), context)


def test_a_loose_field_is_no_drift(context: Context) -> None:
    put_problems(context.root, "ab")
    run_stage(toy_stage(Engine()), ToyConfig(workers=1), context)
    assert run_stage(toy_stage(Engine()), ToyConfig(workers=8), context).state == "skipped"


def test_a_new_version_of_a_stage_is_drift(context: Context) -> None:
    put_problems(context.root, "ab")
    run_stage(toy_stage(Engine()), ToyConfig(), context)
    with pytest.raises(DriftError, match="version of toy: 1 -> 2"):
        run_stage(toy_stage(Engine(), version=2), ToyConfig(), context)


def test_other_weights_behind_the_same_name_are_drift(context: Context) -> None:
    put_problems(context.root, "ab")

    def weights(print_: str) -> Any:
        return {"identity": lambda config, root: {"model": print_}}

    run_stage(toy_stage(Engine(), **weights("one")), ToyConfig(), context)
    with pytest.raises(DriftError, match="model \\(its content\\)"):
        run_stage(toy_stage(Engine(), **weights("two")), ToyConfig(), context)


def test_a_stage_that_loses_a_row_is_stopped(context: Context) -> None:
    put_problems(context.root, "abc")

    def lose(config: ToyConfig, shard: pl.DataFrame, engine: Engine) -> pl.DataFrame:
        return pl.DataFrame(schema=polars_schema(VerdictRow))

    with pytest.raises(WorkspaceError, match="returned 0 rows for a shard of 2"):
        run_stage(toy_stage(Engine(), fn=lose), ToyConfig(), context)


def frame_stage(word: str) -> Stage:
    def overlap(config: ToyConfig, tables: Tables) -> pl.LazyFrame:
        return tables["problems"].select(
            "problem_id",
            pl.lit(config.word).alias("benchmark"),
            pl.lit(0, dtype=pl.Int64).alias("benchmark_row"),
            pl.lit("whole").alias("unit"),
            pl.lit(word).alias("matched"),
        )

    return Stage("toy", 1, ("problems",), "overlaps", ToyConfig, overlap, "frame")


def test_a_frame_stage_is_made_again_when_its_input_changes(context: Context) -> None:
    put_problems(context.root, "ab")
    assert run_stage(frame_stage("x"), ToyConfig(), context).rows == 2
    assert run_stage(frame_stage("x"), ToyConfig(), context).state == "skipped"
    put_problems(context.root, "abc")
    assert run_stage(frame_stage("x"), ToyConfig(), context).rows == 3
    with pytest.raises(DriftError, match="word: 'a' -> 'z'"):
        run_stage(frame_stage("x"), ToyConfig(word="z"), context)


def test_a_missing_table_names_the_command_that_makes_it(context: Context) -> None:
    with pytest.raises(WorkspaceError, match="no problems table; `r1data problems add SOURCE`"):
        run_stage(toy_stage(Engine()), ToyConfig(), context)


def test_wrong_columns_are_all_named(context: Context) -> None:
    put_problems(context.root, "ab")
    part = context.root / "problems" / "part-00000.parquet"
    pl.read_parquet(part).drop("source").with_columns(
        extra=pl.lit(1), prompt=pl.lit(3, dtype=pl.Int64)
    ).write_parquet(part)
    with pytest.raises(SchemaError) as caught:
        Workspace(context.root).scan("problems")
    for fault in ("missing source", "unknown extra", "prompt is Int64, not String"):
        assert fault in str(caught.value)


def test_the_receipt_tells_what_happened(context: Context) -> None:
    put_problems(context.root, "abc")
    run_stage(toy_stage(Engine()), ToyConfig(), Context(context.root, command="r1data toy"))
    receipt = Receipt.model_validate_json((context.root / "verdicts" / RECEIPT).read_text())
    problems = Workspace(context.root).receipt("problems")
    assert problems is not None
    assert (receipt.rows_in, receipt.rows_out, receipt.command) == (3, 3, "r1data toy")
    assert receipt.inputs["problems"] == problems.fingerprint
    assert receipt.config == {"word": "a", "workers": 1}
    assert receipt.packages["polars"] == pl.__version__
    assert not (context.root / "verdicts" / STARTED).exists()


def test_a_later_stage_sees_what_more_samples_changed(context: Context) -> None:
    """A loose setting is no drift of its own table, but its rows are new input to the next."""
    put_problems(context.root, "ab")
    run_stage(toy_stage(Engine()), ToyConfig(), context)
    before = Workspace(context.root).fingerprint("verdicts")
    put_problems(context.root, "abc")
    run_stage(toy_stage(Engine()), ToyConfig(workers=2), context)
    assert Workspace(context.root).fingerprint("verdicts") != before


def test_force_costs_nothing_when_the_settings_are_out_of_range(context: Context) -> None:
    put_problems(context.root, "abc")
    run_stage(toy_stage(Engine()), ToyConfig(), context)

    def refuse(config: ToyConfig, tables: Tables) -> pl.LazyFrame:
        raise WorkspaceError("out of range")

    forced = Context(context.root, force=True)
    with pytest.raises(WorkspaceError, match="out of range"):
        run_stage(toy_stage(Engine(), plan=refuse), ToyConfig(word="b"), forced)
    assert verdicts(context.root) == ["a", "b", "c"]


def test_force_leaves_what_has_the_same_settings(context: Context) -> None:
    put_problems(context.root, "ab")
    engine = Engine()
    run_stage(toy_stage(engine), ToyConfig(), context)
    run_stage(toy_stage(engine), ToyConfig(), Context(context.root, force=True))
    assert engine.judged == ["a", "b"]


def test_an_engine_that_does_not_start_costs_no_receipt(context: Context) -> None:
    put_problems(context.root, "ab")
    run_stage(toy_stage(Engine()), ToyConfig(), context)
    put_problems(context.root, "abc")

    @contextmanager
    def broken(config: ToyConfig, context: Context) -> Iterator[Engine]:
        raise BackendError("no such model")
        yield Engine()

    with pytest.raises(BackendError):
        run_stage(toy_stage(Engine(), backend=broken), ToyConfig(), context)
    assert verdicts(context.root) == ["a", "b"]


def test_picks_of_other_traces_are_not_assembled(context: Context) -> None:
    put_problems(context.root, "ab")
    run_stage(frame_stage("x"), ToyConfig(), context)

    def corpus(config: ToyConfig, tables: Tables) -> pl.LazyFrame:
        return tables["overlaps"]

    late = Stage(
        "late",
        1,
        ("problems", "overlaps"),
        "overlaps/late",
        ToyConfig,
        corpus,
        "frame",
        fresh=("overlaps",),
    )
    put_problems(context.root, "abc")
    with pytest.raises(WorkspaceError, match="overlaps was made before problems changed; run"):
        run_stage(late, ToyConfig(), context)
