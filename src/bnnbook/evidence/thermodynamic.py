r"""Thermodynamic integration: let the likelihood in by degrees, and add up what it says.

.. math:: \log p(\mathcal{D}) = \int_0^1 \E_t[\log p(\mathcal{D} \mid \theta)]\, \mathrm{d}t,
          \quad \theta \sim_t\; p_t(\theta) \propto p(\mathcal{D} \mid \theta)^t\, p(\theta)

for the derivative of the log of p_t's constant is the mean log likelihood (Gelman and Meng 1998;
Friel and Pettitt 2008). Walkers start as draws from the prior, t = 0, and random-walk Metropolis
takes them up a ladder of temperatures t_k = (k/K)^5 to the posterior, t = 1. The derivative of the
integrand is the variance of the log likelihood, which corrects the trapezoidal rule (Friel, Hurn
and Wyse 2014):

.. math:: \int_{t_k}^{t_{k+1}} \approx \tfrac{\Delta_k}{2} (E_k + E_{k+1})
          - \tfrac{\Delta_k^2}{12} (V_{k+1} - V_k)

Only the first step, next to the prior, is log E₀[p(D | θ)^t₁] instead: tails that make E₀ infinite
do no harm there. Each walker gives an estimate of its own, and they are independent: their spread
is the standard error, however slowly a walker forgets. The ladder's own error is not in it, but
beside it. It fails where walkers cannot follow: modes that trade weight while no walker crosses,
many dimensions, too few steps. Introduced in the chapter "Model evidence".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bnnbook import checks
from bnnbook.evidence import prior
from bnnbook.evidence.moves import difference_moves
from bnnbook.evidence.record import Evidence, timed
from bnnbook.evidence.target import Target
from bnnbook.pareto import pareto_k

POWER = 5
"""Rungs crowd where the integrand is steep, near the prior (Friel and Pettitt 2008)."""
MIN_WALKERS = 50


@timed
def estimate(
    rng_key: jax.Array,
    target: Target,
    *,
    num_rungs: int = 32,
    num_walkers: int = 128,
    num_steps: int | None = None,
) -> Evidence:
    """The integral over the ladder, with its standard error.

    Args:
        rng_key: a JAX key.
        target: the model; it must be able to draw from its prior.
        num_rungs: K, the rungs above the prior; even and at least 4.
        num_walkers: walkers at each rung, at least 50.
        num_steps: steps of a walker at each rung, of which the first half is thrown away; 40 and 20
            more a dimension where it is None.

    Returns:
        The record. ``diagnostics["discretisation"]`` is the change from a ladder of every second
        rung: where it is far above the standard error, of which it is no part, take more rungs.
        (On a ladder of a few rungs it may be small by chance.)
        ``diagnostics["pareto_k"]`` is that of the low tail of the walkers' estimates, and
        ``diagnostics["acceptance"]`` the lowest rate of any rung.

    Raises:
        ValueError: where a number is too small, the target cannot draw from its prior, or its
            density is NaN or infinite.
    """
    num_rungs = checks.at_least("num_rungs", num_rungs, 4)
    if num_rungs % 2:
        raise checks.fail("num_rungs", "even", num_rungs)
    num_walkers = checks.at_least("num_walkers", num_walkers, MIN_WALKERS)
    steps = 40 + 20 * target.dimension if num_steps is None else num_steps
    steps = checks.at_least("num_steps", steps, 2)
    for_prior, for_path = jax.random.split(rng_key)
    kept = steps - steps // 2
    first = prior.draw(for_prior, target, num_walkers * kept)
    ladder = (np.arange(num_rungs + 1) / num_rungs) ** POWER
    path = target.compiled(("thermodynamic", steps), lambda: climb(target, steps))
    with jax.enable_x64(True):
        climbed = path(for_path, ladder[1:], first.points[:num_walkers])
    log_likelihood, rates = (np.asarray(part) for part in climbed)
    log_likelihood = np.concatenate([first.log_likelihood.reshape(1, kept, -1), log_likelihood])
    target.check_estimate(log_likelihood.max())
    of_walker, coarse = (integrate(ladder[::n], log_likelihood[::n]) for n in (1, 2))
    value = target.check_estimate(of_walker.mean() + first.log_share)
    error = np.hypot(of_walker.std(ddof=1) / np.sqrt(num_walkers), first.share_error)
    diagnostics = {
        "discretisation": float(abs(of_walker.mean() - coarse.mean())),
        "acceptance": float(rates.min()),
        "pareto_k": pareto_k(np.log(of_walker.max() - of_walker + np.finfo(float).tiny)),
    }
    used = first.num_evaluations + num_walkers * (1 + num_rungs * steps)
    return Evidence(value, float(error), used, diagnostics=diagnostics)


def climb(target: Target, num_steps: int) -> Callable[..., Any]:
    """The walk up the ladder: from walkers to log likelihoods, shape (rung, draw, walker)."""
    locate = jax.vmap(target.inside)

    def rung(walkers: Any, key_and_t: Any) -> Any:
        rng_key, t = key_and_t

        def step(state: Any, rng_key: jax.Array) -> Any:
            x, log_prior, log_likelihood = state
            for_move, for_choice = jax.random.split(rng_key)
            moved = x + difference_moves(for_move, walkers, len(walkers))
            there = locate(moved)
            gain = there[0] - log_prior + t * (there[1] - log_likelihood)
            accept = jnp.log(jax.random.uniform(for_choice, gain.shape)) < gain
            x = jnp.where(accept[:, None], moved, x)
            log_prior = jnp.where(accept, there[0], log_prior)
            log_likelihood = jnp.where(accept, there[1], log_likelihood)
            return (x, log_prior, log_likelihood), (log_likelihood, accept.mean())

        keys = jax.random.split(rng_key, num_steps)
        (x, *_), (log_likelihoods, rates) = jax.lax.scan(step, (walkers, *locate(walkers)), keys)
        return x, (log_likelihoods[num_steps // 2 :], rates.mean())

    def path(rng_key: jax.Array, ladder: Any, walkers: Any) -> Any:
        keys = jax.random.split(rng_key, len(ladder))
        return jax.lax.scan(rung, walkers, (keys, ladder))[1]

    return path


def integrate(
    ladder: Float[np.ndarray, " rung"], log_likelihood: Float[np.ndarray, "rung draw walker"]
) -> Float[np.ndarray, " walker"]:
    """The corrected rule for each walker; their average is the estimate."""
    # Not by the rule: under the prior the mean log likelihood may be infinite, its power never is.
    shift = ladder[1] * log_likelihood[0].max()
    weights = np.exp(ladder[1] * log_likelihood[0] - shift)
    first = shift + np.log(weights.mean()) + weights.mean(axis=0) / weights.mean() - 1
    above = log_likelihood[1:]
    mean = above.mean(axis=1)
    slope = ((above - above.mean(axis=(1, 2), keepdims=True)) ** 2).mean(axis=1)
    step = np.diff(ladder[1:])[:, None]
    correction = step**2 / 12 * np.diff(slope, axis=0)
    # The mean rises with t, so no piece can be further from the trapezium than this.
    most = step / 2 * np.diff(mean.mean(axis=1, keepdims=True), axis=0)
    size = np.abs(correction.mean(axis=1, keepdims=True))
    correction *= np.clip(most / np.maximum(size, np.finfo(float).tiny), 0, 1)
    return first + (step / 2 * (mean[1:] + mean[:-1]) - correction).sum(axis=0)
