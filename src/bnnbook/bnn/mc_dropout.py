r"""Monte Carlo dropout: units left out at random, in training and when predicting.

.. math:: h_l = \phi\Bigl(\Bigl(\tfrac{m_l}{1 - r_l} \odot h_{l-1}\Bigr) W_l + b_l\Bigr),\quad
          m_l \sim \mathrm{Bernoulli}(1 - r_l)

Training draws a mask for each row and step (Srivastava et al. 2014). Predicting, one mask a draw is
shared by all points, so that each draw is a function, and draws are a mixture (Gal and Ghahramani
2016). The spread is set by the rates and does not shrink with more data; it targets no stated
posterior. The prior stands for weight decay; rates are for the caller to choose, by validation
data. Chapter "Approximate posteriors, scored" introduces it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bnnbook import checks
from bnnbook.bnn import train
from bnnbook.bnn.fitted import DRAWS_AT_ONCE, Fitted, check_fit
from bnnbook.models.bayesian_network import Data, Network, Params
from bnnbook.models.networks import Layer


class Settings(NamedTuple):
    """What is left out how often, and how the network is trained."""

    rate: float | tuple[float, ...] = 0.1
    """The share of what enters a layer that is left out: one number for all layers but the first,
    which inputs enter whole; or a number a layer, that of the inputs first."""
    num_draws: int = 100
    """Masks that make a prediction."""
    search: train.Settings = train.DEFAULTS
    """How the network is trained; no L-BFGS follows, as the objective is noisy."""


DEFAULTS = Settings()


class Dropped(eqx.Module):
    """The log density of a network of which each row misses other units: what is maximised."""

    rates: tuple[Any, ...]
    """The share of what enters each layer that is left out; see :func:`leaving_out`."""

    def __call__(
        self, rng_key: Array, network: Network, params: Params, rows: Data, count: int
    ) -> Any:
        """The prior's log density, and the rows' scaled up to all."""
        apply_layer = leaving_out(rng_key, self.rates)
        each = network.log_likelihood(params, *rows, apply_layer)
        return network.log_prior(params) + jnp.sum(each) * (count / rows.num_rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dropout(Fitted):
    """A network whose units are left out at random when it predicts."""

    params: Params
    """The weights, and what else was trained."""
    rates: tuple[float, ...]
    """The share of what enters each layer that is left out."""
    num_draws: int
    """Masks that make a prediction."""
    rng_key: Array
    """The key of the masks: calling ``predict`` twice gives the same numbers."""

    def _parameters(self, x: Any) -> Any:
        dtype = jax.tree.leaves(self.params)[0].dtype
        with jax.enable_x64(dtype == np.float64):
            keys = jax.random.split(self.rng_key, self.num_draws)
            inputs = self.network.inputs(x)
            rates = _traced(self.rates)
            return np.asarray(_masked(self.network, self.params, inputs, keys, rates))[None]


def fit(
    rng_key: Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    validation: Data | None = None,
) -> Dropout:
    """A network trained with dropout, in the precision in force.

    Args:
        rng_key: a JAX key.
        network: the network.
        data: what ``network.data(x, y)`` gives.
        settings: what is left out how often, and how the network is trained.
        validation: data to choose the number of steps by; with all units in, they are predicted.

    Raises:
        ValueError: where a setting makes no sense, the network has no hidden units to leave out, or
            the data are bad.
        FitError: where the search breaks down; it names the step and the reason.

    Warns:
        FitWarning: where the noise sd has run off towards nought.
    """
    began = time.perf_counter()
    data = check_fit(network, data)
    rates = _check(network, settings)
    found = train.search(
        rng_key,
        network,
        data,
        settings.search,
        objective=Dropped(_traced(rates)),
        refine=False,
        validation=validation,
    )
    run, _ = train.keep(found, "MC dropout", train.tolerance(network))
    train.warn_of_collapse(run.params, network, "MC dropout", data)
    return Dropout(
        network=network,
        method="MC dropout",
        params=jax.tree.map(lambda leaf: leaf[0], run.params),
        rates=rates,
        num_draws=settings.num_draws,
        rng_key=jax.random.fold_in(rng_key, 1),  # 0 was the search's one member
        seconds=time.perf_counter() - began,
    )


def leaving_out(
    rng_key: Array, rates: tuple[Any, ...], *, shared: bool = False
) -> Callable[[int, Layer, Array], Array]:
    """What applies a layer with some of what enters it left out, and the rest scaled up.

    Args:
        rng_key: a JAX key; equal keys leave out the same.
        rates: the share of what enters each layer that is left out: nought, for a layer that is
            never touched, or a number, which may be traced.
        shared: whether all rows miss the same, or each row others.
    """

    def apply_layer(index: int, layer: Layer, h: Array) -> Array:
        rate = rates[index]
        if not isinstance(rate, Array) and rate == 0:
            return layer(h)
        shape = (1, *h.shape[1:]) if shared else h.shape
        stay = jax.random.bernoulli(jax.random.fold_in(rng_key, index), 1 - rate, shape)
        return layer(jnp.where(stay, h / (1 - rate), 0.0))

    return apply_layer


@eqx.filter_jit
def _masked(network: Network, params: Params, x: Any, keys: Array, rates: tuple[Any, ...]) -> Any:
    """The likelihood's parameters, a mask a row."""

    def one(key: Array) -> Any:
        return network.predict(params, x, leaving_out(key, rates, shared=True))

    return jax.lax.map(one, keys, batch_size=DRAWS_AT_ONCE)


def _traced(rates: tuple[float, ...]) -> tuple[Any, ...]:
    """Rates as arrays but for those of nought, so that other rates need no other program.

    The arrays take the precision of what they meet, as numbers do.
    """
    return tuple(jnp.asarray(rate) if rate else 0.0 for rate in rates)


def _check(network: Network, settings: Settings) -> tuple[float, ...]:
    """The rates, one a layer."""
    checks.at_least("num_draws", settings.num_draws, 1)
    layers, rate = network.num_layers, settings.rate
    if isinstance(rate, tuple) and len(rate) != layers:
        raise checks.fail("rate", f"one number, or {layers}, one a layer", rate)
    if not isinstance(rate, tuple):
        if layers == 1:
            expected = "one with hidden units to leave out, or rate a tuple"
            raise checks.fail("network", expected, network.architecture)
        rate = (0.0, *[rate] * (layers - 1))
    for i, share in enumerate(rate):
        if checks.probability(f"rate[{i}]", share) == 1:
            raise checks.fail(f"rate[{i}]", "below 1", share)
    return tuple(float(share) for share in rate)
