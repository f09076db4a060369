"""Checkpoints of a training run, and the model folder at its end.

``checkpoints/step-N/`` holds the state after N steps: ``model.safetensors``,
``optimizer.safetensors`` (moments and the random state of torch) and ``state.json`` (position,
identity of the run, optimiser settings). A checkpoint is written under another name and renamed, so
one that can be seen is whole. Nothing is pickled: loading a checkpoint runs no code.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.utils import logging as transformers_logging

from r1data.core.errors import DriftError, InputError

Json = dict[str, Any]

_STEP = re.compile(r"step-(\d+)\Z")


def random_state() -> dict[str, Tensor]:
    """Return the state of torch's generators, by device."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return states


def set_random_state(states: Mapping[str, Tensor]) -> None:
    """Set torch's generators to what `random_state` returned; other devices are left alone."""
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if f"cuda{i}" in states:
                torch.cuda.set_rng_state(states[f"cuda{i}"], i)


@torch.no_grad()
def parameters_hash(model: torch.nn.Module) -> str:
    """Return 16 hex digits of names, shapes and some 16 values of each parameter."""
    digest = hashlib.blake2b(digest_size=8)
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)} ".encode())
        some = parameter.detach().flatten()[:: max(1, parameter.numel() // 16)]
        digest.update(some.float().cpu().numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(
    folder: Path,
    step: int,
    identity: Json,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    random: Mapping[str, Tensor],
    keep: int = 2,
) -> Path:
    """Write ``folder/step-N`` unless it is there, and delete all but the ``keep`` newest."""
    target = folder / f"step-{step}"
    if not target.exists():
        for stale in folder.glob(".step-*"):
            shutil.rmtree(stale)
        temporary = folder / f".step-{step}"
        temporary.mkdir(parents=True)
        save_file(_model_tensors(model), temporary / "model.safetensors")
        packed = optimizer.state_dict()
        tensors = {
            f"state.{index}.{name}": _stored(value)
            for index, state in packed["state"].items()
            for name, value in state.items()
        }
        tensors |= {f"random.{device}": _stored(state) for device, state in random.items()}
        save_file(tensors, temporary / "optimizer.safetensors")
        state = {"step": step, "identity": identity, "groups": packed["param_groups"]}
        (temporary / "state.json").write_text(json.dumps(state, indent=1))
        os.replace(temporary, target)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(folder / f"step-{old}")
    return target


def checkpoints(folder: Path) -> list[int]:
    """Return the steps of the whole checkpoints in ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    found = (_STEP.match(path.name) for path in folder.iterdir())
    return sorted(int(match.group(1)) for match in found if match)


def load_checkpoint(
    folder: Path, identity: Json, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Load the newest checkpoint, random state included, and return its step; 0 without one.

    Raises DriftError if it belongs to a run with another identity (settings, corpus), InputError
    if its parameters are not this model's.
    """
    found = checkpoints(folder)
    if not found:
        return 0
    path = folder / f"step-{found[-1]}"
    state = json.loads((path / "state.json").read_text())
    theirs, ours = state["identity"], json.loads(json.dumps(identity))
    differing = sorted(
        key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)
    )
    if differing:
        raise DriftError(str(folder), differing)
    _load_model(model, load_file(path / "model.safetensors"), path)
    states: dict[int, dict[str, Tensor]] = {}
    random: dict[str, Tensor] = {}
    for name, value in load_file(path / "optimizer.safetensors").items():
        if name.startswith("random."):
            random[name.removeprefix("random.")] = value
        else:
            _, index, field = name.split(".")
            states.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": states, "param_groups": state["groups"]})
    set_random_state(random)
    return int(state["step"])


def save_model(model: Any, tokenizer: Any, out: Path) -> None:
    """Write a Hugging Face model folder into ``out``; it loads only once it is whole.

    Everything is written beside and renamed into place, ``config.json`` last: without that file
    no loader takes the folder for a model.
    """
    temporary = out / ".model"
    shutil.rmtree(temporary, ignore_errors=True)
    with _no_progress_bar():
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    (out / "config.json").unlink(missing_ok=True)
    for path in sorted(temporary.iterdir(), key=lambda p: (p.name == "config.json", p.name)):
        target = out / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    temporary.rmdir()


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            transformers_logging.enable_progress_bar()


def _stored(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous()


def _model_tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    # Tied parameters have several names in a state dict and one here.
    named = dict(model.named_parameters())
    persistent = model.state_dict().keys()
    named |= {name: b for name, b in model.named_buffers() if name in persistent}  # type: ignore[misc]
    return {name: _stored(value) for name, value in named.items()}


@torch.no_grad()
def _load_model(model: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    targets: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in tensors.items():
        if name not in targets or targets[name].shape != value.shape:
            raise InputError(
                f"{path} does not fit the model: {name} has shape {tuple(value.shape)} there; "
                "start from the model of that run, or delete its checkpoints"
            )
        targets[name].copy_(value)
