r"""A proportion: beta prior, binomial data, beta posterior.

.. math:: \theta \sim \mathrm{Beta}(a, b),\; k \sim \mathrm{Binomial}(n, \theta)
          \;\Rightarrow\; \theta \mid k \sim \mathrm{Beta}(a + k,\, b + n - k)

The prior acts as :math:`a` successes and :math:`b` failures seen before the first datum. Chapter
"Bayes' theorem" introduces the pair (Bayes 1763 had it with a = b = 1).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincinv, betaln, gammaln, xlog1py, xlogy

from bnnbook import checks
from bnnbook.exact import intervals
from bnnbook.exact.intervals import Interval, Real


@dataclass(frozen=True)
class Beta:
    """A beta distribution on the unit interval."""

    a: float
    """First shape, above zero: successes imagined or seen, of which a flat prior holds one."""
    b: float
    """Second shape, above zero: likewise the failures."""

    def __post_init__(self) -> None:
        checks.positive("a", self.a)
        checks.positive("b", self.b)

    @classmethod
    def from_mean(cls, mean: float, strength: float) -> "Beta":
        """The beta distribution of a given mean, worth ``strength`` = a + b observations."""
        mean = checks.fraction("mean", mean)
        strength = checks.positive("strength", strength)
        return cls(mean * strength, (1 - mean) * strength)

    @property
    def strength(self) -> float:
        """The number of observations that the distribution is worth, a + b."""
        return self.a + self.b

    @property
    def mean(self) -> float:
        """a / (a + b)."""
        return self.a / (self.a + self.b)

    @property
    def sd(self) -> float:
        """Square root of ab / ((a + b)² (a + b + 1))."""
        return float(np.sqrt(self.mean * (1 - self.mean) / (self.a + self.b + 1)))

    @property
    def mode(self) -> float:
        """Where the density peaks, (a - 1) / (a + b - 2), for a and b of at least 1.

        Raises:
            ValueError: where the density has no single peak.
        """
        if min(self.a, self.b) < 1 or self.a == self.b == 1:
            raise checks.fail("a and b", "at least 1, one of them above, to have one peak", self)
        return (self.a - 1) / (self.a + self.b - 2)

    def log_density(self, theta: ArrayLike) -> Real:
        """Log density at theta; minus infinity outside the unit interval."""
        theta = np.asarray(theta, dtype=np.float64)
        inside = (theta >= 0) & (theta <= 1)
        t = np.where(inside, theta, 0.5)
        value = xlogy(self.a - 1, t) + xlog1py(self.b - 1, -t) - betaln(self.a, self.b)
        return np.where(inside, value, -np.inf)[()]

    def density(self, theta: ArrayLike) -> Real:
        """Density at theta; zero outside the unit interval."""
        return np.exp(self.log_density(theta))

    def cdf(self, theta: ArrayLike) -> Real:
        """Probability of at most theta."""
        return betainc(self.a, self.b, np.clip(theta, 0.0, 1.0))

    def quantile(self, probability: float) -> float:
        """The value below which the given probability lies."""
        return float(betaincinv(self.a, self.b, checks.probability("probability", probability)))

    def central_interval(self, probability: float) -> Interval:
        """The interval with equal probability outside at either end."""
        return intervals.central(self.quantile, probability)

    def highest_density_interval(self, probability: float) -> Interval:
        """The shortest interval of that probability.

        Raises:
            ValueError: where a and b are both below 1: the density is then highest at both ends.
        """
        if max(self.a, self.b) < 1 or self.a == self.b == 1:
            raise checks.fail("a and b", "such that the density has one peak", self)
        return intervals.highest_density(self.quantile, probability)


def update(prior: Beta, successes: int, trials: int) -> Beta:
    """The posterior after so many successes in so many trials: Beta(a + k, b + n - k).

    Args:
        prior: what is known of the proportion before.
        successes: k, a whole number from 0 to ``trials``.
        trials: n, a whole number of at least 0; with no trials the prior comes back.

    Raises:
        ValueError: where a count is negative, not whole, or the successes exceed the trials.
    """
    successes, trials = _counts(successes, trials)
    return Beta(prior.a + successes, prior.b + trials - successes)


def update_sequentially(prior: Beta, outcomes: ArrayLike) -> list[Beta]:
    """The prior, then the posterior after each outcome in turn (1 a success, 0 a failure).

    Raises:
        ValueError: where there are no outcomes, or one is neither 0 nor 1.
    """
    flags = checks.finite_array("outcomes", outcomes, ndim=1)
    if not np.isin(flags, (0.0, 1.0)).all():
        raise checks.fail("outcomes", "0 or 1 everywhere", outcomes)
    states = [prior]
    for flag in flags:
        states.append(update(states[-1], int(flag), 1))
    return states


def log_evidence(prior: Beta, successes: int, trials: int) -> float:
    r"""Log probability of one particular sequence: :math:`\log B(a+k, b+n-k) - \log B(a, b)`.

    For the probability of the *count*, in whatever order, use ``predictive``, which holds the
    binomial coefficient. The posterior is the same under both.

    Raises:
        ValueError: as ``update``.
    """
    posterior = update(prior, successes, trials)
    return float(betaln(posterior.a, posterior.b) - betaln(prior.a, prior.b))


def predictive(distribution: Beta, trials: int) -> Float[np.ndarray, " count"]:
    r"""Probabilities of 0 to ``trials`` successes, the proportion averaged out: beta-binomial.

    .. math:: p(k) = \binom{n}{k} \frac{B(a + k, b + n - k)}{B(a, b)}

    Args:
        distribution: the prior (for a prior predictive) or the posterior.
        trials: the number of future trials, at least 1.

    Raises:
        ValueError: where ``trials`` is not a whole number of at least 1.
    """
    trials = checks.at_least("trials", trials, 1)
    k = np.arange(trials + 1.0)
    log_choose = gammaln(trials + 1) - gammaln(k + 1) - gammaln(trials - k + 1)
    a, b = distribution.a, distribution.b
    return np.exp(log_choose + betaln(a + k, b + trials - k) - betaln(a, b))


def _counts(successes: int, trials: int) -> tuple[int, int]:
    trials = checks.at_least("trials", trials, 0)
    successes = checks.at_least("successes", successes, 0)
    if successes > trials:
        raise ValueError(f"successes must not exceed trials, got {successes} of {trials}")
    return successes, trials
