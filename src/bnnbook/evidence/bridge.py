r"""Bridge sampling: posterior draws and proposal draws meet in the middle.

.. math:: p(\mathcal{D}) = \frac{\E_g[h\, p(\mathcal{D}, \theta)]}{\E_p[h\, g(\theta)]},\quad
          h \propto \frac{1}{s_1\, p(\mathcal{D}, \theta) / p(\mathcal{D}) + s_2\, g(\theta)}

True for any h that bridges posterior p and proposal g; this one has the least error, and as it
needs the answer, one iterates (Meng and Wong 1996). The proposal is a normal fitted to the first
half of the draws; the second half enters the formula, for using draws twice biases it (Overstall
and Forster 2010). Neither tail is divided by the other: milder on the proposal than importance
sampling. The standard error counts the draws by their effective number (Frühwirth-Schnatter 2004).
It fails where the draws missed a mode, or where p and g hardly overlap. Introduced in the chapter
"Model evidence".
"""

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from bnnbook.evidence import proposal
from bnnbook.evidence.record import Evidence, effective_size, timed
from bnnbook.evidence.target import Target

MIN_SAMPLES, MAX_ITERATIONS = 100, 1000


@timed
def estimate(rng_key: jax.Array, target: Target, draws: ArrayLike) -> Evidence:
    """The bridge estimate with its standard error.

    Args:
        rng_key: a JAX key, for the proposal.
        target: the model.
        draws: posterior draws, shape (chain, draw, dimension), at least 100 a chain.

    Raises:
        ValueError: where there are too few draws, they do not span all dimensions, have density
            zero, or the iteration does not settle.
    """
    draws = target.check_draws(draws, MIN_SAMPLES)
    half = draws.shape[1] // 2
    g = proposal.from_draws(draws[:, :half])
    kept = draws[:, half:]
    posterior = kept.reshape(-1, target.dimension)
    proposed = g.sample(rng_key, len(posterior))
    log_p = target.evaluate(np.concatenate([posterior, proposed])).log_joint
    log_ratio = log_p - g.log_density(np.concatenate([posterior, proposed]))
    at_p, at_g = log_ratio[: len(posterior)].reshape(kept.shape[:2]), log_ratio[len(posterior) :]
    if not np.isfinite(at_p).all():
        raise ValueError("draws must have a finite log density everywhere, got -inf")
    share = _share(at_p, len(at_g))
    value, iterations = _iterate(at_p, at_g, share)
    error = _error(at_p - value, at_g - value, share)
    return Evidence(value, error, len(log_p), diagnostics={"iterations": float(iterations)})


def _share(at_p: Float[np.ndarray, "chain draw"], num_proposed: int) -> float:
    """The share of posterior draws among all, each counted by its worth."""
    worth = effective_size(at_p)
    return worth / (worth + num_proposed)


def _iterate(
    at_p: Float[np.ndarray, "chain draw"], at_g: Float[np.ndarray, " proposed"], share: float
) -> tuple[float, int]:
    """The fixed point of r = mean_g[l / (s₁ l + s₂ r)] / mean_p[1 / (s₁ l + s₂ r)], in logs."""
    log_share, log_rest = np.log(share), np.log1p(-share)
    value = float(np.median(at_p))
    for iteration in range(1, MAX_ITERATIONS + 1):
        top = logsumexp(at_g - np.logaddexp(log_share + at_g, log_rest + value)) - np.log(at_g.size)
        bottom = logsumexp(-np.logaddexp(log_share + at_p, log_rest + value)) - np.log(at_p.size)
        before, value = value, float(top - bottom)
        if not np.isfinite(value):
            break
        if abs(value - before) < 1e-10:
            return value, iteration
    raise ValueError(f"draws must overlap with the normal fitted to them, got log ratio {value}")


def _error(
    at_p: Float[np.ndarray, "chain draw"], at_g: Float[np.ndarray, " proposed"], share: float
) -> float:
    """Frühwirth-Schnatter's relative standard error, for log ratios of normalised p and g."""
    of_g = np.exp(at_g - np.logaddexp(np.log(share) + at_g, np.log1p(-share)))
    of_p = np.exp(-np.logaddexp(np.log(share) + at_p, np.log1p(-share)))
    ess = effective_size(of_p)
    square = of_g.var() / of_g.mean() ** 2 / of_g.size + of_p.var() / of_p.mean() ** 2 / ess
    return float(np.sqrt(square))
