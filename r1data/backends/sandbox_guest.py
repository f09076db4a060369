"""The candidate's side of the sandbox: loads a program, then runs it or answers calls to it.

Runs inside the sandbox as source or code object; it imports the standard library alone. Nothing
in this process is secret and nothing it says is believed: whatever a candidate does to it, the
expected outputs and the verdict are elsewhere (`sandbox_harness`, or our own process).

A frame is a big-endian length of four bytes and that much JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from r1data.backends.sandbox_codec import decode, encode

# What typing would bring takes longer to import than the rest of the start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_FRAME = 16 << 20
"""Bytes of a frame; a longer one ends the conversation."""


class Channel:
    """Frames, and the file descriptors that come with them, over a socket."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def close(self) -> None:
        """Close this process's end."""
        self._socket.close()

    def send(self, message: Any) -> None:
        """Send a value as JSON. Raises ValueError if it is too long."""
        data = json.dumps(message, separators=(",", ":")).encode("ascii")
        if len(data) > MAX_FRAME:
            raise ValueError("more data than a frame may hold")
        self._socket.sendall(len(data).to_bytes(4, "big") + data)

    def receive(self) -> tuple[Any, list[int]]:
        """Return the next value and its descriptors. Raises ConnectionResetError at the end."""
        head, fds = b"", []
        while len(head) < 4:
            piece, ancillary, _, _ = self._socket.recvmsg(4 - len(head), 256)
            if not piece:
                raise ConnectionResetError("the other side is gone")
            head += piece
            for _, _, data in ancillary:
                whole = len(data) - len(data) % 4
                fds += [
                    int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, whole, 4)
                ]
        return json.loads(self._read(int.from_bytes(head, "big"))), fds

    def _read(self, count: int) -> bytes:
        if count > MAX_FRAME:
            raise ValueError("the other side sends more than a frame may hold")
        pieces = []
        while count:
            piece = self._socket.recv(min(count, 1 << 16))
            if not piece:
                raise ConnectionResetError("the other side is gone")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


def limit(limits: dict[str, int]) -> None:
    """Set hard resource limits by their lower-case names (as, cpu, fsize, …)."""
    import resource

    for name, value in limits.items():
        kind = getattr(resource, "RLIMIT_" + name.upper())
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))


def main(socket: Any) -> None:
    """Serve one program. The first frame says which and how."""
    import builtins

    channel = Channel(socket)
    job, _ = channel.receive()
    limit(job["limits"])
    sys.path.extend(job["path"])
    sys.argv[:] = ["program.py"]
    for name in ("exit", "quit"):  # the site module would have brought them
        setattr(builtins, name, sys.exit)
    channel.send("ready")
    if job["mode"] == "run":
        _serve_runs(channel, job)
    else:
        _serve_calls(channel, job["sources"])


def _compile(sources: list[str]) -> Any:
    """Return the first source that compiles. Raises what the last one raises."""
    for source in sources[:-1]:
        try:
            return compile(source, "program.py", "exec", dont_inherit=True)
        except SyntaxError:
            continue
    return compile(sources[-1], "program.py", "exec", dont_inherit=True)


def _module(name: str) -> dict[str, Any]:
    module = type(sys)(name)
    sys.modules[name] = module
    return vars(module)


def _serve_runs(channel: Channel, job: dict[str, Any]) -> None:
    """Run the program once for each frame, with the three descriptors that come with it."""
    failure, code = "", compile("", "program.py", "exec")
    try:
        code = _compile(job["sources"])
    except BaseException as error:  # the program's fault, whatever it is
        failure = type(error).__name__
    while True:
        try:
            _, fds = channel.receive()
        except ConnectionResetError:
            return
        child = 0 if failure else os.fork()
        if child == 0 and not failure:
            channel.close()
            for number, fd in enumerate(fds):
                os.dup2(fd, number)
                os.close(fd)
            if not job["own_pids"]:
                os.setsid()
            exec(code, _module("__main__"))
            return
        for fd in fds:
            os.close(fd)
        channel.send({"failure": failure} if failure else {"exit": _wait(child, job["own_pids"])})


def _wait(child: int, own_pids: bool) -> int:
    """Wait for a run, kill what it left behind, and return its exit code or minus its signal."""
    while True:
        pid, status = os.wait()
        if pid == child:
            break
    sweep(-1 if own_pids else -child)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def sweep(target: int) -> None:
    """Kill and reap what is left. Only in a process namespace of our own may that be all: -1."""
    try:
        os.kill(target, signal.SIGKILL)
    except OSError:  # nobody is left to kill, but perhaps to reap
        target = 0
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except OSError:
        return


def _serve_calls(channel: Channel, sources: list[str]) -> None:
    """Load the program, then answer what the harness asks of it, until it hangs up."""
    names: dict[str, Any] = {}
    kept: list[Any] = []

    def keep(value: Any) -> Any:
        kept.append(value)
        return ["ref", len(kept) - 1]

    def resolve(reference: Any) -> Any:
        # eval raises NameError by itself, as a call in the same file would have.
        return kept[reference] if isinstance(reference, int) else eval(reference, names)

    def load(_: Any) -> Any:
        names.update(_module("candidate"))
        exec(_compile(sources), names)

    def answer(work: Callable[[Any], Any], request: Any) -> None:
        try:
            reply = {"value": encode(work(request), keep)}
        except BaseException as error:  # even SystemExit is only news for the harness
            reply = {"error": type(error).__name__}
        try:
            channel.send(reply)
        except (ValueError, RecursionError, MemoryError) as error:
            channel.send({"error": type(error).__name__})

    answer(load, None)
    while True:
        try:
            request, _ = channel.receive()
        except ConnectionResetError:
            return
        answer(lambda asked: _perform(asked, resolve), request)


def _perform(request: dict[str, Any], resolve: Callable[[Any], Any]) -> Any:
    target = resolve(request["target"])
    args = [decode(value, resolve) for value in request["args"]]
    operation = request["operation"]
    if operation == "call":
        named = {name: decode(value, resolve) for name, value in request["named"].items()}
        return target(*args, **named)
    simple: dict[str, Callable[..., Any]] = {
        "get": getattr,
        "set": setattr,
        "item": lambda thing, key: thing[key],
        "list": list,
        "len": len,
        "str": str,
        "bool": bool,
    }
    return simple[operation](target, *args)
