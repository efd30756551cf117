r"""Hamiltonian Monte Carlo: give the position a momentum, and let it roll along the log density.

.. math:: H(x, r) = -\log p(x) + \tfrac12 r^\top r,\quad
          \dot x = L r,\quad \dot r = L^\top \nabla \log p(x)

The dynamics keep H and volume, and can be run backwards. So does the leapfrog integrator, but for
an error of order ε² in H, which Metropolis' rule corrects (Duane et al. 1987; Neal 2011). The
momentum r is measured in units of the mass matrix M = (L Lᵀ)⁻¹: usual notation has p = L⁻ᵀ r ~
N(0, M). L = I is unit mass; L Lᵀ near the covariance of the target makes all directions alike.
Introduced in the chapter "Hamiltonian Monte Carlo".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bnnbook import checks
from bnnbook.mcmc.kernel import (
    Info,
    LogDensity,
    State,
    Vector,
    accept,
    as_vector,
    check_positive,
    check_scale,
    full_scale,
    kernel,
    known,
    stretch,
    stretch_back,
)

MAX_ENERGY_ERROR = 1000.0
"""Stan's: a trajectory whose energy is off by more has left the target, not only been rejected."""


class Point(NamedTuple):
    """A point of phase space."""

    x: Vector
    """The position."""
    r: Vector
    """The momentum, standard normal in its units."""
    log_density: Float[Array, ""]
    """The log density at x, up to a constant."""
    gradient: Vector
    """Its gradient."""

    @property
    def energy(self) -> Float[Array, ""]:
        """The Hamiltonian: potential and kinetic energy."""
        return -self.log_density + self.r @ self.r / 2


def leapfrog(
    density: Callable[[Any], Any], point: Point, step_size: Any, scale: Float[Array, "..."]
) -> Point:
    r"""One step: half a kick, a full drift, half a kick.

    .. math:: r \gets r + \tfrac{\varepsilon}{2} L^\top \nabla \log p(x),\quad
              x \gets x + \varepsilon L r,\quad
              r \gets r + \tfrac{\varepsilon}{2} L^\top \nabla \log p(x)

    Each of the three shears phase space, so volume is kept; with r turned round, the step undoes
    itself.
    """
    r = point.r + step_size / 2 * stretch_back(scale, point.gradient)
    x = point.x + step_size * stretch(scale, r)
    log_density, gradient = jax.value_and_grad(density)(x)
    return Point(x, r + step_size / 2 * stretch_back(scale, gradient), log_density, gradient)


@kernel
class HMC:
    """Hamiltonian Monte Carlo with trajectories of a fixed number of leapfrog steps.

    The best step size accepts some 65 % to 80 % of the proposals (Beskos et al. 2013).
    """

    log_density: LogDensity
    """Log of the target density, up to a constant, differentiable."""
    step_size: Any = 0.1
    """ε, in units of ``scale``."""
    num_steps: Any = 10
    """Leapfrog steps a trajectory."""
    scale: Any = 1.0
    """L: one scale, one for each coordinate, or a lower triangular matrix."""
    jitter: Any = 0.0
    """Step sizes are uniform between ε(1 − jitter) and ε(1 + jitter): a trajectory of one fixed
    length may return to where it came from, for ever (Neal 2011)."""
    persistence: Any = 0.0
    """How much of the momentum the next trajectory keeps. At 1 it is never refreshed: p is
    invariant still, but the energy never changes by more than the integrator's error."""

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size)
        check_scale(self.scale)
        if known(self.num_steps):
            whole = checks.at_least("num_steps", self.num_steps, 1)
            object.__setattr__(self, "num_steps", whole)
        for name in ("jitter", "persistence"):
            if known(value := getattr(self, name)):
                checks.probability(name, value)

    def init(self, position: Any) -> State:
        """The state of a chain that starts at a position, at rest."""
        x, density, _ = as_vector(self.log_density, position)
        step_size, scale = jnp.asarray(self.step_size, x.dtype), full_scale(self.scale, x)
        value, gradient = jax.value_and_grad(density)(x)
        return State(position, value, gradient, step_size, scale, jnp.zeros_like(x))

    def step(self, rng_key: jax.Array, state: State) -> tuple[State, Info]:
        """Refresh the momentum, follow a trajectory, accept its end or stay."""
        for_momentum, for_jitter, for_accept = jax.random.split(rng_key, 3)
        x, density, back = as_vector(self.log_density, state.position)
        # A chain is at rest at its start only, and then draws its momentum whatever is kept later.
        kept = jnp.where((state.momentum == 0).all(), 0.0, self.persistence).astype(x.dtype)
        z = jax.random.normal(for_momentum, x.shape, x.dtype)
        r = kept * state.momentum + jnp.sqrt(1 - kept**2) * z
        shift = jax.random.uniform(for_jitter, (), x.dtype, -1.0, 1.0)
        step_size = state.step_size * (1 + self.jitter * shift)

        def onward(_: Any, point: Point) -> Point:
            return leapfrog(density, point, step_size, state.scale)

        start = Point(x, r, state.log_density, state.gradient)
        end = jax.lax.fori_loop(0, self.num_steps, onward, start)
        log_ratio = start.energy - end.energy
        # The end is proposed with its momentum turned round, and then all momenta are turned
        # round: a rejected trajectory goes back where it came from.
        reached, accept_prob = accept(for_accept, log_ratio, end, start._replace(r=-r))
        info = Info(
            accept_prob,
            diverging=~(log_ratio > -MAX_ENERGY_ERROR) | (log_ratio == jnp.inf),
            num_gradient_evaluations=self.num_steps,
            step_size=state.step_size,
            energy=reached.energy,
        )
        return _state(state, reached, back), info


def _state(before: State, point: Point, back: Callable[[Any], Any]) -> State:
    return before._replace(
        position=back(point.x),
        log_density=point.log_density,
        gradient=point.gradient,
        momentum=point.r,
    )
