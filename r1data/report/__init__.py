"""The report of a workspace or a run: one HTML file that needs no network, and its numbers."""

from pathlib import Path


def build_report(target: Path, out: Path | None = None) -> Path:
    """Write the report of a workspace or run directory and return the path of its HTML file.

    out is the HTML file to write, ``target/report.html`` by default; the same numbers are written
    beside it as JSON (``report.json``). The same tables give the same bytes. Raises WorkspaceError
    if target holds nothing to report on, SchemaError or InputError for a table it cannot read.
    """
    # The page brings altair with it, which `import r1data.cli` must not load.
    from r1data.report.page import write_report

    return write_report(target, out)
