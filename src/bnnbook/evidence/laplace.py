r"""Laplace's approximation: as if the posterior were normal around its mode.

.. math:: p(\theta \mid \mathcal{D}) \approx N(\hat\theta, H^{-1}), \qquad
          \log p(\mathcal{D}) \approx \log p(\mathcal{D} \mid \hat\theta) + \log p(\hat\theta)
          + \tfrac{d}{2} \log 2\pi - \tfrac12 \log |H|

with H the negative Hessian of the log posterior at its mode θ̂, and a covariance matrix in the
second place of N (Laplace 1774; Tierney and Kadane 1986). The relative error of the evidence falls
as 1/n, that of the density as 1/√n. Both are exact for a normal posterior. They fail for skewed,
bounded, heavy-tailed or many-humped ones, they change with the parameterisation, and neither the
mode nor the evidence tells: it has no standard error. Draws do tell: weighed by what the posterior
says of them, they give a Pareto k̂ and a distance (:func:`check`). The evidence is introduced in the
chapter "Model evidence", the posterior in "The limits of exact inference".
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from bnnbook import checks
from bnnbook.datatree import from_draws
from bnnbook.evidence import mode, proposal
from bnnbook.evidence.proposal import Proposal
from bnnbook.evidence.record import Evidence, timed
from bnnbook.evidence.target import Target
from bnnbook.pareto import GREATEST_PARETO_K, pareto_k

NOTE = "no standard error: the error is a bias that depends on the parameterisation"
MIN_DRAWS = 100
EQUAL = 1e-8
"""Log weights that differ by less than this are equal but for rounding: the posterior is normal."""


@dataclass(frozen=True, eq=False)
class LaplaceApproximation:
    """A normal distribution in place of a posterior of unbounded parameters."""

    normal: Proposal
    """The distribution itself: centred at the mode, with the curvature there."""
    names: tuple[str, ...]
    """What each parameter is called."""
    log_evidence: float
    """The log of the integral of the density that has this peak and this shape, in nats."""
    num_evaluations: int
    """Points at which the target was evaluated to find it."""

    @property
    def mean(self) -> Float[np.ndarray, " dimension"]:
        """The mode of the posterior, which the approximation takes for its mean."""
        return self.normal.centre

    @property
    def covariance(self) -> Float[np.ndarray, "dimension dimension"]:
        """The inverse of the negative Hessian at the mode."""
        return self.normal.root @ self.normal.root.T

    @property
    def sd(self) -> Float[np.ndarray, " dimension"]:
        """Standard deviation of each parameter."""
        return np.sqrt(np.diag(self.covariance))

    def draws(self, rng_key: jax.Array, num_draws: int) -> Float[np.ndarray, "draw dimension"]:
        """Independent draws, of the unbounded parameters."""
        return self.normal.sample(rng_key, checks.at_least("num_draws", num_draws, 1))


class Check(NamedTuple):
    """What an approximation says of itself when it is held against its target's density."""

    gradient: float
    """Length of the gradient at the mode, in standard deviations: 0 but for rounding."""
    falls: Float[np.ndarray, "side dimension"]
    """By how much the log density falls two standard deviations to either side of the mode, a
    column a parameter: 2 everywhere for a normal posterior."""
    pareto_k: float
    """Shape of the tail of the importance weights: not to be trusted above 0.7; −∞ where all
    weights are equal, for then there is no tail."""
    effective_share: float
    """How many draws from the posterior a draw is worth, (Σw)² / (S Σw²): 1 for a normal one."""
    total_variation: float
    """Estimate of ½ ∫ |p − q|: the most by which the two can differ on any event's probability."""
    standard_error: float
    """Its Monte Carlo standard error, not to be trusted where k̂ is above 0.5."""

    @property
    def flagged(self) -> bool:
        """Whether k̂ says not to trust the approximation, nor the estimates above."""
        return not self.pareto_k <= GREATEST_PARETO_K


@timed
def estimate(target: Target) -> Evidence:
    """The evidence of the normal approximation at the mode.

    Raises:
        ValueError: where there is no mode or its Hessian is singular.
    """
    found = approximate(target)
    return Evidence(found.log_evidence, None, found.num_evaluations, diagnostics={"note": NOTE})


def approximate(target: Target) -> LaplaceApproximation:
    """The normal distribution at the mode, with the mode's curvature.

    It is an approximation in the parameters of the target, which are unbounded: for a NumPyro model
    with τ > 0 it is log τ that is taken for normal.

    Raises:
        ValueError: where there is no mode (the density rises without end, or up to a bound) or its
            Hessian is singular.
    """
    top = mode.find(target)
    log_volume = 0.5 * target.dimension * np.log(2 * np.pi) + np.log(np.diag(top.root)).sum()
    normal = proposal.from_mode(top, dof=math.inf)
    value = float(top.log_density + log_volume)
    return LaplaceApproximation(normal, target.names, value, top.num_evaluations)


def to_tree(
    rng_key: jax.Array,
    target: Target,
    approximation: LaplaceApproximation,
    *,
    num_samples: int = 1000,
    num_chains: int = 4,
) -> xr.DataTree:
    """Draws as a ``DataTree``, by the names and within the bounds of the target's model.

    Where the target was not made from a model, its own names and unbounded parameters are used. The
    draws are independent, and "chains" only so that the usual diagnostics read them.

    Args:
        rng_key: a JAX key.
        target: the model.
        approximation: its approximation.
        num_samples: draws a chain.
        num_chains: chains.

    Raises:
        ValueError: where a number is below 1, or target and approximation differ in names.
    """
    _same_names(target, approximation)
    num_chains = checks.at_least("num_chains", num_chains, 1)
    num_samples = checks.at_least("num_samples", num_samples, 1)
    flat = approximation.draws(rng_key, num_chains * num_samples)
    draws = flat.reshape(num_chains, num_samples, -1)
    if target.unflatten is None:
        named = {name: draws[..., j] for j, name in enumerate(target.names)}
    else:
        named = target.unflatten(draws)
    return from_draws(posterior=named, attrs={"method": "Laplace"})


def check(
    rng_key: jax.Array,
    target: Target,
    approximation: LaplaceApproximation,
    *,
    num_draws: int = 4000,
) -> Check:
    r"""Hold an approximation q against the density p of its target, without knowing the truth.

    .. math:: \mathrm{TV}(p, q) = \tfrac12 \int |p - q| = \tfrac12\,
              \mathbb{E}_q\left|\frac{w}{\mathbb{E}_q w} - 1\right|,\qquad
              w(\theta) = \frac{p(\mathcal{D}, \theta)}{q(\theta)}

    It fails where q misses a part of the posterior altogether: no draw is there to tell (Yao et al.
    2018 on k̂ as the diagnostic of an approximation).

    Args:
        rng_key: a JAX key.
        target: the model.
        approximation: its approximation.
        num_draws: draws from the approximation, at least 100.

    Raises:
        ValueError: where there are too few draws, the names differ, or no draw has any density.
    """
    _same_names(target, approximation)
    num_draws = checks.at_least("num_draws", num_draws, MIN_DRAWS)
    points = approximation.draws(rng_key, num_draws)
    log_weights = target.evaluate(points).log_joint - approximation.normal.log_density(points)
    if not np.isfinite(log_weights).any():
        raise checks.fail("approximation", "one that overlaps the target", approximation.mean)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.mean()
    distance, error = _total_variation(weights)
    return Check(
        gradient=_gradient(target, approximation),
        falls=_falls(target, approximation),
        pareto_k=pareto_k(log_weights) if np.ptp(log_weights) > EQUAL else -math.inf,
        effective_share=float(1 / np.mean(weights**2)),
        total_variation=distance,
        standard_error=error,
    )


def _total_variation(weights: Float[np.ndarray, " draw"]) -> tuple[float, float]:
    """Half the mean distance of the weights, whose mean is 1, from 1, and its error."""
    away = np.abs(weights - 1)
    # The weights were divided by their own mean, which has an error too (the delta method).
    slope = np.mean(np.sign(weights - 1) * weights)
    influence = 0.5 * (away - away.mean() - slope * (weights - 1))
    return float(0.5 * away.mean()), float(influence.std() / np.sqrt(len(weights)))


def _gradient(target: Target, approximation: LaplaceApproximation) -> float:
    _, gradient, _ = target.derivatives(approximation.mean)
    return float(np.linalg.norm(approximation.normal.root.T @ gradient))


def _falls(
    target: Target, approximation: LaplaceApproximation
) -> Float[np.ndarray, "side dimension"]:
    # Each parameter two of its standard deviations out, the others where they then are on average.
    steps = 2 * approximation.covariance / approximation.sd
    around = np.concatenate([approximation.mean - steps.T, approximation.mean + steps.T])
    top = target.evaluate(approximation.mean[None]).log_joint[0]
    return (top - target.evaluate(around).log_joint).reshape(2, -1)


def _same_names(target: Target, approximation: LaplaceApproximation) -> None:
    if approximation.names != target.names:
        raise checks.fail("approximation", f"of the target's {target.names}", approximation.names)
