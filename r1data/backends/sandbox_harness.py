"""The judge's side of the sandbox: runs a data set's tests against a program elsewhere.

Runs inside a sandbox of its own, which no candidate's code ever enters; it imports the standard
library alone. Names that the tests do not define are proxies: what the tests do with them is
asked of the candidate's process over a socket, and answered with plain data. So the tests, what
they expect and the verdict stay out of the candidate's reach.

Calls are by value: what the candidate does to its arguments is not seen here. An object that is no
data stays with the candidate; here it is a proxy that can be called, read, changed, iterated,
measured, indexed and printed, but that equals only itself.
"""

from __future__ import annotations

import ast
import builtins
import os
import signal
import sys
import traceback

from r1data.backends.sandbox_codec import decode, encode
from r1data.backends.sandbox_guest import Channel, limit, sweep

# What typing would bring takes longer to import than the rest of the start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_TESTS = "<tests>"


class Gone(BaseException):
    """The candidate's process has ended or talks nonsense. No ``except Exception`` of tests."""


class RemoteError(Exception):
    """The candidate raised an exception that is no builtin one."""


class _Unsendable(BaseException):
    """The tests use something that no other process can be given, such as a function."""


class Candidate:
    """The program under test, as far as the tests are concerned."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.calls = 0
        self.gone = ""

    def reply(self) -> Any:
        """Return the next answer. Raises what the candidate raised, or Gone."""
        try:
            message, _ = self._channel.receive()
            if "error" not in message:
                return decode(message["value"], lambda number: Proxy(self, number))
            name = str(message["error"])[:60]
        except BaseException as error:  # hostile data may break the decoder in any way
            raise self.lost(error) from None
        raise _remote(name)

    def ask(self, operation: str, target: Any, *args: Any, **named: Any) -> Any:
        """Have the candidate do something, and return what it says."""
        self.calls += 1
        request = {
            "operation": operation,
            "target": target,
            "args": [encode(value, _reference) for value in args],
            "named": {name: encode(value, _reference) for name, value in named.items()},
        }
        try:
            self._channel.send(request)
        except OSError as error:
            raise self.lost(error) from None
        return self.reply()

    def plain(self, operation: str, target: Any, kind: type) -> Any:
        """Ask for what must be of a builtin type, as Python's own protocols demand."""
        value = self.ask(operation, target)
        if not isinstance(value, kind):
            raise self.lost(TypeError())
        return value

    def lost(self, error: BaseException) -> Gone:
        """Remember, even if the tests catch everything, that there is no candidate any more."""
        self.gone = type(error).__name__
        return Gone(self.gone)


def _remote(name: str) -> Exception:
    """Return an exception of the name that the candidate's had, marked as not the tests' own."""
    kind = getattr(builtins, name, None)
    raised: Exception = RemoteError(name)
    # StopIteration would end a loop of the tests early, and what it had still to compare.
    if isinstance(kind, type) and issubclass(kind, Exception) and "Iteration" not in name:
        try:
            raised = kind(name)
        except TypeError:  # UnicodeDecodeError and its like want five arguments
            raised = RemoteError(name)
    raised.remote = name  # type: ignore[attr-defined]  # an attribute keeps the class catchable
    return raised


class Proxy:
    """Something that lives in the candidate's process. Equality and hash are those of identity."""

    def __init__(self, candidate: Candidate, target: Any) -> None:
        object.__setattr__(self, "_candidate", candidate)
        object.__setattr__(self, "_target", target)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call it with data, or with other proxies."""
        return self._candidate.ask("call", self._target, *args, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._candidate.ask("get", self._target, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._candidate.ask("set", self._target, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._candidate.ask("item", self._target, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._candidate.plain("list", self._target, list))

    def __len__(self) -> int:
        return int(self._candidate.plain("len", self._target, int))

    def __str__(self) -> str:
        return str(self._candidate.plain("str", self._target, str))

    def __bool__(self) -> bool:
        return bool(self._candidate.plain("bool", self._target, bool))


def _reference(value: Any) -> Any:
    if type(value) is Proxy:
        return ["ref", object.__getattribute__(value, "_target")]
    raise _Unsendable("the tests pass a " + type(value).__name__ + ", which cannot be sent")


def main(socket: Any) -> None:
    """Judge job after job, each in a forked process, until our side hangs up."""
    control = Channel(socket)
    settings, _ = control.receive()
    control.send("ready")
    while True:
        try:
            job, fds = control.receive()
        except ConnectionResetError:
            return
        child = os.fork()
        if child == 0:
            _judge_and_exit(control, job, fds[0])
        os.close(fds[0])
        _, status = os.waitpid(child, 0)
        if settings["own_pids"]:
            sweep(-1)
        if status:
            control.send({"verdict": "died", "where": "", "why": ""})


def _judge_and_exit(control: Channel, job: dict[str, Any], fd: int) -> None:
    import _socket

    try:
        signal.setitimer(signal.ITIMER_REAL, job["seconds"])  # ends this process, not its tests
        limit(job["limits"])
        control.send(judge(job, Channel(_socket.socket(fileno=fd))))
    except BaseException:  # no test may come back from here as a second judge
        os._exit(1)
    os._exit(0)


def judge(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Return what became of the tests: passed, failed, gone (the candidate) or idle (no call)."""
    candidate = Candidate(channel)
    where = "loading"
    try:
        candidate.reply()
        names = namespace(job, candidate)
        for place, code in steps(job):
            where = place
            exec(code, names)
    except Gone as error:
        return _said("gone", where, str(error))
    except _Unsendable as error:
        return _said("unsendable", where, str(error))
    except BaseException as error:
        return _said("failed", _place(where, error), _reason(error, job))
    if candidate.gone:
        return _said("gone", where, candidate.gone)
    return _said("passed" if candidate.calls else "idle", where, "")


def _said(verdict: str, where: str, why: str) -> dict[str, Any]:
    return {"verdict": verdict, "where": where, "why": why[:200]}


def _reason(error: BaseException, job: dict[str, Any]) -> str:
    """Return "" for an assertion of the tests, else the exception's name."""
    remote = getattr(error, "remote", "")
    if isinstance(error, AssertionError) and not remote:
        return ""
    return "exception " + (remote or type(error).__name__)


def _place(where: str, error: BaseException) -> str:
    if where != "check":
        return where
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == _TESTS
    ]
    return f"check line {lines[-1]}" if lines else where


def steps(job: dict[str, Any]) -> Iterator[Any]:
    """Yield (name, code) of each part of the tests, in order."""
    if job["setup"]:
        yield "setup", compile(job["setup"], "<setup>", "exec", dont_inherit=True)
    for number, text in enumerate(job["asserts"], 1):
        yield (
            f"assert {number} of {len(job['asserts'])}",
            compile(text, _TESTS, "exec", dont_inherit=True),
        )
    if job["check"]:
        yield "check", compile(job["check"], _TESTS, "exec", dont_inherit=True)
        yield "check", compile("check(" + job["entry_point"] + ")", "<call>", "exec")


def namespace(job: dict[str, Any], candidate: Candidate) -> dict[str, Any]:
    """Return the tests' globals: the prompt's helpers, standard modules, and proxies."""
    names: dict[str, Any] = {"__name__": "tests"}
    if job["prompt"]:
        exec(compile(job["prompt"], "<prompt>", "exec", dont_inherit=True), names)
    bases: set[str] = set()
    used: set[str] = set()
    for text in [job["setup"], job["check"], *job["asserts"]]:
        collect(ast.parse(text), bases, used)
    for name in bases | used:
        if name in names or hasattr(builtins, name):
            continue
        if name not in used and name in getattr(sys, "stdlib_module_names", ()):
            names[name] = __import__(name)
        else:
            names[name] = Proxy(candidate, name)
    if job["entry_point"]:
        names[job["entry_point"]] = Proxy(candidate, job["entry_point"])
    elif not any(type(value) is Proxy for value in names.values()):
        # A task to write one's own sum: as nothing else is called, the builtin is not meant.
        for name in set.intersection(*map(_called, job["asserts"])):
            names[name] = Proxy(candidate, name)
    return names


def _called(text: str) -> set[str]:
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return {function.id for function in calls if isinstance(function, ast.Name)}


def collect(tree: ast.AST, bases: set[str], used: set[str]) -> None:
    """Add the names a tree reads: those that only stand before a dot, and all others."""
    dotted = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            (bases if id(node) in dotted else used).add(node.id)
