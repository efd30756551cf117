r"""Warm-up: a kernel's step size and scales, tuned while it runs, and fixed before draws count.

The step size follows the acceptance probability by dual averaging (Nesterov 2009; Hoffman and
Gelman 2014); the scales, diagonal or dense, are learnt from the draws of windows that double in
length, as in Stan. It serves every kernel whose state has a ``step_size`` and a ``scale``: the
random walk, MALA, HMC. A chain that tunes itself for ever need not tend to its target, so this ends
with warm-up. Introduced in the chapter "Hamiltonian Monte Carlo".
"""

from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from bnnbook import checks
from bnnbook.mcmc.kernel import Info, State, Vector, kernel, known

FIRST_STEPS, FIRST_WINDOW, LAST_STEPS = 75, 25, 50
"""Stan's phases: to find the target; the first window; to tune the step size one last time.

The last is a fifth of warm-up where that is more. Its n steps tell of acceptance in at most
√(δ(1 − δ)) each, and the average remembers 2 n^¾ of them, so acceptance is off by some
√(δ(1 − δ) / (2 n^¾)): near one half by 0.08 after 50 steps, by 0.05 after 200."""
SHRINKAGE, STRETCH, DECAY, DELAY = 0.05, 10.0, 0.75, 10.0
"""Hoffman and Gelman's γ, e^μ in units of the step size, κ and t₀."""


def window_ends(num_warmup: int) -> list[int]:
    """The steps after which the scales are set anew; none in a warm-up too short to learn them."""
    stop, size = num_warmup - max(LAST_STEPS, num_warmup // 5), FIRST_WINDOW
    ends, end = [], FIRST_STEPS
    while end + size <= stop:
        end += size
        size *= 2
        if end + size > stop:  # the rest would be no whole window
            end = stop
        ends.append(end)
    return ends


class StepSize(NamedTuple):
    """Dual averaging of the log of a step size."""

    centre: Float[Array, ""]
    """μ, towards which it is drawn."""
    error: Float[Array, ""]
    """The running mean of target less acceptance probability."""
    log_average: Float[Array, ""]
    """The average of the log step sizes, late ones counting most: the one to end with."""
    count: Any
    """Steps since the start."""


def start_search(step_size: Float[Array, ""]) -> StepSize:
    """A new search from a step size."""
    zero = jnp.zeros_like(step_size)
    return StepSize(jnp.log(STRETCH * step_size), zero, zero, jnp.zeros((), int))


def search(tuning: StepSize, accept_prob: Any, target: Any) -> tuple[StepSize, Float[Array, ""]]:
    """One step of dual averaging, and the step size to try next."""
    count = tuning.count + 1
    weight = 1 / (count + DELAY)
    error = (1 - weight) * tuning.error + weight * (target - accept_prob)
    log_step = tuning.centre - jnp.sqrt(count) / SHRINKAGE * error
    share = count.astype(log_step.dtype) ** -DECAY
    log_average = share * log_step + (1 - share) * tuning.log_average
    return StepSize(tuning.centre, error, log_average, count), jnp.exp(log_step)


class Moments(NamedTuple):
    """Welford's running mean and sum of squares, of each coordinate or of each pair."""

    count: Any
    """Draws so far."""
    mean: Vector
    """Their mean."""
    squares: Float[Array, "..."]
    """The sum of squares, or of products, of their deviations."""


def add(moments: Moments, x: Vector) -> Moments:
    """One more draw."""
    count = moments.count + 1
    before = x - moments.mean
    mean = moments.mean + before / count
    after = x - mean
    product = jnp.outer(after, before) if moments.squares.ndim == 2 else after * before
    return Moments(count, mean, moments.squares + product)


def scale_of(moments: Moments, before: Float[Array, "..."]) -> Float[Array, "..."]:
    """Standard deviations, or the Cholesky root of the covariance, drawn a little to those before.

    Stan's shrinkage, five imaginary draws of variance 1e-3, keeps the estimate of few regular. Here
    that is in units of the scale before, so that whoever measures in other units gets the same
    sampler, and a scale that is far too long shrinks by a hundred or so at each window. A root is
    taken of the correlations, which scales that differ by many powers of ten cannot spoil, and only
    where there are at least five draws a coordinate: of fewer, which are alike, chance makes many.
    """
    n, dense = moments.count, moments.squares.ndim == 2
    few = 1e-3 * 5 / (n + 5)
    covariance = moments.squares / (n - 1) * n / (n + 5)
    variance = jnp.diag(covariance) if dense else covariance
    sd = jnp.sqrt(variance + few * ((before**2).sum(axis=1) if dense else before**2))
    if not dense:
        return sd
    correlation = jnp.where(n >= 5 * len(sd), covariance / jnp.outer(sd, sd), 0.0)
    correlation += jnp.diag(1 + few - jnp.diag(correlation))  # few: a root in float32 as well
    return sd[:, None] * jnp.linalg.cholesky(correlation)


class Tuning(NamedTuple):
    """A kernel's state, and what warm-up keeps beside it."""

    of_kernel: State
    """The state of the kernel that is tuned."""
    step_size: StepSize
    """The search for its step size."""
    moments: Moments
    """The draws of the window."""
    count: Any
    """Steps of warm-up so far."""
    ends: Any
    """Where windows end, and last where warm-up does."""

    @property
    def position(self) -> Any:
        """The draw."""
        return self.of_kernel.position

    @property
    def log_density(self) -> Any:
        """The log density there."""
        return self.of_kernel.log_density


@kernel
class Tuned:
    """A kernel that is tuned in warm-up and then left as it is."""

    kernel: Any
    """A random walk, MALA or HMC: its state has a step size and a scale."""
    target_accept_prob: Any = 0.8
    """Some 0.8 suits HMC, 0.57 MALA, 0.23 a random walk; more for smaller steps."""
    dense: bool = field(default=False, metadata={"static": True})
    """Whether correlations are learnt too, or only a scale for each coordinate."""
    adapt_scale: bool = field(default=True, metadata={"static": True})
    """Whether scales are learnt at all."""

    def __post_init__(self) -> None:
        if known(self.target_accept_prob):
            checks.fraction("target_accept_prob", self.target_accept_prob)

    def init(self, position: Any) -> Tuning:
        """The state of a chain that starts at a position."""
        state = self.kernel.init(position)
        if getattr(state, "step_size", None) is None:
            expected = "a kernel whose state has a step size"
            raise checks.fail("kernel", expected, type(self.kernel).__name__)
        if self.dense and state.scale.ndim == 1:
            state = state._replace(scale=jnp.diag(state.scale))
        tuning, moments = start_search(state.step_size), self._no_moments(state)
        return Tuning(state, tuning, moments, jnp.zeros((), int), jnp.zeros((1,), int))

    def begin_warmup(self, state: Tuning, num_warmup: int) -> Tuning:
        """Lay out the windows."""
        ends = window_ends(num_warmup) if self.adapt_scale else []
        return state._replace(ends=jnp.array([*ends, num_warmup]))

    def step(self, rng_key: jax.Array, state: Tuning) -> tuple[Tuning, Info]:
        """The kernel's own step."""
        of_kernel, info = self.kernel.step(rng_key, state.of_kernel)
        return state._replace(of_kernel=of_kernel), info

    def adapt(self, state: Tuning, info: Info) -> Tuning:
        """Tune the step size at every step, the scale at the end of each window."""
        count = state.count + 1
        tuning, step_size = search(state.step_size, info.accept_prob, self.target_accept_prob)
        moments = _choose(count > FIRST_STEPS, self._seen(state), state.moments)
        last = count == state.ends[-1]
        average = jnp.exp(tuning.log_average)
        of_kernel = state.of_kernel._replace(step_size=jnp.where(last, average, step_size))
        on = state._replace(of_kernel=of_kernel, step_size=tuning, moments=moments, count=count)
        window_ends_here = (count == state.ends[:-1]).any()
        return _choose(window_ends_here, self._with_new_scale(on, average), on)

    def _seen(self, state: Tuning) -> Moments:
        return add(state.moments, ravel_pytree(state.position)[0])

    def _with_new_scale(self, state: Tuning, step_size: Any) -> Tuning:
        of_kernel = state.of_kernel._replace(
            scale=scale_of(state.moments, state.of_kernel.scale), step_size=step_size
        )
        tuning, moments = start_search(step_size), self._no_moments(of_kernel)
        return state._replace(of_kernel=of_kernel, step_size=tuning, moments=moments)

    def _no_moments(self, state: State) -> Moments:
        x = ravel_pytree(state.position)[0]
        return Moments(jnp.zeros((), int), jnp.zeros_like(x), jnp.zeros_like(state.scale))


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
