r"""Pathfinder: normals read off the path that an optimiser takes to the mode.

L-BFGS climbs the log density and at each iterate guesses the inverse Hessian. Each guess is the
covariance of a normal distribution; the one with the highest ELBO is taken (Zhang, Carpenter,
Gelman and Vehtari 2022). Tens of gradients instead of thousands: quick, rough, and a good place to
start another method. The library is BlackJAX. It sees parameters in units of the target's scale, so
that where it stops does not depend on the units of the data. Chapter "Variational inference"
introduces it.
"""

import time
import warnings
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bnnbook import checks
from bnnbook.variational.approximation import Approximation, mean_and_error
from bnnbook.variational.fit import FitError, FitWarning, as_flat


def pathfinder(
    rng_key: Array,
    target: Any,
    *,
    dimension: int | None = None,
    num_draws: int = 200,
    max_iterations: int = 100,
    num_check_draws: int = 4000,
    spread: float = 1.0,
) -> Approximation:
    """The best normal along one path, in the precision in force.

    Args:
        rng_key: a JAX key.
        target: as for ``fit``.
        dimension: the vector's length, where the target is a plain function.
        num_draws: draws that estimate the ELBO of each normal on the path.
        max_iterations: the most steps of L-BFGS.
        num_check_draws: draws for the ELBO of the one that was taken.
        spread: standard deviation of the start around the target's, in units of its scale.

    Returns:
        The approximation; its ``trace`` has the ELBO of each iterate.

    Raises:
        FitError: where no iterate has a finite ELBO.
        ValueError: where an argument makes no sense.

    Warns:
        FitWarning: where the path has one point only, which says nothing of the curvature.
    """
    begin = time.perf_counter()
    flat = as_flat(target, dimension)
    checks.at_least("num_draws", num_draws, 2)
    checks.at_least("max_iterations", max_iterations, 1)
    checks.at_least("num_check_draws", num_check_draws, 2)
    key_start, key_path, key_check = jax.random.split(rng_key, 3)
    origin, scale = jnp.asarray(flat.start), jnp.asarray(flat.scale)
    away = checks.finite("spread", spread) * jax.random.normal(key_start, (flat.dimension,))
    # Its window of corrections slides along ranks of its own.
    with jax.numpy_rank_promotion("allow"):
        state, info = jax.jit(
            lambda key, u: blackjax.vi.pathfinder.approximate(
                key,
                lambda v: flat.log_density(origin + scale * v),
                u,
                num_draws,
                maxiter=max_iterations,
            )
        )(key_path, away)
    log_units = float(np.log(flat.scale).sum())
    path = np.asarray(info.path.elbo, dtype=np.float64) + log_units
    path = path[np.isfinite(path)]
    if not len(path) or not np.isfinite(float(state.elbo)):
        first = float(origin[0] + scale[0] * away[0])
        raise FitError(
            f"no iterate on the path has a finite ELBO ({flat.dimension} parameters, first "
            f"{flat.names[0]} = {first:.4g}): take a smaller spread, or rescale"
        )
    if len(path) == 1 and max_iterations > 1:
        warnings.warn(
            "Pathfinder's path ended where it began, for the log density is flat there, and its "
            "width is a guess: give the target a scale nearer to its own (such as "
            "flat.from_log_density(..., scale=...)), or a larger spread",
            FitWarning,
            stacklevel=2,
        )

    def sampler(key: Array, number: int) -> Any:
        with jax.numpy_rank_promotion("allow"):
            u, log_q = blackjax.vi.pathfinder.sample(key, state, number)
        return origin[None] + scale[None] * u, log_q - log_units

    found = Approximation(
        target=flat,
        method="Pathfinder",
        sampler=sampler,
        elbo=float(state.elbo) + log_units,
        elbo_error=0.0,
        trace=path,
        seconds=0.0,
        dtype=origin.dtype.name,
    )
    value, error = mean_and_error(found.log_weights(key_check, num_check_draws))
    return found.replaced(elbo=value, elbo_error=error, seconds=time.perf_counter() - begin)
