r"""Densities in the plane on which samplers are compared, each with exact draws.

Four are easy and hard in ways of their own: a correlated normal, a curved banana, a funnel whose
scale changes, two bumps far apart. A bounded one, a heavy-tailed one and one of whole numbers are
there for tests. All are normalised. N(mean, standard deviation) throughout. Introduced in the
chapter "Markov chain Monte Carlo".
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, logsumexp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Shaped

from bnnbook import checks

LATTICE = 6
"""Whole numbers from 0 to one less than this, on each axis of the discrete target."""


class Target2D(NamedTuple):
    """A normalised density over vectors of two numbers that can be drawn from exactly."""

    name: str
    """What a figure calls it."""
    log_density: Callable[[Any], Any]
    """Its log at a vector of shape (2,), a JAX function; −∞ outside its support."""
    draw: Callable[[jax.Array], Any]
    """One exact draw from a key, a vector of shape (2,)."""
    mean: tuple[float, float]
    """The exact mean of each coordinate."""
    sd: tuple[float, float]
    """The exact standard deviation of each coordinate."""
    window: tuple[tuple[float, float], tuple[float, float]]
    """Limits of each axis that show all but a little of it."""

    def draws(self, rng_key: jax.Array, num_samples: int) -> Shaped[Array, "draw 2"]:
        """Independent exact draws."""
        keys = jax.random.split(rng_key, checks.at_least("num_samples", num_samples, 1))
        return jax.jit(jax.vmap(self.draw))(keys)


def correlated_normal(correlation: float = 0.9) -> Target2D:
    """Two standard normals with a correlation strictly between −1 and 1."""
    correlation = checks.finite("correlation", correlation)
    if abs(correlation) >= 1:
        raise checks.fail("correlation", "strictly between -1 and 1", correlation)

    def draw(rng_key: jax.Array) -> Any:
        z = jax.random.normal(rng_key, (2,))
        return jnp.array([z[0], correlation * z[0] + np.sqrt(1 - correlation**2) * z[1]])

    log_density = partial(_log_correlated_normal, correlation)
    window = ((-3.5, 3.5), (-3.5, 3.5))
    return Target2D("correlated normal", log_density, draw, (0.0, 0.0), (1.0, 1.0), window)


def _log_correlated_normal(correlation: Any, x: Any) -> Any:
    rest = norm.logpdf(x[1], correlation * x[0], jnp.sqrt(1 - correlation**2))
    return norm.logpdf(x[0]) + rest


def banana(curvature: float = 1.0) -> Target2D:
    """x₀ ~ N(0, 1), x₁ ~ N(curvature (x₀² − 1), 1/2): a valley that bends."""
    curvature = checks.finite("curvature", curvature)

    def draw(rng_key: jax.Array) -> Any:
        z = jax.random.normal(rng_key, (2,))
        return jnp.array([z[0], curvature * (z[0] ** 2 - 1) + 0.5 * z[1]])

    sd = (1.0, float(np.sqrt(2 * curvature**2 + 0.25)))
    log_density = partial(_log_banana, curvature)
    return Target2D("banana", log_density, draw, (0.0, 0.0), sd, ((-3.5, 3.5), (-3.5, 8.5)))


def _log_banana(curvature: Any, x: Any) -> Any:
    return norm.logpdf(x[0]) + norm.logpdf(x[1], curvature * (x[0] ** 2 - 1), 0.5)


def funnel(sd: float = 1.5) -> Target2D:
    """x₀ ~ N(0, sd), x₁ ~ N(0, exp(x₀)): the log scale of one coordinate is the other (Neal 2003).

    With sd 3/2 it is Neal's funnel in two dimensions, whose x₀ is the log variance with sd 3.
    """
    sd = checks.positive("sd", sd)

    def draw(rng_key: jax.Array) -> Any:
        z = jax.random.normal(rng_key, (2,))
        return jnp.array([sd * z[0], jnp.exp(sd * z[0]) * z[1]])

    log_density = partial(_log_funnel, sd)
    window = ((-3 * sd, 3 * sd), (-10.0, 10.0))
    return Target2D("funnel", log_density, draw, (0.0, 0.0), (sd, float(np.exp(sd**2))), window)


def _log_funnel(sd: Any, x: Any) -> Any:
    # Not by norm.logpdf: the scale exp(x₀) may underflow where its logarithm does not.
    of_x1 = -0.5 * (x[1] * jnp.exp(-x[0])) ** 2 - x[0] - 0.5 * jnp.log(2 * jnp.pi)
    return norm.logpdf(x[0], 0.0, sd) + of_x1


def two_bumps(distance: float = 6.0, weight: float = 0.7) -> Target2D:
    """Two round normals of sd 1, their centres a distance apart along x₀, the left one heavier."""
    distance, weight = checks.positive("distance", distance), checks.fraction("weight", weight)

    def draw(rng_key: jax.Array) -> Any:
        for_noise, for_side = jax.random.split(rng_key)
        side = jnp.where(jax.random.uniform(for_side) < weight, -0.5, 0.5)
        return jax.random.normal(for_noise, (2,)) + jnp.array([side * distance, 0.0])

    mean = (distance * (0.5 - weight), 0.0)
    sd = (float(np.sqrt(1 + distance**2 * weight * (1 - weight))), 1.0)
    reach = distance / 2 + 3.5
    window = ((-reach, reach), (-3.5, 3.5))
    log_density = partial(_log_two_bumps, distance, weight)
    return Target2D("two bumps", log_density, draw, mean, sd, window)


def _log_two_bumps(distance: Any, weight: Any, x: Any) -> Any:
    logs = [norm.logpdf(x[0], -distance / 2), norm.logpdf(x[0], distance / 2)]
    weights = jnp.array([weight, 1 - weight])
    return logsumexp(jnp.array(logs), b=weights) + norm.logpdf(x[1])


def wedge() -> Target2D:
    """x₁ exponential, x₀ − x₁ too: density exp(−x₀) on 0 < x₁ < x₀, with a jump at both edges."""

    def draw(rng_key: jax.Array) -> Any:
        e = jax.random.exponential(rng_key, (2,))
        return jnp.array([e[0] + e[1], e[1]])

    window = ((0.0, 7.0), (0.0, 5.0))
    return Target2D("wedge", _log_wedge, draw, (2.0, 1.0), (float(np.sqrt(2)), 1.0), window)


def _log_wedge(x: Any) -> Any:
    return jnp.where((x[1] > 0) & (x[0] > x[1]), -x[0], -jnp.inf)


def unbounded_wedge(*, jacobian: bool = True) -> Target2D:
    """The wedge in u, with x₁ = exp(u₁) and x₀ = x₁ + exp(u₀), for samplers that know no bounds.

    Its log density has the term log |dx/du| = u₀ + u₁. Without the Jacobian it is the density of
    something else, which has no finite integral even: this is for showing what then happens.
    """

    def draw(rng_key: jax.Array) -> Any:
        return jnp.log(jax.random.exponential(rng_key, (2,)))

    mean, sd = -float(np.euler_gamma), float(np.pi / np.sqrt(6))
    log_density = partial(_log_unbounded_wedge, float(jacobian))
    window = ((-5.0, 2.5), (-5.0, 2.5))
    return Target2D("wedge, unbounded", log_density, draw, (mean, mean), (sd, sd), window)


def _log_unbounded_wedge(jacobian: Any, u: Any) -> Any:
    return jacobian * u.sum() - jnp.exp(u).sum()


def student_t(dof: float = 3.0) -> Target2D:
    """The round t distribution: heavy tails, in all directions at once. Takes more than 2 dof."""
    dof = checks.positive("dof", dof)
    if dof <= 2:
        raise checks.fail("dof", "above 2 for a finite variance", dof)

    def draw(rng_key: jax.Array) -> Any:
        for_noise, for_scale = jax.random.split(rng_key)
        chi_square = 2 * jax.random.gamma(for_scale, dof / 2)
        return jax.random.normal(for_noise, (2,)) * jnp.sqrt(dof / chi_square)

    sd = float(np.sqrt(dof / (dof - 2)))
    window = ((-8.0, 8.0), (-8.0, 8.0))
    log_density = partial(_log_student_t, dof)
    return Target2D("Student t", log_density, draw, (0.0, 0.0), (sd, sd), window)


def _log_student_t(dof: Any, x: Any) -> Any:
    constant = gammaln(dof / 2 + 1) - gammaln(dof / 2) - jnp.log(dof * jnp.pi)
    return constant - (dof / 2 + 1) * jnp.log1p(x @ x / dof)


def lattice_probabilities() -> Float[np.ndarray, "6 6"]:
    """The probability of each point of the discrete target: a ridge along the diagonal."""
    i, j = np.indices((LATTICE, LATTICE))
    weights = np.exp(-0.15 * (i - j) ** 2 - 0.1 * (i - 3.0) ** 2) * (1 + (i + 2 * j) % 3)
    return weights / weights.sum()


def lattice() -> Target2D:
    """A discrete target: pairs of whole numbers from 0 to 5, correlated and uneven."""
    probabilities = lattice_probabilities()
    points = np.indices((LATTICE, LATTICE)).reshape(2, -1)
    mean = points @ probabilities.ravel()
    sd = np.sqrt(points**2 @ probabilities.ravel() - mean**2)

    def draw(rng_key: jax.Array) -> Any:
        cell = jax.random.categorical(rng_key, jnp.log(jnp.asarray(probabilities.ravel())))
        return jnp.array([cell // LATTICE, cell % LATTICE])

    window = ((-0.5, LATTICE - 0.5), (-0.5, LATTICE - 0.5))
    mean, sd = (float(mean[0]), float(mean[1])), (float(sd[0]), float(sd[1]))
    return Target2D("lattice", _log_lattice, draw, mean, sd, window)


def _log_lattice(x: Any) -> Any:
    inside = ((x >= 0) & (x < LATTICE)).all()
    at = jnp.clip(x, 0, LATTICE - 1)
    return jnp.where(inside, jnp.log(jnp.asarray(lattice_probabilities()))[at[0], at[1]], -jnp.inf)


def showcase() -> tuple[Target2D, ...]:
    """The four on which the book compares samplers."""
    return correlated_normal(), banana(), funnel(), two_bumps()
