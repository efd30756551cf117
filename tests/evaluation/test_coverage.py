"""Honest predictions cover at their nominal rate and have uniform PIT values."""

import jax
import numpy as np
import pytest
from scipy import stats

from bnnbook.evaluation import coverage
from bnnbook.exact.normal_mean import Normal

RNG = np.random.default_rng(0)
N = 20_000
Y = RNG.normal(size=N)
FEW_DRAWS = RNG.normal(size=(1, 19, N))
KEY = jax.random.key(0)


def test_few_draws_cover_exactly_at_the_nominal_rate():
    """Nineteen draws of a prediction's own law: their range covers 90 %."""
    found = coverage.coverage_from_draws(Y, FEW_DRAWS, 0.9)
    assert abs(found.rate - 0.9) < 4 * found.mcse
    # Mutation: the usual sample quantiles, between the extreme draws.
    low, high = np.quantile(FEW_DRAWS[0], [0.05, 0.95], axis=0)
    assert np.mean((low <= Y) & (high >= Y)) < 0.9 - 10 * found.mcse


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_quantile_functions_cover_at_the_nominal_rate(level):
    honest, bold = (
        coverage.coverage_from_quantiles(Y, Normal(np.zeros(N), np.full(N, sd)).quantile, level)
        for sd in (1.0, 0.8)
    )
    assert abs(honest.rate - level) < 4 * honest.mcse
    assert abs(bold.rate - level) > 10 * bold.mcse
    assert honest.replications == N


def test_many_draws_agree_with_the_quantiles():
    draws = RNG.normal(2.0, 3.0, size=(4, 5000, 2))
    found = coverage.interval_from_draws(draws, 0.8)
    np.testing.assert_allclose(
        found, np.array(stats.norm(2, 3).interval(0.8))[:, None] * [1, 1], atol=0.2
    )


def uniform_p(pit):
    return stats.kstest(pit, stats.uniform.cdf).pvalue


def test_pit_values_are_uniform_for_honest_predictions_only():
    honest, bold = Normal(np.zeros(N), np.ones(N)), Normal(np.zeros(N), np.full(N, 0.8))
    assert uniform_p(coverage.pit_from_cdf(Y, honest.cdf)) > 1e-4
    assert uniform_p(coverage.pit_from_cdf(Y, bold.cdf)) < 1e-4
    assert uniform_p(coverage.pit_from_draws(KEY, Y, FEW_DRAWS)) > 1e-4
    assert uniform_p(coverage.pit_from_draws(KEY, Y, 0.8 * FEW_DRAWS)) < 1e-4


def test_pit_values_of_counts_are_uniform_too():
    counts = RNG.poisson(1.0, size=(1, 20, N)).astype(float)
    y, draws = counts[0, 0], counts[:, 1:]
    assert uniform_p(coverage.pit_from_draws(KEY, y, draws)) > 1e-4
    # Mutation: ties counted as below.
    assert uniform_p((draws[0] <= y).mean(axis=0)) < 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coverage.interval_from_draws(np.zeros((1, 18, 1)), 0.9), "at least 19 for each"),
        (lambda: coverage.interval_from_draws(np.zeros((9, 1)), 0.5), "draws must have 3 axes"),
        (lambda: coverage.coverage_from_draws([1.0], np.zeros((1, 9, 2)), 0.5), r"draw, 1\)"),
        (lambda: coverage.coverage_from_draws([np.nan], np.zeros((1, 9, 1)), 0.5), "y must be fin"),
        (lambda: coverage.coverage_from_quantiles([1.0], lambda p: p, 0.5), "quantile must be a f"),
        (lambda: coverage.coverage_from_quantiles([1.0], Normal(0, 1).quantile, 1.5), "probabilit"),
        (lambda: coverage.pit_from_cdf([1.0], lambda y: np.array([2.0])), "cdf must be a function"),
        (lambda: coverage.pit_from_cdf([1.0], lambda y: np.array([np.nan])), "cdf must be finite"),
        (lambda: coverage.pit_from_draws(KEY, [], np.zeros((1, 1, 0))), "y must have at least 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
