"""Phases in the order of their references, a process a step; crashes, gates and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from r1data.core.errors import BackendError, ConfigError, GateError
from r1data.core.pipeline import Pipeline, StepResult, Unwatched
from r1data.core.recipe import check_recipe
from r1data.core.stage import Action, Context
from tests.core.toy_registry import ToyConfig, resolve

pytestmark = pytest.mark.engine  # every step is a process


class Watching(Unwatched):
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def advance(self, rows: int = 0, tokens: int = 0) -> None:
        self.seen.append(("advance", rows))

    def end(self, result: StepResult) -> None:
        self.seen.append(("end", result.phase, result.state))


def phase(name: str, *steps: dict[str, Any], after: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"name": name, "after": list(after), "step": [{"use": "toy", **s} for s in steps]}


def pipeline(out: Path, *phases: dict[str, Any], watcher: Any = None) -> Pipeline:
    recipe = check_recipe({"name": "r", "phase": list(phases)}, "r.toml", resolve)
    return Pipeline(recipe, out, resolve, watcher or Unwatched(), command="r1data run r")


def test_phases_follow_their_references_and_steps_have_their_own_process(tmp_path: Path) -> None:
    watcher = Watching()
    chain = [
        phase("late", {"name": "c"}, after=("early",)),
        phase("early", {"name": "a"}, {"name": "b"}),
    ]
    results = pipeline(tmp_path, *chain, watcher=watcher).run(jobs=2)
    assert [(r.phase, r.state) for r in results] == [
        ("early", "done"),
        ("early", "done"),
        ("late", "done"),
    ]
    log = [line.split() for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert [name for name, _ in log] == ["a", "b", "c"]
    assert len({pid for _, pid in log} | {str(os.getpid())}) == 4
    assert watcher.seen.count(("advance", 2)) == 3
    state = json.loads((tmp_path / "run.json").read_text())
    assert [p["dir"] for p in state["phases"]] == ["00-late", "01-early"]
    assert [s["use"] for s in state["steps"]] == ["toy"] * 3


def test_a_phase_starts_when_what_it_reads_is_written(tmp_path: Path) -> None:
    """The second phase reads what the first wrote before it waits for the second to end."""
    chain = [
        phase("first", {"name": "made"}, {"name": "last", "do": "await", "reads": "01-second/got"}),
        phase("second", {"name": "got", "reads": "@first/made"}),
    ]
    results = pipeline(tmp_path, *chain).run(jobs=2)
    assert [(r.phase, r.state) for r in results][-1] == ("first", "done")


@pytest.mark.parametrize(
    ("do", "kind", "said"),
    [
        ("fail", BackendError, r"a, phase\[0\].step\[1\] \(toy\): a.jsonl line 3: field 'q'"),
        ("gate", GateError, "pass@1 is 0.010, outside 0.1 to 0.5"),
        ("crash", BackendError, "ZeroDivisionError: oops"),
        ("die", BackendError, r"without a word \(exit code -9: killed, perhaps out of memory\)"),
    ],
)
def test_a_step_that_fails_stops_the_run_with_a_message(
    tmp_path: Path, do: str, kind: type[Exception], said: str
) -> None:
    chain = [
        phase("a", {"name": "one"}, {"do": do}, {"name": "three"}),
        phase("b", {"name": "two"}),
    ]
    chain[1]["after"] = ["a"]
    with pytest.raises(kind, match=said):
        pipeline(tmp_path, *chain).run(jobs=1)
    assert (tmp_path / "00-a" / "one").exists()
    assert not (tmp_path / "00-a" / "three").exists()
    assert not (tmp_path / "01-b" / "two").exists()
    steps = json.loads((tmp_path / "run.json").read_text())["steps"]
    assert [s["state"] for s in steps] == ["done", "failed"]
    assert steps[1]["message"]


def leave(config: ToyConfig, context: Context) -> None:
    os._exit(7)


def resolve_leaving(name: str) -> Any:
    return Action("toy", 1, ToyConfig, leave)


def test_a_process_that_was_not_killed_is_not_said_to_lack_memory(tmp_path: Path) -> None:
    recipe = check_recipe({"phase": [phase("a", {})]}, "r.toml", resolve_leaving)
    with pytest.raises(BackendError, match=r"its process ended without a word \(exit code 7\)$"):
        Pipeline(recipe, tmp_path, resolve_leaving, Unwatched()).run(jobs=1)


@pytest.mark.parametrize("jobs", [0, -1])
def test_a_run_with_no_jobs_is_refused(tmp_path: Path, jobs: int) -> None:
    with pytest.raises(ConfigError, match="jobs: must be a whole number of at least 1"):
        pipeline(tmp_path, phase("a", {"name": "one"})).run(jobs)


UNGUARDED = """
import os, sys
from pathlib import Path
from r1data.core.pipeline import Pipeline, Unwatched
from r1data.core.recipe import check_recipe
from tests.core.toy_registry import resolve

out = Path(sys.argv[1])
with (out / "mains.txt").open("a") as log:
    log.write(f"{os.getpid()}\\n")
steps = [{"use": "toy", "name": name} for name in "ab"]
recipe = check_recipe({"phase": [{"name": "p", "step": steps}]}, "r.toml", resolve)
Pipeline(recipe, out, resolve, Unwatched(), preload=["loaded", "not_installed"]).run(jobs=1)
print(sys.modules["__main__"].__file__ == __file__ and recipe.phases[0].folder)
"""

LOADED = """
import os
from pathlib import Path
with (Path(__file__).parent / "loads.txt").open("a") as log:
    log.write(f"{os.getpid()}\\n")
"""


def test_a_script_without_a_guard_is_not_run_again_by_its_steps(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(UNGUARDED)
    (tmp_path / "loaded.py").write_text(LOADED)
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, str(tmp_path / "main.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "00-p\n", "")
    mains = (tmp_path / "mains.txt").read_text().split()
    assert len(mains) == 1
    # The server has imported what was to be preloaded, once for all steps.
    log = [line.split() for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert [name for name, _ in log] == ["a", "b"]
    loads = (tmp_path / "loads.txt").read_text().split()
    assert len(loads) == 1
    assert loads[0] not in [*mains, *(pid for _, pid in log)]


CODE = """
import sys
from pathlib import Path
from r1data.core.errors import Interrupted
from tests.core.test_pipeline import phase, pipeline
if __name__ == "__main__":
    try:
        phases = [phase(name, {"do": "wait"}) for name in "ab"]
        pipeline(Path(sys.argv[1]), *phases).run(jobs=2)
    except Interrupted as error:
        print(error)
"""


def _started(tmp_path: Path, count: int) -> list[int]:
    log = tmp_path / "log.txt"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if log.exists() and log.read_text().count("\n") == count:
            return [int(line.split()[1]) for line in log.read_text().splitlines()]
        time.sleep(0.1)
    raise AssertionError("the steps did not start")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def _launch(tmp_path: Path) -> subprocess.Popen[str]:
    (tmp_path / "main.py").write_text(CODE)
    root = str(Path(__file__).parent.parent.parent)
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_reaches_every_step_once_and_they_seal(tmp_path: Path) -> None:
    process = _launch(tmp_path)
    pids = _started(tmp_path, 2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert "run the same command to go on" in out
    assert (tmp_path / "00-a" / "sealed").exists()
    assert (tmp_path / "01-b" / "sealed").exists()
    assert not any(_alive(pid) for pid in pids)


def test_steps_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    process = _launch(tmp_path)
    pids = _started(tmp_path, 2)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(pid) for pid in pids)
