"""Run a recipe: phases in the order of their references, each step in a process of its own.

A step's process ends with its step, so an engine's memory is gone, and a crash is a message instead
of the end of the run. Processes are forked from a server that has the heavy libraries loaded, so a
step does not pay for importing them; they never import the caller's main module, so a script needs
no guard. Ctrl-C reaches the running steps once, and they seal what they have; if the parent dies,
they end too.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from r1data.core.errors import BackendError, ConfigError, GateError, Interrupted, R1DataError
from r1data.core.recipe import Phase, Recipe, Resolve, Step
from r1data.core.run import Result, run_stage
from r1data.core.stage import Context, Progress, Silent, Stage
from r1data.core.tables import write_json

GRACE_SECONDS = 60.0  # for a step to write its checkpoint after Ctrl-C
EVERY_SECONDS = 0.2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(frozen=True)
class StepResult:
    """What one step of a run came to."""

    phase: str
    use: str
    state: str
    rows: int
    seconds: float
    message: str = ""
    """Why it failed."""


class _Wire:
    """Progress that travels to the parent, counts at most every `EVERY_SECONDS`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._counts = [0, 0]
        self._sent = 0.0

    def send(self, *message: Any) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._connection.send(message)

    def start(self, total: int, unit: str) -> None:
        self.flush()
        self.send("start", total, unit)

    def advance(self, rows: int = 0, tokens: int = 0) -> None:
        self._counts[0] += rows
        self._counts[1] += tokens
        if time.monotonic() - self._sent > EVERY_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._sent = time.monotonic()
        if any(self._counts):
            self.send("advance", *self._counts)
            self._counts = [0, 0]

    def note(self, text: str) -> None:
        self.send("note", text)


def run_step(entry: Any, config: Any, context: Context) -> tuple[str, int]:
    """Run one registry entry; return its state and rows."""
    if isinstance(entry, Stage):
        result: Any = run_stage(entry, config, context)
    else:
        result = entry.fn(config, context)
    if isinstance(result, Result):
        return result.state, result.rows
    return "done", 0


def _child(
    connection: Connection, resolve: Resolve, use: str, settings: Mapping[str, Any], *where: Any
) -> None:
    """Run a step and report over the connection. Runs in the step's own process."""
    os.setpgid(0, 0)  # the terminal's Ctrl-C goes to the parent, which passes it on once
    wire = _Wire(connection)

    def leave_with_parent() -> None:
        with contextlib.suppress(EOFError, OSError):
            connection.recv()
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    root, force, command = where
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked by `_start_server`
        entry = resolve(use)
        config = entry.config.model_validate(settings)
        state, rows = run_step(entry, config, Context(root, wire, force, command))
        wire.flush()
        wire.send("done", state, rows)
    except KeyboardInterrupt:
        wire.send("error", "Interrupted", "stopped", "")
    except R1DataError as error:
        wire.send("error", type(error).__name__, str(error), traceback.format_exc())
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        wire.send("error", "Crash", said, traceback.format_exc())


@dataclass
class _Running:
    phase: Phase
    number: int
    process: Any
    connection: Connection
    began: float

    @property
    def step(self) -> Step:
        return self.phase.steps[self.number]


class Watcher(Progress, Protocol):
    """Progress of a run: told which step every report belongs to."""

    def begin(self, phase: str, use: str) -> None:
        """Say that a step begins; reports that follow `focus` belong to it."""
        ...

    def focus(self, phase: str) -> None:
        """Say which phase the next reports belong to."""
        ...

    def end(self, result: StepResult) -> None:
        """Say that a step has ended."""
        ...


class Unwatched(Silent):
    """A run that nobody watches."""

    def begin(self, phase: str, use: str) -> None:
        """Do nothing."""

    def focus(self, phase: str) -> None:
        """Do nothing."""

    def end(self, result: StepResult) -> None:
        """Do nothing."""


class Pipeline:
    """The running of one recipe.

    ``preload`` names the modules that the server imports once, before any step is forked from it.
    ``resolve`` must live in a module that steps can import, which ``__main__`` is not.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        resolve: Resolve,
        watcher: Watcher,
        *,
        force: bool = False,
        command: str = "",
        preload: Sequence[str] = (),
    ) -> None:
        self.preload = list(preload)
        self.recipe = recipe
        self.out = out
        self.resolve = resolve
        self.watcher = watcher
        self.force = force
        self.command = command
        self.results: list[StepResult] = []
        self.failures: list[tuple[str, str, str, str]] = []
        self.running: list[_Running] = []
        self.finished: set[str] = set()
        self.context = multiprocessing.get_context("forkserver")

    def run(self, jobs: int) -> list[StepResult]:
        """Run all phases. Raises the first failure after the other running steps have ended."""
        if jobs < 1:
            raise ConfigError(f"jobs: must be a whole number of at least 1 (got {jobs})")
        _set_threads(jobs)
        self.out.mkdir(parents=True, exist_ok=True)
        self._write_state()
        try:
            self._start_server()
            while self._launch(jobs) or self.running:
                self._listen()
        except KeyboardInterrupt:
            self._interrupt()
            raise Interrupted(
                f"stopped; what was sealed is kept in {self.out}: run the same command to go on"
            ) from None
        if self.failures:
            self._fail()
        return self.results

    def _start_server(self) -> None:
        """Start the process that steps are forked from, with Ctrl-C blocked in it.

        It ignores Ctrl-C by itself only once its modules are imported, which takes seconds. Steps
        inherit the block; a Ctrl-C that comes too early waits until they lift it.
        """
        self.context.set_forkserver_preload(self.preload)
        resource_tracker.ensure_running()  # now, because starting it lifts the block
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _hidden_main():
                forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _launch(self, jobs: int) -> bool:
        """Start ready phases while there is room; return whether one was started."""
        busy = {r.phase.name for r in self.running}
        started = False
        for phase in self.recipe.phases:
            if self.failures or len(self.running) >= jobs:
                break
            if phase.name in self.finished | busy or not self._is_ready(phase):
                continue
            self._start(phase, 0)
            started = True
        return started

    def _is_ready(self, phase: Phase) -> bool:
        """Return whether all that a phase reads has been written, and every gate passed."""
        known = {p.name: p for p in self.recipe.phases}
        done = {n: len(p.steps) if n in self.finished else 0 for n, p in known.items()}
        done |= {r.phase.name: r.number for r in self.running}
        return all(done[n] >= known[n].steps_before(path) for n, path in phase.paths)

    def _start(self, phase: Phase, number: int) -> None:
        step = phase.steps[number]
        ours, theirs = self.context.Pipe()
        root = self.out / phase.folder
        root.mkdir(parents=True, exist_ok=True)
        settings = step.config.model_dump()
        arguments = (theirs, self.resolve, step.use, settings, root, self.force, self.command)
        process = self.context.Process(target=_child, args=arguments)
        self.watcher.begin(phase.name, step.use)
        with _hidden_main():
            process.start()
        theirs.close()
        self.running.append(_Running(phase, number, process, ours, time.perf_counter()))

    def _listen(self) -> None:
        for connection in wait([r.connection for r in self.running]):
            current = next(r for r in self.running if r.connection is connection)
            self.watcher.focus(current.phase.name)
            try:
                kind, *rest = current.connection.recv()
            except (EOFError, OSError):
                current.process.join()
                code = current.process.exitcode
                why = ": killed, perhaps out of memory" if code == -signal.SIGKILL else ""
                what = f"its process ended without a word (exit code {code}{why})"
                self._end(current, ("Crash", what, ""))
                continue
            if kind == "done":
                self._end(current, None, *rest)
            elif kind == "error":
                self._end(current, (rest[0], rest[1], rest[2]))
            else:
                getattr(self.watcher, kind)(*rest)

    def _end(
        self,
        current: _Running,
        failure: tuple[str, str, str] | None,
        state: str = "failed",
        rows: int = 0,
    ) -> None:
        current.process.join()
        current.connection.close()
        self.running.remove(current)
        seconds = time.perf_counter() - current.began
        use = current.step.use
        said = failure[1] if failure else ""
        result = StepResult(current.phase.name, use, state, rows, round(seconds, 1), said)
        self.results.append(result)
        self.watcher.end(result)
        self._write_state()
        if failure is not None:
            where = f"{current.phase.name}, {current.step.key} ({use})"
            self.failures.append((where, *failure))
        elif current.number + 1 < len(current.phase.steps):
            if not self.failures:
                self._start(current.phase, current.number + 1)
        else:
            self.finished.add(current.phase.name)

    def _interrupt(self) -> None:
        for current in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(current.process.pid, signal.SIGINT)
        deadline = time.monotonic() + GRACE_SECONDS
        for current in self.running:
            current.process.join(max(0.0, deadline - time.monotonic()))
            if current.process.is_alive():
                current.process.kill()
                current.process.join()

    def _fail(self) -> None:
        where, kind, said, trace = self.failures[0]
        message = f"{where}: {said}"
        raised: R1DataError = GateError(message) if kind == "GateError" else BackendError(message)
        if kind == "Interrupted":
            raised = Interrupted(message)
        if trace:
            raised.add_note(trace)
        raise raised

    def _write_state(self) -> None:
        phases = [{"name": p.name, "dir": p.folder, "title": p.title} for p in self.recipe.phases]
        state = {
            "recipe": self.recipe.name,
            "title": self.recipe.title,
            "command": self.command,
            "phases": phases,
            "steps": [vars(r) for r in self.results],
        }
        write_json(self.out / "run.json", state)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Let the processes that start meanwhile know of no main module.

    They would import it again to have its names, of which a step needs none, and a script without
    an ``if __name__ == "__main__":`` guard would begin a run of its own in every step.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _set_threads(jobs: int) -> None:
    """Share the cores between the phases; spinning threads on shared cores cost tenfold."""
    threads = max(1, (os.cpu_count() or 1) // max(1, jobs))
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
