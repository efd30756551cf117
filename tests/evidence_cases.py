"""Targets whose evidence is known, for the tests of the estimators, and the test of z-scores."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from scipy import integrate, special, stats

from bnnbook.evidence.target import Target

LEVEL = 1e-5
"""Chance that a right method fails one of the three tests of its z-scores."""


class Case(NamedTuple):
    """A target, its log evidence, and exact draws from its posterior."""

    target: Target
    exact: float
    draws: Callable[..., Any] | None = None


def looks_standard_normal(z: Any) -> bool:
    """Whether mean, variance and distribution of z-scores pass at ``LEVEL``, two-sided, each.

    Under the law the mean is N(0, 1/√n), (n - 1) times the variance is chi-square with n - 1
    degrees of freedom, and the Kolmogorov-Smirnov distance has its own distribution.
    """
    z, n = np.asarray(z), len(z)
    tail = stats.chi2.cdf((n - 1) * z.var(ddof=1), n - 1)
    of_mean = 2 * stats.norm.sf(abs(z.mean()) * np.sqrt(n))
    return min(of_mean, 2 * min(tail, 1 - tail), stats.kstest(z, "norm").pvalue) > LEVEL


def z_scores(runs: Any, exact: float) -> Any:
    """Of several records."""
    return np.array([(run.log_evidence - exact) / run.standard_error for run in runs])


def _names(dimension: int) -> tuple[str, ...]:
    return tuple(f"u{i}" for i in range(dimension))


@functools.cache
def gaussian(dimension: int = 2, noise: float = 1.0, drop: int = 0) -> Case:
    """θ ~ N(0, I), y ~ N(θ, noise I): the evidence is the density of N(0, √(1 + noise²) I) at y.

    ``drop`` leaves so many data out of the likelihood, but not out of the answer: a mutation.
    """
    y = np.resize([0.3, 1.9, -1.2], dimension)
    target = Target(
        lambda u: jnp.sum(norm.logpdf(u)),
        lambda u: jnp.sum(norm.logpdf(y - u, 0.0, noise)[drop:]),
        dimension,
        _names(dimension),
        np.full(dimension, 0.1),
        sample_prior=lambda key: jax.random.normal(key, (dimension,)),
    )
    share = 1 / (1 + noise**2)

    def draws(seed: int, num: int) -> Any:
        z = np.random.default_rng(seed).normal(size=(4, num, dimension))
        return share * y + noise * np.sqrt(share) * z

    return Case(target, float(stats.norm.logpdf(y, scale=np.sqrt(1 / share)).sum()), draws)


@functools.cache
def beta_binomial() -> Case:
    """p ~ Beta(2, 3), 7 of 9: skewed, and bounded but for the logit."""
    a, b, k, n = 2.0, 3.0, 7, 9

    def log_prior(u: Any) -> Any:
        # The Jacobian p (1 - p) raises both powers by one.
        return a * jax.nn.log_sigmoid(u[0]) + b * jax.nn.log_sigmoid(-u[0]) - special.betaln(a, b)

    def log_likelihood(u: Any) -> Any:
        choose = np.log(special.comb(n, k))
        return choose + k * jax.nn.log_sigmoid(u[0]) + (n - k) * jax.nn.log_sigmoid(-u[0])

    def second_of_four(key: jax.Array) -> Any:
        # The second smallest of four uniform numbers: cheaper to compile than JAX's beta.
        return jnp.sort(jax.random.uniform(key, (4,)))[1:2]

    target = Target(
        log_prior,
        log_likelihood,
        1,
        ("logit",),
        np.zeros(1),
        sample_prior=lambda key: jax.scipy.special.logit(second_of_four(key)),
    )
    exact = np.log(special.comb(n, k)) + special.betaln(a + k, b + n - k) - special.betaln(a, b)

    def draws(seed: int, num: int) -> Any:
        rng = np.random.default_rng(seed)
        return special.logit(rng.beta(a + k, b + n - k, size=(4, num, 1)))

    return Case(target, float(exact), draws)


@functools.cache
def bounded() -> Case:
    """θ ~ N(0, 1), three y uniform within 1 of θ: the likelihood is 0 or 1/8."""
    y = np.array([0.2, 0.9, 1.4])
    low, high = y.max() - 1, y.min() + 1
    target = Target(
        lambda u: norm.logpdf(u[0]),
        lambda u: jnp.where((u[0] > low) & (u[0] < high), -3 * jnp.log(2.0), -jnp.inf),
        1,
        ("u",),
        np.array([0.8]),
        sample_prior=lambda key: jax.random.normal(key, (1,)),
    )
    mass = stats.norm.cdf(high) - stats.norm.cdf(low)
    return Case(target, float(np.log(mass) - 3 * np.log(2)))


@functools.cache
def bimodal() -> Case:
    """θ ~ N(0, 3), y = 4 ~ 0.3 N(θ, 1/2) + 0.7 N(-θ, 1/2): two bumps, 16 sds apart."""
    y, sd = 4.0, 0.5
    target = Target(
        lambda u: norm.logpdf(u[0], 0.0, 3.0),
        lambda u: jnp.logaddexp(
            jnp.log(0.3) + norm.logpdf(y, u[0], sd), jnp.log(0.7) + norm.logpdf(y, -u[0], sd)
        ),
        1,
        ("u",),
        np.array([0.5]),
        sample_prior=lambda key: 3 * jax.random.normal(key, (1,)),
    )
    return Case(target, float(stats.norm.logpdf(y, scale=np.hypot(3, sd))))


@functools.cache
def heavy_tailed() -> Case:
    """A Cauchy prior: under it the mean log likelihood is minus infinity."""
    y = 2.0
    target = Target(
        lambda u: -jnp.log(jnp.pi) - jnp.log1p(u[0] ** 2),
        lambda u: norm.logpdf(y, u[0], 0.2),
        1,
        ("u",),
        np.array([0.5]),
        sample_prior=lambda key: jax.random.cauchy(key, (1,)),
    )
    density = lambda u: stats.cauchy.pdf(u) * stats.norm.pdf(y, u, 0.2)  # noqa: E731
    exact = np.log(integrate.quad(density, y - 3, y + 3, epsabs=1e-13)[0])
    return Case(target, float(exact))


@functools.cache
def not_a_number() -> Target:
    """A likelihood that is NaN where no draw from the prior is, but where it leads walkers to."""
    return Target(
        lambda u: norm.logpdf(u[0]),
        lambda u: jnp.where(u[0] > 6, jnp.nan, 100 * u[0]),
        1,
        ("u",),
        np.zeros(1),
        sample_prior=lambda key: jax.random.normal(key, (1,)),
    )
