r"""Hostile answers, golds and texts: ours in five settings beside math-verify alone in a thread.

    python benchmarks/verify_hostile.py [--timeout 2] [--every 1] [--no-peer]

Each string of tests/stages/verify/hostile.py goes through `r1data.verify` in each of its shapes (as
the answer in a box and in a phrase, as the gold answer, and gold and answer one character apart):
from the main thread, from 8 threads, from asyncio, and a part of them from a spawned and from a
forkserver process. It is survived if every one of those calls is back within the timeout + 1 s and
raised nothing. math-verify has its timeouts off, since they work in the main thread alone; each
string is parsed and compared once, in the box, in a thread of a process that is killed after 4 s.
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from r1data.backends.math_pool import shared_pool
from tests.stages.verify import hostile_runs as runs
from tests.stages.verify.hostile import ALL, shapes

PEER_SECONDS = 4.0
PEER_BYTES = 4 << 30


def peer(every: int) -> dict[tuple[str, str], str]:
    """Return what became of each string with math-verify: back, raised, hung or died."""
    import logging

    import math_verify

    logging.disable(logging.CRITICAL)

    def compare(gold: str, text: str, report: int) -> None:
        try:
            golds = math_verify.parse(f"\\boxed{{{gold}}}", parsing_timeout=None)
            answers = math_verify.parse(text, parsing_timeout=None)
            math_verify.verify(golds, answers, timeout_seconds=None)
        except BaseException:
            os.write(report, b"raised")
        else:
            os.write(report, b"back")

    compare("1", "\\boxed{\\frac{1}{2}+x}", os.open(os.devnull, os.O_WRONLY))
    found = {}
    for number, hostile in enumerate(ALL):
        if number % every == 0:
            _, gold, text = next(shapes(hostile))
            found[hostile.kind, hostile.name] = _in_killed_process(compare, gold, text)
    return found


def _in_killed_process(compare: Callable[[str, str, int], None], gold: str, text: str) -> str:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_AS, (PEER_BYTES, PEER_BYTES))
        thread = threading.Thread(target=compare, args=(gold, text, writing))
        thread.start()
        thread.join()
        os._exit(0)
    os.close(writing)
    deadline = time.monotonic() + PEER_SECONDS
    while not (ended := os.waitpid(pid, os.WNOHANG)[0] == pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    said = os.read(reading, 100).decode()
    os.close(reading)
    return said if ended and said else "died" if ended else "hung"


def ours(every: int, timeout: float) -> tuple[dict[str, list[runs.Result]], int]:
    """Return the results of each setting, and the highest peak of a worker's memory in bytes."""
    whole, part = runs.Share(every), runs.Share(10 * every, one_shape=True)
    runs.warm()
    results: dict[str, list[runs.Result]] = {}
    with runs.watched() as peaks:
        for name, run, share in (
            ("main thread", runs.in_main, whole),
            (f"{runs.THREADS} threads", runs.in_threads, whole),
            ("asyncio", runs.in_asyncio, whole),
            ("spawn", lambda *a: runs.in_process("spawn", *a), part),
            ("forkserver", lambda *a: runs.in_process("forkserver", *a), part),
        ):
            began = time.perf_counter()
            results[name] = run(share, timeout)
            late = [r for r in results[name] if r.seconds > timeout + 1 or r.status == "raised"]
            took = time.perf_counter() - began
            print(
                f"{name:<12} {len(results[name]):>5} calls in {took:>6.1f} s, "
                f"worst {max(r.seconds for r in results[name]):.2f} s, "
                f"{len(late)} late or raised, still serving: {runs.serves()}",
                flush=True,
            )
            for r in late:
                print(
                    f"    {r.kind} / {r.name} / {r.shape}: {r.status} {r.method} {r.seconds:.2f} s"
                )
    return results, max(peaks.values(), default=0)


def table(
    results: dict[str, list[runs.Result]], theirs: dict[tuple[str, str], str], timeout: float
) -> None:
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    raised: Counter[tuple[str, str]] = Counter()
    for result in (result for found in results.values() for result in found):
        key = (result.kind, result.name)
        seconds[key] = max(seconds[key], result.seconds)
        raised[key] += result.status == "raised"
    print(
        f"\n{'class':<32} {'strings':>7} {'ours':>8} {'worst s':>8} {'math-verify in a thread':>25}"
    )
    kinds = [*dict.fromkeys(kind for kind, _ in seconds), "all"]
    for kind in kinds:
        keys = [key for key in seconds if kind in (key[0], "all")]
        survived = sum(seconds[key] <= timeout + 1 and not raised[key] for key in keys)
        fates = Counter(theirs[key] for key in keys if key in theirs)
        peer_column = "-"
        if theirs:
            back = fates.pop("back", 0)
            other = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))
            peer_column = f"{back}/{len(keys)}" + (f" ({other})" if other else "")
        worst = max(seconds[key] for key in keys)
        own = f"{survived}/{len(keys)}"
        print(f"{kind:<32} {len(keys):>7} {own:>8} {worst:>8.2f}  {peer_column}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--timeout", type=float, default=2.0)
    arguments.add_argument("--every", type=int, default=1, help="only every so many-th string")
    arguments.add_argument("--no-peer", action="store_true")
    options = arguments.parse_args()
    theirs = {} if options.no_peer else peer(options.every)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        results, peak = ours(options.every, options.timeout)
        zombies = [pid for pid, state in runs.descendants() if state == "Z"]
        written = sorted(os.listdir("."))
        os.chdir("/")
    shared_pool().close()
    table(results, theirs, options.timeout)
    statuses = Counter(result.status for found in results.values() for result in found)
    print(f"\nstatuses: {', '.join(f'{name} {count}' for name, count in statuses.most_common())}")
    print(f"highest peak of a worker's memory: {peak / 2**20:,.0f} MiB")
    print(f"zombies before closing: {len(zombies)}; files written by injected code: {written}")
    # The forkserver of multiprocessing and its resource tracker are not ours.
    left = [pid for pid, _ in runs.descendants() if "math_worker" in command(pid)]
    print(f"processes left after closing: {len(left)}")


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
