r"""Student's t: what a normal distribution becomes when its variance is averaged out.

.. math:: y \mid \sigma^2 \sim N(m, \sigma c),\; \sigma^2 \sim \mathrm{InverseGamma}(a, b)
          \;\Rightarrow\; y \sim t_{2a}\bigl(m,\; c \sqrt{b/a}\bigr)

Its tails are those of a power, so it expects the outliers that a plug-in normal does not. Chapter
"Bayesian linear regression" introduces it (Student 1908).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bnnbook import checks
from bnnbook.exact import intervals
from bnnbook.exact.intervals import Interval, Real


@dataclass(frozen=True, eq=False)
class StudentT:
    """A shifted and scaled t distribution, or one for each of many quantities."""

    mean: Real
    """Its centre: the mean, where there is one (above one degree of freedom), and the median."""
    scale: Real
    """Its scale, above zero; the standard deviation is larger."""
    dof: float
    """Its degrees of freedom, above zero; the normal distribution is the limit of many."""

    def __post_init__(self) -> None:
        checks.finite_array("mean", self.mean)
        if (checks.finite_array("scale", self.scale) <= 0).any():
            raise checks.fail("scale", "positive and finite", self.scale)
        checks.positive("dof", self.dof)

    @property
    def sd(self) -> Real:
        """Standard deviation, scale · √(ν / (ν − 2)).

        Raises:
            ValueError: where there are at most two degrees of freedom: the variance is infinite.
        """
        if self.dof <= 2:
            raise checks.fail("dof", "above 2 for a finite standard deviation", self.dof)
        return self.scale * float(np.sqrt(self.dof / (self.dof - 2)))

    def log_density(self, y: ArrayLike) -> Real:
        """Log density at y, which must broadcast against the mean."""
        z, nu = self._standardised(y), self.dof
        # The beta function keeps its digits at many degrees of freedom; two gammas lose them.
        constant = -special.betaln(nu / 2, 0.5) - 0.5 * np.log(nu) - np.log(self.scale)
        return constant - (nu + 1) / 2 * np.log1p(z**2 / nu)

    def density(self, y: ArrayLike) -> Real:
        """Density at y."""
        return np.exp(self.log_density(y))

    def cdf(self, y: ArrayLike) -> Real:
        """Probability of at most y."""
        return special.stdtr(self.dof, self._standardised(y))

    def quantile(self, probability: float) -> Real:
        """The value below which the given probability lies, strictly between 0 and 1."""
        z = float(special.stdtrit(self.dof, checks.fraction("probability", probability)))
        return self.mean + self.scale * z

    def central_interval(self, probability: float) -> Interval:
        """The interval with equal probability outside at either end; also the shortest."""
        return intervals.central(self.quantile, probability)

    def _standardised(self, y: ArrayLike) -> Real:
        return (np.asarray(y, dtype=np.float64) - self.mean) / self.scale
