r"""Gibbs sampling: draw each block of the parameters from its distribution given all the others.

Every such draw leaves the joint distribution invariant, and so does one after the other (Geman and
Geman 1984; Gelfand and Smith 1990). Nothing is tuned and nothing rejected, but blocks that are
strongly correlated move slowly. Introduced in the chapter "Markov chain Monte Carlo".
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bnnbook import checks
from bnnbook.mcmc.kernel import (
    Info,
    LogDensity,
    State,
    carrying_data,
    evaluate,
    kernel,
    known,
    like,
)

FloatArray = Array | np.ndarray
Position = Mapping[str, Any]
Conditional = Callable[[jax.Array, Position], Any]


@kernel
class Gibbs:
    """Blocks in their given order, each drawn given the newest values of all the others."""

    conditionals: Mapping[str, Conditional]
    """For each block's name, a function of a key and the position, a dictionary, that returns a
    new value of the block. Any update that leaves the block's conditional invariant will do."""
    log_density: LogDensity | None = None
    """Log of the joint density, up to a constant, for the statistics only: it is not counted among
    the evaluations, since no draw needs it."""

    def __post_init__(self) -> None:
        if not isinstance(self.conditionals, Mapping):
            raise checks.fail("conditionals", "a dictionary of blocks", self.conditionals)
        if not self.conditionals:
            raise checks.fail("conditionals", "at least one block", self.conditionals)
        for name, draw in self.conditionals.items():
            if not callable(draw):
                expected = "a function of a key and a position"
                raise checks.fail(f"conditionals[{name!r}]", expected, draw)
        # As a pytree a plain dictionary is sorted by name; this one keeps the order of the blocks.
        blocks = OrderedDict(
            (name, carrying_data(draw)) for name, draw in self.conditionals.items()
        )
        object.__setattr__(self, "conditionals", blocks)

    def init(self, position: Position) -> State:
        """The state of a chain that starts at a position, a dictionary of the blocks."""
        if not isinstance(position, dict) or set(position) != {*self.conditionals}:
            expected = f"a dictionary of the blocks {[*self.conditionals]}"
            raise checks.fail("position", expected, position)
        return self._state(position)

    def step(self, rng_key: jax.Array, state: State) -> tuple[State, Info]:
        """Each block once."""
        position = dict(state.position)
        keys = jax.random.split(rng_key, len(self.conditionals))
        for key, (name, draw) in zip(keys, self.conditionals.items(), strict=True):
            new = draw(key, position)
            position[name] = like(f"conditionals[{name!r}]", new, position[name])
        info = Info(jnp.ones(()), jnp.zeros((), bool), num_conditional_draws=len(keys))
        return self._state(position), info

    def _state(self, position: Position) -> State:
        value = None if self.log_density is None else evaluate(self.log_density, position)
        return State(position, value)


def regression_conditionals(
    X: Float[FloatArray, "n p"],
    y: Float[FloatArray, " n"],
    *,
    mean: Float[FloatArray, " p"],
    precision: Float[FloatArray, "p p"],
    shape: float,
    scale: float,
) -> dict[str, Conditional]:
    r"""The two blocks of linear regression with unknown noise and the conjugate prior.

    .. math:: b \mid \sigma^2, y \sim N(m_n, \sigma^2 \Lambda_n^{-1}),\;
              \sigma^2 \mid b, y \sim \mathrm{InverseGamma}\bigl(a + \tfrac{n + p}{2},\;
              s + \tfrac12 \lVert y - X b \rVert^2 + \tfrac12 (b - m)^\top \Lambda (b - m)\bigr)

    with covariance matrices in the second place. The model is
    ``bnnbook.models.conjugate.conjugate_regression``, whose arguments these are.

    Returns:
        The conditionals of the blocks ``coefficients`` and ``noise_variance``. They carry the data,
        so other data of the same size compile nothing anew.

    Raises:
        ValueError: where shape or scale are not positive, arrays are not finite or do not fit
            together, or the precision is not symmetric or has a negative eigenvalue.
    """
    arrays = {"X": (X, 2), "y": (y, 1), "mean": (mean, 1), "precision": (precision, 2)}
    for name, (array, ndim) in arrays.items():
        if known(array):
            checks.finite_array(name, array, ndim=ndim)
    checks.same_length(X=X, y=y)
    _check_prior(jnp.shape(X)[1], mean, precision)
    X, y, mean, precision = (jnp.asarray(array, float) for array in (X, y, mean, precision))
    total = precision + X.T @ X
    fitted = jnp.linalg.solve(total, precision @ mean + X.T @ y)
    shape = checks.positive("shape", shape) + sum(X.shape) / 2
    scale = checks.positive("scale", scale)
    return {
        "coefficients": partial(_coefficients, fitted, jnp.linalg.cholesky(total)),
        "noise_variance": partial(_noise_variance, X, y, mean, precision, shape, scale),
    }


def _check_prior(num_coefficients: int, mean: Any, precision: Any) -> None:
    shapes = {"mean": (num_coefficients,), "precision": (num_coefficients,) * 2}
    for name, array in {"mean": mean, "precision": precision}.items():
        if jnp.shape(array) != shapes[name]:
            raise checks.fail(name, f"of shape {shapes[name]} like X", jnp.shape(array))
    if known(precision):
        matrix = np.asarray(precision, float)
        if not np.allclose(matrix, matrix.T) or _least_share(matrix) < -1e-12:
            raise checks.fail("precision", "symmetric, with no negative eigenvalue", precision)


def _least_share(matrix: np.ndarray) -> float:
    """The least eigenvalue beside the largest: of a flat direction it is zero but for rounding."""
    values = np.linalg.eigvalsh(matrix)
    return float(values.min() / max(abs(values).max(), np.finfo(float).tiny))


def _coefficients(mean: Any, root: Any, rng_key: jax.Array, position: Position) -> Any:
    z = jax.random.normal(rng_key, mean.shape)
    step = jax.scipy.linalg.solve_triangular(root, z, trans="T", lower=True)
    return mean + jnp.sqrt(position["noise_variance"]) * step


def _noise_variance(
    X: Any,
    y: Any,
    mean: Any,
    precision: Any,
    shape: Any,
    scale: Any,
    rng_key: jax.Array,
    position: Position,
) -> Any:
    residual, shift = y - X @ position["coefficients"], position["coefficients"] - mean
    square = residual @ residual + shift @ precision @ shift
    return (scale + square / 2) / jax.random.gamma(rng_key, shape)
