r"""The linear regression model, y ~ N(X b, σ), with any prior on b and σ.

One model for the whole book: with flat priors its log density is the log-likelihood, whose maximum
is the least-squares solution (chapter "Linear regression"); with proper ones it gives prior
predictive checks (chapter "Bayes' theorem") and posteriors (chapter "Bayesian linear regression").
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from bnnbook import checks

FloatArray = Array | np.ndarray


def linear_regression(
    X: Float[FloatArray, "n p"],
    y: Float[FloatArray, " rows_of_y"] | None = None,
    *,
    coefficients: dist.Distribution | None = None,
    noise_sd: dist.Distribution | float | None = None,
) -> None:
    r"""A NumPyro model: b ~ prior, σ ~ prior or known, y_i ~ N(x_iᵀ b, σ) independently.

    .. math:: \log p(y \mid X, b, \sigma) = -\frac{n}{2} \log(2 \pi \sigma^2)
              - \frac{1}{2 \sigma^2} \sum_i (y_i - x_i^\top b)^2

    Its sites are ``coefficients``, ``noise_sd`` and ``y``.

    Args:
        X: the design matrix, a row an observation; a column of ones for an intercept.
        y: the outputs, as many as X has rows; None to simulate them.
        coefficients: the prior of b: a distribution over vectors of length p, or over numbers, for
            p independent coefficients. Flat (improper) where it is None.
        noise_sd: the prior of σ, or its known value. Flat over the positive numbers where None.

    Raises:
        ValueError: where the shapes disagree, data are not finite, or a known σ is not positive.
    """
    check_data(X, y)
    n, p = X.shape
    b = numpyro.sample("coefficients", coefficients_prior(coefficients, p))
    sigma = _noise_sd(noise_sd)
    with numpyro.plate("row", n):
        numpyro.sample("y", dist.Normal(jnp.asarray(X) @ b, sigma), obs=y)


def check_data(X: Float[FloatArray, "n p"], y: Float[FloatArray, " rows_of_y"] | None) -> None:
    """Refuse data that are not finite or whose rows and outputs differ in number.

    Raises:
        ValueError: naming the argument, what it got and what was expected.
    """
    given = {"X": X} if y is None else {"X": X, "y": y}
    for name, array in given.items():
        # A sampler may trace the data; only concrete numbers can be looked at.
        if not isinstance(array, jax.core.Tracer):
            checks.finite_array(name, array, ndim=2 if name == "X" else 1)
    checks.same_length(**given)


def coefficients_prior(prior: dist.Distribution | None, p: int) -> dist.Distribution:
    """One distribution for all coefficients: flat, one prior for each, or a joint one.

    Raises:
        ValueError: where a joint prior is not of ``p`` dimensions.
    """
    if prior is None:
        return dist.ImproperUniform(constraints.real_vector, (), event_shape=(p,))
    if prior.shape() == ():
        return prior.expand([p]).to_event(1)
    if prior.shape() != (p,):
        raise checks.fail("coefficients", f"a distribution of shape () or ({p},)", prior.shape())
    return prior.to_event(1 - prior.event_dim)


def _noise_sd(prior: dist.Distribution | float | None) -> Float[Array, ""]:
    if prior is None:
        prior = dist.ImproperUniform(constraints.positive, (), event_shape=())
    if isinstance(prior, dist.Distribution):
        return numpyro.sample("noise_sd", prior)
    return numpyro.deterministic("noise_sd", jnp.asarray(checks.positive("noise_sd", prior)))
