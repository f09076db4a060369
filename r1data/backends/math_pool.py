"""Killable worker processes around math-verify (and the scorers of reasoning-gym).

sympy can be sent into an endless computation by a short string, and neither a thread nor a signal
stops it for certain. So each judgement runs in a process with a deadline and a memory limit, and
what overruns is killed from outside. Workers are forked by a launcher process that has imported
math-verify already: replacing one takes milliseconds. The launcher is started as a plain command,
not through `multiprocessing`, so it neither imports the caller's ``__main__`` again (a script needs
no ``if __name__`` guard) nor minds being started by a daemonic process.

Works from threads, from asyncio (``asyncio.to_thread``), in spawned and in forked processes.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, NamedTuple, Self

from r1data.backends.math_worker import FORK, KILL
from r1data.core.errors import BackendError
from r1data.core.records import Status

_START_SECONDS = 120.0
_GYM_IMPORT_SECONDS = 60.0
_LAUNCH = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from r1data.backends.math_worker import serve; serve(int(sys.argv[1]), int(sys.argv[2]))"
)
_MEMO_STATUSES = ("correct", "wrong", "bad_gold", "timeout", "limit")


class Outcome(NamedTuple):
    """What a worker said of one job."""

    status: Status
    method: str
    seconds: float
    score: float | None = None


Job = tuple[str, str]
"""An operation (math, gym) and its arguments as JSON; equal jobs have equal outcomes."""


@dataclass(slots=True)
class _Worker:
    pid: int
    connection: Connection
    jobs: int = 0
    gym: bool = False


@dataclass(slots=True)
class _Task:
    worker: _Worker
    job: Job
    started: float
    deadline: float


class _Launcher:
    """The process that forks workers. One request at a time; restarted if it died."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self) -> _Worker:
        """Return a new worker. Raises BackendError if there is no getting one."""
        with self._lock:
            for _ in range(2):
                if self._control is None:
                    self._start()
                ours, theirs = socket.socketpair()
                try:
                    pid = int(self._ask(FORK, [theirs.fileno()]))
                    return _Worker(pid, Connection(ours.detach()))
                except (OSError, ValueError):
                    self._stop()
                finally:
                    ours.close()
                    theirs.close()
        raise BackendError(
            "the answer checker's launcher died twice; is the machine out of memory?"
        )

    def kill(self, pid: int) -> None:
        """Kill a worker. Without a launcher there is none: it takes its workers along."""
        with self._lock:
            if self._control is not None:
                try:
                    self._ask(KILL + str(pid).encode())
                except OSError:
                    self._stop()

    def close(self) -> None:
        """End the launcher and all of its workers, and wait for that."""
        with self._lock:
            self._stop()

    def abandon(self) -> None:
        """Let go of a launcher that belongs to the process this one was forked from."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # not our child: nothing to wait for, nothing to warn of

    def _start(self) -> None:
        if not hasattr(socket, "send_fds"):
            raise BackendError("checking mathematics needs Linux or macOS (on Windows: use WSL)")
        ours, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(self._memory_bytes), *sys.path]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._control = ours
        ours.settimeout(_START_SECONDS)
        try:
            greeting = json.loads(self._line())
        except (OSError, ValueError) as error:
            self._stop()
            raise BackendError(f"the answer checker did not start: {error}") from error
        if "failed" in greeting:
            self._stop()
            raise BackendError(f"the answer checker cannot load math-verify: {greeting['failed']}")

    def _ask(self, request: bytes, fds: Sequence[int] = ()) -> bytes:
        assert self._control is not None
        socket.send_fds(self._control, [request], list(fds))
        return self._line()

    def _line(self) -> bytes:
        assert self._control is not None
        data = b""
        while not data.endswith(b"\n"):
            piece = self._control.recv(4096)
            if not piece:
                raise ConnectionResetError("the launcher ended")
            data += piece
        return data

    def _stop(self) -> None:
        control, process = self._control, self._process
        self._control = self._process = None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class MathPool:
    """Judges pairs of answers in worker processes that are killed when they overrun.

    Nothing is started before the first job. ``timeout`` is the wall seconds of one job, counted
    from its start in an idle worker; ``memory_bytes`` limits a worker's address space;
    a worker is replaced after ``recycle_after`` jobs, since sympy's caches grow. Verdicts are
    remembered, so an answer that many samples share is judged once.
    """

    def __init__(
        self,
        workers: int = 2,
        timeout: float = 5.0,
        *,
        memory_bytes: int = 4 << 30,
        recycle_after: int = 2000,
        memo_size: int = 1 << 16,
    ) -> None:
        self.workers = max(1, workers)
        self.timeout = timeout
        self._memory_bytes = memory_bytes
        self._recycle_after = recycle_after
        self._memo_size = memo_size
        self._memo: dict[tuple[Job, float], Outcome] = {}
        self._closed = False
        self._set_up()

    def _set_up(self) -> None:
        self._owner = os.getpid()
        self._launcher = _Launcher(self._memory_bytes)
        self._changed = threading.Condition()
        self._idle: list[_Worker | None] = [None] * self.workers
        self._alive: dict[int, _Worker] = {}

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
        """End every process of the pool and wait for them. The pool cannot be used again."""
        self._leave_parent()
        with self._changed:
            self._closed = True
            idle = [worker for worker in self._idle if worker]
            self._idle = [None] * self.workers
            for worker in idle:
                self._alive.pop(worker.pid, None)
                worker.connection.close()
            self._changed.notify_all()
        self._launcher.close()

    def grow(self, workers: int) -> None:
        """Raise the number of workers, never lower it."""
        with self._changed:
            self._idle[:0] = [None] * (workers - self.workers)
            self.workers = max(self.workers, workers)
            self._changed.notify_all()

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers that are running."""
        with self._changed:
            return list(self._alive)

    def check_many(
        self, pairs: Sequence[tuple[str, str]], timeout: float | None = None
    ) -> list[tuple[Status, str, float]]:
        """Return (status, method, seconds) of each (gold, answer), in order.

        Status is correct, wrong, bad_gold, timeout, limit (memory) or error (the worker died).
        Raises BackendError only if no worker can be had at all.
        """
        jobs = [("math", json.dumps(pair)) for pair in pairs]
        return [outcome[:3] for outcome in self._run(jobs, timeout or self.timeout)]

    def score_many(
        self, rows: Sequence[tuple[str, dict[str, Any], str]], timeout: float | None = None
    ) -> list[Outcome]:
        """Return the outcome of each reasoning-gym (data set, entry, answer), in order."""
        jobs = [("gym", json.dumps(row)) for row in rows]
        return self._run(jobs, timeout or self.timeout)

    def _run(self, jobs: Sequence[Job], timeout: float) -> list[Outcome]:
        self._leave_parent()
        found: dict[Job, Outcome] = {}
        for job in jobs:
            if known := self._memo.get((job, timeout)):
                found[job] = known._replace(seconds=0.0)
        fresh = [job for job in dict.fromkeys(jobs) if job not in found]
        todo = deque(fresh)
        busy: dict[Connection, _Task] = {}
        try:
            while todo or busy:
                while todo and (worker := self._acquire(block=not busy)):
                    task = self._begin(worker, todo[0], timeout)
                    if task:
                        todo.popleft()
                        busy[worker.connection] = task
                self._collect(busy, found)
        finally:
            for task in busy.values():
                self._release(task.worker, dead=True)
        self._remember(fresh, found, timeout)
        out = []
        for job in jobs:
            out.append(found[job])
            found[job] = found[job]._replace(seconds=0.0)  # later equals cost nothing
        return out

    def _begin(self, worker: _Worker, job: Job, timeout: float) -> _Task | None:
        """Hand a job to a worker; None if the worker had died while it was idle."""
        seconds = timeout
        if job[0] == "gym" and not worker.gym:
            seconds += _GYM_IMPORT_SECONDS  # this worker's first one loads the library
            worker.gym = True
        message = json.dumps({"op": job[0], "seconds": seconds, "args": json.loads(job[1])})
        worker.jobs += 1
        started = time.monotonic()
        try:
            worker.connection.send_bytes(message.encode())
        except OSError:
            self._release(worker, dead=True)
            return None
        return _Task(worker, job, started, started + seconds)

    def _collect(self, busy: dict[Connection, _Task], found: dict[Job, Outcome]) -> None:
        """Wait until a worker answers, dies or overruns, and settle every such job."""
        if not busy:
            return
        patience = min(task.deadline for task in busy.values()) - time.monotonic()
        ready = wait(list(busy), timeout=max(0.0, patience))
        now = time.monotonic()
        for connection, task in list(busy.items()):
            seconds = now - task.started
            if connection in ready:
                outcome = _receive(task.worker, seconds)
            elif now >= task.deadline:
                outcome = Outcome("timeout", "killed", seconds)
            else:
                continue
            found[task.job] = outcome
            del busy[connection]
            dead = outcome.method in ("killed", "worker died", "memory")
            self._release(task.worker, dead=dead)

    def _acquire(self, block: bool) -> _Worker | None:
        with self._changed:
            while not self._idle and block and not self._closed:
                self._changed.wait()
            if self._closed:
                raise BackendError("the answer checker was closed while it was in use")
            if not self._idle:
                return None
            worker = self._idle.pop()
        if worker is not None:
            return worker
        try:
            worker = self._launcher.fork()
        except BaseException:
            with self._changed:
                self._idle.insert(0, None)
                self._changed.notify()
            raise
        with self._changed:
            self._alive[worker.pid] = worker
        return worker

    def _release(self, worker: _Worker, dead: bool) -> None:
        dead = dead or worker.jobs >= self._recycle_after or self._closed
        if dead:
            worker.connection.close()
            self._launcher.kill(worker.pid)
        with self._changed:
            if dead:
                self._alive.pop(worker.pid, None)
                self._idle.insert(0, None)
            else:
                self._idle.append(worker)
            self._changed.notify()

    def _remember(self, fresh: Sequence[Job], found: dict[Job, Outcome], timeout: float) -> None:
        if len(self._memo) + len(fresh) > self._memo_size:
            self._memo = {}
        for job in fresh:
            if found[job].status in _MEMO_STATUSES and len(self._memo) < self._memo_size:
                self._memo[job, timeout] = found[job]

    def _leave_parent(self) -> None:
        """In a forked child, let go of the parent's processes and start anew."""
        if os.getpid() == self._owner:
            return
        for worker in self._alive.values():
            worker.connection.close()
        self._launcher.abandon()
        self._set_up()


def _receive(worker: _Worker, seconds: float) -> Outcome:
    try:
        status, method, score = json.loads(worker.connection.recv_bytes())
        return Outcome(status, method, seconds, score)
    except (EOFError, OSError, ValueError):
        return Outcome("error", "worker died", seconds)


_shared: MathPool | None = None
_shared_lock = threading.Lock()


def shared_pool(workers: int = 2) -> MathPool:
    """Return this process's own pool, with at least so many workers; it is closed at exit."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = MathPool(workers)
            atexit.register(_shared.close)
        elif workers > _shared.workers:
            _shared.grow(workers)
        return _shared


def _after_fork() -> None:
    # The child's copies of the sockets would keep the parent's launcher alive beyond its parent.
    if _shared is not None:
        _shared._leave_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
