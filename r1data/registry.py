"""Every stage and action by name. Entries are imported when they are asked for.

This is where stages meet engines: the sample stage gets its samplers, problems its generators.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from r1data.core.errors import ConfigError, MissingExtraError
from r1data.core.stage import Action, Stage

NAMES: dict[str, str] = {
    "problems": "r1data.registry:problems_action",
    "decontaminate": "r1data.stages.decontaminate:DECONTAMINATE",
    "sample": "r1data.registry:sample_stage",
    "verify": "r1data.stages.verify.stage:VERIFY",
    "filter": "r1data.stages.filter.stage:FILTER",
    "dedup": "r1data.stages.dedup:DEDUP",
    "select": "r1data.stages.select:SELECT",
    "assemble": "r1data.stages.assemble:ASSEMBLE",
    "train.sft": "r1data.training:SFT",
    "train.distill": "r1data.training:DISTILL",
    "train.grpo": "r1data.training:GRPO",
    "eval": "r1data.registry:eval_action",
    "gate": "r1data.evaluate:GATE",
    "mini.corpus": "r1data.mini.actions:CORPUS",
    "mini.model": "r1data.mini.actions:MODEL",
}
"""Name in recipes -> where it lives. A function is called without arguments for its entry."""

PRELOAD = (
    "polars",
    "pydantic",
    "r1data.registry",
    "torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.generation.utils",
    "r1data.backends.transformers",
    "r1data.train.sft",
    "r1data.train.grpo",
    "r1data.training",
    "r1data.evaluate",
)
"""What a run's steps share: importing it takes longer than most steps of a small run. A module that
is not installed is passed over."""

EXTRA_MODULES = {"torch": "train", "transformers": "train", "tokenizers": "train"}


@cache
def resolve(name: str) -> Stage | Action:
    """Return a registry entry.

    Raises KeyError, whose argument lists the valid names, or MissingExtraError.
    """
    if name not in NAMES:
        raise KeyError(", ".join(NAMES))
    module, _, attribute = NAMES[name].partition(":")
    try:
        entry: Any = getattr(importlib.import_module(module), attribute)
        return entry if isinstance(entry, Stage | Action) else entry()
    except ModuleNotFoundError as error:
        extra = EXTRA_MODULES.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise MissingExtraError(name, extra) from error


def _open_sampler(config: Any, root: Path) -> Any:
    """Return the sampler of a model name: scripted, or a model through transformers."""
    if config.model == "scripted":
        from r1data.backends.scripted import ScriptedSampler

        return ScriptedSampler()
    from r1data.backends.models import load_model, resolve_model
    from r1data.backends.transformers import TransformersSampler

    dtype = config.dtype
    if dtype == "auto":
        import torch

        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    model, tokenizer = load_model(resolve_model(config.model, root), dtype=dtype)
    return TransformersSampler(
        model, tokenizer, batch_size=config.batch_size, logprobs=config.keep_tokens
    )


def _identify(model: str, root: Path) -> str:
    if model == "scripted":
        return "scripted"
    from r1data.backends.models import model_fingerprint, resolve_model

    return str(model_fingerprint(resolve_model(model, root)))


def sample_stage() -> Stage:
    """Return the sample stage over the engines."""
    from r1data.stages.sample import make_stage

    return make_stage(_open_sampler, _identify)


def eval_action() -> Action:
    """Return the eval action over the sample stage."""
    from r1data.evaluate import make_action

    return make_action(sample_stage())


def problems_action() -> Action:
    """Return the problems action over all generators."""
    from r1data.stages.problems import ProblemsConfig, make_action

    def gym(config: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        from r1data.backends.sources import gym_rows

        size = min(config.size, config.limit or config.size)
        rows = gym_rows(name, size=size, seed=config.seed, options=config.options)
        return enumerate(rows, 1)

    def mini(config: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        from r1data.mini.world import problems

        if name != "addition":
            raise ConfigError(f"mini has no problems {name!r}; it has mini:addition")
        try:
            frame = problems(config.split, config.size, config.seed, **config.options)
        except TypeError as error:
            raise ConfigError(f"mini:addition takes digits and languages: {error}") from error
        return enumerate(frame.drop("problem_id", "messages").iter_rows(named=True), 1)

    def hub(config: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        from r1data.backends.sources import hub_rows

        rows = hub_rows(name, split=config.split, config=config.subset, limit=config.limit)
        return enumerate(rows, 1)

    generators: dict[str, Callable[..., Any]] = {"gym": gym, "mini": mini, "hub": hub}
    fn = make_action(generators)
    return Action("problems", 1, ProblemsConfig, fn, (), "problems")
