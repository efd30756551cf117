r"""Bayes' theorem over finitely many hypotheses.

.. math::

    p(h \mid \mathcal{D})
    = \frac{p(\mathcal{D} \mid h)\, p(h)}{\sum_k p(\mathcal{D} \mid k)\, p(k)}

All products are sums of logarithms, so that a thousand data do not underflow. Chapter "Bayes'
theorem" introduces it with a medical test.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from bnnbook import checks

SUM_TOLERANCE = 1e-9
"""How far from one the prior's probabilities may sum: rounding, not a mistake."""


class DiscretePosterior(NamedTuple):
    """What the data say about each hypothesis."""

    log_probabilities: Float[np.ndarray, " hypothesis"]
    """Logarithm of each posterior probability; minus infinity where it is zero."""
    log_evidence: float
    """Logarithm of the probability (density) of the data, averaged over the prior."""

    @property
    def probabilities(self) -> Float[np.ndarray, " hypothesis"]:
        """The posterior probabilities; they sum to one."""
        return np.exp(self.log_probabilities)


class DiscreteUpdates(NamedTuple):
    """The posterior after each datum, for data that come one at a time."""

    log_probabilities: Float[np.ndarray, "datum hypothesis"]
    """Logarithm of the posterior after the first datum, after the first two, and so on."""
    log_predictives: Float[np.ndarray, " datum"]
    """Log probability of each datum given those before it; they sum to the log evidence."""


def update(prior: ArrayLike, log_likelihood: ArrayLike) -> DiscretePosterior:
    r"""The posterior from a prior and the log likelihood of each hypothesis.

    Args:
        prior: prior probabilities, shape (hypothesis,), summing to one.
        log_likelihood: :math:`\log p(\mathcal{D} \mid h)`, shape (hypothesis,); minus infinity is
            admitted, for data that a hypothesis rules out.

    Raises:
        ValueError: where the prior is not a probability distribution, the two lengths differ, a log
            likelihood is NaN or plus infinity, or no hypothesis with prior mass admits the data.
    """
    log_prior = _log_prior(prior)
    likelihood = _log_values("log_likelihood", log_likelihood, ndim=1)
    checks.same_length(prior=log_prior, log_likelihood=likelihood)
    joint = log_prior + likelihood
    log_evidence = float(logsumexp(joint))
    if log_evidence == -np.inf:
        raise ValueError(
            "log_likelihood must be above -inf for a hypothesis whose prior is above zero, "
            f"got likelihood zero for all {np.sum(log_prior > -np.inf)} of them"
        )
    return DiscretePosterior(joint - log_evidence, log_evidence)


def update_sequentially(prior: ArrayLike, log_likelihoods: ArrayLike) -> DiscreteUpdates:
    r"""The posterior after each of several data that are independent given the hypothesis.

    Yesterday's posterior is today's prior.

    Args:
        prior: prior probabilities, shape (hypothesis,), summing to one.
        log_likelihoods: :math:`\log p(y_i \mid h)`, shape (datum, hypothesis).

    Raises:
        ValueError: as ``update``, and where there are no data.
    """
    rows = _log_values("log_likelihoods", log_likelihoods, ndim=2)
    log_probabilities, log_predictives = [], []
    current = np.asarray(prior, dtype=np.float64)
    for row in rows:
        posterior = update(current, row)
        log_probabilities.append(posterior.log_probabilities)
        log_predictives.append(posterior.log_evidence)
        current = posterior.probabilities
    return DiscreteUpdates(np.array(log_probabilities), np.array(log_predictives))


def _log_prior(prior: ArrayLike) -> Float[np.ndarray, " hypothesis"]:
    probabilities = checks.finite_array("prior", prior, ndim=1)
    if (probabilities < 0).any() or abs(probabilities.sum() - 1) > SUM_TOLERANCE:
        expected = "probabilities (none negative) that sum to 1"
        raise checks.fail("prior", expected, f"{prior!r} with sum {probabilities.sum():g}")
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def _log_values(name: str, value: ArrayLike, *, ndim: int) -> Float[np.ndarray, "..."]:
    """Logarithms: finite or minus infinity."""
    array = np.asarray(value)
    if array.dtype.kind in "fiu":
        # Minus infinity is the logarithm of zero, so it passes; whatever else is not finite, fails.
        checks.finite_array(name, np.where(np.isneginf(array), 0.0, array), ndim=ndim)
        return array.astype(np.float64)
    return checks.finite_array(name, value, ndim=ndim)
