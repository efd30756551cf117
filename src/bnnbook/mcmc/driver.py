"""One driver for all kernels: chains side by side, draws and statistics in one ``DataTree``.

It scans a kernel's ``step``, vectorised over chains, and lets it adapt in warm-up only. A kernel
is compiled once for each number of chains, draws and warm-up steps: other keys, starts, step sizes
and data run at once. What is wrong with a run is told with its remedy. Introduced in the chapter
"Markov chain Monte Carlo".
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.tree_util import keystr, tree_leaves_with_path

from bnnbook import checks
from bnnbook.datatree import from_draws
from bnnbook.mcmc.kernel import AdaptiveKernel, Kernel, carrying_data, check_key
from bnnbook.mcmc.nuts import SamplerWarning

STUCK = 0.01
"""A chain that accepts fewer proposals than this is told of."""
COUNTS = ("num_density_evaluations", "num_gradient_evaluations")
"""What is summed over warm-up too, as attributes such as ``warmup_density_evaluations``."""


def sample(
    rng_key: jax.Array,
    kernel: Any,
    initial_positions: Any,
    num_samples: int = 1000,
    num_warmup: int = 1000,
    *,
    constrain: Callable[[Any], Any] | None = None,
) -> xr.DataTree:
    """Draws from the target of a kernel, in the precision in force.

    Args:
        rng_key: a JAX key.
        kernel: anything with the functions ``init`` and ``step`` of ``bnnbook.mcmc.kernel``.
        initial_positions: a pytree whose arrays have the chains as first axis: one start for each
            chain, best more dispersed than the target.
        num_samples: draws a chain that are kept.
        num_warmup: steps a chain that are thrown away; kernels that can adapt do so here.
        constrain: from a position to the pytree to be kept, for kernels that move in other
            parameters than those asked for.

    Returns:
        A tree with the groups ``posterior`` (the leaves of the position by their names, a bare
        array as ``x``) and ``sample_stats`` (log_density, accept_prob, diverging,
        num_density_evaluations, num_gradient_evaluations, and step_size and energy of kernels that
        have them), and the settings as attributes.

    Raises:
        ValueError: where a setting makes no sense, arrays disagree about the number of chains, a
            start is not finite or has a log density or gradient that is not, or draws are not.

    Warns:
        SamplerWarning: where there is but one chain, steps diverged, a chain all but stood still,
            a kernel that adapts was given no warm-up, or draws are outside the support.
    """
    _check_call(rng_key, kernel)
    if constrain is not None and not callable(constrain):
        raise checks.fail("constrain", "a function of a position, or None", constrain)
    num_samples = checks.at_least("num_samples", num_samples, 1)
    num_warmup = checks.at_least("num_warmup", num_warmup, 0)
    positions, num_chains = check_positions(initial_positions)
    states = _start(kernel, positions)
    keys = jax.random.split(rng_key, num_chains)
    run = _run(
        kernel,
        keys,
        states,
        carrying_data(constrain),
        num_samples=num_samples,
        num_warmup=num_warmup,
    )
    draws, stats, of_warmup = jax.tree.map(np.asarray, run)
    posterior = named(draws)
    _check_finite(posterior)
    settings = {"num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains}
    attrs = {"method": _name(kernel), "dtype": jnp.result_type(float).name, **settings}
    attrs |= {f"warmup_{name[4:]}": int(counts.sum()) for name, counts in of_warmup.items()}
    tree = from_draws(posterior=posterior, sample_stats=stats, attrs=attrs)
    for message in complaints(tree, adaptive=isinstance(kernel, AdaptiveKernel)):
        warnings.warn(message, SamplerWarning, stacklevel=2)
    return tree


def move(rng_key: jax.Array, kernel: Any, positions: Any, num_steps: int) -> Any:
    """Where many chains are after some steps, with nothing adapted and nothing else kept.

    A kernel leaves its target invariant where positions that were exact draws are so still.

    Args:
        rng_key: a JAX key.
        kernel: the kernel.
        positions: a pytree whose arrays have the chains as first axis.
        num_steps: how many steps.

    Raises:
        ValueError: where there is no step, or a position is not finite or outside the support.
    """
    _check_call(rng_key, kernel)
    num_steps = checks.at_least("num_steps", num_steps, 1)
    positions, num_chains = check_positions(positions)
    keys = jax.random.split(rng_key, num_chains)
    moved, value = _move(kernel, keys, positions, num_steps=num_steps)
    _check_inside(value, positions)
    return moved


def _check_call(rng_key: Any, kernel: Any) -> None:
    check_key(rng_key)
    if isinstance(kernel, type) or not isinstance(kernel, Kernel):
        raise checks.fail("kernel", "an object with the functions init and step", kernel)


def one_step(kernel: Any, adapting: bool, state: Any, rng_key: jax.Array) -> tuple[Any, Any]:
    """The step that is scanned: the next state, and what is kept of it."""
    state, info = kernel.step(rng_key, state)
    stats = {k: v for k, v in info._asdict().items() if v is not None}
    if getattr(state, "log_density", None) is not None:
        stats["log_density"] = state.log_density
    kept = state.position, stats
    return (kernel.adapt(state, info) if adapting else state), kept


@partial(jax.jit, static_argnames=("num_samples", "num_warmup"))
def _run(
    kernel: Any, keys: Any, states: Any, constrain: Any, *, num_samples: int, num_warmup: int
) -> Any:
    adapting = isinstance(kernel, AdaptiveKernel)

    def chain(rng_key: jax.Array, state: Any) -> Any:
        for_warmup, for_draws = jax.random.split(rng_key)
        if adapting:
            state = kernel.begin_warmup(state, num_warmup)

        def warm(state: Any, rng_key: jax.Array) -> Any:
            state, (_, stats) = one_step(kernel, adapting, state, rng_key)
            return state, {name: stats[name] for name in COUNTS if name in stats}

        state, spent = jax.lax.scan(warm, state, jax.random.split(for_warmup, num_warmup))
        draw = partial(one_step, kernel, False)
        _, (draws, stats) = jax.lax.scan(draw, state, jax.random.split(for_draws, num_samples))
        return (draws if constrain is None else jax.vmap(constrain)(draws)), stats, spent

    return jax.vmap(chain)(keys, states)


@partial(jax.jit, static_argnames=("num_steps",))
def _move(kernel: Any, keys: Any, positions: Any, *, num_steps: int) -> Any:
    def chain(rng_key: jax.Array, position: Any) -> Any:
        def step(state: Any, rng_key: jax.Array) -> Any:
            return kernel.step(rng_key, state)[0], None

        keys, start = jax.random.split(rng_key, num_steps), kernel.init(position)
        end = jax.lax.scan(step, start, keys)[0].position
        return end, getattr(start, "log_density", None)

    return jax.vmap(chain)(keys, positions)


@jax.jit
def _init(kernel: Any, positions: Any) -> Any:
    return jax.vmap(kernel.init)(positions)


def check_positions(positions: Any) -> tuple[Any, int]:
    """Starts as JAX arrays in the precision in force, and the number of chains.

    Raises:
        ValueError: where there are none, an array is not finite, or the first axes disagree.
    """
    leaves = {_leaf_name(path): leaf for path, leaf in tree_leaves_with_path(positions)}
    shapes = {name: np.shape(leaf) for name, leaf in leaves.items()}
    lengths = {shape[:1] for shape in shapes.values()}
    if len(lengths) != 1 or lengths & {(), (0,)}:
        expected = "arrays whose first axis is the chain, of one length (stack one start a chain)"
        raise checks.fail("initial_positions", expected, shapes)
    for name, leaf in leaves.items():
        checks.finite_array(f"initial_positions[{name!r}]", leaf)
    arrays = jax.tree.map(jnp.asarray, positions)
    return arrays, lengths.pop()[0]


def _start(kernel: Any, positions: Any) -> Any:
    states = _init(kernel, positions)
    _check_inside(getattr(states, "log_density", None), positions)
    for path, leaf in tree_leaves_with_path(states):
        if not np.isfinite(leaf).all():
            raise ValueError(
                "initial_positions must have a finite gradient of the log density at every "
                f"chain's start, got a {keystr(path, simple=True)} of {np.asarray(leaf)}: use a "
                "kernel without gradients, or a log density that is differentiable there"
            )
    return states


def _check_inside(value: Any, positions: Any) -> None:
    if value is not None and not np.isfinite(value).all():
        chain = int(np.argmin(np.isfinite(value)))
        at = jax.tree.map(lambda leaf: np.asarray(leaf)[chain], positions)
        raise ValueError(
            "initial_positions must have a finite log density at every chain's start, got "
            f"{value[chain]} for chain {chain} at {at}: start inside the support, for example at "
            "draws from the prior, or mend the log density where it is NaN"
        )


def named(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a pytree by name: keys and indices joined by dots; a bare array is ``x``."""
    return {_leaf_name(path): np.asarray(leaf) for path, leaf in tree_leaves_with_path(tree)}


def _leaf_name(path: Any) -> str:
    return keystr(path, simple=True, separator=".") or "x"


def _name(kernel: Any) -> str:
    return type(getattr(kernel, "kernel", kernel)).__name__


def _check_finite(posterior: dict[str, np.ndarray]) -> None:
    for name, draws in posterior.items():
        if not np.isfinite(draws).all():
            chain, draw = np.argwhere(~np.isfinite(draws))[0][:2]
            raise ValueError(
                f"draws of {name!r} must be finite, got {draws[chain, draw]} from draw {draw} of "
                f"chain {chain} on: make step_size smaller, or rescale the parameters; of a Gibbs "
                "sampler, mend the conditionals; or mend constrain, where one is given"
            )


def complaints(tree: xr.DataTree, *, adaptive: bool) -> list[str]:
    """What is wrong with the draws, each with what helps."""
    stats, attrs = tree["sample_stats"].to_dataset(), tree.attrs
    diverging = int(stats["diverging"].sum()) if "diverging" in stats else 0
    accepted = stats["accept_prob"].values.mean(axis=1) if "accept_prob" in stats else np.ones(1)
    total = attrs["num_chains"] * attrs["num_samples"]
    outside = int((stats["log_density"] == -np.inf).sum()) if "log_density" in stats else 0
    found = []
    if attrs["num_chains"] == 1:
        found.append("initial_positions hold one chain, so R̂ has nothing to compare: take 4")
    if adaptive and attrs["num_warmup"] == 0:
        found.append("num_warmup is 0, so nothing was tuned: warm up for at least 200 steps")
    if diverging:
        found.append(
            f"{diverging} of {total} steps diverged (a log density of NaN or +∞, "
            "or a trajectory that left the target), so part of it is missed: make the step size "
            "smaller or target_accept_prob larger, or write the target in other parameters"
        )
    if outside:
        found.append(
            f"{outside} of {total} steps were outside the support, at a log density of -inf, where "
            "no exact kernel is: mend the conditionals of a Gibbs sampler, or write the target in "
            "unbounded parameters for a kernel that accepts all its proposals"
        )
    if accepted.min() < STUCK:
        found.append(
            f"chain {accepted.argmin()} accepted a share of {accepted.min():.2g} of its proposals "
            "and hardly moved: make step_size smaller, or warm up with bnnbook.mcmc.warmup.Tuned, "
            "or give an independence sampler a proposal with heavier tails"
        )
    return found
