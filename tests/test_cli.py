"""The command line as a user types it: one line per error, results on stdout, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from r1data.cli import ORDER, app
from r1data.commands.base import Call, guarded, settings
from r1data.core.errors import ConfigError

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


def fails(*words: str) -> str:
    """Run a command that fails, in this process, and return what it says on stderr."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 1, done.output
    return done.stderr


def facts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_command_is_listed_and_has_an_example() -> None:
    names = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    assert set(ORDER) == names
    for command in app.registered_commands:
        assert command.callback is not None
        assert "Example: r1data " in (command.callback.__doc__ or ""), command.name


@pytest.mark.engine
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


@pytest.mark.engine
def test_flags_of_filter_win_over_the_rules_of_the_workspace(r1data: Run, tmp_path: Path) -> None:
    r1data("problems", "add", "mini:addition", "--size", "2")
    r1data("sample", "--model", "scripted", "--n", "2")
    (tmp_path / "r1data.toml").write_text('[filter]\nrules = ["format"]\n')
    r1data("filter", "--lang-consistency")
    rules = "select distinct rule from judgements"
    assert facts(r1data("sql", rules, "--json")) == {"rule": "language_consistency"}
    r1data("filter", "--force")
    assert facts(r1data("sql", rules, "--json")) == {"rule": "format"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sampel]\nn = 2", "no section 'sampel'; valid are problems, decontaminate, sample,"),
        ("n = 2", "no section 'n'; valid are problems"),
        ("[train]\nlearning_rate = 1", "no section 'train.learning_rate'; valid are"),
        ("sample = 5", "sample must be a section: a line [sample], settings below"),
        ("train = 5", "train must be a section: a line [train.sft], settings below"),
        ("train.sft = 5", "train.sft must be a section: a line [train.sft], settings below"),
    ],
)
def test_sections_that_no_command_has(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r1data.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        settings(Call(tmp_path), "train.sft", {})
    assert said in str(caught.value)
    assert "r1data.toml: " in str(caught.value)


def test_every_section_reaches_its_command(tmp_path: Path) -> None:
    (tmp_path / "r1data.toml").write_text("[problems]\nsize = 2\n[train.sft]\nsteps = 3\n")
    assert settings(Call(tmp_path), "problems", {"size": None}) == {"size": 2}
    assert settings(Call(tmp_path), "train.sft", {"steps": 4}) == {"steps": 4}
    assert settings(Call(tmp_path), "train.grpo", {}) == {}
    (tmp_path / "r1data.toml").write_bytes(b'[sample]\nmodel = "\xff"')
    with pytest.raises(ConfigError, match="not valid TOML"):
        settings(Call(tmp_path), "sample", {})


def test_set_reaches_into_tables_alone(tmp_path: Path) -> None:
    call = Call(tmp_path, extra=["reward.filter.latin-words=2", "reward.language=1"])
    expected = {"reward": {"filter": {"latin_words": 2}, "language": 1}}
    assert settings(call, "train.grpo", {}) == expected
    with pytest.raises(ConfigError, match="reward.x: reward is 1, which has no settings in it"):
        settings(Call(tmp_path, extra=["reward=1", "reward.x=2"]), "train.grpo", {})
    with pytest.raises(ConfigError, match="--set =1: write it as KEY=VALUE"):
        settings(Call(tmp_path, extra=["=1"]), "train.grpo", {})


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_jobs_below_one_are_a_usage_error(jobs: str) -> None:
    done = CliRunner().invoke(app, ["run", "r1-mini", "--jobs", jobs])
    assert done.exit_code == 2
    assert "--jobs" in done.stderr


def test_what_the_system_refuses_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "there"
    assert fails("init", str(place)).splitlines() == [f"error: {place}: Not a directory"]
    for error, said in [
        (PermissionError(13, "Permission denied", "a/b"), "a/b: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), "a -> b: Invalid cross-device"),
        (OSError("out of luck\nindeed"), "OSError: out of luck"),
    ]:
        with pytest.raises(typer.Exit) as caught, guarded(False):
            raise error
        assert caught.value.exit_code == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {said}")


def test_data_is_shown_as_it_is(r1data: Run) -> None:
    r1data("problems", "add", "mini:addition", "--size", "1")
    text = ":100: [b]x[/b] " + "long " * 100
    row = r1data("sql", f"select '{text}' as a, 1 as b union all select 'y', 2", "--json").stdout
    assert sorted(map(json.loads, row.splitlines()), key=lambda r: r["b"]) == [
        {"a": text, "b": 1},
        {"a": "y", "b": 2},
    ]
    assert ":100: [b]" in r1data("sql", "select ':100: [b]' as a").stdout
    said = fault(r1data("explain", ":100:[b]", code=1))
    assert said.startswith("no stage ':100:[b]'")


def test_explain_lists_nested_settings_as_set_takes_them(tmp_path: Path) -> None:
    lines = CliRunner().invoke(app, ["explain", "train.grpo"]).stdout.splitlines()
    assert lines[0] == "train.grpo: reads corpora/{corpus}; writes models/{name}"
    assert "  reward = its own settings, below" in lines
    assert "    reward.language = 0.0" in lines
    # The default of the reward's own filter, not that of `r1data filter`.
    assert "      reward.filter.no_words = 'fail'" in lines
    names = [line.split(" = ")[0].strip() for line in lines[1::2]]
    assert "reward.verify.timeout" in names
    assert len(names) == len(set(names))


@pytest.mark.engine
def test_a_run_that_fails_says_where_it_stands(r1data: Run, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[[phase]]\nname = "a"\n[[phase.step]]\nuse = "problems"\nsource = "none.jsonl"\n'
    )
    error, hint = r1data("run", "r.toml", "--out", "out", code=1).stderr.splitlines()[-2:]
    assert error.startswith("error: a, phase[0].step[0] (problems): none.jsonl: no such file")
    assert hint.startswith("hint: what was made is in out")
    assert hint.endswith("; the same command goes on")


@pytest.mark.engine
def test_ctrl_c_stops_a_run_with_one_line(tmp_path: Path) -> None:
    """The terminal sends it to the whole group, here while the server still imports modules."""
    (tmp_path / "r.toml").write_text(
        '[[phase]]\nname = "a"\n[[phase.step]]\nuse = "problems"\nsource = "mini:addition"\n'
        "size = 200_000\n"  # more than it can make before the signal
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "r1data", "run", "r.toml", "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "400", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "00-a").exists():
        assert time.monotonic() < deadline, "the run did not start"
        time.sleep(0.01)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    said = "error: stopped; what was sealed is kept in out: run the same command to go on"
    assert err.splitlines() == [said]
