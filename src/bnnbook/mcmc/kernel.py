r"""What a Markov chain Monte Carlo kernel is, and the few lines that all of them share.

A kernel leaves a density p invariant: if x is a draw from p, so is the next state. It is two pure
functions, ``init(position) -> state`` and ``step(rng_key, state) -> (state, info)``, built from the
log of p, up to a constant, over any pytree of arrays. One driver runs them all
(``bnnbook.mcmc.driver``). Kernels are frozen dataclasses and pytrees: their numbers (step sizes,
data) are traced, so another value of one compiles nothing anew; only another function does.
Introduced in the chapter "Markov chain Monte Carlo".
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol, dataclass_transform, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from jaxtyping import Array, Float

from bnnbook import checks

LogDensity = Callable[[Any], Any]
Vector = Float[Array, " d"]


class State(NamedTuple):
    """Where a chain is, with what the next step would otherwise compute again."""

    position: Any
    """The draw: a pytree of arrays."""
    log_density: Any
    """Log of the target density there, up to a constant; None where a kernel needs none."""
    gradient: Any = None
    """Its gradient, as a vector, for kernels that use one."""
    step_size: Any = None
    """How far a proposal goes, in units of ``scale``; warm-up may change it."""
    scale: Any = None
    """The shape of proposals: a scale for each coordinate, or a lower triangular matrix L."""
    momentum: Any = None
    """The momentum of Hamiltonian kernels, in units in which it is standard normal."""


class Info(NamedTuple):
    """What one step tells of itself; what is not None ends in the group ``sample_stats``."""

    accept_prob: Any
    """The probability with which the proposal was accepted; 1 for kernels that never reject."""
    diverging: Any
    """Whether the step met a log density of NaN or +∞, or an energy error above 1000."""
    num_density_evaluations: Any = 0
    """Evaluations of the log density alone."""
    num_gradient_evaluations: Any = 0
    """Evaluations of the log density together with its gradient."""
    num_conditional_draws: Any = None
    """Draws from conditional distributions, of kernels that cost those and no density."""
    step_size: Any = None
    """The step size in force."""
    energy: Any = None
    """The Hamiltonian at the state that the step ended in."""


@runtime_checkable
class Kernel(Protocol):
    """Anything with these two functions can be run by the driver."""

    def init(self, position: Any) -> Any:
        """The state of a chain that starts at ``position``."""

    def step(self, rng_key: jax.Array, state: Any) -> tuple[Any, Any]:
        """The next state, which has a ``position``, and what is to be told of the step."""


@runtime_checkable
class AdaptiveKernel(Kernel, Protocol):
    """A kernel that tunes itself, in warm-up only: its target then stays exact afterwards."""

    def begin_warmup(self, state: Any, num_warmup: int) -> Any:
        """The state before the first of ``num_warmup`` steps."""

    def adapt(self, state: Any, info: Any) -> Any:
        """The state tuned by what the last step told."""


@dataclass_transform(frozen_default=True, eq_default=False)
def kernel[C](cls: type[C]) -> type[C]:
    """Make a class a frozen dataclass whose fields are leaves of a pytree.

    Functions among the fields may carry data: ``functools.partial(log_joint, data)`` gives another
    target for other data without compiling anew. Fields with the metadata ``static`` are sizes, of
    which each value is another program.
    """
    made: type[C] = dataclass(frozen=True, eq=False)(cls)
    settings = fields(made)  # type: ignore[arg-type]
    traced = [field.name for field in settings if not field.metadata.get("static")]
    static = [field.name for field in settings if field.metadata.get("static")]

    def flatten(self: Any) -> tuple[Any, Any]:
        values = tuple(carrying_data(getattr(self, name)) for name in traced)
        return values, tuple(getattr(self, name) for name in static)

    def unflatten(settings: Any, values: Any) -> Any:
        # Around __init__, whose checks are for numbers and not for what JAX puts in their place.
        new = object.__new__(made)
        for name, value in zip([*traced, *static], [*values, *settings], strict=True):
            object.__setattr__(new, name, value)
        return new

    jax.tree_util.register_pytree_node(made, flatten, unflatten)
    return made


def carrying_data(value: Any) -> Any:
    """A function as a pytree of the numbers that are bound to it; whatever else, as it is."""
    if isinstance(value, functools.partial) and not isinstance(value, Partial):
        bound = jax.tree.leaves((value.args, value.keywords))
        if all(isinstance(leaf, Array | np.ndarray | np.number | float | int) for leaf in bound):
            return Partial(value.func, *value.args, **value.keywords)  # type: ignore[no-untyped-call]
    if callable(value) and jax.tree_util.all_leaves([value]):
        return Partial(value)  # type: ignore[no-untyped-call]
    return value


def known(value: Any) -> bool:
    """Whether a value can be looked at: inside a transformation of JAX it cannot."""
    return not isinstance(value, jax.core.Tracer)


def check_positive(**values: Any) -> None:
    """Refuse settings, given by keyword, that are known and not positive and finite everywhere."""
    for name, value in values.items():
        # By NumPy: inside a trace JAX's own functions make something unknown of what is known.
        if known(value) and not (_reals(value) > 0).all():
            raise checks.fail(name, "positive and finite", value)


def check_scale(scale: Any) -> None:
    """Refuse scales of a proposal that are known and are not finite, or squash a direction."""
    if not known(scale):
        return
    array = _reals(scale)
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    sizes = np.linalg.slogdet(array)[0] if square and np.isfinite(array).all() else array
    if not np.isfinite(array).all() or (np.ndim(sizes) < 2 and not np.all(sizes)):
        raise checks.fail("scale", "finite and without a direction of no width", scale)


def _reals(value: Any) -> np.ndarray:
    """An array of real numbers; NaN, which no check lets pass, for whatever is not one."""
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        return np.array(np.nan)
    return np.where(np.isfinite(array), array, np.nan)


def check_key(rng_key: Any) -> None:
    """Refuse what is not one JAX key.

    Raises:
        ValueError: where it is a number, or an array of keys.
    """
    dtype, shape = getattr(rng_key, "dtype", None), np.shape(rng_key)
    new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not new and not (dtype == np.uint32 and shape == (2,)):
        raise checks.fail("rng_key", "one JAX key, such as jax.random.key(0)", rng_key)


def evaluate(
    log_density: Callable[..., Any], *position: Any, name: str = "log_density"
) -> Float[Array, ""]:
    """The log density at a position, in the precision in force.

    Raises:
        ValueError: where the function is none, or does not return one real number.
    """
    expected = "a function that returns one number"
    if not callable(log_density):
        raise checks.fail(name, expected, log_density)
    value = log_density(*position)
    shape, dtype = np.shape(value), None if value is None else jnp.result_type(value)
    if shape != () or dtype is None or jnp.issubdtype(dtype, jnp.complexfloating):
        raise checks.fail(name, expected, value if dtype is None else f"{dtype} of shape {shape}")
    return jnp.asarray(value).astype(float)


def like(name: str, new: Any, position: Any) -> Any:
    """What a function of the user returned, as a position: with its tree, shapes and types.

    Raises:
        ValueError: where it has another structure or shape, which would be broadcast in silence,
            or numbers of a kind that would be rounded in silence.
    """
    got_tree, wanted_tree = str(jax.tree.structure(new)), str(jax.tree.structure(position))
    if got_tree != wanted_tree:
        expected = f"a function that returns a position of the structure {wanted_tree}"
        raise checks.fail(name, expected, got_tree)
    for one, other in zip(jax.tree.leaves(new), jax.tree.leaves(position), strict=True):
        got, wanted = jnp.result_type(one), jnp.result_type(other)
        if np.shape(one) != np.shape(other) or _kind(got) > _kind(wanted):
            expected = f"a function that returns {wanted} of shape {np.shape(other)}"
            raise checks.fail(
                name, f"{expected}, as the position", f"{got} of shape {np.shape(one)}"
            )
    return jax.tree.map(lambda a, b: jnp.asarray(a, b.dtype), new, position)


def _kind(dtype: Any) -> int:
    """Truth values, whole numbers, real numbers, others: each can hold those before it."""
    names = ("bool", "integral", "real floating")
    return next((i for i, name in enumerate(names) if jnp.isdtype(dtype, name)), len(names))


def as_vector(
    log_density: LogDensity, position: Any
) -> tuple[Vector, Callable[[Any], Any], Callable[[Any], Any]]:
    """A position as a vector x, the log density as a function of x, and the way back.

    Raises:
        ValueError: where the position holds anything but real numbers.
    """
    for leaf in jax.tree.leaves(position):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            expected = "of floating-point numbers for a kernel that moves continuously"
            raise checks.fail("position", expected, jnp.result_type(leaf).name)
    x, back = ravel_pytree(position)
    return x, lambda vector: evaluate(log_density, back(vector)), back


def full_scale(scale: Any, x: Vector) -> Float[Array, "..."]:
    """A number or a vector as one scale for each coordinate; a matrix as it is.

    Raises:
        ValueError: where its shape does not fit the position.
    """
    scale = jnp.asarray(scale, x.dtype)
    if scale.shape not in ((), x.shape, x.shape * 2):
        raise checks.fail("scale", f"of shape (), {x.shape} or {x.shape * 2}", scale.shape)
    return scale if scale.ndim == 2 else jnp.broadcast_to(scale, x.shape)


def stretch(scale: Float[Array, "..."], z: Vector) -> Vector:
    """L z, for L a lower triangular matrix or the diagonal of one."""
    return scale @ z if scale.ndim == 2 else scale * z


def stretch_back(scale: Float[Array, "..."], g: Vector) -> Vector:
    """Lᵀ g: how a gradient changes when a position is measured in units of L."""
    return scale.T @ g if scale.ndim == 2 else scale * g


def accept(
    rng_key: jax.Array, log_ratio: Float[Array, ""], proposed: Any, current: Any
) -> tuple[Any, Float[Array, ""]]:
    """Metropolis' rule: the proposed state with probability min(1, ratio), else the current one.

    A ratio that is NaN or infinite is a broken density and not a good proposal: it is rejected.
    """
    log_ratio = jnp.where(log_ratio < jnp.inf, log_ratio, -jnp.inf)
    accept_prob = jnp.exp(jnp.minimum(log_ratio, 0.0))
    taken = jax.random.uniform(rng_key, dtype=accept_prob.dtype) < accept_prob
    state = jax.tree.map(lambda new, old: jnp.where(taken, new, old), proposed, current)
    return state, accept_prob


def broken(log_density: Float[Array, ""]) -> Array:
    """Whether a log density is NaN or +∞. Minus infinity is none of these: a place outside."""
    return ~(log_density < jnp.inf)


def broken_ratio(log_ratio: Float[Array, ""], log_density: Float[Array, ""]) -> Array:
    """Whether Metropolis' ratio is NaN or +∞, which inside the support no right proposal gives."""
    return broken(log_ratio) & (log_density != -jnp.inf)
