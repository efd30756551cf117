r"""Which copy of a mode a point is in: has a method crossed them all?

A network with one hidden layer of H units whose activation is odd is the same function in
:math:`2^H\,H!` places: the signs of its output weights, and the order of its units by the size of
an inner weight. By symmetry each copy holds the same share of prior and posterior, so a method that
says it integrates over all of them must find these shares, within its error. Where it does not, it
found some peak in one copy that it missed in another, and its evidence is not to be trusted. A
method that saw one copy alone misses :math:`\log(2^H\,H!)` where copies are apart. Introduced in
the chapter "A network is a prior over functions".
"""

import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from bnnbook import checks
from bnnbook.evidence.record import Evidence, Sample
from bnnbook.models.bayesian_network import Network


class Shares(NamedTuple):
    """How a sample is spread over the copies."""

    value: Float[np.ndarray, " copy"]
    """The weight in each; they sum to one."""
    standard_error: Float[np.ndarray, " copy"]
    """Of each, between crowds; NaN from one crowd."""


def labels(network: Network, points: ArrayLike) -> Int[np.ndarray, "..."]:
    """The number of the copy that each point is in, from 0.

    Args:
        network: one hidden layer, one output, an odd activation such as tanh or erf.
        points: vectors as ``network.ravel`` lays them out, along the last axis.
    """
    inner, _, outer = _units(network, points)
    order = np.argsort(np.abs(inner), axis=-1)
    places = {p: i for i, p in enumerate(itertools.permutations(range(inner.shape[-1])))}
    flat = order.reshape(-1, order.shape[-1])
    of_order = np.array([places[tuple(row)] for row in flat.tolist()]).reshape(order.shape[:-1])
    signs = (outer > 0) @ (2 ** np.arange(outer.shape[-1]))
    return np.asarray(of_order * 2 ** outer.shape[-1] + signs)


def folded(network: Network, points: ArrayLike) -> Float[np.ndarray, "..."]:
    """Each point's counterpart in one of the copies: the same function, as if nobody had crossed.

    Args:
        network: as for :func:`labels`.
        points: the same.
    """
    vectors = checks.finite_array("points", points)

    def fold(vector: Any) -> Any:
        params = network.unravel(vector)
        first, last = params.weights.layers
        sign = jnp.where(last.weight[:, 0] > 0, 1.0, -1.0)
        order = jnp.argsort(jnp.abs(first.weight[0]))
        new = (
            (first.weight * sign)[:, order],
            (first.bias * sign)[order],
            (last.weight * sign[:, None])[order],
        )

        def where(p: Any) -> Any:
            first, last = p.weights.layers
            return first.weight, first.bias, last.weight

        return network.ravel(eqx.tree_at(where, params, new))

    flat = vectors.reshape(-1, vectors.shape[-1])
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        return np.asarray(jax.vmap(fold)(flat)).reshape(vectors.shape)


def shares(network: Network, sample: Sample) -> Shares:
    """The weight of a sample in each copy, with its error between crowds.

    Args:
        network: as for :func:`labels`.
        sample: what an estimate of the evidence came by.
    """
    at = labels(network, sample.points)
    num_units = _units(network, sample.points)[2].shape[-1]
    num_copies = 2**num_units * len(list(itertools.permutations(range(num_units))))
    here = at[None] == np.arange(num_copies)[:, None, None]
    by_crowd = (here * sample.weights).sum(axis=-1)
    value, crowd = by_crowd.sum(axis=1), sample.weights.sum(axis=1)
    apart = by_crowd - value[:, None] * crowd
    n = len(crowd)
    error = np.sqrt((apart**2).sum(axis=1) * n / (n - 1)) if n > 1 else np.full(num_copies, np.nan)
    return Shares(value, error)


def drift(share: float, found: Evidence, num_live: int) -> float:
    """The error of a share by nested sampling, which is by one crowd that knows no independence.

    Once copies are apart a new point stays in that of the point that it starts from, and shares
    drift as those of families do: after t nats of shrinkage their variance is
    share (1 − share) (1 − exp(−2 t / num_live)). All of the information is taken for t, the most
    that it can be, and the weights' own error is added.

    Args:
        share: what is expected.
        found: an estimate by nested sampling.
        num_live: its points alive.
    """
    if found.sample is None:
        raise checks.fail("found", "an estimate with its sample", found)
    nats = max(float(found.diagnostics["information"]), 0.0)
    spread = 1 - np.exp(-2 * nats / num_live) + float((found.sample.weights**2).sum())
    return float(np.sqrt(share * (1 - share) * spread))


def _units(network: Network, points: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inner weights of the first input, biases and output weights of the units."""
    vectors = checks.finite_array("points", points)
    flat = vectors.reshape(-1, vectors.shape[-1])
    with jax.enable_x64(True):
        first, last = jax.vmap(network.unravel)(flat).weights.layers
    if last.weight.shape[-1] != 1:
        raise checks.fail("network", "of one output", last.weight.shape[-1])
    parts = first.weight[:, 0], first.bias, last.weight[..., 0]
    shape = vectors.shape[:-1]
    inner, bias, outer = (np.asarray(part).reshape(*shape, -1) for part in parts)
    return inner, bias, outer
