"""Killable worker processes around math-verify, reasoning-gym's scorers and a caller's function.

sympy can be sent into an endless computation by a short string, and neither a thread nor a signal
stops it for certain. So each judgement runs in a process with a deadline and a memory limit, and
what overruns is killed from outside. Workers are forked by a launcher process that has imported
math-verify already: replacing one takes milliseconds.

Works from threads, from asyncio (``asyncio.to_thread``), in spawned and in forked processes.
"""

import atexit
import json
import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from r1data.backends.math_staff import GYM, Call, Outcome, Staff

_MEMO_STATUSES = ("correct", "wrong", "bad_gold", "timeout", "limit")
_MEMO_LENGTH = 4000
"""Characters above which a job is not remembered: a memo of megabytes each would fill memory."""


class MathPool:
    """Judges pairs of answers in worker processes that are killed when they overrun.

    Nothing is started before the first job, or `start`. ``timeout`` is the wall seconds of one job,
    counted from its start in an idle worker; ``memory_bytes`` limits a worker's address space; a
    worker is replaced after ``recycle_after`` jobs, since sympy's caches grow, or once it has used
    500 MiB. ``preload`` names modules for the launcher to import, so that `map_rows` finds them in
    every worker. Verdicts are remembered, so an answer that many samples share is judged once.
    """

    def __init__(
        self,
        workers: int = 2,
        timeout: float = 2.0,
        *,
        memory_bytes: int = 2 << 30,
        recycle_after: int = 2000,
        memo_size: int = 1 << 16,
        preload: Sequence[str] = (),
    ) -> None:
        self.timeout = timeout
        self._memo_size = memo_size
        self._memo: dict[tuple[str, str, float], Outcome] = {}
        self._staff = Staff(workers, memory_bytes, recycle_after, preload)

    @property
    def workers(self) -> int:
        """How many workers are kept. Calls in many threads may have more for a while."""
        return self._staff.workers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self, *preload: str) -> None:
        """Start the launcher now, with these modules too, and do not wait for it (2 to 4 s).

        Modules named after the launcher was started are imported by each worker that needs them.
        """
        self._staff.prepare(*preload).start()

    def is_ready(self) -> bool:
        """Say whether a job would be begun at once: the launcher has been started and is loaded."""
        return self._staff.prepare().is_ready()

    def close(self) -> None:
        """End every process of the pool and wait for them. The pool cannot be used again."""
        self._staff.close()

    def grow(self, workers: int) -> None:
        """Raise the number of workers, never lower it."""
        self._staff.grow(workers)

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers that are running."""
        return self._staff.pids()

    def check_many(
        self, target: str, jobs: Sequence[Sequence[Any]], timeout: float | None = None
    ) -> list[Outcome]:
        """Return what a judge says of each job, in order; equal jobs are judged once.

        ``target`` names the judge as "package.module:function"; called with a job's JSON values as
        its arguments, it returns (status, method, score). Besides its own statuses there are
        timeout (killed), limit (memory) and error (it raised, or the worker died). Raises
        BackendError only if no worker can be had at all.
        """
        return self._judge(target, list(map(json.dumps, jobs)), timeout or self.timeout)

    def score_many(
        self, rows: Sequence[tuple[str, dict[str, Any], str]], timeout: float | None = None
    ) -> list[Outcome]:
        """Return the outcome of each reasoning-gym (data set, entry, answer), in order."""
        return self.check_many(GYM, rows, timeout)

    def map_rows(
        self, target: str, chunks: Sequence[Any], timeout: float | None = None
    ) -> list[Any]:
        """Return ``function(chunk)`` of each chunk, in order, computed by all workers in parallel.

        ``target`` names the function as "package.module:function"; a chunk and what comes of it are
        JSON values. ``timeout`` is the wall seconds of one chunk. In place of a chunk that failed
        is an `Outcome`: timeout (killed), limit (memory) or error (raised, or the worker died); the
        other chunks are not touched by it. Nothing is remembered. Raises BackendError if no worker
        can be had, TypeError if a chunk is no JSON value.
        """
        call = Call(self._staff, target, timeout or self.timeout, depth=2)
        return call.run(len(chunks), lambda number: json.dumps([chunks[number]]))

    def _judge(self, target: str, jobs: Sequence[str], timeout: float) -> list[Outcome]:
        found: dict[str, Outcome] = {}
        for job in jobs:
            if known := self._memo.get((target, job, timeout)):
                found[job] = known._replace(seconds=0.0)
        fresh = [job for job in dict.fromkeys(jobs) if job not in found]
        call = Call(self._staff, target, timeout, depth=1)
        for number, said in enumerate(call.run(len(fresh), fresh.__getitem__)):
            if not isinstance(said, Outcome):
                said = Outcome(said[0], said[1], call.seconds[number], said[2])
            found[fresh[number]] = said
        if len(self._memo) + len(fresh) > self._memo_size:
            self._memo = {}
        for job in fresh[: self._memo_size]:
            if found[job].status in _MEMO_STATUSES and len(job) <= _MEMO_LENGTH:
                self._memo[target, job, timeout] = found[job]
        out = []
        for job in jobs:
            out.append(found[job])
            found[job] = found[job]._replace(seconds=0.0)  # later equals cost nothing
        return out


__all__ = ["MathPool", "Outcome", "shared_pool"]

_shared: MathPool | None = None
_shared_lock = threading.Lock()


def shared_pool(workers: int = 2, preload: Sequence[str] = ()) -> MathPool:
    """Return this process's own pool, with at least so many workers; it is closed at exit.

    ``preload`` matters only before the first job, or `MathPool.start`.
    """
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = MathPool(workers, preload=preload)
            atexit.register(_shared.close)
        elif workers > _shared.workers:
            _shared.grow(workers)
        return _shared


def _after_fork() -> None:
    # The child's copies of the sockets would keep the parent's launcher alive beyond its parent,
    # and a thread that held the lock does not exist in the child.
    global _shared_lock
    _shared_lock = threading.Lock()
    if _shared is not None:
        _shared._staff.leave_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
