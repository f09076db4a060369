import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from r1data.backends.math_pool import MathPool
from r1data.core.errors import BackendError

pytestmark = pytest.mark.engine  # the launcher loads sympy

SLOW = ("x+12", "(a+b+c+d+e+f)^{200}")  # minutes of expansion
EASY = [("x+1", "1+x"), ("x+1", "2+x"), (r"\sqrt{8}", r"2\sqrt{2}"), ("2", "x=2")]
EXPECTED = ["correct", "wrong", "correct", "correct"]

HOSTILE = [
    "9^{9^{9^9}}",
    "9**9**9**9",
    "10^7!",
    "((9!)!)!",
    r"\binom{1000000}{500000}",
    r"\sum_{i=1}^{10^{12}} i^2",
    "(a+b+c+d+e+f)^{200}",
    "{" * 3000 + "1" + "}" * 3000,
    "9" * 200_000,
    "__import__('os').system('touch PWNED')",
    "\x00",
    "\ud800",
]


@pytest.fixture(scope="module")
def pool() -> Iterator[MathPool]:
    with MathPool(workers=2, timeout=20.0) as pool:
        yield pool


def statuses(pool: MathPool, pairs: list[tuple[str, str]], timeout: float = 20.0) -> list[str]:
    return [status for status, _, _ in pool.check_many(pairs, timeout)]


def children() -> list[tuple[int, str]]:
    """Return (pid, state) of this process's descendants that are Python processes."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = int(path.parent.name), path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[pid] = (int(rest[1]), rest[0])
    mine = {os.getpid()}
    for _ in found:
        mine |= {pid for pid, (parent, _) in found.items() if parent in mine}
    return [(pid, found[pid][1]) for pid in mine - {os.getpid()}]


def test_verdicts_come_in_order(pool: MathPool) -> None:
    assert statuses(pool, EASY) == EXPECTED
    assert statuses(pool, EASY[::-1] * 3) == EXPECTED[::-1] * 3
    assert pool.check_many([]) == []


def test_gold_that_does_not_parse_is_bad(pool: MathPool) -> None:
    assert pool.check_many([("\\frac{", "3")])[0][:2] == ("bad_gold", "unparsed")
    assert pool.check_many([("3", "\\frac{")])[0][:2] == ("wrong", "unparsed")


def test_equal_pairs_are_judged_once(pool: MathPool) -> None:
    pair = (r"\sin(x)^2+\cos(x)^2", "1")
    first, second = pool.check_many([pair, pair])
    assert first[0] == second[0] == "correct"
    assert first[2] > 0.0
    assert second[2] == 0.0
    assert pool.check_many([pair])[0] == ("correct", "sympy", 0.0)


def test_an_overrun_is_killed_and_the_pool_goes_on(pool: MathPool) -> None:
    before = set(pool.worker_pids())
    rows = pool.check_many([SLOW, *EASY], timeout=3.0)
    assert rows[0][:2] == ("timeout", "killed")
    assert 3.0 <= rows[0][2] < 20.0
    assert [status for status, _, _ in rows[1:]] == EXPECTED
    assert statuses(pool, [("y+1", "1+y")]) == ["correct"]
    assert set(pool.worker_pids()) != before or not before


def test_hostile_battery_is_bounded(pool: MathPool, tmp_path: Path) -> None:
    rows = pool.check_many([("x+12", text) for text in HOSTILE], timeout=1.0)
    assert len(rows) == len(HOSTILE)
    assert {status for status, _, _ in rows} <= {"wrong", "timeout", "limit", "error"}
    assert rows[0][0] == "timeout"
    assert not Path("PWNED").exists()
    assert statuses(pool, [("z+1", "1+z")]) == ["correct"]


def test_a_killed_worker_is_one_error(pool: MathPool) -> None:
    statuses(pool, [("a+1", "1+a")])
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(pool.check_many, [SLOW], 60.0)
        while not future.done():
            for pid in pool.worker_pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.05)
    assert future.result()[0][:2] == ("error", "worker died")
    assert statuses(pool, [("b+1", "1+b")]) == ["correct"]


def test_workers_killed_while_idle_cost_no_row(pool: MathPool) -> None:
    statuses(pool, [("c+1", "1+c"), ("c+2", "2+c")])
    for pid in pool.worker_pids():
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert statuses(pool, [("d+1", "1+d"), ("d+2", "2+d"), ("d+3", "3+d")]) == ["correct"] * 3


def test_eight_threads(pool: MathPool) -> None:
    def work(number: int) -> list[str]:
        pairs = [(f"x+{number}", f"{number}+x"), (f"x+{number}", f"{number + 1}+x")]
        return statuses(pool, pairs)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [["correct", "wrong"]] * 8
    assert len(pool.worker_pids()) <= pool.workers


def test_asyncio(pool: MathPool) -> None:
    async def main() -> list[list[str]]:
        jobs = [asyncio.to_thread(statuses, pool, [(f"t+{n}", f"{n}+t")]) for n in range(4)]
        return await asyncio.gather(*jobs)

    assert asyncio.run(main()) == [["correct"]] * 4


def test_a_worker_is_replaced_after_its_jobs() -> None:
    with MathPool(workers=1, recycle_after=2) as pool:
        seen = set()
        for number in range(5):
            assert statuses(pool, [(f"x+{number}", f"{number}+x")]) == ["correct"]
            seen |= set(pool.worker_pids())
    assert len(seen) >= 2


def test_memory_is_limited() -> None:
    with MathPool(workers=1, memory_bytes=300 << 20) as pool:
        assert statuses(pool, [("x+1", "1+x")]) == ["correct"]
        outcome = pool.check_many([("x+2", "y" * (100 << 20))], 60.0)[0][:2]
        assert outcome in {("limit", "memory"), ("error", "worker died")}
        assert statuses(pool, [("x+3", "3+x")]) == ["correct"]


def test_nothing_is_left_after_close() -> None:
    before = children()
    with MathPool(workers=2) as pool:
        assert children() == before  # nothing starts before the first job
        pool.check_many([SLOW, *EASY], timeout=0.5)
        assert len(children()) > len(before)
    assert sorted(children()) == sorted(before)
    pool.close()
    with pytest.raises(BackendError, match="closed"):
        pool.check_many(EASY)


def test_close_while_in_use_does_not_hang() -> None:
    pool = MathPool(workers=1)
    statuses(pool, [("x+1", "1+x")])
    failures: list[BaseException | str] = []

    def work() -> None:
        try:
            failures.append(pool.check_many([SLOW], 60.0)[0][0])
        except BackendError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    pool.close()
    thread.join(30)
    assert not thread.is_alive()
    assert failures == ["error"] or isinstance(failures[0], BackendError)


def _in_child(connection: object) -> None:
    with MathPool(workers=1) as pool:
        connection.send(statuses(pool, EASY))  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_in_daemonic_children(method: str, pool: MathPool) -> None:
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=_in_child, args=(theirs,), daemon=True)
    process.start()
    assert ours.poll(120)
    assert ours.recv() == EXPECTED
    process.join(30)
    assert process.exitcode == 0
    assert statuses(pool, [("f+1", "1+f")]) == ["correct"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_orphan_when_the_parent_ends(end: signal.Signals, tmp_path: Path) -> None:
    # A script without a __main__ guard, ended while its worker is busy.
    script = tmp_path / "script.py"
    script.write_text(
        "from r1data.backends.math_pool import MathPool\n"
        "pool = MathPool(workers=1)\n"
        "pool.check_many([('x+1', '1+x')])\n"
        "print(*pool.worker_pids(), pool._launcher._process.pid, flush=True)\n"
        f"pool.check_many([{SLOW!r}], 600.0)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2
        time.sleep(0.3)
        process.send_signal(end)
        process.wait(30)
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
