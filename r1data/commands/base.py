"""What every command shares: options, settings from three places, one line per error.

Settings come from the command line, then ``--set key=value``, then the section of that command in
the workspace's ``r1data.toml``; whatever is left has its default. Nothing heavy is imported here.
"""

import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from r1data.core.errors import ConfigError, Interrupted, R1DataError

SETTINGS_FILE = "r1data.toml"
EXIT_ERROR, EXIT_INTERRUPTED = 1, 130

Directory = Annotated[
    Path, typer.Option("-C", "--directory", help="Workspace to work in.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Force = Annotated[bool, typer.Option("--force", help="Make again what has other settings.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any further setting; see `r1data explain`."),
]


@dataclass(frozen=True)
class Call:
    """How a command was called."""

    directory: Path
    as_json: bool = False
    debug: bool = False
    force: bool = False
    extra: Sequence[str] | None = None


@contextmanager
def guarded(debug: bool) -> Iterator[list[str]]:
    """Turn errors into one line and an exit code; with --debug let the traceback through.

    Yields a list for hints: they are printed below the line of an R1DataError.
    """
    hints: list[str] = []
    try:
        yield hints
    except Interrupted as error:
        _stop(str(error), EXIT_INTERRUPTED, debug)
    except KeyboardInterrupt:
        _stop("stopped; run the same command to go on", EXIT_INTERRUPTED, debug)
    except R1DataError as error:
        _stop(str(error), EXIT_ERROR, debug, "; ".join(hints))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as `| head` does
        raise typer.Exit(EXIT_ERROR) from None
    except (typer.Exit, typer.Abort):
        raise
    except OSError as error:
        _stop(_os_message(error), EXIT_ERROR, debug)
    except Exception as error:
        hint = "this is a fault of r1data, not of yours: --debug shows where it happened"
        _stop(f"{type(error).__name__}: {_first_line(error)}", EXIT_ERROR, debug, hint)


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0] if said else "no message"


def _os_message(error: OSError) -> str:
    """Return what the system refused, and for which files."""
    files = [
        os.fsdecode(f) for f in (error.filename, error.filename2) if isinstance(f, str | bytes)
    ]
    said = error.strerror or f"{type(error).__name__}: {_first_line(error)}"
    return f"{' -> '.join(files)}: {said}" if files else said


def _stop(message: str, code: int, debug: bool, hint: str = "") -> None:
    if debug:
        raise
    from r1data.console import fail

    fail(message, hint)
    raise typer.Exit(code) from None


def settings(call: Call, section: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command's settings: r1data.toml, then --set, then what was typed."""
    values: dict[str, Any] = {}
    file = call.directory / SETTINGS_FILE
    if file.is_file():
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: not valid TOML: {error}") from error
        values |= _sections(data, file).get(section, {})
    for item in call.extra or ():
        key, found, value = item.partition("=")
        if not found or not key.strip():
            raise ConfigError(f"--set {item}: write it as KEY=VALUE")
        _put(values, key.strip().replace("-", "_"), parse_value(value))
    return values | {key: value for key, value in given.items() if value is not None}


def _sections(data: Mapping[str, Any], file: Path, above: str = "") -> dict[str, Mapping[str, Any]]:
    """Return the sections of a settings file by their dotted names.

    Raises ConfigError for a section that no command has, and for one that is no table.
    """
    from r1data.registry import NAMES

    found: dict[str, Mapping[str, Any]] = {}
    for key, value in data.items():
        name = f"{above}{key}"
        below = [n for n in NAMES if n.startswith(f"{name}.")]
        if name not in NAMES and not below:
            raise ConfigError(f"{file}: no section {name!r}; valid are {', '.join(NAMES)}")
        if not isinstance(value, dict):
            right = below[0] if below else name
            raise ConfigError(f"{file}: {name} must be a section: a line [{right}], settings below")
        found |= _sections(value, file, f"{name}.") if below else {name: value}
    return found


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key; dots reach into nested settings, as in ``reward.language``."""
    *path, last = key.split(".")
    for depth, part in enumerate(path, 1):
        below: Any = values.setdefault(part, {})
        if not isinstance(below, dict):
            above = ".".join(path[:depth])
            raise ConfigError(f"--set {key}: {above} is {below!r}, which has no settings in it")
        values = below
    values[last] = value


def parse_value(text: str) -> Any:
    """Return a value as TOML would read it; anything that is no TOML value is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def build_config(kind: Any, values: Mapping[str, Any], name: str) -> Any:
    """Return a config, or raise ConfigError that lists every fault."""
    from pydantic import ValidationError

    from r1data.core.recipe import config_faults

    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{name}: {'; '.join(config_faults(error, kind))}") from None


def run_entry(
    call: Call,
    name: str,
    given: Mapping[str, Any],
    adapt: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> None:
    """Run one registry entry in the workspace and print what it came to."""
    with guarded(call.debug):
        from r1data.console import progress, say
        from r1data.core.run import workspace_root
        from r1data.core.stage import Context, Stage
        from r1data.registry import resolve

        entry = resolve(name)
        root = call.directory if name == "problems" else workspace_root(call.directory)
        values = settings(call, name, given)
        config = build_config(entry.config, adapt(values) if adapt else values, name)
        command = " ".join(["r1data", *sys.argv[1:]])
        with progress() as shown:
            context = Context(root, shown, call.force, command)
            if isinstance(entry, Stage):
                from r1data.core.run import run_stage

                result: Any = run_stage(entry, config, context)
            else:
                result = entry.fn(config, context)
        receipt = result.receipt
        facts = {
            "table": result.table,
            "state": result.state,
            "rows": result.rows,
            "reasons": receipt.reasons,
            "seconds": receipt.seconds,
        }
        summary = (receipt.model_extra or {}).get("summary")
        if call.as_json and summary:
            facts["summary"] = summary
        elif summary and name == "eval":
            for metric, value in summary.items():
                facts[metric] = f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
        say(facts, call.as_json)
