"""The linear model has the density that the page writes, and its maximum is least squares."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer import Predictive
from numpyro.infer.util import log_density
from scipy import stats

from bnnbook.datasets import kidiq
from bnnbook.exact.least_squares import fit
from bnnbook.models.linear import linear_regression

KIDS = kidiq.load()
X = np.column_stack([np.ones(KIDS.num_rows), KIDS["mom_iq"]])
Y = KIDS["kid_score"]

pytestmark = pytest.mark.usefixtures("x64")


def log_joint(b: Any, sigma: Any, **priors: Any) -> Any:
    values = {"coefficients": jnp.asarray(b), "noise_sd": jnp.asarray(sigma)}
    return log_density(linear_regression, (X, Y), priors, values)[0]


B, SIGMA = np.array([20.0, 0.7]), 15.0


def test_flat_priors_leave_the_log_likelihood() -> None:
    closed_form = stats.norm(X @ B, SIGMA).logpdf(Y).sum()
    assert float(log_joint(B, SIGMA)) == pytest.approx(closed_form, rel=1e-12)


def test_the_exponent_without_its_two_is_seen() -> None:
    wrong = (-0.5 * np.log(2 * np.pi * SIGMA**2) - (Y - X @ B) ** 2 / SIGMA**2).sum()
    assert float(log_joint(B, SIGMA)) != pytest.approx(wrong, rel=1e-3)


def test_priors_add_their_log_densities() -> None:
    priors = {"coefficients": dist.Normal(1.0, 10.0), "noise_sd": dist.HalfNormal(30.0)}
    expected = (
        stats.norm(X @ B, SIGMA).logpdf(Y).sum()
        + stats.norm(1.0, 10.0).logpdf(B).sum()
        + stats.halfnorm(scale=30.0).logpdf(SIGMA)
    )
    assert float(log_joint(B, SIGMA, **priors)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "prior",
    [
        dist.Normal(jnp.zeros(2), jnp.array([50.0, 2.0])),
        dist.Normal(jnp.zeros(2), jnp.array([50.0, 2.0])).to_event(1),
        dist.MultivariateNormal(jnp.zeros(2), jnp.diag(jnp.array([2500.0, 4.0]))),
    ],
)
def test_a_vector_prior_may_be_written_in_three_ways(prior: dist.Distribution) -> None:
    expected = stats.norm(X @ B, SIGMA).logpdf(Y).sum() + stats.norm(0, [50, 2]).logpdf(B).sum()
    assert float(log_joint(B, SIGMA, coefficients=prior)) == pytest.approx(expected, rel=1e-6)


def gradient(b: Any, sigma: Any) -> np.ndarray:
    """Of the log-likelihood, each part in units of its own curvature's scale."""
    in_b, in_sigma = jax.grad(log_joint, argnums=(0, 1))(jnp.asarray(b), jnp.asarray(sigma))
    scale = np.abs(X.T @ Y) / float(sigma) ** 2
    return np.array([*np.abs(in_b / scale), abs(in_sigma) * float(sigma) / len(Y)])


def test_the_maximum_of_the_likelihood_is_least_squares() -> None:
    result = fit(X, Y)
    sigma = np.sqrt(np.mean(result.residuals**2))
    assert gradient(result.coefficients, sigma).max() < 1e-12
    hessian = jax.hessian(lambda b: log_joint(b, sigma))(jnp.asarray(result.coefficients))
    assert np.linalg.eigvalsh(hessian).max() < 0
    np.testing.assert_allclose(hessian, -X.T @ X / sigma**2, rtol=1e-10)


def test_the_unbiased_sigma_is_not_the_maximum() -> None:
    result = fit(X, Y)
    assert gradient(result.coefficients, result.residual_sd)[2] > 1e-3


def test_known_noise_is_not_sampled() -> None:
    draws = Predictive(linear_regression, num_samples=3)(
        jax.random.key(0), X, coefficients=dist.Normal(0.0, 1.0), noise_sd=2.0
    )
    assert draws["y"].shape == (3, len(Y))
    assert draws["noise_sd"].tolist() == [2.0] * 3


def standardised_outputs(noise_sd: float) -> np.ndarray:
    """Prior predictive outputs of an intercept-only model, standardised for σ = 3."""
    ones = np.ones((4000, 1))
    draws = Predictive(linear_regression, num_samples=1)(
        jax.random.key(5), ones, coefficients=dist.Delta(7.0), noise_sd=noise_sd
    )
    return (np.asarray(draws["y"][0]) - 7.0) / 3.0


def test_simulated_outputs_have_the_law_of_the_model() -> None:
    assert stats.kstest(standardised_outputs(3.0), stats.norm.cdf).pvalue > 1e-4


def test_a_variance_given_as_standard_deviation_is_seen() -> None:
    assert stats.kstest(standardised_outputs(9.0), stats.norm.cdf).pvalue < 1e-4


@pytest.mark.parametrize(
    ("arguments", "priors", "message"),
    [
        ((X, Y[:-1]), {}, "X and y must have the same length"),
        ((X, np.where(Y > 140, np.nan, Y)), {}, "y must be finite everywhere"),
        ((X, Y), {"noise_sd": -1.0}, "noise_sd must be positive and finite, got -1.0"),
        (
            (X, Y),
            {"coefficients": dist.Normal(jnp.zeros(3), 1.0)},
            r"coefficients must be a distribution of shape \(\) or \(2,\), got \(3,\)",
        ),
    ],
)
def test_bad_arguments(
    arguments: tuple[np.ndarray, ...], priors: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        log_density(linear_regression, arguments, priors, {"coefficients": B, "noise_sd": SIGMA})
