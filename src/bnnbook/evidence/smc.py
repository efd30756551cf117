r"""Tempered sequential Monte Carlo: a crowd of particles walks from the prior to the posterior.

.. math:: \frac{Z_{t'}}{Z_t} = \E_t\bigl[p(\mathcal{D} \mid \theta)^{t' - t}\bigr],\quad
          p_t(\theta) \propto p(\mathcal{D} \mid \theta)^t\, p(\theta)

and the evidence is the product of these ratios from t = 0 to 1 (Neal 2001; Del Moral, Doucet and
Jasra 2006). At each stage the particles are weighed, resampled by weight, and moved by random-walk
Metropolis. The next t is the one at which the weights are worth half of the particles, so the
ladder makes itself. The stages are BlackJAX's. Independent crowds run one after the other: as each
one's estimate of p(D) is all but unbiased they are averaged on that scale, and their spread is the
standard error. It fails where moves are too few for the dimension, or where a crowd is too small to
keep every mode; then crowds differ, and the spread and its k̂ tell. Introduced in the chapter
"Model evidence".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc import random_walk
from blackjax.smc import adaptive_tempered, resampling
from scipy.special import logsumexp

from bnnbook import checks
from bnnbook.evidence import prior
from bnnbook.evidence.harmonic_mean import relative_error
from bnnbook.evidence.moves import difference_moves
from bnnbook.evidence.record import Evidence, Sample, tail_shape, timed
from bnnbook.evidence.target import Target

TARGET_ESS = 0.5
"""The share of the particles that the weights of a stage are worth."""
MAX_STAGES = 1000
MIN_CROWDS, MIN_PARTICLES = 16, 50


@timed
def estimate(
    rng_key: jax.Array,
    target: Target,
    *,
    num_particles: int = 128,
    num_crowds: int = 32,
    num_steps: int | None = None,
) -> Evidence:
    """The log of the average over independent crowds, with its standard error.

    Args:
        rng_key: a JAX key.
        target: the model; it must be able to draw from its prior.
        num_particles: particles of each crowd, at least 50.
        num_crowds: independent crowds, at least 16: the error is known to 1 / √(2 num_crowds).
        num_steps: steps of a particle at each stage; 10 and 5 more a dimension where it is None.

    Returns:
        The record, with the mean number of ``diagnostics["stages"]`` and the k̂ of the crowds'
        estimates; and the particles at the end as its ``sample``, a crowd's weights in proportion
        to its estimate.

    Raises:
        ValueError: where a number is too small, the target cannot draw from its prior, or its
            density is NaN or infinite.
    """
    num_particles = checks.at_least("num_particles", num_particles, MIN_PARTICLES)
    num_crowds = checks.at_least("num_crowds", num_crowds, MIN_CROWDS)
    steps = 10 + 5 * target.dimension if num_steps is None else num_steps
    steps = checks.at_least("num_steps", steps, 1)
    for_prior, for_crowds = jax.random.split(rng_key)
    first = prior.draw(for_prior, target, num_crowds * num_particles)
    crowds = first.points.reshape(num_crowds, num_particles, -1)
    temper = target.compiled(("smc", steps), lambda: tempering(target, steps))
    # BlackJAX's resampling broadcasts over an axis that it adds.
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        found = temper(jax.random.split(for_crowds, num_crowds), crowds)
    log_z, temperature, stages, points, weights = (np.asarray(part) for part in found)
    value = target.check_estimate(logsumexp(log_z) - np.log(num_crowds) + first.log_share)
    if temperature.min() < 1:
        expected = f"within reach of {MAX_STAGES} stages"
        raise checks.fail("target", expected, f"temperature {temperature.min():.3g}")
    error = float(np.hypot(relative_error(log_z), first.share_error))
    diagnostics = {"stages": float(stages.mean()), "pareto_k": tail_shape(log_z)}
    # A stage starts its moves by an evaluation, weighs their end, and looks for the next t.
    used = first.num_evaluations + num_particles * (steps + 3) * int(stages.sum())
    weights = weights * np.exp(log_z - logsumexp(log_z))[:, None]
    sample = Sample(points, weights / weights.sum())
    return Evidence(value, error, used, diagnostics=diagnostics, sample=sample)


def tempering(target: Target, num_steps: int) -> Callable[..., Any]:
    """The crowds' way from the prior to the posterior, one after the other, for JAX to trace.

    From keys and particles to log evidences, the temperatures reached, the stages, and the
    particles at the end with their weights.
    """
    metropolis = random_walk.build_additive_step()

    def step(rng_key: jax.Array, state: Any, log_density: Any, crowd: Any) -> Any:
        def move(rng_key: jax.Array, position: Any) -> Any:
            return difference_moves(rng_key, crowd, 1)[0]

        return metropolis(rng_key, state, log_density, move)

    kernel = adaptive_tempered.build_kernel(
        lambda x: target.inside(x)[0],
        lambda x: target.inside(x)[1],
        step,
        random_walk.init,
        resampling.systematic,
        TARGET_ESS,
    )

    def stage(carry: Any) -> Any:
        rng_key, state, log_z, count = carry
        rng_key, for_crowd, for_stage = jax.random.split(rng_key, 3)
        chosen = resampling.systematic(for_crowd, state.weights, len(state.weights))
        crowd = state.particles[chosen]
        state, info = kernel(for_stage, state, num_steps, {"crowd": crowd[None]})
        return rng_key, state, log_z + info.log_likelihood_increment, count + 1

    def unfinished(carry: Any) -> Any:
        _, state, log_z, count = carry
        return (state.tempering_param < 1) & (count < MAX_STAGES) & jnp.isfinite(log_z)

    def run(key_and_particles: Any) -> Any:
        rng_key, particles = key_and_particles
        state = adaptive_tempered.init(particles)
        state = state._replace(tempering_param=jnp.zeros(()))
        start = (rng_key, state, jnp.zeros(()), 0)
        _, state, log_z, count = jax.lax.while_loop(unfinished, stage, start)
        return log_z, state.tempering_param, count, state.particles, state.weights

    return lambda rng_keys, crowds: jax.lax.map(run, (rng_keys, crowds))
