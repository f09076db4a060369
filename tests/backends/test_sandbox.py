import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.backends import sandbox_isolation
from r1data.backends.sandbox import MAX_PROCESSES, CallTests, Program, Ran, Sandbox, shared_sandbox
from r1data.backends.sandbox_codec import decode, encode
from r1data.backends.sandbox_isolation import isolation
from r1data.backends.sandbox_process import MAX_OUTPUT, resident_bytes
from r1data.backends.sandbox_seccomp import seccomp_filter
from r1data.core.errors import BackendError
from tests.backends.hostile_programs import DOUBLE, HOSTILE, TESTS, Hostile, attack

TOKEN = f"token {random.SystemRandom().randrange(10**12)}"
NEEDS_BUBBLEWRAP = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not installed"
)


def no_reference(_: Any) -> Any:
    raise TypeError("no data")


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**50, max_value=2**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.builds(range, st.integers(-9, 9), st.integers(-9, 9)),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
    ),
    max_leaves=12,
)


@given(plain)
def test_data_comes_back_as_it_was(value: Any) -> None:
    back = decode(encode(value, no_reference), no_reference)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)  # -0.0, True against 1, the order of a dict


@given(st.sets(st.integers() | st.text() | st.tuples(st.floats(allow_nan=False))))
def test_sets_come_back_as_they_were(value: set[Any]) -> None:
    for kind in (set, frozenset):
        back = decode(encode(kind(value), no_reference), no_reference)
        assert back == value
        assert type(back) is kind


def test_subclasses_travel_as_their_content() -> None:
    class Same(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    class Full(list[int]):
        def __iter__(self) -> Iterator[int]:
            return iter([1, 2, 3])

    back = decode(encode([Same(7), Full([4])], no_reference), no_reference)
    assert back == [7, [4]]
    assert [type(part) for part in back] == [int, list]


@pytest.mark.parametrize(
    "data",
    [
        ["eval", "1"], ["int"], ["int", "zz"], {"value": 1}, ["set", [["list", []]]], ["dict", [1]],
        ["number", ["os.system", "true"]], ["type", 99], ["list", 3], [["list", []], 1],
    ],
)  # fmt: skip
def test_malformed_data_is_refused(data: Any) -> None:
    with pytest.raises((ValueError, TypeError, IndexError)):
        decode(data, no_reference)


def test_objects_and_functions_are_no_data() -> None:
    for value in (object(), print, len, lambda: 1, iter([1]), Path):
        with pytest.raises(TypeError, match="no data"):
            encode([value], no_reference)


def test_filter_is_whole_instructions_and_refuses_what_it_does_not_know() -> None:
    for machine in ("x86_64", "aarch64"):
        assert len(seccomp_filter(machine)) % 8 == 0
    assert seccomp_filter("x86_64") != seccomp_filter("aarch64")
    with pytest.raises(BackendError, match="no system-call filter for pdp11"):
        seccomp_filter("pdp11")


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which isolation works here, and give the old knowledge back afterwards."""
    monkeypatch.setattr(sandbox_isolation, "_known", {})


def test_without_bubblewrap_it_refuses_and_says_what_to_do(
    nothing_known: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError) as raised:
        Sandbox()
    said = str(raised.value)
    assert "bubblewrap is not installed" in said
    assert "apt-get install bubblewrap" in said
    assert "--unsafe-local" in said
    assert "\n" not in said


@pytest.fixture
def broken_bubblewrap(nothing_known: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put a bwrap on the path that fails as one does where user namespaces are forbidden."""
    script = tmp_path / "bwrap"
    script.write_text("#!/bin/sh\necho 'bwrap: No permissions for a namespace' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


@pytest.mark.engine
def test_bubblewrap_that_may_not_work_is_refused_with_its_own_words(
    broken_bubblewrap: None,
) -> None:
    with pytest.raises(BackendError, match="No permissions for a namespace.*--unsafe-local"):
        isolation()


@pytest.mark.engine
def test_limits_alone_only_when_asked_for_and_with_a_warning(broken_bubblewrap: None) -> None:
    with pytest.warns(RuntimeWarning, match="network and files are NOT cut"):
        box = Sandbox(1, unsafe_local=True)
    with box:
        assert box.walls.kind == "local"
        assert box.call(DOUBLE, TESTS).ending == "passed"
        assert box.call(Program(("def f(x):\n    while 1: pass",), timeout=0.5), TESTS).ending == (
            "timeout"
        )
        ran = box.run(Program(("print(input())",)), ["a", "b"], lambda number, ran: True)
        assert [one.output for one in ran] == ["a\n", "b\n"]
        bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
        if os.getuid() == 0:  # an ordinary user's processes are counted together with the bomb's
            assert box.run(Program((bomb,), timeout=1), [""], lambda *_: True)[0].ending != "exited"
            assert box.call(DOUBLE, TESTS).ending == "passed"
        daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)"
        assert box.run(Program((daemon,)), [""], lambda *_: True)[0].code == 0
        assert marked_processes(wanted=1) == 1  # the judge
    assert marked_processes(wanted=0) == 0


def marked_processes(wanted: int) -> int:
    """Return how many processes run on the local rung, once they are as few as wanted."""
    deadline = time.monotonic() + 10  # who is killed takes a moment to be gone
    mark = f"R1DATA_SANDBOX={os.getpid()}-".encode()
    while True:
        count = 0
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                count += mark in path.read_bytes()
            except OSError:
                continue
        if count <= wanted or time.monotonic() > deadline:
            return count
        time.sleep(0.05)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(2) as box:
        yield box


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """Serve the token on a loopback port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(TOKEN.encode())

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture(scope="module")
def secret() -> Iterator[Path]:
    """A readable file below the home folder."""
    path = Path.home() / f"r1data-test-{os.getpid()}.txt"
    path.write_text(TOKEN)
    path.chmod(0o644)
    yield path
    path.unlink()


@NEEDS_BUBBLEWRAP
@pytest.mark.engine
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_hostile_program_is_contained_and_the_next_one_runs(
    box: Sandbox,
    server: int,
    secret: Path,
    monkeypatch: pytest.MonkeyPatch,
    hostile: Hostile,
) -> None:
    monkeypatch.setenv("R1DATA_CANARY", "1")
    assert not attack(box, hostile, server, secret, TOKEN)[0]
    assert box.call(DOUBLE, TESTS).ending == "passed"


@NEEDS_BUBBLEWRAP
@pytest.mark.engine
def test_the_baits_are_there_for_who_is_not_contained(server: int, secret: Path) -> None:
    assert len(HOSTILE) >= 50
    assert secret.read_text() == TOKEN
    with socket.create_connection(("127.0.0.1", server)) as connection:
        assert connection.recv(100).decode() == TOKEN


@NEEDS_BUBBLEWRAP
@pytest.mark.engine
class TestRuns:
    def run(self, box: Sandbox, source: str, text: str = "", **limits: Any) -> Ran:
        return box.run(Program((source,), **limits), [text], lambda *_: True)[0]

    def test_input_output_errors_and_exit_code(self, box: Sandbox) -> None:
        source = "import sys\nprint(input()[::-1])\nprint('e', file=sys.stderr)\nsys.exit(3)"
        ran = self.run(box, source, "abc\nrest")
        assert (ran.ending, ran.output, ran.errors, ran.code) == ("exited", "cba\n", "e\n", 3)

    def test_each_input_meets_a_fresh_program(self, box: Sandbox) -> None:
        source = "import os\nprint(getattr(os, 'seen', 'new'), input())\nos.seen = 1"
        runs = box.run(Program((source,)), ["1", "2"], lambda *_: True)
        assert [ran.output for ran in runs] == ["new 1\n", "new 2\n"]

    def test_it_stops_when_told(self, box: Sandbox) -> None:
        runs = box.run(Program(("print(input())",)), "abc", lambda number, ran: ran.output != "b\n")
        assert [ran.output for ran in runs] == ["a\n", "b\n"]

    def test_large_input_and_output_pass_whole(self, box: Sandbox) -> None:
        text = "0123456789" * 200_000
        assert self.run(box, "print(input())", text).output == text + "\n"

    def test_input_that_nobody_reads_is_no_fault(self, box: Sandbox) -> None:
        assert self.run(box, "print(1)", "x" * 1_000_000).output == "1\n"

    def test_text_is_utf8(self, box: Sandbox) -> None:
        assert self.run(box, "print(input() + '가')", "답은").output == "답은가\n"

    def test_output_is_capped_while_it_is_read(self, box: Sandbox) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ran = self.run(box, "while True: print('x' * 100000)")
        assert (ran.ending, ran.why) == ("limit", "output")
        assert len(ran.output) < MAX_OUTPUT + 100_000
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert grown < 8 * MAX_OUTPUT

    def test_endings(self, box: Sandbox) -> None:
        assert self.run(box, "while True: pass", timeout=0.5).ending == "timeout"
        assert self.run(box, "import os\nos.kill(os.getpid(), 9)").code == -9
        assert self.run(box, "x = (").why == "SyntaxError"
        assert "MemoryError" in self.run(box, "a = 'x' * 10**9", memory_mb=128).errors
        assert self.run(box, "import os\nos.kill(-1, 9)").ending in ("died", "exited")

    def test_exit_and_quit_exist_and_threads_are_waited_for(self, box: Sandbox) -> None:
        source = (
            "import threading, time, atexit\natexit.register(print, 'c')\n"
            "threading.Thread(target=lambda: (time.sleep(0.1), print('b'))).start()\n"
            "print('a')\nexit()"
        )
        ran = self.run(box, source)
        assert (ran.output, ran.code) == ("a\nb\nc\n", 0)

    def test_main_module_is_the_program_s(self, box: Sandbox) -> None:
        source = (
            "import sys\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int'\n"
            "if __name__ == '__main__':\n    print(A(1), sys.modules['__main__'].A is A, sys.argv)"
        )
        assert self.run(box, source).output == "A(x=1) True ['program.py']\n"

    def test_processes_are_few_and_ids_are_no_root_s(self, box: Sandbox) -> None:
        source = (
            "import os, time\ncount = 0\ntry:\n    while True:\n        if os.fork() == 0:\n"
            "            time.sleep(9)\n        count += 1\nexcept BlockingIOError: pass\n"
            "print(count, os.getuid() == 0, os.geteuid() == 0)"
        )
        count, *root = self.run(box, source).output.split()
        assert 5 < int(count) <= MAX_PROCESSES
        assert root == ["False", "False"]

    def test_environment_and_folders(self, box: Sandbox, secret: Path) -> None:
        source = (
            "import os\nprint(sorted(os.environ))\nprint(os.path.exists('SECRET'))\n"
            "print(os.getcwd(), [d for d in os.listdir('/proc') if d.isdecimal()].__len__() < 6)\n"
            "open('note', 'w').write('x')\nprint(open('note').read())\n"
            "for place in ('/', '/usr', '/dev', '/etc', os.path.dirname(os.__file__)):\n"
            "    try: open(place + '/x', 'w')\n    except OSError as error: print(error.strerror)"
        ).replace("SECRET", str(secret))
        lines = self.run(box, source).output.splitlines()
        assert set(eval(lines[0])) <= {"HOME", "LC_CTYPE", "MALLOC_ARENA_MAX", "PATH", "PWD"}
        assert lines[1:4] == ["False", "/tmp True", "x"]
        assert len(lines) == 9
        assert set(lines[4:]) <= {"Read-only file system", "Permission denied"}

    def test_site_packages_only_when_asked_for(self, box: Sandbox) -> None:
        source = "import pydantic\nprint(pydantic.__name__)"
        assert "ModuleNotFoundError" in self.run(box, source).errors
        with Sandbox(1, packages=True) as open_box:
            if open_box.walls.same_python:
                assert self.run(open_box, source).output == "pydantic\n"


@NEEDS_BUBBLEWRAP
@pytest.mark.engine
class TestCalls:
    def call(self, box: Sandbox, source: str, *asserts: str, setup: str = "") -> tuple[str, ...]:
        return box.call(Program((source,), timeout=3.0), CallTests(asserts, setup))[:3]

    def test_the_first_failing_assert_is_named(self, box: Sandbox) -> None:
        asserts = ("assert f(1) == 2", "assert f(2) == 5", "assert f(3) == 7")
        assert self.call(box, DOUBLE.sources[0], *asserts) == ("failed", "assert 2 of 3", "")

    def test_exceptions_are_named_and_can_be_expected(self, box: Sandbox) -> None:
        source = "def f(x):\n    return 1 // x\ndef g():\n    raise type('Odd', (Exception,), {})"
        assert self.call(box, source, "assert f(0) == 1")[1:] == (
            "assert 1 of 1",
            "exception ZeroDivisionError",
        )
        assert self.call(box, source, "assert g() == 1")[2] == "exception Odd"
        expected = "try:\n    f(0)\n    assert False\nexcept ZeroDivisionError:\n    pass"
        assert self.call(box, source, expected, "assert f(1) == 1")[0] == "passed"

    def test_assertion_of_the_program_is_not_the_tests_own(self, box: Sandbox) -> None:
        source = "def f(x):\n    assert False"
        assert self.call(box, source, "assert f(0) == 1")[2] == "exception AssertionError"

    def test_a_program_cannot_end_a_loop_of_the_tests(self, box: Sandbox) -> None:
        loop = "for found, wanted in zip(map(f, [1, 2]), [3, 4]):\n    assert found == wanted"
        stops = "def f(x):\n    raise StopIteration"
        assert self.call(box, stops, loop)[::2] == ("failed", "exception StopIteration")
        assert self.call(box, "def f(x):\n    return x + 2", loop)[0] == "passed"

    def test_a_dead_program_fails_tests_that_catch_everything(self, box: Sandbox) -> None:
        swallow = "try:\n    f(1)\nexcept:\n    pass"
        found = self.call(box, "import os\ndef f(x):\n    os._exit(0)", swallow)
        assert found[0] == "failed"

    def test_faithful_types(self, box: Sandbox) -> None:
        source = "def f(x):\n    return x"
        values = "(None, True, 1.5, -0.0, 10**40, 'é\\ud800', b'x', {1: (2, {3})}, 1j, [[]])"
        assert self.call(box, source, f"assert f({values}) == {values}")[0] == "passed"
        assert self.call(box, source, "assert f((1, 2)) == [1, 2]")[0] == "failed"
        assert self.call(box, source, "assert type(f((1, 2))) is tuple")[0] == "passed"

    def test_classes_and_iterators_stay_with_the_program(self, box: Sandbox) -> None:
        source = (
            "class Node:\n"
            "    def __init__(self, data):\n        self.data, self.next = data, None\n"
            "    def __str__(self):\n        return f'<{self.data}>'\n"
            "def total(node):\n    return node.data + (total(node.next) if node.next else 0)\n"
            "def squares(n):\n    return (i * i for i in range(n))"
        )
        setup = "root = Node(1)\nroot.next = Node(2)"
        asserts = (
            "assert total(root) == 3",
            "assert root.next.data == 2",
            "assert str(root) == '<1>'",
            "assert list(squares(4)) == [0, 1, 4, 9]",
        )
        assert self.call(box, source, *asserts, setup=setup)[0] == "passed"

    def test_helpers_and_modules_of_tests_are_the_judge_s(self, box: Sandbox) -> None:
        source = "import math\nmath.isclose = lambda *a, **k: True\ndef f(x):\n    return 3.0"
        found = self.call(box, source, "assert math.isclose(f(1), 2.0)")
        assert found[:2] == ("failed", "assert 1 of 1")
        own = "def poly(xs, x):\n    return xs[0] + xs[1] * x\n"
        tests = CallTests(
            check="def check(candidate):\n    assert poly([1, 2], candidate(3)) == 7",
            entry_point="f",
            prompt=own + 'def f(x):\n    """Three."""\n',
        )
        forged = Program(("def poly(xs, x):\n    return 7\ndef f(x):\n    return 9",))
        assert box.call(forged, tests)[:2] == ("failed", "check line 2")
        assert box.call(Program(("def f(x):\n    return x",)), tests).ending == "passed"

    def test_a_builtin_s_name_may_be_the_task_but_never_a_tool(self, box: Sandbox) -> None:
        source = "def sum(a, b):\n    return a * b"
        assert self.call(box, source, "assert sum(2, 3) == 6")[0] == "passed"
        forged = "def abs(x):\n    return 0\ndef f(x):\n    return 5"
        assert self.call(box, forged, "assert abs(f(1) - 2) < 1e-6")[0] == "failed"

    def test_tests_that_prove_nothing_are_the_data_s_fault(self, box: Sandbox) -> None:
        assert self.call(box, "f = 1", "assert True")[0] == "bad_tests"
        found = self.call(box, "def f(x):\n    return x(1)", "assert f(lambda x: x) == 1")
        assert found[0] == "bad_tests"
        assert "function" in found[2]

    def test_the_first_reading_that_compiles_is_taken(self, box: Sandbox) -> None:
        program = Program(("def f(x: return", DOUBLE.sources[0], "def f(x):\n    return 0"))
        assert box.call(program, TESTS).ending == "passed"

    def test_a_judge_that_was_killed_is_replaced(self, box: Sandbox) -> None:
        for tests in (TESTS, CallTests(asserts=("f(1)\nwhile True: pass",)), TESTS):
            ending = box.call(DOUBLE._replace(timeout=1.0), tests).ending
            assert ending == ("passed" if tests is TESTS else "timeout")


def sandboxes() -> set[int]:
    """Return the sandboxes that this process has started and not yet reaped."""
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        for child in path.read_text().split():
            name = Path(f"/proc/{child}/comm").read_text().strip()
            found |= {int(child)} if name in ("bwrap", "setpriv", "python3") else set()
    return found


@NEEDS_BUBBLEWRAP
@pytest.mark.engine
def test_threads_share_a_sandbox_and_nothing_is_left_running() -> None:
    before = sandboxes()
    found: list[str] = []
    with Sandbox(3) as box:

        def work() -> None:
            found.extend(box.call(DOUBLE, TESTS).ending for _ in range(3))

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sandboxes() - before) == 3  # a judge for each worker
    assert found == ["passed"] * 15
    assert sandboxes() - before == set()
    with pytest.raises(BackendError, match="closed"):
        box.run(DOUBLE, [""], lambda *_: True)


@NEEDS_BUBBLEWRAP
@pytest.mark.engine
def test_a_forked_process_gets_judges_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from r1data.backends.sandbox import Program, CallTests, shared_sandbox\n"
        "def work():\n"
        "    program, tests = Program(('def f(x): return x',)), CallTests(('assert f(1) == 1',))\n"
        "    print(shared_sandbox(1).call(program, tests).ending, flush=True)\n"
        "work()\n"
        "if os.fork() == 0:\n"
        "    work()\n"
        "else:\n"
        "    os.wait()\n"
        "    work()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.stderr) == ("passed\n" * 3, "")


@NEEDS_BUBBLEWRAP
@pytest.mark.engine
def test_shared_sandbox_is_one_and_grows() -> None:
    assert shared_sandbox(1) is shared_sandbox(2)
    assert shared_sandbox(1).workers >= 2


def test_memory_of_a_tree_is_counted() -> None:
    mine = resident_bytes(os.getpid())
    kept = b"x" * (64 << 20)
    assert resident_bytes(os.getpid()) - mine > len(kept) * 0.8
    assert resident_bytes(2**22 + 1) == 0
