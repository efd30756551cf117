r"""Networks: as Equinox modules that every method of Part III shares, and as NumPyro models.

.. math:: h_0 = x,\quad h_l = \phi(h_{l-1} W_l + b_l),\quad f(x) = h_{L-1} W_L + b_L

A network here is a pytree of arrays with a way to be applied, so that gradients, vectorisation and
compilation work on it as it stands (Kidger and Garcia 2021). It knows nothing of priors: those are
in ``bnnbook.models.bayesian_network``. The preface's figure uses the NumPyro models; chapter "A
network is a prior over functions" takes both apart.
"""

from collections.abc import Callable, Sequence
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
        object.__setattr__(self, "widths", tuple(self.widths))  # lists cannot be hashed
        checks.at_least("num_inputs", self.num_inputs, 1)
        for i, width in enumerate(self.widths):
            checks.at_least(f"widths[{i}]", width, 1)
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
    widths = [checks.at_least(f"widths[{i}]", width, 1) for i, width in enumerate(widths)]
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
