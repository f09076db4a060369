"""Untrusted Python programs, run behind a wall, judged from outside of it.

How the walls are built is `sandbox_isolation`'s. What happens between them:

* **A program and its input** (`Sandbox.run`): the sandbox starts Python, which forks once per
  input. Input, output and errors are pipes of ours, read here with a cap; the expected output
  never enters the sandbox, so there is nothing to find and no verdict to forge.
* **A program and tests that call it** (`Sandbox.call`): two sandboxes. The candidate's holds the
  program alone and answers calls. The judge's holds the tests and never runs the candidate's code:
  what the tests call is a proxy, arguments and results travel as data (`sandbox_codec`). They
  share a socket and nothing else: other processes, other file systems, other user ids. So
  leaving early, printing "passed", patching builtins, overloading ``__eq__``, searching frames,
  the heap or /proc can at most spoil the candidate's own answers. The price: calls are by value (a
  test that looks at a list which the candidate changed in place does not see the change), and
  functions cannot be passed to the candidate.

A candidate's sandbox serves one program and is killed whole (its process namespace dies with its
first process); the judge's sandbox, one per worker, forks for each program. Limits are per
process (address space, CPU seconds, file size) and per sandbox (processes; resident memory, which
is looked at ten times a second).
"""

import atexit
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from r1data.backends.sandbox_isolation import isolation, package_folders
from r1data.backends.sandbox_process import GRACE_SECONDS, Overrun, Process, Streams, Watch, ready
from r1data.core.errors import BackendError

MAX_PROCESSES = 32
"""Processes and threads that one sandbox may have at a time."""

_MAX_FILE = 8 << 20


class Program(NamedTuple):
    """What is run, and what it may use."""

    sources: tuple[str, ...]
    """Readings of the program; the first that compiles is taken."""
    timeout: float = 5.0
    """Wall seconds: of all calls together, or of each input's run."""
    memory_mb: int = 512
    """Address space of a process and resident memory of the whole sandbox, in MiB."""


class CallTests(NamedTuple):
    """Tests that call the program."""

    asserts: tuple[str, ...] = ()
    """Statements, run in order after ``setup``."""
    setup: str = ""
    check: str = ""
    """Source that defines ``check(candidate)``."""
    entry_point: str = ""
    """The name that ``check`` is called with."""
    prompt: str = ""
    """Source whose helpers ``check`` may use; the entry point in it is replaced."""


Ending = Literal["passed", "failed", "timeout", "limit", "bad_tests", "error"]


class Outcome(NamedTuple):
    """What became of a program under tests."""

    ending: Ending
    where: str
    """The part of the tests: ``assert 2 of 3``, ``check line 7``, ``loading``."""
    why: str
    """``exception NAME``, ``memory``, …; empty if a comparison failed."""
    seconds: float


class Ran(NamedTuple):
    """What one run of a program on one input gave."""

    ending: Literal["exited", "timeout", "limit", "died"]
    output: str
    errors: str
    code: int
    """Exit code, or minus the signal."""
    why: str
    seconds: float


class Sandbox:
    """Runs programs, at most ``workers`` at a time; calls beyond that wait. Safe with threads.

    Raises BackendError if no isolation can be had (see `sandbox_isolation`); warns once
    (RuntimeWarning) if it is only limits. ``packages`` lets programs import the site-packages of
    the running Python.
    """

    def __init__(
        self, workers: int = 2, *, unsafe_local: bool = False, packages: bool = False
    ) -> None:
        self.walls = isolation(unsafe_local, packages)
        if self.walls.warning:
            warnings.warn(self.walls.warning, RuntimeWarning, stacklevel=2)
        self.workers = max(1, workers)
        self._path = package_folders() if packages else []
        self._closed = False
        self._set_up()

    def _set_up(self) -> None:
        self._owner = os.getpid()
        self._slots: queue.LifoQueue[Process | None] = queue.LifoQueue()
        self._judges: set[Process] = set()
        # A sandbox dies with the thread that started it, so judges get one that stays.
        self._starter = ThreadPoolExecutor(1, "sandbox")
        for _ in range(self.workers):
            self._slots.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the judges. Runs that are under way end as errors."""
        self._leave_parent()
        self._closed = True
        for judge in list(self._judges):
            judge.kill()
        self._judges.clear()
        self._starter.shutdown()

    def grow(self, workers: int) -> None:
        """Raise the number of workers, never lower it."""
        for _ in range(workers - self.workers):
            self._slots.put(None)
        self.workers = max(self.workers, workers)

    def run(
        self, program: Program, inputs: Sequence[str], go_on: Callable[[int, Ran], bool]
    ) -> list[Ran]:
        """Run a program on each input until ``go_on(index, ran)`` says no, in one sandbox."""
        slot = self._take()
        try:
            out: list[Ran] = []
            guest = self._candidate(program, "run")
            try:
                for number, text in enumerate(inputs):
                    out.append(_run_once(guest, program, text.encode("utf-8", "surrogatepass")))
                    if out[-1].ending != "exited" or not go_on(number, out[-1]):
                        break
            finally:
                guest.kill()
            return out
        finally:
            self._slots.put(slot)

    def call(self, program: Program, tests: CallTests) -> Outcome:
        """Run tests that call a program."""
        judge = self._take()
        try:
            if judge is None or judge.process.poll() is not None:
                judge = self._new_judge(judge)
            guest = self._candidate(program, "call")
            try:
                outcome, sound = _judge(guest, judge, program, tests)
            finally:
                guest.kill()
            if not sound:
                self._judges.discard(judge)
                judge.kill()
                judge = None
            return outcome
        finally:
            self._slots.put(judge)

    def _take(self) -> Process | None:
        """Wait for a worker's turn, and return its judge if it has one."""
        self._leave_parent()
        if self._closed:
            raise BackendError("the sandbox was closed, so it runs nothing")
        return self._slots.get()

    def _candidate(self, program: Program, mode: str) -> Process:
        greeting = {
            "mode": mode,
            "sources": program.sources,
            "limits": _limits(program, program.timeout + 1),
            "path": self._path,
            "own_pids": self.walls.kind == "bubblewrap",
        }
        return Process(self.walls, "sandbox_guest", greeting)

    def _new_judge(self, dead: Process | None) -> Process:
        if dead is not None:
            self._judges.discard(dead)
            dead.kill()
        own_pids = self.walls.kind == "bubblewrap"
        greeting = {"own_pids": own_pids}
        judge = self._starter.submit(Process, self.walls, "sandbox_harness", greeting).result()
        self._judges.add(judge)
        return judge

    def _leave_parent(self) -> None:
        """In a forked child, let go of the parent's judges and start anew."""
        if os.getpid() == self._owner:
            return
        for judge in self._judges:
            judge.forget()
        self._set_up()


def _limits(program: Program, seconds: float) -> dict[str, int]:
    return {
        "as": program.memory_mb << 20,
        "cpu": int(seconds) + 1,
        "fsize": _MAX_FILE,
        "nofile": 64,
        "nproc": MAX_PROCESSES,
        "core": 0,
    }


def _judge(
    guest: Process, judge: Process, program: Program, tests: CallTests
) -> tuple[Outcome, bool]:
    """Have the judge test the guest. Returns also whether the judge can be used again."""
    watch = Watch(guest.process.pid, guest.started + program.timeout, program.memory_mb << 20)
    seconds = program.timeout + GRACE_SECONDS
    job = {
        **tests._asdict(),
        "seconds": seconds,
        "limits": _limits(program._replace(memory_mb=max(512, program.memory_mb)), seconds),
    }
    overrun: tuple[str, str] | None = None
    try:
        guest.socket.setblocking(True)  # a timeout of ours would be one for the judge as well
        judge.send(job, [guest.socket.fileno()])
        guest.socket.close()  # the judge holds it now; when the guest is gone, the judge sees it
        try:
            watch.wait(judge.socket)
        except Overrun as error:
            overrun = error.args[0], error.args[1]
            guest.kill()
            if not ready([judge.socket.fileno()], [], GRACE_SECONDS):
                return _overran(overrun, "tests", guest), False
        said = judge.receive(time.monotonic() + GRACE_SECONDS)
    except (OSError, ValueError) as error:
        if overrun:
            return _overran(overrun, "tests", guest), False
        return Outcome("error", "judge", str(error), _since(guest)), False
    if overrun:
        return _overran(overrun, said["where"], guest), True
    return _outcome(said, guest), True


def _since(guest: Process) -> float:
    return time.monotonic() - guest.started


def _overran(overrun: tuple[str, str], where: str, guest: Process) -> Outcome:
    ending: Ending = "timeout" if overrun[0] == "timeout" else "limit"
    return Outcome(ending, where, overrun[1], _since(guest))


def _outcome(said: dict[str, str], guest: Process) -> Outcome:
    verdict, where, why = said["verdict"], said["where"], said["why"]
    ending: Ending
    if verdict == "passed":
        ending = "passed"
    elif why == "exception MemoryError":
        ending, why = "limit", "memory"
    elif verdict == "failed":
        ending = "failed"
    elif verdict == "gone":
        ending, why = "failed", "the program ended before its tests did"
    elif verdict == "idle":
        ending, why = "bad_tests", "the tests call nothing of the program"
    elif verdict == "unsendable":
        ending = "bad_tests"
    else:  # the judge's own process broke over what the candidate had sent
        ending, why = "failed", "the tests did not survive the program's answers"
    return Outcome(ending, where, why, _since(guest))


def _run_once(guest: Process, program: Program, data: bytes) -> Ran:
    started = time.monotonic()
    memory = program.memory_mb << 20
    watch = Watch(guest.process.pid, started + program.timeout, memory)
    pipes = [os.pipe() for _ in range(3)]
    ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
    theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
    streams = Streams(ours, data)
    ending: Literal["exited", "timeout", "limit", "died"] = "exited"
    said: dict[str, Any] = {}
    why = ""
    try:
        try:
            guest.send("run", theirs)
        finally:
            for fd in theirs:
                os.close(fd)
        said = streams.follow(guest, watch)
        why = str(said.get("failure", ""))
    except Overrun as error:
        ending, why = error.args[0], error.args[1]
    except (OSError, ValueError):
        ending, why = "died", "the program ended its own sandbox"
    finally:
        streams.close()
    output, errors = (bytes(kept).decode("utf-8", "replace") for kept in streams.kept)
    code = 1 if why else _code(said)
    return Ran(ending, output, errors, code, why, time.monotonic() - started)


def _code(said: dict[str, Any]) -> int:
    code = said.get("exit")
    return code if isinstance(code, int) else 1


_shared: dict[bool, Sandbox] = {}
_shared_lock = threading.Lock()


def shared_sandbox(workers: int = 2, unsafe_local: bool = False) -> Sandbox:
    """Return this process's own sandbox, with at least so many workers; it is closed at exit.

    Raises BackendError as `Sandbox` does.
    """
    with _shared_lock:
        if unsafe_local not in _shared:
            _shared[unsafe_local] = Sandbox(workers, unsafe_local=unsafe_local)
            atexit.register(_shared[unsafe_local].close)
        box = _shared[unsafe_local]
        box.grow(workers)
        return box


def _after_fork() -> None:
    # The child's copies of the sockets would keep the judges alive beyond its parent.
    for box in _shared.values():
        box._leave_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
