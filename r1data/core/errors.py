"""Every error a user can meet, as one tree.

    R1DataError
    ├── InputError          a row, file or column given by the user cannot be used
    ├── SchemaError         a table does not have the columns its record asks for
    ├── RecipeError         a recipe has faults; all of them are listed at once
    ├── ConfigError         a setting of one command is out of range or contradicts another
    ├── DriftError          a table exists that was made with other settings
    ├── WorkspaceError      the directory is no workspace, or lacks a table that the command reads
    ├── MissingExtraError   an optional library is not installed; knows the install command
    ├── BackendError        an engine (sampler, verifier pool, hub) failed
    ├── GateError           a recipe's gate was not met, so going on would be a waste
    └── Interrupted         Ctrl-C; carries what was kept and how to go on

A message says what is wrong, where (file, row, key) and what to do about it, in one line.
"""

from collections.abc import Sequence


class R1DataError(Exception):
    """Base of every error that the command line prints as one line."""


class InputError(R1DataError):
    """A row, file or column given by the user cannot be used."""


class SchemaError(R1DataError):
    """A table does not have the columns its record asks for."""


class ConfigError(R1DataError):
    """A setting of one command is out of range or contradicts another."""


class RecipeError(R1DataError):
    """A recipe has faults. All of them are kept in ``faults``, each with its key."""

    def __init__(self, recipe: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"{recipe}: {count}: " + "; ".join(self.faults))


class DriftError(R1DataError):
    """A table exists that was made with other settings. ``fields`` names those that differ."""

    def __init__(self, table: str, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        super().__init__(
            f"{table} was made with other settings ({', '.join(self.fields)}); "
            "use --force to make it again, or another directory"
        )


class WorkspaceError(R1DataError):
    """The directory is no workspace, or lacks a table that the command reads."""


class MissingExtraError(R1DataError):
    """An optional library is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs an optional part: pip install 'r1data[{extra}]'")


class BackendError(R1DataError):
    """An engine (sampler, verifier pool, hub) failed."""


class GateError(R1DataError):
    """A recipe's gate was not met, so going on would be a waste."""


class Interrupted(R1DataError):
    """Ctrl-C. The message says what was kept and how to go on."""
