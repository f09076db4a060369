r"""Rows per second of `r1data.verify_many` beside naive math-verify, verdicts compared.

    python benchmarks/verify.py [--pairs 3] [--problems 1250] [--naive-problems 125]

The mix: every MATH-500 and GSM8K test problem with one model-like output: the data set's own
solution, or its reasoning with the answer restated (box, phrase, bold, ####; \dfrac, spacing,
decimals, units), 30 % of them with a wrong answer. Naive is `verify(parse(gold), parse(text))` with
math-verify's defaults, the gold answer between dollars, without which LaTeX is not read. The second
table has 16 samples a problem with a few distinct answers each.

Each measurement is a process of its own; the sides take turns, and medians and the median of the
pairs' ratios are printed. "With start" counts importing the library and starting the workers.
The data is taken from the folder R1DATA_SHARED, else from ../shared/data.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

SAMPLES = 16
WRONG = 0.3
SHOWN = 40


class Case(NamedTuple):
    """A gold answer, an output, and whether the output was built to be right."""

    gold: str
    text: str
    right: bool


def problems() -> list[tuple[str, str, str]]:
    """Return (data set, gold answer, solution) of each problem; leave the program without data."""
    folders = [Path(__file__).parents[2] / "shared" / "data"]
    if named := os.environ.get("R1DATA_SHARED"):
        folders = [Path(named), Path(named) / "data"]
    for folder in folders:
        files = {"math": folder / "math500.jsonl", "gsm8k": folder / "gsm8k_test.jsonl"}
        if all(file.exists() for file in files.values()):
            break
    else:
        sys.exit(
            "math500.jsonl and gsm8k_test.jsonl are not in "
            f"{' or '.join(map(str, folders))}: name their folder in R1DATA_SHARED"
        )
    found = []
    for name, file in files.items():
        rows = map(json.loads, file.read_text().splitlines())
        found += [(name, row["answer"], row["solution"]) for row in rows]
    return found


def perturbed(answer: str, draw: random.Random) -> str:
    """Return an answer with another value: one of its digits, else its sign or a letter."""
    places = [found.start() for found in re.finditer(r"\d", answer)]
    if places:
        place = draw.choice(places)
        digit = str((int(answer[place]) + draw.randint(1, 8)) % 9 + 1)
        if digit == answer[place]:
            digit = str(int(digit) % 9 + 1)
        return answer[:place] + digit + answer[place + 1 :]
    return f"{answer}+1" if len(answer) < 3 else f"-{answer}"


def surface(answer: str, draw: random.Random) -> str:
    """Return the same answer as another model would write it."""
    ways = [answer, answer.replace(r"\frac", r"\dfrac"), answer.replace(",", ", ")]
    ways.append(re.sub(r"(?<!\\left)\(", r"\\left(", answer).replace(")", r"\right)"))
    if re.search(r"\\right\\right|\\left\\left|\\sqrt\[|_\(|\\[({]", ways[-1]):
        ways.pop()
    ways.append(answer.replace(r"\left", "").replace(r"\right", ""))
    if found := re.fullmatch(r"(-?)\\frac\{(\d+)\}\{(\d+)\}", answer):
        value = Fraction(int(found[2]), int(found[3]))
        ways.append(f"{found[1]}{found[2]}/{found[3]}")
        if 10**4 % value.denominator == 0:
            ways.append(f"{found[1]}{float(value)}")
    if re.fullmatch(r"\d+", answer):
        ways += [f"{int(answer):,}", f"{answer}.0", f"{answer}.", f" {answer} "]
    return draw.choice(ways)


def restated(name: str, answer: str, draw: random.Random) -> str:
    """Return a closing sentence with the answer."""
    boxed = [
        "Therefore, the final answer is $\\boxed{%s}$.",
        "Thus the answer is\n\\[\n\\boxed{%s}\n\\]",
        "**Final Answer**\n\n\\boxed{%s}",
        "So the answer is $%s$.",
        "The final answer is: $\\boxed{%s}$. I hope it is correct.",
    ]
    plain = [
        "So the answer is **%s**.",
        "The answer is %s.",
        "#### %s",
        "Therefore, the final answer is $\\boxed{%s\\text{ dollars}}$.",
        "The final answer is %s dollars.",
    ]
    return draw.choice(boxed if name == "math" else boxed + plain) % answer


def output(name: str, gold: str, solution: str, draw: random.Random, own: float = 0.4) -> Case:
    """Return one output: the solution as it stands, or its reasoning and an answer restated."""
    if draw.random() < own:
        return Case(gold, solution if name == "math" else f"{solution}\n#### {gold}", True)
    lines = solution.replace("\\boxed", "").split("\n")
    reasoning = "\n".join(lines[: max(1, len(lines) - 1)])
    wrong = draw.random() < WRONG / (1 - own)
    answer = perturbed(gold, draw) if wrong else surface(gold, draw)
    return Case(gold, f"{reasoning}\n\n{restated(name, answer, draw)}", not wrong)


def mix() -> list[Case]:
    return [output(*row, random.Random(f"mix {number}")) for number, row in enumerate(problems())]


def samples(count: int) -> list[Case]:
    """Return 16 outputs each of so many problems, with about four ways of closing a problem."""
    rows = problems()
    random.Random("samples").shuffle(rows)
    out = []
    for number in range(count):
        draw = random.Random(f"samples {number}")
        pool = [output(*rows[number % len(rows)], draw, own=0.0) for _ in range(4)]
        for sample in range(SAMPLES):
            case = draw.choice(pool)
            out.append(case._replace(text=f"Attempt {sample + 1}.\n{case.text}"))
    return out


def run_side(side: str, cases: list[Case]) -> dict[str, Any]:
    """Do one measurement in this process: seconds with and without the start, and verdicts."""
    began = time.perf_counter()
    return naive(cases, began) if side == "naive" else ours(side, cases, began)


def naive(cases: list[Case], began: float) -> dict[str, Any]:
    import logging

    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    started, calls, verdicts = time.perf_counter(), [], []
    for gold, text, _ in cases:
        at = time.perf_counter()
        verdicts.append(bool(verify(parse(f"${gold}$"), parse(text))))
        calls.append(time.perf_counter() - at)
    ended = time.perf_counter()
    return report(began, started, ended, calls, verdicts)


def ours(side: str, cases: list[Case], began: float) -> dict[str, Any]:
    import r1data

    kind, workers = side.split(":")
    if kind != "cold":  # the workers are there already
        golds, texts = ["x+1"] * 8, [f"\\boxed{{{number}+x}}" for number in range(8)]
        r1data.verify_many(golds, texts, workers=int(workers))
    started, calls = time.perf_counter(), []
    if kind == "calls":
        found = []
        for gold, text, _ in cases:
            at = time.perf_counter()
            found.append(r1data.verify(gold, text))
            calls.append(time.perf_counter() - at)
    else:
        golds, texts = [case.gold for case in cases], [case.text for case in cases]
        found = r1data.verify_many(golds, texts, workers=int(workers))
    ended = time.perf_counter()
    return report(began, started, ended, calls, [v.status == "correct" for v in found])


def report(
    began: float, started: float, ended: float, calls: list[float], verdicts: list[bool]
) -> dict[str, Any]:
    calls = [round(call, 7) for call in calls]
    return {"all": ended - began, "run": ended - started, "calls": calls, "verdicts": verdicts}


def measure(side: str, file: str) -> dict[str, Any]:
    """Do one measurement in a fresh process."""
    command = [sys.executable, __file__, "--side", side, "--cases", file]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def duel(name: str, sides: dict[str, tuple[str, str, int]], pairs: int) -> dict[str, list[Any]]:
    """Measure sides in turns and print rates; ``sides``: label to (side, file of cases, rows)."""
    found: dict[str, list[Any]] = {label: [] for label in sides}
    for _ in range(pairs):
        for label, (side, file, _) in sides.items():
            found[label].append(measure(side, file))
    print(f"\n{name}: rows/s, medians of {pairs}, sides in turns; ratio to the first line")
    first = None
    for label, (side, _, rows) in sides.items():
        with_start = side == "naive" or side.startswith("cold")
        rates = [rows / one["run"] for one in found[label]]
        whole = [rows / one["all"] for one in found[label]]
        first = first or (rates, whole)
        shown = [f"{label:<30}"]
        for ours_, theirs in ((rates, first[0]), (whole, first[1])):
            if ours_ is rates and side.startswith("cold"):
                shown.append(" " * 20)
                continue
            if ours_ is whole and not with_start:
                continue
            ratio = statistics.median(a / b for a, b in zip(ours_, theirs, strict=True))
            shown.append(f"{statistics.median(ours_):>10,.0f} {ratio:>7.2f}x ")
        print(" ".join(shown))
    return found


def compare(cases: list[Case], theirs: list[bool], verdicts: list[bool]) -> None:
    """Print how often both sides agree with each other and with how the outputs were built."""
    both = list(zip(theirs, verdicts, strict=True))
    differ = [number for number, (naive_, ours_) in enumerate(both) if naive_ != ours_]
    print(f"\nsame verdict: {len(cases) - len(differ):,} of {len(cases):,}")
    for label, side in (("naive", theirs), ("r1data", verdicts)):
        false = sum(said and not case.right for said, case in zip(side, cases, strict=True))
        missed = sum(case.right and not said for said, case in zip(side, cases, strict=True))
        print(f"{label:<7} against the construction: {false} false positives, {missed} missed")
    words = {True: "right", False: "wrong"}
    for number in differ[:SHOWN]:
        gold, text, right = cases[number]
        said, other = words[verdicts[number]], words[theirs[number]]
        print(
            f"  r1data {said}, naive {other}, built {words[right]}: {gold[:50]!r} / …{text[-70:]!r}"
        )


def percentiles(label: str, calls: list[float]) -> None:
    ordered = sorted(calls)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    print(f"{label:<30} p50 {p50 * 1e3:.3f} ms, p99 {p99 * 1e3:.2f} ms, worst {ordered[-1]:.2f} s")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pairs", type=int, default=3)
    arguments.add_argument("--problems", type=int, default=1250)
    arguments.add_argument("--naive-problems", type=int, default=125)
    arguments.add_argument("--rows", type=int, help="only so many rows of the mix")
    arguments.add_argument("--side", help=argparse.SUPPRESS)
    arguments.add_argument("--cases", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.side:
        cases = [Case(*row) for row in json.loads(Path(options.cases).read_text())]
        print(json.dumps(run_side(options.side, cases)))
        return
    with tempfile.TemporaryDirectory() as folder:
        lists = {
            "mix": mix()[: options.rows],
            "samples": samples(options.problems),
            "few": samples(options.naive_problems),
        }
        files = {}
        for name, cases in lists.items():
            files[name] = str(Path(folder) / f"{name}.json")
            Path(files[name]).write_text(json.dumps(cases))
        tables(lists, files, options.pairs)


def tables(lists: dict[str, list[Case]], files: dict[str, str], pairs: int) -> None:
    rows = {name: len(cases) for name, cases in lists.items()}
    print(f"{'':<30} {'without start':>20} {'with start':>20}")
    found = duel(
        f"mix of MATH-500 and GSM8K outputs, {rows['mix']:,} rows",
        {
            "math-verify, naive": ("naive", files["mix"], rows["mix"]),
            "r1data, 1 worker": ("warm:1", files["mix"], rows["mix"]),
            "r1data, 2 workers": ("warm:2", files["mix"], rows["mix"]),
            "r1data, 1 worker, cold": ("cold:1", files["mix"], rows["mix"]),
            "r1data, 2 workers, cold": ("cold:2", files["mix"], rows["mix"]),
            "r1data, call by call": ("calls:2", files["mix"], rows["mix"]),
        },
        pairs,
    )
    percentiles("math-verify, naive", found["math-verify, naive"][0]["calls"])
    percentiles("r1data, call by call", found["r1data, call by call"][0]["calls"])
    theirs, verdicts = (found[label][0]["verdicts"] for label in list(found)[:2])
    compare(lists["mix"], theirs, verdicts)
    few, many = files["few"], files["samples"]
    found = duel(
        f"{SAMPLES} samples a problem, {rows['samples']:,} rows (naive: {rows['few']:,} of them)",
        {
            "math-verify, naive": ("naive", few, rows["few"]),
            "r1data, 1 worker": ("warm:1", many, rows["samples"]),
            "r1data, 2 workers": ("warm:2", many, rows["samples"]),
            "r1data, 1 worker, cold": ("cold:1", many, rows["samples"]),
            "r1data, 2 workers, cold": ("cold:2", many, rows["samples"]),
        },
        pairs,
    )
    one, two = (found[f"r1data, {label}"] for label in ("1 worker", "2 workers"))
    gain = statistics.median(a["run"] / b["run"] for a, b in zip(one, two, strict=True))
    print(f"2 workers beside 1: {gain:.2f}x")


if __name__ == "__main__":
    main()
