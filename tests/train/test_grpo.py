import json
import os
import signal
import time
from types import SimpleNamespace

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

from r1data.core.errors import BackendError, InputError
from r1data.core.sampling import Completion, Prompt
from r1data.train.checkpoint import checkpoints
from r1data.train.grpo import GrpoConfig, plan_updates, train_grpo
from r1data.train.loop import uninterrupted
from r1data.train.rollouts import make_rollouts, step_prompts, step_requests

QUESTIONS = [f"{i} + 1" for i in range(6)]
SMALL = {"prompts_per_step": 3, "group_size": 4, "max_completion_tokens": 5, "learning_rate": 1e-3}


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def same(model, other):
    return all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


def completion(ids, reason="stop", logprobs=()):
    return Completion("", list(ids), list(logprobs), reason, 2)


def rollouts_of(rewards, completions=None, **settings):
    config = GrpoConfig(group_size=2, **settings)
    completions = completions or [completion([5, 6, 1])] * len(rewards)
    return make_rollouts(
        config, [[3, 4]] * len(rewards), completions, pl.DataFrame({"reward": rewards})
    )


def test_every_prompt_comes_once_an_epoch():
    config = GrpoConfig(prompts_per_step=4)
    asked = [i for step in range(5) for i in step_prompts(10, config, step)]
    assert sorted(asked[:10]) == sorted(asked[10:]) == list(range(10))
    assert asked[:10] != asked[10:]
    assert asked[:4] == step_prompts(10, config, 0)
    assert asked[:4] != step_prompts(10, GrpoConfig(prompts_per_step=4, seed=1), 0)


def test_seeds_are_those_of_the_problem_and_never_meet():
    config = GrpoConfig(prompts_per_step=3, group_size=4)
    prompts = [Prompt("a"), Prompt("b")]
    requests = step_requests(config, ["p", "q"], prompts, [0, 1, 0], step=5)
    seeds = [request.seed for request in requests]
    assert len(set(seeds)) == 12
    assert seeds[:4] + seeds[8:] == [seeds[0] + i for i in range(8)]
    assert max(seeds) < 2**63
    assert [request.prompt.text for request in requests[3:5]] == ["a", "b"]
    alone = step_requests(config, ["p", "q"], prompts, [1], step=5)
    assert [request.seed for request in alone] == seeds[4:8]
    assert step_requests(config, ["p", "q"], prompts, [1], step=6)[0].seed != seeds[4]


def test_rollouts_center_each_group_and_skip_those_without_a_difference():
    made = rollouts_of([1.0, 0.0, 2.0, 2.0])
    assert made.advantages.tolist() == [0.5, -0.5, 0.0, 0.0]
    assert made.trained.tolist() == [0, 1]
    assert made.metrics["zero_variance_groups"] == 1
    assert made.metrics["reward"] == 1.25
    kept = rollouts_of([1.0, 0.0, 2.0, 2.0], skip_zero_variance=False)
    assert kept.trained.tolist() == [0, 1, 2, 3]
    scaled = rollouts_of([1.0, 0.0, 2.0, 2.0], advantage_scale="group")
    assert float(scaled.advantages[0]) == pytest.approx(0.5 / (0.5**0.5 + 1e-4))


def test_cut_completions_count_in_the_group_but_can_be_left_out_of_the_update():
    completions = [completion([5, 6], "length"), completion([5, 1])]
    assert rollouts_of([0.0, 1.0], completions).trained.tolist() == [0, 1]
    masked = rollouts_of([0.0, 1.0], completions, mask_truncated=True)
    assert masked.trained.tolist() == [1]
    assert masked.advantages.tolist() == [-0.5, 0.5]
    assert masked.metrics["truncated"] == 0.5


def test_what_failed_or_could_not_be_judged_is_no_reward_of_zero():
    completions = [completion([5, 1]), completion([], "abort"), completion([5, 1]), completion([6])]
    made = rollouts_of([1.0, 0.0, 1.0, None], completions)
    assert made.advantages.tolist() == [0.0] * 4
    assert made.trained.tolist() == []
    assert made.metrics["reward"] == 1.0


def test_components_and_lengths_are_logged():
    judged = pl.DataFrame(
        {"reward": [1.0, 0.0], "accuracy": [True, False], "format": [0.5, 1.0], "text": ["a", "b"]}
    )
    made = make_rollouts(
        GrpoConfig(group_size=2), [[3], [3]], [completion([1]), completion([5, 5, 1])], judged
    )
    assert made.metrics["accuracy"] == 0.5
    assert made.metrics["format"] == 0.75
    assert "text" not in made.metrics
    assert (made.metrics["completion_tokens"], made.metrics["tokens"]) == (2.0, 4)
    assert made.documents.ids.tolist() == [3, 1, 3, 5, 5, 1]


def test_missing_sampler_logprobs_are_unknown():
    completions = [completion([5, 1], logprobs=[-1.0, -2.0]), completion([5, 6, 1])]
    grid = rollouts_of([0.0, 1.0], completions).sampler_logprobs
    assert grid[0, :2].tolist() == [-1.0, -2.0]
    assert grid.isnan().tolist() == [[False, False, True], [True, True, True]]


def test_a_reward_function_that_breaks_its_contract_is_named():
    with pytest.raises(BackendError, match="column reward"):
        make_rollouts(GrpoConfig(), [[1]], [completion([1])], pl.DataFrame({"score": [1.0]}))
    with pytest.raises(BackendError, match="gave 1 rows"):
        make_rollouts(
            GrpoConfig(), [[1]] * 2, [completion([1])] * 2, pl.DataFrame({"reward": [1.0]})
        )


def test_updates_use_each_completion_once_an_epoch():
    config = GrpoConfig(minibatches=3, epochs=2)
    parts = plan_updates(config, torch.arange(10) * 2, step=4)
    assert sorted(map(len, parts)) == [3, 3, 3, 3, 4, 4]
    first = torch.cat(parts[:3]).tolist()
    assert sorted(first) == sorted(torch.cat(parts[3:]).tolist()) == list(range(0, 20, 2))
    assert [len(p) for p in plan_updates(config, torch.arange(2), 0)] == [1, 1, 1, 1]
    assert plan_updates(config, torch.arange(0), 0) == []


def run(tiny, out, model=None, *, report=None, reward=None, rows=None, sample=None, **settings):
    model = model or tiny.llama()
    fast = tiny.tokenizer()
    config = GrpoConfig(**(SMALL | settings))
    rows = tiny.problems(QUESTIONS) if rows is None else rows
    sample = sample or tiny.sampler(model, fast)
    summary = train_grpo(
        config, rows, model, fast, sample, reward or tiny.share_of_sevens, out, report
    )
    return SimpleNamespace(model=model, summary=summary, log=lines(out))


@pytest.mark.engine
def test_a_step_is_that_of_a_plain_loop(tiny, tmp_path):
    """Rewards depend on the id sampled alone, so the step can be done again by hand."""
    drawn = []
    model = tiny.llama(2)
    real = tiny.sampler(model, tiny.tokenizer())

    def sample(requests, params):
        drawn.extend(real(requests, params))
        return list(drawn)

    done = run(tiny, tmp_path, model, sample=sample, steps=1, temperature=0.7, micro_batch=5)
    plain = tiny.llama(2)
    rewards = torch.tensor([c.token_ids.count(18) / len(c.token_ids) for c in drawn])
    advantages = (rewards.view(3, 4) - rewards.view(3, 4).mean(1, keepdim=True)).flatten()
    total = tokens = 0
    for number, (drew, advantage) in enumerate(zip(drawn, advantages, strict=True)):
        if not advantages.view(3, 4)[number // 4].any():
            continue  # a group without a difference counts no tokens
        ids = torch.tensor([drew.prompt_ids + drew.token_ids])
        start = len(drew.prompt_ids)
        logprobs = torch.log_softmax(plain(ids).logits[0] / 0.7, -1)
        for place in range(start, ids.shape[1]):
            total = total - advantage * logprobs[place - 1, ids[0, place]]
            tokens += 1
    (total / tokens).backward()
    norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
    torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0).step()
    [line] = done.log
    assert line["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
    assert line["reward"] == pytest.approx(float(rewards.mean()))
    for a, b in zip(done.model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-5)


@pytest.mark.engine
def test_metrics_and_the_folder(tiny, tmp_path):
    seen = []
    done = run(tiny, tmp_path, steps=3, minibatches=2, beta=0.1, report=seen.append)
    assert done.log == seen
    assert done.log[0].keys() == {
        "step", "kind", "loss", "learning_rate", "grad_norm", "tokens", "seconds", "reward",
        "sevens", "completion_tokens", "truncated", "zero_variance_groups", "trained",
        "sample_seconds", "clip_fraction", "entropy", "sampler_gap", "sampler_gap_mean", "kl",
    }  # fmt: skip
    assert [line["kind"] for line in done.log] == ["grpo"] * 3
    assert all(line["sampler_gap"] < 1e-5 for line in done.log)
    assert done.log[0]["entropy"] == pytest.approx(3.0, abs=0.2)  # ln 21 = 3.04: untrained
    assert done.log[2]["kl"] > 0
    assert same(AutoModelForCausalLM.from_pretrained(tmp_path), done.model)
    assert done.summary["tokens"] == sum(line["tokens"] for line in done.log)


@pytest.mark.engine
def test_the_sampler_sees_the_model_as_it_is_and_a_stale_one_shows(tiny, tmp_path):
    model, stale = tiny.llama(), tiny.llama()
    done = run(
        tiny,
        tmp_path,
        model,
        sample=tiny.sampler(stale, tiny.tokenizer()),
        steps=4,
        learning_rate=1e-2,
        skip_zero_variance=False,
    )
    gaps = [line["sampler_gap_mean"] for line in done.log]
    assert gaps[0] < 1e-5
    assert gaps[3] > 1e-3


@pytest.mark.engine
@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo"])
def test_the_step_does_not_depend_on_the_micro_batch(tiny, tmp_path, loss):
    settings = {"steps": 2, "loss": loss, "beta": 0.05, "minibatches": 2, "epochs": 2}
    whole = run(tiny, tmp_path / "a", micro_batch=64, **settings)
    split = run(tiny, tmp_path / "b", micro_batch=3, **settings)
    for ours, theirs in zip(whole.log, split.log, strict=True):
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
    for a, b in zip(whole.model.parameters(), split.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)
    assert not same(whole.model, tiny.llama())


@pytest.mark.engine
def test_later_passes_are_clipped_against_the_policy_that_sampled(tiny, tmp_path):
    once = run(tiny, tmp_path / "once", steps=1, learning_rate=0.05)
    often = run(tiny, tmp_path / "often", steps=1, learning_rate=0.05, epochs=4)
    assert once.log[0]["clip_fraction"] == 0
    assert often.log[0]["clip_fraction"] > 0.05
    assert often.log[0]["sampler_gap"] < 1e-5


@pytest.mark.engine
def test_nothing_to_learn_changes_nothing(tiny, tmp_path):
    def flat(rows, completions, prefills):
        return pl.DataFrame({"reward": [0.5] * len(rows)})

    done = run(tiny, tmp_path, reward=flat, steps=2)
    assert same(done.model, tiny.llama())
    assert [line["zero_variance_groups"] for line in done.log] == [3, 3]
    assert [line["loss"] for line in done.log] == [0, 0]
    assert done.log[0]["entropy"] is None


@pytest.mark.engine
def test_dropout_is_off(tiny, tmp_path):
    model = tiny.llama()
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    done = run(tiny, tmp_path, model, steps=1)
    assert done.log[0]["sampler_gap"] < 1e-5


@pytest.mark.engine
@pytest.mark.parametrize("way", ["sampling", "update", "crash"])
def test_resuming_gives_the_bits_of_a_run_that_was_never_stopped(tiny, tmp_path, way):
    settings = {"steps": 6, "minibatches": 2, "beta": 0.02, "checkpoint_every": 2}
    whole = run(tiny, tmp_path / "whole", **settings)
    model = tiny.llama()
    real, calls = tiny.sampler(model, tiny.tokenizer()), []

    def sample(requests, params):
        calls.append(len(requests))
        if len(calls) == 4 and way == "sampling":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        if len(calls) == 4 and way == "crash":
            raise OSError("out of memory")
        return real(requests, params)

    def in_update(module, *_):
        if len(calls) == 4 and module.training and way == "update":
            os.kill(os.getpid(), signal.SIGINT)

    hook = model.model.layers[1].register_forward_hook(in_update)
    with pytest.raises(OSError if way == "crash" else KeyboardInterrupt):
        run(tiny, tmp_path / "cut", model, sample=sample, **settings)
    hook.remove()
    # Ctrl-C while sampling drops step 4; during the update it waits for its end.
    expected = {"sampling": [2, 3], "update": [2, 4], "crash": [2]}[way]
    assert checkpoints(tmp_path / "cut" / "checkpoints") == expected
    resumed = run(tiny, tmp_path / "cut", **settings)
    assert resumed.summary["resumed_from"] == expected[-1]
    assert same(resumed.model, whole.model)
    timed = ("seconds", "sample_seconds")
    ours, theirs = (
        [{k: v for k, v in line.items() if k not in timed} for line in log]
        for log in (resumed.log, whole.log)
    )
    assert ours == theirs


@pytest.mark.engine
def test_unusable_corpora_and_samplers_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="problem_id"):
        run(tiny, tmp_path, rows=tiny.problems(QUESTIONS).drop("problem_id"))
    with pytest.raises(InputError, match="empty"):
        run(tiny, tmp_path, rows=tiny.problems(QUESTIONS).clear())
    with pytest.raises(BackendError, match="gave 0 completions for 12"):
        run(tiny, tmp_path, sample=lambda *_: [])


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = []

    def interrupted_block():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        interrupted_block()
    assert done == [1]
    with uninterrupted():
        done.append(2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def dense_curve(tiny, out, seed, reward, scale=1.0):
    """Mean reward of each step, from a model that was never trained."""
    model = tiny.llama(seed, hidden=64)

    def scored(rows, completions, prefills):
        return reward(rows, completions, prefills).with_columns(pl.col("reward") * scale)

    done = run(
        tiny,
        out,
        model,
        sample=tiny.sampler(model, tiny.tokenizer(), eos=None),
        reward=scored,
        rows=tiny.problems([f"{i} + 1" for i in range(8)]),
        steps=30,
        prompts_per_step=8,
        group_size=16,
        max_completion_tokens=3,
        learning_rate=3e-3,
        seed=seed,
    )
    return [line["sevens"] for line in done.log]


@pytest.mark.engine
@pytest.mark.parametrize("seed", [0, 1])
def test_a_dense_reward_is_learnt_from_random_weights(tiny, tmp_path, seed):
    curve = dense_curve(tiny, tmp_path, seed, tiny.share_of_sevens)
    assert sum(curve[:2]) / 2 < 0.3
    assert sum(curve[25:]) / 5 >= 0.9


@pytest.mark.engine
def test_negated_rewards_unlearn_it(tiny, tmp_path):
    curve = dense_curve(tiny, tmp_path, 0, tiny.share_of_sevens, scale=-1.0)
    assert max(curve) < 0.5
    assert sum(curve[25:]) / 5 < 0.02


@pytest.mark.engine
def test_shuffled_rewards_do_not_teach_it(tiny, tmp_path):
    generator = torch.Generator().manual_seed(3)

    def shuffled(rows, completions, prefills):
        frame = tiny.share_of_sevens(rows, completions, prefills)
        order = torch.randperm(len(frame), generator=generator).tolist()
        return frame.with_columns(reward=frame["reward"][order])

    assert max(dense_curve(tiny, tmp_path, 0, shuffled)) < 0.5
