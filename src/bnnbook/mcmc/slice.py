r"""Slice sampling: draw uniformly from the region under the curve, one coordinate at a time.

A height u is drawn uniformly between 0 and p(x), then x uniformly from the slice {x : p(x) ≥ u}.
In one dimension a bracket of width w is placed about x at random, its ends step out until they
leave the slice, and draws from it that miss the slice shrink it (Neal 2003). Nothing is rejected,
and a poor w costs evaluations, not correctness. Introduced in the chapter "Markov chain Monte
Carlo".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bnnbook import checks
from bnnbook.mcmc.kernel import (
    Info,
    LogDensity,
    State,
    as_vector,
    broken,
    check_positive,
    full_scale,
    kernel,
    known,
)

Curve = Callable[[Any], Any]


class Found(NamedTuple):
    """A draw from a slice."""

    value: Float[Array, ""]
    """Where it is."""
    log_density: Float[Array, ""]
    """The log density there, up to a constant."""
    num_evaluations: Int[Array, ""]
    """How often the log density was computed on the way."""
    broken: Bool[Array, ""]
    """Whether it was NaN or +∞ somewhere in the bracket; NaN counts as outside the slice."""


@kernel
class Slice:
    """Each coordinate in turn, by stepping out and shrinkage."""

    log_density: LogDensity
    """Log of the target density, up to a constant; −∞ outside its support."""
    width: Any = 1.0
    """w: one for all coordinates, or one for each; near the width of the target is best."""
    max_steps: Any = 100
    """The bracket grows to at most this many widths: a guard against densities with flat tails."""

    def __post_init__(self) -> None:
        check_positive(width=self.width)
        if known(self.max_steps):
            whole = checks.at_least("max_steps", self.max_steps, 1)
            object.__setattr__(self, "max_steps", whole)

    def init(self, position: Any) -> State:
        """The state of a chain that starts at a position."""
        x, density, _ = as_vector(self.log_density, position)
        if full_scale(self.width, x).ndim != 1:
            raise checks.fail("width", f"of shape () or {x.shape}", jnp.shape(self.width))
        return State(position, density(x))

    def step(self, rng_key: jax.Array, state: State) -> tuple[State, Info]:
        """Each coordinate once."""
        x, density, back = as_vector(self.log_density, state.position)
        widths = full_scale(self.width, x)

        def update(carry: Any, at: Any) -> tuple[Any, Any]:
            (x, log_density), (i, rng_key) = carry, at
            found = draw_from_slice(
                rng_key,
                lambda value: density(x.at[i].set(value)),
                x[i],
                log_density,
                widths[i],
                self.max_steps,
            )
            return (x.at[i].set(found.value), found.log_density), (
                found.num_evaluations,
                found.broken,
            )

        keys = jax.random.split(rng_key, len(x))
        carry = (x, state.log_density)
        (x, log_density), (counts, bad) = jax.lax.scan(update, carry, (jnp.arange(len(x)), keys))
        info = Info(jnp.ones_like(log_density), bad.any(), num_density_evaluations=counts.sum())
        return State(back(x), log_density), info


def draw_from_slice(
    rng_key: jax.Array, curve: Curve, x: Any, log_density: Any, width: Any, max_steps: Any
) -> Found:
    """One update of one coordinate.

    Args:
        rng_key: a JAX key.
        curve: the log density along the coordinate.
        x: where the chain is.
        log_density: the curve's value there.
        width: w, the width of the first bracket.
        max_steps: the bracket grows to at most this many widths.
    """
    for_level, for_bracket, for_share, for_shrinkage = jax.random.split(rng_key, 4)
    level = log_density - jax.random.exponential(for_level, dtype=x.dtype)
    left = x - width * jax.random.uniform(for_bracket, dtype=x.dtype)
    # The steps are shared out between the two ends at random, or the move could not be undone.
    share = jnp.floor(max_steps * jax.random.uniform(for_share, dtype=x.dtype)).astype(int)
    right, num_right = _step_out(curve, level, left + width, width, max_steps - 1 - share)
    left, num_left = _step_out(curve, level, left, -width, share)
    found = _shrink(for_shrinkage, curve, level, x, left, right)
    return found._replace(num_evaluations=found.num_evaluations + num_left + num_right)


def _step_out(curve: Curve, level: Any, edge: Any, step: Any, max_steps: Any) -> tuple[Any, Any]:
    """Move one end of the bracket until it is outside the slice."""

    def inside(carry: Any) -> Any:
        edge, count = carry
        return (count < max_steps) & (curve(edge) >= level)

    edge, count = jax.lax.while_loop(inside, lambda c: (c[0] + step, c[1] + 1), (edge, 0))
    return edge, jnp.minimum(count + 1, max_steps)


def _shrink(rng_key: jax.Array, curve: Curve, level: Any, x: Any, left: Any, right: Any) -> Found:
    """Draw from the bracket, and cut it at each draw that misses the slice."""

    def missed(carry: Any) -> Any:
        _, _, _, found = carry
        # A bracket that rounding has shrunk to x itself ends the search: x is in the slice.
        return ~(found.log_density >= level) & (found.value != x)

    def draw(carry: Any) -> Any:
        rng_key, left, right, found = carry
        rng_key, key = jax.random.split(rng_key)
        value = left + (right - left) * jax.random.uniform(key, dtype=x.dtype)
        left, right = jnp.where(value < x, value, left), jnp.where(value < x, right, value)
        height, count = curve(value), found.num_evaluations + 1
        return rng_key, left, right, Found(value, height, count, found.broken | broken(height))

    no_height, no_draws = jnp.full_like(level, -jnp.inf), jnp.zeros((), int)
    nothing = Found(jnp.full_like(x, jnp.inf), no_height, no_draws, jnp.zeros((), bool))
    return jax.lax.while_loop(missed, draw, (rng_key, left, right, nothing))[-1]
