r"""Bayesian linear regression with unknown noise: the normal–inverse-gamma prior.

.. math:: b \mid \sigma^2 \sim N(m_0, \sigma^2 \Lambda_0^{-1}),\;
          \sigma^2 \sim \mathrm{InverseGamma}(a_0, b_0),\;
          y \mid b, \sigma^2 \sim N(X b, \sigma^2 I)

with covariance matrices in the second place. The posterior is of the same form, with

.. math:: \Lambda_n = \Lambda_0 + X^\top X,\quad \Lambda_n m_n = \Lambda_0 m_0 + X^\top y,\quad
          a_n = a_0 + \tfrac{n}{2},\quad
          b_n = b_0 + \tfrac12 \bigl(\lVert y - X m_n \rVert^2
                + (m_n - m_0)^\top \Lambda_0 (m_n - m_0)\bigr)

The evidence is a ratio of normalising constants, and a new output is Student-t. The prior of b is
measured in units of the noise: that is what buys the closed form. Chapter "Bayesian linear
regression" introduces it (Raiffa and Schlaifer 1961; Gelman et al. 2013, chapter 14).
"""

from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

from bnnbook import checks
from bnnbook.datatree import from_draws
from bnnbook.exact import intervals, stacked_rows
from bnnbook.exact.intervals import Interval
from bnnbook.exact.student_t import StudentT

LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class InverseGamma:
    r"""The distribution of the noise variance: 1/σ² is gamma with this shape and rate ``scale``."""

    shape: float
    """The shape a, above zero: half of the observations that the distribution is worth."""
    scale: float
    """The scale b, above zero, in squared units of y: half of their sum of squares."""

    def __post_init__(self) -> None:
        checks.positive("shape", self.shape)
        checks.positive("scale", self.scale)

    @property
    def mean(self) -> float:
        """The mean of σ², b / (a − 1).

        Raises:
            ValueError: where the shape is at most 1: the mean is infinite.
        """
        if self.shape <= 1:
            raise checks.fail("shape", "above 1 for a finite mean of the variance", self.shape)
        return self.scale / (self.shape - 1)

    @property
    def mean_sd(self) -> float:
        """The mean of σ itself, √b Γ(a − 1/2) / Γ(a).

        Raises:
            ValueError: where the shape is at most 1/2: the mean is infinite.
        """
        if self.shape <= 0.5:
            raise checks.fail("shape", "above 1/2 for a finite mean of the noise sd", self.shape)
        log_ratio = special.gammaln(self.shape - 0.5) - special.gammaln(self.shape)
        return float(np.sqrt(self.scale) * np.exp(log_ratio))

    def log_density(self, variance: float) -> float:
        """Log density of σ² at a positive variance."""
        variance = checks.positive("variance", variance)
        constant = self.shape * np.log(self.scale) - special.gammaln(self.shape)
        return float(constant - (self.shape + 1) * np.log(variance) - self.scale / variance)

    def quantile(self, probability: float) -> float:
        """The variance below which the given probability lies, strictly between 0 and 1."""
        probability = checks.fraction("probability", probability)
        return float(self.scale / special.gammainccinv(self.shape, probability))

    def central_interval_of_sd(self, probability: float) -> Interval:
        """The interval of σ, in units of y, with equal probability outside at either end."""
        return intervals.central(lambda p: float(np.sqrt(self.quantile(p))), probability)


@dataclass(frozen=True, eq=False)
class NormalInverseGamma:
    """What is known of the coefficients b and the noise variance σ², before or after data."""

    mean: Float[np.ndarray, " p"]
    """The mean of b, in units of y per unit of X."""
    precision_root: Float[np.ndarray, "p p"]
    """Upper triangular R with positive diagonal; b has covariance σ² (RᵀR)⁻¹ given σ²."""
    variance: InverseGamma
    """The distribution of σ²."""

    def __post_init__(self) -> None:
        stacked_rows.check_normal(self.mean, self.precision_root)

    @classmethod
    def from_precision(
        cls, mean: ArrayLike, precision: ArrayLike, shape: float, scale: float
    ) -> "NormalInverseGamma":
        """From the precision of b in units of 1/σ².

        Args:
            mean: the mean of b, shape (p,).
            precision: the matrix Λ, shape (p, p), or its diagonal, shape (p,).
            shape: the shape a of the inverse gamma distribution of σ².
            scale: its scale b, in squared units of y.

        Raises:
            ValueError: where the matrix is not symmetric and positive definite, shapes disagree, or
                a number is not positive and finite: an improper prior has no evidence.
        """
        normal = stacked_rows.normal_from_precision(mean, precision)
        return cls(*normal, InverseGamma(shape, scale))

    @classmethod
    def from_covariance(
        cls, mean: ArrayLike, covariance: ArrayLike, shape: float, scale: float
    ) -> "NormalInverseGamma":
        """The same from V = Λ⁻¹, the covariance of b in units of σ², or its diagonal."""
        normal = stacked_rows.normal_from_covariance(mean, covariance)
        return cls(*normal, InverseGamma(shape, scale))

    @property
    def dof(self) -> float:
        """The degrees of freedom of all its t distributions, 2a."""
        return 2 * self.variance.shape

    @property
    def unit_scale(self) -> float:
        """√(b/a), the noise scale that those t distributions use, in units of y."""
        return float(np.sqrt(self.variance.scale / self.variance.shape))

    @property
    def marginals(self) -> StudentT:
        """The t distribution of each coefficient on its own, σ² averaged out."""
        variances = np.diag(stacked_rows.covariance_of(self.precision_root))
        return StudentT(self.mean, self.unit_scale * np.sqrt(variances), self.dof)

    def log_density(self, coefficients: ArrayLike, variance: float) -> float:
        """Joint log density of b, shape (p,), and σ²."""
        b = checks.finite_array("coefficients", coefficients, ndim=1)
        checks.same_length(coefficients=b, mean=self.mean)
        z = self.precision_root @ (b - self.mean)
        of_variance = self.variance.log_density(variance)
        per_coefficient = LOG_TWO_PI + np.log(variance)
        constant = stacked_rows.log_root(self.precision_root) - 0.5 * len(b) * per_coefficient
        return float(constant - 0.5 * (z @ z) / variance + of_variance)


def update(prior: NormalInverseGamma | None, X: ArrayLike, y: ArrayLike) -> NormalInverseGamma:
    r"""The posterior of coefficients and noise.

    Args:
        prior: what is known of them before; None for the improper prior p(b, σ²) ∝ 1/σ², under
            which means, intervals and predictions have the numbers of least squares.
        X: the design matrix, shape (n, p); with a proper prior n may be smaller than p.
        y: the outputs, shape (n,).

    Raises:
        ValueError: where the data are empty, not finite or of different lengths, X has not one
            column a coefficient, data and prior together leave a combination of the coefficients
            undetermined, or, under the improper prior, n ≤ p or the data fit exactly.
    """
    if prior is None:
        return _update_improper(*stacked_rows.data_for(None, X, y))
    X, y = stacked_rows.data_for(prior.mean, X, y)
    stacked = stacked_rows.combine(prior.mean, prior.precision_root, X, y)
    shape = prior.variance.shape + len(y) / 2
    variance = InverseGamma(shape, prior.variance.scale + stacked.square / 2)
    return NormalInverseGamma(stacked.mean, stacked.precision_root, variance)


def _update_improper(X: Float[np.ndarray, "n p"], y: Float[np.ndarray, " n"]) -> NormalInverseGamma:
    n, p = X.shape
    if n <= p:
        expected = "of more rows than columns under the improper prior"
        raise checks.fail("X", expected, X.shape)
    stacked = stacked_rows.combine(None, None, X, y)
    if stacked.square <= (np.finfo(np.float64).eps * n) ** 2 * float(y @ y):
        raise checks.fail("y", "off the fitted line somewhere, for the noise to be learnt", y)
    variance = InverseGamma((n - p) / 2, stacked.square / 2)
    return NormalInverseGamma(stacked.mean, stacked.precision_root, variance)


def log_evidence(prior: NormalInverseGamma | None, X: ArrayLike, y: ArrayLike) -> float:
    r"""Log density of all data at once, coefficients and noise averaged out.

    .. math:: \log p(y) = -\tfrac{n}{2} \log 2\pi + \tfrac12 \log\frac{|\Lambda_0|}{|\Lambda_n|}
              + a_0 \log b_0 - a_n \log b_n + \log\Gamma(a_n) - \log\Gamma(a_0)

    It is a density of y, so in other units of y it changes by n times the log of the factor. With a
    posterior in the prior's place it is the joint log predictive density of the new outputs.

    Args:
        prior: a proper prior: under an improper one (None) the evidence does not
            exist.
        X: the design matrix, shape (n, p).
        y: the outputs, shape (n,).

    Raises:
        ValueError: for the reasons that ``update`` has.
    """
    prior = stacked_rows.proper(prior)
    posterior = update(prior, X, y)
    before, after = prior.variance, posterior.variance
    log_volume = stacked_rows.log_root(prior.precision_root)
    log_volume -= stacked_rows.log_root(posterior.precision_root)
    # b_n^a_n / b_0^a_0 by their quotient, which keeps its digits when the prior is worth much.
    gained = after.shape - before.shape
    log_scales = -gained * np.log(after.scale) - before.shape * np.log(after.scale / before.scale)
    log_gammas = special.gammaln(after.shape) - special.gammaln(before.shape)
    return float(log_volume + log_scales + log_gammas - gained * LOG_TWO_PI)


def regression_line(distribution: NormalInverseGamma, X: ArrayLike) -> StudentT:
    """The distribution of the line x̃ᵀb at each row of X, without the noise of a datum."""
    return _student(distribution, X, noise=0.0)


def predictive(distribution: NormalInverseGamma, X: ArrayLike) -> StudentT:
    r"""The distribution of one new output at each row x̃ of X.

    .. math:: \tilde y \sim t_{2a}\bigl(\tilde x^\top m,\;
              \sqrt{\tfrac{b}{a} (1 + \tilde x^\top \Lambda^{-1} \tilde x)}\bigr)

    Args:
        distribution: the prior or the posterior.
        X: the new design matrix, with the columns of the fit, shape (m, p).

    Returns:
        The marginal distributions of the m outputs: their interval is ``central_interval``.
        Together the outputs are dependent; ``log_evidence`` has their joint density.

    Raises:
        ValueError: where X is not finite or has not one column a coefficient.
    """
    return _student(distribution, X, noise=1.0)


def _student(distribution: NormalInverseGamma, X: ArrayLike, noise: float) -> StudentT:
    X = stacked_rows.design_for(distribution.mean, X)
    spread = noise + stacked_rows.spread(distribution.precision_root, X)
    scale = distribution.unit_scale * np.sqrt(spread)
    return StudentT(X @ distribution.mean, scale, distribution.dof)


def one_step_ahead(
    prior: NormalInverseGamma | None, X: ArrayLike, y: ArrayLike
) -> Float[np.ndarray, " n"]:
    """The log density of each datum given those before it; the sum is the log evidence.

    Args:
        prior: a proper prior; None, the improper one, is refused.
        X: the design matrix, shape (n, p).
        y: the outputs, shape (n,), in the order in which they are predicted.
    """
    return stacked_rows.one_step_ahead(
        prior,
        X,
        y,
        log_density=lambda state, x, y: predictive(state, x).log_density(y),
        update=update,
    )


def draws(
    rng_key: jax.Array,
    distribution: NormalInverseGamma,
    *,
    num_samples: int = 1000,
    num_chains: int = 4,
) -> xr.DataTree:
    """Independent draws in the container of the samplers, so that the same diagnostics serve.

    Args:
        rng_key: a JAX key.
        distribution: the prior or the posterior.
        num_samples: draws a chain.
        num_chains: groups that the draws are dealt to.

    Returns:
        The tree, with ``coefficients`` of shape (chain, draw, p) and ``noise_sd`` of shape (chain,
        draw) in the group ``posterior``: the names of ``bnnbook.models.linear``.
    """
    size = stacked_rows.num_chains_and_samples(num_chains, num_samples)
    for_noise, for_line = jax.random.split(rng_key)
    with jax.enable_x64(True):
        shape = np.float64(distribution.variance.shape)
        gamma = np.asarray(jax.random.gamma(for_noise, shape, size, dtype=np.float64))
    sd = np.sqrt(distribution.variance.scale / gamma)
    noise = stacked_rows.standard_normals(for_line, (*size, len(distribution.mean)))
    b = distribution.mean + sd[..., None] * stacked_rows.solve_root(
        distribution.precision_root, noise
    )
    return from_draws(posterior={"coefficients": b, "noise_sd": sd}, attrs={"method": "exact"})
