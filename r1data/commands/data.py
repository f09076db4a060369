"""The commands that make, judge and pick data, in the order data flows."""

from pathlib import Path
from typing import Annotated, Any

import typer

from r1data.commands.base import Call, Debug, Directory, Force, Json, Set, guarded, run_entry

HERE = Path(".")

INIT_TEXT = """\
# Settings of this workspace, one section a command. The command line overrides them.

# [sample]
# model = "smollm2"
# n = 16
# template = "chat"

# [train.distill]
# model = "smollm2"
"""


def init(
    directory: Annotated[Path, typer.Argument(help="Directory to make.")] = HERE,
    debug: Debug = False,
) -> None:
    """Make a workspace: a directory with an r1data.toml for its settings.

    Example: r1data init my-run
    """
    with guarded(debug):
        from r1data.commands.base import SETTINGS_FILE
        from r1data.console import say

        directory.mkdir(parents=True, exist_ok=True)
        file = directory / SETTINGS_FILE
        state = "there already" if file.exists() else "made"
        if not file.exists():
            file.write_text(INIT_TEXT, encoding="utf-8")
        say({"workspace": str(directory), "state": state}, False)


problems = typer.Typer(no_args_is_help=True, help="Bring problems into the workspace.")


@problems.command("add")
def problems_add(
    source: Annotated[str, typer.Argument(help="JSONL, Parquet, CSV; OWNER/NAME; gym:NAME.")],
    prompt: Annotated[str | None, typer.Option(help="Column of the question.")] = None,
    answer: Annotated[str | None, typer.Option(help="Column of the gold answer.")] = None,
    language: Annotated[str | None, typer.Option(help="Language code, or column:NAME.")] = None,
    verifier: Annotated[str | None, typer.Option(help="Verifier of all rows.")] = None,
    domain: Annotated[str | None, typer.Option(help="Domain of the rows.")] = None,
    licence: Annotated[str | None, typer.Option(help="SPDX id of the rows.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of a Hub dataset.")] = None,
    size: Annotated[int | None, typer.Option(help="Rows to generate (gym, mini).")] = None,
    limit: Annotated[int | None, typer.Option(help="Take only the first rows.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the slice.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out.")] = False,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Add a source of problems; duplicates and malformed rows are counted.

    Example: r1data problems add gsm8k.jsonl --answer answer --licence MIT
    """
    given = {
        "source": source,
        "prompt": prompt,
        "answer": answer,
        "language": language,
        "verifier": verifier,
        "domain": domain,
        "licence": licence,
        "split": split,
        "size": size,
        "limit": limit,
        "name": name,
        "skip_bad": skip_bad or None,
    }
    run_entry(Call(directory, as_json, debug, force, extra), "problems", given)


def decontaminate(
    benchmark: Annotated[list[str], typer.Option(help="Benchmark file; repeat for more.")],
    column: Annotated[str | None, typer.Option(help="Column of the question.")] = None,
    words: Annotated[int | None, typer.Option(help="Words of an n-gram.")] = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Find problems that overlap with benchmark files.

    Example: r1data decontaminate --benchmark math500.jsonl --benchmark gsm8k_test.jsonl
    """
    given = {"benchmark": tuple(benchmark), "column": column, "words": words}
    run_entry(Call(directory, as_json, debug, force, extra), "decontaminate", given)


def sample(
    model: Annotated[str | None, typer.Option(help="Model folder, smollm2, Hub id.")] = None,
    n: Annotated[int | None, typer.Option("--n", help="Samples a problem.")] = None,
    template: Annotated[str | None, typer.Option(help="r1-zero, chat, few-shot or raw.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Softmax temperature.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus mass.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of a sample.")] = None,
    seed: Annotated[int | None, typer.Option(help="Run seed.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples drawn together.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first problems.")] = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Draw n traces a problem. Raising --n or --max-tokens keeps every valid trace.

    Example: r1data sample --model ckpt --n 16
    """
    given = {
        "model": model,
        "n": n,
        "template": template,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "seed": seed,
        "batch_size": batch_size,
        "limit": limit,
    }
    run_entry(Call(directory, as_json, debug, force, extra), "sample", given)


def verify(
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one comparison.")] = None,
    judge_url: Annotated[
        str | None,
        typer.Option("--judge-url", help="OpenAI-compatible server asked about rejected answers."),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option("--judge-model", help="The judge's model at that server.")
    ] = None,
    reward_model: Annotated[
        str | None, typer.Option("--reward-model", help="Folder of a sequence classifier.")
    ] = None,
    unsafe_local: Annotated[
        bool,
        typer.Option(
            "--unsafe-local",
            help="Run programs without a sandbox if there is none: network and files are not cut.",
        ),
    ] = False,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Judge every trace's final answer; the outcome is a status, never a bare yes or no.

    Each problem names its verifier. Example: r1data verify --workers 8
    """
    given = {
        "workers": workers,
        "timeout": timeout,
        "judge_url": judge_url,
        "judge_model": judge_model,
        "reward_model": reward_model,
        "unsafe_local": unsafe_local or None,
    }
    run_entry(Call(directory, as_json, debug, force, extra), "verify", given)


def filter_command(
    lang_consistency: Annotated[
        bool, typer.Option("--lang-consistency", help="Language of the reasoning.")
    ] = False,
    readability: Annotated[
        bool, typer.Option("--readability", help="Form, completeness, loops, paragraphs.")
    ] = False,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Measure language consistency and readability; both unless one is named. Nothing is dropped.

    Example: r1data filter --lang-consistency
    """
    call = Call(directory, as_json, debug, force, extra)
    chosen = {"lang-consistency": lang_consistency, "readability": readability}

    def adapt(values: dict[str, Any]) -> dict[str, Any]:
        from r1data.core.tables import Workspace
        from r1data.stages.filter.stage import RULES, rules_of

        if "rules" in values and not any(chosen.values()):
            return values
        rules = rules_of([name for name, wanted in chosen.items() if wanted])
        # Rules that were measured before stay, so that the groups can be asked for one by one.
        present = Workspace(directory).receipt("judgements")
        before = present.config.get("rules", ()) if present and not force else ()
        return {**values, "rules": tuple(r for r in RULES if r in {*rules, *before})}

    run_entry(call, "filter", {}, adapt)


def dedup(
    item: Annotated[str | None, typer.Option(help="problem or trace.")] = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Find exact duplicates of problems or traces.

    Example: r1data dedup --item trace
    """
    run_entry(Call(directory, as_json, debug, force, extra), "dedup", {"item": item})


def select(
    corpus: Annotated[str, typer.Argument(help="Name of the corpus.")],
    kind: Annotated[str | None, typer.Option(help="Kind, if the name is another.")] = None,
    keep: Annotated[int | None, typer.Option(help="Traces to keep a problem.")] = None,
    order: Annotated[str | None, typer.Option(help="shortest, longest or random.")] = None,
    pass_rate_min: Annotated[float | None, typer.Option(help="Least pass rate.")] = None,
    pass_rate_max: Annotated[float | None, typer.Option(help="Largest pass rate.")] = None,
    limit: Annotated[int | None, typer.Option(help="Most problems.")] = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Pick what enters a corpus; everything else gets its one reason.

    Example: r1data select distill --keep 4 --pass-rate-max 0.9
    """
    given = {
        "corpus": corpus,
        "kind": kind,
        "keep": keep,
        "order": order,
        "pass_rate_min": pass_rate_min,
        "pass_rate_max": pass_rate_max,
        "limit": limit,
    }
    run_entry(Call(directory, as_json, debug, force, extra), "select", given)


def assemble(
    corpus: Annotated[str, typer.Argument(help="Name of the corpus.")],
    kind: Annotated[str | None, typer.Option(help="Kind, if the name is another.")] = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Write a corpus from its picks: messages with inline reasoning, and the way back.

    Example: r1data assemble distill
    """
    given = {"corpus": corpus, "kind": kind}
    run_entry(Call(directory, as_json, debug, force, extra), "assemble", given)
