"""Targets: what they refuse, what they say, and how they change variables."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.scipy.stats import norm
from scipy import stats

from bnnbook.evidence import laplace
from bnnbook.evidence import target as targets
from bnnbook.evidence.target import Target
from bnnbook.models.logistic import logistic_regression
from evidence_cases import gaussian

pytestmark = pytest.mark.usefixtures("x64")
SEPARABLE = (np.array([[-1.0], [-0.5], [0.7]]), np.array([0.0, 0.0, 1.0]))
OVERLAPPING = (np.array([[-1.0], [0.5], [0.7], [0.2]]), np.array([0.0, 1.0, 0.0, 1.0]))


def of_prior(log_prior, dimension, **rest):
    names = tuple("abcdefghij"[:dimension])
    return Target(
        log_prior, lambda u: -jnp.sum(u**2), dimension, names, np.zeros(dimension), **rest
    )


def scale(sd):
    def model():
        a = numpyro.sample("a", dist.Normal(0.0, sd))
        numpyro.sample("y", dist.Normal(a, 1.0), obs=0.3)

    return model


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: of_prior(lambda u: 0.0 * u[0], 1), "proper prior, got a flat one of a"),
        (lambda: of_prior(lambda u: -(u[0] ** 2), 2), "proper prior, got a flat one of b"),
        (
            lambda: of_prior(lambda u: -((u[0] + u[1]) ** 2), 2),
            "flat one of a combination of a, b",
        ),
        (
            lambda: of_prior(lambda u: -((1e4 * u[0] - u[2]) ** 2) - jnp.abs(u[1]), 3),
            "flat one of a combination of a, c",
        ),
        (lambda: of_prior(lambda u: -jnp.inf + u[0], 1), "finite log_prior at its start, got -inf"),
        (lambda: of_prior(lambda u: jnp.nan * u[0], 1), "finite log_prior at its start, got nan"),
        (lambda: targets.from_model(scale(0.0)), "finite log_prior at its start|invalid scale"),
        (lambda: targets.from_model(scale(-1.0)), "finite log_prior at its start|invalid scale"),
        (lambda: targets.from_model(logistic_regression, OVERLAPPING), "proper prior"),
        (lambda: targets.from_model(logistic_regression, SEPARABLE), "X must not separate y"),
        (
            lambda: targets.from_model(logistic_regression, (np.ones((4, 2)), OVERLAPPING[1])),
            "linearly independent columns",
        ),
        (lambda: gaussian().target.evaluate(np.zeros((3, 5))), r"points must be of shape \(point,"),
    ],
)
def test_bad_targets_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_proper_priors_pass_the_look_for_flat_directions():
    # Mutation of the check: kinked, bounded, narrow and strongly correlated priors are all proper.
    shapes = [
        lambda u: -jnp.abs(u[0]) - jnp.abs(u[1]),
        lambda u: jnp.where(jnp.abs(u).max() < 1, 0.0, -jnp.inf),
        lambda u: -jnp.sum((u / jnp.array([1e-6, 1e6])) ** 2),
        lambda u: -((u[0] - u[1]) ** 2) * 1e6 - 1e-4 * (u[0] + u[1]) ** 2,
        lambda u: -jnp.sum(jnp.log1p(u**2)),
    ]
    for log_prior in shapes:
        of_prior(log_prior, 2)


def test_singular_designs_and_separable_data_are_fine_under_a_proper_prior():
    twice = np.column_stack([SEPARABLE[0], SEPARABLE[0]])
    target = targets.from_model(
        logistic_regression, (twice, SEPARABLE[1]), {"coefficients": dist.Normal(0.0, 1.0)}
    )
    # Only b₀ + b₁ ~ N(0, √2) enters the likelihood: a sum over a fine grid is the truth.
    b = np.linspace(-12, 12, 4001)
    log_likelihood = sum(
        stats.logistic.logcdf(sign * x * b) for sign, x in [(-1, -1.0), (-1, -0.5), (1, 0.7)]
    )
    truth = np.log(np.sum(stats.norm.pdf(b, scale=np.sqrt(2)) * np.exp(log_likelihood)) * 0.006)
    assert laplace.estimate(target).log_evidence == pytest.approx(truth, abs=0.02)


def test_nan_inside_is_an_error_and_not_a_number():
    target = Target(
        lambda u: norm.logpdf(u[0]),
        lambda u: jnp.where(u[0] > 2, jnp.nan, -(u[0] ** 2)),
        1,
        ("u",),
        np.zeros(1),
    )
    with pytest.raises(ValueError, match="got NaN or \\+∞ at \\[3"):
        target.evaluate(np.array([[3.0]]))


def test_the_density_where_the_data_are_impossible_has_powers():
    target = Target(
        lambda u: norm.logpdf(u[0]),
        lambda u: jnp.where(u[0] > 2, -jnp.inf, 1.5),
        1,
        ("u",),
        np.zeros(1),
    )
    assert [float(part) for part in target.inside(jnp.array([3.0]))] == [-np.inf, 0.0]
    assert float(target.inside(jnp.array([1.0]))[1]) == 1.5


def test_changed_variables_keep_the_evidence_and_the_names_of_draws():
    def model():
        variance = numpyro.sample("variance", dist.InverseGamma(3.0, 2.0))
        numpyro.sample("y", dist.Normal(0.0, jnp.sqrt(variance)), obs=1.3)

    logs = targets.from_model(model)
    plain = targets.transformed(logs, jnp.log, jnp.exp)
    # In σ² itself the log prior is NumPyro's, with no Jacobian, and zero below zero.
    at = plain.evaluate(np.array([[0.7], [-0.1]])).log_prior
    assert at[0] == pytest.approx(float(dist.InverseGamma(3.0, 2.0).log_prob(0.7)), abs=1e-12)
    assert at[1] == -np.inf
    draws = {"variance": np.array([[0.7, 2.0]])}
    np.testing.assert_allclose(plain.flatten(draws)[..., 0], draws["variance"])
    np.testing.assert_allclose(plain.unflatten(plain.flatten(draws))["variance"], [[0.7, 2.0]])
    drawn = jax.vmap(plain.sample_prior)(jax.random.split(jax.random.key(0), 2000))
    p = stats.kstest(np.asarray(drawn)[:, 0], stats.invgamma(3.0, scale=2.0).cdf).pvalue
    assert p > 1e-5
    assert laplace.estimate(plain).log_evidence != pytest.approx(
        laplace.estimate(logs).log_evidence, abs=0.01
    )
