import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1data.backends.decoding import UNIFORM_BLOCK, draw, nucleus, stream, uniforms

PROBABILITIES = [0.5, 0.2, 0.2, 0.1]
LOGITS = torch.tensor([PROBABILITIES]).log()


def drawn(uniform: float, temperature: float = 1.0, top_p: float = 1.0) -> tuple[int, float]:
    tokens, logprobs = draw(
        LOGITS, torch.tensor([uniform], dtype=torch.float64), temperature, top_p
    )
    return int(tokens[0]), float(logprobs[0])


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 0), (0.49, 0), (0.51, 1), (0.71, 2), (0.91, 3), (1 - 2**-53, 3)]
)
def test_draw_inverts_the_cumulative_distribution(uniform: float, token: int) -> None:
    assert drawn(uniform) == (token, pytest.approx(math.log(PROBABILITIES[token]), abs=1e-6))


def test_temperature_is_inside_the_logprob() -> None:
    squares = [p**2 for p in PROBABILITIES]  # temperature 1/2 squares the probabilities
    token, logprob = drawn(0.99, temperature=0.5)
    assert token == 3
    assert logprob == pytest.approx(math.log(0.01 / sum(squares)), abs=1e-6)


def test_temperature_zero_takes_the_largest_logit_whatever_the_uniform() -> None:
    assert drawn(0.999, temperature=0) == (0, pytest.approx(math.log(0.5), abs=1e-6))


def test_top_p_renormalises_and_keeps_ties_with_the_least_likely_member() -> None:
    # The mass .6 needs one of the two tokens at .2; the other ties with it, so both belong.
    token, logprob = drawn(0.999, top_p=0.6)
    assert token == 2
    assert logprob == pytest.approx(math.log(0.2 / 0.9), abs=1e-6)
    assert drawn(0.999, top_p=0.3) == (0, pytest.approx(0.0, abs=1e-6))


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    logits = torch.tensor([[0.0, -math.inf, 0.0, -math.inf]])
    for uniform in (0.0, 0.5 - 2**-53, 0.5, 1 - 2**-53):
        tokens, _ = draw(logits, torch.tensor([uniform], dtype=torch.float64), 1.0, 1.0)
        assert int(tokens[0]) == (0 if uniform < 0.5 else 2)


def test_draws_follow_the_distribution() -> None:
    uniform = torch.from_numpy(uniforms(stream(7), 20_000))
    tokens, _ = draw(LOGITS.expand(20_000, -1), uniform, 1.0, 1.0)
    shares = torch.bincount(tokens, minlength=4) / 20_000
    assert shares.tolist() == pytest.approx(PROBABILITIES, abs=0.012)  # 3 standard errors


@given(
    st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=40),
    st.floats(0.01, 0.99),
)
def test_nucleus_is_the_smallest_set_that_reaches_the_mass(row: list[float], top_p: float) -> None:
    logprobs = torch.log_softmax(torch.tensor([row], dtype=torch.float32), -1)
    kept = nucleus(logprobs, top_p)
    inside = kept[0] > -math.inf
    mass = logprobs[0].double().exp()
    assert kept.double().exp().sum() == pytest.approx(1, abs=1e-5)
    assert mass[inside].sum() >= top_p - 1e-5
    # Without its least likely members it would fall short, and nothing outside is likelier.
    least = mass[inside].min()
    assert mass[inside & (mass > least)].sum() < top_p + 1e-5
    assert not inside.logical_not().any() or mass[~inside].max() < least


def test_nucleus_of_a_flat_row_goes_past_the_first_candidates() -> None:
    flat = torch.zeros(1, 4096)
    peaked = torch.zeros(1, 4096)
    peaked[0, 5] = 30.0
    kept = nucleus(torch.log_softmax(torch.cat([flat, peaked]), -1), 0.9) > -math.inf
    assert kept.sum(-1).tolist() == [4096, 1]  # all tie in the flat row
    slope = torch.log_softmax(torch.linspace(0, 0.001, 4096)[None], -1)
    kept = nucleus(slope, 0.5)[0] > -math.inf
    assert kept.sum() == pytest.approx(2048, abs=2)
    assert kept[-1]
    assert not kept[0]


def test_streams_are_pinned_and_differ_by_seed() -> None:
    # Pinned, so that a seed of today draws the same sample with every later version.
    first = uniforms(stream(0), 3)
    assert first.tolist() == uniforms(stream(0), 3).tolist()
    assert first.tolist() == [0.011546754286331562, 0.24154919656271812, 0.11142585551493822]
    assert not np.intersect1d(uniforms(stream(1), 1000), uniforms(stream(2), 1000)).size
    assert uniforms(stream(-1), 2).tolist() == uniforms(stream(2**64 - 1), 2).tolist()


def test_a_stream_goes_on_where_it_stopped() -> None:
    whole = uniforms(stream(3), 2 * UNIFORM_BLOCK)
    parts = stream(3)
    pieces = [uniforms(parts, UNIFORM_BLOCK), uniforms(parts, UNIFORM_BLOCK)]
    assert np.concatenate(pieces).tolist() == whole.tolist()
