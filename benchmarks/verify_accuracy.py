"""Right and wrong verdicts on labelled answers: ours beside math-verify, on the same rows.

    python benchmarks/verify_accuracy.py [--errors]

The rows are the project's own (tests/data): `verify_test.jsonl` was written by hand without sight
of the verifier and was not looked at while the verifier was made, `verify_dev.jsonl` was;
`verify_cjk.jsonl` holds completions in Korean, Chinese, Japanese and English. math-verify is run as
its README shows (naive), and with bare LaTeX put between dollar signs (wrapped).
"""

import argparse
import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1data import verify_many

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
FILES = ("verify_test.jsonl", "verify_dev.jsonl", "verify_cjk.jsonl")


def rows_of(name: str) -> list[tuple[str, str, bool]]:
    """Return (gold, text, whether it is correct) of each row."""
    rows = []
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        right = row["equal"] if "equal" in row else row["status"] == "correct"
        rows.append((row["gold"], row.get("answer", row.get("text")), right))
    return rows


def naive(gold: str, text: str) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(gold), parse(text)))


def wrapped(gold: str, text: str) -> bool:
    return naive(_delimited(gold), _delimited(text))


def _delimited(text: str) -> str:
    return text if "$" in text or "boxed" in text else f"${text}$"


def peer(judge: Callable[[str, str], bool], rows: list[tuple[str, str, bool]]) -> list[bool]:
    out = []
    for gold, text, _ in rows:
        found = False
        with contextlib.suppress(Exception):  # what it cannot judge it does not accept
            found = judge(gold, text)
        out.append(found)
    return out


def line(name: str, said: list[bool], rows: list[tuple[str, str, bool]]) -> str:
    wanted = [right for _, _, right in rows]
    pairs = list(zip(said, wanted, strict=True))
    right = sum(one == other for one, other in pairs)
    accepted = sum(one and not other for one, other in pairs)
    rejected = sum(other and not one for one, other in pairs)
    return f"  {name:<22}{right / len(rows):>9.3f}{accepted:>17}{rejected:>17}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--errors", action="store_true", help="list our wrong verdicts")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for name in FILES:
        rows = rows_of(name)
        verdicts = verify_many([row[0] for row in rows], [row[1] for row in rows])
        ours = [verdict.status == "correct" for verdict in verdicts]
        print(f"{name}: {len(rows)} rows, {sum(row[2] for row in rows)} of them correct")
        print(f"  {'':<22}{'accuracy':>9}{'wrongly accepted':>17}{'wrongly rejected':>17}")
        print(line("r1data", ours, rows))
        print(line("math-verify, wrapped", peer(wrapped, rows), rows))
        print(line("math-verify, naive", peer(naive, rows), rows))
        if asked.errors:
            report(rows, verdicts)


def report(rows: list[tuple[str, str, bool]], verdicts: list[Any]) -> None:
    for (gold, text, right), verdict in zip(rows, verdicts, strict=True):
        if (verdict.status == "correct") != right:
            print(f"    {verdict.status:<10}{gold!r} | {text!r} | {verdict.extracted!r}")


if __name__ == "__main__":
    main()
