r"""Families of normal distributions from which variational inference picks the nearest.

.. math:: x = m + L z,\quad z \sim N(0, I)

Mean field: L is diagonal, every parameter independent of the others. Full rank: L is any lower
triangle with a positive diagonal. Low rank: the covariance is diagonal plus F Fᵀ with few columns.
A family is a record of functions and a state is a ``NamedTuple`` of arrays, so that all of it can
be differentiated, compiled and vectorised. Chapter "Variational inference" introduces them.

States are moved by steps measured in the distribution's own standard deviations: the mean becomes
m + L δ, and L is multiplied by a triangle near the identity whose diagonal is exp(δ), so that it
stays positive. The gradient with respect to δ has no units, and one step size serves targets of any
scale (local parameterisations: Lin, Nielsen, Khan and Schmidt 2021).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

from bnnbook import checks

LOG_TWO_PI = float(np.log(2 * np.pi))
Params = Any


class Family(NamedTuple):
    """What can be asked of every family; ``params`` is a state of that family."""

    name: str
    """What it is called in records."""
    init: Callable[[Any, Any], Params]
    """From means and standard deviations, shape (d,): the state without correlations."""
    sample: Callable[[Any, Params, int], Any]
    """From a key, a state and a number n: draws of shape (n, d), differentiable in the state."""
    log_prob: Callable[[Params, Any], Any]
    """The log density of a state at one vector, shape (d,)."""
    entropy: Callable[[Params], Any]
    """−E log q, in nats."""
    covariance: Callable[[Params], Any]
    """Shape (d, d)."""
    move: Callable[[Params, Params], Params]
    """The state after a step, a tuple like the state but measured in standard deviations."""


class MeanField(NamedTuple):
    """Independent normals."""

    mean: Float[Array, " d"]
    """The means."""
    log_sd: Float[Array, " d"]
    """Logs of the standard deviations."""


class FullRank(NamedTuple):
    """A normal distribution with any covariance."""

    mean: Float[Array, " d"]
    """The mean."""
    root: Float[Array, "d d"]
    """Lower triangular L with a positive diagonal; L Lᵀ is the covariance."""


class LowRank(NamedTuple):
    """A normal distribution whose covariance is diagonal plus a matrix of low rank."""

    mean: Float[Array, " d"]
    """The mean."""
    log_sd: Float[Array, " d"]
    """Half the logs of the diagonal part."""
    factor: Float[Array, "d rank"]
    """F, whose product F Fᵀ is the rest."""


def _mean_field_sample(rng_key: Array, params: MeanField, n: int) -> Float[Array, "n d"]:
    z = jax.random.normal(rng_key, (n, *params.mean.shape), params.mean.dtype)
    return params.mean[None] + jnp.exp(params.log_sd)[None] * z


def _mean_field_log_prob(params: MeanField, x: Float[Array, " d"]) -> Float[Array, ""]:
    z = (x - params.mean) * jnp.exp(-params.log_sd)
    return -jnp.sum(0.5 * z**2 + params.log_sd + 0.5 * LOG_TWO_PI)


mean_field = Family(
    name="mean field",
    init=lambda mean, sd: MeanField(mean, jnp.log(sd)),
    sample=_mean_field_sample,
    log_prob=_mean_field_log_prob,
    entropy=lambda params: jnp.sum(params.log_sd + 0.5 * (1 + LOG_TWO_PI)),
    covariance=lambda params: jnp.diag(jnp.exp(2 * params.log_sd)),
    move=lambda params, step: MeanField(
        params.mean + jnp.exp(params.log_sd) * step.mean, params.log_sd + step.log_sd
    ),
)
"""Independent normals, state :class:`MeanField`."""


def _full_rank_sample(rng_key: Array, params: FullRank, n: int) -> Float[Array, "n d"]:
    z = jax.random.normal(rng_key, (n, *params.mean.shape), params.mean.dtype)
    return params.mean[None] + z @ params.root.T


def _full_rank_log_prob(params: FullRank, x: Float[Array, " d"]) -> Float[Array, ""]:
    z = solve_triangular(params.root, x - params.mean, lower=True)
    return -jnp.sum(0.5 * z**2 + jnp.log(jnp.diag(params.root)) + 0.5 * LOG_TWO_PI)


def _full_rank_entropy(params: FullRank) -> Float[Array, ""]:
    return jnp.sum(jnp.log(jnp.diag(params.root)) + 0.5 * (1 + LOG_TWO_PI))


def _full_rank_move(params: FullRank, step: FullRank) -> FullRank:
    # The product of lower triangles with positive diagonals is another one.
    factor = jnp.tril(step.root, -1) + jnp.diag(jnp.exp(jnp.diag(step.root)))
    return FullRank(params.mean + params.root @ step.mean, params.root @ factor)


full_rank = Family(
    name="full rank",
    init=lambda mean, sd: FullRank(mean, jnp.diag(sd)),
    sample=_full_rank_sample,
    log_prob=_full_rank_log_prob,
    entropy=_full_rank_entropy,
    covariance=lambda params: params.root @ params.root.T,
    move=_full_rank_move,
)
"""Normals with any covariance, state :class:`FullRank`."""


def _low_rank_sample(rng_key: Array, params: LowRank, n: int) -> Float[Array, "n d"]:
    d, rank = params.factor.shape
    z = jax.random.normal(rng_key, (n, d + rank), params.mean.dtype)
    own, shared = z[:, :d], z[:, d:]
    return params.mean[None] + jnp.exp(params.log_sd)[None] * own + shared @ params.factor.T


def _low_rank_log_prob(params: LowRank, x: Float[Array, " d"]) -> Float[Array, ""]:
    """By Woodbury's identity: a system of the rank's size is solved, not of the dimension's."""
    z = (x - params.mean) * jnp.exp(-params.log_sd)
    scaled, root = _capacitance(params)
    inner = scaled.T @ z
    square = z @ z - inner @ cho_solve((root, True), inner)
    return -0.5 * (square + len(z) * LOG_TWO_PI) - _low_rank_half_log_det(params, root)


def _low_rank_entropy(params: LowRank) -> Float[Array, ""]:
    _, root = _capacitance(params)
    d = len(params.mean)
    return 0.5 * d * (1 + LOG_TWO_PI) + _low_rank_half_log_det(params, root)


def _capacitance(params: LowRank) -> tuple[Float[Array, "d rank"], Float[Array, "rank rank"]]:
    scaled = jnp.exp(-params.log_sd)[:, None] * params.factor
    return scaled, jnp.linalg.cholesky(jnp.eye(scaled.shape[1]) + scaled.T @ scaled)


def _low_rank_half_log_det(params: LowRank, root: Float[Array, "rank rank"]) -> Float[Array, ""]:
    return jnp.sum(params.log_sd) + jnp.sum(jnp.log(jnp.diag(root)))


def _low_rank_covariance(params: LowRank) -> Float[Array, "d d"]:
    return jnp.diag(jnp.exp(2 * params.log_sd)) + params.factor @ params.factor.T


def _low_rank_move(params: LowRank, step: LowRank) -> LowRank:
    sd = jnp.sqrt(jnp.exp(2 * params.log_sd) + jnp.sum(params.factor**2, axis=1))
    return LowRank(
        params.mean + sd * step.mean,
        params.log_sd + step.log_sd,
        params.factor + sd[:, None] * step.factor,
    )


@lru_cache
def low_rank(rank: int) -> Family:
    """Normals with a covariance of diagonal plus low rank, state :class:`LowRank`.

    Args:
        rank: the number of columns of F, at least 1.
    """
    rank = checks.at_least("rank", rank, 1)

    def init(mean: Any, sd: Any) -> LowRank:
        # At F = 0 its gradient is zero, so it starts small, and with columns that differ.
        sd = jnp.asarray(sd)
        direction = jax.random.normal(jax.random.key(0), (len(sd), rank), sd.dtype)
        return LowRank(mean, jnp.log(sd), 0.1 * sd[:, None] * direction)

    return Family(
        name=f"low rank {rank}",
        init=init,
        sample=_low_rank_sample,
        log_prob=_low_rank_log_prob,
        entropy=_low_rank_entropy,
        covariance=_low_rank_covariance,
        move=_low_rank_move,
    )


class Moments(NamedTuple):
    """Mean and standard deviation of each coordinate."""

    mean: Float[np.ndarray, " d"]
    """The means."""
    sd: Float[np.ndarray, " d"]
    """The standard deviations."""


def mean_field_optimum(mean: Any, covariance: Any) -> Moments:
    r"""The independent normals nearest to a normal distribution N(μ, Σ), in KL(q‖p).

    .. math:: m_i = \mu_i,\qquad s_i = 1 / \sqrt{\Lambda_{ii}} \le \sqrt{\Sigma_{ii}},
              \quad \Lambda = \Sigma^{-1}

    The conditional standard deviation of each coordinate given all the others, and not the marginal
    one: the means are right and the widths too small (Bishop 2006, 10.1.2; Turner and Sahani 2011).

    Args:
        mean: the mean μ, shape (d,).
        covariance: the covariance Σ, shape (d, d), symmetric and positive definite.

    Raises:
        ValueError: where shapes disagree or Σ is not symmetric and positive definite.
    """
    m = checks.finite_array("mean", mean, ndim=1)
    root = covariance_root("covariance", covariance, len(m))
    inverse_root = np.linalg.inv(root)
    return Moments(m, 1 / np.sqrt(np.sum(inverse_root**2, axis=0)))


def covariance_root(name: str, covariance: Any, dimension: int) -> Float[np.ndarray, "d d"]:
    """The lower triangular root of a covariance matrix, or an error that names the argument."""
    matrix = checks.finite_array(name, covariance, ndim=2)
    if matrix.shape != (dimension, dimension):
        raise checks.fail(name, f"of shape ({dimension}, {dimension})", matrix.shape)
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-12 * np.abs(matrix).max()):
        raise checks.fail(name, "symmetric", matrix)
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise checks.fail(name, "positive definite", matrix) from None
