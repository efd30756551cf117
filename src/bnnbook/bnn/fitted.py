"""What every approximate posterior of a network has, however it was found.

A method fits, and hands back something that predicts: at each point the parameters of the
likelihood, one set a draw. What differs between methods is where those come from. Where weights
were drawn, by a sampler, as members of an ensemble or as the one MAP estimate, they are all
``Drawn``; a method that predicts otherwise derives from ``Fitted`` and says how. Chapter
"Approximate posteriors, scored" introduces it.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from bnnbook import checks
from bnnbook.datatree import from_draws
from bnnbook.models.bayesian_network import Data, Network, Params
from bnnbook.variational.fit import FitError, FitWarning

DIMENSIONS = ("chain", "draw", "point", "parameter")
DRAWS_AT_ONCE = 16
"""How many draws predict side by side; all at once would fill the memory."""


def check_fit(network: Any, data: Any, name: str = "data") -> Data:
    """The data, checked once more and in the precision in force: every ``fit`` begins with it.

    Args:
        network: the network.
        data: the data.
        name: what the caller calls them.

    Raises:
        ValueError: where the network is none, or the data are not what ``network.data`` gives:
            empty, of another shape than the network's, or not finite.
    """
    if not isinstance(network, Network):
        raise checks.fail("network", "a Network of models.bayesian_network", network)
    if not isinstance(data, Data):
        raise checks.fail(name, "what network.data(x, y) gives", data)
    return network.data(*data)


def check_start(network: Network, start: Params, num_chains: int | None = None) -> Params:
    """Where a search starts, of the network's shapes and in the precision in force.

    Args:
        network: the network.
        start: unknowns.
        num_chains: where given, what comes back has a start a chain: from ``start`` with that axis
            in front, or from one for all.

    Raises:
        ValueError: where shapes are others, or a number is not finite.
    """
    shapes, plan = jax.tree.flatten(jax.eval_shape(network.draw_prior, jax.random.key(0)))
    leaves = [checks.finite_array("start", np.asarray(leaf)) for leaf in jax.tree.leaves(start)]
    one, got = [shape.shape for shape in shapes], [leaf.shape for leaf in leaves]
    each = one if num_chains is None else [(num_chains, *shape) for shape in one]
    if got not in (one, each):
        more = "" if num_chains is None else f", or with {num_chains} in front"
        raise checks.fail("start", f"of shapes {one}{more}", got)
    spread = [
        jnp.asarray(np.broadcast_to(leaf, shape), like.dtype)
        for leaf, shape, like in zip(leaves, each, shapes, strict=True)
    ]
    found: Params = jax.tree.unflatten(plan, spread)
    return found


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted(ABC):
    """An approximate posterior; a method that holds no draws of weights derives from it."""

    network: Network
    """The network that was fitted."""
    method: str
    """What the method is called in tables."""
    seconds: float
    """Wall time of the fit, compilation included."""

    def predict(self, x: Any) -> xr.DataArray:
        """The likelihood's parameters at each point, (chain, draw, point, parameter).

        Args:
            x: inputs, a row a point, scaled as those that were fitted.

        Raises:
            ValueError: where x has not the network's input shape or is not finite, or no draw
                predicts finite numbers at all points.

        Warns:
            FitWarning: where some draws do not, as one of noise that changes may overflow far from
                the data. They are left out: whole chains where a chain is one draw, as of an
                ensemble, else of all chains the draws of that number.
        """
        parameters = np.asarray(self._parameters(x))
        axes = {d: np.arange(n) for d, n in zip(DIMENSIONS, parameters.shape, strict=True)}
        coordinates = axes | {"parameter": list(self.network.likelihood.parameter_names)}
        found = xr.DataArray(parameters, coordinates, DIMENSIONS, "prediction")
        fine = np.isfinite(parameters)
        if fine.all():
            return found
        axis, other = ("chain", "draw") if parameters.shape[1] == 1 else ("draw", "chain")
        good = xr.DataArray(fine, dims=DIMENSIONS).all((other, "point", "parameter")).values
        at = tuple(int(i) for i in np.argwhere(~fine)[0])
        where = ", ".join(f"{d} {i}" for d, i in zip(DIMENSIONS[:3], at[:3], strict=True))
        name = f"the prediction by {self.method}"
        got = f"{parameters[at]} as {coordinates['parameter'][at[3]]} at {where}"
        if not good.any():
            raise FitError(f"{name} must be finite everywhere for one {axis} or more, got {got}")
        message = (
            f"{name} is not finite for {(~good).sum()} of {len(good)} {axis}s, left out: {got}"
        )
        warnings.warn(message, FitWarning, stacklevel=2)
        return found.isel({axis: np.flatnonzero(good)})

    @abstractmethod
    def _parameters(self, x: Any) -> Any:
        """The array that ``predict`` puts names to; ``network.inputs`` checks x."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Drawn(Fitted):
    """Draws of all unknowns: of a posterior, or members of an ensemble, a chain each."""

    params: Params
    """The unknowns, each leaf with the axes chain and draw first."""
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What a sampler tells of itself, each of shape (chain, draw)."""
    attrs: Mapping[str, int | float | str] = field(default_factory=dict)
    """Settings, for the tree's attributes."""

    def __post_init__(self) -> None:
        leaves, shapes = jax.tree.leaves(self.params), _shapes(self.network)
        lead = np.shape(leaves[0])[: np.ndim(leaves[0]) - len(shapes[0])]
        right = [np.shape(leaf) == lead + shape for leaf, shape in zip(leaves, shapes, strict=True)]
        if len(lead) != 2 or 0 in lead or not all(right):
            got = [np.shape(leaf) for leaf in leaves]
            raise checks.fail("params", f"of shapes (chain, draw) + {shapes}", got)
        for leaf in leaves:
            checks.finite_array("params", np.asarray(leaf))

    @property
    def num_chains(self) -> int:
        """How many chains, or members."""
        return len(jax.tree.leaves(self.params)[0])

    @property
    def num_draws(self) -> int:
        """How many draws a chain."""
        return jax.tree.leaves(self.params)[0].shape[1]

    def outputs(self, x: Any) -> Float[np.ndarray, "chain draw point output"]:
        """What comes out of the network: f, and log noise or log odds where it has them."""
        return self._over_draws(_outputs, x)

    def log_density(self, data: Data) -> Float[np.ndarray, "chain draw"]:
        """The log of the joint density of unknowns and data at each draw."""
        return self._over_draws(_log_density, data)

    def tree(self, x: Any, data: Data) -> xr.DataTree:
        """The draws for diagnostics in function space.

        Args:
            x: the points at which f is looked at.
            data: those that were fitted.

        Returns:
            The group ``posterior`` with ``f`` of shape (chain, draw, point), or (chain, draw,
            point, output) where there are several outputs, and all unknowns under the names of
            ``network.constrained``; ``sample_stats`` with ``log_density`` and what the sampler
            tells; and the outputs that were fitted as ``observed_data``.
        """
        f = self.outputs(x)
        unknowns = _over_both_axes(_constrained, self.network, self.params)
        return from_draws(
            posterior={"f": f[..., 0] if f.shape[-1] == 1 else f, **unknowns},
            sample_stats={**self.stats, "log_density": self.log_density(data)},
            observed_data={"y": np.asarray(data.y)},
            attrs={"method": self.method, "seconds": self.seconds, **self.attrs},
        )

    def _parameters(self, x: Any) -> Any:
        return self._over_draws(_predict, x)

    def _over_draws(self, function: Callable[..., Any], given: Any) -> np.ndarray:
        """A function of each draw, in the precision in which the draws were made."""
        dtype = jax.tree.leaves(self.params)[0].dtype
        with jax.enable_x64(dtype == np.float64):
            if isinstance(given, Data):
                given = self.network.data(*given)
            else:
                given = self.network.inputs(given)
            return np.asarray(_over_both_axes(function, self.network, self.params, given))


@eqx.filter_jit
def _over_both_axes(
    function: Callable[..., Any], network: Network, params: Params, *args: Any
) -> Any:
    lead = jax.tree.leaves(params)[0].shape[:2]
    flat = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[2:])), params)
    mapped = jax.lax.map(lambda one: function(network, one, *args), flat, batch_size=DRAWS_AT_ONCE)
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, lead + leaf.shape[1:]), mapped)


def _predict(network: Network, params: Params, x: Any) -> Any:
    return network.predict(params, x)


def _outputs(network: Network, params: Params, x: Any) -> Any:
    return network.outputs(params, x)


def _log_density(network: Network, params: Params, data: Data) -> Any:
    return network.log_density(params, data)


def _constrained(network: Network, params: Params) -> Any:
    return network.constrained(params)


def _shapes(network: Network) -> list[tuple[int, ...]]:
    """The shapes of the unknowns, leaf by leaf."""
    drawn = jax.eval_shape(network.draw_prior, jax.random.key(0))
    return [tuple(leaf.shape) for leaf in jax.tree.leaves(drawn)]
