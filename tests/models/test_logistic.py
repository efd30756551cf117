"""The logistic model's density, and data under which a flat prior has no posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer import Predictive
from numpyro.infer.util import log_density
from scipy import optimize, special, stats

from bnnbook.models.logistic import logistic_regression, separating_direction

pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(40), RNG.normal(size=40)])
TRUE = np.array([0.3, 1.2])
Y = (RNG.uniform(size=40) < special.expit(X @ TRUE)).astype(float)
SEPARABLE = (X[:, 1] > 0).astype(float)


def log_joint(b, y=Y, X=X, **priors):
    return log_density(logistic_regression, (X, y), priors, {"coefficients": jnp.asarray(b)})[0]


def test_density_is_prior_times_likelihood():
    likelihood = stats.bernoulli.logpmf(Y, special.expit(X @ TRUE)).sum()
    prior = stats.norm.logpdf(TRUE, 0, 10).sum()
    assert float(log_joint(TRUE)) == pytest.approx(likelihood, rel=1e-12)
    ours = float(log_joint(TRUE, coefficients=dist.Normal(0.0, 10.0)))
    assert ours == pytest.approx(likelihood + prior, rel=1e-12)
    # Mutation: yes and no exchanged.
    assert float(log_joint(TRUE, 1 - Y)) != pytest.approx(likelihood, rel=1e-2)


def test_extreme_log_odds_stay_finite():
    assert float(log_joint(1e4 * TRUE, coefficients=dist.Normal(0.0, 1e5))) < -1e3


def test_the_maximum_agrees_with_statsmodels():
    import statsmodels.api as sm

    found = optimize.minimize(lambda b: -float(log_joint(b)), np.zeros(2), tol=1e-10)
    np.testing.assert_allclose(found.x, sm.Logit(Y, X).fit(disp=0).params, atol=1e-5)


def test_simulated_outcomes_have_the_law():
    draws = Predictive(logistic_regression, num_samples=500)(
        jax.random.key(1), X, coefficients=dist.Delta(jnp.asarray(TRUE), event_dim=1)
    )["y"]
    p = special.expit(X @ TRUE)
    z = (draws.sum() - 500 * p.sum()) / np.sqrt(500 * (p * (1 - p)).sum())
    assert abs(z) < 4
    half = (draws.sum() - 500 * 20) / np.sqrt(500 * 10)
    assert abs(half) > 4


def test_separation_is_found_and_only_there():
    assert separating_direction(X, Y) is None
    direction = separating_direction(X, SEPARABLE)
    assert direction is not None
    margin = (2 * SEPARABLE - 1) * (X @ direction)
    assert margin.min() >= -1e-9
    # Along it the likelihood never falls: no maximum.
    prior = {"coefficients": dist.Normal(0.0, 10.0)}
    flat = [
        float(log_joint(t * direction, SEPARABLE, **prior))
        - stats.norm.logpdf(t * direction, 0, 10).sum()
        for t in (1, 10, 100)
    ]
    assert flat[0] < flat[1] < flat[2]


def test_quasi_separation_and_units():
    """One outcome only at one level of a yes-no input."""
    group = np.repeat([0.0, 1.0], 20)
    y = np.where(group == 1, 1.0, np.tile([0.0, 1.0], 20))
    design = np.column_stack([np.ones(40), group])
    assert separating_direction(design, y) is not None
    assert separating_direction(design * 1e-9, y) is not None
    y[-1] = 0
    assert separating_direction(design, y) is None
    assert separating_direction(design * 1e9, y) is None


def test_separable_data_have_a_posterior_under_a_proper_prior():
    assert np.isfinite(log_joint(TRUE, SEPARABLE, coefficients=dist.Normal(0.0, 1.0)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_joint(TRUE, SEPARABLE), "X must not separate y, .* proper prior"),
        (lambda: log_joint(TRUE, np.ones(40)), "X must not separate y"),
        (lambda: log_joint(TRUE, Y, X[:, [0, 0]]), "linearly independent columns, got rank 1 of 2"),
        (lambda: log_joint(TRUE, Y + 0.5), "y must be 0 or 1 everywhere, got"),
        (lambda: log_joint(TRUE, Y[1:]), "X and y must have the same length"),
        (lambda: log_joint(TRUE, Y * np.nan), "y must be finite everywhere"),
        (lambda: separating_direction(X, 2 * Y), "y must be 0 or 1 everywhere"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
