"""The rules of the house: who imports whom, what stays light, which names are public."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import r1data
from r1data.core.errors import R1DataError
from r1data.core.recipe import load_recipe
from r1data.core.records import TABLES, json_schemas, polars_schema
from r1data.registry import NAMES, resolve
from r1data.resources import recipe_names, resource_folder

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "r1data"
FILES = sorted(PACKAGE.rglob("*.py"))

HEAVY = ["torch", "transformers", "vllm", "ray", "datasets", "sympy", "math_verify", "altair"]
HEAVY += ["duckdb", "polars", "huggingface_hub", "reasoning_gym", "numpy"]

ALLOWED = {
    "core": {"core"},
    "backends": {"core", "backends"},
    "train": {"core", "train"},
    "mini": {"core", "mini"},
    "report": {"core", "report", "metrics"},
    "metrics": {"core"},
}
"""Part of the package -> parts it may import. A stage may import core, backends and itself."""


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def part(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_part_imports_only_what_it_may(path: Path) -> None:
    ours = {n.split(".")[1] for n in imported(path) if n.startswith("r1data.")}
    if part(path) in ALLOWED:
        assert ours <= ALLOWED[part(path)]


@pytest.mark.parametrize("path", sorted((PACKAGE / "stages").rglob("*.py")), ids=lambda p: p.name)
def test_stages_meet_in_tables_alone(path: Path) -> None:
    own = path.relative_to(PACKAGE / "stages").parts[0].removesuffix(".py")
    for name in imported(path):
        words = name.split(".")
        if words[:2] == ["r1data", "stages"]:
            assert words[2] == own
        elif words[0] == "r1data":
            assert words[1] in {"core", "backends"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda p: p.name)
def test_core_needs_polars_and_pydantic_alone(path: Path) -> None:
    outside = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names)
    assert outside <= {"r1data", "polars", "pydantic"}


@pytest.mark.parametrize("module", ["r1data", "r1data.cli"])
def test_importing_stays_light(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


def test_public_names_are_pinned() -> None:
    assert r1data.__all__ == [
        "Consistency",
        "Verdict",
        "judge_traces",
        "language_consistency",
        "read",
        "run",
        "sample",
        "verify",
        "verify_many",
    ]
    for name in r1data.__all__:
        assert getattr(r1data, name) is not None


def test_schemas_are_those_of_the_records() -> None:
    folder = ROOT / "schemas"
    assert {p.stem: p.read_text(encoding="utf-8") for p in folder.glob("*.json")} == json_schemas()


def test_every_field_of_every_record_is_explained() -> None:
    for text in json_schemas().values():
        for name, field in json.loads(text)["properties"].items():
            assert field.get("description") or "$ref" in field, name


def test_every_table_has_its_key_among_its_columns() -> None:
    for record, key in TABLES.values():
        assert set(key) <= set(polars_schema(record))


@pytest.mark.parametrize("name", NAMES)
def test_every_registry_entry_resolves(name: str) -> None:
    entry = resolve(name)
    assert entry.name == name
    for field in entry.config.model_fields.values():
        assert field.description


def test_every_shipped_recipe_is_sound() -> None:
    assert recipe_names() == ["r1-mini", "smollm2-gsm"]
    for path in resource_folder("pipelines").glob("*.toml"):
        recipe = load_recipe(path, resolve)
        assert recipe.name == path.stem


def test_only_our_errors_are_raised_on_purpose() -> None:
    ours = {"R1DataError"} | {c.__name__ for c in _below(R1DataError)} | {"BadRow", "Interrupted"}
    # Faults of a programmer, not of a user, and what Python's own protocols ask for.
    plain = {
        "ConnectionResetError",
        "TypeError",
        "AttributeError",
        "KeyError",
        "Exit",
        "KeyboardInterrupt",
        "ValueError",
    }
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                called = node.exc.func
                name = (
                    called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                )
                if name and name[0].isupper():
                    assert name in ours | plain, f"{path}:{node.lineno} raises {name}"


def _below(kind: type) -> set[type]:
    direct = set(kind.__subclasses__())
    return direct | {c for d in direct for c in _below(d)}


def test_sizes_stay_within_the_budget() -> None:
    lengths = {p: p.read_text(encoding="utf-8").count("\n") for p in FILES}
    assert {str(p): n for p, n in lengths.items() if n > 450} == {}
    functions = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions[f"{path}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    assert {n: k for n, k in functions.items() if k > 80} == {}


def test_nothing_in_the_repository_speaks_of_one_machine() -> None:
    found = []
    for path in [*FILES, *ROOT.glob("*.md"), *ROOT.glob("pipelines/*"), ROOT / "Makefile"]:
        text = path.read_text(encoding="utf-8")
        found += [f"{path}: {w}" for w in ("/work/", "/root/", "/tmp/") if w in text]
    assert found == []
