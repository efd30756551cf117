r"""A mean, or a slope through the origin, under normal noise of known standard deviation.

.. math:: \theta \sim N(m_0, s_0),\; y_i \sim N(x_i \theta, \sigma)
          \;\Rightarrow\; \theta \mid y \sim N(m_n, s_n),\quad
          \frac{1}{s_n^2} = \frac{1}{s_0^2} + \frac{\sum_i x_i^2}{\sigma^2},\quad
          m_n = s_n^2 \Bigl(\frac{m_0}{s_0^2} + \frac{\sum_i x_i y_i}{\sigma^2}\Bigr)

Precisions (inverse variances) add, and the posterior mean is an average weighted by them. The
mean is the slope with all :math:`x_i = 1`. N(mean, standard deviation) throughout. Chapter "Bayes'
theorem" introduces both; many data sets go through at once along leading axes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from bnnbook import checks
from bnnbook.exact import intervals
from bnnbook.exact.intervals import Interval, Real


@dataclass(frozen=True)
class Normal:
    """A normal distribution, or one for each of many data sets."""

    mean: Real
    """Its mean."""
    sd: Real
    """Its standard deviation, above zero."""

    def __post_init__(self) -> None:
        checks.finite_array("mean", self.mean)
        sds = checks.finite_array("sd", self.sd)
        if (sds <= 0).any():
            raise checks.fail("sd", "positive and finite", self.sd)

    def log_density(self, theta: ArrayLike) -> Real:
        """Log density at theta."""
        z = (np.asarray(theta, dtype=np.float64) - self.mean) / self.sd
        return -0.5 * z**2 - np.log(self.sd) - 0.5 * np.log(2 * np.pi)

    def density(self, theta: ArrayLike) -> Real:
        """Density at theta."""
        return np.exp(self.log_density(theta))

    def cdf(self, theta: ArrayLike) -> Real:
        """Probability of at most theta."""
        return ndtr((np.asarray(theta, dtype=np.float64) - self.mean) / self.sd)

    def quantile(self, probability: float) -> Real:
        """The value below which the given probability lies, strictly between 0 and 1."""
        return self.mean + self.sd * float(ndtri(checks.fraction("probability", probability)))

    def central_interval(self, probability: float) -> Interval:
        """The interval with equal probability outside at either end; also the shortest."""
        return intervals.central(self.quantile, probability)


def update(prior: Normal | None, y: ArrayLike, noise_sd: float) -> Normal:
    """The posterior of the mean of y.

    Args:
        prior: what is known of the mean before; None for the flat (improper) prior.
        y: data, shape (..., n): the last axis holds the data, leading axes separate data sets.
        noise_sd: known standard deviation of one datum about the mean, in the units of y.

    Raises:
        ValueError: where y is empty or not finite, or the noise is not positive.
    """
    y = checks.finite_array("y", y)
    return update_slope(prior, np.ones_like(y), y, noise_sd)


def update_slope(prior: Normal | None, x: ArrayLike, y: ArrayLike, noise_sd: float) -> Normal:
    """The posterior of the slope of y = slope · x + noise, a line through the origin.

    Args:
        prior: what is known of the slope before; None for the flat (improper) prior, under which
            the posterior mean is the least-squares estimate.
        x: inputs, shape (..., n).
        y: outputs, the same shape.
        noise_sd: known standard deviation of the noise, in the units of y.

    Raises:
        ValueError: where the data are empty, not finite or of different shapes, the noise is not
            positive, or the prior is flat and all x of a data set are zero.
    """
    x, y = checks.finite_array("x", x), checks.finite_array("y", y)
    if x.shape != y.shape or x.ndim == 0:
        raise ValueError(f"x and y must have one shape (..., n), got {x.shape} and {y.shape}")
    variance = checks.positive("noise_sd", noise_sd) ** 2
    precision = np.sum(x**2, axis=-1) / variance
    weighted = np.sum(x * y, axis=-1) / variance
    if prior is not None:
        precision = precision + 1 / prior.sd**2
        weighted = weighted + prior.mean / prior.sd**2
    elif (precision == 0).any():
        raise ValueError("x must not be all zero under a flat prior, got zeros only")
    return Normal(_plain(weighted / precision), _plain(1 / np.sqrt(precision)))


def predictive(distribution: Normal, noise_sd: float) -> Normal:
    """The distribution of a new datum, the mean averaged out: variances add."""
    noise_sd = checks.positive("noise_sd", noise_sd)
    return Normal(distribution.mean, _plain(np.hypot(distribution.sd, noise_sd)))


def log_evidence(prior: Normal, y: ArrayLike, noise_sd: float) -> float:
    r"""Log density of all data at once, :math:`y \sim N(m_0 1,\; \sigma^2 I + s_0^2 1 1^\top)`.

    Args:
        prior: a proper prior of the mean: under a flat one the evidence does not exist.
        y: data, shape (n,).
        noise_sd: known standard deviation of one datum about the mean.

    Raises:
        ValueError: where y is empty or not finite, or the noise is not positive.
    """
    residual = checks.finite_array("y", y, ndim=1) - prior.mean
    variance = checks.positive("noise_sd", noise_sd) ** 2
    n, total = len(residual), variance + len(residual) * prior.sd**2
    # The Woodbury identity and the determinant lemma, for a matrix of rank one plus a diagonal.
    square = (residual @ residual - prior.sd**2 * residual.sum() ** 2 / total) / variance
    log_determinant = (n - 1) * np.log(variance) + np.log(total)
    return float(-0.5 * (n * np.log(2 * np.pi) + log_determinant + square))


def confidence_interval(y: ArrayLike, noise_sd: float, probability: float) -> Interval:
    r"""The frequentist interval :math:`\bar y \pm z\, \sigma / \sqrt{n}` of the mean.

    Over repeated data sets it covers the fixed mean with the stated probability, whatever the mean
    (Neyman 1937). In numbers, though not in meaning, it is the central interval under a flat prior.

    Args:
        y: data, shape (..., n).
        noise_sd: known standard deviation of one datum about the mean.
        probability: the confidence level, strictly between 0 and 1.
    """
    y = checks.finite_array("y", y)
    z = float(ndtri((1 + checks.fraction("probability", probability)) / 2))
    half = z * checks.positive("noise_sd", noise_sd) / np.sqrt(y.shape[-1])
    mean = np.mean(y, axis=-1)
    return Interval(mean - half, mean + half)


def _plain(value: Real) -> Real:
    """A number as Python's own, so that it prints as one; arrays stay."""
    return float(value) if np.ndim(value) == 0 else value
