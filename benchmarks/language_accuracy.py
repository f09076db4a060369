"""Language mixing found and missed on labelled reasoning: ours beside langdetect's top language.

    python benchmarks/language_accuracy.py [--errors]

The rows are the project's own (tests/data): reasoning in seven languages, half of it with foreign
stretches (a few characters, clauses, other languages altogether, garbled tokens in number grids),
half of it clean but full of formulae, code, names, quotations and glosses. `language_test.jsonl`
was written apart from `language_dev.jsonl`, both without sight of the filter. langdetect (seeded)
calls a row mixed if its most probable language is not the target.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

from langdetect import DetectorFactory, LangDetectException, detect

import r1data

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"


def ours(row: dict[str, str]) -> bool:
    return r1data.language_consistency(row["text"], row["target"], prompt=row.get("prompt")).mixed


def peer(row: dict[str, str]) -> bool:
    try:
        return detect(row["text"]).partition("-")[0] != row["target"]
    except LangDetectException:  # no letters at all
        return False


def line(name: str, pairs: list[tuple[bool, bool]]) -> str:
    """Return recall, precision, F1 and false alarms of (said, is) pairs."""
    hits = sum(said and true for said, true in pairs)
    alarms = sum(said and not true for said, true in pairs)
    positives = sum(true for _, true in pairs)
    found = hits + alarms
    f1 = 2 * hits / max(1, found + positives)
    rate = alarms / max(1, len(pairs) - positives)
    return f"  {name:<8}{len(pairs):>6}{hits / max(1, positives):>9.3f}{f1:>9.3f}{rate:>14.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--errors", action="store_true", help="list our wrong verdicts")
    asked = parser.parse_args()
    DetectorFactory.seed = 0
    for file in ("language_test.jsonl", "language_dev.jsonl"):
        rows = [json.loads(text) for text in (DATA / file).read_text("utf-8").splitlines()]
        print(f"{file}\n  {'':<8}{'rows':>6}{'recall':>9}{'F1':>9}{'false alarms':>14}")
        said = [ours(row) for row in rows]
        groups: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        for row, mixed in zip(rows, said, strict=True):
            groups[row["target"]].append((mixed, row["mixed"]))
        for target, pairs in sorted(groups.items()):
            print(line(target, pairs))
        print(line("r1data", [pair for pairs in groups.values() for pair in pairs]))
        print(line("langdet.", [(peer(row), row["mixed"]) for row in rows]))
        for row, mixed in zip(rows, said, strict=True):
            if asked.errors and mixed != row["mixed"]:
                print(f"    {'alarm' if mixed else 'missed'} {row['target']} {row['class']}")


if __name__ == "__main__":
    main()
