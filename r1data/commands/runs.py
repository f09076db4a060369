"""The commands that run recipes, and those that show and share what came out."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from r1data.commands.base import Debug, Directory, Force, Json, guarded, parse_value

HERE = Path(".")

Recipe = Annotated[str, typer.Argument(help="Recipe file, or the name of a shipped recipe.")]
Source = Annotated[list[str] | None, typer.Option(help="Problems, instead of the recipe's own.")]
LimitOption = Annotated[int | None, typer.Option(help="Problems of each source.")]
Parameter = Annotated[
    list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="Any recipe parameter.")
]


def _parameters(
    source: list[str] | None, limit: int | None, extra: list[str] | None
) -> dict[str, object]:
    from r1data.core.errors import ConfigError

    found: dict[str, object] = {}
    if source:
        found["sources"] = [str(Path(s).absolute()) if Path(s).exists() else s for s in source]
    if limit is not None:
        found["limit"] = limit
    for item in extra or ():
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--param {item}: write it as KEY=VALUE")
        found[key.strip()] = parse_value(value)
    return found


def run(
    recipe: Recipe,
    out: Annotated[Path | None, typer.Option(help="Directory; runs/NAME by default.")] = None,
    source: Source = None,
    limit: LimitOption = None,
    param: Parameter = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Phases at the same time.")] = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Run a recipe: checked whole first, resumed where it stopped, reported at the end.

    Example: r1data run pipelines/r1-mini.toml
    """
    import sys

    with guarded(debug) as hints:
        from r1data.console import progress, say
        from r1data.core.errors import R1DataError
        from r1data.core.pipeline import Pipeline
        from r1data.core.recipe import load_recipe
        from r1data.registry import PRELOAD, resolve
        from r1data.resources import find_recipe

        path = find_recipe(recipe)
        found = load_recipe(path, resolve, _parameters(source, limit, param))
        target = out or Path("runs") / found.name
        command = " ".join(["r1data", *sys.argv[1:]])
        with progress() as shown:
            pipeline = Pipeline(
                found, target, resolve, shown, force=force, command=command, preload=PRELOAD
            )
            try:
                results = pipeline.run(jobs or found.jobs)
            except R1DataError:
                page = ""
                with suppress(Exception):  # what stopped the run is the news
                    page = _try_report(target)
                shown_in = f", and {page} shows it" if page else ""
                hints.append(f"what was made is in {target}{shown_in}; the same command goes on")
                raise
        page = _try_report(target)
        seconds = round(sum(r.seconds for r in results), 1)
        facts = {"run": str(target), "steps": len(results), "step_seconds": seconds, "report": page}
        say(facts, as_json)


def _try_report(target: Path) -> str:
    """Write the report of whatever there is; a run that failed early may have nothing to show."""
    from r1data.core.errors import WorkspaceError
    from r1data.report import build_report

    try:
        return str(build_report(target))
    except WorkspaceError:
        return ""


def plan(
    recipe: Recipe,
    source: Source = None,
    limit: LimitOption = None,
    param: Parameter = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a recipe and show its phases and steps, without running anything.

    Example: r1data plan r1-mini
    """
    with guarded(debug):
        from r1data.console import say, stdout
        from r1data.core.recipe import load_recipe
        from r1data.registry import resolve
        from r1data.resources import find_recipe

        found = load_recipe(find_recipe(recipe), resolve, _parameters(source, limit, param))
        if as_json:
            phases = [
                {
                    "name": p.name,
                    "after": list(p.after),
                    "steps": [
                        {"use": s.use, **s.config.model_dump(mode="json", exclude_defaults=True)}
                        for s in p.steps
                    ],
                }
                for p in found.phases
            ]
            say({"recipe": found.name, "phases": phases}, True)
            return
        stdout.print(f"{found.name}: {found.title}")
        for phase in found.phases:
            after = f" (after {', '.join(phase.after)})" if phase.after else ""
            stdout.print(f"{phase.folder}  {phase.title}{after}")
            for step in phase.steps:
                given = step.config.model_dump(mode="json", exclude_defaults=True)
                shown = ", ".join(f"{k} = {v}" for k, v in given.items())
                stdout.print(f"    {step.use:<14} {shown}")


def explain(
    name: Annotated[str, typer.Argument(help="Stage or command: sample, train.grpo, …")],
    debug: Debug = False,
) -> None:
    """Show what a stage reads and writes, and all its settings with their defaults.

    Example: r1data explain filter
    """
    with guarded(debug):
        from r1data.console import stdout
        from r1data.core.errors import ConfigError
        from r1data.registry import NAMES, resolve

        if name not in NAMES:
            raise ConfigError(f"no stage {name!r}; there are {', '.join(NAMES)}")
        entry = resolve(name)
        reads = ", ".join(entry.reads) or "nothing"
        stdout.print(f"{entry.name}: reads {reads}; writes {entry.writes or 'nothing'}")
        for line in _setting_lines(entry.config):
            stdout.print(line)


def _setting_lines(kind: Any, made: Any = None, above: str = "") -> Iterator[str]:
    """Yield two lines a setting: its name and default, its help; nested settings below theirs.

    kind: a config class. made: the value that a nested config has by default. above: the dotted
    name of it, with its last dot.
    """
    from pydantic import BaseModel

    indent = "  " * (above.count(".") + 1)
    for key, field in kind.model_fields.items():
        value = field.get_default(call_default_factory=True)
        if made is not None:
            value = getattr(made, key)
        is_nested = isinstance(value, BaseModel)
        default = "its own settings, below" if is_nested else repr(value)
        if made is None and field.is_required():
            default = "needed"
        yield f"{indent}{above}{key} = {default}"
        yield f"{indent}    {' '.join((field.description or '').split())}"
        if is_nested:
            yield from _setting_lines(type(value), value, f"{above}{key}.")


def report(
    target: Annotated[Path, typer.Argument(help="Workspace or run directory.")] = HERE,
    out: Annotated[Path | None, typer.Option(help="HTML file to write.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write one self-contained HTML page: funnel, rates, languages, curves, models, traces.

    Example: r1data report runs/r1-mini
    """
    with guarded(debug):
        from r1data.console import say
        from r1data.report import build_report

        page = build_report(target, out)
        say({"report": str(page), "bytes": page.stat().st_size}, as_json)


def publish(
    corpus: Annotated[str, typer.Argument(help="Name of the corpus.")],
    repo: Annotated[str, typer.Option(help="Hub repository, OWNER/NAME.")],
    public: Annotated[bool, typer.Option("--public", help="Make it public.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Upload nothing.")] = False,
    licence: Annotated[str | None, typer.Option(help="SPDX id of the corpus.")] = None,
    directory: Directory = HERE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Upload a corpus to the Hugging Face Hub, private by default, with a card of its facts.

    Example: r1data publish distill --repo me/r1-distill-ko --dry-run
    """
    with guarded(debug):
        from r1data.console import say, stdout
        from r1data.publish import publish as upload

        result = upload(
            directory, corpus, repo, private=not public, dry_run=dry_run, licence=licence
        )
        if dry_run and not as_json:
            stdout.print(result.card)
        say(
            {
                "repo": result.url,
                "commit": result.commit,
                "rows": result.rows,
                "files": ", ".join(result.files),
                "state": "dry run, nothing was uploaded" if dry_run else "uploaded",
            },
            as_json,
        )


def sql(
    query: Annotated[str, typer.Argument(help="SQL over problems, traces, verdicts, …")],
    directory: Directory = HERE,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Ask the tables of a workspace in SQL (DuckDB); a slice is read as corpora_NAME.

    OVERLAPS is a word of SQL, so that table is written "overlaps", in quotes.

    Example: r1data sql "select status, count(*) from verdicts group by status"
    """
    with guarded(debug):
        import json
        import sys

        from r1data.console import stdout
        from r1data.core.run import workspace_root
        from r1data.query import run_sql

        frame = run_sql(workspace_root(directory), query)
        if as_json:
            for row in frame.iter_rows(named=True):
                sys.stdout.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        else:
            stdout.print(str(frame))


def schema(
    write: Annotated[Path | None, typer.Option(help="Write NAME.json files here.")] = None,
    debug: Debug = False,
) -> None:
    """List the tables, or write their JSON Schemas.

    Example: r1data schema --write schemas
    """
    with guarded(debug):
        from r1data.console import say, stdout
        from r1data.core.records import TABLES, json_schemas, polars_schema

        if write is not None:
            write.mkdir(parents=True, exist_ok=True)
            texts = json_schemas()
            for name, text in texts.items():
                (write / f"{name}.json").write_text(text, encoding="utf-8")
            say({"schemas": len(texts), "directory": str(write)}, False)
            return
        for table, (record, key) in TABLES.items():
            columns = ", ".join(polars_schema(record))
            stdout.print(f"{table} ({' x '.join(key)}): {columns}")


def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Show what is installed and what this machine offers.

    Example: r1data doctor
    """
    with guarded(debug):
        from r1data.console import say
        from r1data.query import machine_facts

        say(machine_facts(), as_json)
