"""The no-U-turn sampler on a network's weights: the posterior itself, given time.

NumPyro's NUTS (Hoffman and Gelman 2014) on ``network.log_density``. Three of its defaults are
changed for networks, each by measurement in ESS of f per gradient (``benchmarks/networks.py``): no
mass matrix is learnt, since coordinates are standardised already and a network's symmetries give
chains variances that say nothing of any one mode; the step size aims at an acceptance rate of 0.6;
and chains start from draws of the prior, which are as far apart as the model admits. Look at R̂ of
f, not of the weights (``evaluation.function_space``). Chapter "A network is a prior over functions"
uses it.
"""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import gcd
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import numpyro  # noqa: F401 (before its parts: ArviZ registers it lazily)
from jax.sharding import Mesh, PartitionSpec
from numpyro.infer import NUTS

from bnnbook import checks
from bnnbook.bnn.fitted import Drawn, check_fit
from bnnbook.bnn.tempering import UNTEMPERED, Powers, powers
from bnnbook.mcmc.nuts import SamplerWarning
from bnnbook.models.bayesian_network import Data, Network

CHAIN_METHODS = ("vectorised", "sequential")
START_TRIES = 100
STILL = 0.05


class Settings(NamedTuple):
    """How the sampler runs."""

    num_warmup: int = 500
    """Steps a chain that tune the step size and are thrown away."""
    num_samples: int = 1000
    """Draws a chain that are kept."""
    num_chains: int = 4
    """Chains, each from a draw of the prior; R̂ compares them, so take at least 4."""
    target_accept_prob: float = 0.6
    """The acceptance rate that the step size is tuned to; raise it where draws diverge."""
    max_tree_depth: int = 10
    """Trajectories have at most two to this power steps, less one."""
    adapt_mass_matrix: bool = False
    """Whether to learn a diagonal mass matrix in warm-up."""
    chain_method: str = "sequential"
    """What the chains on one device do: "vectorised" moves them side by side, each draw as long as
    the longest trajectory among them; "sequential" one after the other."""


DEFAULTS = Settings()


class Run(NamedTuple):
    """What some steps of all chains gave."""

    vectors: np.ndarray
    """The unknowns as ``network.ravel`` lays them out, shape (chain, draw, unknown)."""
    stats: Mapping[str, np.ndarray]
    """What the sampler tells of each draw, each of shape (chain, draw)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sampled(Drawn):
    """Draws of a network's posterior by NUTS, and where its chains ended."""

    state: Any
    """The sampler's state after the last draw; :func:`continued` goes on from it."""


def fit(
    rng_key: jax.Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    temperature: float = 1.0,
    tempered: str = "posterior",
) -> Sampled:
    """Draws from the posterior of a network.

    It runs in the precision in force. Equal networks with data and settings of one shape compile
    once, whatever the temperature. Chains are spread over devices, where there are several and
    their number divides.

    Args:
        rng_key: a JAX key.
        network: the network.
        data: what ``network.data(x, y)`` gives.
        settings: how the sampler runs.
        temperature: T of the posterior that is drawn from; see ``tempering``.
        tempered: what it is of, the "posterior" or the "likelihood" alone.

    Raises:
        ValueError: where a setting makes no sense, the data are bad, or the log density and its
            gradient are not finite where chains start.

    Warns:
        SamplerWarning: where draws diverged, trajectories were cut short, a chain stood still, or
            there is but one chain.
    """
    began = time.perf_counter()
    data, settings = check_fit(network, data), check_settings(settings)
    raised = powers(temperature, tempered)
    state = start(rng_key, network, data, settings, powers=raised)
    total = settings.num_warmup + settings.num_samples
    state, run = advance(network, data, state, settings, total, powers=raised)
    kept = Run(*jax.tree.map(lambda array: array[:, settings.num_warmup :], run))
    seconds = time.perf_counter() - began
    for message in complaints(kept.stats, settings):
        warnings.warn(message, SamplerWarning, stacklevel=2)
    found = fitted(network, kept, state, settings, seconds)
    attrs = {**found.attrs, "temperature": float(temperature), "tempered": tempered}
    return replace(found, attrs=attrs)


def fitted(network: Network, run: Run, state: Any, settings: Settings, seconds: float) -> Sampled:
    """The draws of a run as what predicts."""
    params = jax.vmap(jax.vmap(network.unravel))(run.vectors)
    plain = {k: int(v) if isinstance(v, bool) else v for k, v in settings._asdict().items()}
    return Sampled(
        network=network,
        method="NUTS",
        seconds=seconds,
        params=params,
        stats=dict(run.stats),
        attrs={"dtype": run.vectors.dtype.name, **plain},
        state=state,
    )


def check_settings(settings: Settings) -> Settings:
    """The settings, checked."""
    checks.fraction("target_accept_prob", settings.target_accept_prob)
    checks.one_of("chain_method", settings.chain_method, CHAIN_METHODS)
    return settings._replace(
        num_warmup=checks.at_least("num_warmup", settings.num_warmup, 1),
        num_samples=checks.at_least("num_samples", settings.num_samples, 1),
        num_chains=checks.at_least("num_chains", settings.num_chains, 1),
        max_tree_depth=checks.at_least("max_tree_depth", settings.max_tree_depth, 1),
    )


def start(
    rng_key: jax.Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    vectors: Any = None,
    step_size: float = 1.0,
    powers: Powers = UNTEMPERED,
) -> Any:
    """The sampler's state before its first step.

    Args:
        rng_key: a JAX key.
        network: the network.
        data: what ``network.data(x, y)`` gives.
        settings: how the sampler will run; with a ``num_warmup`` of 0 the step size stays.
        vectors: a start for each chain, shape (chain, unknown); draws of the prior where None.
        step_size: the first step size.
        powers: of prior and likelihood.

    Raises:
        ValueError: where no draw of the prior has a finite log density and gradient.
    """
    for_starts, for_chains = jax.random.split(rng_key)
    if vectors is None:
        keys = jax.random.split(for_starts, (settings.num_chains, START_TRIES))
        vectors, good = _starts(network, data, keys, _arrays(powers))
        if not np.asarray(good).all():
            raise ValueError(
                "network must have a finite log density and gradient at draws of its prior, got "
                f"none in {START_TRIES} tries: rescale x and y to order one"
            )
    keys = jax.random.split(for_chains, settings.num_chains)
    return _init(network, data, vectors, keys, settings, step_size, _arrays(powers))


def advance(
    network: Network,
    data: Data,
    state: Any,
    settings: Settings,
    num_steps: int,
    *,
    powers: Powers = UNTEMPERED,
) -> tuple[Any, Run]:
    """Some more steps of all chains; the first ``num_warmup`` of a state's life tune it.

    Args:
        network: the network of the state.
        data: the data of the state.
        state: what ``start`` or an earlier call gave.
        settings: those of the state.
        num_steps: how many steps; another number compiles anew.
        powers: those of the state.

    Returns:
        The state afterwards, and the draws.
    """
    devices = gcd(settings.num_chains, jax.device_count())
    raised = _arrays(powers)
    state, vectors, stats = _advance(network, data, state, settings, num_steps, devices, raised)
    return state, Run(np.asarray(vectors), {k: np.asarray(v) for k, v in stats.items()})


def complaints(stats: Mapping[str, np.ndarray], settings: Settings) -> list[str]:
    """What is wrong with a run, each with what helps."""
    found = []
    total = stats["diverging"].size
    diverging = int(stats["diverging"].sum())
    cut = int((stats["num_steps"] >= 2**settings.max_tree_depth - 1).sum())
    still = np.flatnonzero(stats["accept_prob"].mean(axis=1) < STILL)
    if settings.num_chains == 1:
        found.append("num_chains is 1, so R̂ has nothing to compare: take at least 4 chains")
    if diverging:
        found.append(
            f"{diverging} of {total} draws diverged, so part of the posterior is missed: raise "
            f"target_accept_prob above {settings.target_accept_prob:g}"
        )
    if cut > total / 20:
        found.append(
            f"{cut} of {total} trajectories stopped at max_tree_depth = {settings.max_tree_depth}, "
            "so draws are more alike than they need be: standardise the inputs, warm up for "
            "longer, or raise max_tree_depth"
        )
    if len(still):
        found.append(
            f"chain {still[0]} accepts fewer than {STILL:.0%} of its proposals: standardise x and "
            "y, warm up for longer, or look for noise that is far too small"
        )
    return found


def _arrays(powers: Powers) -> Powers:
    """As arrays, so that other powers need no other program."""
    return Powers(*(jax.numpy.asarray(float(power)) for power in powers))


@eqx.filter_jit
def _starts(network: Network, data: Data, keys: Any, powers: Powers) -> tuple[Any, Any]:
    """The first of some draws of the prior with a finite density and gradient, for each chain."""

    def tried(key: Any) -> tuple[Any, Any]:
        vector = network.ravel(network.draw_prior(key))
        value, gradient = jax.value_and_grad(partial(_potential, network, data, powers))(vector)
        return vector, jax.numpy.isfinite(value) & jax.numpy.isfinite(gradient).all()

    def of_chain(keys: Any) -> tuple[Any, Any]:
        vectors, good = jax.lax.map(tried, keys)
        return vectors[jax.numpy.argmax(good)], good.any()

    return jax.lax.map(of_chain, keys)


@eqx.filter_jit
def _init(
    network: Network,
    data: Data,
    vectors: Any,
    keys: Any,
    settings: Settings,
    step_size: Any,
    powers: Powers,
) -> Any:
    def one(key: Any, vector: Any) -> Any:
        return _kernel(network, data, settings, powers, key, vector, step_size)[1]

    return jax.vmap(one)(keys, vectors)


@eqx.filter_jit
def _advance(
    network: Network,
    data: Data,
    state: Any,
    settings: Settings,
    num_steps: int,
    devices: int,
    powers: Powers = UNTEMPERED,
) -> Any:
    def chain(powers: Powers, state: Any) -> Any:
        # The start is not used; NumPyro's kernel has to be made before it can step.
        kernel, _ = _kernel(network, data, settings, powers, jax.random.key(0), state.z)

        def step(state: Any, _: Any) -> tuple[Any, Any]:
            new = kernel.sample(state, (), {})
            stats = {
                "diverging": new.diverging,
                "energy": new.energy,
                "num_steps": new.num_steps,
                "accept_prob": new.accept_prob,
                "step_size": new.adapt_state.step_size,
            }
            return new, (new.z, stats)

        state, (vectors, stats) = jax.lax.scan(step, state, length=num_steps)
        return state, vectors, stats

    method = jax.vmap if settings.chain_method == "vectorised" else _one_after_the_other

    def chains(powers: Powers, state: Any) -> Any:
        return method(partial(chain, powers))(state)

    if devices == 1:
        return chains(powers, state)
    mesh = Mesh(np.array(jax.devices()[:devices]), ("chain",))
    spec: Any = PartitionSpec("chain")  # type: ignore[no-untyped-call]
    # Without collectives, each device runs loops of its own length.
    everywhere: Any = PartitionSpec()  # type: ignore[no-untyped-call]
    return jax.shard_map(
        chains, mesh=mesh, in_specs=(everywhere, spec), out_specs=spec, check_vma=False
    )(powers, state)


def _one_after_the_other(chain: Any) -> Any:
    return partial(jax.lax.map, chain)


def _kernel(
    network: Network,
    data: Data,
    settings: Settings,
    powers: Powers,
    key: Any,
    vector: Any,
    step_size: Any = 1.0,
) -> tuple[Any, Any]:
    kernel = NUTS(
        potential_fn=partial(_potential, network, data, powers),
        step_size=step_size,
        target_accept_prob=settings.target_accept_prob,
        max_tree_depth=settings.max_tree_depth,
        adapt_mass_matrix=settings.adapt_mass_matrix,
    )
    return kernel, kernel.init(key, settings.num_warmup, vector)


def _potential(network: Network, data: Data, powers: Powers, vector: Any) -> Any:
    return -network.log_density(network.unravel(vector), data, **powers._asdict())
