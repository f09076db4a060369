import pytest
import torch
from transformers import AutoModelForCausalLM

from r1data.core.errors import DriftError, InputError
from r1data.train.checkpoint import (
    checkpoints,
    load_checkpoint,
    parameters_hash,
    random_state,
    save_checkpoint,
    save_model,
)

IDENTITY = {"learning_rate": 0.1, "betas": (0.9, 0.95)}


def trained(steps=3, width=3, seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.BatchNorm1d(width))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    advance(model, optimizer, steps)
    return model, optimizer


def advance(model, optimizer, steps):
    for _ in range(steps):
        model(torch.randn(4, model[0].in_features)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_checkpoint_brings_back_parameters_buffers_moments_and_random_state(tmp_path):
    model, optimizer = trained()
    save_checkpoint(tmp_path, 3, IDENTITY, model, optimizer, random_state())
    advance(model, optimizer, 2)
    other, other_optimizer = trained(seed=1)
    assert load_checkpoint(tmp_path, IDENTITY, other, other_optimizer) == 3
    advance(other, other_optimizer, 2)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())
    assert other_optimizer.state_dict()["state"][0]["step"] == 5


def test_only_whole_and_the_newest_checkpoints_are_kept(tmp_path):
    model, optimizer = trained()
    (tmp_path / ".step-7").mkdir()  # what a process killed while writing leaves behind
    assert checkpoints(tmp_path) == []
    assert load_checkpoint(tmp_path, IDENTITY, model, optimizer) == 0
    for step in (2, 10, 9):
        save_checkpoint(tmp_path, step, IDENTITY, model, optimizer, random_state(), keep=2)
    assert checkpoints(tmp_path) == [9, 10]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-10", "step-9"]
    files = sorted(p.name for p in (tmp_path / "step-10").iterdir())
    assert files == ["model.safetensors", "optimizer.safetensors", "state.json"]


def test_a_checkpoint_of_another_run_or_model_is_refused(tmp_path):
    model, optimizer = trained()
    save_checkpoint(tmp_path, 1, IDENTITY, model, optimizer, random_state())
    with pytest.raises(DriftError) as caught:
        load_checkpoint(tmp_path, {**IDENTITY, "learning_rate": 1, "new": 2}, model, optimizer)
    assert caught.value.fields == ("learning_rate", "new")
    with pytest.raises(InputError, match=r"has shape \(3,\) there|has shape \(3, 3\) there"):
        load_checkpoint(tmp_path, IDENTITY, *trained(width=4))


def test_the_hash_tells_models_apart():
    model, _ = trained()
    first = parameters_hash(model)
    assert parameters_hash(trained()[0]) == first
    with torch.no_grad():
        model[0].bias[1] += 1e-6
    assert parameters_hash(model) != first


@pytest.mark.engine
def test_a_model_folder_is_replaced_whole(tiny, tmp_path):
    fast = tiny.tokenizer()
    (tmp_path / ".model").mkdir()
    (tmp_path / ".model" / "leftover.bin").write_text("of a killed process")
    (tmp_path / "metrics.jsonl").write_text("kept")
    for seed in (0, 1):
        model = tiny.llama(seed)
        save_model(model, fast, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert parameters_hash(loaded) == parameters_hash(model)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert (tmp_path / "metrics.jsonl").read_text() == "kept"
    assert not (tmp_path / "leftover.bin").exists()
    assert not (tmp_path / ".model").exists()


@pytest.mark.engine
def test_saving_is_silent(tiny, tmp_path, capfd):
    save_model(tiny.llama(), tiny.tokenizer(), tmp_path)
    assert capfd.readouterr().err == ""
