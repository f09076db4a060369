"""HumanEval and MBPP through the sandbox, with mutants; hostile programs; programs per second.

    python benchmarks/code_sandbox.py --data FOLDER [--every 1] [--workers 2]

FOLDER holds humaneval.jsonl and mbpp.jsonl. Every reference solution is judged as it is, and in
mutated copies: one whose entry function returns a wrong constant at once, one that raises at once,
and up to three in which one comparison, arithmetic or boolean operator, or integer constant has
been changed (chosen by a seed of the task's number). A mutant of the last kind may be equivalent,
or its tests too weak to tell; so each program is also run the plain way, solution and tests in one
file and one process, exit code 0 for passed, and the verdicts are compared. Plain runs use the
same sandbox (the mutants are not to be trusted either). The two may rightly differ where a mutant
changes a helper that the prompt gives: a plain run tests with the changed helper, the judge with
the prompt's.
"""

import argparse
import ast
import builtins
import copy
import json
import os
import platform
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from r1data.backends.sandbox import Program, Sandbox, shared_sandbox
from r1data.backends.sources import humaneval_payload, mbpp_payload
from r1data.stages.verify.code import (
    CodeJob,
    prepare_code,
    run_code,
)
from tests.backends.hostile_programs import DOUBLE, HOSTILE, TESTS, attack

TIMEOUT = 10.0
MUTANT_TIMEOUT = 3.0
COMPARISONS = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
}  # fmt: skip


class Task(NamedTuple):
    name: str
    payload: str
    source: str
    tests: str
    """What follows the program in a plain run."""
    function: str


def tasks(folder: Path, every: int) -> dict[str, list[Task]]:
    """Return the tasks of both sets."""
    humaneval = [json.loads(line) for line in (folder / "humaneval.jsonl").open(encoding="utf-8")]
    mbpp = [json.loads(line) for line in (folder / "mbpp.jsonl").open(encoding="utf-8")]
    return {
        "HumanEval": [
            Task(
                row["task_id"].partition("/")[2],
                humaneval_payload(row),
                row["prompt"] + row["canonical_solution"],
                f"{row['test']}\ncheck({row['entry_point']})",
                row["entry_point"],
            )
            for row in humaneval[::every]
        ],
        "MBPP": [
            Task(
                str(row["task_id"]),
                mbpp_payload(row),
                row["code"].replace("\r\n", "\n"),
                "\n".join([row["test_setup_code"].replace("\r\n", "\n"), *row["test_list"]]),
                called(row["test_list"][0]),
            )
            for row in mbpp[::every]
        ],
    }


def called(text: str) -> str:
    """Return the name of the function an assert is about."""
    names = [
        node.func.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return next((name for name in names if not hasattr(builtins, name)), names[0])


def early(task: Task, statement: str) -> str | None:
    """Return the program with a statement put first into its entry function."""
    tree = ast.parse(task.source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == task.function:
            node.body[:0] = ast.parse(statement).body
    out = ast.unparse(ast.fix_missing_locations(tree))
    return out if out != ast.unparse(ast.parse(task.source)) else None


def edits(tree: ast.AST) -> Iterator[Callable[[], None]]:
    """Yield functions that change one thing in a tree, in place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            kind = COMPARISONS[type(node.ops[0])]
            yield lambda node=node, kind=kind: node.ops.__setitem__(0, kind())
        elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
            kind = OPERATORS[type(node.op)]
            yield lambda node=node, kind=kind: setattr(node, "op", kind())
        elif isinstance(node, ast.BoolOp):
            kind = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield lambda node=node, kind=kind: setattr(node, "op", kind())
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            yield lambda node=node: setattr(node, "value", node.value + 1)


def mutated(task: Task) -> list[str]:
    """Return up to three programs that differ from the task's solution in one place."""
    tree = ast.parse(task.source)
    count = sum(1 for _ in edits(tree))
    chosen = random.Random(int(task.name)).sample(range(count), min(3, count))
    out = []
    for number in chosen:
        changed = copy.deepcopy(tree)
        list(edits(changed))[number]()
        out.append(ast.unparse(ast.fix_missing_locations(changed)))
    return out


def judge(pairs: Sequence[tuple[Task, str]], workers: int, timeout: float) -> list[tuple[str, str]]:
    """Return (status, method) of each program."""
    jobs = []
    for task, source in pairs:
        job = prepare_code(task.payload, f"```python\n{source}\n```")
        assert isinstance(job, CodeJob), (task.name, job)
        jobs.append(job)
    verdicts = run_code(jobs, workers=workers, timeout=timeout, unsafe_local=False)
    return [(verdict.status, verdict.method or "") for verdict in verdicts]


def plain(
    box: Sandbox, pairs: Sequence[tuple[Task, str]], workers: int, timeout: float
) -> list[str]:
    """Return what each program gives with its tests in the same file."""

    def one(pair: tuple[Task, str]) -> str:
        task, source = pair
        program = Program((f"{source}\n{task.tests}\n",), timeout=timeout)
        ran = box.run(program, [""], lambda *_: True)[0]
        if ran.ending == "exited":
            return "correct" if ran.code == 0 else ran.errors.strip().rsplit("\n", 1)[-1][:60]
        return ran.ending

    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(one, pairs))


def accuracy(name: str, every: list[Task], workers: int) -> None:
    """Print a table of one data set."""
    kinds: dict[str, list[tuple[Task, str]]] = {
        "reference solution": [(task, task.source) for task in every],
        "returns a wrong constant": [
            (task, source) for task in every if (source := early(task, "return '<wrong>'"))
        ],
        "raises at once": [
            (task, source) for task in every if (source := early(task, "raise ValueError('wrong')"))
        ],
        "one change": [(task, source) for task in every for source in mutated(task)],
    }
    print(f"\n{name}: {len(every)} tasks")
    print(f"  {'program':<26}{'count':>6}{'correct':>9}{'not':>6}{'as plain':>10}   other statuses")
    notes: list[str] = []
    for kind, pairs in kinds.items():
        timeout = TIMEOUT if kind == "reference solution" else MUTANT_TIMEOUT
        found = judge(pairs, workers, timeout)
        simple = plain(shared_sandbox(workers), pairs, workers, timeout)
        passed = [status == "correct" for status, _ in found]
        agree = sum(a == (b == "correct") for a, b in zip(passed, simple, strict=True))
        other = Counter(status for status, _ in found if status not in ("correct", "wrong"))
        words = ", ".join(f"{status} {count}" for status, count in sorted(other.items()))
        right = sum(passed)
        print(f"  {kind:<26}{len(pairs):>6}{right:>9}{len(pairs) - right:>6}{agree:>10}   {words}")
        for (task, _), (status, method), theirs in zip(pairs, found, simple, strict=True):
            right = status == "correct"
            expected = right if kind == "one change" else kind == "reference solution"
            if right != expected or right != (theirs == "correct"):
                notes.append(f"  {kind}, task {task.name}: {status}, {method}; plain: {theirs}")
        if kind == "one change":
            killed = {
                task.name for (task, _), right in zip(pairs, passed, strict=True) if not right
            }
            notes.append(
                f"  {len(killed)} of {len({task.name for task, _ in pairs})} tasks have a changed "
                "copy that is not correct"
            )
    print("\n".join(notes))


def hostile(box: Sandbox) -> None:
    """Print what becomes of each hostile program, and whether the next one runs."""
    token = f"token {random.SystemRandom().randrange(10**12)}"
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(token.encode())

    thread = threading.Thread(target=serve)
    thread.start()
    secret = Path.home() / f"r1data-benchmark-{os.getpid()}.txt"
    secret.write_text(token)
    contained = 0
    print(f"\n  {'hostile program':<44}{'contained':<11}{'next runs':<11}what became of it")
    try:
        for program in HOSTILE:
            breached, said = attack(box, program, listener.getsockname()[1], secret, token)
            runs = box.call(DOUBLE, TESTS).ending == "passed"
            contained += runs and not breached
            words = ["NO" if breached else "yes", "yes" if runs else "NO"]
            print(f"  {program.name:<44}{words[0]:<11}{words[1]:<11}{said}")
    finally:
        secret.unlink()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
    print(f"  {contained} of {len(HOSTILE)} contained, and the next program ran")


def speed(every: list[Task], stdin_tests: int) -> None:
    """Print programs per second, with 1 and 2 workers in turn."""
    calls = [prepare_code(task.payload, f"```python\n{task.source}\n```") for task in every]
    tests = [{"input": f"{n}\n", "output": f"{2 * n}\n"} for n in range(stdin_tests)]
    stdin = [prepare_code(json.dumps({"stdin": tests}), "```python\nprint(2 * int(input()))\n```")]
    print()
    cases: list[tuple[str, list[Any]]] = [
        (f"HumanEval ({len(calls)} programs)", calls),
        (f"stdin, {stdin_tests} tests each (40 programs)", stdin * 40),
    ]
    for name, jobs in cases:
        best: dict[int, float] = {}
        for workers in (1, 2, 1, 2, 1, 2):
            began = time.perf_counter()
            run_code(jobs, workers=workers, timeout=TIMEOUT, unsafe_local=False)
            rate = len(jobs) / (time.perf_counter() - began)
            best[workers] = max(rate, best.get(workers, 0.0))
        words = ", ".join(f"{workers} worker(s) {rate:.1f}" for workers, rate in best.items())
        print(f"  programs per second, {name}: {words} (best of 3)")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--every", type=int, default=1)
    arguments.add_argument("--workers", type=int, default=2)
    options = arguments.parse_args()
    os.environ["R1DATA_CANARY"] = "1"  # what "reads the environment of others" looks for
    box = shared_sandbox(options.workers)
    inside = "the running one" if box.walls.same_python else Path(box.walls.python).name
    print(
        f"{box.walls.kind}, Python {platform.python_version()} (inside: {inside}), "
        f"{os.cpu_count()} cores, {'root' if os.getuid() == 0 else 'ordinary user'}"
    )
    sets = tasks(options.data, options.every)
    for name, every in sets.items():
        accuracy(name, every, options.workers)
    hostile(box)
    speed(sets["HumanEval"], 10)


if __name__ == "__main__":
    main()
