"""The child side of `r1data.backends.math_pool`: a launcher process that forks killable workers.

The launcher imports math-verify once and then only forks, reaps and kills; the workers judge.
Both leave when the parent's end of their socket closes, so no parent, however it ends, leaves one
behind: the launcher kills its workers first, and a timer that no Python code can catch bounds each
job besides.
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
from multiprocessing.connection import Connection
from typing import Any

from r1data.backends.math_compare import Reply, judge_math

GRACE = 2.0
"""Seconds after a job's deadline at which a worker ends itself, if nobody has killed it."""

FORK = b"f"
KILL = b"k"


def serve(control_fd: int, memory_bytes: int) -> None:
    """Run the launcher: answer fork and kill requests until the parent's end closes."""
    control = socket.socket(fileno=control_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _preload()
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


def _preload() -> None:
    logging.disable(logging.CRITICAL)
    judge_math("\\frac{1}{2}+x^2", "x^2+0.5")  # builds the parsing tables that every fork shares
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
        work(Connection(fd))
    finally:
        os._exit(0)


def work(connection: Connection) -> None:
    """Judge jobs until the other end closes. A job and its reply are JSON."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    while True:
        try:
            job = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, job["seconds"] + GRACE)
        reply = _judge(job)
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            connection.send_bytes(json.dumps(reply).encode())
        except OSError:
            return


def _judge(job: dict[str, Any]) -> Reply:
    try:
        if job["op"] == "gym":
            return judge_gym(*job["args"])
        return judge_math(*job["args"])
    except MemoryError:
        return "limit", "memory", None
    except BaseException as error:
        return "error", type(error).__name__, None


def judge_gym(dataset: str, entry: dict[str, Any], answer: str | None) -> Reply:
    """Return (status, method, score) of an answer by the scorer of a reasoning-gym data set.

    Correct means a score of 1. A scorer that also gives 1 to junk is not believed: there, only
    the entry's own answer is correct.
    """
    scorer = importlib.import_module("reasoning_gym").get_score_answer_fn(dataset)
    score = min(1.0, max(0.0, float(scorer(answer, entry))))
    if score != score:
        return "error", "NaN score", None
    if score < 1.0:
        return "wrong", "gym", score
    oracle = entry.get("answer")
    if oracle is not None and str(oracle).strip() == str(answer).strip():
        return "correct", "gym", 1.0
    try:
        junk = float(scorer("\u2063 no answer \u2063", entry))
    except Exception:  # a scorer that chokes on junk does not accept it
        junk = 0.0
    if junk >= 1.0:
        return "wrong", "gym accepts junk", 0.0
    return "correct", "gym", 1.0
