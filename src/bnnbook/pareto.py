"""Pareto k̂: whether an average of importance weights can be trusted.

Draws from an approximation q, weighted by p/q, stand for draws from p. Their average is no better
than its largest weights, and the shape k̂ of the generalised Pareto distribution fitted to those
tells how heavy their tail is. Chapter "Model evidence" introduces it.
"""

from typing import Any

import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Float

GREATEST_PARETO_K = 0.7
"""Above it the average of such weights is not to be trusted (Vehtari et al. 2024)."""


def pareto_k(log_weights: Float[np.ndarray, "..."]) -> float:
    """The shape of the generalised Pareto distribution fitted to the largest weights.

    Moments of order above 1/k̂ are infinite; where k̂ exceeds 0.7, the average of the weights
    converges too slowly for any feasible number of them (Vehtari et al. 2024). Weights that are all
    alike have no tail: then it is −∞. Where one weight is beside all others as good as infinite,
    k̂ is ∞.
    """
    if np.ptp(log_weights) < 1e-12:
        return -np.inf
    # ArviZ is given log ratios with the sign of a log-likelihood, and turns it.
    psislw: Any = array_stats.psislw
    k = float(psislw(-np.ravel(log_weights))[1])
    if not np.isnan(k) or np.isnan(log_weights).any():
        return k
    # The fit fails where all of the tail are alike, or where one leaves the others no part in it.
    return np.inf if np.ptp(log_weights) > 1 else -np.inf
