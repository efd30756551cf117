"""The record of an estimate: what it refuses, flags and times."""

import math
import time

import numpy as np
import pytest

from bnnbook.evidence.record import Evidence, effective_size, tail_shape, timed
from bnnbook.pareto import pareto_k


@pytest.mark.parametrize(("value", "error"), [(math.nan, 0.1), (math.inf, 0.1), (1.0, math.nan)])
def test_no_nan_gets_into_a_record(value, error):
    with pytest.raises(ValueError, match=r"must be a finite number, got (nan|inf)"):
        Evidence(value, error, 1)


def test_a_record_is_flagged_by_its_own_pareto_k_alone():
    assert not Evidence(0.0, None, 1).flagged
    for k, flagged in [(0.69, False), (0.71, True), (math.nan, True), (-math.inf, False)]:
        assert Evidence(0.0, None, 1, diagnostics={"pareto_k": k}).flagged is flagged


def test_time_is_added_to_what_is_there():
    @timed
    def slow():
        time.sleep(0.01)
        return Evidence(0.0, None, 1, seconds=5.0)

    assert 5.01 <= slow().seconds < 6


def test_pareto_k_is_that_of_the_tail():
    u = np.random.default_rng(0).uniform(size=20_000)
    # Weights u^(-k) have tail index k; its standard error is about (1 + k) / √(tail size).
    for k in (0.3, 1.0):
        assert abs(pareto_k(-k * np.log(u)) - k) < 4 * (1 + k) / np.sqrt(3 * np.sqrt(20_000))
        assert tail_shape(-k * np.log(u)) == pareto_k(-k * np.log(u))
    assert pareto_k(np.zeros(100)) == -math.inf
    assert tail_shape(0.1 * np.log(u)) == -math.inf


@pytest.mark.parametrize("number", [3, 16, 29])
def test_too_few_unequal_weights_are_never_trusted(number):
    weights = 5.0 * np.arange(number)
    assert tail_shape(weights) == math.inf
    assert Evidence(0.0, None, 1, diagnostics={"pareto_k": tail_shape(weights)}).flagged
    heavy = -1.5 * np.log(np.random.default_rng(1).uniform(size=30))
    assert math.isfinite(tail_shape(heavy))


def test_effective_size_of_an_autoregression():
    rho, rng = 0.8, np.random.default_rng(1)
    x = np.empty((4, 4000))
    x[:, 0] = rng.normal(size=4)
    for t in range(1, 4000):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=4)
    assert effective_size(x) == pytest.approx(16_000 * (1 - rho) / (1 + rho), rel=0.25)
