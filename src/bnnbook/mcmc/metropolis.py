r"""Metropolis' kernels: propose a move, and accept it with the right probability.

A proposal x' from q(x' | x) is accepted with probability

.. math:: \alpha(x, x') = \min\Bigl(1, \frac{p(x')\, q(x \mid x')}{p(x)\, q(x' \mid x)}\Bigr)

which balances the flow from x to x' against the flow back, so p is invariant (Metropolis et al.
1953; Hastings 1970). Only ratios of p are needed: its constant cancels. Introduced in the chapter
"Markov chain Monte Carlo".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bnnbook.mcmc.kernel import (
    Info,
    LogDensity,
    State,
    accept,
    as_vector,
    broken,
    broken_ratio,
    check_positive,
    check_scale,
    evaluate,
    full_scale,
    kernel,
    like,
    stretch,
)


@kernel
class MetropolisHastings:
    """Any proposal, over any pytree: numbers, whole numbers, both."""

    log_density: LogDensity
    """Log of the target density, up to a constant; −∞ outside its support."""
    propose: Callable[[jax.Array, Any], Any]
    """From a key and the position x, a draw x' from q(x' | x)."""
    log_proposal: Callable[[Any, Any], Any] | None = None
    """From x' and x, in this order, log q(x' | x); None where q(x' | x) = q(x | x')."""

    def init(self, position: Any) -> State:
        """The state of a chain that starts at a position."""
        return State(position, evaluate(self.log_density, position))

    def step(self, rng_key: jax.Array, state: State) -> tuple[State, Info]:
        """Propose, compare, accept or stay."""
        for_proposal, for_accept = jax.random.split(rng_key)
        new = like("propose", self.propose(for_proposal, state.position), state.position)
        proposed = State(new, evaluate(self.log_density, new))
        log_ratio = proposed.log_density - state.log_density
        if self.log_proposal is not None:
            log_ratio += evaluate(self.log_proposal, state.position, new, name="log_proposal")
            log_ratio -= evaluate(self.log_proposal, new, state.position, name="log_proposal")
        bad = broken_ratio(log_ratio, proposed.log_density)
        state, accept_prob = accept(for_accept, log_ratio, proposed, state)
        return state, Info(accept_prob, bad, num_density_evaluations=1)


@kernel
class RandomWalk:
    r"""A step in any direction, x' = x + ε L z with z standard normal, which is symmetric.

    The best ε is near 2.4 / √d for a target of d dimensions whose shape L matches; some 23 % of
    the proposals are then accepted (Roberts, Gelman and Gilks 1997), 44 % in one dimension.
    """

    log_density: LogDensity
    """Log of the target density, up to a constant; −∞ outside its support."""
    step_size: Any = 1.0
    """ε, in units of ``scale``."""
    scale: Any = 1.0
    """L: one scale, one for each coordinate, or a lower triangular matrix."""

    def __post_init__(self) -> None:
        check_positive(step_size=self.step_size)
        check_scale(self.scale)

    def init(self, position: Any) -> State:
        """The state of a chain that starts at a position."""
        x, density, _ = as_vector(self.log_density, position)
        step_size = jnp.asarray(self.step_size, x.dtype)
        return State(position, density(x), None, step_size, full_scale(self.scale, x))

    def step(self, rng_key: jax.Array, state: State) -> tuple[State, Info]:
        """Propose, compare, accept or stay."""
        for_proposal, for_accept = jax.random.split(rng_key)
        x, density, back = as_vector(self.log_density, state.position)
        z = jax.random.normal(for_proposal, x.shape, x.dtype)
        new = x + state.step_size * stretch(state.scale, z)
        proposed = state._replace(position=back(new), log_density=density(new))
        log_ratio = proposed.log_density - state.log_density
        state, accept_prob = accept(for_accept, log_ratio, proposed, state)
        bad = broken(proposed.log_density)
        return state, Info(accept_prob, bad, num_density_evaluations=1, step_size=state.step_size)


@kernel
class Independence:
    r"""A proposal that forgets where the chain is: x' from q(x').

    Accepted with probability min(1, w(x') / w(x)) for the importance weights w = p / q. Where w is
    unbounded, q's tails are too thin, and the chain sticks for long (Tierney 1994).
    """

    log_density: LogDensity
    """Log of the target density, up to a constant; −∞ outside its support."""
    propose: Callable[[jax.Array], Any]
    """From a key, a draw from q."""
    log_proposal: Callable[[Any], Any]
    """The log density of q, up to a constant."""

    def init(self, position: Any) -> State:
        """The state of a chain that starts at a position."""
        return State(position, evaluate(self.log_density, position))

    def step(self, rng_key: jax.Array, state: State) -> tuple[State, Info]:
        """Propose, compare weights, accept or stay."""
        for_proposal, for_accept = jax.random.split(rng_key)
        new = like("propose", self.propose(for_proposal), state.position)
        proposed = State(new, evaluate(self.log_density, new))

        def log_weight(of: State) -> Any:
            return of.log_density - evaluate(self.log_proposal, of.position, name="log_proposal")

        log_ratio = log_weight(proposed) - log_weight(state)
        bad = broken_ratio(log_ratio, proposed.log_density)
        state, accept_prob = accept(for_accept, log_ratio, proposed, state)
        return state, Info(accept_prob, bad, num_density_evaluations=1)
