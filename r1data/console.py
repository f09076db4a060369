"""What the terminal shows: results on stdout, everything else on stderr."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from r1data.core.pipeline import StepResult

LINE_SECONDS = 30.0  # between progress lines where stderr is no terminal

# Data may hold what rich would take for markup, [b], or for an emoji, :100:.
stderr = Console(stderr=True, highlight=False, markup=False, emoji=False)
stdout = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


class TerminalProgress:
    """Progress bars with rate and time left; plain lines where stderr is no terminal.

    Serves one command, or a whole run: reports belong to the task that `focus` named last.
    """

    def __init__(self) -> None:
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=stderr,
            transient=True,
            disable=not stderr.is_terminal,
        )
        self.current = ""
        self.tasks: dict[str, TaskID] = {}
        self.counts: dict[str, list[float]] = {}
        self.labels: dict[str, str] = {}

    def start(self, total: int, unit: str) -> None:
        """Show a bar for the current task."""
        label = f"{self.labels.get(self.current, '')} {unit}".strip()
        if self.current in self.tasks:
            self.bars.remove_task(self.tasks.pop(self.current))
        self.tasks[self.current] = self.bars.add_task(label, total=max(total, 1), rate="")
        self.counts[self.current] = [0.0, 0.0, time.monotonic(), time.monotonic(), float(total)]

    def advance(self, rows: int = 0, tokens: int = 0) -> None:
        """Move the current bar."""
        if self.current not in self.tasks:
            return
        counts = self.counts[self.current]
        counts[0] += rows
        counts[1] += tokens
        seconds = max(time.monotonic() - counts[2], 1e-3)
        rate = f"{counts[1] / seconds:,.0f} tok/s" if counts[1] else f"{counts[0] / seconds:,.1f}/s"
        self.bars.update(self.tasks[self.current], advance=rows, rate=rate)
        if not stderr.is_terminal and time.monotonic() - counts[3] > LINE_SECONDS:
            counts[3] = time.monotonic()
            said = (
                f"{self.labels.get(self.current, '')} {counts[0]:,.0f} of {counts[4]:,.0f}, {rate}"
            )
            if counts[0]:
                said += f", about {seconds * (counts[4] - counts[0]) / counts[0]:,.0f} s left"
            self.note(said)

    def note(self, text: str) -> None:
        """Print one line above the bars."""
        stderr.print(text.strip(), style="dim")

    def begin(self, phase: str, use: str) -> None:
        """Begin a step of a run."""
        self.current = phase
        self.labels[phase] = f"{phase} {use}"

    def focus(self, phase: str) -> None:
        """Say which step the next reports belong to."""
        self.current = phase

    def end(self, result: StepResult) -> None:
        """Print what a step of a run came to."""
        if result.phase in self.tasks:
            self.bars.remove_task(self.tasks.pop(result.phase))
        rows = f"{result.rows:,} rows" if result.rows else ""
        said = f"{result.phase:<18} {result.use:<14} {result.state:<8} {result.seconds:7.1f} s"
        stderr.print(f"{said}  {rows}")


@contextmanager
def progress() -> Iterator[TerminalProgress]:
    """Show progress for the time of a command."""
    shown = TerminalProgress()
    with shown.bars:
        yield shown


def say(value: dict[str, Any], as_json: bool) -> None:
    """Print a result: one JSON object, or one line of text a fact."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        return
    for name, fact in value.items():
        if fact in (None, "", {}):
            continue
        if isinstance(fact, dict):
            fact = ", ".join(f"{key} {_number(count)}" for key, count in fact.items())
        stdout.print(f"{name:<9} {_number(fact)}")


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def fail(message: str, hint: str = "") -> None:
    """Print an error as one line, with a hint below it where there is one."""
    stderr.print(f"error: {' '.join(message.split())}", style="red", soft_wrap=True)
    if hint:
        stderr.print(f"hint: {hint}", soft_wrap=True)
