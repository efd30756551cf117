r"""Proposals of random-walk Metropolis that learn their scale from a crowd of walkers.

.. math:: x' = x + \gamma\, (a_i - a_j),\quad \gamma = 2.38 / \sqrt{2 d}

with two members a of the crowd drawn at random: the moves have twice the crowd's covariance before
the factor, so nothing is to be tuned, whatever the units and correlations (ter Braak 2006). The
crowd stands still while its walkers move, which keeps the proposal symmetric. Every tenth move or
so has γ = 1 and leads from one mode to another. Used by thermodynamic integration and SMC, in the
chapter "Model evidence".
"""

from typing import Any

import jax
import jax.numpy as jnp

FULL_MOVES = 0.1
"""The share of moves by a whole difference."""


def difference_moves(rng_key: jax.Array, crowd: Any, num_moves: int) -> Any:
    """Moves to be added to positions, shape (num_moves, dimension), for JAX to trace."""
    size, dimension = crowd.shape
    for_first, for_second, for_scale = jax.random.split(rng_key, 3)
    first = jax.random.randint(for_first, (num_moves,), 0, size)
    # Never the same member twice.
    second = (first + jax.random.randint(for_second, (num_moves,), 1, size)) % size
    full = jax.random.uniform(for_scale, (num_moves, 1)) < FULL_MOVES
    return jnp.where(full, 1.0, 2.38 / (2 * dimension) ** 0.5) * (crowd[first] - crowd[second])
