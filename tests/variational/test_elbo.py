"""Gradients of the ELBO: unbiased against closed forms, with variances in theory's order."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from bnnbook.exact import conjugate_linear
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.variational import elbo, families
from bnnbook.variational.divergences import kl_normal
from bnnbook.variational.elbo import ESTIMATORS
from bnnbook.variational.families import FullRank, LowRank, MeanField

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(5)
NUM_REPEATS, NUM_DRAWS = 4000, 8
X = np.column_stack([np.ones(12), np.linspace(-1, 2, 12)])
Y = X @ [1.0, 2.0] + np.random.default_rng(0).normal(0, 0.7, 12)
PRIOR = NormalCoefficients.from_covariance(np.zeros(2), np.diag([4.0, 1.0]))
POSTERIOR = conjugate_linear.update(PRIOR, X, Y, 0.7)
LOG_EVIDENCE = conjugate_linear.log_evidence(PRIOR, X, Y, 0.7)
PRECISION = np.linalg.inv(POSTERIOR.covariance)
AWAY = {
    "mean field": (
        families.mean_field,
        MeanField(POSTERIOR.mean + np.array([0.2, -0.1]), np.array([-1.0, -2.0])),
    ),
    "full rank": (
        families.full_rank,
        FullRank(POSTERIOR.mean + np.array([0.2, -0.1]), np.array([[0.3, 0.0], [-0.1, 0.2]])),
    ),
    "low rank": (
        families.low_rank(1),
        LowRank(
            POSTERIOR.mean + np.array([0.2, -0.1]),
            np.array([-1.5, -2.0]),
            np.array([[0.2], [-0.1]]),
        ),
    ),
}


WITH_LOW_RANK = ("leave one out", "sticking the landing")


def log_joint(b):
    """Conjugate regression: log p(y, b), normalised."""
    prior = -0.5 * (b[0] ** 2 / 4 + b[1] ** 2 + jnp.log(4.0)) - jnp.log(2 * jnp.pi)
    z = (Y - X @ b) / 0.7
    return prior - 0.5 * z @ z - 12 * (jnp.log(0.7) + 0.5 * jnp.log(2 * jnp.pi))


def exact_elbo(family, params):
    """log evidence − KL(q‖posterior), differentiable in the state."""
    covariance, shift = family.covariance(params), params.mean - POSTERIOR.mean
    square = jnp.trace(PRECISION @ covariance) + shift @ PRECISION @ shift - 2
    log_det = jnp.linalg.slogdet(POSTERIOR.covariance)[1] - jnp.linalg.slogdet(covariance)[1]
    return LOG_EVIDENCE - 0.5 * (square + log_det)


def gradients(estimator, family, params, log_density=log_joint, num_draws=NUM_DRAWS):
    """Repeated estimates, a row a repetition, all entries of the state flat; and ELBOs."""

    @jax.jit
    @jax.vmap
    def one(key):
        estimate = estimator(key, log_density, family, params, num_draws)
        return ravel_pytree(estimate.gradient)[0], estimate.terms.mean()

    return jax.tree.map(np.asarray, one(jax.random.split(KEY, NUM_REPEATS)))


@cache
def of_guide(name, guide):
    return gradients(ESTIMATORS[name], *AWAY[guide])


def z_scores(found, exact):
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    # An entry without any variance must be right but for rounding.
    return (found.mean(axis=0) - exact) / np.maximum(error, 1e-9)


@pytest.mark.parametrize(
    ("name", "guide"),
    [(n, g) for n in ESTIMATORS for g in AWAY if g != "low rank" or n in WITH_LOW_RANK],
)
def test_estimators_are_unbiased(name, guide):
    family, params = AWAY[guide]
    exact = jax.grad(lambda p: exact_elbo(family, p))(params)
    exact = np.asarray(ravel_pytree(exact)[0])
    found, values = of_guide(name, guide)
    if guide == "full rank":  # the unused upper triangle is no parameter
        used = np.array([True, True, True, False, True, True])
        found, exact = found[:, used], exact[used]
    assert np.abs(z_scores(found, exact)).max() < 4.5
    assert abs(z_scores(values, float(exact_elbo(family, params)))) < 4.5
    # Mutation: a gradient that is a fifth too long; bare scores are too noisy to tell so little.
    factor = 3 if name == "score function" else 1.2
    assert np.abs(z_scores(factor * found, exact)).max() > 4.5


def test_a_baseline_or_coefficient_from_the_same_draws_is_biased():
    """Mutation of both control variates: with few draws their own luck shows."""
    family, params = AWAY["mean field"]
    exact = jax.grad(lambda p: exact_elbo(family, p))(params)
    exact = np.asarray(ravel_pytree(exact)[0])

    def own_mean(rng_key, log_density, family, params, num_draws):
        x = jax.lax.stop_gradient(family.sample(rng_key, params, num_draws))
        terms = elbo._log_ratios(log_density, family, params, x)
        weights = (terms - terms.mean()) / num_draws
        return elbo.Estimate(terms, elbo._weighted_score(family, params, x, weights))

    found, _ = gradients(own_mean, family, params, num_draws=2)
    assert np.abs(z_scores(found, exact)).max() > 4.5
    found, _ = gradients(ESTIMATORS["leave one out"], family, params, num_draws=2)
    assert np.abs(z_scores(found, exact)).max() < 4.5


def test_forgetting_a_score_is_biased_where_draws_carry_no_gradient():
    """Mutation: stopping the gradient of the draws leaves the mean score alone, which is zero."""
    family, params = AWAY["mean field"]

    def stopped(rng_key, log_density, family, params, num_draws):
        fixed = family._replace(sample=lambda *a: jax.lax.stop_gradient(family.sample(*a)))
        return elbo.reparameterised(rng_key, log_density, fixed, params, num_draws)

    found, _ = gradients(stopped, family, params)
    assert np.abs(z_scores(found, 0.0)).max() < 4.5


def total_variance(found):
    return found.var(axis=0, ddof=1).sum()


@pytest.mark.parametrize("guide", ["mean field", "full rank"])
def test_variances_are_ordered(guide):
    spread = {name: total_variance(of_guide(name, guide)[0]) for name in ESTIMATORS}
    assert spread["score function"] > 2 * spread["leave one out"]
    assert spread["score function"] > 2 * spread["control variate"]
    assert min(spread["leave one out"], spread["control variate"]) > 1.5 * spread["reparameterised"]


def test_only_sticking_the_landing_has_no_noise_at_the_optimum():
    params = FullRank(POSTERIOR.mean, np.linalg.cholesky(POSTERIOR.covariance))
    family = families.full_rank
    landed, values = gradients(ESTIMATORS["sticking the landing"], family, params)
    assert np.abs(landed).max() < 1e-9
    np.testing.assert_allclose(values, LOG_EVIDENCE, rtol=1e-12)
    assert total_variance(gradients(ESTIMATORS["reparameterised"], family, params)[0]) > 0.1
    # The signal is constant there, so a baseline too leaves nothing, and the bare score does not.
    assert np.abs(gradients(ESTIMATORS["leave one out"], family, params)[0]).max() < 1e-9
    assert total_variance(gradients(ESTIMATORS["score function"], family, params)[0]) > 0.1


def test_variances_fall_as_one_over_the_number_of_draws():
    family, params = AWAY["mean field"]
    for name in ("score function", "reparameterised"):
        few, many = (
            total_variance(gradients(ESTIMATORS[name], family, params, num_draws=n)[0])
            for n in (4, 16)
        )
        assert few / many == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("guide", AWAY)
def test_the_elbo_is_the_evidence_less_the_divergence(guide):
    family, params = AWAY[guide]
    found = elbo.elbo(KEY, log_joint, family, params, 20_000)
    divergence = kl_normal(
        params.mean, np.asarray(family.covariance(params)), POSTERIOR.mean, POSTERIOR.covariance
    )
    assert abs(found.value - (LOG_EVIDENCE - divergence)) < 4 * found.standard_error
    # Mutation: the divergence the other way round.
    other = kl_normal(
        POSTERIOR.mean, POSTERIOR.covariance, params.mean, np.asarray(family.covariance(params))
    )
    assert abs(found.value - (LOG_EVIDENCE - other)) > 4 * found.standard_error
    negative = elbo.negative_elbo(KEY, log_joint, family, params, 20_000)
    assert float(negative) == pytest.approx(-float(found.value))


def test_the_gradient_of_the_negative_elbo_points_the_other_way():
    family, params = AWAY["mean field"]
    gradient = jax.grad(lambda p: elbo.negative_elbo(KEY, log_joint, family, p, NUM_DRAWS))(params)
    uphill = elbo.reparameterised(KEY, log_joint, family, params, NUM_DRAWS).gradient
    for a, b in zip(gradient, uphill, strict=True):
        np.testing.assert_allclose(a, -b)


def test_score_functions_need_no_gradient_of_the_density():
    """A density made of steps has no slope anywhere, so that draws' paths tell nothing."""
    params = MeanField(np.array([0.0]), np.array([0.0]))

    def steps(x):
        return jnp.floor(2 * x[0]) - 0.5 * x[0] ** 2

    score, _ = gradients(ESTIMATORS["leave one out"], families.mean_field, params, steps)
    paths, _ = gradients(ESTIMATORS["reparameterised"], families.mean_field, params, steps)
    # E floor(2x) moves with the mean of x at a rate of 2, nearly.
    assert score.mean(axis=0)[0] == pytest.approx(2, abs=0.2)
    assert paths.mean(axis=0)[0] == pytest.approx(0, abs=0.1)
