r"""Bayesian linear regression with known noise: normal prior, normal posterior.

.. math:: b \sim N(m_0, \Lambda_0^{-1}),\; y \mid b \sim N(X b, \sigma^2 I)
          \;\Rightarrow\; b \mid y \sim N(m_n, \Lambda_n^{-1}),\quad
          \Lambda_n = \Lambda_0 + \tfrac{1}{\sigma^2} X^\top X,\quad
          \Lambda_n m_n = \Lambda_0 m_0 + \tfrac{1}{\sigma^2} X^\top y

with covariance matrices in the second place. A prior is worth extra rows of data: stack the
triangular root of Λ₀ upon X / σ, and the posterior is least squares on the taller matrix. So it is
computed here, by a QR factorisation, and the ill-conditioned products above are never formed.
Chapter "Bayesian linear regression" introduces it (Lindley and Smith 1972; Bishop 2006, 3.3).
"""

from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import ArrayLike

from bnnbook import checks
from bnnbook.datatree import from_draws
from bnnbook.exact import stacked_rows
from bnnbook.exact.normal_mean import Normal

LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class NormalCoefficients:
    """A normal distribution of the coefficients b, held by a root of its precision."""

    mean: Float[np.ndarray, " p"]
    """The mean of b, in units of y per unit of X."""
    precision_root: Float[np.ndarray, "p p"]
    """Upper triangular R with positive diagonal; RᵀR is the precision, the inverse covariance."""

    def __post_init__(self) -> None:
        stacked_rows.check_normal(self.mean, self.precision_root)

    @classmethod
    def from_precision(cls, mean: ArrayLike, precision: ArrayLike) -> "NormalCoefficients":
        """From a precision matrix of shape (p, p), or from p precisions of independent normals."""
        return cls(*stacked_rows.normal_from_precision(mean, precision))

    @classmethod
    def from_covariance(cls, mean: ArrayLike, covariance: ArrayLike) -> "NormalCoefficients":
        """From a covariance matrix of shape (p, p), or from p variances of independent normals."""
        return cls(*stacked_rows.normal_from_covariance(mean, covariance))

    @property
    def precision(self) -> Float[np.ndarray, "p p"]:
        """The inverse of the covariance."""
        return self.precision_root.T @ self.precision_root

    @property
    def covariance(self) -> Float[np.ndarray, "p p"]:
        """The covariance of b."""
        return stacked_rows.covariance_of(self.precision_root)

    @property
    def marginals(self) -> Normal:
        """The normal distribution of each coefficient on its own."""
        return Normal(self.mean, np.sqrt(np.diag(self.covariance)))

    def log_density(self, coefficients: ArrayLike) -> float:
        """Log density at b, shape (p,)."""
        b = checks.finite_array("coefficients", coefficients, ndim=1)
        checks.same_length(coefficients=b, mean=self.mean)
        z = self.precision_root @ (b - self.mean)
        return float(
            stacked_rows.log_root(self.precision_root) - 0.5 * (z @ z + len(b) * LOG_TWO_PI)
        )


def update(
    prior: NormalCoefficients | None, X: ArrayLike, y: ArrayLike, noise_sd: float
) -> NormalCoefficients:
    """The posterior of the coefficients.

    Args:
        prior: what is known of them before; None for the flat (improper) prior, under which the
            posterior mean is the least-squares estimate.
        X: the design matrix, shape (n, p); with a proper prior n may be smaller than p.
        y: the outputs, shape (n,).
        noise_sd: known standard deviation of the noise, in the units of y.

    Raises:
        ValueError: where the data are empty, not finite or of different lengths, the noise is not
            positive, X has not one column a coefficient, or data and prior together leave a
            combination of the coefficients undetermined.
    """
    X, y = _scaled(prior, X, y, noise_sd)
    mean, root = (None, None) if prior is None else (prior.mean, prior.precision_root)
    stacked = stacked_rows.combine(mean, root, X, y)
    return NormalCoefficients(stacked.mean, stacked.precision_root)


def log_evidence(
    prior: NormalCoefficients | None, X: ArrayLike, y: ArrayLike, noise_sd: float
) -> float:
    r"""Log density of all data at once, coefficients averaged out.

    .. math:: y \sim N(X m_0,\; \sigma^2 I + X \Lambda_0^{-1} X^\top)

    Args:
        prior: a proper prior of the coefficients: under a flat one (None) the evidence
            does not exist.
        X: the design matrix, shape (n, p).
        y: the outputs, shape (n,).
        noise_sd: known standard deviation of the noise, in the units of y.

    Raises:
        ValueError: for the reasons that ``update`` has.
    """
    prior = stacked_rows.proper(prior)
    X, y = _scaled(prior, X, y, noise_sd)
    stacked = stacked_rows.combine(prior.mean, prior.precision_root, X, y)
    shrinkage = stacked_rows.log_root(prior.precision_root) - stacked_rows.log_root(
        stacked.precision_root
    )
    per_row = LOG_TWO_PI + 2 * np.log(noise_sd)
    return float(shrinkage - 0.5 * (len(y) * per_row + stacked.square))


def regression_line(distribution: NormalCoefficients, X: ArrayLike) -> Normal:
    """The distribution of the line x̃ᵀb at each row of X, without the noise of a datum."""
    X = stacked_rows.design_for(distribution.mean, X)
    return Normal(
        X @ distribution.mean, np.sqrt(stacked_rows.spread(distribution.precision_root, X))
    )


def predictive(distribution: NormalCoefficients, X: ArrayLike, noise_sd: float) -> Normal:
    """The distribution of one new output at each row of X: variances of line and noise add.

    Args:
        distribution: the prior or the posterior of the coefficients.
        X: the new design matrix, with the columns of the fit, shape (m, p).
        noise_sd: known standard deviation of the noise, in the units of y.
    """
    line, noise_sd = regression_line(distribution, X), checks.positive("noise_sd", noise_sd)
    return Normal(line.mean, np.hypot(line.sd, noise_sd))


def one_step_ahead(
    prior: NormalCoefficients | None, X: ArrayLike, y: ArrayLike, noise_sd: float
) -> Float[np.ndarray, " n"]:
    """The log density of each datum given those before it; the sum is the log evidence.

    Args:
        prior: a proper prior of the coefficients; None, the flat one, is refused.
        X: the design matrix, shape (n, p).
        y: the outputs, shape (n,), in the order in which they are predicted.
        noise_sd: known standard deviation of the noise, in the units of y.
    """
    return stacked_rows.one_step_ahead(
        prior,
        X,
        y,
        log_density=lambda state, x, y: predictive(state, x, noise_sd).log_density(y),
        update=lambda state, x, y: update(state, x, y, noise_sd),
    )


def draws(
    rng_key: jax.Array,
    distribution: NormalCoefficients,
    *,
    num_samples: int = 1000,
    num_chains: int = 4,
) -> xr.DataTree:
    """Independent draws in the container of the samplers, so that the same diagnostics serve.

    Args:
        rng_key: a JAX key.
        distribution: the prior or the posterior of the coefficients.
        num_samples: draws a chain.
        num_chains: groups that the draws are dealt to.

    Returns:
        The tree, with ``coefficients`` of shape (chain, draw, p) in the group ``posterior``.
    """
    size = stacked_rows.num_chains_and_samples(num_chains, num_samples)
    noise = stacked_rows.standard_normals(rng_key, (*size, len(distribution.mean)))
    b = distribution.mean + stacked_rows.solve_root(distribution.precision_root, noise)
    return from_draws(posterior={"coefficients": b}, attrs={"method": "exact"})


def _scaled(
    prior: NormalCoefficients | None, X: ArrayLike, y: ArrayLike, noise_sd: float
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, " n"]]:
    noise_sd = checks.positive("noise_sd", noise_sd)
    X, y = stacked_rows.data_for(None if prior is None else prior.mean, X, y)
    return X / noise_sd, y / noise_sd
