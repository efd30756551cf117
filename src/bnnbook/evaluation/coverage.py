r"""Coverage and PIT values: whether predictions were as sure as they had a right to be.

Of honest 90 % intervals 90 % cover, but for binomial error. The probability integral transform
(PIT) asks all levels at once: F_i(y_i), the predicted probability of at most what came, is uniform
when each y_i is drawn from its prediction F_i (Dawid 1984). Chapter "Bayesian linear regression"
introduces both.
"""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from bnnbook import checks
from bnnbook.evaluation.scores import flat_draws
from bnnbook.exact import intervals
from bnnbook.exact.intervals import Coverage, Interval, Real


def interval_from_draws(draws: ArrayLike, probability: float) -> Interval:
    r"""Central predictive intervals from draws.

    The ends are the draws of rank (S + 1)(1 ± p)/2 out of S, interpolated: where those ranks are
    whole, a datum exchangeable with the draws is covered with probability p exactly, however few
    the draws. The usual sample quantiles, that put the extreme draws at 0 and 1, are too narrow.

    Args:
        draws: predictive draws of shape (chain, draw, n).
        probability: what the intervals hold, strictly between 0 and 1.

    Returns:
        One interval a datum.

    Raises:
        ValueError: where there are too few draws to leave that little outside.
    """
    tail = (1 - checks.fraction("probability", probability)) / 2
    draws = checks.finite_array("draws", draws, ndim=3)
    # A rank of one is reached in spite of rounding: 1/0.05 is 20 draws less one, not one more.
    needed = int(np.ceil(1 / tail - 1 - 1e-9))
    flat = flat_draws("draws", draws, draws.shape[2], minimum=needed)
    lower, upper = np.quantile(flat, [tail, 1 - tail], axis=0, method="weibull")
    return Interval(lower, upper)


def coverage_from_draws(y: ArrayLike, draws: ArrayLike, probability: float) -> Coverage:
    """How many of the data their central predictive intervals cover, with the binomial error.

    The error holds for data that are independent given what was learnt; data that share a mistake
    in a fitted line are covered, or missed, together.

    Args:
        y: the data, shape (n,).
        draws: predictive draws of shape (chain, draw, n).
        probability: what the intervals claim to hold, strictly between 0 and 1.
    """
    y = checks.finite_array("y", y, ndim=1)
    flat_draws("draws", draws, len(y), minimum=1)
    return intervals.coverage(interval_from_draws(draws, probability).covers(y))


def coverage_from_quantiles(
    y: ArrayLike, quantile: Callable[[float], Real], probability: float
) -> Coverage:
    """The same from the predictive distributions' quantile function.

    Args:
        y: the data, shape (n,).
        quantile: from a probability to one quantile a datum, such as ``predictive(...).quantile``.
        probability: what the intervals claim to hold, strictly between 0 and 1.

    Raises:
        ValueError: where the quantiles are not one a datum, or not finite.
    """
    y = checks.finite_array("y", y, ndim=1)
    for end in (interval := intervals.central(quantile, probability)):
        if checks.finite_array("quantile", end).shape != y.shape:
            raise checks.fail("quantile", f"a function to shape {y.shape}", np.shape(end))
    return intervals.coverage(interval.covers(y))


def pit_from_cdf(y: ArrayLike, cdf: Callable[[ArrayLike], Real]) -> Float[np.ndarray, " n"]:
    """The predicted probability of at most each datum: uniform for honest predictions.

    Args:
        y: the data, shape (n,).
        cdf: from data to probabilities, such as ``predictive(...).cdf``.

    Raises:
        ValueError: where the function does not give one probability a datum.
    """
    y = checks.finite_array("y", y, ndim=1)
    pit = checks.finite_array("cdf", cdf(y))
    if pit.shape != y.shape or (pit < 0).any() or (pit > 1).any():
        raise checks.fail("cdf", f"a function to {len(y)} probabilities", pit)
    return pit


def pit_from_draws(rng_key: jax.Array, y: ArrayLike, draws: ArrayLike) -> Float[np.ndarray, " n"]:
    """The rank of each datum among its predictive draws, made continuous by chance.

    A datum with r of S draws below it and t equal to it gets (r + (t + 1) U) / (S + 1), U uniform:
    exactly uniform for a datum exchangeable with its draws, discrete data included (Smith 1985).

    Args:
        rng_key: a JAX key, for U.
        y: the data, shape (n,).
        draws: predictive draws of shape (chain, draw, n).
    """
    y = checks.finite_array("y", y, ndim=1)
    flat = flat_draws("draws", draws, len(y), minimum=1)
    below, ties = np.sum(flat < y, axis=0), np.sum(flat == y, axis=0)
    with jax.enable_x64(True):
        u = np.asarray(jax.random.uniform(rng_key, y.shape, dtype=np.float64))
    return (below + (ties + 1) * u) / (len(flat) + 1)
