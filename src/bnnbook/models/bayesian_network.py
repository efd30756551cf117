r"""A Bayesian neural network: an architecture, a prior and a likelihood, as one log density.

.. math:: \log p(\theta, \mathcal{D}) = \log p(\theta) + \sum_i \log p(y_i \mid f_\theta(x_i))

Every method of ``bnnbook.bnn`` sees this same density. Its coordinates θ are real numbers without
bounds and of order one: each weight in units of its prior's standard deviation, w = s z / √fan-in
with z ~ N(0, 1), each bias in units of its own, and the noise by its logarithm, for which the
density holds the Jacobian. With such z a hyperprior on s needs no second form ("non-centred";
Papaspiliopoulos, Roberts and Sköld 2007), and one step size serves all widths. Dividing by the
fan-in keeps the variance of f at the same order whatever the width (Neal 1996).

A pytree ``Params`` holds θ; ``flat`` lays it out as a vector. Chapter "A network is a prior over
functions" introduces it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401 (before its parts: ArviZ registers it lazily)
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from numpy.typing import ArrayLike
from numpyro.distributions import Distribution

from bnnbook import checks
from bnnbook.models.flat import FlatTarget
from bnnbook.models.likelihoods import (
    FLOATS,
    Gaussian,
    Likelihood,
    check_positive_prior,
    in_precision,
    log_median,
    log_prior_of_log,
)
from bnnbook.models.networks import Architecture, FullyConnected, is_layer, layers_of, plainly

LOG_TWO_PI = float(np.log(2 * np.pi))


class Data(NamedTuple):
    """Checked data, in the precision in force."""

    x: Any
    """The inputs, a row a datum."""
    y: Any
    """The outputs: real numbers, or the numbers of classes."""

    @property
    def num_rows(self) -> int:
        """How many data there are."""
        return len(self.x)


class Params(eqx.Module):
    """Where a Bayesian network is: all its unknowns, without bounds."""

    weights: Any
    """The network's module with standardised weights z and biases, standard normal a priori."""
    log_noise_sd: Any = None
    """The log of the noise's standard deviation; None where the likelihood has none to infer."""
    log_scales: Any = None
    """Logs of what multiplies the prior scales, a row a layer: of weights, of biases; or None."""


def _one_or_tuple(scales: Any) -> Any:
    return tuple(scales) if isinstance(scales, list) else scales


class Network(eqx.Module):
    """A Bayesian neural network.

    The prior standard deviation of a weight is weight_scale / √fan-in, of a bias bias_scale.
    """

    architecture: Architecture = eqx.field(static=True)
    """The network's plan, such as ``networks.FullyConnected``."""
    likelihood: Likelihood
    """How outputs come about, such as ``likelihoods.Gaussian``."""
    weight_scale: float | Sequence[float] = eqx.field(default=1.0, converter=_one_or_tuple)
    """Prior standard deviation of a weight times the root of its fan-in; one, or one a layer."""
    bias_scale: float | Sequence[float] = eqx.field(default=1.0, converter=_one_or_tuple)
    """Prior standard deviation of a bias; one, or one a layer."""
    scale_prior: Distribution | None = None
    """Hyperprior: the distribution of a positive factor by which each layer's weights, and each
    layer's biases, have their scales multiplied; None where scales are known."""
    start_scale: float = 1.0
    """Searches start at weights and biases drawn from the prior, times this: below 1 where a prior
    is so wide that functions drawn from it are no place to start from."""

    def __check_init__(self) -> None:
        if not isinstance(self.architecture, Architecture):
            expected = "a plan such as networks.FullyConnected"
            raise checks.fail("architecture", expected, self.architecture)
        if not isinstance(self.likelihood, Likelihood):
            raise checks.fail("likelihood", "such as likelihoods.Gaussian", self.likelihood)
        for name in ("weight_scale", "bias_scale"):
            self._check_scales(name, getattr(self, name))
        if self.scale_prior is not None:
            check_positive_prior("scale_prior", self.scale_prior)
        checks.positive("start_scale", self.start_scale)

    def _check_scales(self, name: str, scales: Any) -> None:
        if not isinstance(scales, tuple):
            checks.positive(name, scales)
            return
        if len(scales) != self.num_layers:
            raise checks.fail(name, f"one number, or {self.num_layers}, one a layer", scales)
        for i, scale in enumerate(scales):
            checks.positive(f"{name}[{i}]", scale)

    @property
    def num_layers(self) -> int:
        """How many layers have weights, the last included."""
        return len(layers_of(self._shapes().weights))

    @property
    def num_parameters(self) -> int:
        """The number of unknowns: weights, biases, and what else is inferred."""
        return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(self._shapes()))

    def describe(self) -> dict[str, int]:
        """How many unknowns each part has, by name, and ``total``."""
        rows = {}
        shapes = self._shapes()
        for i, layer in enumerate(layers_of(shapes.weights)):
            rows[f"weights of layer {i}"] = int(np.prod(layer.weight.shape))
            rows[f"biases of layer {i}"] = int(np.prod(layer.bias.shape))
        if shapes.log_noise_sd is not None:
            rows["noise sd"] = 1
        if shapes.log_scales is not None:
            rows["scales"] = int(np.prod(shapes.log_scales.shape))
        return rows | {"total": sum(rows.values())}

    def data(self, x: ArrayLike, y: ArrayLike) -> Data:
        """Checked data.

        Args:
            x: inputs, a row a datum, of the architecture's input shape.
            y: outputs, a number a datum.

        Raises:
            ValueError: where there are none, lengths differ, a number is not finite in the
                precision in force, inputs have another shape than the network's, or outputs are not
                what the likelihood speaks of.
        """
        inputs = self.inputs(x)
        outputs = self.likelihood.check_outputs(y)
        checks.same_length(x=inputs, y=outputs)
        return Data(inputs, outputs)

    def inputs(self, x: ArrayLike) -> Float[Array, "..."]:
        """Checked inputs, a row a point, in the precision in force, which must hold them."""
        shape = self.architecture.input_shape
        array = checks.finite_array("x", x, remedy=FLOATS.format("x"))
        if array.shape[1:] != shape or array.ndim != len(shape) + 1:
            listed = ", ".join(map(str, shape))
            raise checks.fail("x", f"of shape (points, {listed})", array.shape)
        return in_precision("x", array)

    def draw_prior(self, rng_key: Array) -> Params:
        """All unknowns, drawn from the prior."""
        for_weights, for_noise, for_scales = jax.random.split(rng_key, 3)
        noise, scales = self.likelihood.noise_prior, self.scale_prior
        weights = self.architecture.build(for_weights, self.likelihood.num_outputs)
        shape = (len(layers_of(weights)), 2)
        return Params(
            weights,
            None if noise is None else jnp.log(noise.sample(for_noise)),
            None if scales is None else jnp.log(scales.sample(for_scales, shape)),
        )

    def init(self, rng_key: Array) -> Params:
        """Where searches start: ``start_scale`` times weights drawn from the prior, the rest at its
        medians."""
        drawn = self.draw_prior(rng_key)
        noise, scales = self.likelihood.noise_prior, self.scale_prior
        return Params(
            jax.tree.map(lambda leaf: self.start_scale * leaf, drawn.weights),
            None if noise is None else log_median(noise),
            None if scales is None else jnp.full_like(drawn.log_scales, log_median(scales)),
        )

    def module(self, params: Params) -> Any:
        """The network with its weights proper, in place of standardised ones."""
        nodes, plan = jax.tree.flatten(params.weights, is_leaf=is_layer)
        where = [i for i, node in enumerate(nodes) if is_layer(node)]
        for row, i in enumerate(where):
            nodes[i] = _rescaled(nodes[i], *self._scales(params, row, nodes[i].fan_in))
        return jax.tree.unflatten(plan, nodes)

    def standardised(self, module: Any, params: Params) -> Params:
        """The unknowns with a module's weights in place of their own: what undoes ``module``."""
        nodes, plan = jax.tree.flatten(module, is_leaf=is_layer)
        where = [i for i, node in enumerate(nodes) if is_layer(node)]
        for row, i in enumerate(where):
            scales = self._scales(params, row, nodes[i].fan_in)
            nodes[i] = _rescaled(nodes[i], *(1 / scale for scale in scales))
        return Params(jax.tree.unflatten(plan, nodes), params.log_noise_sd, params.log_scales)

    def outputs(self, params: Params, x: Any, apply_layer: Any = plainly) -> Any:
        """What comes out of the network, shape (point, output): f, or log odds, and so on."""
        return self.module(params)(x, apply_layer)

    def predict(self, params: Params, x: Any, apply_layer: Any = plainly) -> Any:
        """The likelihood's parameters at each point, shape (point, parameter)."""
        outputs = self.outputs(params, x, apply_layer)
        return self.likelihood.parameters(outputs, params.log_noise_sd)

    def log_prior(self, params: Params) -> Any:
        """The log density of the prior in the coordinates of ``Params``, normalised."""
        total = sum(_standard_normal(leaf) for leaf in jax.tree.leaves(params.weights))
        noise = self.likelihood.noise_prior
        if noise is not None:
            total += log_prior_of_log(noise, params.log_noise_sd)
        if self.scale_prior is not None:
            total += jnp.sum(log_prior_of_log(self.scale_prior, params.log_scales))
        return total

    def log_likelihood(self, params: Params, x: Any, y: Any, apply_layer: Any = plainly) -> Any:
        """The log density of each datum given the unknowns, shape (datum,)."""
        outputs = self.outputs(params, x, apply_layer)
        return self.likelihood.log_prob(outputs, params.log_noise_sd, y)

    def log_density(
        self,
        params: Params,
        data: Data,
        *,
        num_rows: int | None = None,
        prior_power: Any = 1.0,
        likelihood_power: Any = 1.0,
    ) -> Any:
        """The log of the joint density of unknowns and data.

        Args:
            params: the unknowns.
            data: the data, or some of their rows.
            num_rows: how many rows there are in all, where ``data`` are a minibatch: the
                likelihood is scaled up by N/B, which is unbiased over random rows.
            prior_power: the prior is raised to it. Both powers 1/T make the posterior of
                temperature T; the likelihood's alone is what is called tempering the likelihood.
            likelihood_power: the likelihood is raised to it.
        """
        scale = 1.0 if num_rows is None else num_rows / data.x.shape[0]
        likelihood = scale * jnp.sum(self.log_likelihood(params, *data))
        return prior_power * self.log_prior(params) + likelihood_power * likelihood

    def unravel(self, vector: Any) -> Params:
        """The unknowns laid out in a vector, as a pytree; ``ravel`` undoes it."""
        example = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self._shapes())
        unravelled: Params = ravel_pytree(example)[1](vector)
        return unravelled

    def ravel(self, params: Params) -> Any:
        """The unknowns as a vector."""
        return ravel_pytree(params)[0]

    def flat(self, data: Data) -> FlatTarget:
        """The same log density over vectors, for variational methods and for the evidence."""

        def log_density(vector: Any) -> Any:
            return self.log_density(self.unravel(vector), data)

        def given(vector: Any, arguments: Sequence[Any]) -> Any:
            return self.log_density(self.unravel(vector), Data(*arguments))

        def of_rows(vector: Any, chosen: Any) -> Any:
            some = Data(data.x[chosen], data.y[chosen])
            return self.log_density(self.unravel(vector), some, num_rows=data.num_rows)

        start = self.ravel(self._medians())
        return FlatTarget(
            log_density=log_density,
            dimension=len(start),
            names=self.names(),
            start=np.asarray(start, dtype=np.float64),
            scale=np.ones(len(start)),
            constrain=lambda vector: self.constrained(self.unravel(vector)),
            log_density_given=given,
            log_density_of_rows=of_rows,
            num_rows=data.num_rows,
        )

    def names(self) -> tuple[str, ...]:
        """What each entry of the vector is called: W0[0, 1], b0[2], ..., log_noise_sd."""
        found: list[str] = []
        shapes = self._shapes()
        for i, layer in enumerate(layers_of(shapes.weights)):
            found += _indexed(f"W{i}", layer.weight.shape) + _indexed(f"b{i}", layer.bias.shape)
        for name in ("log_noise_sd", "log_scales"):
            if (leaf := getattr(shapes, name)) is not None:
                found += _indexed(name, leaf.shape)
        return tuple(found)

    def constrained(self, params: Params) -> dict[str, Any]:
        """The unknowns by name as one speaks of them: weights proper, noise sd, scale factors."""
        found: dict[str, Any] = {}
        for i, layer in enumerate(layers_of(self.module(params))):
            found |= {f"W{i}": layer.weight, f"b{i}": layer.bias}
        if params.log_noise_sd is not None:
            found["noise_sd"] = jnp.exp(params.log_noise_sd)
        if params.log_scales is not None:
            found["scales"] = jnp.exp(params.log_scales)
        return found

    def _medians(self) -> Params:
        start = self.init(jax.random.key(0))
        return eqx.tree_at(lambda p: p.weights, start, jax.tree.map(jnp.zeros_like, start.weights))

    def _shapes(self) -> Any:
        return jax.eval_shape(self.draw_prior, jax.random.key(0))

    def _scales(self, params: Params, row: int, fan_in: int) -> tuple[Any, Any]:
        """The prior standard deviations of a layer's weights and of its biases."""
        weight, bias = (
            scale[row] if isinstance(scale, Sequence) else scale
            for scale in (self.weight_scale, self.bias_scale)
        )
        if params.log_scales is None:
            return weight / fan_in**0.5, bias
        factors = jnp.exp(params.log_scales[row])
        return factors[0] * weight / fan_in**0.5, factors[1] * bias


def regression(
    num_inputs: int,
    widths: Sequence[int],
    noise_sd: float | Distribution,
    *,
    activation: Any = "tanh",
    weight_scale: float | Sequence[float] = 1.0,
    bias_scale: float | Sequence[float] = 1.0,
    scale_prior: Distribution | None = None,
) -> Network:
    """A fully connected network with Gaussian noise: the most common case in one call.

    Args:
        num_inputs: the number of inputs.
        widths: the number of units of each hidden layer.
        noise_sd: the standard deviation of the noise, or its prior.
        activation: a name of ``networks.ACTIVATIONS``, or a function of an array.
        weight_scale: see :class:`Network`.
        bias_scale: see :class:`Network`.
        scale_prior: see :class:`Network`.
    """
    plan = FullyConnected(num_inputs, widths, activation)
    return Network(plan, Gaussian(noise_sd), weight_scale, bias_scale, scale_prior)


def _rescaled(layer: Any, weight_scale: Any, bias_scale: Any) -> Any:
    parts = (weight_scale * layer.weight, bias_scale * layer.bias)
    return eqx.tree_at(lambda node: (node.weight, node.bias), layer, parts)


def _standard_normal(leaf: Any) -> Any:
    return -0.5 * (jnp.sum(leaf**2) + leaf.size * LOG_TWO_PI)


def _indexed(name: str, shape: tuple[int, ...]) -> list[str]:
    return [name + (f"[{', '.join(map(str, i))}]" if i else "") for i in np.ndindex(shape)]
