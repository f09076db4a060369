import math

import pytest
import torch

from r1data.core.errors import ConfigError
from r1data.train.optimise import build_optimizer, learning_rate, optimiser_step
from r1data.train.settings import TrainConfig


def rates(total: int, **settings: object) -> list[float]:
    config = TrainConfig(learning_rate=1.0, **settings)
    return [learning_rate(step, total, config) for step in range(total)]


def test_constant_after_a_rise():
    assert rates(6, schedule="constant", warmup=0.5) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1])


def test_linear_and_cosine_fall_to_the_ratio():
    assert rates(4, schedule="linear", min_ratio=0.0) == pytest.approx([1, 0.75, 0.5, 0.25])
    cosine = rates(4, schedule="cosine", min_ratio=0.1)
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)]
    assert cosine == pytest.approx(expected)
    assert learning_rate(1000, 1000, TrainConfig(learning_rate=1.0)) == pytest.approx(0.1)


def test_weight_decay_is_for_matrices_only():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(model, TrainConfig(learning_rate=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser_step(model, optimizer, 0.1, 1.0)
    for name, parameter in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if parameter.ndim == 2 else 1.0
        assert torch.allclose(parameter, factor * before[name])


def test_the_norm_is_that_before_the_clip_and_infinities_change_nothing():
    model = torch.nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    torch.nn.init.zeros_(model.weight)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    assert optimiser_step(model, optimizer, 0.5, 1.0) == pytest.approx(5.0)
    assert model.weight.tolist() == [pytest.approx([-0.3, -0.4])]
    model.weight.grad = torch.tensor([[float("nan"), 0.0]])
    with pytest.raises(ConfigError, match="nan"):
        optimiser_step(model, optimizer, 0.5, 1.0)
    assert model.weight.tolist() == [pytest.approx([-0.3, -0.4])]
