"""What `train distill` needs before it can train: a distill corpus, made from what there is."""

import sys
from dataclasses import replace
from typing import Any

from r1data.commands.base import Call, build_config, settings
from r1data.console import progress
from r1data.core.run import run_stage, workspace_root
from r1data.core.stage import Context, Stage
from r1data.core.tables import Workspace
from r1data.registry import resolve


def ensure_corpus(call: Call, corpus: str) -> None:
    """Make ``corpora/distill`` by verify, dedup, select and assemble, where they are missing.

    Only cheap stages run here, with the workspace's settings; traces must be there. Whatever exists
    is left as it is, a selection above all; a corpus that is named by a path is not looked for.
    """
    root = workspace_root(call.directory)
    workspace = Workspace(root)
    if "/" in corpus or workspace.has(f"corpora/{corpus}"):
        return
    workspace.scan("traces")  # raises with the command that makes them
    command = " ".join(["r1data", *sys.argv[1:]])
    steps: list[tuple[str, str, dict[str, Any]]] = [
        ("verify", "verdicts", {}),
        ("dedup", "clusters/trace", {"item": "trace"}),
        ("select", f"picks/{corpus}", {"corpus": corpus, "kind": "distill"}),
        ("assemble", f"corpora/{corpus}", {"corpus": corpus, "kind": "distill"}),
    ]
    with progress() as shown:
        for name, table, given in steps:
            if workspace.receipt(table) is not None:
                continue
            entry = resolve(name)
            if not isinstance(entry, Stage):
                raise TypeError(f"{name} is no stage")
            defaults = {"keep": 4} if name == "select" else {}
            values = defaults | settings(replace(call, extra=None), name, given)
            config = build_config(entry.config, values, name)
            result = run_stage(entry, config, Context(root, shown, False, command))
            shown.note(f"{name}: {result.rows:,} rows in {result.table}")
