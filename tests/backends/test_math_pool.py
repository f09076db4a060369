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

from r1data.backends.math_pool import MathPool, Outcome
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


def check(
    pool: MathPool, pairs: list[tuple[str, str]], timeout: float | None = None
) -> list[Outcome]:
    return pool.check_many("tests.backends.judges:judge", pairs, timeout)


def statuses(pool: MathPool, pairs: list[tuple[str, str]], timeout: float = 20.0) -> list[str]:
    return [outcome.status for outcome in check(pool, pairs, timeout)]


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
    assert check(pool, []) == []


def test_equal_pairs_are_judged_once(pool: MathPool) -> None:
    pair = (r"\sin(x)^2+\cos(x)^2", "1")
    first, second = check(pool, [pair, pair])
    assert first.status == second.status == "correct"
    assert first.seconds > 0.0
    assert second.seconds == 0.0
    assert check(pool, [pair])[0] == ("correct", "math-verify", 0.0, None)


def test_an_overrun_is_killed_and_the_pool_goes_on(pool: MathPool) -> None:
    before = set(pool.worker_pids())
    rows = check(pool, [SLOW, *EASY], timeout=3.0)
    assert rows[0][:2] == ("timeout", "killed")
    assert 3.0 <= rows[0].seconds < 20.0
    assert [row.status for row in rows[1:]] == EXPECTED
    assert statuses(pool, [("y+1", "1+y")]) == ["correct"]
    assert set(pool.worker_pids()) != before or not before


def test_hostile_battery_is_bounded(pool: MathPool, tmp_path: Path) -> None:
    rows = check(pool, [("x+12", text) for text in HOSTILE], timeout=1.0)
    assert len(rows) == len(HOSTILE)
    assert {row.status for row in rows} <= {"wrong", "timeout", "limit", "error"}
    assert rows[0].status == "timeout"
    assert not Path("PWNED").exists()
    assert statuses(pool, [("z+1", "1+z")]) == ["correct"]


def test_a_killed_worker_is_one_error(pool: MathPool) -> None:
    statuses(pool, [("a+1", "1+a")])
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(check, pool, [SLOW], 60.0)
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
        grab = pool.map_rows("tests.backends.judges:behave", [{"bytes": 300 << 20}], 60.0)
        assert grab[0][:2] == ("limit", "memory")
        assert statuses(pool, [("x+3", "3+x")]) == ["correct"]


def test_rows_come_in_order_from_all_workers(pool: MathPool) -> None:
    target = "tests.backends.judges:double"
    chunks = [[number, text] for number in range(40) for text in ("답", "\ud800", "x" * 100_000)]
    assert pool.map_rows(target, chunks) == [[2 * number, 2 * text] for number, text in chunks]
    assert pool.map_rows(target, []) == []
    slow = pool.map_rows(
        "tests.backends.judges:behave", [{"sleep": 0.2, "value": n} for n in "abcd"]
    )
    assert [value for value, _, _ in slow] == list("abcd")
    assert len({pid for _, _, pid in slow}) == 2


def test_a_chunk_that_fails_costs_no_other(pool: MathPool) -> None:
    wrong = [{"raise": "no such thing"}, {"die": True}, {"spin": True}, {"bytes": 3 << 30}]
    chunks = [{"value": 1}, *wrong, *({"value": n} for n in range(6))] * 2
    rows = pool.map_rows("tests.backends.judges:behave", chunks, 1.0)
    assert [row[0] for row in rows] == [1, "error", "error", "timeout", "limit", *range(6)] * 2
    failed = [row for row in rows if isinstance(row, Outcome)]
    assert [row.method for row in failed] == [
        "ValueError: no such thing",
        "worker died",
        "killed",
        "memory",
    ] * 2
    unknown = pool.map_rows("tests.backends.judges:nobody", [{}], 1.0)
    assert unknown[0].status == "error"
    assert unknown[0].method.startswith("AttributeError")


def test_a_queued_chunk_has_its_own_clock() -> None:
    # The second chunk waits behind the first one for longer than its own limit allows.
    with MathPool(workers=1) as pool:
        chunks = [{"sleep": 0.7, "value": number} for number in range(4)]
        rows = pool.map_rows("tests.backends.judges:behave", chunks, 1.2)
        assert [row[0] for row in rows] == [0, 1, 2, 3]


def test_a_worker_that_reads_nothing_does_not_hold_the_parent(pool: MathPool) -> None:
    chunks = [{"spin": True, "value": "x" * 5_000_000}, {"value": "y" * 5_000_000}] * 4
    rows = pool.map_rows("tests.backends.judges:behave", chunks, 1.0)
    assert [row[0][:1] for row in rows] == ["t", "y"] * 4


def test_slow_answers_in_eight_threads_do_not_wait_for_each_other(pool: MathPool) -> None:
    statuses(pool, EASY)

    def work(number: int) -> tuple[str, float]:
        started = time.monotonic()
        status = check(pool, [(f"x+{number}", SLOW[1])], 2.0)[0].status
        return status, time.monotonic() - started

    with ThreadPoolExecutor(9) as threads:
        slow = [threads.submit(work, number) for number in range(8)]
        time.sleep(0.5)
        assert threads.submit(statuses, pool, [("h+1", "1+h")]).result() == ["correct"]
        found = [future.result() for future in slow]
    assert [status for status, _ in found] == ["timeout"] * 8
    # One after another in two workers they would take 8 s.
    assert max(seconds for _, seconds in found) < 6.0
    assert len(pool.worker_pids()) <= pool.workers


def test_a_worker_that_grew_is_replaced() -> None:
    with MathPool(workers=1) as pool:
        target = "tests.backends.judges:behave"
        small = [pool.map_rows(target, [{"bytes": 1 << 20}], 9.0)[0][2] for _ in range(2)]
        grown = [pool.map_rows(target, [{"bytes": 600 << 20}], 9.0)[0][2] for _ in range(2)]
        assert len(set(small + grown)) == 2
        assert small[0] == small[1] == grown[0]
        assert grown[1] not in pool.worker_pids()


def test_starting_early_does_not_wait() -> None:
    with MathPool(workers=1) as pool:
        assert not pool.is_ready()
        pool.start("tests.backends.judges")
        assert not pool.is_ready()
        deadline = time.monotonic() + 120
        while not pool.is_ready() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert pool.worker_pids() == []
        assert statuses(pool, EASY) == EXPECTED
    before = children()
    pool = MathPool(workers=1)
    pool.start()
    pool.close()  # while it is still importing
    assert sorted(children()) == sorted(before)


def test_a_module_that_does_not_load_is_named() -> None:
    with (
        MathPool(preload=["no_such_module"]) as pool,
        pytest.raises(BackendError, match="no_such_module"),
    ):
        statuses(pool, EASY)


def test_nothing_is_left_after_close() -> None:
    before = children()
    with MathPool(workers=2) as pool:
        assert children() == before  # nothing starts before the first job
        check(pool, [SLOW, *EASY], timeout=0.5)
        assert len(children()) > len(before)
    assert sorted(children()) == sorted(before)
    pool.close()
    with pytest.raises(BackendError, match="closed"):
        check(pool, EASY)


def test_close_while_in_use_does_not_hang() -> None:
    pool = MathPool(workers=1)
    statuses(pool, [("x+1", "1+x")])
    failures: list[BaseException | str] = []

    def work() -> None:
        try:
            failures.append(check(pool, [SLOW], 60.0)[0].status)
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
        "judge = 'tests.backends.judges:judge'\n"
        "pool.check_many(judge, [('x+1', '1+x')])\n"
        "print(*pool.worker_pids(), pool._staff._launcher._process.pid, flush=True)\n"
        f"pool.check_many(judge, [{SLOW!r}], 600.0)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
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
