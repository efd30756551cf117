r"""Langevin kernels: a random walk that drifts uphill along the gradient of the log density.

.. math:: x' = x + \tfrac{\varepsilon^2}{2} \nabla \log p(x) + \varepsilon z,\quad z \sim N(0, I)

is a step of a diffusion whose law tends to p; a finite step ε adds a bias. The Metropolis-adjusted
kernel (MALA) removes it by accepting or rejecting (Roberts and Tweedie 1996); stochastic-gradient
Langevin dynamics (SGLD) keeps it, and in return uses only a minibatch of the data a step (Welling
and Teh 2011). Introduced in the chapter "Hamiltonian Monte Carlo".
"""

from collections.abc import Callable
from dataclasses import field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bnnbook import checks
from bnnbook.mcmc.kernel import (
    Info,
    LogDensity,
    State,
    accept,
    as_vector,
    broken,
    check_positive,
    check_scale,
    full_scale,
    kernel,
    known,
    stretch,
    stretch_back,
)


@kernel
class MALA:
    r"""The Metropolis-adjusted Langevin algorithm, x' = x + ε L (z + ε/2 Lᵀ∇ log p(x)).

    The best ε accepts some 57 % of the proposals (Roberts and Rosenthal 1998). It is Hamiltonian
    Monte Carlo with a single leapfrog step.
    """

    log_density: LogDensity
    """Log of the target density, up to a constant, differentiable."""
    step_size: Any = 0.5
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
        return State(
            position, *jax.value_and_grad(density)(x), step_size, full_scale(self.scale, x)
        )

    def step(self, rng_key: jax.Array, state: State) -> tuple[State, Info]:
        """Drift, propose, compare with the way back, accept or stay."""
        for_noise, for_accept = jax.random.split(rng_key)
        x, density, back = as_vector(self.log_density, state.position)

        def drift(gradient: Any) -> Any:
            return state.step_size / 2 * stretch_back(state.scale, gradient)

        noise = jax.random.normal(for_noise, x.shape, x.dtype)
        move = noise + drift(state.gradient)
        new = x + state.step_size * stretch(state.scale, move)
        value, gradient = jax.value_and_grad(density)(new)
        proposed = state._replace(position=back(new), log_density=value, gradient=gradient)
        noise_back = -move - drift(gradient)  # the noise that would lead from x' to x
        log_ratio = value - state.log_density + (noise @ noise - noise_back @ noise_back) / 2
        state, accept_prob = accept(for_accept, log_ratio, proposed, state)
        bad = broken(value)
        return state, Info(accept_prob, bad, num_gradient_evaluations=1, step_size=state.step_size)


class Counted(NamedTuple):
    """Where a chain of SGLD is."""

    position: Any
    """The draw: a pytree of arrays."""
    log_density: Any
    """A minibatch's estimate of the log density, at the position before."""
    count: Any
    """Steps since the start."""


@kernel
class SGLD:
    r"""Stochastic-gradient Langevin dynamics: θ' = θ + h/2 ĝ(θ) + √h z, with no rejection.

    ĝ is the gradient of the log posterior estimated from n of the N data, drawn with replacement,
    ∇ log p(θ) + N/n Σ ∇ log p(yᵢ | θ). At a fixed step h it draws from something else than the
    posterior, with a bias in proportion to h: for a normal posterior of variance s² and gradients
    of variance V, the variance of the draws is s² (1 + h V/4) / (1 − h / (4 s²)). The statistic
    ``log_density`` is the minibatch's estimate, at the position before the step.

    With steps that fall, h_t = h (1 + t / delay)^(−decay), the bias goes to zero with them, and the
    chain moves ever more slowly. Averages over a run are then to be weighted by h_t, which is the
    statistic ``step_size``; a decay of 1/3 makes their error fall fastest (Teh, Thiery and Vollmer
    2016).
    """

    log_prior: LogDensity
    """Log of the prior density, up to a constant."""
    log_likelihood: Callable[[Any, Any], Any]
    """From a position and some rows of the data, the sum of their log densities."""
    data: Any
    """A pytree of arrays whose first axis runs over the data."""
    batch_size: int = field(metadata={"static": True})
    """n, the number of rows a step."""
    step_size: Any = 1e-3
    """h, in squared units of the position: it is the ε² of MALA."""
    decay: Any = 0.0
    """How fast the step falls; 0: not at all, 1: as fast as it may, or the chain comes to rest."""
    delay: Any = 100.0
    """After so many steps, warm-up included, the fall begins to tell."""

    def __post_init__(self) -> None:
        checks.at_least("batch_size", self.batch_size, 1)
        check_positive(step_size=self.step_size, delay=self.delay)
        if known(self.decay):
            checks.probability("decay", self.decay)
        checks.same_length(**{f"data[{i}]": a for i, a in enumerate(jax.tree.leaves(self.data))})

    def init(self, position: Any) -> Counted:
        """The state of a chain that starts at a position; here alone all data are looked at."""
        x, density, _ = as_vector(partial(self._log_density, rows=slice(None)), position)
        return Counted(position, density(x), jnp.zeros((), int))

    def step(self, rng_key: jax.Array, state: Counted) -> tuple[Counted, Info]:
        """Drift along the gradient of a minibatch, add noise, stay with it."""
        for_rows, for_noise = jax.random.split(rng_key)
        num_rows = len(jax.tree.leaves(self.data)[0])
        rows = jax.random.randint(for_rows, (self.batch_size,), 0, num_rows)
        x, density, back = as_vector(partial(self._log_density, rows=rows), state.position)
        value, gradient = jax.value_and_grad(density)(x)
        noise = jax.random.normal(for_noise, x.shape, x.dtype)
        h = jnp.asarray(self.step_size * (1 + state.count / self.delay) ** -self.decay, x.dtype)
        new = x + h / 2 * gradient + jnp.sqrt(h) * noise
        info = Info(jnp.ones_like(value), broken(value), num_gradient_evaluations=1, step_size=h)
        return Counted(back(new), value, state.count + 1), info

    def _log_density(self, position: Any, rows: Any) -> Any:
        some = jax.tree.map(lambda column: column[rows], self.data)
        all_rows, num_rows = (len(jax.tree.leaves(tree)[0]) for tree in (self.data, some))
        weight = all_rows / num_rows
        return self.log_prior(position) + weight * self.log_likelihood(position, some)
