"""Fully connected networks as NumPyro models: a prior over weights is a prior over functions.

Introduced by the preface's figure; chapter 9 takes it apart.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array
from jaxtyping import Float

from bnnbook import checks

Activation = Callable[[Array], Array]


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
