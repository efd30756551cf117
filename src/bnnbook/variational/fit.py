r"""The search for the nearest member of a family: stochastic gradient ascent on the ELBO.

At each step a few draws from q estimate the gradient and an Optax optimiser turns it into a step,
measured in q's own standard deviations (see ``families``). Steps run in a compiled scan, a window
at a time. A search is at rest when neither the ELBO nor the average gradient shows a trend beyond
its own standard error, over as many windows as it takes for that error to be small: noise that
could hide a trend is no rest, so that small batches are watched for longer. Then the step size is
cut to a quarter; after a few cuts the search ends, and the states since it was last seen to move
are averaged (Polyak and Juditsky 1992; Dhaka et al. 2020; Welandawe et al. 2022 on cutting).
Whether it has arrived is then asked afresh, by the average gradient at the end. Chapter
"Variational inference" introduces it.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from bnnbook import checks
from bnnbook.models.flat import FlatTarget, from_log_density
from bnnbook.variational import elbo as elbos
from bnnbook.variational import families
from bnnbook.variational.approximation import Approximation
from bnnbook.variational.elbo import Estimator, LogDensity
from bnnbook.variational.families import Family, Params

CUT, NUM_CUTS = 0.25, 3
"""By how much the step size is cut when the ELBO stops rising, and how often before the end."""
ARRIVED = 0.1
"""Of a standard deviation: the search has arrived when no average gradient exceeds it."""
DRIFT = 0.05
"""Of a standard deviation: while an average gradient exceeds this and its noise, steps stay; and
they stay until its error is below this."""
SIGNIFICANT = 4.0
"""Standard errors by which a trend must exceed nought to be one."""
AWAY = 1e30
"""Of the target's scale: a mean or a standard deviation beyond it never comes back."""
LOST = 100.0
"""Nats a parameter below the start (and ten times the start's spread): the search diverged."""


class FitError(ValueError):
    """The search broke down; the message says at which step, for which parameter, and why."""


class FitWarning(UserWarning):
    """The search ended before it arrived; the message says what helps."""


class Residual(NamedTuple):
    """The average gradient where the search ended, in local coordinates: what is left to do."""

    size: Float[np.ndarray, " d"]
    """For each parameter the largest entry: roughly how many sds its mean, or how much of the log
    of its scale, is still off."""
    error: Float[np.ndarray, " d"]
    """Its Monte Carlo standard error."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted(Approximation):
    """A member of a family, fitted."""

    family: Family
    """The family."""
    params: Params
    """The state: the average over the last phase of the search."""
    trace_error: Float[np.ndarray, " step"]
    """The standard error of each entry of the trace."""
    rates: Float[np.ndarray, " step"]
    """The factor by which each step was cut."""
    residual: Residual
    """What the gradient at the end says."""
    converged: bool
    """Whether all of it is below a tenth of a standard deviation, but for its error."""

    @property
    def mean(self) -> Float[np.ndarray, " d"]:
        """Means of the unbounded parameters."""
        return np.asarray(self.params.mean)

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Their covariance."""
        with jax.enable_x64(self.dtype == "float64"):
            return np.asarray(self.family.covariance(self.params))

    @property
    def sd(self) -> Float[np.ndarray, " d"]:
        """Their standard deviations."""
        return np.sqrt(np.diag(self.covariance))


@lru_cache
def default_optimizer(learning_rate: float = 0.05) -> optax.GradientTransformation:
    """Adam with a short memory for the size of gradients, which are large far from the optimum."""
    return optax.adam(checks.positive("learning_rate", learning_rate), b2=0.99)


def fit(
    rng_key: Array,
    target: Any,
    family: Family = families.mean_field,
    *,
    dimension: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    estimator: Estimator = elbos.sticking_the_landing,
    num_steps: int = 10000,
    num_draws: int = 16,
    batch_size: int | None = None,
    window: int = 100,
    tolerance: float | None = 0.01,
    initial: Params | None = None,
    initial_scale: float = 0.1,
    num_check_draws: int = 4000,
) -> Fitted:
    """The member of a family with the highest ELBO, in the precision in force.

    Args:
        rng_key: a JAX key.
        target: a :class:`FlatTarget`; anything with ``log_prior``, ``log_likelihood``, ``names``,
            ``dimension`` and ``start``; or a JAX function of a vector, with ``dimension``.
        family: one of ``families``.
        dimension: the vector's length, where the target is a plain function.
        optimizer: any of Optax's, made once and used again (a new one compiles anew). It sees steps
            in standard deviations; Adam with rate 0.05 where it is None.
        estimator: of the gradient, one of ``elbo``'s.
        num_steps: the most steps.
        num_draws: draws from q a step, at least two.
        batch_size: rows of data a step, drawn with replacement, for targets made with ``rows``; all
            of the data where it is None.
        window: steps between two looks at the ELBO and the gradient. Where small batches make both
            noisy, several windows are taken together.
        tolerance: rises of the window's average by less than this, in nats, or by less than twice
            its error, count as none. None: ``num_steps`` at the full step size.
        initial: a state to start from.
        initial_scale: else the start has the target's own location, and its scale times this.
        num_check_draws: draws for the final ELBO and gradient.

    Raises:
        FitError: where the ELBO or its gradient is not finite, or the search diverges.
        ValueError: where an argument makes no sense.

    Warns:
        FitWarning: where the search ended before it arrived.
    """
    return fit_seeds(
        rng_key,
        target,
        family,
        num_seeds=1,
        dimension=dimension,
        optimizer=optimizer,
        estimator=estimator,
        num_steps=num_steps,
        num_draws=num_draws,
        batch_size=batch_size,
        window=window,
        tolerance=tolerance,
        initial=initial,
        initial_scale=initial_scale,
        num_check_draws=num_check_draws,
        spread=0.0,
    )[0]


def fit_seeds(
    rng_key: Array,
    target: Any,
    family: Family = families.mean_field,
    *,
    num_seeds: int = 8,
    spread: float = 1.0,
    dimension: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    estimator: Estimator = elbos.sticking_the_landing,
    num_steps: int = 10000,
    num_draws: int = 16,
    batch_size: int | None = None,
    window: int = 100,
    tolerance: float | None = 0.01,
    initial: Params | None = None,
    initial_scale: float = 0.1,
    num_check_draws: int = 4000,
) -> tuple[Fitted, ...]:
    """The same from several starts with noise of their own, vectorised.

    Args:
        rng_key: a JAX key.
        target: as for :func:`fit`, as all that is not listed here.
        family: one of ``families``.
        num_seeds: searches side by side.
        spread: standard deviation of the starts around the target's, in units of its scale.

    Returns:
        One fit a seed, in order. Where the ELBOs differ, the highest is the best bound.
    """
    begin = time.perf_counter()
    flat = as_flat(target, dimension)
    _check_arguments(flat, family, optimizer, estimator, dimension)
    search = _Search(
        density=_Density(flat.log_density, flat.log_density_of_rows, flat.num_rows, batch_size),
        family=family,
        optimizer=default_optimizer() if optimizer is None else optimizer,
        estimator=estimator,
        num_draws=checks.at_least("num_draws", num_draws, 2),
    )
    _check_batch(flat, batch_size)
    num_steps = checks.at_least("num_steps", num_steps, 1)
    rule = _Rule(
        num_steps,
        min(checks.at_least("window", window, 1), num_steps),
        None if tolerance is None else checks.positive("tolerance", tolerance),
    )
    num_check_draws = checks.at_least("num_check_draws", num_check_draws, 2)
    checks.positive("initial_scale", initial_scale)
    num_seeds = checks.at_least("num_seeds", num_seeds, 1)
    keys = jax.random.split(rng_key, 3)
    states = _starts(keys[0], flat, family, initial, initial_scale, spread, num_seeds)
    run_keys = jax.random.split(keys[1], num_seeds)
    run = _run(run_keys, search, rule, states, flat)
    check_keys = jax.random.split(keys[2], num_seeds)
    end = _check(check_keys, run.params, search, max(rule.window, 2), num_check_draws)
    seconds = (time.perf_counter() - begin) / num_seeds
    fits = tuple(_fitted(flat, search, run, end, i, seconds) for i in range(num_seeds))
    _warn(fits, rule)
    return fits


def optimise(
    rng_key: Array,
    log_density: LogDensity,
    family: Family,
    params: Params,
    *,
    optimizer: optax.GradientTransformation,
    estimator: Estimator = elbos.sticking_the_landing,
    num_steps: int,
    num_draws: int,
) -> Params:
    """The bare search, a pure function for ``jax.vmap`` and ``jax.jit``: no checks, no errors.

    The step size falls along a cosine, and the states of the last quarter are averaged. Where it
    breaks down, the state is the last good one.

    Args:
        rng_key: a JAX key.
        log_density: a JAX function of a vector; it may close over traced data.
        family: one of ``families``.
        params: the state to start from.
        optimizer: one of Optax's.
        estimator: of the gradient.
        num_steps: steps.
        num_draws: draws a step.
    """
    density = _Density(log_density, None, None, None)
    search = _Search(density, family, optimizer, estimator, num_draws)

    def step(carry: _Carry, i: Any) -> tuple[_Carry, None]:
        rate = 0.5 * (1 + jnp.cos(jnp.pi * i / num_steps))
        last = 4 * i >= 3 * num_steps
        return _step(search, _step_keys(rng_key, i), carry, i, rate, last)[0], None

    carry, _ = jax.lax.scan(step, _begin(search, params), jnp.arange(num_steps))
    return _average(carry)


def as_flat(target: Any, dimension: int | None = None) -> FlatTarget:
    """A target of any admitted kind as a :class:`FlatTarget`.

    Raises:
        ValueError: where a plain function comes without a dimension, or it is none of the kinds.
    """
    if isinstance(target, FlatTarget):
        return target
    if hasattr(target, "log_prior") and hasattr(target, "log_likelihood"):
        return FlatTarget(
            log_density=lambda x: target.log_prior(x) + target.log_likelihood(x),
            dimension=target.dimension,
            names=tuple(target.names),
            start=np.asarray(target.start),
            scale=np.ones(target.dimension),
        )
    if not callable(target):
        raise checks.fail("target", "a target or a function of a vector", target)
    if dimension is None:
        raise checks.fail("dimension", "given with a target that is a plain function", dimension)
    return from_log_density(target, dimension)


class _Density(NamedTuple):
    """The log density of all data, or of a random few of its rows."""

    whole: LogDensity
    of_rows: Callable[[Any, Any], Any] | None
    num_rows: int | None
    batch_size: int | None

    def at(self, rng_key: Array) -> LogDensity:
        if self.batch_size is None or self.of_rows is None or self.num_rows is None:
            return self.whole
        of_rows = self.of_rows
        rows = jax.random.randint(rng_key, (self.batch_size,), 0, self.num_rows)
        return lambda x: of_rows(x, rows)


class _Search(NamedTuple):
    """All that is compiled into a step."""

    density: _Density
    family: Family
    optimizer: optax.GradientTransformation
    estimator: Estimator
    num_draws: int


class _Rule(NamedTuple):
    """When to look and when to stop."""

    num_steps: int
    window: int
    tolerance: float | None


class _Carry(NamedTuple):
    """What one step hands to the next."""

    params: Params
    optimizer_state: Any
    total: Params
    """Sum of the states of this phase."""
    count: Any
    """How many they are."""
    gradients: tuple[Params, Params]
    """Sums of the local gradients of this window and of their squares."""
    failed_at: Any
    """The step whose estimate was not finite, after which nothing moves; −1 for none."""


class _Run(NamedTuple):
    """A finished search of all seeds."""

    params: Params
    trace: Float[np.ndarray, "seed step"]
    errors: Float[np.ndarray, "seed step"]
    rates: Float[np.ndarray, "seed step"]


def _begin(search: _Search, params: Params) -> _Carry:
    zeros = jax.tree.map(jnp.zeros_like, params)
    nothing = jnp.zeros((), jnp.asarray(params[0]).dtype)
    state = search.optimizer.init(zeros)
    # Of a full type, or the second window would compile anew.
    never = jnp.full((), -1, int)
    return _Carry(params, state, zeros, nothing, (zeros, zeros), never)


@partial(jax.jit, static_argnames="search")
def _begin_all(states: Params, *, search: _Search) -> _Carry:
    return jax.vmap(partial(_begin, search))(states)


def _step(
    search: _Search, keys: Array, carry: _Carry, i: Any, rate: Any, averaged: Any = True
) -> tuple[_Carry, Any]:
    """One step of one seed: estimate, step in local coordinates, move, unless it has failed."""
    key_rows, key_draws = keys
    density, params = search.density.at(key_rows), carry.params
    estimate = search.estimator(key_draws, density, search.family, params, search.num_draws)
    uphill = local_gradient(search.family, params, estimate.gradient)
    downhill = jax.tree.map(jnp.negative, uphill)
    step, state = search.optimizer.update(downhill, carry.optimizer_state, params)
    moved = search.family.move(params, jax.tree.map(lambda u: rate * u, step))
    fine = _finite((estimate.terms, moved)) & (carry.failed_at < 0)
    moved = jax.tree.map(lambda new, old: jnp.where(fine, new, old), moved, params)
    weight = jnp.where(averaged, 1.0, 0.0).astype(carry.count.dtype)
    add = partial(jax.tree.map, jnp.add)
    squares = jax.tree.map(jnp.square, uphill)
    gradients = (add(carry.gradients[0], uphill), add(carry.gradients[1], squares))
    failed_at = jnp.where(fine | (carry.failed_at >= 0), carry.failed_at, i)
    total = jax.tree.map(lambda t, m: t + weight * m, carry.total, moved)
    after = _Carry(moved, state, total, carry.count + weight, gradients, failed_at)
    return after, (estimate.terms.mean(), estimate.terms.std(ddof=1) / search.num_draws**0.5)


def local_gradient(family: Family, params: Params, gradient: Params) -> Params:
    """A gradient in the state's entries as one in steps of ``family.move``, without units."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return jax.vjp(lambda step: family.move(params, step), zeros)[1](gradient)[0]


def _step_keys(rng_key: Array, i: Any) -> Array:
    return jax.random.split(jax.random.fold_in(rng_key, i))


def _finite(tree: Any) -> Any:
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves))


def _average(carry: _Carry) -> Params:
    return jax.tree.map(
        lambda t, p: jnp.where(carry.count > 0, t / jnp.maximum(carry.count, 1), p),
        carry.total,
        carry.params,
    )


_averages = jax.jit(jax.vmap(_average))


@partial(jax.jit, static_argnames=("search", "length"))
def _window(
    keys: Array, carries: _Carry, first: Any, rates: Any, *, search: _Search, length: int
) -> tuple[_Carry, Any]:
    def one(key: Array, carry: _Carry, rate: Any) -> tuple[_Carry, Any]:
        steps = first + jnp.arange(length)
        # All at once: one by one they cost a twentieth of a step.
        each = jax.vmap(_step_keys, (None, 0))(key, steps), steps
        return jax.lax.scan(lambda c, ki: _step(search, ki[0], c, ki[1], rate), carry, each)

    if len(keys) > 1:
        return jax.vmap(one)(keys, carries, rates)
    # A stack of one costs some speed.
    alone = one(*jax.tree.map(lambda leaf: leaf[0], (keys, carries, rates)))
    return jax.tree.map(lambda leaf: leaf[None], alone)


class _Window(NamedTuple):
    """What one window tells of one seed."""

    elbo: float
    variance: float
    """Of that average."""
    gradients: tuple[Params, Params]
    """Sums of the local gradients and of their squares."""
    length: int


class _Watch:
    """Whether one seed is at rest, from the windows since it was last seen to move."""

    def __init__(self, rule: _Rule) -> None:
        self.rule = rule
        self.windows: list[_Window] = []
        self.cuts = 0
        self.begun = 0
        """The step at which this phase began."""

    def look(self, window: _Window, step: int) -> str:
        """Take in another window: is it "moving", "at rest", or is that still "unclear"?"""
        self.windows.append(window)
        if self.cuts > NUM_CUTS or len(self.windows) < 2:
            return "unclear"
        tolerance = self.rule.tolerance or 0.0
        rise, error = _rise(self.windows)
        size, size_error = _entries(*_pooled(self.windows))
        trend = (size > DRIFT) & (size > SIGNIFICANT * size_error)
        if trend.any() or rise > max(tolerance, SIGNIFICANT * error):
            self.windows = self.windows[-1:]
            return "moving"
        # Where noise would hide a trend for too long, half of what is left is spent on waiting.
        waited = 2 * (step - self.begun) >= self.rule.num_steps - self.begun
        clear = (size_error <= DRIFT).all() or waited
        still = self.rule.tolerance is not None and rise < max(tolerance, 2 * error)
        if still and clear:
            self.windows, self.begun = [], step
            self.cuts += 1
            return "at rest"
        return "unclear"


def _rise(windows: list[_Window]) -> tuple[float, float]:
    """By how much the ELBO of the later half of some windows exceeds the earlier's, and its error.

    With an odd number the oldest counts in neither.
    """
    half = len(windows) // 2
    now, before = windows[-half:], windows[-2 * half : -half]
    rise = np.mean([w.elbo for w in now]) - np.mean([w.elbo for w in before])
    variance = sum(w.variance for w in [*now, *before]) / half**2
    return float(rise), float(np.sqrt(variance))


def _pooled(windows: list[_Window]) -> tuple[tuple[Params, Params], int]:
    sums = jax.tree.map(lambda *leaves: sum(leaves), *[w.gradients for w in windows])
    return sums, sum(w.length for w in windows)


def _run(keys: Array, search: _Search, rule: _Rule, states: Params, flat: FlatTarget) -> _Run:
    """Windows of steps until all seeds have cut their steps often enough, or steps run out."""
    carries = _begin_all(states, search=search)
    watches = [_Watch(rule) for _ in keys]
    history: list[tuple[np.ndarray, np.ndarray]] = []
    rates_used, first = [], 0
    while first < rule.num_steps and any(w.cuts <= NUM_CUTS for w in watches):
        length = min(rule.window, rule.num_steps - first)
        rates = CUT ** np.array([min(w.cuts, NUM_CUTS) for w in watches], dtype=float)
        rate = jnp.asarray(rates, carries.count.dtype)
        carries, trace = _window(keys, carries, first, rate, search=search, length=length)
        history.append((np.asarray(trace[0], float), np.asarray(trace[1], float)))
        rates_used.append(np.repeat(rates[:, None], length, axis=1))
        _check_window(keys, search, states, carries, history, first, flat)
        first += length
        gradients = jax.tree.map(np.asarray, carries.gradients)
        seen = [
            watch.look(
                _Window(
                    history[-1][0][seed].mean(),
                    history[-1][0][seed].var() / length,
                    _of_seed(gradients, seed),
                    length,
                ),
                first,
            )
            for seed, watch in enumerate(watches)
        ]
        if first < rule.num_steps:
            done = np.array([watch.cuts > NUM_CUTS for watch in watches])
            rest = np.array([s == "at rest" for s in seen]) & ~done
            carries = _turn(carries, rest, rest | np.array([s == "moving" for s in seen]))
    traces, errors = (np.concatenate(part, axis=1) for part in zip(*history, strict=True))
    params = _averages(carries)
    return _Run(params, traces, errors, np.concatenate(rates_used, axis=1))


@jax.jit
def _turn(carries: _Carry, rest: Any, anew: Any) -> _Carry:
    """What lies between two windows: seeds at rest settle, some begin a new average."""
    carries = _forget(_settle(carries, rest), anew)
    return carries._replace(gradients=jax.tree.map(jnp.zeros_like, carries.gradients))


def _settle(carries: _Carry, seeds: Any) -> _Carry:
    """Begin a phase at the average of the one before, which has less noise than its last state."""

    def put(average: Any, last: Any) -> Any:
        chosen = jnp.asarray(seeds).reshape(-1, *[1] * (last.ndim - 1))
        return jnp.where(chosen, average, last)

    average = jax.vmap(_average)(carries)
    return carries._replace(params=jax.tree.map(put, average, carries.params))


def _forget(carries: _Carry, seeds: Any) -> _Carry:
    """Begin a new average where a new phase begins, or a seed was seen to move."""

    def clear(leaf: Any) -> Any:
        return jnp.where(jnp.asarray(seeds).reshape(-1, *[1] * (leaf.ndim - 1)), 0, leaf)

    total, count = jax.tree.map(clear, (carries.total, carries.count))
    return carries._replace(total=total, count=count)


def _of_seed(tree: Any, seed: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[seed], tree)


def _starts(
    rng_key: Array,
    flat: FlatTarget,
    family: Family,
    initial: Params | None,
    initial_scale: float,
    spread: float,
    num_seeds: int,
) -> Params:
    noise = jax.random.normal(rng_key, (num_seeds, flat.dimension))
    away = jnp.asarray(checks.finite("spread", spread) * flat.scale)[None] * noise
    if initial is None:
        sd = jnp.asarray(initial_scale * flat.scale)
        return jax.vmap(lambda a: family.init(jnp.asarray(flat.start) + a, sd))(away)
    zeros, ones = jnp.zeros(flat.dimension), jnp.ones(flat.dimension)
    like: Any = jax.eval_shape(family.init, zeros, ones)
    given: Any = jax.tree.map(jnp.asarray, initial)
    alike = type(given) is type(like) and all(
        a.shape == b.shape for a, b in zip(given, like, strict=True)
    )
    if not alike or not bool(_finite(given)):
        raise checks.fail(
            "initial", f"a finite state of {family.name} in {flat.dimension} dimensions", initial
        )
    return jax.vmap(lambda a: given._replace(mean=given.mean + a))(away)


class _End(NamedTuple):
    """Fresh estimates at the end, a row a seed."""

    elbo: Float[np.ndarray, " seed"]
    elbo_error: Float[np.ndarray, " seed"]
    gradients: tuple[Any, Any]
    num_steps: int


def _check(keys: Array, params: Params, search: _Search, length: int, num_draws: int) -> _End:
    """Windows with steps of size zero, so that nothing else need be compiled; on all the data."""
    whole = search._replace(density=search.density._replace(batch_size=None))
    carries = _begin_all(params, search=whole)
    stay = jnp.zeros(len(keys), carries.count.dtype)
    windows = -(-num_draws // (length * search.num_draws))
    means: list[np.ndarray] = []
    for i in range(windows):
        carries, trace = _window(keys, carries, i * length, stay, search=whole, length=length)
        means.append(np.asarray(trace[0], dtype=np.float64))
    terms = np.concatenate(means, axis=1)
    error = terms.std(axis=1, ddof=1) / np.sqrt(terms.shape[1])
    return _End(terms.mean(axis=1), error, carries.gradients, terms.shape[1])


def _fitted(
    flat: FlatTarget, search: _Search, run: _Run, end: _End, seed: int, seconds: float
) -> Fitted:
    params = jax.tree.map(lambda leaf: np.asarray(leaf[seed]), run.params)
    family = search.family
    residual = _residual(_of_seed(end.gradients, seed), end.num_steps)

    def sampler(rng_key: Array, num_draws: int) -> Any:
        state = jax.tree.map(jnp.asarray, params)
        return _sampled(rng_key, state, family=family, num_draws=num_draws)

    return Fitted(
        target=flat,
        method=f"variational inference, {family.name}",
        sampler=sampler,
        elbo=float(end.elbo[seed]),
        elbo_error=float(end.elbo_error[seed]),
        trace=run.trace[seed],
        seconds=seconds,
        dtype=params[0].dtype.name,
        family=family,
        params=params,
        trace_error=run.errors[seed],
        rates=run.rates[seed],
        residual=residual,
        converged=bool((residual.size <= ARRIVED + SIGNIFICANT * residual.error).all()),
    )


@partial(jax.jit, static_argnames=("family", "num_draws"))
def _sampled(rng_key: Array, params: Params, *, family: Family, num_draws: int) -> Any:
    x = family.sample(rng_key, params, num_draws)
    return x, jax.vmap(family.log_prob, (None, 0))(params, x)


def _entries(sums: tuple[Params, Params], count: int) -> tuple[Any, Any]:
    """Sizes of average gradients and their errors; the first axis of every leaf is the parameter.

    Returns:
        Two arrays with a row a parameter.
    """

    def rows(tree: Params) -> Float[np.ndarray, "d entries"]:
        leaves = [np.asarray(leaf, dtype=np.float64) for leaf in jax.tree.leaves(tree)]
        return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1) / count

    mean = rows(sums[0])
    variance = rows(sums[1]) - mean**2
    return np.abs(mean), np.sqrt(np.maximum(variance, 0) / max(count - 1, 1))


def _residual(sums: tuple[Params, Params], count: int) -> Residual:
    """For each parameter the largest average gradient, beyond its error."""
    size, error = _entries(sums, count)
    worst = np.argmax(size - SIGNIFICANT * error, axis=1)[:, None]
    pick = partial(np.take_along_axis, indices=worst, axis=1)
    return Residual(pick(size)[:, 0], pick(error)[:, 0])


def _warn(fits: tuple[Fitted, ...], rule: _Rule) -> None:
    for seed, fitted in enumerate(fits):
        if fitted.converged:
            continue
        excess = fitted.residual.size - SIGNIFICANT * fitted.residual.error
        worst = int(np.argmax(excess))
        ran_out = "num_steps ran out" if fitted.num_steps >= rule.num_steps else "the ELBO was flat"
        warnings.warn(
            f"{fitted.method} (seed {seed}) ended after {fitted.num_steps} steps, when {ran_out}, "
            f"but its gradient still asks {fitted.target.names[worst]} to move by about "
            f"{fitted.residual.size[worst]:.2g} of its standard deviations: give more num_steps or "
            "num_draws, a smaller learning rate and tolerance, or a target whose start and scale "
            "are nearer to the posterior's",
            FitWarning,
            stacklevel=3,
        )


def _check_arguments(
    flat: FlatTarget, family: Any, optimizer: Any, estimator: Any, dimension: int | None
) -> None:
    if not isinstance(family, Family):
        raise checks.fail("family", "one of bnnbook.variational.families", family)
    if optimizer is not None and not hasattr(optimizer, "update"):
        raise checks.fail("optimizer", "one of Optax's", optimizer)
    if not callable(estimator):
        raise checks.fail("estimator", "one of elbo's functions", estimator)
    if dimension is not None and dimension != flat.dimension:
        raise checks.fail("dimension", f"{flat.dimension} as the target's", dimension)
    out = jax.eval_shape(flat.log_density, jnp.asarray(flat.start))
    if getattr(out, "shape", None) != () or not jnp.issubdtype(out.dtype, jnp.floating):
        raise checks.fail("target", "a function from a vector to one real number", out)


def _check_batch(flat: FlatTarget, batch_size: int | None) -> None:
    if batch_size is None:
        return
    checks.at_least("batch_size", batch_size, 1)
    if flat.log_density_of_rows is None:
        raise ValueError(
            f"target must tell its rows apart for batch_size = {batch_size}, got none: make it "
            "with flat.from_model(..., rows=...)"
        )


def _check_window(
    keys: Array,
    search: _Search,
    states: Params,
    carries: _Carry,
    history: list[Any],
    first: int,
    flat: FlatTarget,
) -> None:
    """Raise where a seed met something that is not finite, or runs away downhill."""
    for seed, failed_at in enumerate(np.asarray(carries.failed_at)):
        state = _of_seed(carries.params, seed)
        if failed_at >= 0:
            raise _not_finite(keys[seed], search, state, int(failed_at), flat)
        start, now = history[0][0][seed, 0], history[-1][0][seed]
        spread = history[0][1][seed, 0] * search.num_draws**0.5
        if far_below(np.median(now), start, spread, flat.dimension):
            where = first + int(np.argmax(far_below(now, start, spread, flat.dimension)))
            raise _diverged(search.family, _of_seed(states, seed), state, where, start, flat)
        _check_reach(search.family, state, first + len(now) - 1, flat)


def _check_reach(family: Family, state: Params, step: int, flat: FlatTarget) -> None:
    """Raise where q grows without end, as it does where the density has no finite integral."""
    with np.errstate(over="ignore", invalid="ignore"):
        sd = np.sqrt(np.diag(np.asarray(family.covariance(state), dtype=np.float64)))
        reach = np.maximum(sd, np.abs(np.asarray(state.mean, dtype=np.float64))) / flat.scale
    far = ~(reach < AWAY)
    if far.any():
        worst = int(np.argmax(far))
        raise FitError(
            f"the search ran off to infinity: at step {step} {flat.names[worst]} has mean "
            f"{float(state.mean[worst]):.4g} and standard deviation {sd[worst]:.4g}: is the "
            "posterior proper (an improper prior needs data), and the learning rate small enough?"
        )


def far_below(elbo: Any, start: float, spread: float, dimension: int) -> Any:
    """Whether an ELBO is too far below the start's to be an overshoot; nothing here has units.

    Args:
        elbo: one or several.
        start: that of the first step.
        spread: standard deviation of log p − log q at the start.
        dimension: the number of parameters.
    """
    return elbo < start - LOST * dimension - 10 * spread


def _diverged(
    family: Family, begun: Params, state: Params, step: int, elbo: float, flat: FlatTarget
) -> FitError:
    sds = [np.sqrt(np.diag(family.covariance(p))) for p in (begun, state)]
    shift = np.abs(np.asarray(state.mean) - np.asarray(begun.mean)) / flat.scale
    with np.errstate(divide="ignore"):
        far = np.maximum(shift, np.abs(np.log(sds[1]) - np.log(sds[0])))
    worst = int(np.argmax(np.nan_to_num(far, nan=np.inf)))
    return FitError(
        f"the search diverged: at step {step} the ELBO was far below the {elbo:.4g} of the start, "
        f"farthest off is {flat.names[worst]} (mean {float(state.mean[worst]):.4g}, standard "
        f"deviation {sds[1][worst]:.4g}): take a smaller learning rate"
    )


def _not_finite(
    rng_key: Array, search: _Search, state: Params, step: int, flat: FlatTarget
) -> FitError:
    """Repeat the draws of the failed step, and find the parameter to blame."""
    key_rows, key_draws = _step_keys(rng_key, step)
    density = search.density.at(key_rows)
    x = search.family.sample(key_draws, state, search.num_draws)
    found = blamed(density, x, step, flat)
    if found is not None:
        return found
    worst = int(np.argmax(np.abs(np.asarray(state.mean) - flat.start) / flat.scale))
    return FitError(
        f"the step taken at step {step} was not finite, the farthest off is {flat.names[worst]} "
        f"(mean {float(state.mean[worst]):.4g}): take a smaller learning rate"
    )


def blamed(density: LogDensity, x: Any, step: int, flat: FlatTarget) -> FitError | None:
    """The error that names the parameter at whose value the density or its gradient breaks down.

    Args:
        density: the log density of one vector.
        x: the draws of that step, shape (n, d).
        step: which one.
        flat: what knows the names and where the search started.

    Returns:
        The error to raise; None where density and gradient are finite at all draws.
    """
    values = np.asarray(jax.vmap(density)(x))
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        return _density_error(density, np.asarray(x[bad[0]]), values[bad[0]], step, flat)
    gradients = np.asarray(jax.vmap(jax.grad(density))(x))
    wrong = np.argwhere(~np.isfinite(gradients))
    if not len(wrong):
        return None
    draw, worst = wrong[0]
    return FitError(
        f"the gradient of the log density is {gradients[draw, worst]} at step {step} for "
        f"{flat.names[worst]} = {float(x[draw, worst]):.4g}, where the log density is "
        f"{values[draw]:.4g}: look for a square root or a norm at zero, or a where() over NaN"
    )


def _density_error(
    density: LogDensity, x: Float[np.ndarray, " d"], value: float, step: int, flat: FlatTarget
) -> FitError:
    """To blame is a parameter which, put back to its start, makes the density finite again."""
    repaired = np.repeat(x[None], len(x), axis=0)
    np.fill_diagonal(repaired, flat.start)
    mended = np.isfinite(np.asarray(jax.vmap(density)(jnp.asarray(repaired))))
    blamed = np.flatnonzero(mended) if mended.any() else np.arange(len(x))
    shown = ", ".join(f"{flat.names[i]} = {x[i]:.4g}" for i in blamed[:3])
    shown += ", ..." if len(blamed) > 3 else ""
    together = "" if mended.any() or len(x) == 1 else " together"
    hopeless = not np.isfinite(np.asarray(density(jnp.asarray(flat.start))))
    why = (
        "nor is it finite where the search starts: look for NaN in the data, for data outside the "
        "support of their distribution, or give another start"
        if hopeless
        else "it has run away: take a smaller learning rate"
        if (np.abs(x - flat.start) > 1e3 * flat.scale).any()
        else "the guide puts probability where the target has none: map that parameter onto the "
        "target's support by a bijection"
        if value == -np.inf
        else "check the model there, or take a smaller learning rate or initial_scale"
    )
    return FitError(
        f"the ELBO is not finite at step {step}: the log density is {value} for {shown}{together}; "
        f"{why}"
    )
