import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.errors import ConfigError
from r1data.train.losses import (
    group_advantages,
    grpo_loss,
    k3,
    policy_metrics,
    sampler_weight,
    sft_loss,
    token_logprobs,
)

ONE = torch.ones(1)


def one_token(ratio: float, advantage: float, **options: float) -> tuple[float, float]:
    """Loss and gradient (with respect to the log-probability) of a single token."""
    logprobs = torch.tensor([[math.log(ratio)]], requires_grad=True)
    loss = grpo_loss(
        logprobs, torch.zeros(1, 1), torch.tensor([advantage]), torch.ones(1, 1), **options
    )
    loss.backward()
    return float(loss.detach()), float(logprobs.grad)


def test_advantages_use_the_unbiased_deviation():
    advantages = group_advantages([1.0, 0.0, 0.0, 1.0], [7, 7, 7, 7])
    expected = 0.5 / (math.sqrt(1 / 3) + 1e-4)
    assert expected == pytest.approx(0.86588, abs=1e-5)
    assert advantages.tolist() == pytest.approx([expected, -expected, -expected, expected])
    assert advantages.dtype == torch.float32


def test_advantages_of_interleaved_groups_and_no_scale():
    rewards = torch.tensor([3.0, 10.0, 1.0, 20.0])
    by_name = group_advantages(rewards, ["a", "b", "a", "b"], scale="none")
    by_number = group_advantages(rewards, torch.tensor([5, -2, 5, -2]), scale="none")
    assert by_name.tolist() == by_number.tolist() == [1.0, -5.0, -1.0, 5.0]


@pytest.mark.parametrize("scale", ["group", "none"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1.1, 1e6 / 3])
def test_equal_rewards_and_singletons_get_exactly_zero(scale, value):
    groups = ["a"] * 7 + ["alone"]
    assert group_advantages([value] * 7 + [3.0], groups, scale).tolist() == [0.0] * 8


def test_a_completion_that_could_not_be_judged_takes_no_part():
    advantages = group_advantages([1.0, float("nan"), 0.0], [0, 0, 0], scale="none")
    assert advantages.tolist() == [0.5, 0.0, -0.5]
    assert group_advantages([float("nan")] * 2, [0, 0]).tolist() == [0.0, 0.0]


def test_unknown_scale_is_refused():
    with pytest.raises(ConfigError, match="batch"):
        group_advantages([1.0], [0], scale="batch")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-8, 8)), min_size=1, max_size=24),
    st.integers(-5, 5),
)
def test_advantages_sum_to_zero_and_ignore_a_shift(pairs, shift):
    groups = [g for g, _ in pairs]
    rewards = torch.tensor([float(r) for _, r in pairs])
    advantages = group_advantages(rewards, groups)
    for group in set(groups):
        chosen = torch.tensor([g == group for g in groups])
        assert float(advantages[chosen].sum()) == pytest.approx(0, abs=1e-4)
    assert torch.allclose(advantages, group_advantages(rewards + shift, groups), atol=1e-5)


def test_k3_values_and_gradient():
    logprobs = torch.tensor([0.0, 0.0, -1.0], requires_grad=True)
    reference = torch.tensor([math.log(2), 0.0, -3.0])
    values = k3(logprobs, reference)
    expected = [0.306853, 0.0, math.exp(-2) + 2 - 1]
    assert values.tolist() == pytest.approx(expected, abs=1e-6)
    values.sum().backward()
    assert logprobs.grad.tolist() == pytest.approx([-1.0, 0.0, 1 - math.exp(-2)])


@settings(max_examples=50, deadline=None)
@given(st.floats(-20, 3), st.floats(-20, 3))
def test_k3_is_never_negative(policy, reference):
    assert float(k3(torch.tensor(policy).double(), torch.tensor(reference).double())) >= 0


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.5, 1.0, -1.28, 0.0),  # above the upper bound: cut
        (0.5, -1.0, 0.8, 0.0),  # below the lower bound: cut
        (5.0, -1.0, 5.0, 5.0),  # a bad token that grew likelier is never cut
        (0.5, 1.0, -0.5, -0.5),  # a good token that grew rarer is never cut
        (1.0, 2.0, -2.0, -2.0),
    ],
)
def test_clip(ratio, advantage, loss, gradient):
    assert one_token(ratio, advantage) == pytest.approx((loss, gradient), abs=1e-6)


def test_the_papers_clip_of_ten_is_reachable():
    loss, gradient = one_token(9.0, 1.0, clip_low=1.0, clip_high=10.0)
    assert (loss, gradient) == pytest.approx((-9.0, -9.0), abs=1e-5)


def two_and_eight(**options: object) -> float:
    """Sequences of 2 and 8 tokens whose per-token losses are 1 and 0."""
    mask = torch.tensor([[1] * 2 + [0] * 6, [1] * 8])
    zeros = torch.zeros(2, 8)
    return float(grpo_loss(zeros, zeros, torch.tensor([-1.0, 0.0]), mask, **options))


def test_length_normalisation():
    assert two_and_eight(loss="grpo") == pytest.approx(0.5)
    assert two_and_eight(loss="dapo") == pytest.approx(0.2)
    assert two_and_eight(loss="dr_grpo", max_completion_tokens=10) == pytest.approx(0.1)
    assert two_and_eight() == pytest.approx(0.2)
    assert two_and_eight(total_tokens=20) == pytest.approx(0.1)
    assert two_and_eight(total_tokens=torch.tensor(40)) == pytest.approx(0.05)


def test_faulty_settings_are_refused():
    with pytest.raises(ConfigError, match="max_completion_tokens"):
        two_and_eight(loss="dr_grpo")
    with pytest.raises(ConfigError, match="ref_logprobs"):
        two_and_eight(beta=0.1)
    with pytest.raises(ConfigError, match="ppo"):
        two_and_eight(loss="ppo")


def test_on_policy_value_is_zero_but_the_gradient_is_not():
    logprobs = torch.randn(4, 3, requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 0.5, -0.5])
    loss = grpo_loss(logprobs, logprobs.detach(), advantages, torch.ones(4, 3))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-7)
    expected = (-advantages / 12).unsqueeze(1).expand(4, 3)
    assert torch.allclose(logprobs.grad, expected)


def test_equal_rewards_leave_only_the_kl_gradient():
    logprobs = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    reference = torch.tensor([[-1.5, -1.0]])
    options = {"ref_logprobs": reference, "beta": 0.5}
    grpo_loss(logprobs, logprobs.detach(), torch.zeros(1), torch.ones(1, 2), **options).backward()
    expected = 0.5 * (1 - torch.exp(reference - logprobs.detach())) / 2
    assert torch.allclose(logprobs.grad, expected)
    logprobs.grad = None
    grpo_loss(logprobs, logprobs.detach(), torch.zeros(1), torch.ones(1, 2)).backward()
    assert logprobs.grad.tolist() == [[0.0, 0.0]]


def test_dapo_does_not_depend_on_the_split():
    torch.manual_seed(1)
    logprobs, old = torch.randn(4, 6), torch.randn(4, 6)
    advantages = torch.randn(4)
    mask = torch.arange(6) < torch.tensor([[6], [1], [3], [2]])
    whole = grpo_loss(logprobs, old, advantages, mask)
    parts = [
        grpo_loss(logprobs[r], old[r], advantages[r], mask[r], total_tokens=12)
        for r in (slice(0, 1), slice(1, 4))
    ]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-6)
    own = [
        grpo_loss(logprobs[r], old[r], advantages[r], mask[r]) for r in (slice(0, 2), slice(2, 4))
    ]
    assert abs(float(sum(own)) / 2 - float(whole)) > 1e-3


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo"])
def test_nothing_at_padding_reaches_loss_or_gradient(loss):
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    clean = torch.full((3, 3), -1.0)
    dirty = clean.masked_fill(mask == 0, float("inf"))
    nan = clean.masked_fill(mask == 0, float("nan"))
    advantages = torch.tensor([1.0, -2.0, 3.0])
    results = []
    for filler in (clean, dirty, nan):
        logprobs = filler.clone().requires_grad_()
        value = grpo_loss(
            logprobs,
            clean - 0.1,
            advantages,
            mask,
            loss=loss,
            ref_logprobs=filler,
            beta=0.1,
            sampler_logprobs=filler,
            max_completion_tokens=3,
        )
        value.backward()
        assert torch.isfinite(logprobs.grad).all()
        results.append((float(value.detach()), logprobs.grad.tolist()))
    assert results[0] == results[1] == results[2]


def test_all_masked_is_zero_with_zero_gradients():
    for loss in ("grpo", "dr_grpo", "dapo"):
        logprobs = torch.randn(2, 3, requires_grad=True)
        mask = torch.zeros(2, 3)
        value = grpo_loss(
            logprobs, logprobs.detach(), torch.ones(2), mask, loss=loss, max_completion_tokens=3
        )
        value.backward()
        assert float(value.detach()) == 0
        assert logprobs.grad.abs().sum() == 0


def test_sampler_weight_is_truncated_and_ignores_unknowns():
    old = torch.tensor([0.0, math.log(4), math.log(0.5), 0.0])
    sampler = torch.tensor([0.0, 0.0, 0.0, float("nan")])
    assert sampler_weight(old, sampler).tolist() == pytest.approx([1.0, 2.0, 0.5, 1.0])


def test_sampler_weight_scales_the_policy_term_but_not_the_kl_term():
    old = torch.full((1, 1), math.log(4) - 3)
    options = {"sampler_logprobs": torch.full((1, 1), -3.0)}
    assert float(grpo_loss(old, old, ONE, torch.ones(1, 1), **options)) == pytest.approx(-2.0)
    options |= {"ref_logprobs": old + math.log(2), "beta": 1.0}
    loss = float(grpo_loss(old, old, ONE, torch.ones(1, 1), **options))
    assert loss == pytest.approx(-2.0 + 0.306853, abs=1e-5)


def test_policy_metrics_count_what_the_clip_cut():
    ratios = torch.tensor([[1.5, 1.1, 0.5], [0.5, 1.5, 9.0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    metrics = policy_metrics(ratios.log(), torch.zeros(2, 3), torch.tensor([1.0, -1.0]), mask)
    assert (int(metrics.tokens), int(metrics.clipped), float(metrics.kl)) == (5, 2, 0.0)


def test_sft_loss_is_the_masked_token_mean():
    logits = torch.randn(2, 5, 11, requires_grad=True)
    ids = torch.randint(0, 11, (2, 5))
    mask = torch.tensor([[0, 1, 1, 1, 0], [0, 0, 1, 0, 0]])
    loss = sft_loss(token_logprobs(logits, ids), mask)
    labels = ids.masked_fill(mask == 0, -100)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    halved = sft_loss(token_logprobs(logits, ids), mask, total_tokens=8)
    assert float(halved.detach()) == pytest.approx(float(expected.detach()) / 2, rel=1e-6)
    nothing = sft_loss(token_logprobs(logits, ids), torch.zeros(2, 5))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert logits.grad.abs().sum() == 0


def test_temperature_stands_inside_the_logprob():
    logits = torch.randn(3, 4, 9)
    ids = torch.randint(0, 9, (3, 4))
    assert torch.allclose(
        token_logprobs(logits, ids, 0.7), token_logprobs(2 * logits, ids, 1.4), atol=1e-6
    )
    by_hand = torch.log_softmax(logits / 0.7, -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(token_logprobs(logits, ids, 0.7), by_hand, atol=1e-6)
    with pytest.raises(ConfigError, match="temperature"):
        token_logprobs(logits, ids, 0.0)


def test_chunks_and_half_precision_give_the_same_logprobs(monkeypatch):
    logits = torch.randn(40, 16, requires_grad=True)
    ids = torch.randint(0, 16, (40,))
    whole = token_logprobs(logits, ids)
    monkeypatch.setattr("r1data.train.losses._CHUNK_ELEMENTS", 48)
    chunked = token_logprobs(logits, ids)
    assert torch.equal(whole, chunked)
    half = token_logprobs(logits.bfloat16(), ids)
    assert half.dtype == torch.float32
    assert torch.allclose(half, token_logprobs(logits.bfloat16().float(), ids))


def test_losses_are_the_closed_forms_on_ragged_masks():
    torch.manual_seed(0)
    logprobs = -torch.rand(3, 4)
    old, reference = logprobs + 0.3 * torch.randn(3, 4), logprobs + 0.3 * torch.randn(3, 4)
    advantages = torch.tensor([1.0, -0.5, 0.2])
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]])
    ratio = (logprobs - old).exp()
    bounded = ratio.clamp(0.8, 1.28)
    x = reference - logprobs
    token = -torch.min(ratio * advantages[:, None], bounded * advantages[:, None])
    token = (token + 0.04 * (x.exp() - x - 1)) * mask
    expected = {
        "grpo": (token.sum(1) / mask.sum(1)).mean(),
        "dr_grpo": token.sum() / (3 * 8),
        "dapo": token.sum() / 9,
    }
    for loss, value in expected.items():
        ours = grpo_loss(
            logprobs, old, advantages, mask, loss=loss, ref_logprobs=reference, beta=0.04,
            max_completion_tokens=8,
        )  # fmt: skip
        assert float(ours) == pytest.approx(float(value), rel=1e-5)
