r"""Intervals of a distribution, and how often intervals cover the truth.

A central interval leaves equal probability outside at either end; a highest-density interval is the
shortest that holds the stated probability. Either kind can be simulated: draw a truth, draw data,
build the interval, count. The count is binomial, so the simulated coverage carries an error.
Chapter "Bayes' theorem" introduces all three.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from bnnbook import checks

Real = float | Float[np.ndarray, "..."]
"""A number, or an array of numbers: one for each of many data sets."""


class Interval(NamedTuple):
    """A closed interval, or one for each of many data sets."""

    lower: Real
    """Lower end."""
    upper: Real
    """Upper end."""

    @property
    def width(self) -> Real:
        """Upper end less lower end."""
        return self.upper - self.lower

    def covers(self, value: ArrayLike) -> Bool[np.ndarray, "..."]:
        """Whether each interval holds the value (ends included)."""
        value = np.asarray(value, dtype=np.float64)
        return np.asarray((self.lower <= value) & (value <= self.upper))


class Coverage(NamedTuple):
    """How often simulated intervals held the truth."""

    rate: float
    """The share of intervals that did."""
    mcse: float
    r"""Its Monte Carlo standard error, :math:`\sqrt{p(1-p)/R}`, never quite zero (see below)."""
    replications: int
    """The number of intervals simulated."""


def central(quantile: Callable[[float], Real], probability: float) -> Interval:
    r"""The interval from the quantile :math:`(1-p)/2` to the quantile :math:`(1+p)/2`.

    Args:
        quantile: the inverse distribution function.
        probability: what the interval holds, strictly between 0 and 1.

    Raises:
        ValueError: where the probability is not strictly between 0 and 1.
    """
    probability = checks.fraction("probability", probability)
    return Interval(quantile((1 - probability) / 2), quantile((1 + probability) / 2))


def highest_density(quantile: Callable[[float], float], probability: float) -> Interval:
    r"""The shortest interval that holds a given probability, for a density with one peak.

    Minimises :math:`Q(t + p) - Q(t)` over the probability :math:`t` left out below (Box and Tiao
    1973, section 2.8). For a density with several peaks the highest-density *region* may fall into
    pieces; this function then still returns one interval, so do not use it there.

    Args:
        quantile: the inverse distribution function, finite on the open unit interval.
        probability: what the interval holds, strictly between 0 and 1.

    Raises:
        ValueError: where the probability is not strictly between 0 and 1.
    """
    probability = checks.fraction("probability", probability)
    spare = 1 - probability

    def width(below: float) -> float:
        return float(quantile(min(below + probability, 1.0)) - quantile(below))

    best = minimize_scalar(width, bounds=(0.0, spare), method="bounded", options={"xatol": 1e-12})
    # The search never touches its bounds, where a density that falls throughout has its answer.
    below = min((0.0, float(best.x), spare), key=width)
    return Interval(float(quantile(below)), float(quantile(min(below + probability, 1.0))))


def coverage(covered: ArrayLike) -> Coverage:
    r"""The share of intervals that covered, with its binomial error.

    The error is the standard deviation of the Beta(k + 1/2, R - k + 1/2) posterior of the coverage,
    which is :math:`\sqrt{p(1-p)/R}` but for terms of order :math:`1/R`, and stays above zero where
    all or none of the intervals cover.

    Args:
        covered: one truth value for each simulated interval, of any shape.

    Raises:
        ValueError: where it is empty or not of truth values.
    """
    flags = np.asarray(covered)
    if flags.dtype != np.bool_ or flags.size == 0:
        raise checks.fail("covered", "a non-empty array of truth values", covered)
    count, total = float(flags.sum()), flags.size
    a, b = count + 0.5, total - count + 0.5
    return Coverage(count / total, float(np.sqrt(a * b / (a + b + 1)) / (a + b)), total)
