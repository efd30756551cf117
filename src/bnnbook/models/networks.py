r"""Networks: as Equinox modules that every method of Part III shares, and as NumPyro models.

.. math:: h_0 = x,\quad h_l = \phi(h_{l-1} W_l + b_l),\quad f(x) = h_{L-1} W_L + b_L

A network here is a pytree of arrays with a way to be applied, so that gradients, vectorisation and
compilation work on it as it stands (Kidger and Garcia 2021). It knows nothing of priors: those are
in ``bnnbook.models.bayesian_network``. The preface's figure uses the NumPyro models; chapter "A
network is a prior over functions" takes both apart.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array
from jaxtyping import Float

from bnnbook import checks

Activation = Callable[[Array], Array]

ACTIVATIONS: dict[str, Activation] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "identity": lambda h: h,
    "erf": jax.scipy.special.erf,
    "sin": jnp.sin,
}
"""What may be given by name; any function of an array may be given itself."""


class Layer(eqx.Module):
    """Weights and biases that are applied together, such as a dense or a convolutional layer."""

    weight: Float[Array, "..."]
    """The weights; the last axis runs over the units."""
    bias: Float[Array, " units"]
    """A bias for each unit."""
    fan_in: int = eqx.field(static=True)
    """How many weights meet in a unit: a prior scales by it."""

    def __call__(self, h: Float[Array, "..."]) -> Float[Array, "..."]:
        """The layer's outputs, before any activation."""
        raise NotImplementedError

    def linear(self, weight: Any, h: Float[Array, "..."]) -> Float[Array, "..."]:
        """The layer's linear map with other weights, and no bias."""
        raise NotImplementedError


class Dense(Layer):
    """A fully connected layer, h W + b."""

    def __call__(self, h: Float[Array, "point inputs"]) -> Float[Array, "point units"]:
        """h W + b."""
        return self.linear(self.weight, h) + self.bias[None, :]

    def linear(self, weight: Any, h: Float[Array, "point inputs"]) -> Float[Array, "point units"]:
        """h W."""
        return h @ weight


class Convolution(Layer):
    """A convolution: the same small dense layer at every place of a picture, no padding.

    The weights have the axes row, column, channel in, unit. The places' patches are laid side by
    side and multiplied by the weights as one matrix, since XLA's own convolution is several times
    slower inside a compiled loop on a CPU. Where sides allow it, a row of that matrix is the larger
    patch of a square of 2 by 2 places, and the weights stand in it once for each of the four: a few
    noughts are multiplied, but a third of the numbers is copied, which is what takes the time.
    """

    def __call__(
        self, h: Float[Array, "point rows columns channels"]
    ) -> Float[Array, "point rows_out columns_out units"]:
        """The patch at each place times the weights, and the bias."""
        return self.linear(self.weight, h) + self.bias[None, None, None, :]

    def linear(
        self, weight: Any, h: Float[Array, "point rows columns channels"]
    ) -> Float[Array, "point rows_out columns_out units"]:
        """The patch at each place times other weights."""
        high, wide = weight.shape[:2]
        if not any(side % 2 for side in (high + 1, wide + 1, *h.shape[1:3])):
            patches = _patches(_to_squares(h), (high + 1) // 2, (wide + 1) // 2)
            return _from_squares(patches @ _four_times(weight))
        return _patches(h, high, wide) @ weight.reshape(-1, weight.shape[-1])


def _patches(h: Array, high: int, wide: int) -> Array:
    """What stands in a window of so many rows and columns at each place, row by row."""
    rows, columns = h.shape[1] - high + 1, h.shape[2] - wide + 1
    # Columns first, rows of those then: fewer and longer copies than a patch at a time.
    beside = jnp.concatenate([h[:, :, j : j + columns] for j in range(wide)], axis=-1)
    return jnp.concatenate([beside[:, i : i + rows] for i in range(high)], axis=-1)


def _to_squares(h: Array) -> Array:
    """Half the rows and columns, and as channels those of the four places of a square."""
    points, rows, columns, channels = h.shape
    squares = jnp.reshape(h, (points, rows // 2, 2, columns // 2, 2, channels))
    return jnp.reshape(squares.swapaxes(2, 3), (points, rows // 2, columns // 2, 4 * channels))


def _from_squares(h: Array) -> Array:
    """The picture of which ``_to_squares`` made this."""
    points, rows, columns, four = h.shape
    squares = jnp.reshape(h, (points, rows, columns, 2, 2, four // 4)).swapaxes(2, 3)
    return jnp.reshape(squares, (points, 2 * rows, 2 * columns, four // 4))


def _four_times(weight: Array) -> Array:
    """The matrix from a window one larger each way to the four places of a square."""
    moved = [
        jnp.pad(weight, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1)
    ]
    high, wide, channels, units = moved[0].shape
    big = jnp.reshape(jnp.stack(moved, axis=3), (high // 2, 2, wide // 2, 2, channels, 4 * units))
    return jnp.reshape(big.swapaxes(1, 2), (-1, 4 * units))


ApplyLayer = Callable[[int, Layer, Array], Array]


def plainly(index: int, layer: Layer, h: Array) -> Array:
    """Apply a layer as it is."""
    return layer(h)


class MultilayerPerceptron(eqx.Module):
    """A fully connected network with its weights."""

    layers: tuple[Dense, ...]
    """Its layers, from the inputs on."""
    activation: Activation = eqx.field(static=True)
    """What is applied after each layer but the last."""

    def __call__(
        self, x: Float[Array, "point inputs"], apply_layer: ApplyLayer = plainly
    ) -> Float[Array, "point outputs"]:
        """The outputs f(x), a row a point.

        Args:
            x: inputs, a row a point.
            apply_layer: from a layer's index, the layer and what comes into it to what goes out of
                it. Dropout and the local reparameterisation put their noise in here.
        """
        h = x
        for index, layer in enumerate(self.layers):
            h = apply_layer(index, layer, h)
            if index < len(self.layers) - 1:
                h = self.activation(h)
        return h


class ConvolutionalNetwork(eqx.Module):
    """Convolutions, each followed by pooling, then dense layers."""

    convolutions: tuple[Convolution, ...]
    """The convolutions, from the picture on."""
    dense: tuple[Dense, ...]
    """The dense layers after them."""
    activation: Activation = eqx.field(static=True)
    """What is applied after each layer but the last."""
    pooling: Callable[[Array], Array] = eqx.field(static=True)
    """What halves a picture's sides after the activation of each convolution."""

    def __call__(
        self, x: Float[Array, "point rows columns channels"], apply_layer: ApplyLayer = plainly
    ) -> Float[Array, "point outputs"]:
        """The outputs f(x), a row a point.

        Many points are taken some at a time, as their patches would fill the memory; where layers
        are applied with noise of one key, all at once, so that none of it is used twice.
        """
        if apply_layer is plainly and x.shape[0] > POINTS_AT_ONCE:
            return _in_parts(self._outputs, x, POINTS_AT_ONCE)
        return self._outputs(x, apply_layer)

    def _outputs(self, x: Array, apply_layer: ApplyLayer = plainly) -> Array:
        h = x
        for index, convolution in enumerate(self.convolutions):
            h = self.pooling(self.activation(apply_layer(index, convolution, h)))
        h = jnp.reshape(h, (h.shape[0], -1))
        for index, layer in enumerate(self.dense, start=len(self.convolutions)):
            h = apply_layer(index, layer, h)
            if layer is not self.dense[-1]:
                h = self.activation(h)
        return h


POINTS_AT_ONCE = 512
"""So many pictures go through a convolutional network side by side."""


def _in_parts(function: Callable[[Array], Array], x: Array, size: int) -> Array:
    """A function of rows, some rows at a time."""
    whole = x.shape[0] // size * size
    parts = jax.lax.map(function, jnp.reshape(x[:whole], (-1, size, *x.shape[1:])))
    done = jnp.reshape(parts, (whole, *parts.shape[2:]))
    return jnp.concatenate([done, function(x[whole:])]) if whole < x.shape[0] else done


def average_pooling(
    h: Float[Array, "point rows columns channels"],
) -> Float[Array, "point half_rows half_columns channels"]:
    """The mean of each square of 2 by 2; an odd last row or column is left out."""
    return jnp.mean(_squares(h), axis=(2, 4))


def max_pooling(
    h: Float[Array, "point rows columns channels"],
) -> Float[Array, "point half_rows half_columns channels"]:
    """The largest of each square of 2 by 2; an odd last row or column is left out."""
    return jnp.max(_squares(h), axis=(2, 4))


def _squares(h: Array) -> Array:
    points, rows, columns, channels = h.shape
    even = h[:, : rows // 2 * 2, : columns // 2 * 2]
    return jnp.reshape(even, (points, rows // 2, 2, columns // 2, 2, channels))


POOLINGS: dict[str, Callable[[Array], Array]] = {"average": average_pooling, "max": max_pooling}
"""What may be given by name."""


def _counts(name: str, values: Any) -> tuple[int, ...]:
    """Whole numbers from 1 on, as a tuple, since lists cannot be hashed."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise checks.fail(name, "a sequence of whole numbers, such as (50,)", values)
    return tuple(checks.at_least(f"{name}[{i}]", value, 1) for i, value in enumerate(values))


@runtime_checkable
class Architecture(Protocol):
    """The plan of a network: anything with these two can be made a Bayesian network."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""

    def build(self, rng_key: Array, num_outputs: int) -> Any:
        """A module made of ``Layer`` parts, called as in ``MultilayerPerceptron``.

        Its weights and biases are independent standard normal draws.
        """


@dataclass(frozen=True)
class FullyConnected:
    """The plan of a fully connected network: any depth, any widths, any activation."""

    num_inputs: int
    """The number of inputs."""
    widths: Sequence[int] = (50,)
    """The number of units of each hidden layer; none for a linear model."""
    activation: str | Activation = "tanh"
    """A name of ``ACTIVATIONS``, or a function of an array."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_inputs", checks.at_least("num_inputs", self.num_inputs, 1))
        object.__setattr__(self, "widths", _counts("widths", self.widths))
        if not callable(self.activation):
            checks.one_of("activation", self.activation, ACTIVATIONS)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (self.num_inputs,)

    def build(self, rng_key: Array, num_outputs: int) -> MultilayerPerceptron:
        """A network whose weights and biases are independent standard normal draws."""
        sizes = [self.num_inputs, *self.widths, checks.at_least("num_outputs", num_outputs, 1)]
        layers = []
        for fan_in, units in pairwise(sizes):
            rng_key, for_weight, for_bias = jax.random.split(rng_key, 3)
            weight = jax.random.normal(for_weight, (fan_in, units))
            layers.append(Dense(weight, jax.random.normal(for_bias, (units,)), fan_in))
        name = self.activation
        return MultilayerPerceptron(tuple(layers), name if callable(name) else ACTIVATIONS[name])


@dataclass(frozen=True)
class LeNet:
    """The plan of a convolutional network after LeCun et al. (1998), of any size.

    Convolutions, each followed by the activation and by pooling in squares of 2 by 2, then dense
    layers. As it comes it is LeNet-5 for pictures of 28 by 28 that are not padded, with rectified
    units, and every channel joined to every channel of the next layer.
    """

    input_shape: tuple[int, ...] = (28, 28, 1)
    """Rows, columns and channels of a picture."""
    channels: Sequence[int] = (6, 16)
    """How many units each convolution has."""
    kernel: int = 5
    """The side of a patch, in pixels."""
    widths: Sequence[int] = (120, 84)
    """The number of units of each hidden dense layer."""
    activation: str | Activation = "relu"
    """A name of ``ACTIVATIONS``, or a function of an array."""
    pooling: str = "average"
    """A name of ``POOLINGS``: "average", as in 1998 and quicker, or "max"."""

    def __post_init__(self) -> None:
        for name in ("input_shape", "channels", "widths"):
            object.__setattr__(self, name, _counts(name, getattr(self, name)))
        if len(self.input_shape) != 3:
            raise checks.fail("input_shape", "rows, columns and channels", self.input_shape)
        checks.at_least("kernel", self.kernel, 1)
        checks.one_of("pooling", self.pooling, POOLINGS)
        if not callable(self.activation):
            checks.one_of("activation", self.activation, ACTIVATIONS)
        self._sides()

    def _sides(self) -> tuple[int, int]:
        """The sides of what the last convolution's pooling leaves."""
        rows, columns, _ = self.input_shape
        for number in range(1, len(self.channels) + 1):
            rows, columns = ((side - self.kernel + 1) // 2 for side in (rows, columns))
            if min(rows, columns) < 1:
                expected = f"large enough for {number} convolutions of {self.kernel} pixels"
                raise checks.fail("input_shape", expected, self.input_shape)
        return rows, columns

    def build(self, rng_key: Array, num_outputs: int) -> ConvolutionalNetwork:
        """A network whose weights and biases are independent standard normal draws."""
        keys = iter(jax.random.split(rng_key, 2 * (len(self.channels) + len(self.widths) + 1)))
        maps = [self.input_shape[2], *self.channels]
        rows, columns = self._sides()
        sizes = [rows * columns * maps[-1], *self.widths]
        sizes += [checks.at_least("num_outputs", num_outputs, 1)]

        def layer(kind: Any, shape: tuple[int, ...]) -> Any:
            weight = jax.random.normal(next(keys), shape)
            bias = jax.random.normal(next(keys), shape[-1:])
            return kind(weight, bias, math.prod(shape[:-1]))

        window = (self.kernel, self.kernel)
        name = self.activation
        return ConvolutionalNetwork(
            tuple(layer(Convolution, (*window, *pair)) for pair in pairwise(maps)),
            tuple(layer(Dense, pair) for pair in pairwise(sizes)),
            name if callable(name) else ACTIVATIONS[name],
            POOLINGS[self.pooling],
        )


def is_layer(node: Any) -> bool:
    """Whether a part of a module is a layer."""
    return isinstance(node, Layer)


def layers_of(module: Any) -> list[Layer]:
    """The layers of a module, in the order of its fields."""
    return [node for node in jax.tree.leaves(module, is_leaf=is_layer) if is_layer(node)]


def network(
    x: Float[Array, "n inputs"],
    widths: Sequence[int],
    activation: Activation = jnp.tanh,
    weight_scale: float = 1.0,
    bias_scale: float = 1.0,
) -> Float[Array, " n"]:
    """A fully connected network with one output and independent normal priors, inside a model.

    Layer l computes h = activation(h_before W + b) with W ~ N(0, weight_scale² / fan-in) and
    b ~ N(0, bias_scale²); the last layer is linear. Dividing by the fan-in keeps the prior variance
    of the output at the same order whatever the width (Neal 1996).

    Args:
        x: inputs, a row a point.
        widths: the number of units of each hidden layer.
        activation: applied to each hidden unit.
        weight_scale: prior standard deviation of a weight times the root of its layer's fan-in.
        bias_scale: prior standard deviation of a bias.

    Returns:
        The value of f at each point. The weights are the sample sites W0, b0, W1, b1, ...

    Raises:
        ValueError: where a width is below 1 or a scale is not positive.
    """
    widths = _counts("widths", widths)
    checks.positive("weight_scale", weight_scale)
    checks.positive("bias_scale", bias_scale)
    hidden = x
    for layer, units in enumerate([*widths, 1]):
        fan_in = hidden.shape[1]
        weight = dist.Normal(0.0, weight_scale / fan_in**0.5).expand([fan_in, units]).to_event(2)
        bias = dist.Normal(0.0, bias_scale).expand([units]).to_event(1)
        w, b = numpyro.sample(f"W{layer}", weight), numpyro.sample(f"b{layer}", bias)
        hidden = hidden @ w + b[None, :]
        if layer < len(widths):
            hidden = activation(hidden)
    return hidden[:, 0]


def network_regression(
    x: Float[Array, "n inputs"],
    y: Float[Array, " n"] | None = None,
    *,
    widths: Sequence[int],
    noise_sd: float,
    activation: Activation = jnp.tanh,
    weight_scale: float = 1.0,
    bias_scale: float = 1.0,
) -> None:
    """Regression on a network with known noise: y ~ N(f(x), noise_sd²).

    Args:
        x: inputs, a row a point.
        y: targets; left out, they are drawn.
        widths: the number of units of each hidden layer.
        noise_sd: standard deviation of the noise, in the units of y.
        activation: applied to each hidden unit.
        weight_scale: see :func:`network`.
        bias_scale: see :func:`network`.

    Raises:
        ValueError: where a width is below 1 or a scale is not positive.
    """
    checks.positive("noise_sd", noise_sd)
    f = network(x, widths, activation, weight_scale, bias_scale)
    numpyro.deterministic("f", f)
    numpyro.sample("y", dist.Normal(f, noise_sd), obs=y)
