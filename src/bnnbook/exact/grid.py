r"""Any posterior in one or two dimensions, by evaluating it on a grid.

The log density need not be normalised: the trapezoidal rule gives the constant,

.. math:: Z = \int f(\theta)\, \mathrm{d}\theta \approx \sum_i w_i f(\theta_i),

and with it means, standard deviations and quantiles. Halving the grid tells how far to trust it:
the result carries the relative difference between the sum over all points and that over every
second one, and the share of the mass that touches the edges. Chapter "Bayes' theorem" introduces
it, with a coin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import entr, logsumexp

from bnnbook import checks
from bnnbook.exact import intervals
from bnnbook.exact.intervals import Interval

Array = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class GridPosterior:
    """A normalised density on an increasing grid of one parameter."""

    grid: Float[np.ndarray, " point"]
    """Where the density was evaluated, in increasing order."""
    density: Float[np.ndarray, " point"]
    """Its values there; their trapezoidal integral is one."""
    log_evidence: float
    """Logarithm of the integral that was divided out."""
    quadrature_error: float
    """Relative change of that integral when every second point is left out: what to watch."""

    @property
    def probabilities(self) -> Float[np.ndarray, " point"]:
        """The probability that each point stands for (density times width); they sum to one."""
        return self.density * trapezoid_weights(self.grid)

    @property
    def effective_points(self) -> float:
        """How many points share the mass: the exponential of the probabilities' entropy.

        Below about 4 the grid is too coarse whatever the quadrature error says, for two points at
        either side of a narrow peak can agree by luck.
        """
        return float(np.exp(entr(self.probabilities).sum()))

    @property
    def edge_mass(self) -> float:
        """Probability at the two end points: well above zero where the grid cuts a tail off."""
        return float(self.probabilities[0] + self.probabilities[-1])

    def expectation(self, function: Callable[[Array], Array]) -> float:
        """The posterior mean of a function of the parameter."""
        return float(self.probabilities @ np.asarray(function(self.grid)))

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return self.expectation(lambda t: t)

    @property
    def sd(self) -> float:
        """Posterior standard deviation."""
        mean = self.mean
        return float(np.sqrt(self.expectation(lambda t: (t - mean) ** 2)))

    @property
    def mode(self) -> float:
        """The grid point of highest density."""
        return float(self.grid[np.argmax(self.density)])

    @property
    def cdf(self) -> Float[np.ndarray, " point"]:
        """Probability of at most each grid point: 0 at the first, 1 at the last."""
        steps = np.diff(self.grid) * (self.density[1:] + self.density[:-1]) / 2
        return np.concatenate([[0.0], np.cumsum(steps)]) / np.sum(steps)

    def quantile(self, probability: float) -> float:
        """The value below which the given probability lies, interpolated between points."""
        probability = checks.probability("probability", probability)
        return float(np.interp(probability, self.cdf, self.grid))

    def central_interval(self, probability: float) -> Interval:
        """The interval with equal probability outside at either end."""
        return intervals.central(self.quantile, probability)


@dataclass(frozen=True)
class GridPosterior2D:
    """A normalised density on the product of two grids."""

    first: Float[np.ndarray, " first"]
    """Grid of the first parameter."""
    second: Float[np.ndarray, " second"]
    """Grid of the second parameter."""
    density: Float[np.ndarray, "first second"]
    """The density at each pair."""
    log_evidence: float
    """Logarithm of the integral that was divided out."""
    quadrature_error: float
    """Relative change of that integral when every second point of both grids is left out."""

    def marginal(self, axis: int) -> GridPosterior:
        """The posterior of one parameter (0 the first, 1 the second), the other integrated out."""
        checks.one_of("axis", axis, (0, 1))
        grids = (self.first, self.second)
        other = trapezoid_weights(grids[1 - axis])
        density = self.density @ other if axis == 0 else other @ self.density
        return GridPosterior(grids[axis], density, self.log_evidence, self.quadrature_error)


def from_log_density(log_density: Callable[[Array], Any], grid: ArrayLike) -> GridPosterior:
    """Normalise a log density on a grid.

    Args:
        log_density: log prior plus log likelihood (or any log density, up to a constant),
            called once with the whole grid; minus infinity is admitted.
        grid: at least 3 points in increasing order, evenly spaced or not.

    Raises:
        ValueError: where the grid does not increase, the log density is NaN or plus infinity
            somewhere or has another shape, or there is no mass on the grid at all.
    """
    points = _increasing("grid", grid)
    values = _log_values(log_density(points), points.shape)
    log_evidence = _log_integral(values, trapezoid_weights(points))
    if log_evidence == -np.inf:
        raise _no_mass()
    every_second = _halved(len(points))
    coarse = _log_integral(values[every_second], trapezoid_weights(points[every_second]))
    error = abs(float(np.expm1(coarse - log_evidence)))
    return GridPosterior(points, np.exp(values - log_evidence), log_evidence, error)


def from_log_density_2d(
    log_density: Callable[[Array, Array], Any], first: ArrayLike, second: ArrayLike
) -> GridPosterior2D:
    """Normalise a log density of two parameters on the product of two grids.

    Args:
        log_density: called once with two arrays of shape (len(first), len(second)).
        first: grid of the first parameter, increasing, at least 3 points.
        second: grid of the second parameter, likewise.

    Raises:
        ValueError: as ``from_log_density``.
    """
    grids = (_increasing("first", first), _increasing("second", second))
    values = _log_values(log_density(*np.meshgrid(*grids, indexing="ij")), tuple(map(len, grids)))
    log_evidence = _log_integral(values, np.multiply.outer(*map(trapezoid_weights, grids)))
    if log_evidence == -np.inf:
        raise _no_mass()
    keep = [_halved(len(g)) for g in grids]
    weights = [trapezoid_weights(g[k]) for g, k in zip(grids, keep, strict=True)]
    coarse = _log_integral(values[np.ix_(*keep)], np.multiply.outer(*weights))
    error = abs(float(np.expm1(coarse - log_evidence)))
    return GridPosterior2D(*grids, np.exp(values - log_evidence), log_evidence, error)


def trapezoid_weights(grid: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """The weights of the trapezoidal rule: half the distance between each point's neighbours."""
    steps = np.diff(grid) / 2
    return np.concatenate([steps, [0.0]]) + np.concatenate([[0.0], steps])


def _halved(count: int) -> np.ndarray:
    """Every second index, and the last one."""
    return np.unique(np.append(np.arange(0, count, 2), count - 1))


def _log_integral(values: Array, weights: Array) -> float:
    return float(logsumexp(values, b=weights))


def _increasing(name: str, grid: ArrayLike) -> Float[np.ndarray, " point"]:
    points = checks.finite_array(name, grid, ndim=1, min_size=3)
    down = np.flatnonzero(np.diff(points) <= 0)
    if down.size:
        i = int(down[0])
        pair = f"{points[i]:g} then {points[i + 1]:g} at index {i}"
        raise ValueError(f"{name} must increase from point to point, got {pair}")
    return points


def _log_values(values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise checks.fail("log_density", f"of shape {shape} on the grid", array.shape)
    bad = np.argwhere(np.isnan(array) | np.isposinf(array))
    if bad.size:
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"log_density must be finite or -inf everywhere, got {array[where]} at index {where}"
        )
    return array


def _no_mass() -> ValueError:
    return ValueError(
        "grid must reach where the density is above zero, got log density -inf at every point"
    )
