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
    # All from one call: each costs more to compile than the rest of the move.
    chance = jax.random.uniform(rng_key, (3, num_moves))
    first = jnp.floor(chance[0] * size).astype(int)
    # Never the same member twice.
    second = (first + 1 + jnp.floor(chance[1] * (size - 1)).astype(int)) % size
    full = (chance[2] < FULL_MOVES)[:, None]
    return jnp.where(full, 1.0, 2.38 / (2 * dimension) ** 0.5) * (crowd[first] - crowd[second])
