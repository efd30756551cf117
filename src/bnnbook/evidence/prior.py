r"""Draws from the prior, where the methods start that walk from the prior to the posterior.

.. math:: p(\mathcal{D}) = \Pr(L > 0)\, \E[L(\theta) \mid L > 0],\quad
          L(\theta) = p(\mathcal{D} \mid \theta)

Data may be impossible under some of the prior (bounded noise does that). No path of powers of L
leads out of there, so only draws with L > 0 are kept, and their share is the first factor. Used by
thermodynamic integration, SMC and nested sampling; introduced in the chapter "Model evidence".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from bnnbook import checks
from bnnbook.evidence.target import BLOCK, Target

MAX_BLOCKS = 4000


class PriorDraws(NamedTuple):
    """Independent draws from the prior at which the data are possible."""

    points: Float[np.ndarray, "draw dimension"]
    """The draws."""
    log_likelihood: Float[np.ndarray, " draw"]
    """The log likelihood at each."""
    log_share: float
    """The log of the share of the prior's mass at which the data are possible."""
    share_error: float
    """The standard error of that, binomial; 0 where no draw was thrown away."""
    num_evaluations: int
    """Draws made, those thrown away included."""


def draw(rng_key: jax.Array, target: Target, num_draws: int) -> PriorDraws:
    """So many draws from the prior at which the likelihood is above zero.

    Raises:
        ValueError: where the target cannot draw from its prior, a draw is not finite, or almost no
            draw has a likelihood above zero.
    """
    sampler = target.sample_prior
    if sampler is None:
        raise checks.fail("target", "able to draw from its prior (sample_prior)", None)
    sample = target.compiled("prior", lambda: jax.vmap(sampler))
    found, logs, made = [], [], 0
    for block in range(MAX_BLOCKS):
        points = _block(jax.random.fold_in(rng_key, block), sample)
        log_likelihood = target.evaluate(points).log_likelihood
        possible = log_likelihood > -np.inf
        found.append(points[possible])
        logs.append(log_likelihood[possible])
        made += BLOCK
        kept = sum(map(len, logs))
        if kept >= num_draws:
            share = kept / made
            error = float(np.sqrt((1 - share) / kept))
            points, logged = np.concatenate(found)[:num_draws], np.concatenate(logs)[:num_draws]
            return PriorDraws(points, logged, float(np.log(share)), error, made)
    expected = "of a likelihood above zero somewhere under the prior"
    raise checks.fail("target", expected, f"{kept} of {made} draws")


def _block(rng_key: jax.Array, sample: Callable[..., Any]) -> Float[np.ndarray, "draw dimension"]:
    # NumPyro's samplers broadcast over axes that they add.
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        points = np.asarray(sample(jax.random.split(rng_key, BLOCK)), dtype=np.float64)
    if not np.isfinite(points).all():
        raise checks.fail("target", "of a prior with finite draws", points[~np.isfinite(points)][0])
    return points
