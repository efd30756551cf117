r"""The logistic regression model: the log odds of a yes are linear in the inputs.

The likelihood is an exponential family, and still no prior of the coefficients is conjugate to it:
the simplest model whose posterior has no closed form. Introduced in the chapter "Model evidence";
the chapter "The limits of exact inference" asks what makes it hard.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpy.typing import ArrayLike
from scipy import optimize

from bnnbook import checks
from bnnbook.models import linear

FloatArray = Array | np.ndarray


def logistic_regression(
    X: Float[FloatArray, "n p"],
    y: Float[FloatArray, " rows_of_y"] | None = None,
    *,
    coefficients: dist.Distribution | None = None,
) -> None:
    r"""A NumPyro model: b ~ prior, y_i ~ Bernoulli(logistic(x_iᵀ b)) independently.

    .. math:: \log p(y \mid X, b) = \sum_i \bigl(y_i\, x_i^\top b - \log(1 + e^{x_i^\top b})\bigr)

    Its sites are ``coefficients`` and ``y``.

    Args:
        X: the design matrix, a row an observation; a column of ones for an intercept.
        y: the outcomes, 1 for yes and 0 for no, as many as X has rows; None to simulate them.
        coefficients: the prior of b: a distribution over vectors of length p, or over numbers, for
            p independent coefficients. Flat (improper) where it is None.

    Raises:
        ValueError: where the shapes disagree, data are not finite or outcomes not 0 or 1, or the
            prior is flat and the posterior would not exist: X lacks rank, or the data are
            separable.
    """
    linear.check_data(X, y)
    if y is not None and not isinstance(y, jax.core.Tracer):
        _check_outcomes(y)
        if coefficients is None and not isinstance(X, jax.core.Tracer):
            _check_posterior_exists(X, y)
    b = numpyro.sample("coefficients", linear.coefficients_prior(coefficients, X.shape[1]))
    with numpyro.plate("row", X.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=jnp.asarray(X) @ b), obs=y)


def separating_direction(X: ArrayLike, y: ArrayLike) -> Float[np.ndarray, " p"] | None:
    """Coefficients along which the likelihood never falls, where there are any.

    If some b has x_iᵀb ≥ 0 wherever y_i = 1 and ≤ 0 wherever y_i = 0, and not zero everywhere, then
    the data are separable (or nearly: quasi-separable): no maximum of the likelihood exists, and
    under a flat prior no posterior (Albert and Anderson 1984). A linear programme finds such a b.

    Args:
        X: the design matrix, shape (n, p).
        y: the outcomes, 0 or 1, shape (n,).

    Returns:
        Such a b, or None where there is none.
    """
    X = checks.finite_array("X", X, ndim=2)
    y = _check_outcomes(y)
    checks.same_length(X=X, y=y)
    scale = np.abs(X).max(axis=0)
    scale[scale == 0] = 1.0
    signed = np.where(y == 1, 1.0, -1.0)[:, None] * X / scale
    none_against = {"A_ub": -signed, "b_ub": np.zeros(len(y))}
    found = optimize.linprog(-signed.mean(axis=0), bounds=(-1, 1), **none_against)
    return found.x / scale if -found.fun > 1e-7 / len(y) else None


def _check_outcomes(y: ArrayLike) -> Float[np.ndarray, " n"]:
    y = checks.finite_array("y", y, ndim=1)
    if not np.isin(y, (0.0, 1.0)).all():
        raise checks.fail("y", "0 or 1 everywhere", y[~np.isin(y, (0.0, 1.0))][0])
    return y


def _check_posterior_exists(X: Any, y: Any) -> None:
    rank, p = int(np.linalg.matrix_rank(X)), np.shape(X)[1]
    remedy = "; under a flat prior there is then no posterior: give coefficients a proper prior"
    if rank < p:
        raise ValueError(
            f"X must have linearly independent columns, got rank {rank} of {p}{remedy}"
        )
    direction = separating_direction(X, y)
    if direction is not None:
        shown = np.array2string(direction, precision=3)
        raise ValueError(f"X must not separate y, got separation along b = {shown}{remedy}")
