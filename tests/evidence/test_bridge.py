"""Bridge sampling: draws that depend on each other, and bad input."""

import jax
import numpy as np
import pytest

from bnnbook.evidence import bridge
from evidence_cases import gaussian, looks_standard_normal, z_scores

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(5)


def autoregression(case, seed, num, rho=0.9):
    """Stationary draws from the posterior, each depending on the one before."""
    independent = case.draws(seed, num)
    centre = np.array([0.15, 0.95])
    z = independent - centre
    for t in range(1, num):
        z[:, t] = rho * z[:, t - 1] + np.sqrt(1 - rho**2) * z[:, t]
    return centre + z


def scores(num_runs=100):
    case = gaussian()
    runs = [
        bridge.estimate(jax.random.key(i), case.target, autoregression(case, i, 1000))
        for i in range(num_runs)
    ]
    return z_scores(runs, case.exact)


def test_errors_allow_for_draws_that_depend_on_each_other(monkeypatch):
    assert looks_standard_normal(scores())
    # Mutation: draws counted as if independent.
    monkeypatch.setattr(bridge, "effective_size", lambda values: float(values.size))
    assert not looks_standard_normal(scores())


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        (np.ones((4, 50, 2)), "draws must be of shape"),
        (np.ones((4, 200, 3)), "draws must be of shape"),
        (np.ones((4, 200, 2)), "all of them moving"),
        (np.ones((4, 200, 1)) * np.arange(200)[:, None] * [1.0, 2.0], "covariance of full rank"),
        (gaussian().draws(0, 200) + np.nan, "finite everywhere"),
        (gaussian().draws(0, 200) + 60.0, "overlap"),
    ],
)
def test_bad_draws_are_named(draws, message):
    with pytest.raises(ValueError, match=message):
        bridge.estimate(KEY, gaussian().target, draws)
