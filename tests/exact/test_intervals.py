"""Laws of intervals and of simulated coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bnnbook.exact import intervals
from bnnbook.exact.beta_binomial import Beta
from bnnbook.exact.intervals import Interval

shapes = st.floats(1.01, 400.0)
levels = st.floats(0.01, 0.99)


@given(shapes, shapes, levels)
def test_both_kinds_hold_their_probability(a, b, level):
    beta = Beta(a, b)
    for interval in (beta.central_interval(level), beta.highest_density_interval(level)):
        assert beta.cdf(interval.upper) - beta.cdf(interval.lower) == pytest.approx(level, abs=1e-9)


@given(shapes, shapes, levels)
def test_highest_density_interval_is_never_the_longer_one(a, b, level):
    beta = Beta(a, b)
    central, shortest = beta.central_interval(level), beta.highest_density_interval(level)
    assert shortest.width <= central.width + 1e-12


def equal_height(interval, beta):
    lower, upper = beta.density(interval.lower), beta.density(interval.upper)
    return abs(lower - upper) / beta.density(beta.mode)


def test_highest_density_interval_ends_at_equal_density():
    beta = Beta(3.0, 11.0)
    assert equal_height(beta.highest_density_interval(0.9), beta) < 1e-4
    # Mutation: the central interval of a skewed density does not.
    assert equal_height(beta.central_interval(0.9), beta) > 0.05


@pytest.mark.parametrize(("a", "b", "lower"), [(1.0, 8.0, True), (8.0, 1.0, False)])
def test_highest_density_interval_reaches_the_edge_of_a_monotone_density(a, b, lower):
    interval = Beta(a, b).highest_density_interval(0.8)
    assert (interval.lower == 0.0) if lower else (interval.upper == 1.0)


def test_normal_intervals_match_the_table():
    lower, upper = intervals.highest_density(stats.norm.ppf, 0.95)
    assert upper == pytest.approx(stats.norm.ppf(0.975), abs=1e-6)
    assert lower == pytest.approx(-upper, abs=2e-6)


def test_covers_counts_ends_and_works_on_many():
    interval = Interval(np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    assert interval.covers(1.0).tolist() == [True, True, False]
    assert interval.width.tolist() == [1.0, 1.0, 1.0]


@given(st.integers(1, 500), st.floats(0.0, 1.0))
def test_coverage_is_the_share_with_the_binomial_error(total, share):
    flags = np.arange(total) < round(share * total)
    result = intervals.coverage(flags)
    assert result.rate == flags.mean()
    assert result.replications == total
    assert result.mcse > 0
    binomial = np.sqrt(result.rate * (1 - result.rate) / total)
    assert abs(result.mcse - binomial) < 1 / total


@pytest.mark.parametrize("covered", [np.array([], dtype=bool), [0.2, 1.0], [np.nan]])
def test_coverage_refuses_what_is_not_truth_values(covered):
    with pytest.raises(ValueError, match="covered must be a non-empty array of truth values"):
        intervals.coverage(covered)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_level_must_be_a_fraction(level):
    for kind in (intervals.central, intervals.highest_density):
        with pytest.raises(ValueError, match="probability must be strictly between 0 and 1"):
            kind(stats.norm.ppf, level)
