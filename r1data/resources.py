"""Files that come with the package: recipes and schemas."""

from importlib.resources import files
from pathlib import Path

from r1data.core.errors import InputError


def resource_folder(name: str) -> Path:
    """Return the folder of shipped ``pipelines`` or ``schemas``.

    In a wheel they lie inside the package; in a checkout, beside it.
    """
    package = Path(str(files("r1data")))
    inside = package / "_data" / name
    return inside if inside.is_dir() else package.parent / name


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in resource_folder("pipelines").glob("*.toml"))


def find_recipe(name: str) -> Path:
    """Return the file of a recipe: a path, or the name of a shipped one."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = resource_folder("pipelines") / f"{path.stem}.toml"
    if path.suffix in ("", ".toml") and shipped.is_file():
        return shipped
    raise InputError(f"{name}: no such recipe; shipped are {', '.join(recipe_names())}")
