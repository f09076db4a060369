"""A sandbox's first process, its socket, its limits while it runs, and the pipes of one run."""

import json
import marshal
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from r1data.backends.sandbox_isolation import MARK, Isolation
from r1data.core.errors import BackendError

MAX_OUTPUT = 8 << 20
"""Bytes of standard output after which a program is stopped."""
GRACE_SECONDS = 2.0
"""How long the ends of something that was killed are waited for."""

_MAX_ERRORS = 1 << 16
_MAX_FRAME = 1 << 16  # of what is said to us: how a run or the tests ended
_START_SECONDS = 60.0
_TICK_SECONDS = 0.1
_PACKAGE = "r1data.backends"
_BOOT = """
import _socket, marshal, os, sys
here = _socket.socket(fileno=os.dup(0))
null = os.open(os.devnull, os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(null, fd)
os.close(null)
def read(count):
    data = b""
    while len(data) < count:
        piece = here.recv(count - len(data))
        if not piece:
            raise SystemExit
        data += piece
    return data
for name, code in marshal.loads(read(int.from_bytes(read(4), "big"))):
    sys.modules[name] = module = type(sys)(name)
    exec(code, vars(module))
del sys.modules["__main__"].read
module.main(here)
"""


class Overrun(Exception):
    """A deadline or a limit was met. The first argument is the ending, the second the reason."""


def _timed_out() -> Overrun:
    return Overrun("timeout", "")


def _too_much(what: str) -> Overrun:
    return Overrun("limit", what)


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of a process and all below it; 0 where /proc cannot say."""
    total = 0
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        # Resident minus file-backed pages: anonymous memory alone.
        total = (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(resident_bytes(int(child)) for child in children.read_text().split())
    except (OSError, ValueError, IndexError):
        pass
    return total


def ready(reading: Iterable[int], writing: Iterable[int], seconds: float) -> set[int]:
    """Return which descriptors can be read or written, after at most so many seconds.

    poll and not select, which refuses descriptors from 1024 on.
    """
    poll = select.poll()
    for fd in reading:
        poll.register(fd, select.POLLIN)
    for fd in writing:
        poll.register(fd, select.POLLOUT)
    return {fd for fd, _ in poll.poll(seconds * 1000)}


@dataclass(frozen=True)
class Watch:
    """A deadline and a memory limit, looked at while something else is waited for."""

    pid: int
    deadline: float
    memory: int

    def patience(self) -> float:
        """Return how long to wait before looking again. Raises Overrun."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise _timed_out()
        return min(left, _TICK_SECONDS)

    def wait(self, sock: socket.socket) -> None:
        """Wait until there is something to read. Raises Overrun."""
        while not ready([sock.fileno()], [], self.patience()):
            self.look()

    def look(self) -> None:
        """Raise Overrun if the sandbox holds too much memory."""
        if resident_bytes(self.pid) > self.memory:
            raise _too_much("memory")


class Process:
    """A sandbox with its first process and our end of its socket."""

    def __init__(self, walls: Isolation, entry: str, greeting: dict[str, Any]) -> None:
        self._mark = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._local = walls.kind == "local"
        self.socket, theirs = socket.socketpair()
        try:
            with theirs, open(os.devnull, "wb") as null:
                self.process = walls.start(
                    ["-c", _BOOT], theirs.fileno(), null.fileno(), self._mark
                )
        except BaseException:
            self.socket.close()
            raise
        try:
            self.socket.settimeout(_START_SECONDS)
            code = _bundle(entry, walls.same_python)
            self.socket.sendall(len(code).to_bytes(4, "big") + code)
            self.send(greeting)
            if self.receive(time.monotonic() + _START_SECONDS) != "ready":
                raise ValueError("it did not greet")
        except (OSError, ValueError) as error:
            self.kill()
            raise BackendError(f"a sandbox did not start: {error}") from error
        self.started = time.monotonic()

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Send a frame, with descriptors."""
        data = json.dumps(message).encode("ascii")
        socket.send_fds(self.socket, [len(data).to_bytes(4, "big")], list(fds))
        self.socket.sendall(data)

    def receive(self, deadline: float) -> Any:
        """Return the next frame. Raises OSError or ValueError: a guest may say anything."""
        length = int.from_bytes(self._read(4, deadline), "big")
        if length > _MAX_FRAME:
            raise ValueError("a frame is too long")
        try:
            return json.loads(self._read(length, deadline))
        except RecursionError:
            raise ValueError("a frame is nested too deep") from None

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionResetError("it ended")
            data += piece
        return bytes(data)

    def kill(self) -> None:
        """Kill everything in it and wait for its first process."""
        self.socket.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            self.process.kill()
        self.process.wait()
        if self._local:
            _sweep(f"{MARK}={self._mark}".encode())

    def forget(self) -> None:
        """Let go of a sandbox that belongs to the process this one was forked from."""
        self.socket.close()
        self.process.returncode = 0


def _sweep(mark: bytes) -> None:
    """Kill every process whose environment holds a mark. Without a wall that is all one can do."""
    for sign in (signal.SIGSTOP, signal.SIGKILL):  # what is stopped forks no successors
        seen: set[int] = set()
        for _ in range(100):
            new = {pid for pid in _marked(mark) if pid not in seen}
            if not new:
                break
            for pid in new:
                try:
                    os.kill(pid, sign)
                except OSError:
                    continue
            seen |= new


def _marked(mark: bytes) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


class Streams:
    """Our ends of a run's three pipes: input goes in, output and errors come out, capped."""

    def __init__(self, fds: Sequence[int], data: bytes) -> None:
        self._in, self._out, self._err = fds
        self._data = memoryview(data)
        self._open = set(fds)
        self.kept = (bytearray(), bytearray())
        os.set_blocking(self._in, False)

    def close(self) -> None:
        """Close what is still open."""
        for fd in list(self._open):
            self._shut(fd)

    def _shut(self, fd: int) -> None:
        self._open.discard(fd)
        os.close(fd)

    def follow(self, guest: Process, watch: Watch) -> dict[str, Any]:
        """Feed and read until the guest says how the run ended. Raises Overrun or OSError."""
        said: dict[str, Any] | None = None
        control = guest.socket.fileno()
        looked = last = time.monotonic()
        while said is None or self._open & {self._out, self._err}:
            reading = self._open & {self._out, self._err}
            if said is None:
                reading.add(control)
            patience = watch.patience() if said is None else GRACE_SECONDS
            usable = ready(reading, self._open & {self._in}, patience)
            if time.monotonic() - looked >= _TICK_SECONDS:
                watch.look()
                looked = time.monotonic()
            if said is not None and (not usable & reading or time.monotonic() > last):
                break  # something out of the sandbox's reach holds the pipes
            if self._in in usable:
                self._feed()
            for fd in usable & reading - {control}:
                self._take(fd)
            if control in usable:
                answer = guest.receive(watch.deadline)
                said = answer if isinstance(answer, dict) else {}
                last = time.monotonic() + GRACE_SECONDS
        return said

    def _take(self, fd: int) -> None:
        piece = os.read(fd, 1 << 16)
        if not piece:
            self._shut(fd)
        elif fd == self._out:
            self.kept[0].extend(piece)
            if len(self.kept[0]) > MAX_OUTPUT:
                raise _too_much("output")
        else:
            self.kept[1].extend(piece)
            del self.kept[1][:-_MAX_ERRORS]

    def _feed(self) -> None:
        try:
            written = os.write(self._in, self._data[: 1 << 16]) if self._data else 0
        except BlockingIOError:
            return
        except BrokenPipeError:
            written = len(self._data)
        self._data = self._data[written:]
        if not self._data:
            self._shut(self._in)


_bundles: dict[tuple[str, bool], bytes] = {}


def _bundle(entry: str, compiled: bool) -> bytes:
    """Return the modules of one side as (name, code) pairs, its main module last."""
    if (entry, compiled) not in _bundles:
        names = ["sandbox_codec", "sandbox_guest"]
        names += [entry] if entry not in names else []
        modules = []
        for name in names:
            source = files(_PACKAGE).joinpath(f"{name}.py").read_text("utf-8")
            code = compile(source, f"{name}.py", "exec", dont_inherit=True) if compiled else source
            modules.append((f"{_PACKAGE}.{name}", code))
        _bundles[entry, compiled] = marshal.dumps(modules, 4)
    return _bundles[entry, compiled]
