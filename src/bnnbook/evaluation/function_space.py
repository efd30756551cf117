r"""Diagnostics in function space: did the chains agree about f(x), whatever their weights say?

A network is the same function under every permutation of its hidden units, so two chains may be in
two copies of one mode, and R̂ of the weights is bad although each chain has sampled every function
there is. What is predicted is f(x), so that is where chains must agree: here are rank-normalised
split R̂ and bulk and tail effective sample size (ESS) of f at each point (Vehtari et al. 2021),
beside those of the weights. Chapter "A network is a prior over functions" introduces it.

A run is **certified** where at least 4 chains agree: R̂ of f below 1.01 at 95 % of the points and
below 1.02 at all, bulk and tail ESS of f above 400 at all, and R̂ below 1.01 and ESS above 400 for
the log density and the noise. No certificate says that all modes were found, nor that the chains
began far apart: the caller has to see to that.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import arviz as az
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import ArrayLike

from bnnbook import checks

LEAST_CHAINS = 4
LEAST_ESS = 400
SCALAR_R_HAT = 1.01
FUNCTION_R_HAT = 1.02
SHARE_OF_POINTS = 0.95


class Worst(NamedTuple):
    """The worst that any quantity of a run shows."""

    r_hat: float
    """The largest R̂."""
    bulk_ess: float
    """The smallest ESS of the bulk."""
    tail_ess: float
    """The smallest ESS of the tails."""


@dataclass(frozen=True, eq=False)
class Mixing:
    """How well chains agree about each of several quantities."""

    r_hat: Float[np.ndarray, " quantity"]
    """Rank-normalised split R̂: near 1 where chains agree; infinite where they did not move."""
    bulk_ess: Float[np.ndarray, " quantity"]
    """How many independent draws the centre of the distribution is worth."""
    tail_ess: Float[np.ndarray, " quantity"]
    """The same for its 5 % and 95 % quantiles, the lesser of the two."""

    @property
    def worst(self) -> Worst:
        """The worst of each."""
        least = (float(ess.min()) for ess in (self.bulk_ess, self.tail_ess))
        return Worst(float(self.r_hat.max()), *least)

    def r_hat_quantile(self, probability: float) -> float:
        """The R̂ that this share of the quantities does not exceed; no interpolation."""
        probability = checks.probability("probability", probability)
        return float(np.quantile(self.r_hat, probability, method="inverted_cdf"))


def mixing(name: str, draws: ArrayLike) -> Mixing:
    """R̂ and ESS of each quantity, by ArviZ.

    Args:
        name: what the caller calls the draws, for messages.
        draws: of shape (chain, draw, ...); each entry of the further axes is one quantity.

    Raises:
        ValueError: where there is one chain alone, fewer than four draws a chain, a draw that is
            not finite, or a quantity that is the same in all draws.
    """
    array = checks.finite_array(name, draws)
    if array.ndim < 2:
        raise checks.fail(name, "of shape (chain, draw, ...)", array.shape)
    array = array.reshape(*array.shape[:2], -1)
    _check_size(name, array)
    data = xr.Dataset({"q": (("chain", "draw", "quantity"), array)})
    # A chain that never moved has no variance within: 0/0 in R̂, which is then called infinite.
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat, bulk, tail = (
            np.asarray(found["q"], dtype=np.float64)
            for found in (az.rhat(data), az.ess(data, method="bulk"), az.ess(data, method="tail"))
        )
    stuck = np.ptp(array, axis=1).min(axis=0) == 0
    r_hat = np.where(stuck | np.isnan(r_hat), np.inf, r_hat)
    bulk, tail = (np.where(stuck | np.isnan(ess), 1.0, ess) for ess in (bulk, tail))
    return Mixing(r_hat, bulk, tail)


def _check_size(name: str, array: np.ndarray) -> None:
    chains, draws, _ = array.shape
    if chains < 2:
        raise ValueError(
            f"{name} must hold at least 2 chains for R̂, which compares chains, got {chains}: run "
            f"{LEAST_CHAINS} from dispersed starts (num_chains={LEAST_CHAINS})"
        )
    if draws < 4:
        raise checks.fail(name, "of at least 4 draws a chain, to be split in halves", array.shape)
    constant = np.flatnonzero(np.ptp(array, axis=(0, 1)) == 0)
    if len(constant):
        raise ValueError(
            f"{name} must vary, got quantity {constant[0]} the same in all draws: leave it out"
        )


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the chains of one run agree about."""

    f: Mixing
    """Of f, a quantity a point (and an output, where there are several)."""
    scalars: Mapping[str, Mixing]
    """Of the log density, the noise and other single numbers, by name."""
    weights: Mixing | None
    """Of the weights, a quantity a weight; None where they were not given."""
    num_chains: int
    """How many chains there were."""
    num_draws: int
    """How many draws each kept."""

    def shortfalls(
        self, required: Collection[str] = ("log_density", "noise_sd")
    ) -> tuple[str, ...]:
        """What keeps the run from being certified, one sentence each; empty where nothing does.

        Args:
            required: the scalars that must have been given: leave ``noise_sd`` out for a likelihood
                without one, such as the categorical.
        """
        found = []
        if self.num_chains < LEAST_CHAINS:
            found.append(f"{self.num_chains} chains, at least {LEAST_CHAINS} are needed")
        most, all_of_it = self.f.r_hat_quantile(SHARE_OF_POINTS), self.f.worst
        if not most < SCALAR_R_HAT:
            share = np.mean(self.f.r_hat < SCALAR_R_HAT)
            found.append(f"R̂ of f is below {SCALAR_R_HAT} at {share:.0%} of the points only")
        if not all_of_it.r_hat < FUNCTION_R_HAT:
            found.append(f"R̂ of f reaches {all_of_it.r_hat:.3f}, not below {FUNCTION_R_HAT}")
        found += _few_draws("f", all_of_it)
        for name in (*required, *(n for n in self.scalars if n not in required)):
            found += _scalar_shortfalls(name, self.scalars.get(name))
        return tuple(found)

    def certified(self, required: Collection[str] = ("log_density", "noise_sd")) -> bool:
        """Whether the run meets every bound of the module's head."""
        return not self.shortfalls(required)

    def summary(self) -> dict[str, Worst]:
        """The worst of f, of each scalar and of the weights, by name, for a table."""
        rows = {"f": self.f.worst} | {name: one.worst for name, one in self.scalars.items()}
        return rows if self.weights is None else rows | {"weights": self.weights.worst}


def diagnose(
    f: ArrayLike,
    scalars: Mapping[str, ArrayLike] | None = None,
    weights: Mapping[str, ArrayLike] | ArrayLike | None = None,
) -> Diagnosis:
    """R̂ and ESS in function space, and of the weights beside them.

    Args:
        f: the network's outputs, shape (chain, draw, point) or (chain, draw, point, output).
        scalars: name to array of shape (chain, draw): ``log_density`` and ``noise_sd`` above all.
        weights: name to array of shape (chain, draw, ...), or one such array.

    Raises:
        ValueError: where there is one chain alone (R̂ compares chains), too few draws, numbers of
            chains or draws that differ, a draw that is not finite, or a quantity that never varies.
    """
    shape = np.shape(f)
    if len(shape) < 3 or 0 in shape:
        raise checks.fail("f", "of shape (chain, draw, point), none empty", shape)
    given = {} if scalars is None else dict(scalars)
    for name, draws in given.items():
        if np.shape(draws) != shape[:2]:
            raise checks.fail(f"scalars[{name!r}]", f"of shape {shape[:2]} as f", np.shape(draws))
    return Diagnosis(
        f=mixing("f", f),
        scalars=MappingProxyType({n: mixing(f"scalars[{n!r}]", d) for n, d in given.items()}),
        weights=None if weights is None else mixing("weights", _flat(weights, shape[:2])),
        num_chains=shape[0],
        num_draws=shape[1],
    )


def _few_draws(name: str, worst: Worst) -> list[str]:
    return [
        f"{kind} ESS of {name} falls to {ess:.0f}, not above {LEAST_ESS}"
        for kind, ess in (("bulk", worst.bulk_ess), ("tail", worst.tail_ess))
        if not ess > LEAST_ESS
    ]


def _scalar_shortfalls(name: str, found: Mixing | None) -> list[str]:
    if found is None:
        return [f"{name} was not given"]
    worst = found.worst
    r_hat = f"R̂ of {name} is {worst.r_hat:.3f}, not below {SCALAR_R_HAT}"
    return [r_hat] * (not worst.r_hat < SCALAR_R_HAT) + _few_draws(name, worst)


def _flat(weights: Any, shape: tuple[int, ...]) -> np.ndarray:
    parts = list(weights.values()) if isinstance(weights, Mapping) else [weights]
    arrays = [np.asarray(part) for part in parts]
    for array in arrays:
        if array.shape[:2] != shape:
            raise checks.fail("weights", f"of shape ({shape[0]}, {shape[1]}, ...)", array.shape)
    return np.concatenate([array.reshape(*shape, -1) for array in arrays], axis=2)
