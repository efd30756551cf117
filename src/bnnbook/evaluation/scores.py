r"""Scores: one number a datum for how good a prediction was, once the datum is known.

A score is *proper* if nobody gains on average by predicting anything but what they believe. The
log score and the CRPS judge a whole distribution, the interval score an interval, the absolute and
the squared error a point (Gneiting and Raftery 2007). No function here knows which method made the
prediction. Chapter "Bayesian linear regression" introduces them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

from bnnbook import checks
from bnnbook.exact.intervals import Real


class Average(NamedTuple):
    """The mean of a score over test data, and how far another test set could put it."""

    value: float
    """The mean."""
    standard_error: float
    """Its standard error over the test data, s / √n."""


def average(scores: ArrayLike) -> Average:
    """The mean score and its standard error, for independent test data.

    Args:
        scores: one score a datum, shape (n,), at least two.
    """
    scores = checks.finite_array("scores", scores, ndim=1, min_size=2)
    return Average(float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(len(scores))))


def log_score(log_densities: ArrayLike) -> Float[np.ndarray, " n"]:
    r"""The log density of each datum under the mixture of all draws; higher is better.

    .. math:: \log p(y_i \mid \mathcal{D}) \approx \log \frac1S \sum_s p(y_i \mid \theta_s)

    Averaged are densities and not their logs, which would be lower by Jensen's inequality.

    Args:
        log_densities: log p(y_i | θ_s) of shape (chain, draw, n). Minus infinity is admitted.

    Returns:
        One score a datum; minus infinity where every draw rules the datum out.

    Raises:
        ValueError: where it has not three axes, is empty, or holds NaN or plus infinity.
    """
    logs = np.asarray(log_densities, dtype=np.float64)
    if logs.ndim != 3 or logs.size == 0:
        raise checks.fail("log_densities", "of shape (chain, draw, n), none empty", logs.shape)
    # Minus infinity says that a draw rules a datum out; all else must be a number.
    checks.finite_array("log_densities", np.where(np.isneginf(logs), 0.0, logs))
    count = logs.shape[0] * logs.shape[1]
    with np.errstate(divide="ignore"):
        return special.logsumexp(logs.reshape(count, -1), axis=0) - np.log(count)


def root_mean_squared_error(y: ArrayLike, predicted: ArrayLike) -> float:
    """√ of the mean of (y − prediction)², in units of y; the predictive mean minimises it."""
    y, predicted = _paired(y, predicted)
    return float(np.sqrt(np.mean((y - predicted) ** 2)))


def mean_absolute_error(y: ArrayLike, predicted: ArrayLike) -> float:
    """The mean of |y − prediction|, in units of y; the predictive median minimises it."""
    y, predicted = _paired(y, predicted)
    return float(np.mean(np.abs(y - predicted)))


def crps_from_draws(y: ArrayLike, draws: ArrayLike) -> Float[np.ndarray, " n"]:
    r"""The continuous ranked probability score by draws, in units of y; lower is better.

    .. math:: \mathrm{CRPS}(F, y) = \int (F(t) - 1\{t \ge y\})^2\, \mathrm{d}t
              = \E|Y - y| - \tfrac12 \E|Y - Y'|

    The second expectation is over pairs of different draws, so that independent draws give the
    score without bias (Ferro 2014); a single estimate may then be slightly negative.

    Args:
        y: the data, shape (n,).
        draws: predictive draws of shape (chain, draw, n), at least two for each datum.

    Returns:
        One score a datum.
    """
    y = checks.finite_array("y", y, ndim=1)
    flat = flat_draws("draws", draws, len(y), minimum=2)
    count = len(flat)
    # Sorted, the draw of rank i is the larger of a pair i times and the smaller count − 1 − i.
    rank = np.arange(count)[:, None]
    pairs = np.sum((2 * rank - count + 1) * np.sort(flat, axis=0), axis=0)
    return np.mean(np.abs(flat - y), axis=0) - pairs / (count * (count - 1))


def crps_normal(y: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> Real:
    r"""The CRPS of a normal prediction, in units of y; lower is better.

    .. math:: \sigma \bigl( z (2 \Phi(z) - 1) + 2 \varphi(z) - 1/\sqrt{\pi} \bigr),\quad
              z = (y - m) / \sigma

    (Gneiting et al. 2005).

    Args:
        y: the data.
        mean: the predictive mean, of the shape of y or a number.
        sd: the predictive standard deviation, above zero, likewise.
    """
    z, sd = _standardised(y, mean, "sd", sd)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return sd * (z * (2 * special.ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))


def crps_student_t(y: ArrayLike, mean: ArrayLike, scale: ArrayLike, dof: float) -> Real:
    r"""The CRPS of a Student-t prediction, in units of y; lower is better.

    .. math:: s \Bigl( z (2 F_\nu(z) - 1) + 2 f_\nu(z) \frac{\nu + z^2}{\nu - 1}
              - \frac{2 \sqrt\nu}{\nu - 1}
              \frac{B(1/2, \nu - 1/2)}{B(1/2, \nu/2)^2} \Bigr),\quad z = (y - m) / s

    (Jordan, Krüger and Lerch 2019).

    Args:
        y: the data.
        mean: the centre of the prediction, of the shape of y or a number.
        scale: its scale, above zero, likewise.
        dof: its degrees of freedom, above one: at one or fewer the score is infinite.
    """
    z, scale = _standardised(y, mean, "scale", scale)
    nu = checks.positive("dof", dof)
    if nu <= 1:
        raise checks.fail("dof", "above 1, for the score to be finite", dof)
    log_beta = special.betaln(0.5, nu / 2)
    density = np.exp(-(nu + 1) / 2 * np.log1p(z**2 / nu) - 0.5 * np.log(nu) - log_beta)
    beta_ratio = np.exp(special.betaln(0.5, nu - 0.5) - 2 * log_beta)
    spread = 2 * np.sqrt(nu) / (nu - 1) * beta_ratio
    centre = z * (2 * special.stdtr(nu, z) - 1)
    return scale * (centre + 2 * density * (nu + z**2) / (nu - 1) - spread)


def interval_score(
    y: ArrayLike, lower: ArrayLike, upper: ArrayLike, probability: float
) -> Float[np.ndarray, " n"]:
    r"""The score of a central interval, in units of y; lower is better.

    .. math:: (u - l) + \frac{2}{\alpha} (l - y)_+ + \frac{2}{\alpha} (y - u)_+

    with α = 1 − probability: the width, and a fine for missing in proportion to the miss.

    Args:
        y: the data, shape (n,).
        lower: the lower ends, shape (n,).
        upper: the upper ends, shape (n,), nowhere below the lower.
        probability: what the interval claims to hold, strictly between 0 and 1.
    """
    y = checks.finite_array("y", y, ndim=1)
    lower = checks.finite_array("lower", lower, ndim=1)
    upper = checks.finite_array("upper", upper, ndim=1)
    checks.same_length(y=y, lower=lower, upper=upper)
    if (upper < lower).any():
        raise checks.fail("upper", "nowhere below lower", upper)
    alpha = 1 - checks.fraction("probability", probability)
    misses = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    return upper - lower + 2 / alpha * misses


def flat_draws(
    name: str, draws: ArrayLike, num_data: int, minimum: int
) -> Float[np.ndarray, "draws n"]:
    """Predictive draws of shape (chain, draw, n), all chains in one axis."""
    draws = checks.finite_array(name, draws, ndim=3)
    if draws.shape[2] != num_data:
        raise checks.fail(name, f"of shape (chain, draw, {num_data})", draws.shape)
    count = draws.shape[0] * draws.shape[1]
    if count < minimum:
        raise checks.fail(name, f"at least {minimum} for each datum", count)
    return draws.reshape(count, num_data)


def _paired(y: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y = checks.finite_array("y", y, ndim=1)
    predicted = checks.finite_array("predicted", predicted, ndim=1)
    checks.same_length(y=y, predicted=predicted)
    return y, predicted


def _standardised(y: ArrayLike, mean: ArrayLike, name: str, scale: ArrayLike) -> tuple[Real, Real]:
    y, mean = checks.finite_array("y", y), checks.finite_array("mean", mean)
    spread = checks.finite_array(name, scale)
    if (spread <= 0).any():
        raise checks.fail(name, "positive everywhere", scale)
    for argument, array in (("mean", mean), (name, spread)):
        if array.shape not in ((), y.shape):
            raise checks.fail(argument, f"a number or of shape {y.shape}, as y", array.shape)
    return (y - mean) / spread, spread
