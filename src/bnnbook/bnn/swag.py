r"""SWAG: a normal distribution fitted to where stochastic gradient descent wanders.

.. math:: q(\theta) = N\bigl(\bar\theta,\; \tfrac12 \operatorname{diag}(s^2)
          + \tfrac{1}{2 (K - 1)} D D^\top\bigl)

From a trained network, plain SGD with a constant step goes on, and a state is collected every few
steps (Maddox et al. 2019). Their mean is θ̄ (stochastic weight averaging, Izmailov et al. 2018), s²
their variances, unknown by unknown, and the columns of D the last K states, each less the mean of
those so far. This covariance is that of the iterates. It depends on step, batches and the time
between states, and is not the posterior's, whose it is only where the step is chosen so (Mandt,
Hoffman and Blei 2017): of a linear model the mean is right and the spread is not. With all rows at
each step there is no noise, and from a mode no spread. Chapter "Approximate posteriors, scored"
introduces it.

The step is a share of the greatest one at which descent is stable, 2/λ with λ the largest curvature
at the start, so that it means the same whatever the units, the noise and the number of data.
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from bnnbook import checks
from bnnbook.bnn import train
from bnnbook.bnn.fitted import Drawn, check_fit
from bnnbook.models.bayesian_network import Data, Network, Params

POWER_STEPS = 30
"""Multiplications by the Hessian that find its largest eigenvalue."""


class Settings(NamedTuple):
    """How the network is trained, and how states are collected after that."""

    num_members: int = 1
    """Modes, each with a normal distribution of its own; more than one is MultiSWAG (Wilson and
    Izmailov 2020)."""
    search: train.Settings = train.DEFAULTS
    """How each is trained first."""
    share: float = 0.1
    """The constant step of SGD, as a share of the greatest stable one."""
    batch_size: int = 32
    """Rows a step of SGD, drawn with replacement."""
    num_states: int = 100
    """States that are collected."""
    thinning: int = 20
    """Steps of SGD between two of them."""
    rank: int = 20
    """K: how many of the last states give the covariance its correlations."""
    num_draws: int = 100
    """Draws a member."""


DEFAULTS = Settings()


class Moments(NamedTuple):
    """What is kept of the states, unknowns laid out as ``network.ravel`` does."""

    mean: Float[Any, "... unknown"]
    """θ̄, the mean of all states."""
    variance: Float[Any, "... unknown"]
    """s², the variance of each unknown over the states."""
    deviations: Float[Any, "... K unknown"]
    """The columns of D, as rows: each of the last K states less the mean of those up to it."""

    def covariance(self) -> Float[np.ndarray, "... unknown unknown"]:
        """The covariance of q."""
        rows = np.asarray(self.deviations)
        low_rank = np.swapaxes(rows, -1, -2) @ rows / (2 * (rows.shape[-2] - 1))
        return low_rank + 0.5 * np.asarray(self.variance)[..., None] * np.eye(rows.shape[-1])


@dataclass(frozen=True, eq=False, kw_only=True)
class Swag(Drawn):
    """Draws of the normal distributions, a chain a mode."""

    moments: Moments
    """Of the states of each member."""
    step_sizes: Float[np.ndarray, " member"]
    """The step of SGD on the mean loss a row, as each member took it."""


def fit(
    rng_key: Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    validation: Data | None = None,
    num_devices: int = 1,
) -> Swag:
    """SWAG on a network, in the precision in force.

    Args:
        rng_key: a JAX key.
        network: the network.
        data: what ``network.data(x, y)`` gives.
        settings: how it is trained, and how states are collected after that.
        validation: data to choose the number of training steps by.
        num_devices: the members are spread over the first of ``jax.devices()``.

    Raises:
        ValueError: where a setting makes no sense, or the data are bad.
        FitError: where every member failed; it names steps and reasons.

    Warns:
        FitWarning: where some members failed and are left out, or a noise sd has run off towards
            nought.
    """
    began = time.perf_counter()
    data = check_fit(network, data)
    _check(settings)
    for_search, for_states = jax.random.split(rng_key)
    run = train.search(
        for_search,
        network,
        data,
        settings.search,
        settings.num_members,
        validation=validation,
        num_devices=num_devices,
    )
    run, failed = train.keep(run, "SWAG", train.tolerance(network))
    left = [i for i in range(settings.num_members) if i not in failed]
    keys = train.member_keys(for_states, settings.num_members)[np.array(left)]
    placed: Any = train.spread(1 if failed else num_devices, keys, run.params, network, data)
    wandered = train.gathered(_wander(placed, settings))
    kept, lost = train.keep(_as_run(wandered, run), "SWAG", train.tolerance(network))
    moments, draws, step_sizes = jax.device_get(kept.params)
    params = jax.vmap(jax.vmap(network.unravel))(jnp.asarray(draws))
    flat = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[2:])), params)
    train.warn_of_collapse(flat, network, "SWAG", data)
    return Swag(
        network=network,
        method="SWAG",
        params=params,
        attrs={"num_failed": len(failed) + len(lost)},
        moments=moments,
        step_sizes=step_sizes,
        seconds=time.perf_counter() - began,
    )


def moments_of(states: Float[Array, "state unknown"], rank: int) -> Moments:
    """The moments of states in the order in which they came.

    Args:
        states: unknowns laid out as ``network.ravel`` does, a row a state.
        rank: of how many of the last states the deviations are kept.
    """
    moved = states - states[:1]  # small, so that float32 keeps the digits of their sums
    counts = jnp.arange(1, len(states) + 1, dtype=states.dtype)
    deviations = moved - jnp.cumsum(moved, axis=0) / counts[:, None]
    return Moments(states[0] + moved.mean(axis=0), moved.var(axis=0), deviations[-rank:])


def draws_of(rng_key: Array, moments: Moments, num_draws: int) -> Float[Array, "draw unknown"]:
    """Draws of q."""
    for_diagonal, for_rank = jax.random.split(rng_key)
    mean, rows = moments.mean, moments.deviations
    z = jax.random.normal(for_diagonal, (num_draws, len(mean)), mean.dtype)
    w = jax.random.normal(for_rank, (num_draws, len(rows)), mean.dtype)
    spread = z * jnp.sqrt(0.5 * moments.variance)[None, :]
    return mean[None, :] + spread + w @ rows / (2 * (len(rows) - 1)) ** 0.5


class _Wandered(NamedTuple):
    """What SGD came to, a row a member."""

    found: tuple[Moments, Any, Any]
    """Moments, draws and step size."""
    trace: Any
    failed_at: Any


@eqx.filter_jit
def _wander(placed: tuple[Array, Params, Network, Data], settings: Settings) -> _Wandered:
    keys, starts, network, data = placed

    def one(rng_key: Array, start: Any) -> _Wandered:
        for_rows, for_steps, for_draws = jax.random.split(rng_key, 3)
        loss = partial(_loss, network, data.num_rows)
        some = train.batch(for_rows, data, train.ROWS_AT_ONCE)
        size = settings.share * 2 / _largest_curvature(lambda p: loss(p, for_rows, some), start)
        optimizer = optax.sgd(size)
        taken = partial(train.step, loss, optimizer, for_steps, data, settings.batch_size)

        def collect(carry: train.Carry, indices: Any) -> Any:
            carry, losses = jax.lax.scan(taken, carry, indices)
            return carry, (carry.params, losses)

        carry = train.Carry(start, optimizer.init(start), jnp.array(-1))
        numbers = jnp.arange(settings.num_states * settings.thinning)
        numbers = numbers.reshape(settings.num_states, settings.thinning)
        carry, (states, losses) = jax.lax.scan(collect, carry, numbers)
        moments = moments_of(states, settings.rank)
        draws = draws_of(for_draws, moments, settings.num_draws)
        trace = -data.num_rows * losses.reshape(-1)
        return _Wandered((moments, draws, size), trace, carry.failed_at)

    return jax.vmap(one)(keys, jax.vmap(network.ravel)(starts))


def _loss(network: Network, count: int, vector: Any, rng_key: Array, rows: Data) -> Any:
    return -train.log_density(rng_key, network, network.unravel(vector), rows, count) / count


def _largest_curvature(loss: Any, vector: Any) -> Any:
    """The eigenvalue of the Hessian that is largest in size, by repeated multiplication."""
    slope = jax.grad(loss)

    def multiply(direction: Any, _: Any) -> Any:
        product = jax.jvp(slope, (vector,), (direction,))[1]
        size = jnp.sqrt(jnp.sum(product**2))
        return product / size, size

    first = jax.random.normal(jax.random.key(0), vector.shape, vector.dtype)
    first = first / jnp.sqrt(jnp.sum(first**2))
    return jax.lax.scan(multiply, first, length=POWER_STEPS)[1][-1]


def _as_run(wandered: _Wandered, trained: train.Run) -> train.Run:
    """The walk as ``train.keep`` judges it: failed where it lost all that training had gained."""
    trace = np.asarray(wandered.trace)
    last = trace[:, -max(1, trace.shape[1] // 10) :].mean(axis=1)
    walked = np.full(len(trace), trace.shape[1])
    failed_at = np.asarray(wandered.failed_at)
    columns: list[Any] = [wandered.found, trace, failed_at, trained.begun, last, walked]
    return train.Run(*columns)


def _check(settings: Settings) -> None:
    checks.fraction("share", settings.share)
    for name, least in {"batch_size": 1, "num_states": 2, "thinning": 1, "num_draws": 1}.items():
        checks.at_least(name, getattr(settings, name), least)
    if checks.at_least("rank", settings.rank, 2) > settings.num_states:
        expected = f"at most {settings.num_states}, the number of states"
        raise checks.fail("rank", expected, settings.rank)
