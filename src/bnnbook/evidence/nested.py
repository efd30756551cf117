r"""Nested sampling: peel the prior by likelihood, layer by layer, and weigh the layers.

.. math:: p(\mathcal{D}) = \int_0^1 L(X)\, \mathrm{d}X \approx \sum_i L_i\, (X_{i-1} - X_i),\quad
          \frac{X_i}{X_{i-1}} \sim \mathrm{Beta}(n_i, 1)

X(λ) is the prior mass where the likelihood is above λ. Of n points spread over what is left, the
lowest is taken away and leaves a share of the mass whose distribution is known; a new point is
drawn above it (Skilling 2006). BlackJAX's nested slice sampling draws it, for several deaths at
once. The shares are simulated many times over: the mean of the log evidences is the estimate, their
spread the standard error, near √(H/n) with H the information, in nats, of the posterior over the
prior. The standard error takes new points for independent draws. It fails, without a sign, where
slices mix too slowly for that (many dimensions, far-off modes), and it refuses likelihoods with
plateaus. Introduced in the chapter "Model evidence".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.base import SamplingAlgorithm
from blackjax.ns import nss
from jaxtyping import Float
from scipy.special import logsumexp

from bnnbook import checks
from bnnbook.evidence import prior
from bnnbook.evidence.record import Evidence, Sample, timed
from bnnbook.evidence.target import Target

NUM_SIMULATIONS = 200
BATCHES = 10
"""Points die in batches of a tenth; so many batches run between two looks at the stopping rule."""
MAX_ROUNDS = 1000
MIN_LIVE = 50


class Peeled(NamedTuple):
    """The points in the order in which they died, those alive at the end last."""

    log_likelihood: Float[np.ndarray, " dead"]
    """Of each."""
    num_live: Float[np.ndarray, " dead"]
    """How many were alive when it died, itself included."""
    num_evaluations: int
    """Likelihoods evaluated to draw the new points."""
    stuck: float
    """The share of slices that found no new point."""
    points: Float[np.ndarray, "dead dimension"] | None = None
    """Where each was."""


@timed
def estimate(
    rng_key: jax.Array,
    target: Target,
    *,
    num_live: int = 500,
    num_steps: int | None = None,
    tolerance: float = 1e-3,
) -> Evidence:
    """The log evidence over simulated shrinkages, with its standard error.

    Args:
        rng_key: a JAX key.
        target: the model; it must be able to draw from its prior.
        num_live: points alive, a multiple of ten, at least 50 and twice the dimension.
        num_steps: slices to each new point; 5 and 2 more a dimension where it is None.
        tolerance: stop when the points alive hold less than this share of the evidence.

    Returns:
        The record, with ``diagnostics["information"]`` (H, in nats), ``["information_error"]``
        (√(H/n), the textbook's standard error), ``["num_dead"]`` and ``["stuck"]``, the share of
        slices that found no new point; and all points as its ``sample``.

    Raises:
        ValueError: where a number does not fit, the target cannot draw from its prior, its
            likelihood has plateaus, or its density is NaN or infinite.
    """
    dimension = target.dimension
    num_live = checks.at_least("num_live", num_live, max(MIN_LIVE, 2 * dimension))
    if num_live % BATCHES:
        raise checks.fail("num_live", f"a multiple of {BATCHES}", num_live)
    steps = 5 + 2 * dimension if num_steps is None else num_steps
    steps = checks.at_least("num_steps", steps, 1)
    tolerance = checks.fraction("tolerance", tolerance)
    for_prior, for_points, for_shares = jax.random.split(rng_key, 3)
    first = prior.draw(for_prior, target, num_live)
    # BlackJAX broadcasts over axes that it adds.
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        peeled = _peel(for_points, target, first.points, steps, tolerance)
        log_z, information, shares = _weigh(for_shares, peeled)
    value = target.check_estimate(log_z.mean() + first.log_share)
    error = float(np.hypot(log_z.std(ddof=1), first.share_error))
    diagnostics = {
        "information": information,
        "information_error": float(np.sqrt(max(information, 0.0) / num_live)),
        "num_dead": float(len(peeled.log_likelihood)),
        "stuck": peeled.stuck,
    }
    used = first.num_evaluations + peeled.num_evaluations
    assert peeled.points is not None
    sample = Sample(peeled.points[None], shares[None] / shares.sum())
    return Evidence(value, error, used, diagnostics=diagnostics, sample=sample)


def _peel(
    rng_key: jax.Array,
    target: Target,
    points: Float[np.ndarray, "live dimension"],
    num_steps: int,
    tolerance: float,
) -> Peeled:
    num_live = len(points)
    sampler = nss.as_top_level_api(
        lambda x: target.inside(x)[0],
        lambda x: target.inside(x)[1],
        num_inner_steps=num_steps,
        num_delete=num_live // BATCHES,
    )
    sizes = (num_live, num_steps)
    start = target.compiled(("nested start", *sizes), lambda: sampler.init)
    advance = target.compiled(("nested", *sizes), lambda: _round(sampler))
    state, dead, buried, evaluations, stuck = start(points), [], [], 0, 0
    for count in range(MAX_ROUNDS):
        state, batch = advance(jax.random.fold_in(rng_key, count), state)
        dead.append(np.ravel(batch.log_likelihood))
        buried.append(np.asarray(batch.points).reshape(-1, target.dimension))
        evaluations += int(batch.num_evaluations)
        stuck += int(batch.stuck)
        left = float(state.integrator.logZ_live - state.integrator.logZ)
        # Not below: a NaN ends the loop too, and is refused later.
        if not left > np.log(tolerance):
            break
    else:
        raise checks.fail("target", f"within reach of {MAX_ROUNDS} rounds", f"{left:.3g} left")
    alive = np.asarray(state.particles.loglikelihood)
    order = np.argsort(alive, kind="stable")
    log_likelihood = np.concatenate([*dead, alive[order]])
    places = np.concatenate([*buried, np.asarray(state.particles.position)[order]])
    target.check_estimate(log_likelihood.max())
    _check_plateaus(log_likelihood)
    batch_counts = num_live - np.arange(num_live // BATCHES)
    counts = np.tile(batch_counts, (len(log_likelihood) - num_live) // len(batch_counts))
    counts = np.concatenate([counts, np.arange(num_live, 0, -1)]).astype(float)
    num_slices = num_steps * (len(log_likelihood) - num_live)
    return Peeled(log_likelihood, counts, evaluations, stuck / num_slices, places)


class Round(NamedTuple):
    """What a few batches leave behind."""

    log_likelihood: Any
    """Of the points that died, lowest first, shape (batch, point)."""
    points: Any
    """Where they were."""
    num_evaluations: Any
    """Likelihoods evaluated."""
    stuck: Any
    """The number of slices that found no new point."""


def _round(sampler: SamplingAlgorithm) -> Callable[..., Any]:
    """A few batches of deaths in one program, for JAX to trace."""

    def batch(state: Any, rng_key: jax.Array) -> Any:
        state, info = sampler.step(rng_key, state)
        moves = info.update_info
        # The two ends of the first bracket are looked at before it grows.
        used = (moves.num_expansions + moves.num_shrink + 2).sum()
        died, failed = info.particles, jnp.sum(~moves.is_accepted)
        return state, Round(died.loglikelihood, died.position, used, failed)

    def advance(rng_key: jax.Array, state: Any) -> Any:
        state, rounds = jax.lax.scan(batch, state, jax.random.split(rng_key, BATCHES))
        return state, Round(rounds[0], rounds[1], rounds[2].sum(), rounds[3].sum())

    return advance


def _check_plateaus(log_likelihood: Float[np.ndarray, " dead"]) -> None:
    # All alike is fine: then the shares of the mass add to one, and that is the answer.
    distinct = len(np.unique(log_likelihood))
    if 1 < distinct < 0.99 * len(log_likelihood):
        got = f"{distinct} values at {len(log_likelihood)} points"
        raise checks.fail("target", "of a likelihood without plateaus", got)


def _weigh(
    rng_key: jax.Array, peeled: Peeled
) -> tuple[Float[np.ndarray, " simulation"], float, Float[np.ndarray, " dead"]]:
    """Log evidences, one for each simulation of the shares of mass, the information, and what of
    the evidence each point stands for."""
    shape = (NUM_SIMULATIONS, len(peeled.num_live))
    losses = np.asarray(jax.random.exponential(rng_key, shape)) / peeled.num_live
    before = losses - np.cumsum(losses, axis=1)
    log_shares = np.log(-np.expm1(-losses))
    # The last point stands for all that is left.
    log_shares[:, -1] = 0.0
    log_weights = before + log_shares + peeled.log_likelihood
    log_z = logsumexp(log_weights, axis=1)
    share = np.exp(log_weights - log_z[:, None])
    information = (share * peeled.log_likelihood).sum(axis=1) - log_z
    return log_z, float(information.mean()), share.mean(axis=0)
