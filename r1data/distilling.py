"""What `train distill` needs before it can train: a distill corpus, made from what there is."""

import sys
from pathlib import Path
from typing import Any

from r1data.console import progress
from r1data.core.run import run_stage, workspace_root
from r1data.core.stage import Context, Stage
from r1data.core.tables import Workspace
from r1data.registry import resolve


def ensure_corpus(directory: Path, corpus: str) -> None:
    """Make ``corpora/distill`` by verify, dedup, select and assemble, where it is missing.

    Only cheap stages run here, with their defaults; traces must be there. A corpus that exists, or
    that is named by a path, is left as it is.
    """
    root = workspace_root(directory)
    workspace = Workspace(root)
    if "/" in corpus or workspace.has(f"corpora/{corpus}"):
        return
    workspace.scan("traces")  # raises with the command that makes them
    command = " ".join(["r1data", *sys.argv[1:]])
    steps: list[tuple[str, dict[str, Any]]] = [
        ("dedup", {"item": "trace"}),
        ("select", {"corpus": corpus, "kind": "distill", "keep": 4}),
        ("assemble", {"corpus": corpus, "kind": "distill"}),
    ]
    if not workspace.has("verdicts"):
        steps.insert(0, ("verify", {}))
    with progress() as shown:
        for name, values in steps:
            entry = resolve(name)
            if not isinstance(entry, Stage):
                raise TypeError(f"{name} is no stage")
            result = run_stage(entry, entry.config(**values), Context(root, shown, True, command))
            shown.note(f"{name}: {result.rows:,} rows in {result.table}")
