"""Ways of calling `r1data.verify` with hostile strings, for the tests and the benchmark."""

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import r1data
from r1data.backends.math_pool import shared_pool
from tests.stages.verify.hostile import ALL, shapes

THREADS = 8


class Result(NamedTuple):
    """What came of one call."""

    kind: str
    name: str
    shape: str
    status: str
    method: str
    seconds: float


class Share(NamedTuple):
    """Some of the hostile strings, all of their shapes or one, taken in turn."""

    every: int = 1
    offset: int = 0
    one_shape: bool = False

    def cases(self) -> Iterator[tuple[tuple[str, str, str], str, str]]:
        for number, hostile in enumerate(ALL):
            if number % self.every != self.offset % self.every:
                continue
            found = list(shapes(hostile))
            turn = (number // self.every + self.offset) % len(found)
            for shape, gold, text in found[turn : turn + 1] if self.one_shape else found:
                yield (hostile.kind, hostile.name, shape), gold, text


def attempt(key: tuple[str, str, str], gold: str, text: str, timeout: float) -> Result:
    started = time.perf_counter()
    try:
        verdict = r1data.verify(gold, text, timeout=timeout)
        status, method = verdict.status, verdict.method or ""
    except BaseException as error:
        status, method = "raised", f"{type(error).__name__}: {error}"[:200]
    return Result(*key, status, method, time.perf_counter() - started)


def warm() -> None:
    """Start the workers: what follows is to measure answers, not the import of sympy."""
    assert serves()


def serves() -> bool:
    """Say whether two plain pairs are still decided by the workers as they should be."""
    stamp = time.monotonic_ns()  # a pair that no memo has
    golds = [f"x+{stamp}"] * 2
    texts = [f"\\boxed{{{stamp}+x}}", f"\\boxed{{{stamp}+2x}}"]
    verdicts = r1data.verify_many(golds, texts, timeout=60.0)
    return [verdict.status for verdict in verdicts] == ["correct", "wrong"]


def in_main(share: Share, timeout: float) -> list[Result]:
    return [attempt(*case, timeout) for case in share.cases()]


def in_threads(share: Share, timeout: float) -> list[Result]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(lambda case: attempt(*case, timeout), share.cases()))


def in_asyncio(share: Share, timeout: float) -> list[Result]:
    async def main() -> list[Result]:
        gate = asyncio.Semaphore(THREADS)

        async def one(case: tuple[tuple[str, str, str], str, str]) -> Result:
            async with gate:
                return await asyncio.to_thread(attempt, *case, timeout)

        return await asyncio.gather(*(one(case) for case in share.cases()))

    return asyncio.run(main())


def in_process(method: str, share: Share, timeout: float) -> list[Result]:
    """Run in a process started by a method of multiprocessing; it too must end in order."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, share, timeout))
    process.start()
    theirs.close()
    results: list[Result] = ours.recv()
    process.join(60)
    assert process.exitcode == 0
    return results


def _child(connection: Any, share: Share, timeout: float) -> None:
    warm()
    results = in_main(share, timeout)
    assert serves()
    connection.send(results)


@contextmanager
def watched() -> Iterator[dict[int, int]]:
    """Lend the peak resident bytes of each worker of the shared pool, by process id."""
    peaks: dict[int, int] = {}
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            for pid in shared_pool().worker_pids():
                peaks[pid] = max(peaks.get(pid, 0), _peak(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) * 1024 if found else 0


def descendants() -> list[tuple[int, str]]:
    """Return (pid, state) of every process that descends from this one; Z is a zombie."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        found[int(path.parent.name)] = (int(parent), state)
    mine = {os.getpid()}
    for _ in found:
        mine |= {pid for pid, (parent, _) in found.items() if parent in mine}
    return sorted((pid, found[pid][1]) for pid in mine - {os.getpid()})
