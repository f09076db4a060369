"""The command line as a user types it: one line per error, results on stdout, exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from r1data.cli import ORDER, app

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def r1data(tmp_path: Path) -> Run:
    """Return a function that runs r1data in an empty workspace."""

    def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "r1data", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "COLUMNS": "400", "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def fault(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one error line of a failed command."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("error: ")


def facts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_command_is_listed_and_has_an_example() -> None:
    names = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    assert set(ORDER) == names
    for command in app.registered_commands:
        assert command.callback is not None
        assert "Example: r1data " in (command.callback.__doc__ or ""), command.name


def test_from_problems_to_a_corpus_as_typed(r1data: Run, tmp_path: Path) -> None:
    r1data("init", ".")
    assert facts(r1data("problems", "add", "mini:addition", "--size", "12", "--json"))["rows"] == 12
    r1data("sample", "--model", "scripted", "--n", "8", "--max-tokens", "300")
    verified = facts(r1data("verify", "--json"))
    assert verified["rows"] == 96
    assert sum(verified["reasons"].values()) == 96
    filtered = facts(r1data("filter", "--lang-consistency", "--json"))
    assert filtered["rows"] == 96
    assert facts(r1data("filter", "--readability", "--json"))["rows"] == 96 * 6
    r1data("dedup")
    picked = facts(r1data("select", "distill", "--keep", "2", "--json"))
    assert sum(picked["reasons"].values()) == 96
    rows = facts(r1data("assemble", "distill", "--json"))["rows"]
    assert rows == picked["reasons"].get("kept", 0)
    again = facts(r1data("assemble", "distill", "--json"))
    assert again["state"] == "skipped"
    counted = r1data("sql", "select count(*) as n from picks where reason is null", "--json")
    assert facts(counted) == {"n": rows}
    r1data("report")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_settings_of_the_workspace_and_of_set(r1data: Run, tmp_path: Path) -> None:
    r1data("problems", "add", "mini:addition", "--size", "3")
    (tmp_path / "r1data.toml").write_text('[sample]\nmodel = "scripted"\nn = 2\n')
    assert facts(r1data("sample", "--json"))["rows"] == 6
    assert facts(r1data("sample", "--set", "n=4", "--json"))["rows"] == 12
    assert facts(r1data("sample", "--n", "5", "--json"))["rows"] == 15
    said = fault(r1data("sample", "--set", "temprature=1", code=1))
    assert said.startswith("sample: temprature: unknown key; valid are batch_size, dtype")
    (tmp_path / "r1data.toml").write_text("[sample\n")
    assert "r1data.toml: not valid TOML" in fault(r1data("sample", code=1))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify"], "has no problems table; `r1data problems add SOURCE` makes it"),
        (["problems", "add", "none.jsonl"], "none.jsonl: no such file; a source is a"),
        (["sample", "-C", "nowhere"], "no such directory; make a workspace with `r1data init`"),
        (["sample"], "sample: model: is needed"),
        (["select", "mine"], "corpus 'mine' needs a kind: cold-start, sft, distill"),
        (["run", "r2"], "r2: no such recipe; shipped are r1-mini, smollm2-gsm"),
        (["explain", "smaple"], "no stage 'smaple'; there are problems, decontaminate"),
        (["sql", "selec 1"], "has no tables yet"),
        (["report", "nowhere"], "nowhere"),
        (["publish", "sft", "--repo", "me/x"], "sft"),
        (["train", "distill"], "has no traces table; `r1data sample --model MODEL` makes it"),
    ],
)
def test_errors_are_one_line_and_say_what_to_do(r1data: Run, words: list[str], said: str) -> None:
    assert said in fault(r1data(*words, code=1))


def test_usage_errors_exit_with_2(r1data: Run) -> None:
    assert "--modle" in r1data("sample", "--modle", "x", code=2).stderr


def test_a_model_that_is_none(r1data: Run) -> None:
    r1data("problems", "add", "mini:addition", "--size", "2")
    assert "folder with config.json" in fault(r1data("sample", "--model", "nope", code=1))


def test_changed_settings_stop_and_force_makes_again(r1data: Run) -> None:
    r1data("problems", "add", "mini:addition", "--size", "2")
    r1data("sample", "--model", "scripted", "--n", "2")
    said = fault(
        r1data("sample", "--model", "scripted", "--n", "2", "--temperature", "0.5", code=1)
    )
    assert "temperature: 1.0 -> 0.5" in said
    assert "use --force to make it again" in said
    done = r1data(
        *("sample", "--model", "scripted", "--n", "2", "--temperature", "0.5", "--force", "--json")
    )
    assert facts(done)["state"] == "done"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "r1data", "verify", "--debug", "-C", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "WorkspaceError" in done.stderr


def test_a_bad_recipe_tells_all_its_faults(r1data: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(
        '[[phase]]\nname = "a"\n[[phase.step]]\nuse = "problems"\nsource = "mini:addition"\n'
        'sise = 3\n[[phase.step]]\nuse = "smaple"\n'
    )
    said = fault(r1data("run", "bad.toml", code=1))
    assert "2 faults" in said
    assert "phase[0].step[0].sise: unknown key; valid are" in said
    assert "phase[0].step[1].use: no stage 'smaple'" in said
    (tmp_path / "worse.toml").write_text("= 1")
    assert "not valid TOML" in fault(r1data("plan", "worse.toml", code=1))


def test_explain_and_schema_and_doctor(r1data: Run, tmp_path: Path) -> None:
    assert "latin_words = 3" in r1data("explain", "filter").stdout
    assert "verdicts (trace_id x verifier)" in r1data("schema").stdout
    r1data("schema", "--write", "out")
    assert (tmp_path / "out" / "trace.json").is_file()
    assert facts(r1data("doctor", "--json"))["polars"]
