import json
import os
import signal

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1data.core.errors import ConfigError, DriftError
from r1data.train.checkpoint import checkpoints
from r1data.train.data import encode_conversations, join_documents
from r1data.train.sft import SftConfig, epoch_batches, train_sft

SUMS = [(f"{a} + {b}", f"so {(a + b) % 10}" + " ." * (a % 3)) for a in range(5) for b in range(4)]


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def same(model, other):
    pairs = zip(model.named_parameters(), other.named_parameters(), strict=True)
    return all(torch.equal(a, b) for (_, a), (_, b) in pairs)


@pytest.mark.parametrize("bucketed", [False, True])
def test_an_epoch_holds_every_document_once_in_the_order_of_its_seed(bucketed):
    documents = join_documents([[1]] * 11, [[2] * (i % 4 + 1) for i in range(11)])
    config = SftConfig(batch_size=4, bucket_by_length=bucketed)
    first = epoch_batches(documents, config, 0)
    assert sorted(torch.cat(first).tolist()) == list(range(11))
    assert sorted(map(len, first)) == [3, 4, 4]
    again = epoch_batches(documents, config, 0)
    assert torch.equal(torch.cat(first), torch.cat(again))
    for other in (epoch_batches(documents, config, 1),):
        assert not torch.equal(torch.cat(first), torch.cat(other))
    shifted = SftConfig(batch_size=4, bucket_by_length=bucketed, seed=1)
    assert not torch.equal(torch.cat(first), torch.cat(epoch_batches(documents, shifted, 0)))


def test_buckets_hold_documents_of_one_length():
    documents = join_documents([[1]] * 16, [[2] * (i % 4 + 1) for i in range(16)])
    config = SftConfig(batch_size=4, bucket_by_length=True)
    batches = epoch_batches(documents, config, 0)
    assert all(len(set(documents.lengths[b].tolist())) == 1 for b in batches)


@pytest.mark.engine
def test_training_learns_logs_and_leaves_a_folder_that_loads(tiny, tmp_path):
    fast, model = tiny.tokenizer(), tiny.llama()
    rows = tiny.conversations([*SUMS, ("1", "2 " * 40)])
    seen = []
    config = SftConfig(
        learning_rate=5e-3, epochs=24, batch_size=5, max_length=20, warmup=0.1, checkpoint_every=20
    )
    summary = train_sft(config, rows, model, fast, tmp_path, seen.append)
    log = lines(tmp_path)
    assert log == seen
    assert [line["step"] for line in log] == list(range(1, 97))
    assert log[0].keys() == {
        "step", "kind", "loss", "learning_rate", "grad_norm", "tokens", "seconds"
    }  # fmt: skip
    assert log[0]["kind"] == "sft"
    assert log[0]["loss"] > 2.5
    assert log[-1]["loss"] < 0.8
    assert log[0]["learning_rate"] == pytest.approx(5e-3 / 10)
    assert summary["left_out"] == {"too_long": 1}
    assert (summary["steps"], summary["rows"], summary["resumed_from"]) == (96, 20, 0)
    assert summary["tokens"] == sum(line["tokens"] for line in log) == 24 * (20 * 3 + 16)
    assert checkpoints(tmp_path / "checkpoints") == [60, 80]
    assert not list(tmp_path.glob(".*"))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert same(loaded, model)
    ids = AutoTokenizer.from_pretrained(tmp_path)("<q> 1 + 2 <a>", return_tensors="pt")
    told = loaded.generate(**ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert told[0, -1] == fast.eos_token_id  # it has learnt to stop


@pytest.mark.engine
@pytest.mark.parametrize("normalise", ["tokens", "constant"])
def test_the_step_does_not_depend_on_the_micro_batch(tiny, tmp_path, normalise):
    models, logs = [], []
    for micro_batch in (8, 1, 3):
        model, out = tiny.llama(), tmp_path / str(micro_batch)
        config = SftConfig(
            learning_rate=1e-3, steps=3, batch_size=8, micro_batch=micro_batch, normalise=normalise
        )
        train_sft(config, tiny.conversations(SUMS), model, tiny.tokenizer(), out)
        models.append(model)
        logs.append(lines(out))
    for model, log in zip(models[1:], logs[1:], strict=True):
        for name in ("loss", "grad_norm"):
            ours = [line[name] for line in log]
            assert ours == pytest.approx([line[name] for line in logs[0]], rel=2e-5)
        for a, b in zip(model.parameters(), models[0].parameters(), strict=True):
            assert torch.allclose(a, b, atol=2e-5)


@pytest.mark.engine
def test_the_divisor_is_what_normalise_says(tiny, tmp_path):
    fast, rows = tiny.tokenizer(), tiny.conversations(SUMS)
    documents, _ = encode_conversations(rows, fast)
    mean = float(documents.completion_lengths.double().mean())
    losses = {}
    for normalise in ("tokens", "constant"):
        out = tmp_path / normalise
        config = SftConfig(steps=1, batch_size=4, normalise=normalise)
        train_sft(config, rows, tiny.llama(), fast, out)
        losses[normalise] = lines(out)[0]
    tokens = losses["tokens"]["tokens"]
    total = losses["tokens"]["loss"] * tokens
    assert losses["constant"]["loss"] == pytest.approx(total / (4 * mean), rel=1e-5)
    assert tokens != 4 * mean


@pytest.mark.engine
@pytest.mark.parametrize("way", ["interrupt", "crash", "signal"])
def test_resuming_gives_the_bits_of_a_run_that_was_never_stopped(tiny, tmp_path, way):
    config = SftConfig(
        learning_rate=3e-3, epochs=3, batch_size=6, micro_batch=4, checkpoint_every=3
    )
    rows, fast = tiny.conversations(SUMS), tiny.tokenizer()
    whole, cut = tiny.llama(), tiny.llama()
    for model in (whole, cut):
        model.config.attention_dropout = 0.3  # so that the random state matters
        for layer in model.model.layers:
            layer.self_attn.attention_dropout = 0.3
    torch.manual_seed(5)
    train_sft(config, rows, whole, fast, tmp_path / "whole")

    def stop(line):
        if line["step"] == 5:
            if way == "signal":
                os.kill(os.getpid(), signal.SIGINT)
            raise KeyboardInterrupt if way == "interrupt" else OSError("the disk is gone")

    torch.manual_seed(5)
    error = OSError if way == "crash" else KeyboardInterrupt
    with pytest.raises(error):
        train_sft(config, rows, cut, fast, tmp_path / "cut", stop)
    saved = [3] if way == "crash" else [3, 5]
    assert checkpoints(tmp_path / "cut" / "checkpoints") == saved
    assert not (tmp_path / "cut" / "config.json").exists()
    torch.manual_seed(99)
    resumed = tiny.llama()
    for layer in resumed.model.layers:
        layer.self_attn.attention_dropout = 0.3
    summary = train_sft(config, rows, resumed, fast, tmp_path / "cut")
    assert summary["resumed_from"] == saved[-1]
    assert same(resumed, whole)
    timeless = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in lines(tmp_path / name)]
        for name in ("whole", "cut")
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.engine
def test_other_settings_or_rows_do_not_continue_a_run(tiny, tmp_path):
    config = SftConfig(steps=2, batch_size=4, checkpoint_every=1)
    rows, fast = tiny.conversations(SUMS), tiny.tokenizer()
    train_sft(config, rows, tiny.llama(), fast, tmp_path)
    other = config.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(DriftError) as caught:
        train_sft(other, rows, tiny.llama(), fast, tmp_path)
    assert caught.value.fields == ("learning_rate",)
    with pytest.raises(DriftError, match="corpus"):
        train_sft(config, rows[:10], tiny.llama(), fast, tmp_path)
    for other_start in (tiny.llama(3), tiny.llama(hidden=16)):
        with pytest.raises(DriftError, match="starting model"):
            train_sft(config, rows, other_start, fast, tmp_path)

    class Wider(SftConfig):
        corpus: str = "a setting of the caller's, which is no concern of the trainer"

    wider = Wider(**config.model_dump())
    assert train_sft(wider, rows, tiny.llama(), fast, tmp_path)["resumed_from"] == 2
    unharmed = config.model_copy(update={"micro_batch": 2, "keep_checkpoints": 1})
    assert train_sft(unharmed, rows, tiny.llama(), fast, tmp_path)["resumed_from"] == 2


@pytest.mark.engine
def test_a_broken_gradient_stops_the_run_before_it_spoils_the_model(tiny, tmp_path):
    model = tiny.llama()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("inf"))
    before = model.lm_head.weight.detach().clone()
    config = SftConfig(steps=1, batch_size=4)
    with pytest.raises(ConfigError, match="gradient"):
        train_sft(config, tiny.conversations(SUMS), model, tiny.tokenizer(), tmp_path)
    assert torch.equal(model.lm_head.weight, before)


@pytest.mark.engine
def test_training_is_that_of_a_plain_loop(tiny, tmp_path):
    """Pins the whole path: data order, mask, loss, clip and AdamW."""
    config = SftConfig(learning_rate=1e-3, steps=4, batch_size=8, schedule="constant")
    rows, fast, plain = tiny.conversations(SUMS), tiny.tokenizer(), tiny.llama(1)
    trained = tiny.llama(1)
    train_sft(config, rows, trained, fast, tmp_path)
    optimizer = torch.optim.AdamW(
        plain.parameters(), lr=1e-3, betas=config.betas, weight_decay=0, foreach=False
    )
    documents, _ = encode_conversations(rows, fast)
    batches = epoch_batches(documents, config, 0) + epoch_batches(documents, config, 1)
    for batch, line in zip(batches, lines(tmp_path), strict=False):
        total = count = 0
        for i in batch.tolist():
            ids = documents.ids[documents.starts[i] : documents.starts[i + 1]].long()
            labels = ids[int(documents.prompt_lengths[i]) :]
            logits = plain(ids.unsqueeze(0)).logits[0, -len(labels) - 1 : -1]
            total = total + torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            count += len(labels)
        loss = total / count
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        assert line["loss"] == pytest.approx(float(loss.detach()), abs=1e-5)
        assert line["grad_norm"] == pytest.approx(float(norm), abs=1e-4)
    for a, b in zip(trained.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
