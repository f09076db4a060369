"""The child side of `r1data.backends.math_pool`: a launcher process that forks killable workers.

The launcher imports math-verify, and what its owner names besides, once and then only forks, reaps
and kills; the workers judge. Both leave when the parent's end of their socket closes, so no parent,
however it ends, leaves one behind: the launcher kills its workers first, and a timer that no Python
code can catch bounds each job besides.
"""

import contextlib
import gc
import importlib
import json
import logging
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any

from r1data.backends import math_compare

Reply = tuple[str, str, float | None]
"""Status, method and score: what a judge returns, and what is said of a job that failed."""

GRACE = 2.0
"""Seconds after a job's deadline at which a worker ends itself, if nobody has killed it."""
RETIRE_BYTES = 500 << 20
"""A worker whose memory has once been above this is replaced after its job."""

FORK = b"f"
KILL = b"k"

HEADER = struct.Struct("<QB")
"""Before each message: its length in bytes, and whether its sender wants to be replaced."""

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def serve(control_fd: int, memory_bytes: int, preload: Sequence[str] = ()) -> None:
    """Run the launcher: answer fork and kill requests until the parent's end closes.

    Modules named in ``preload`` are imported once, so that every worker has them. They must not
    start threads that their functions need: a worker is a fork, and has none of them.
    """
    control = socket.socket(fileno=control_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _preload(preload)
    except BaseException as error:
        control.sendall(json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        return
    control.sendall(json.dumps({"ready": os.getpid()}).encode() + b"\n")
    children: set[int] = set()
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(control, 64, 1)
        except OSError:
            break
        _reap(children)
        if not data:
            break
        if data[:1] == FORK:
            pid = os.fork()
            if pid == 0:
                _leave_after(control, fds[0], memory_bytes)
            os.close(fds[0])
            children.add(pid)
            control.sendall(b"%d\n" % pid)
        else:
            _kill(children, int(data[1:]))
            control.sendall(b"0\n")
    for pid in list(children):
        _kill(children, pid)


def _preload(modules: Sequence[str] = ()) -> None:
    logging.disable(logging.CRITICAL)
    # Builds the parsing tables that every fork shares.
    math_compare.same_function("\\frac{1}{2}+x^2", "x^2+0.5")
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()


def _reap(children: set[int]) -> None:
    for pid in list(children):
        if os.waitpid(pid, os.WNOHANG)[0]:
            children.discard(pid)


def _kill(children: set[int], pid: int) -> None:
    # Only a child that was not reaped yet: its number cannot belong to another process.
    if pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        children.discard(pid)


def _leave_after(control: socket.socket, fd: int, memory_bytes: int) -> None:
    try:
        control.close()
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        work(socket.socket(fileno=fd))
    finally:
        os._exit(0)


def work(connection: socket.socket) -> None:
    """Do jobs in their order until the other end closes. A job and its reply are JSON."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    jobs = connection.makefile("rb")
    while header := jobs.read(HEADER.size):
        data = jobs.read(HEADER.unpack(header)[0])
        try:
            reply = _reply(data)
            retire = _peak_bytes() > RETIRE_BYTES
            connection.sendall(HEADER.pack(len(reply), retire))
            connection.sendall(reply)
        except (EOFError, OSError):
            return


def _reply(data: bytes) -> bytes:
    """Return the reply to a job: {"value": what its function returned}, or a failure."""
    failure: Reply
    try:
        job = json.loads(data)
        signal.setitimer(signal.ITIMER_REAL, job["seconds"] + GRACE)
        module, _, name = job["target"].partition(":")
        value = getattr(importlib.import_module(module), name)(*job["args"])
        return json.dumps({"value": value}).encode()
    except MemoryError:
        failure = "limit", "memory", None
    except BaseException as error:
        failure = "error", _named(error), None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return json.dumps(failure).encode()


def _named(error: BaseException) -> str:
    # Never str(error): sympy's errors print the expressions they are about, however large.
    words = error.args[0] if error.args and type(error.args[0]) is str else ""
    return f"{type(error).__name__}: {words}"[:200] if words else type(error).__name__


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT


def judge_gym(dataset: str, entry: dict[str, Any], answer: str | None) -> Reply:
    """Return (status, method, score) of an answer by the scorer of a reasoning-gym data set.

    Correct means a score of 1. A scorer that also gives 1 to junk is not believed: there, only
    the entry's own answer is correct. An answer that the scorer chokes on is wrong, unless it
    chokes on the entry's own answer too.
    """
    scorer = importlib.import_module("reasoning_gym").get_score_answer_fn(dataset)
    _restore_tuples(dataset, entry)
    oracle = entry.get("answer")
    try:
        found = float(scorer(answer, entry))
    except MemoryError:
        raise
    except Exception as error:
        if oracle is not None and _chokes(scorer, str(oracle), entry):
            return "error", "gym entry", None
        return "wrong", f"gym scorer raised {type(error).__name__}", 0.0
    if found != found:
        return "error", "NaN score", None
    score = min(1.0, max(0.0, found))
    if score < 1.0:
        return "wrong", "gym", score
    if oracle is not None and str(oracle).strip() == str(answer).strip():
        return "correct", "gym", 1.0
    try:
        junk = float(scorer("\u2063 no answer \u2063", entry))
    except Exception:  # a scorer that chokes on junk does not accept it
        junk = 0.0
    if junk >= 1.0:
        return "wrong", "gym accepts junk", 0.0
    return "correct", "gym", 1.0


def _chokes(scorer: Any, answer: str, entry: dict[str, Any]) -> bool:
    try:
        scorer(answer, entry)
    except Exception:
        return True
    return False


def _restore_tuples(dataset: str, entry: dict[str, Any]) -> None:
    """Give the boards of two data sets back the tuples that JSON made lists of."""
    output = entry.get("metadata", {}).get("output")
    if dataset in ("arc_agi", "rearc") and isinstance(output, list):
        entry["metadata"]["output"] = tuple(map(tuple, output))
