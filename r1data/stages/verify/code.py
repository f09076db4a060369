r"""Programs, judged by running them in the sandbox. All tests must pass.

A payload is JSON, in one of three forms:

* ``{"stdin": [{"input": "…", "output": "…"}, …], "checker": "exact" | "tokens" | "float"}``:
  the program reads standard input and writes standard output. ``exact`` (the default) compares
  whole outputs without white space at the ends of lines and newlines at the end; ``tokens``
  compares the words between white space; ``float`` also takes words for equal whose values differ
  by at most 1e-6, relative or absolute (two integers never differ).
* ``{"asserts": ["assert f(1) == 2", …], "setup": "…"}``, as in MBPP.
* ``{"check": "def check(candidate): …", "entry_point": "f", "prompt": "…"}``, as in HumanEval.
  With ``prompt`` (imports, helpers, the function's head) an answer may be the function's body.

``"timeout"`` (wall seconds; of each input's run, or of all calls together) and ``"memory_mb"`` may
be added to each. Tests see the candidate's results as plain data and call it by value; see
`backends.sandbox`.
"""

import ast
import json
import math
import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from r1data.backends.sandbox import CallTests, Outcome, Program, Ran, Sandbox, shared_sandbox
from r1data.core.errors import BackendError
from r1data.core.records import Status, Verdict
from r1data.stages.verify.code_blocks import (
    answer_text,
    blocks,
    fenced_program,
    first_body,
    is_program,
    parsed,
    readings,
)
from r1data.stages.verify.extract import Extract

Checker = Literal["exact", "tokens", "float"]

MAX_CODE = 200_000
"""Characters of an answer with a program in it."""

_MAX_BARE = 20_000  # without a fence only parsing tells a program from prose
_CHECKERS = ("exact", "tokens", "float")
_ERROR_LINE = re.compile(r"(?:\w+\.)*(\w+)(?::|$)")
_INTEGER = re.compile(r"[+-]?\d+")
_TOLERANCE = 1e-6
_STATUSES: dict[str, Status] = {
    "passed": "correct",
    "failed": "wrong",
    "timeout": "timeout",
    "limit": "limit",
    "bad_tests": "bad_gold",
    "error": "error",
}


class Case(NamedTuple):
    """One input and what must come out."""

    input: str
    output: str


class CodeJob(NamedTuple):
    """What the sandbox has to do for one answer: ``cases`` or ``tests``, never both."""

    code: str
    """The program as it was found in the text."""
    sources: tuple[str, ...]
    """Its readings (with the prompt before it, as a body); the first that compiles is run."""
    cases: tuple[Case, ...] = ()
    checker: Checker = "exact"
    tests: CallTests | None = None
    timeout: float | None = None
    memory_mb: int = 512


class _Fault(Exception):
    """A payload that cannot be used: the status and why."""


def prepare_code(
    payload: str | None, text: str, extract: Extract = "any", prefill: str = ""
) -> Verdict | CodeJob:
    """Return the job of a row, or its verdict where there is nothing to run.

    The program is the last fenced Python block after the reasoning, preferably one that defines
    what the tests call; "any" also accepts an answer that is a program as a whole.
    """
    try:
        job = _read_payload(payload)
    except _Fault as fault:
        return Verdict(status=fault.args[0], method=fault.args[1])
    part = answer_text(text, prefill)
    if part is None:
        return Verdict(status="no_answer")
    if len(part) > MAX_CODE:
        return Verdict(status="limit", method="length")
    prompt, entry_point = (job.tests.prompt, job.tests.entry_point) if job.tests else ("", "")
    code = fenced_program(part, _wanted(job.tests))
    if code is not None:
        return job._replace(code=code, sources=_unique(readings(code, prompt, entry_point)))
    if extract == "any" and len(part) <= _MAX_BARE and not any(blocks(part)):
        whole = readings(part, prompt, entry_point)
        cut = readings(first_body(part), prompt, entry_point)
        sources = [source for source in _unique([*whole, *cut]) if is_program(source)]
        if sources:
            return job._replace(code=part.strip("\n"), sources=tuple(sources))
    return Verdict(status="no_answer", method="no Python code")


def _unique(sources: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sources))


def run_code(
    jobs: Sequence[CodeJob], *, workers: int = 2, timeout: float = 5.0, unsafe_local: bool = False
) -> list[Verdict]:
    """Return the verdict on each job, in order. ``timeout`` is for jobs that name none.

    Statuses: correct, wrong, timeout, limit (memory, output), bad_gold (tests that call nothing),
    error (a sandbox broke). Raises BackendError if there is no isolation at all.
    """
    if not jobs:
        return []
    box = shared_sandbox(workers, unsafe_local)
    if workers == 1 or len(jobs) == 1:
        return [_run(box, job, timeout) for job in jobs]
    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(lambda job: _run(box, job, timeout), jobs))


def _run(box: Sandbox, job: CodeJob, timeout: float) -> Verdict:
    program = Program(job.sources, job.timeout or timeout, job.memory_mb)
    started = time.monotonic()
    try:
        if job.tests:
            status, method = _of_outcome(box.call(program, job.tests), job.tests)
        else:
            status, method = _of_runs(box, program, job)
    except BackendError as error:
        status, method = "error", str(error)[:200]
    score = {"correct": 1.0, "wrong": 0.0, "timeout": 0.0, "limit": 0.0}.get(status)
    seconds = time.monotonic() - started
    return Verdict(status=status, extracted=job.code, method=method, score=score, seconds=seconds)


def _of_outcome(outcome: Outcome, tests: CallTests) -> tuple[Status, str]:
    if outcome.ending == "passed":
        return "correct", f"{len(tests.asserts)} asserts" if tests.asserts else "check"
    why = f": {outcome.why}" if outcome.why else ""
    return _STATUSES[outcome.ending], f"{outcome.where}{why}"


def _of_runs(box: Sandbox, program: Program, job: CodeJob) -> tuple[Status, str]:
    def passes(number: int, ran: Ran) -> bool:
        return ran.code == 0 and outputs_equal(ran.output, job.cases[number].output, job.checker)

    runs = box.run(program, [case.input for case in job.cases], passes)
    last = len(runs) - 1
    place, ran = f"stdin {last + 1}", runs[last]
    if ran.ending == "exited" and passes(last, ran):
        return "correct", f"{len(runs)} stdin"
    if ran.ending == "timeout":
        return "timeout", place
    if ran.ending == "limit":
        return "limit", f"{place}: {ran.why}"
    if ran.ending == "exited" and ran.code == 0:
        return "wrong", f"{place}: output differs"
    why = _why(ran)
    if why == "exception MemoryError":
        return "limit", f"{place}: memory"
    return "wrong", f"{place}: {why}"


def _why(ran: Ran) -> str:
    if ran.why:
        return ran.why if " " in ran.why else f"exception {ran.why}"
    last = ran.errors.strip().rsplit("\n", 1)[-1]
    found = _ERROR_LINE.match(last)
    if ran.code == 1 and found and "Traceback" in ran.errors:
        return f"exception {found[1]}"
    return f"signal {-ran.code}" if ran.code < 0 else f"exit code {ran.code}"


def outputs_equal(found: str, wanted: str, checker: Checker = "exact") -> bool:
    """Return whether a program's whole output is what was wanted, by the checker's rule."""
    if checker == "exact":
        return _trimmed(found) == _trimmed(wanted)
    ours, theirs = found.split(), wanted.split()
    if len(ours) != len(theirs):
        return False
    if checker == "tokens":
        return ours == theirs
    return all(_same_value(a, b) for a, b in zip(ours, theirs, strict=True))


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n")


def _same_value(found: str, wanted: str) -> bool:
    if found == wanted:
        return True
    if _INTEGER.fullmatch(found) and _INTEGER.fullmatch(wanted):
        return found.lstrip("+") == wanted.lstrip("+")
    try:
        ours, theirs = float(found), float(wanted)
    except ValueError:
        return False
    return math.isclose(ours, theirs, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


@lru_cache(maxsize=4096)  # many samples share a problem
def _read_payload(payload: str | None) -> CodeJob:
    """Return a job without its program. Raises _Fault."""
    try:
        data = json.loads(payload or "{}")
    except (ValueError, RecursionError):
        raise _Fault("error", "payload is not JSON") from None
    if not isinstance(data, dict):
        raise _Fault("error", "payload is no JSON object")
    forms = [name for name in ("stdin", "asserts", "check") if data.get(name)]
    if not forms:
        raise _Fault("bad_gold", "no tests")
    if len(forms) > 1:
        raise _Fault("error", f"payload has {' and '.join(forms)}: give one of them")
    job = CodeJob("", (), **_resources(data))
    if forms == ["stdin"]:
        return job._replace(cases=_cases(data["stdin"]), checker=_checker(data))
    return job._replace(tests=_tests(data))


def _resources(data: dict[str, Any]) -> dict[str, Any]:
    timeout, memory = data.get("timeout"), data.get("memory_mb", 512)
    if timeout is not None and not (_is_number(timeout) and 0 < timeout <= 3600):
        raise _Fault("error", "payload: timeout must be seconds above 0, at most 3600")
    if not (_is_number(memory) and 32 <= memory <= 1 << 20):
        raise _Fault("error", "payload: memory_mb must be at least 32")
    return {"timeout": timeout, "memory_mb": int(memory)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checker(data: dict[str, Any]) -> Checker:
    checker = data.get("checker", "exact")
    if checker not in _CHECKERS:
        raise _Fault("error", f"payload: checker must be one of {', '.join(_CHECKERS)}")
    return checker  # type: ignore[no-any-return]  # it was compared with the names


def _cases(rows: Any) -> tuple[Case, ...]:
    fault = _Fault("error", "payload: stdin must be a list of {input, output}, both strings")
    if not isinstance(rows, list):
        raise fault
    out = []
    for row in rows:
        values = [row.get("input"), row.get("output")] if isinstance(row, dict) else [None]
        if not all(isinstance(value, str) for value in values):
            raise fault
        out.append(Case(*values))
    return tuple(out)


def _tests(data: dict[str, Any]) -> CallTests:
    asserts = data.get("asserts") or []
    texts = {name: data.get(name) or "" for name in ("setup", "check", "entry_point", "prompt")}
    strings = isinstance(asserts, list) and all(isinstance(text, str) for text in asserts)
    if not strings or not all(isinstance(text, str) for text in texts.values()):
        raise _Fault("error", "payload: tests must be strings, asserts a list of strings")
    for text in [*asserts, texts["setup"], texts["check"]]:
        if parsed(text) is None:
            raise _Fault("bad_gold", f"a test does not parse: {text.strip()[:80]}")
    if texts["check"]:
        if not re.search(r"^def check\(", texts["check"], re.MULTILINE):
            raise _Fault("bad_gold", "check defines no function check")
        if not texts["entry_point"].isidentifier():
            raise _Fault("bad_gold", "entry_point is no name")
    return CallTests(tuple(asserts), **texts)


def _wanted(tests: CallTests | None) -> set[str]:
    """Return the names of what the tests call."""
    if tests is None:
        return set()
    if tests.entry_point:
        return {tests.entry_point}
    nodes = (node for text in tests.asserts for node in ast.walk(ast.parse(text)))
    called = (node.func for node in nodes if isinstance(node, ast.Call))
    return {function.id for function in called if isinstance(function, ast.Name)}
