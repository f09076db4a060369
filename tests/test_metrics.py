import itertools
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data import metrics
from r1data.core.errors import ConfigError, InputError
from r1data.core.records import EvalRow, polars_schema


@st.composite
def counts(draw):
    samples = draw(st.integers(1, 64))
    return draw(st.integers(0, samples)), samples


@pytest.mark.parametrize("samples", range(1, 7))
def test_pass_at_k_is_the_share_of_draws_that_hold_a_correct_sample(samples):
    for correct in range(samples + 1):
        bag = [True] * correct + [False] * (samples - correct)
        for k in range(1, samples + 1):
            draws = list(itertools.combinations(bag, k))
            exact = Fraction(sum(any(draw) for draw in draws), len(draws))
            assert metrics.pass_at_k(correct, samples, k) == pytest.approx(float(exact), abs=1e-15)


@given(counts())
def test_pass_at_k_grows_with_k_from_the_share_of_correct_samples(pair):
    correct, samples = pair
    values = [metrics.pass_at_k(correct, samples, k) for k in range(1, samples + 1)]
    assert values[0] == pytest.approx(correct / samples)
    assert values == sorted(values)
    assert values[-1] == (1.0 if correct else 0.0)


@given(counts(), st.data())
def test_pass_at_k_grows_with_the_number_correct(pair, data):
    correct, samples = pair
    k = data.draw(st.integers(1, samples))
    if correct < samples:
        more = metrics.pass_at_k(correct + 1, samples, k)
        assert metrics.pass_at_k(correct, samples, k) <= more


@pytest.mark.parametrize("bad", [(1, 4, 5), (1, 4, 0), (5, 4, 1), (-1, 4, 1), (0, 0, 1)])
def test_pass_at_k_refuses_what_it_cannot_estimate(bad):
    with pytest.raises(ConfigError):
        metrics.pass_at_k(*bad)


def test_pass_at_k_keeps_its_digits_for_many_samples():
    # 1 - (1 - c/n)^k would be 0.6340 here; the unbiased value is 1 - 190/200 * ... exactly.
    exact = 1 - Fraction(Fraction(1) * 190 * 189 * 188, Fraction(1) * 200 * 199 * 198)
    assert metrics.pass_at_k(10, 200, 3) == pytest.approx(float(exact), abs=1e-15)


def same_number(a, b):
    return float(a) == float(b)


@pytest.mark.parametrize(
    ("answers", "index"),
    [
        (["7", "8", "8.0"], 1),
        (["7", "8", "7.0", "8.0"], 0),
        ([None, None, None, "3"], 3),
        ([None, "5", None], 1),
        ([None, None], None),
        ([], None),
        (["1", "2", "2", "1.0", "1"], 0),
    ],
)
def test_consensus_counts_equivalent_answers_together(answers, index):
    assert metrics.consensus(answers, same_number) == index


def test_consensus_compares_identical_texts_once():
    asked = []

    def equivalent(a, b):
        asked.append((a, b))
        return False

    assert metrics.consensus(["x", "y", "x", "y", "y"], equivalent) == 1
    assert asked == [("x", "y")]


@given(st.lists(st.sampled_from(["1", "1.0", "2", "3", None]), max_size=12))
def test_consensus_names_a_class_that_no_class_outvotes(answers):
    index = metrics.consensus(answers, same_number)
    values = [float(a) for a in answers if a is not None]
    if index is None:
        assert values == []
        return
    winner = float(answers[index])
    assert values.count(winner) == max(values.count(v) for v in values)
    assert answers[:index].count(answers[index]) == 0


def test_bootstrap_interval_is_deterministic_and_close_to_the_normal_one():
    values = [1.0] * 120 + [0.0] * 180
    first = metrics.bootstrap_interval(values, resamples=4000)
    assert first == metrics.bootstrap_interval(values, resamples=4000)
    assert first != metrics.bootstrap_interval(values, resamples=4000, seed=1)
    assert first.value == pytest.approx(0.4)
    half = 1.959964 * (0.4 * 0.6 / 300) ** 0.5
    assert first.low == pytest.approx(0.4 - half, abs=0.006)
    assert first.high == pytest.approx(0.4 + half, abs=0.006)


def test_bootstrap_interval_does_not_depend_on_how_draws_are_chunked(monkeypatch):
    values = [float(v % 7) for v in range(50)]
    whole = metrics.bootstrap_interval(values, resamples=200)
    monkeypatch.setattr(metrics, "_DRAWS", 50 * 3)
    assert metrics.bootstrap_interval(values, resamples=200) == whole


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.floats(0.5, 0.99))
def test_bootstrap_interval_stays_inside_the_values(values, level):
    interval = metrics.bootstrap_interval(values, level=level, resamples=50)
    tolerance = 1e-9
    assert min(values) - tolerance <= interval.low <= interval.high <= max(values) + tolerance


def test_a_wider_level_gives_a_wider_interval():
    values = [float(v) for v in range(40)]
    narrow = metrics.bootstrap_interval(values, level=0.5)
    wide = metrics.bootstrap_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_weights_weigh():
    interval = metrics.bootstrap_interval([0.0, 1.0], weights=[1.0, 3.0])
    assert interval.value == 0.75
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    "options",
    [{"level": 1.0}, {"resamples": 0}, {"weights": [1.0]}, {"weights": [1.0, 0.0]}],
)
def test_bootstrap_interval_refuses_settings_out_of_range(options):
    with pytest.raises(ConfigError):
        metrics.bootstrap_interval([0.0, 1.0], **options)


def test_bootstrap_interval_refuses_no_values():
    with pytest.raises(InputError):
        metrics.bootstrap_interval([])


def test_paired_difference_sees_what_two_intervals_hide():
    easy = [float(v % 2) for v in range(60)]
    harder = [max(0.0, v - 0.1) for v in easy]
    difference = metrics.paired_difference(easy, harder)
    assert difference.value == pytest.approx(0.05)
    assert difference.low > 0
    apart = metrics.bootstrap_interval(easy)
    assert apart.low < metrics.bootstrap_interval(harder).high
    with pytest.raises(InputError):
        metrics.paired_difference([1.0], [1.0, 2.0])


def eval_rows(**columns):
    length = len(columns["correct"])
    base = {
        "problem_id": [f"p{i}" for i in range(length)],
        "language": ["ko"] * length,
        "samples": [4] * length,
        "consensus_correct": [True] * length,
        "language_consistency": [1.0] * length,
        "mixed": [0] * length,
        "well_formed": [4] * length,
        "readable": [4] * length,
        "good": [4] * length,
        "completion_tokens": [10.0] * length,
    }
    return pl.DataFrame({**base, **columns}, schema=polars_schema(EvalRow))


def test_summarise_gives_the_mean_over_problems_of_each_metric():
    rows = eval_rows(
        correct=[4, 1, 0],
        consensus_correct=[True, False, None],
        language_consistency=[1.0, 0.5, None],
        mixed=[0, 2, 1],
        well_formed=[4, 2, 0],
        readable=[4, 1, 0],
        good=[4, 1, 0],
        completion_tokens=[10.0, 20.0, 60.0],
    )
    summary = metrics.summarise(rows, resamples=100)
    assert tuple(summary) == metrics.METRICS
    assert {name: round(i.value, 6) for name, i in summary.items()} == {
        "pass@1": round(5 / 12, 6),
        "pass@k": round(2 / 3, 6),
        "cons@k": round(1 / 3, 6),
        "language_consistency": 0.75,
        "mixed": 0.25,
        "format": 0.5,
        "readable": round(5 / 12, 6),
        "good": round(5 / 12, 6),
        "completion_tokens": 30.0,
    }
    assert all(i.low <= i.value <= i.high for i in summary.values())


def test_summarise_leaves_out_a_metric_nobody_has_and_takes_the_smallest_k():
    rows = eval_rows(correct=[1, 1], samples=[2, 4], language_consistency=[None, None])
    summary = metrics.summarise(rows, resamples=10)
    assert "language_consistency" not in summary
    assert summary["pass@k"].value == pytest.approx((1.0 + 0.5) / 2)
    with pytest.raises(InputError):
        metrics.summarise(rows.clear())
