"""The commands that train and evaluate models."""

from pathlib import Path
from typing import Annotated, Any

import typer

from r1data.commands.base import Call, Debug, Directory, Force, Json, Set, guarded, run_entry

HERE = Path(".")

train = typer.Typer(no_args_is_help=True, help="Train a model on a corpus.")

Model = Annotated[str | None, typer.Option(help="Model folder, smollm2 or Hub id to start from.")]
Corpus = Annotated[str | None, typer.Option(help="Corpus: a name, or a path to corpora/NAME.")]
Name = Annotated[str | None, typer.Option(help="Name of the trained model: models/NAME.")]
Rate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps.")]
Epochs = Annotated[float | None, typer.Option(help="Passes over the corpus.")]
Batch = Annotated[int | None, typer.Option(help="Rows of an optimiser step.")]
Limit = Annotated[int | None, typer.Option(help="Train on the first rows only.")]


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


@train.command("sft")
def train_sft(
    model: Model = None,
    corpus: Corpus = None,
    name: Name = None,
    learning_rate: Rate = None,
    epochs: Epochs = None,
    steps: Steps = None,
    batch_size: Batch = None,
    limit: Limit = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Fine-tune on a corpus of conversations; the loss is on the assistant's turn alone.

    Example: r1data train sft --model smollm2 --corpus sft
    """
    given = _given(
        model=model,
        corpus=corpus,
        name=name,
        learning_rate=learning_rate,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        limit=limit,
    )
    run_entry(Call(directory, as_json, debug, force, extra), "train.sft", given)


@train.command("distill")
def train_distill(
    model: Model = None,
    corpus: Corpus = None,
    name: Name = None,
    learning_rate: Rate = None,
    epochs: Epochs = None,
    steps: Steps = None,
    batch_size: Batch = None,
    limit: Limit = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Fine-tune a student on a teacher's traces. Makes the corpus first if it is not there yet.

    Example: r1data train distill
    """
    call = Call(directory, as_json, debug, force, extra)
    with guarded(debug):
        from r1data.distilling import ensure_corpus

        ensure_corpus(call, corpus or "distill")
    given = _given(
        model=model,
        corpus=corpus,
        name=name,
        learning_rate=learning_rate,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        limit=limit,
    )
    run_entry(call, "train.distill", given)


@train.command("grpo")
def train_grpo(
    model: Model = None,
    corpus: Corpus = None,
    name: Name = None,
    learning_rate: Rate = None,
    steps: Steps = None,
    prompts_per_step: Annotated[int | None, typer.Option(help="Prompts of a step.")] = None,
    group_size: Annotated[int | None, typer.Option(help="Samples a prompt.")] = None,
    loss: Annotated[str | None, typer.Option(help="grpo, dr_grpo or dapo.")] = None,
    language: Annotated[float | None, typer.Option(help="Weight of the language reward.")] = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Train by GRPO on an RL corpus. The reward is verify and filter themselves.

    Example: r1data train grpo --model models/base --corpus rl --language 1
    """
    given = _given(
        model=model,
        corpus=corpus,
        name=name,
        learning_rate=learning_rate,
        steps=steps,
        prompts_per_step=prompts_per_step,
        group_size=group_size,
        loss=loss,
    )

    def adapt(values: dict[str, Any]) -> dict[str, Any]:
        reward = values.get("reward", {})
        if language is not None and isinstance(reward, dict):
            values["reward"] = {**reward, "language": language}
        return values

    run_entry(Call(directory, as_json, debug, force, extra), "train.grpo", given, adapt)


def evaluate(
    model: Annotated[str, typer.Option(help="Model folder, smollm2 or Hub id.")],
    k: Annotated[int | None, typer.Option("--k", help="Samples a problem.")] = None,
    name: Annotated[str | None, typer.Option(help="Name: evals/NAME.")] = None,
    label: Annotated[str | None, typer.Option(help="Name in tables and plots.")] = None,
    problems: Annotated[str | None, typer.Option(help="Workspace with the problems.")] = None,
    template: Annotated[str | None, typer.Option(help="Prompt template.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Softmax temperature.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of a sample.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first problems.")] = None,
    directory: Directory = HERE,
    extra: Set = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Evaluate: pass@1 (average of k), pass@k, cons@k, language, format, lengths, with intervals.

    Example: r1data eval --model models/distill --k 16
    """
    given = _given(
        model=model,
        k=k,
        name=name or Path(model).name,
        label=label,
        problems=problems,
        template=template,
        temperature=temperature,
        max_tokens=max_tokens,
        limit=limit,
    )
    run_entry(Call(directory, as_json, debug, force, extra), "eval", given)
