r"""The evidence of a nested model, from the larger model's posterior density at one point.

.. math:: \frac{p(\mathcal{D} \mid M_0)}{p(\mathcal{D} \mid M_1)}
          = \frac{p(\psi = \psi_0 \mid \mathcal{D}, M_1)}{p(\psi = \psi_0 \mid M_1)}

for M₀ that fixes ψ = ψ₀ and has M₁'s prior of the rest, given ψ = ψ₀ (Dickey 1971). The posterior
density comes from draws by Chen's (1994) importance-weighted marginal density estimator,

.. math:: p(\psi_0 \mid \mathcal{D}) = \E\Bigl[c(\psi \mid \phi)\,
          \frac{p(\mathcal{D}, \psi_0, \phi)}{p(\mathcal{D}, \psi, \phi)} \Bigm| \mathcal{D}\Bigr]

where c is the normal conditional density of ψ given the rest φ, fitted to the first half of the
draws: no smoothing, so no bias. It fails where ψ₀ lies in a tail that the draws hardly
reach, or where the priors of φ differ between the models. Introduced in the chapter "Model
evidence".
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from bnnbook import checks
from bnnbook.evidence import proposal
from bnnbook.evidence.record import Evidence, effective_size, tail_shape, timed
from bnnbook.evidence.target import Target

MIN_SAMPLES = 100


@timed
def estimate(
    target: Target,
    draws: ArrayLike,
    *,
    name: str,
    value: float,
    log_prior_density: float,
    full: Evidence,
) -> Evidence:
    """The evidence of the model with one parameter fixed.

    Args:
        target: the larger model.
        draws: its posterior draws, shape (chain, draw, dimension), at least 100 a chain.
        name: the parameter that is fixed, one of ``target.names``; on the target's unbounded scale.
        value: where it is fixed.
        log_prior_density: the log of the larger model's marginal prior density there.
        full: the larger model's evidence; its error and evaluations are added to.

    Returns:
        The record of the smaller model; ``diagnostics["log_bayes_factor"]`` is that of the smaller
        over the larger, with its own error in ``diagnostics["bayes_factor_error"]``.

    Raises:
        ValueError: where there are too few draws, no such parameter, or the density there is zero.
    """
    draws = target.check_draws(draws, MIN_SAMPLES)
    index = target.names.index(checks.one_of("name", name, target.names))
    value = checks.finite("value", value)
    prior = checks.finite("log_prior_density", log_prior_density)
    log_weights = _log_weights(target, draws, index, value)
    if not np.isfinite(log_weights).any() or np.isposinf(log_weights).any():
        raise checks.fail("value", "where the posterior density is positive", value)
    density = float(logsumexp(log_weights) - np.log(log_weights.size))
    error = _error(np.exp(log_weights - density))
    diagnostics = {
        "pareto_k": tail_shape(log_weights),
        "log_bayes_factor": density - prior,
        "bayes_factor_error": error,
    }
    return Evidence(
        full.log_evidence + density - prior,
        float(np.hypot(error, full.standard_error or 0.0)),
        full.num_evaluations + 2 * log_weights.size,
        full.seconds,
        diagnostics,
    )


def _log_weights(
    target: Target, draws: Float[np.ndarray, "chain draw dimension"], index: int, value: float
) -> Float[np.ndarray, "chain kept"]:
    half = draws.shape[1] // 2
    fitted = proposal.from_draws(draws[:, :half])
    kept = draws[:, half:].reshape(-1, target.dimension)
    moved = kept.copy()
    moved[:, index] = value
    log_p = target.evaluate(np.concatenate([moved, kept])).log_joint
    ratio = log_p[: len(kept)] - log_p[len(kept) :]
    log_weights = ratio + _log_conditional(fitted, kept, index)
    return log_weights.reshape(draws.shape[0], -1)


def _log_conditional(
    fitted: proposal.Proposal, points: Float[np.ndarray, "point dimension"], index: int
) -> Float[np.ndarray, " point"]:
    """The normal density of one coordinate given the others."""
    inverse = np.linalg.inv(fitted.root)
    precision = inverse.T @ inverse
    # Given the others, z has precision Λᵢᵢ around a mean that makes Σⱼ Λᵢⱼ (xⱼ − mⱼ) zero.
    distance = (points - fitted.centre) @ precision[index] / precision[index, index]
    variance = 1 / precision[index, index]
    return -0.5 * distance**2 / variance - 0.5 * np.log(2 * np.pi * variance)


def _error(weights: Float[np.ndarray, "chain kept"]) -> float:
    """Of the log of an average of draws that depend on each other."""
    ess = effective_size(weights)
    return float(weights.std(ddof=1) / weights.mean() / np.sqrt(ess))
