"""Statistics of an evaluation: pure functions from counts and answers to numbers with intervals.

Every interval is a percentile bootstrap over problems, since the samples of one problem are not
independent of each other. Shares are in [0, 1].
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from r1data.core.errors import ConfigError, InputError

METRICS = (
    "pass@1",
    "pass@k",
    "cons@k",
    "language_consistency",
    "mixed",
    "format",
    "readable",
    "good",
    "completion_tokens",
)
"""Keys of `summarise`, in the order of a table; k is the number of samples a problem."""

# Draws held in memory at once: 4M of 8 bytes each is 32 MB.
_DRAWS = 4_000_000


class Interval(NamedTuple):
    """A mean and the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def pass_at_1(correct: int, samples: int) -> float:
    """Return the share of correct samples of one problem."""
    return pass_at_k(correct, samples, 1)


def pass_at_k(correct: int, samples: int, k: int) -> float:
    """Return the chance that at least one of k samples is correct, drawn without replacement.

    The unbiased estimator 1 - C(n - c, k) / C(n, k) of Chen et al. 2021 (arXiv 2107.03374, eq. 1).
    Raises ConfigError unless 0 <= correct <= samples and 1 <= k <= samples.
    """
    if not 0 <= correct <= samples:
        raise ConfigError(f"{correct} of {samples} samples cannot be correct")
    if not 1 <= k <= samples:
        raise ConfigError(f"pass@{k} needs at least {k} samples of a problem, but it has {samples}")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def consensus(answers: Sequence[str | None], equivalent: Callable[[str, str], bool]) -> int | None:
    """Return the index of the first answer of the largest class, or None if nobody answered.

    Classes are formed by comparing each answer with the first member of every class so far, in
    order; identical texts are compared once. A missing answer has no vote. Of equally large
    classes the one seen first wins.
    """
    firsts: list[int] = []
    votes: list[int] = []
    known: dict[str, int] = {}
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        if answer not in known:
            known[answer] = next(
                (c for c, first in enumerate(firsts) if equivalent(answers[first] or "", answer)),
                len(firsts),
            )
        group = known[answer]
        if group == len(firsts):
            firsts.append(index)
            votes.append(0)
        votes[group] += 1
    return firsts[votes.index(max(votes))] if votes else None


def bootstrap_interval(
    values: Sequence[float],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> Interval:
    """Return the (weighted) mean of one value a problem, with its percentile bootstrap interval.

    The same seed draws the same problems, so that metrics of one evaluation share their resamples.
    Raises InputError for no values, ConfigError for a level, a count or weights out of range.
    """
    if not values:
        raise InputError("no problem has a value, so there is no mean to give an interval to")
    if not 0 < level < 1 or resamples < 1:
        raise ConfigError(f"level {level} must lie between 0 and 1, resamples {resamples} above 0")
    if weights is not None and (len(weights) != len(values) or min(weights) <= 0):
        raise ConfigError("weights must be positive, one for each value")
    import numpy

    count = len(values)
    value = numpy.asarray(values, dtype=numpy.float64)  # (problems,)
    weight = numpy.ones(count) if weights is None else numpy.asarray(weights, dtype=numpy.float64)
    generator = numpy.random.default_rng(seed)
    means = []
    chunk = max(1, _DRAWS // count)
    for start in range(0, resamples, chunk):
        shape = (min(chunk, resamples - start), count)
        drawn = generator.integers(0, count, size=shape)  # (resamples, problems)
        means.append((value * weight)[drawn].sum(axis=1) / weight[drawn].sum(axis=1))
    tail = (1 - level) / 2
    low, high = numpy.quantile(numpy.concatenate(means), [tail, 1 - tail])
    return Interval(float((value * weight).sum() / weight.sum()), float(low), float(high))


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> Interval:
    """Return the mean of a - b over the same problems in the same order, with its interval.

    Raises InputError if a and b are not equally long, and what `bootstrap_interval` raises.
    """
    if len(a) != len(b):
        raise InputError(f"a has {len(a)} problems and b {len(b)}; give both the same problems")
    differences = [x - y for x, y in zip(a, b, strict=True)]
    return bootstrap_interval(
        differences, level=level, resamples=resamples, seed=seed, weights=weights
    )


def per_problem(rows: pl.DataFrame) -> dict[str, list[float | None]]:
    """Return every metric of `METRICS` for each row of core.records.EvalRow, in their order.

    k of pass@k is the smallest number of samples of any problem. A problem whose samples hold no
    answer has no consensus, which counts as wrong; one without reasoning has a null consistency.
    """
    if rows.is_empty():
        raise InputError("the evaluation has no rows; run `r1data eval` again")
    samples = rows["samples"].to_list()
    correct = rows["correct"].to_list()
    k = min(samples)
    out: dict[str, list[float | None]] = {
        "pass@1": [pass_at_1(c, n) for c, n in zip(correct, samples, strict=True)],
        "pass@k": [pass_at_k(c, n, k) for c, n in zip(correct, samples, strict=True)],
        "cons@k": rows["consensus_correct"].fill_null(False).cast(pl.Float64).to_list(),
        "language_consistency": rows["language_consistency"].to_list(),
    }
    for name, column in (
        ("mixed", "mixed"),
        ("format", "well_formed"),
        ("readable", "readable"),
        ("good", "good"),
    ):
        out[name] = (rows[column] / rows["samples"]).to_list()
    out["completion_tokens"] = rows["completion_tokens"].to_list()
    return out


def summarise(
    rows: pl.DataFrame, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Return the mean of every metric over problems, with intervals, by the names in `METRICS`.

    Language consistency is the mean over problems that have one; it is left out if none has.
    Raises InputError for a table without rows.
    """
    out = {}
    for name, values in per_problem(rows).items():
        known = [value for value in values if value is not None]
        if known:
            out[name] = bootstrap_interval(known, level=level, resamples=resamples, seed=seed)
    return out
