"""Who does a pool's jobs: its worker processes, and one call's way through them.

`r1data.backends.math_pool` is the door to this; nothing else uses it.
"""

import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from r1data.backends.math_launcher import Launcher, Task, Worker
from r1data.core.errors import BackendError
from r1data.core.records import Status

GYM = "r1data.backends.math_worker:judge_gym"
GYM_IMPORT_SECONDS = 60.0
_PATIENCE = 0.1
"""Seconds that a call without any worker waits for one before it gets a spare one."""
_SPARES = 32
"""Workers beyond the pool's own that calls may have for a while: hostile answers in some threads
must not keep the others waiting for their timeouts, so nearly every call has a worker at once."""


class Outcome(NamedTuple):
    """What a worker said of one job, or that it said nothing."""

    status: Status
    method: str
    seconds: float
    score: float | None = None


class Staff:
    """The worker processes: a few kept, some lent beyond them, replaced when worn."""

    def __init__(
        self, workers: int, memory_bytes: int, recycle_after: int, preload: Sequence[str]
    ) -> None:
        self.workers = max(1, workers)
        self._memory_bytes = memory_bytes
        self._recycle_after = recycle_after
        self._closed = False
        self._set_up(preload)

    def _set_up(self, preload: Sequence[str]) -> None:
        self._owner = os.getpid()
        self._launcher = Launcher(self._memory_bytes, preload)
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._alive: dict[int, Worker] = {}
        self._taken = 0
        self._waiting = 0

    def prepare(self, *modules: str) -> Launcher:
        """Have modules loaded by a launcher that is yet to start, and return it."""
        self.leave_parent()
        fresh = [module for module in modules if module not in self._launcher.preload]
        self._launcher.preload.extend(fresh)
        return self._launcher

    def close(self) -> None:
        """End every process and wait for them."""
        self.leave_parent()
        with self._changed:
            self._closed = True
            for worker in self._idle:
                self._alive.pop(worker.pid, None)
                worker.socket.close()
            self._idle = []
            self._changed.notify_all()
        self._launcher.close()

    def grow(self, workers: int) -> None:
        """Raise the number of workers, never lower it."""
        with self._changed:
            self.workers = max(self.workers, workers)
            self._changed.notify_all()

    def pids(self) -> list[int]:
        """Return the process ids of the workers that are running."""
        with self._changed:
            return list(self._alive)

    def acquire(self, block: bool) -> Worker | None:
        """Return an idle or a new worker; None if there is none to be had without waiting."""
        with self._changed:
            patience = time.monotonic() + _PATIENCE
            while not self._closed and not self._idle and self._taken >= self.workers:
                late = time.monotonic() >= patience
                if not block or (late and self._taken < self.workers + _SPARES):
                    break
                self._waiting += 1
                self._changed.wait(_PATIENCE)
                self._waiting -= 1
            if self._closed:
                raise BackendError("the answer checker was closed while it was in use")
            if not self._idle and self._taken >= self.workers and not block:
                return None
            self._taken += 1
            if self._idle:
                return self._idle.pop()
        try:
            worker = self._launcher.fork()
        except BaseException:
            with self._changed:
                self._taken -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._alive[worker.pid] = worker
        return worker

    def release(self, worker: Worker, dead: bool = False) -> None:
        """Take a worker back, or end it if it is dead, worn or one too many."""
        with self._changed:
            surplus = self._taken + len(self._idle) > self.workers
            dead = dead or surplus or self._closed or self.is_worn(worker)
            if not dead:
                self._taken -= 1
                self._idle.append(worker)
                self._changed.notify()
                return
        worker.socket.close()
        self._launcher.kill(worker.pid)
        with self._changed:
            self._taken -= 1
            self._alive.pop(worker.pid, None)
            self._changed.notify()

    def is_worn(self, worker: Worker) -> bool:
        """Say whether a worker has done enough, or has used too much memory."""
        return worker.retiring or worker.jobs >= self._recycle_after

    def is_awaited(self) -> bool:
        """Say whether another call waits for a worker."""
        return self._waiting > 0

    def leave_parent(self) -> None:
        """In a forked child, let go of the parent's processes and start anew."""
        if os.getpid() == self._owner:
            return
        for worker in self._alive.values():
            worker.socket.close()
        self._launcher.abandon()
        self._set_up(self._launcher.preload)


class Call:
    """One call's jobs on their way through the workers.

    With a depth of 2 a worker has its next job before it is done with one, so it does not idle
    while the parent unpacks a reply. Then too a job's clock starts when the worker can begin it.
    """

    def __init__(self, staff: Staff, target: str, timeout: float, depth: int) -> None:
        self.seconds: dict[int, float] = {}
        self._staff = staff
        self._target = target
        self._timeout = timeout
        self._depth = depth
        self._todo: deque[int] = deque()
        self._busy: dict[int, Worker] = {}
        self._results: dict[int, Any] = {}

    def run(self, count: int, arguments: Callable[[int], str]) -> list[Any]:
        """Return what comes of each job: an `Outcome`, or what its function returned.

        ``arguments`` gives the JSON array for a job's number; asked when the job is handed out.
        """
        self._staff.prepare(self._target.partition(":")[0])
        self._arguments = arguments
        self._todo.extend(range(count))
        try:
            while self._todo or self._busy:
                while self._todo and (worker := self._staff.acquire(block=not self._busy)):
                    self._busy[worker.socket.fileno()] = worker
                    self._supply(worker)
                if self._busy:
                    self._exchange()
        finally:
            for worker in self._busy.values():
                self._staff.release(worker, dead=True)
        return [self._results[number] for number in range(count)]

    def _supply(self, worker: Worker) -> None:
        """Hand jobs to a worker, and at the last let go of it."""
        while self._todo and len(worker.tasks) < self._depth:
            # The last jobs are not queued behind others: another worker may be free for them.
            if worker.tasks and len(self._todo) < self._staff.workers:
                break
            number = self._todo.popleft()
            try:
                worker.give(*self._packed(number, worker))
            except OSError:
                died_idle = len(worker.tasks) == 1 and worker.jobs > 1
                self._lose(worker, None if died_idle else "worker died")
                return
        if not worker.tasks:
            self._let_go(worker)

    def _packed(self, number: int, worker: Worker) -> tuple[Task, bytes]:
        seconds = self._timeout
        if self._target == GYM and not worker.gym:
            seconds += GYM_IMPORT_SECONDS  # this worker's first one loads the library
            worker.gym = True
        head = json.dumps({"target": self._target, "seconds": seconds})
        message = f'{head[:-1]}, "args": {self._arguments(number)}}}'.encode()
        return Task(number, seconds, time.monotonic()), message

    def _exchange(self) -> None:
        """Wait until a worker answers, dies or overruns, and settle every such job."""
        poll = select.poll()
        for descriptor, worker in self._busy.items():
            poll.register(descriptor, select.POLLIN | (select.POLLOUT if worker.outgoing else 0))
        deadline = min(worker.deadline() for worker in self._busy.values())
        ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000 + 1))
        for descriptor, worker in list(self._busy.items()):
            try:
                if ready.get(descriptor, 0) & select.POLLOUT:
                    worker.send()
                replies = worker.receive() if ready.get(descriptor, 0) & ~select.POLLOUT else []
            except OSError:
                self._lose(worker, "worker died")
                continue
            for reply in replies:
                self._settle(worker, reply)
            if replies:
                self._go_on(worker)
            elif time.monotonic() >= worker.deadline():
                self._lose(worker, "killed")

    def _settle(self, worker: Worker, reply: bytes) -> None:
        task, now = worker.tasks.popleft(), time.monotonic()
        said = json.loads(reply)
        self.seconds[task.number] = now - task.started
        if isinstance(said, dict):
            self._results[task.number] = said["value"]
        else:
            status, method, score = said
            worker.retiring = worker.retiring or method == "memory"
            self._results[task.number] = Outcome(status, method, now - task.started, score)
        if worker.tasks:
            worker.tasks[0].started = now

    def _go_on(self, worker: Worker) -> None:
        """Give a worker more, unless it is worn or other calls wait for it."""
        if not (self._staff.is_worn(worker) or self._staff.is_awaited()):
            self._supply(worker)
        elif not worker.tasks:
            self._let_go(worker)

    def _lose(self, worker: Worker, cause: str | None) -> None:
        """Give up a worker, and the job it was at unless there is no cause."""
        if cause:
            task = worker.tasks.popleft()
            status: Status = "timeout" if cause == "killed" else "error"
            self._results[task.number] = Outcome(status, cause, time.monotonic() - task.started)
        self._todo.extendleft(task.number for task in reversed(worker.tasks))
        worker.tasks.clear()
        self._let_go(worker, dead=True)

    def _let_go(self, worker: Worker, dead: bool = False) -> None:
        del self._busy[worker.socket.fileno()]
        self._staff.release(worker, dead)
