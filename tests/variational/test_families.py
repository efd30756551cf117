"""Each family is one distribution, whichever way it is asked; the mean-field optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bnnbook.variational import families
from bnnbook.variational.divergences import kl_normal
from bnnbook.variational.families import FullRank, LowRank, MeanField

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(3)
MEAN = np.array([1.0, -2.0, 0.5])
LOG_SD = np.array([0.3, -1.0, 0.0])
ROOT = np.array([[1.0, 0, 0], [0.4, 0.8, 0], [-0.2, 0.3, 1.5]])
FACTOR = np.array([[1.0, 0.2], [-0.4, 0.3], [0.0, 2.0]])
STATES = [
    (families.mean_field, MeanField(MEAN, LOG_SD)),
    (families.full_rank, FullRank(MEAN, ROOT)),
    (families.low_rank(2), LowRank(MEAN, LOG_SD, FACTOR)),
]
ALL = pytest.mark.parametrize(("family", "params"), STATES, ids=[f.name for f, _ in STATES])


@ALL
def test_density_entropy_and_draws_belong_to_one_normal(family, params):
    covariance = np.asarray(family.covariance(params))
    exact = stats.multivariate_normal(np.asarray(params.mean), covariance)
    n = 20_000
    x = np.asarray(family.sample(KEY, params, n))
    log_q = np.asarray(jax.vmap(family.log_prob, (None, 0))(params, x))
    np.testing.assert_allclose(log_q, exact.logpdf(x), rtol=1e-10, atol=1e-10)
    assert float(family.entropy(params)) == pytest.approx(exact.entropy(), abs=1e-10)
    z = np.linalg.solve(np.linalg.cholesky(covariance), (x - np.asarray(params.mean)).T)
    # Sums of squares of n normals, and products of two: both of known spread.
    assert np.abs(z.mean(axis=1)).max() < 4 / np.sqrt(n)
    assert np.abs(z @ z.T / n - np.eye(3)).max() < 4 * np.sqrt(2 / n)
    # Mutation: an sd that is 5 % off.
    assert np.abs((1.05 * z) @ (1.05 * z).T / n - np.eye(3)).max() > 4 * np.sqrt(2 / n)


@ALL
def test_a_step_is_measured_in_standard_deviations(family, params):
    """Scaling the coordinates and moving commute: steps have no units."""
    units = jnp.array([1e3, 1e-3, 7.0])
    scaled = {
        "mean field": lambda p: MeanField(units * p.mean, p.log_sd + jnp.log(units)),
        "full rank": lambda p: FullRank(units * p.mean, units[:, None] * p.root),
        "low rank 2": lambda p: LowRank(
            units * p.mean, p.log_sd + jnp.log(units), units[:, None] * p.factor
        ),
    }[family.name]
    step = jax.tree.map(lambda leaf: 0.1 + 0.05 * jnp.arange(leaf.size).reshape(leaf.shape), params)
    first, then = family.move(scaled(params), step), scaled(family.move(params, step))
    for a, b in zip(first, then, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    still = family.move(params, jax.tree.map(jnp.zeros_like, params))
    for a, b in zip(still, params, strict=True):
        np.testing.assert_array_equal(a, b)


def test_moves_keep_a_root_triangular_and_positive():
    params = families.full_rank.init(MEAN, jnp.exp(LOG_SD))
    for i in range(5):
        step = FullRank(MEAN, jax.random.normal(jax.random.key(i), (3, 3)))
        params = families.full_rank.move(params, step)
    assert (np.diag(params.root) > 0).all()
    np.testing.assert_array_equal(params.root, np.tril(params.root))


@pytest.mark.parametrize("family", [families.mean_field, families.full_rank, families.low_rank(1)])
def test_a_start_has_the_given_moments(family):
    params = family.init(MEAN, jnp.exp(LOG_SD))
    sd = np.sqrt(np.diag(family.covariance(params)))
    np.testing.assert_allclose(sd, np.exp(LOG_SD), rtol=0.1)
    assert family.sample(KEY, params, 4).shape == (4, 3)


def test_low_rank_is_one_family_a_rank():
    assert families.low_rank(3) is families.low_rank(3)
    with pytest.raises(ValueError, match="rank must be a whole number of at least 1, got 0"):
        families.low_rank(0)


def test_the_mean_field_optimum_is_nearest_among_independent_normals():
    covariance = np.asarray(ROOT @ ROOT.T)
    found = families.mean_field_optimum(MEAN, covariance)
    np.testing.assert_allclose(found.sd, 1 / np.sqrt(np.diag(np.linalg.inv(covariance))))

    def divergence(sd):
        return kl_normal(found.mean, np.diag(sd**2), MEAN, covariance)

    least = divergence(found.sd)
    for i in range(3):
        for factor in (0.99, 1.01):
            assert divergence(found.sd * np.where(np.arange(3) == i, factor, 1)) > least
    # Mutation: the marginal standard deviations are farther.
    assert divergence(np.sqrt(np.diag(covariance))) > least + 0.01


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.eye(2), r"covariance must be of shape \(3, 3\)"),
        (-np.eye(3), "covariance must be positive definite"),
        (np.eye(3) + np.triu(np.ones((3, 3)), 1), "covariance must be symmetric"),
    ],
)
def test_bad_covariances_are_named(covariance, message):
    with pytest.raises(ValueError, match=message):
        families.mean_field_optimum(MEAN, covariance)
