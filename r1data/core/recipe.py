"""A recipe is data: phases of steps in TOML, checked whole before anything runs.

    name = "r1-mini"
    title = "DeepSeek-R1 in miniature"

    [parameters]            # values that the command line may replace
    limit = 64

    [[phase]]               # a workspace of its own: OUT/01-base/
    name = "base"

    [[phase.step]]
    use = "problems"        # a name of the registry
    source = "mini:addition"
    limit = "${limit}"      # a parameter; the whole value, so that its type is kept

    [[phase.step]]
    use = "sample"
    model = "@zero/models/zero"   # a path inside another phase, which therefore runs first

A list under ``each`` repeats a step once per value; ``with`` takes a table of settings, such as a
parameter that several steps share. A recipe cannot run code.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from r1data.core.errors import R1DataError, RecipeError
from r1data.core.stage import Action, Config, Stage

Resolve = Callable[[str], Stage | Action]
"""Returns a registry entry; raises KeyError whose argument says which names are valid."""

TOP_KEYS = {"name", "title", "summary", "parameters", "jobs", "phase"}
PHASE_KEYS = {"name", "title", "after", "step"}


@dataclass(frozen=True)
class Step:
    """One command of a phase, its settings checked."""

    use: str
    config: Config
    key: str
    """Where it stands in the recipe, for messages: ``phase[2].step[1]``."""
    writes: str = ""
    """Table or slice that it writes."""
    is_gate: bool = False
    """Whether nothing that reads this phase may start before it."""


@dataclass(frozen=True)
class Phase:
    """A workspace and the steps that fill it."""

    name: str
    title: str
    folder: str
    """Name of its directory in the run: ``NN-name``."""
    after: tuple[str, ...]
    """Names of the phases whose files it reads."""
    steps: tuple[Step, ...]
    paths: tuple[tuple[str, str], ...] = ()
    """(phase, path in it) of every file it reads; an empty path is all of the phase."""

    def steps_before(self, path: str) -> int:
        """Return how many steps must be done before ``path`` may be read by another phase.

        Up to the step that writes it, and up to the last gate; all of them where no step is known
        to write it. What follows, an evaluation say, does not hold the reader up.
        """
        writers = [n for n, s in enumerate(self.steps, 1) if s.writes and _overlap(s.writes, path)]
        gates = [n for n, s in enumerate(self.steps, 1) if s.is_gate]
        return max(writers + gates) if path and writers else len(self.steps)


@dataclass(frozen=True)
class Recipe:
    """A checked recipe."""

    name: str
    title: str
    jobs: int
    """Phases that may run at the same time."""
    phases: tuple[Phase, ...]


def load_recipe(
    path: Path, resolve: Resolve, parameters: Mapping[str, Any] | None = None
) -> Recipe:
    """Read and check a recipe. Raises RecipeError that lists every fault with its key."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"not valid TOML: {error}"]) from error
    except OSError as error:
        raise RecipeError(str(path), [f"cannot be read: {error.strerror}"]) from error
    return check_recipe(data, str(path), resolve, parameters)


def check_recipe(
    data: Mapping[str, Any],
    where: str,
    resolve: Resolve,
    parameters: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return the recipe of parsed TOML. Raises RecipeError that lists every fault with its key."""
    faults = [_unknown(k, TOP_KEYS) for k in data if k not in TOP_KEYS]
    recipe_name = _name(data, "", faults) or Path(where).stem
    title = _text(data, "title", "", faults) or recipe_name
    _text(data, "summary", "", faults)
    jobs = data.get("jobs", 1)
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
        faults.append(f"jobs: must be a whole number of at least 1 (got {jobs!r})")
    values = dict(_table(data, "parameters", "", faults))
    for name, value in (parameters or {}).items():
        if name not in values:
            valid = ", ".join(values) or "none"
            faults.append(f"parameters.{name}: the recipe has no such parameter; it has {valid}")
        values[name] = value
    raw = _tables(data, "phase", "", "a recipe needs at least one [[phase]]", faults)
    names = [str(p.get("name", "")) for _, p in raw]
    twice = [n for n in dict.fromkeys(names) if n and names.count(n) > 1]
    faults += [f"phase: the name {n!r} is given twice" for n in twice]
    folders = {n: f"{i:02d}-{n}" for i, n in enumerate(names)}
    phases = []
    for key, phase in raw:
        checker = _PhaseChecker(key, folders, values, resolve)
        phases.append(checker.check(phase))
        faults += checker.faults
    faults += _cycles(phases)
    if faults:
        raise RecipeError(where, faults)
    return Recipe(recipe_name, title, jobs, tuple(phases))


def _text(table: Mapping[str, Any], key: str, above: str, faults: list[str]) -> str:
    """Return the string at a key, empty where there is none; note anything else as a fault."""
    value = table.get(key, "")
    if isinstance(value, str):
        return value
    faults.append(f"{above}{key}: must be a string (got {value!r})")
    return ""


def _name(table: Mapping[str, Any], above: str, faults: list[str]) -> str:
    """Return a name, which becomes part of a path."""
    name = _text(table, "name", above, faults)
    if "/" in name:
        faults.append(f"{above}name: must have no / in it (got {name!r})")
    return name


def _table(table: Mapping[str, Any], key: str, above: str, faults: list[str]) -> dict[str, Any]:
    value = table.get(key, {})
    if isinstance(value, dict):
        return value
    faults.append(f"{above}{key}: must be a table (got {value!r})")
    return {}


def _tables(
    table: Mapping[str, Any], key: str, above: str, need: str, faults: list[str]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the tables of a list, each with its key for messages. ``need``: why there is one."""
    items = table.get(key, [])
    if not isinstance(items, list) or not items:
        faults.append(f"{above}{key}: {need}")
        return []
    found = []
    for number, item in enumerate(items):
        where = f"{above}{key}[{number}]"
        if isinstance(item, dict):
            found.append((where, item))
        else:
            faults.append(f"{where}: must be a table (got {item!r})")
    return found


def _overlap(table: str, path: str) -> bool:
    """Return whether one of two paths is the other, or lies in it."""
    return f"{table}/".startswith(f"{path}/") or f"{path}/".startswith(f"{table}/")


def _unknown(key: str, valid: set[str]) -> str:
    return f"{key}: unknown key; valid are {', '.join(sorted(valid))}"


class _PhaseChecker:
    """Checks one phase and collects its faults."""

    def __init__(
        self, key: str, folders: Mapping[str, str], values: Mapping[str, Any], resolve: Resolve
    ) -> None:
        self.key = key
        self.folders = folders
        self.values = values
        self.resolve = resolve
        self.faults: list[str] = []
        self.paths: dict[tuple[str, str], None] = {}
        self.written: set[str] = set()
        self.within: list[str] = []

    def check(self, phase: Mapping[str, Any]) -> Phase:
        for key in phase:
            if key not in PHASE_KEYS:
                self.faults.append(f"{self.key}.{_unknown(key, PHASE_KEYS)}")
        above = f"{self.key}."
        name = _name(phase, above, self.faults)
        if phase.get("name", "") == "":
            self.faults.append(f"{above}name: a phase needs a name")
        title = _text(phase, "title", above, self.faults) or name
        others = phase.get("after", [])
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            self.faults.append(f"{above}after: must be a list of phase names (got {others!r})")
            others = []
        for other in others:
            self._refer(other, "", f"{above}after")
        steps: list[Step] = []
        need = "a phase needs at least one [[phase.step]]"
        for key, step in _tables(phase, "step", above, need, self.faults):
            steps += self._steps(dict(step), key)
        folder = self.folders.get(name, name)
        after = tuple(dict.fromkeys(name for name, _ in self.paths))
        return Phase(name, title, folder, after, tuple(steps), tuple(self.paths))

    def _steps(self, step: dict[str, Any], key: str) -> list[Step]:
        use = step.pop("use", "")
        entry = self._entry(use, f"{key}.use")
        choices = self._choices(_table(step, "each", f"{key}.", self.faults), f"{key}.each")
        step.pop("each", None)
        shared = self._value(step.pop("with", {}), f"{key}.with")
        if not isinstance(shared, dict):
            self.faults.append(f"{key}.with: must be a table of settings")
            shared = {}
        settings = shared | {k: self._value(v, f"{key}.{k}") for k, v in step.items()}
        if entry is None:
            return []
        found = []
        for choice in choices:
            config = self._config(entry.config, settings | choice, key)
            if config is None:
                # Its fault is told; that its table will be missing would be no news.
                self.written.add(entry.writes.partition("/")[0])
                continue
            self._flow(entry, config, key)
            writes = entry.writes.format(**config.model_dump())
            is_gate = isinstance(entry, Action) and entry.is_gate
            found.append(Step(use, config, key, writes, is_gate))
        return found

    def _entry(self, use: Any, key: str) -> Stage | Action | None:
        """Return the registry entry that a step names, or None after noting why there is none."""
        if not isinstance(use, str):
            self.faults.append(f"{key}: must be the name of a stage (got {use!r})")
            return None
        try:
            return self.resolve(use)
        except KeyError as error:
            wrong = f"no stage {use!r}" if use else "a step needs the name of a stage"
            self.faults.append(f"{key}: {wrong}; valid are {error.args[0]}")
        except R1DataError as error:
            self.faults.append(f"{key}: {error}")
        return None

    def _choices(self, each: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        """Return every combination of the values under ``each``."""
        choices: list[dict[str, Any]] = [{}]
        for name, given in each.items():
            items = self._value(given, f"{key}.{name}")
            if not isinstance(items, list) or not items:
                self.faults.append(f"{key}.{name}: must be a list of at least one value")
                continue
            choices = [{**choice, name: item} for choice in choices for item in items]
        return choices

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, list):
            return [self._value(v, key) for v in value]
        if isinstance(value, dict):
            return {k: self._value(v, f"{key}.{k}") for k, v in value.items()}
        if not isinstance(value, str):
            return value
        if value.startswith("${") and value.endswith("}"):
            name = value[2:-1]
            if name not in self.values:
                valid = ", ".join(self.values) or "none"
                self.faults.append(f"{key}: no parameter {name!r}; the recipe has {valid}")
                return None
            if name in self.within:
                self.faults.append(f"{key}: parameter {name!r} stands for itself")
                return None
            self.within.append(name)
            found = self._value(self.values[name], key)
            self.within.pop()
            return found
        if value.startswith("@"):
            name, _, rest = value[1:].partition("/")
            return f"../{self._refer(name, rest, key)}/{rest}".rstrip("/")
        return value

    def _refer(self, name: str, path: str, key: str) -> str:
        if name not in self.folders:
            self.faults.append(f"{key}: no phase {name!r}; valid are {', '.join(self.folders)}")
        self.paths[name, path] = None
        return self.folders.get(name, name)

    def _config(self, kind: type[Config], settings: dict[str, Any], key: str) -> Config | None:
        try:
            return kind.model_validate(settings)
        except ValidationError as error:
            self.faults += [f"{key}.{f}" for f in config_faults(error, kind)]
        except R1DataError as error:
            self.faults.append(f"{key}: {error}")
        return None

    def _flow(self, entry: Stage | Action, config: Config, key: str) -> None:
        """Check that every table a step reads was written by a step before it."""
        values = config.model_dump()
        for table in entry.reads:
            name = table.format(**values)
            top = name.partition("/")[0]
            # In another phase, which the reference has put before this one, or outside the run.
            if ".." in name or "//" in name:
                continue
            if not any(w in (name, top) or w.startswith(name + "/") for w in self.written):
                self.faults.append(f"{key}.use: reads {name}, which no step before it writes")
        if entry.writes:
            self.written.add(entry.writes.format(**values))


def config_faults(error: ValidationError, kind: type[Config]) -> list[str]:
    """Return one ``key: what is wrong`` per fault of a config."""
    out = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or kind.__name__
        if fault["type"] == "extra_forbidden":
            valid = ", ".join(sorted(kind.model_fields))
            out.append(f"{key}: unknown key; valid are {valid}")
        elif fault["type"] == "missing":
            out.append(f"{key}: is needed")
        else:
            out.append(f"{key}: {fault['msg'].lower()} (got {fault['input']!r})")
    return out


def _cycles(phases: Sequence[Phase]) -> list[str]:
    """Return a fault for every phase that waits for itself."""
    after = {p.name: set(p.after) for p in phases}
    ready: set[str] = set()
    while more := {n for n, needs in after.items() if n not in ready and needs <= ready}:
        ready |= more
    known = set(after)
    stuck = [n for n in after if n not in ready and after[n] <= known]
    return [f"phase {n!r}: waits for itself through {', '.join(sorted(after[n]))}" for n in stuck]
