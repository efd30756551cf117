"""Densities to draw from in place of the posterior: a normal or a Student-t with its shape.

Chosen at the mode or from posterior draws. Importance sampling needs tails at least as heavy as the
posterior's, so a t; bridge sampling does not mind. Introduced in the chapter "Model evidence".
"""

import math
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import gammaln

from bnnbook import checks
from bnnbook.evidence.mode import Mode


class Proposal(NamedTuple):
    """A multivariate normal or Student-t distribution."""

    centre: Float[np.ndarray, " dimension"]
    """Its centre."""
    root: Float[np.ndarray, "dimension dimension"]
    """Lower triangular; root rootᵀ is the scale matrix."""
    dof: float
    """Degrees of freedom; infinite for a normal."""

    def sample(
        self, rng_key: jax.Array, num_samples: int
    ) -> Float[np.ndarray, "num_samples dimension"]:
        """Independent draws."""
        for_normal, for_scale = jax.random.split(rng_key)
        with jax.enable_x64(True):
            z = np.asarray(jax.random.normal(for_normal, (num_samples, len(self.centre)), float))
            if math.isfinite(self.dof):
                half = np.full(num_samples, self.dof / 2)
                z = z / np.sqrt(np.asarray(jax.random.gamma(for_scale, half)) / half)[:, None]
        return self.centre + z @ self.root.T

    def log_density(
        self, points: Float[np.ndarray, "point dimension"]
    ) -> Float[np.ndarray, " point"]:
        """The normalised log density at each point."""
        square = (np.linalg.solve(self.root, (points - self.centre).T) ** 2).sum(axis=0)
        d, nu = len(self.centre), self.dof
        log_volume = np.log(np.diag(self.root)).sum()
        if math.isinf(nu):
            return -0.5 * square - 0.5 * d * np.log(2 * np.pi) - log_volume
        constant = gammaln((nu + d) / 2) - gammaln(nu / 2) - 0.5 * d * np.log(nu * np.pi)
        return constant - log_volume - 0.5 * (nu + d) * np.log1p(square / nu)


def from_mode(top: Mode, *, dof: float = 5.0) -> Proposal:
    """Centred at the mode, shaped by the curvature there; ``dof=math.inf`` for a normal."""
    return Proposal(top.position, top.root, _dof(dof))


def from_draws(draws: ArrayLike, *, dof: float = math.inf) -> Proposal:
    """With the mean and covariance of draws, shape (chain, draw, dimension).

    Raises:
        ValueError: where there are too few draws for a covariance of full rank.
    """
    draws = checks.finite_array("draws", draws, ndim=3)
    flat = draws.reshape(-1, draws.shape[-1])
    centre, centred = flat.mean(axis=0), flat - flat.mean(axis=0)
    scale = np.sqrt((centred**2).mean(axis=0))
    if len(flat) <= flat.shape[1] or not (scale > 0).all():
        raise checks.fail("draws", "more draws than parameters, all of them moving", draws.shape)
    correlation = (centred / scale).T @ (centred / scale) / (len(flat) - 1)
    if np.linalg.eigvalsh(correlation).min() < 1e-12:
        raise checks.fail("draws", "draws with a covariance of full rank", draws.shape)
    return Proposal(centre, scale[:, None] * np.linalg.cholesky(correlation), _dof(dof))


def _dof(dof: float) -> float:
    return dof if dof == math.inf else checks.positive("dof", dof)
