r"""The harmonic mean of the likelihood over posterior draws: simple, popular and wrong.

.. math:: \frac{1}{p(\mathcal{D})} = \E\Bigl[\frac{1}{p(\mathcal{D} \mid \theta)}
          \Bigm| \mathcal{D}\Bigr] \approx \frac1S \sum_s \frac{1}{p(\mathcal{D} \mid \theta_s)}

The identity is true (Newton and Raftery 1994). The average is that of weights whose variance is
mostly infinite: it is ruled by the draws of lowest likelihood, and those that matter are never
drawn. It comes out too high, hardly depends on the prior, and looks stable from run to run (Neal
1994). The Pareto k̂ of its own weights gives it away. Introduced in the chapter "Model evidence".
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from bnnbook.evidence.record import Evidence, timed
from bnnbook.evidence.target import Target
from bnnbook.pareto import GREATEST_PARETO_K, pareto_k

MIN_SAMPLES = 100


@timed
def estimate(target: Target, draws: ArrayLike) -> Evidence:
    """The harmonic mean estimate, flagged where its k̂ is above 0.7.

    Args:
        target: the model.
        draws: posterior draws, shape (chain, draw, dimension).

    Returns:
        The record. Its standard error is None where k̂ is above 0.7: a number would mislead. That of
        the textbook formula for independent draws is ``diagnostics["nominal_error"]``.

    Raises:
        ValueError: where there are fewer than 100 draws a chain, or a draw has likelihood zero.
    """
    draws = target.check_draws(draws, MIN_SAMPLES)
    log_weights = -target.evaluate(draws.reshape(-1, target.dimension)).log_likelihood
    if not np.isfinite(log_weights).all():
        raise ValueError("draws must have a finite log_likelihood everywhere, got -inf")
    value = float(np.log(len(log_weights)) - logsumexp(log_weights))
    k, error = pareto_k(log_weights), relative_error(log_weights)
    trusted = error if k <= GREATEST_PARETO_K else None
    diagnostics = {"pareto_k": k, "nominal_error": error}
    return Evidence(value, trusted, len(log_weights), diagnostics=diagnostics)


def relative_error(log_weights: Float[np.ndarray, " draw"]) -> float:
    """The standard error of the log of the average of independent weights, by the delta method."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.std(ddof=1) / weights.mean() / np.sqrt(len(weights)))
