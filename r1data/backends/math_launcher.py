"""The parent's side of the launcher process of `r1data.backends.math_pool`, and of one worker.

The launcher is a plain command, not a `multiprocessing` child, so it neither imports the caller's
``__main__`` again (a script needs no ``if __name__`` guard) nor minds a daemonic parent.
"""

import contextlib
import json
import select
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from r1data.backends.math_worker import FORK, HEADER, KILL
from r1data.core.errors import BackendError

_START_SECONDS = 120.0
_PIECE = 1 << 16
_LAUNCH = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from r1data.backends.math_worker import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split())"
)


@dataclass(slots=True)
class Task:
    """A job in a worker's hands."""

    number: int
    """Its place in the call that it belongs to."""
    seconds: float
    """Its limit, counted from when the worker can begin it."""
    started: float = 0.0


@dataclass(slots=True)
class Worker:
    """A worker process and the bytes on their way to and from it.

    The socket does not block: a worker deep in sympy reads nothing, and a parent that waited for
    it to read could not kill it.
    """

    pid: int
    socket: socket.socket
    jobs: int = 0
    gym: bool = False
    retiring: bool = False
    tasks: deque[Task] = field(default_factory=deque)
    outgoing: bytearray = field(default_factory=bytearray)
    incoming: bytearray = field(default_factory=bytearray)

    def deadline(self) -> float:
        """Return when the job that it is at must be done (`time.monotonic`)."""
        return self.tasks[0].started + self.tasks[0].seconds

    def give(self, task: Task, message: bytes) -> None:
        """Queue a job and send what the socket takes. Raises OSError if the worker is dead."""
        self.jobs += 1
        self.tasks.append(task)
        self.outgoing += HEADER.pack(len(message), 0) + message
        self.send()

    def send(self) -> None:
        """Send what the socket takes. Raises OSError if the worker is dead."""
        with contextlib.suppress(BlockingIOError):
            while self.outgoing:
                del self.outgoing[: self.socket.send(self.outgoing[:_PIECE])]

    def receive(self) -> list[bytes]:
        """Return the replies that have arrived whole. Raises OSError if the worker is dead."""
        try:
            piece = self.socket.recv(_PIECE)
        except BlockingIOError:
            return []
        if not piece:
            raise ConnectionResetError("the worker ended")
        self.incoming += piece
        replies = []
        while len(self.incoming) >= HEADER.size:
            length, retiring = HEADER.unpack_from(self.incoming)
            end = HEADER.size + length
            if len(self.incoming) < end:
                break
            replies.append(bytes(self.incoming[HEADER.size : end]))
            del self.incoming[:end]
            self.retiring = self.retiring or bool(retiring)
        return replies


class Launcher:
    """The process that forks workers. One request at a time; restarted if it died."""

    def __init__(self, memory_bytes: int, preload: Sequence[str] = ()) -> None:
        self.preload = list(dict.fromkeys(preload))
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._greeted = False

    def start(self) -> None:
        """Start the process without waiting for what it has to import (seconds)."""
        with self._lock:
            if self._control is None:
                self._start()

    def is_ready(self) -> bool:
        """Say whether `fork` would now return, or fail, at once."""
        control = self._control
        if control is None or self._greeted:
            return control is not None
        poll = select.poll()
        try:
            poll.register(control, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):  # another thread has just closed it
            return False

    def fork(self) -> Worker:
        """Return a new worker. Raises BackendError if there is no getting one."""
        with self._lock:
            for _ in range(2):
                if self._control is None:
                    self._start()
                if not self._greeted:
                    self._meet()
                ours, theirs = socket.socketpair()
                with theirs:
                    try:
                        pid = int(self._ask(FORK, [theirs.fileno()]))
                    except (OSError, ValueError):
                        ours.close()
                        self._stop()
                        continue
                ours.setblocking(False)
                return Worker(pid, ours)
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
        preload = " ".join(self.preload)
        arguments = [str(theirs.fileno()), str(self._memory_bytes), preload, *sys.path]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        ours.settimeout(_START_SECONDS)
        self._control, self._greeted = ours, False

    def _meet(self) -> None:
        """Wait until the launcher has imported everything."""
        try:
            greeting = json.loads(self._line())
        except (OSError, ValueError) as error:
            self._stop()
            raise BackendError(f"the answer checker did not start: {error}") from error
        if "failed" in greeting:
            self._stop()
            raise BackendError(f"the answer checker cannot load math-verify: {greeting['failed']}")
        self._greeted = True

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
        if process is None:
            return
        if not self._greeted:
            process.kill()  # importing, with no workers to take along: it would read nothing yet
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
