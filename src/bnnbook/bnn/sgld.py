r"""Langevin dynamics with minibatches: training's own noise, turned up until it draws.

.. math:: v' = \beta v + \frac{\ell T}{N}\, \hat\nabla \log p_T(\theta, \mathcal{D})
          + \sqrt{2 (1 - \beta) \ell T / N}\; z,\quad \theta' = \theta + v',\quad z \sim N(0, I)

is gradient ascent on the mean log density a datum, with learning rate ℓ and momentum β, and noise
of just the size that makes it draw from the posterior p_T of temperature T. Without momentum it is
stochastic-gradient Langevin dynamics (SGLD; Welling and Teh 2011), with it stochastic-gradient
Hamiltonian Monte Carlo (SGHMC; Chen, Fox and Guestrin 2014). Nothing is rejected, so both are
biased, by two errors of the order of ℓ. The step: in a direction in which a normal posterior has
the precision λ, with a = ℓ T λ / N, the variance of SGLD's draws is too large by the factor
1 / (1 − a/2), and at a = 2 it is infinite. The minibatch: gradients of variance V add
(ℓ T / N)² V / (2a − a²) to it. Steps that fall, or that fall in cycles (Zhang et al. 2020), trade
bias for slowness. Chapters "Hamiltonian Monte Carlo" and "Approximate posteriors, scored" use it.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from bnnbook import checks
from bnnbook.bnn import train
from bnnbook.bnn.fitted import Drawn, check_fit, check_start
from bnnbook.bnn.tempering import powers
from bnnbook.models.bayesian_network import Data, Network, Params

SCHEDULES = ("fixed", "decreasing", "cyclical")
TOLERANCE = 10.0
"""Nats, and two an unknown, that a chain may end below its start: from a mode, chains fall by half
an unknown or so, and by the bias."""


class Settings(NamedTuple):
    """How the chains run. Of each, num_warmup + num_samples × thinning steps are taken a cycle."""

    num_warmup: int = 2000
    """Steps a cycle, before draws are kept."""
    num_samples: int = 200
    """Draws a cycle and chain that are kept."""
    thinning: int = 20
    """Steps a draw; the last of them is kept."""
    num_chains: int = 4
    """Chains; they move side by side."""
    learning_rate: float = 1e-3
    """ℓ, the first step. It must stay below 2 (1 + β) over the largest curvature of the negative
    mean log density a datum; halve it until predictions no longer change."""
    momentum: float = 0.0
    """β: SGLD at 0; SGHMC above, which at 0.9 goes some ten times as far a step."""
    batch_size: int | None = None
    """Rows a step, drawn with replacement; None (or no fewer than there are): all, each once."""
    schedule: str = "fixed"
    """"fixed": ℓ throughout. "decreasing": after t steps ℓ (1 + t / delay)^(−decay). "cyclical": in
    each cycle ℓ falls along half a cosine to nought, and warm-up goes without noise."""
    num_cycles: int = 1
    """Cycles, all alike but that each starts where the last ended; draws follow one another."""
    decay: float = 1 / 3
    """Of the decreasing schedule; 1/3 is best for averages weighted by ℓ (Teh et al. 2016)."""
    delay: float = 1000.0
    """Of the decreasing schedule, in steps."""
    temperature: float = 1.0
    """T; see ``tempering``. The same ℓ is stable at all temperatures where the posterior is
    tempered; where the likelihood alone is, ℓ T times the prior's pull is what changes."""
    tempered: str = "posterior"
    """What the temperature is of: the "posterior" or the "likelihood" alone."""


DEFAULTS = Settings()


@dataclass(frozen=True, eq=False, kw_only=True)
class Chains(Drawn):
    """Draws by Langevin dynamics. ``stats`` hold ``learning_rate``, which averages over a
    decreasing schedule are to be weighted by, and the minibatch's ``estimate`` of the log density,
    at its powers, before each draw's last step."""

    failed: dict[int, str] = field(default_factory=dict)
    """Of each chain that was left out, why."""


def fit(
    rng_key: Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    start: Params | None = None,
    num_devices: int = 1,
) -> Chains:
    """Draws near a network's posterior, in the precision in force.

    Equal networks with data and settings of one shape compile once, whatever the learning rate,
    the momentum, the decay or the temperature. Data are held once, whatever the number of chains.

    Args:
        rng_key: a JAX key.
        network: the network.
        data: what ``network.data(x, y)`` gives.
        settings: how the chains run.
        start: where all chains start, such as a MAP estimate, or, with an axis more at the front,
            where each does; where None, at weights drawn from the prior, the rest at its medians.
        num_devices: the chains are spread over the first of ``jax.devices()``.

    Raises:
        ValueError: where a setting makes no sense or the data are bad.
        FitError: where every chain broke down or diverged; it names chain and step.

    Warns:
        FitWarning: where some did: they are left out.
    """
    began = time.perf_counter()
    data, settings = check_fit(network, data), check_settings(settings)
    keys = train.member_keys(rng_key, settings.num_chains)
    if start is not None:
        start = check_start(network, start, settings.num_chains)
    keys, *given = train.spread(num_devices, keys, network, data, start)
    numbers, plan = _split(settings)
    if settings.batch_size is not None and settings.batch_size >= data.num_rows:
        plan = plan._replace(batch_size=None)
    there = [*given, numbers, plan]
    run = jax.device_get(train.gathered(_run(keys, *there)))
    tolerance = TOLERANCE + 2 * network.num_parameters
    run, failed = train.keep(run, _method(settings), tolerance, "chain")
    return Chains(
        network=network,
        method=_method(settings),
        seconds=time.perf_counter() - began,
        params=jax.tree.map(jnp.asarray, run.params),
        stats={"learning_rate": run.learning_rate, "estimate": run.estimate},
        attrs={k: -1 if v is None else v for k, v in settings._asdict().items()},
        failed=failed,
    )


def check_settings(settings: Settings) -> Settings:
    """The settings, checked."""
    checks.positive("learning_rate", settings.learning_rate)
    checks.positive("delay", settings.delay)
    checks.probability("decay", settings.decay)
    if settings.momentum != 0:
        checks.fraction("momentum", settings.momentum)
    checks.one_of("schedule", settings.schedule, SCHEDULES)
    powers(settings.temperature, settings.tempered)
    if settings.batch_size is not None:
        checks.at_least("batch_size", settings.batch_size, 1)
    counts = ("num_samples", "thinning", "num_chains", "num_cycles")
    checked: dict[str, Any] = {n: checks.at_least(n, getattr(settings, n), 1) for n in counts}
    return settings._replace(
        num_warmup=checks.at_least("num_warmup", settings.num_warmup, 0), **checked
    )


class _Run(NamedTuple):
    """What the chains did, a row a chain."""

    params: Params
    learning_rate: Any
    estimate: Any
    failed_at: Any
    met: Any
    """The estimate at which a chain broke down."""
    begun: Any
    ended: Any
    chosen_at: Any
    """The number of steps."""


class _Carry(NamedTuple):
    at: Any
    velocity: Any
    failed_at: Any
    met: Any


class _Numbers(NamedTuple):
    """Settings that may change without compiling anew."""

    learning_rate: Any
    momentum: Any
    decay: Any
    delay: Any
    temperature: Any
    powers: Any


def _split(settings: Settings) -> tuple[_Numbers, Settings]:
    names = ("learning_rate", "momentum", "decay", "delay", "temperature")
    raised = jax.tree.map(jnp.asarray, powers(settings.temperature, settings.tempered))
    values: Any = {name: jnp.asarray(float(getattr(settings, name))) for name in names}
    numbers = _Numbers(**values, powers=raised)
    return numbers, settings._replace(**_same(names), tempered="")


def _same(names: tuple[str, ...]) -> dict[str, Any]:
    return dict.fromkeys(names, 1.0)


def _method(settings: Settings) -> str:
    name = "SGHMC" if settings.momentum else "SGLD"
    return f"cyclical {name}" if settings.schedule == "cyclical" else name


@eqx.filter_jit
def _run(
    keys: Array,
    network: Network,
    data: Data,
    start: Params | None,
    numbers: _Numbers,
    settings: Settings,
) -> _Run:
    if start is None:
        start = jax.vmap(lambda key: network.init(jax.random.fold_in(key, 0)))(keys)
    chain = partial(_chain, network, data, numbers, settings)
    run = jax.vmap(chain)(keys, jax.vmap(network.ravel)(start))
    return run._replace(params=jax.vmap(jax.vmap(network.unravel))(run.params))


def _chain(
    network: Network, data: Data, numbers: _Numbers, settings: Settings, rng_key: Any, start: Any
) -> _Run:
    """A chain from a vector; its draws are rows."""
    length = settings.num_warmup + settings.num_samples * settings.thinning
    step = partial(_step, network, data, numbers, settings, jax.random.fold_in(rng_key, 1))

    silent = settings.num_warmup if settings.schedule == "cyclical" else 0

    def draw(first: Any, carry: Any, i: Any) -> Any:
        # Warm-up goes before the first draw, in the same loop: another would compile once more.
        end = settings.num_warmup + (i + 1) * settings.thinning
        begin = jnp.where(i == 0, 0, end - settings.thinning)

        def take(j: Any, carry: Any) -> Any:
            return step(carry[0], first + j, jnp.where(j < silent, 0.0, 1.0))

        carry = jax.lax.fori_loop(begin, end, take, carry)
        return carry, (carry[0].at, *carry[1])

    def cycle(carry: Any, number: Any) -> Any:
        return jax.lax.scan(partial(draw, number * length), carry, jnp.arange(settings.num_samples))

    def whole(vector: Any) -> Any:
        params = network.unravel(vector)

        def of_rows(rows: Data) -> Any:
            return jnp.sum(network.log_likelihood(params, *rows))

        prior = numbers.powers.prior_power * network.log_prior(params)
        return prior + numbers.powers.likelihood_power * train.over_rows(of_rows, data)

    nought = jnp.zeros((), data.x.dtype)
    carry = (_Carry(start, jnp.zeros_like(start), jnp.array(-1), nought), (nought, nought))
    (last, _), kept = jax.lax.scan(cycle, carry, jnp.arange(settings.num_cycles))
    vectors, rate, estimate = (a.reshape(-1, *a.shape[2:]) for a in kept)
    begun, ended = jax.lax.map(whole, jnp.stack([start, last.at]))
    taken = jnp.array(length * settings.num_cycles)
    return _Run(vectors, rate, estimate, last.failed_at, last.met, begun, ended, taken)


def _step(
    network: Network,
    data: Data,
    numbers: _Numbers,
    settings: Settings,
    rng_key: Any,
    carry: _Carry,
    i: Any,
    noise: Any,
) -> tuple[_Carry, Any]:
    """One step; after a number that is not finite, none."""
    for_rows, for_noise = jax.random.split(jax.random.fold_in(rng_key, i))
    rows = train.batch(for_rows, data, settings.batch_size)

    def log_density(at: Any) -> Any:
        options = {"num_rows": data.num_rows, **numbers.powers._asdict()}
        return network.log_density(network.unravel(at), rows, **options)

    value, slope = jax.value_and_grad(log_density)(carry.at)
    rate = _rate(numbers, settings, i)
    pull = rate * numbers.temperature / data.num_rows
    spread = noise * jnp.sqrt(2 * (1 - numbers.momentum) * pull)
    z = jax.random.normal(for_noise, carry.at.shape, carry.at.dtype)
    velocity = numbers.momentum * carry.velocity + pull * slope + spread * z
    moved = carry.at + velocity
    going = carry.failed_at < 0
    fine = going & train.finite((value, moved))
    at, velocity = train.select(fine, (moved, velocity), carry[:2])
    broke = going & ~fine
    failed_at, met = jnp.where(broke, i, carry.failed_at), jnp.where(broke, value, carry.met)
    return _Carry(at, velocity, failed_at, met), (rate, value)


def _rate(numbers: _Numbers, settings: Settings, i: Any) -> Any:
    """The learning rate at a step, counted from 0."""
    if settings.schedule == "fixed":
        return numbers.learning_rate
    if settings.schedule == "decreasing":
        return numbers.learning_rate * (1 + i / numbers.delay) ** -numbers.decay
    length = settings.num_warmup + settings.num_samples * settings.thinning
    return numbers.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * (i % length) / length))
