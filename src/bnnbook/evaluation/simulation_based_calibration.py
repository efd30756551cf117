r"""Simulation-based calibration: does a method find what it should, on average over the prior?

.. math:: \theta^\star \sim p(\theta),\; y \sim p(y \mid \theta^\star),\;
          \theta_1, \dots, \theta_L \sim p(\theta \mid y)\;\Rightarrow\;
          \#\{l : \theta_l < \theta^\star\} \text{ is uniform on } 0, \dots, L

Data are simulated from the model itself, so the posterior is right by construction, and the truth
is one more draw from it. Ranks that pile up at both ends mean a posterior too narrow, in the middle
one too wide, at one end one that leans (Cook, Gelman and Rubin 2006; Talts et al. 2018). A method
can pass and still be wrong on the data in hand. Chapter "Variational inference" introduces it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from arviz_stats import ecdf_utils
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from bnnbook import checks
from bnnbook.datatree import from_draws
from bnnbook.mcmc.kernel import carrying_data

Simulate = Callable[[Any], tuple[Any, Any]]
Sample = Callable[[Any, Any, int], Any]
BAND_SIMULATIONS = 1000


class Uniformity(NamedTuple):
    """Whether the PIT values of one parameter look uniform."""

    points: Float[np.ndarray, " point"]
    """Where the distribution function is looked at, from 0 to 1."""
    ecdf: Float[np.ndarray, " point"]
    """The share of PIT values at most that large."""
    lower: Float[np.ndarray, " point"]
    """Lower end of the band that holds all of a uniform sample's curve."""
    upper: Float[np.ndarray, " point"]
    """Its upper end."""
    inside: bool
    """Whether the curve stays within the band."""
    lean: float
    """z-score of the mean: positive where the truth lies above the draws too often."""
    narrowness: float
    """z-score of the spread: positive where the posterior is too narrow, negative: too wide."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of the truths among the draws."""

    ranks: Int[np.ndarray, "simulation parameter"]
    """How many draws are below the truth."""
    pit: Float[np.ndarray, "simulation parameter"]
    """(rank + U) / (L + 1), U uniform: exactly uniform for an exact method."""
    num_draws: int
    """L."""
    names: tuple[str, ...]
    """What the parameters are called."""

    def uniformity(self, name: str, probability: float = 0.99) -> Uniformity:
        """The band and the z-scores of one parameter.

        The band is ArviZ's, simultaneous over all points by simulation (Säilynoja, Bürkner and
        Vehtari 2022).

        Args:
            name: one of the names.
            probability: with which a uniform sample's curve stays within the band.

        Raises:
            ValueError: where the name is not there, or the probability not between 0 and 1.
        """
        checks.one_of("name", name, self.names)
        probability = checks.fraction("probability", probability)
        u = self.pit[:, self.names.index(name)]
        n = len(u)
        points, lower, upper = _band(n, probability)
        ecdf = np.searchsorted(np.sort(u), points, side="right") / n
        return Uniformity(
            points,
            ecdf,
            lower,
            upper,
            inside=bool(((ecdf >= lower) & (ecdf <= upper)).all()),
            lean=float((u.mean() - 0.5) * np.sqrt(12 * n)),
            narrowness=float((np.mean((u - 0.5) ** 2) - 1 / 12) * np.sqrt(180 * n)),
        )

    def tree(self) -> xr.DataTree:
        """The PIT values as a ``DataTree``, for ``arviz.plot_ecdf_pit`` (one chain)."""
        pit = {name: self.pit[None, :, i] for i, name in enumerate(self.names)}
        return from_draws(posterior=pit, attrs={"method": "simulation-based calibration"})


@cache
def _band(n: int, probability: float) -> tuple[np.ndarray, ...]:
    """Where ArviZ looks, and the ends of its band: the same for all samples of one size."""
    rng = np.random.default_rng(214)  # for the band's width alone
    curve: Any = ecdf_utils.ecdf_pit
    points, _, lower, upper = curve(np.linspace(0, 1, n), probability, BAND_SIMULATIONS, rng=rng)
    return np.asarray(points), np.asarray(lower), np.asarray(upper)


def calibrate(
    rng_key: Array,
    simulate: Simulate,
    sample: Sample,
    *,
    num_simulations: int,
    num_draws: int = 99,
    names: Sequence[str] | None = None,
    batch_size: int = 32,
) -> Calibration:
    """Simulate, fit and rank, many times, compiled once and vectorised.

    A ``functools.partial`` of floating-point numbers or arrays is compiled once for all of them.

    Args:
        rng_key: a JAX key.
        simulate: a JAX function from a key to parameters of shape (d,), drawn from the prior, and
            data drawn given them; ``models.flat.simulator`` makes one of a NumPyro model.
        sample: a JAX function from a key, such data and a number L to draws of shape (L, d) from
            the posterior, independent or thinned until they nearly are. Ranks do not change under
            increasing transforms, so unbounded parameters will do, on both sides.
        num_simulations: how many truths.
        num_draws: L; one less than a round number gives round ranks.
        names: what the parameters are called; x[0], x[1], ... where it is None.
        batch_size: simulations that are worked on together.

    Raises:
        ValueError: where shapes disagree, or a truth or a draw is not finite.
    """
    num_simulations = checks.at_least("num_simulations", num_simulations, 10)
    num_draws = checks.at_least("num_draws", num_draws, 1)
    batch = min(checks.at_least("batch_size", batch_size, 1), num_simulations)
    _check_shapes(rng_key, simulate, sample, num_draws)

    keys = jax.random.split(rng_key, num_simulations)
    # Whole batches, so that one program does for all: the last one repeats the first simulations.
    keys = jnp.concatenate([keys, keys[: -num_simulations % batch]])
    batches = keys.reshape(-1, batch, *keys.shape[1:])
    simulate, sample = _carrying_floats(simulate), _carrying_floats(sample)
    found = [_rank(simulate, sample, some, num_draws) for some in batches]
    ranks, pit, fine = (
        np.concatenate(parts)[:num_simulations] for parts in zip(*found, strict=True)
    )
    labels = tuple(names) if names is not None else tuple(f"x[{i}]" for i in range(ranks.shape[1]))
    if len(labels) != ranks.shape[1]:
        raise checks.fail("names", f"of length {ranks.shape[1]}", labels)
    if not fine.all():
        simulation, parameter = np.argwhere(~fine)[0]
        raise ValueError(
            f"sample must give finite draws, got others for {labels[parameter]} in simulation "
            f"{simulation} of {num_simulations}"
        )
    return Calibration(ranks, pit.astype(np.float64), num_draws, labels)


def _carrying_floats(function: Callable[..., Any]) -> Any:
    """A function as a pytree of the numbers bound to it, unless one may be a length."""
    if isinstance(function, partial):
        bound = jax.tree.leaves((function.args, function.keywords))
        if any(isinstance(value, int | np.integer) for value in bound):
            return Partial(function)  # type: ignore[no-untyped-call]
    return carrying_data(function)


@partial(jax.jit, static_argnums=3)
def _rank(simulate: Simulate, sample: Sample, keys: Any, num_draws: int) -> Any:
    """Ranks, PIT values and whether all was finite, a row a simulation."""

    def one(key: Any) -> Any:
        key_truth, key_sample, key_ties = jax.random.split(key, 3)
        truth, data = simulate(key_truth)
        draws = sample(key_sample, data, num_draws)
        below = jnp.sum(draws < truth[None], axis=0)
        ties = jnp.sum(draws == truth[None], axis=0)
        u = jax.random.uniform(key_ties, (2, *truth.shape))
        rank = below + jnp.floor(u[0] * (ties + 1)).astype(below.dtype)
        fine = jnp.isfinite(truth) & jnp.isfinite(draws).all(axis=0)
        return rank, (rank + u[1]) / (num_draws + 1), fine

    return jax.vmap(one)(keys)


def _check_shapes(rng_key: Array, simulate: Simulate, sample: Sample, num_draws: int) -> None:
    truth, data = jax.eval_shape(simulate, rng_key)
    if truth.ndim != 1:
        raise checks.fail("simulate", "a function to parameters of shape (d,)", truth.shape)
    draws = jax.eval_shape(lambda k, y: sample(k, y, num_draws), rng_key, data)
    if draws.shape != (expected := (num_draws, *truth.shape)):
        raise checks.fail("sample", f"a function to draws of shape {expected}", draws.shape)
