r"""The Kullback–Leibler divergence: what it costs to take one distribution for another.

.. math:: \mathrm{KL}(q \| p) = \mathbb{E}_q\left[\log \frac{q(x)}{p(x)}\right] \ge 0

in nats, and zero only where the two are the same (Kullback and Leibler 1951). It is not symmetric:
KL(q‖p) punishes q for going where p is small, and is blind to what q leaves out; KL(p‖q) the other
way round. So the q nearest in the first sense sits on one mode of p, and in the second sense covers
all of it. Closed forms, Monte Carlo for any pair, and grids in one dimension; NumPy in float64.
Chapter "Variational inference" introduces it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import optimize, special
from scipy.special import digamma, gammaln, rel_entr

from bnnbook import checks
from bnnbook.variational.families import covariance_root

LOG_TWO_PI = float(np.log(2 * np.pi))
Density = Callable[[Any], Any]


class Estimated(NamedTuple):
    """A divergence from Monte Carlo, in nats."""

    value: float
    """The estimate."""
    standard_error: float
    """Its standard error."""


class NormalFit(NamedTuple):
    """A normal distribution in place of a density on a line."""

    mean: float
    """Its mean."""
    sd: float
    """Its standard deviation."""
    divergence: float
    """How far it is from the density, in the sense in which it was fitted, in nats."""


def kl_normal(mean_q: ArrayLike, covariance_q: Any, mean_p: ArrayLike, covariance_p: Any) -> float:
    r"""KL(q‖p) between normal distributions in d dimensions.

    .. math:: \tfrac12 \bigl(\operatorname{tr}(\Sigma_p^{-1} \Sigma_q)
              + (m_p - m_q)^\top \Sigma_p^{-1} (m_p - m_q) - d + \log |\Sigma_p| / |\Sigma_q|\bigr)

    Args:
        mean_q: the mean of q, a number or of shape (d,).
        covariance_q: the covariance of q, shape (d, d), or the variance for d = 1.
        mean_p: the mean of p.
        covariance_p: the covariance of p.

    Raises:
        ValueError: where shapes disagree, or a covariance is not symmetric positive definite.
    """
    m_q = checks.finite_array("mean_q", np.atleast_1d(mean_q), ndim=1)
    m_p = checks.finite_array("mean_p", np.atleast_1d(mean_p), ndim=1)
    d = checks.same_length(mean_q=m_q, mean_p=m_p)
    root_q = covariance_root("covariance_q", np.atleast_2d(covariance_q), d)
    root_p = covariance_root("covariance_p", np.atleast_2d(covariance_p), d)
    ratio, shift = np.linalg.solve(root_p, root_q), np.linalg.solve(root_p, m_p - m_q)
    log_det = np.log(np.diag(root_p)).sum() - np.log(np.diag(root_q)).sum()
    return float(0.5 * (np.sum(ratio**2) + shift @ shift - d) + log_det)


def kl_bernoulli(q: float, p: float) -> float:
    """KL between coins that fall on heads with probabilities q and p; infinite where p rules out
    what q admits."""
    q, p = checks.probability("q", q), checks.probability("p", p)
    return float(rel_entr(q, p) + rel_entr(1 - q, 1 - p))


def kl_categorical(q: ArrayLike, p: ArrayLike) -> float:
    """KL = Σ q log(q/p) between probabilities over the same outcomes, 0 log 0 being 0.

    Raises:
        ValueError: where lengths differ, an entry is negative, or a sum is not 1.
    """
    q, p = _probabilities("q", q), _probabilities("p", p)
    checks.same_length(q=q, p=p)
    return float(rel_entr(q, p).sum())


def kl_gamma(shape_q: float, rate_q: float, shape_p: float, rate_p: float) -> float:
    r"""KL between gamma distributions with shape a and rate b.

    .. math:: (a_q - a_p)\, \psi(a_q) - \log\Gamma(a_q) + \log\Gamma(a_p)
              + a_p \log(b_q / b_p) + a_q (b_p - b_q) / b_q
    """
    a, b = checks.positive("shape_q", shape_q), checks.positive("rate_q", rate_q)
    c, d = checks.positive("shape_p", shape_p), checks.positive("rate_p", rate_p)
    shapes = (a - c) * digamma(a) - gammaln(a) + gammaln(c)
    return float(shapes + c * (np.log(b) - np.log(d)) + a * (d / b - 1))


def kl_beta(a_q: float, b_q: float, a_p: float, b_p: float) -> float:
    r"""KL between beta distributions.

    .. math:: \log\frac{B(a_p, b_p)}{B(a_q, b_q)} + (a_q - a_p) \psi(a_q) + (b_q - b_p) \psi(b_q)
              + (a_p + b_p - a_q - b_q) \psi(a_q + b_q)
    """
    a, b = checks.positive("a_q", a_q), checks.positive("b_q", b_q)
    c, d = checks.positive("a_p", a_p), checks.positive("b_p", b_p)
    shapes = (a - c) * digamma(a) + (b - d) * digamma(b) + (c + d - a - b) * digamma(a + b)
    return float(special.betaln(c, d) - special.betaln(a, b) + shapes)


def kl_monte_carlo(
    rng_key: jax.Array,
    sample_q: Callable[[jax.Array, int], Any],
    log_q: Density,
    log_p: Density,
    num_draws: int,
) -> Estimated:
    r"""KL(q‖p) for any pair that can be evaluated, by draws from q.

    .. math:: \frac1S \sum_s \bigl(\log q(x_s) - \log p(x_s)\bigr),\quad x_s \sim q

    For KL(p‖q) exchange them. Unbiased if both densities are normalised; the error is not to be
    trusted where log p falls much faster than log q, as it then rests on a few draws.

    Args:
        rng_key: a JAX key.
        sample_q: from a key and a number to that many draws, along the first axis.
        log_q: the log density of q, of all draws at once.
        log_p: the same of p. −∞ at a draw makes the divergence infinite.
        num_draws: at least 2.

    Raises:
        ValueError: where log densities have a wrong shape, q is zero at its own draws, or a log
            density is NaN or +∞.
    """
    num_draws = checks.at_least("num_draws", num_draws, 2)
    draws = sample_q(rng_key, num_draws)
    q, p = (np.asarray(f(draws), dtype=np.float64) for f in (log_q, log_p))
    for name, value in (("log_q", q), ("log_p", p)):
        if value.shape != (num_draws,):
            raise checks.fail(name, f"a function to shape ({num_draws},)", value.shape)
        if np.isnan(value).any() or (value == np.inf).any():
            raise ValueError(f"{name} must be below +∞ and not NaN, got {value[~(value < np.inf)]}")
    checks.finite_array("log_q", q)
    if np.isneginf(p).any():
        return Estimated(np.inf, np.nan)
    terms = q - p
    return Estimated(float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(num_draws)))


def kl_grid(x: ArrayLike, log_q: ArrayLike, log_p: ArrayLike) -> float:
    """KL(q‖p) between densities on a line, by the trapezium rule on a grid.

    Both are normalised on the grid first, so it must hold nearly all of each.

    Args:
        x: the grid, increasing, shape (n,).
        log_q: the log density of q at each point, up to a constant; −∞ is admitted.
        log_p: the same of p.

    Raises:
        ValueError: where lengths differ, x does not increase, or a density is NaN, +∞ or nowhere
            positive.
    """
    grid = _grid(x)
    q, p = _normalised("log_q", grid, log_q), _normalised("log_p", grid, log_p)
    with np.errstate(invalid="ignore"):
        integrand = np.where(np.isneginf(q), 0.0, np.exp(q) * (q - p))
    return float(np.trapezoid(integrand, grid))


def mode_seeking(x: ArrayLike, log_p: ArrayLike, num_starts: int = 12) -> tuple[NormalFit, ...]:
    """The normals q at which KL(q‖p) has a minimum, the least first: often one for each mode of p.

    This is the divergence that variational inference minimises. The search starts at several
    points of the grid, and at p's own mean and standard deviation; the grid must hold q as well
    as p.

    Args:
        x: the grid, increasing, shape (n,).
        log_p: the log density of p there, up to a constant and finite.
        num_starts: places to start from, spread over p's quantiles.

    Returns:
        The distinct minima.
    """
    grid = _grid(x)
    p = _normalised("log_p", grid, log_p)
    checks.finite_array("log_p", p)
    mass = np.cumsum(np.exp(p) * np.gradient(grid))
    levels = (np.arange(checks.at_least("num_starts", num_starts, 1)) + 0.5) / num_starts
    centres = np.interp(levels, mass / mass[-1], grid)
    cover = mass_covering(grid, p)
    spread = cover.sd
    starts = [(centre, spread / 4) for centre in centres]
    # Where p is one wide hump, narrow starts may all end in its ripples.
    starts.append((cover.mean, cover.sd))
    found = [_minimum(grid, p, centre, sd) for centre, sd in starts]
    distinct: list[NormalFit] = []
    for fit in sorted((f for f in found if f), key=lambda f: f.divergence):
        if all(abs(fit.mean - f.mean) + abs(fit.sd - f.sd) > 1e-3 * spread for f in distinct):
            distinct.append(fit)
    return tuple(distinct)


def mass_covering(x: ArrayLike, log_p: ArrayLike) -> NormalFit:
    """The normal q that minimises KL(p‖q): the one with p's own mean and standard deviation.

    For an exponential family the nearest member in this sense matches p's moments (Bishop 2006,
    10.7), and covers all of p at the price of putting mass where p has little.

    Args:
        x: the grid, increasing, shape (n,).
        log_p: the log density of p there, up to a constant.
    """
    grid = _grid(x)
    p = _normalised("log_p", grid, log_p)
    mean = np.trapezoid(np.exp(p) * grid, grid)
    sd = np.sqrt(np.trapezoid(np.exp(p) * (grid - mean) ** 2, grid))
    return NormalFit(float(mean), float(sd), kl_grid(grid, p, _log_normal(grid, mean, sd)))


def _minimum(
    grid: Float[np.ndarray, " n"], p: Float[np.ndarray, " n"], centre: float, sd: float
) -> NormalFit | None:
    def divergence(state: Float[np.ndarray, " 2"]) -> float:
        log_q = _log_normal(grid, centre + sd * state[0], sd * np.exp(state[1]))
        # Not normalised on the grid: q must not gain by leaving it.
        return float(np.trapezoid(np.exp(log_q) * (log_q - p), grid)) - float(
            np.log(np.trapezoid(np.exp(log_q), grid) + 1e-300)
        )

    options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 2000}
    found = optimize.minimize(divergence, np.zeros(2), method="Nelder-Mead", options=options)
    mean, scale = float(centre + sd * found.x[0]), float(sd * np.exp(found.x[1]))
    step = float(np.diff(grid).max())
    inside = grid[0] + 3 * scale < mean < grid[-1] - 3 * scale and scale > 2 * step
    if not (found.success and inside):
        return None
    return NormalFit(mean, scale, kl_grid(grid, _log_normal(grid, mean, scale), p))


def _log_normal(x: Float[np.ndarray, " n"], mean: float, sd: float) -> Float[np.ndarray, " n"]:
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * LOG_TWO_PI


def _grid(x: ArrayLike) -> Float[np.ndarray, " n"]:
    grid = checks.finite_array("x", x, ndim=1, min_size=3)
    if not (np.diff(grid) > 0).all():
        raise checks.fail("x", "increasing", grid)
    return grid


def _normalised(
    name: str, grid: Float[np.ndarray, " n"], log_density: ArrayLike
) -> Float[np.ndarray, " n"]:
    logs = np.asarray(log_density, dtype=np.float64)
    if logs.shape != grid.shape:
        raise checks.fail(name, f"of shape {grid.shape}, as x", logs.shape)
    checks.finite_array(name, np.where(np.isneginf(logs), 0.0, logs))
    top = logs.max()
    if np.isneginf(top):
        raise checks.fail(name, "above −∞ somewhere on the grid", logs)
    return logs - top - np.log(np.trapezoid(np.exp(logs - top), grid))


def _probabilities(name: str, value: ArrayLike) -> Float[np.ndarray, " k"]:
    array = checks.finite_array(name, value, ndim=1)
    if (array < 0).any() or abs(array.sum() - 1) > 1e-8:
        raise checks.fail(name, "probabilities that sum to 1", array)
    return array
