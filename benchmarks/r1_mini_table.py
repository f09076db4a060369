"""Print the table of models of one or more runs of `make demo` as Markdown.

    python benchmarks/r1_mini_table.py runs/r1-mini [runs/r1-mini-seed-1 ...]

With several runs (other seeds: `r1data run r1-mini --param seed=1 --out DIR`), each cell holds the
value of every run. Intervals over problems stand in each run's report.html.
"""

import json
import sys
from pathlib import Path

COLUMNS = {
    "pass@1": "pass@1",
    "pass@k": "pass@16",
    "cons@k": "cons@16",
    "language_consistency": "language",
    "mixed": "mixed",
    "format": "format",
    "good": "good",
    "completion_tokens": "tokens",
}


def evaluations(run: Path) -> dict[str, dict[str, float]]:
    """Return the summaries of a run's listed evaluations by label, in the order of the phases."""
    found = {}
    for file in sorted(run.glob("*/evals/*/_receipt.json")):
        receipt = json.loads(file.read_text())
        if receipt.get("listed", True):
            values = {name: entry["value"] for name, entry in receipt["summary"].items()}
            found[receipt["label"]] = values | {"cpu": receipt["train_cpu_seconds"] or 0.0}
    return found


def main() -> None:
    runs = [evaluations(Path(name)) for name in sys.argv[1:] or ["runs/r1-mini"]]
    print("| model | " + " | ".join([*COLUMNS.values(), "CPU s"]) + " |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for label in runs[0]:
        cells = []
        for name in COLUMNS:
            shown = [
                f"{run[label][name]:.0f}"
                if name == "completion_tokens"
                else f"{run[label][name]:.3f}"
                for run in runs
            ]
            cells.append(" / ".join(shown))
        cells.append(" / ".join(f"{run[label]['cpu']:.0f}" for run in runs))
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
