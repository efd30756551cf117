"""Closed forms against Monte Carlo and grids, and the two senses of the nearest normal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bnnbook.variational import divergences as kl

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(2)
X = np.linspace(-12, 12, 4001)
BUMPS = np.logaddexp(
    np.log(0.6) + stats.norm.logpdf(X, -3, 0.8), np.log(0.4) + stats.norm.logpdf(X, 3, 1.0)
)
M_Q, M_P = np.array([0.3, -1.0, 2.0]), np.array([0.0, 0.5, 1.0])
ROOT = np.array([[1.0, 0, 0], [0.4, 0.8, 0], [-0.2, 0.3, 1.5]])
S_Q, S_P = ROOT @ ROOT.T, np.diag([2.0, 1.0, 3.0])


def by_monte_carlo(q, p, num_draws=200_000):
    rng = np.random.default_rng(0)
    return kl.kl_monte_carlo(
        KEY, lambda _, n: q.rvs(size=n, random_state=rng), q.logpdf, p.logpdf, num_draws
    )


@pytest.mark.parametrize(
    ("exact", "q", "p"),
    [
        (
            kl.kl_normal(M_Q, S_Q, M_P, S_P),
            stats.multivariate_normal(M_Q, S_Q),
            stats.multivariate_normal(M_P, S_P),
        ),
        (
            kl.kl_normal(M_P, S_P, M_Q, S_Q),
            stats.multivariate_normal(M_P, S_P),
            stats.multivariate_normal(M_Q, S_Q),
        ),
        (kl.kl_normal(1.0, 4.0, 0.0, 1.0), stats.norm(1, 2), stats.norm(0, 1)),
        (kl.kl_gamma(3.0, 2.0, 1.5, 1.0), stats.gamma(3, scale=0.5), stats.gamma(1.5)),
        (kl.kl_beta(3.0, 2.0, 1.5, 4.0), stats.beta(3, 2), stats.beta(1.5, 4)),
    ],
)
def test_closed_forms_agree_with_monte_carlo(exact, q, p):
    found = by_monte_carlo(q, p)
    assert abs(found.value - exact) < 4 * found.standard_error
    # Mutation: the other direction is another number.
    assert abs(by_monte_carlo(p, q).value - exact) > 4 * found.standard_error


def test_discrete_forms():
    q, p = np.array([0.5, 0.25, 0.25, 0.0]), np.array([0.25, 0.25, 0.25, 0.25])
    assert kl.kl_categorical(q, p) == pytest.approx(0.5 * np.log(2))
    assert kl.kl_categorical(p, q) == np.inf
    assert kl.kl_bernoulli(0.3, 0.6) == pytest.approx(kl.kl_categorical([0.3, 0.7], [0.6, 0.4]))
    assert kl.kl_bernoulli(0.0, 0.5) == pytest.approx(np.log(2))


def test_a_divergence_is_not_negative_zero_for_equals_and_invariant_to_maps():
    assert kl.kl_normal(M_Q, S_Q, M_Q, S_Q) == pytest.approx(0, abs=1e-12)
    assert kl.kl_gamma(2.0, 3.0, 2.0, 3.0) == pytest.approx(0, abs=1e-12)
    A = np.array([[2.0, 1.0, 0.0], [0.0, 1e3, 0.0], [0.0, 5.0, 1e-3]])
    moved = kl.kl_normal(A @ M_Q, A @ S_Q @ A.T, A @ M_P, A @ S_P @ A.T)
    assert moved == pytest.approx(kl.kl_normal(M_Q, S_Q, M_P, S_P), rel=1e-6)


def test_a_grid_agrees_with_the_closed_form_and_admits_zeros():
    q, p = stats.norm.logpdf(X, 1, 2), stats.norm.logpdf(X, 0, 3)
    exact = kl.kl_normal(1.0, 4.0, 0.0, 9.0)
    wide = np.linspace(-40, 40, 20001)
    found = kl.kl_grid(wide, stats.norm.logpdf(wide, 1, 2), stats.norm.logpdf(wide, 0, 3) + 7.0)
    assert found == pytest.approx(exact, abs=1e-8)
    half = np.where(X < 0, -np.inf, p)
    assert kl.kl_grid(X, half, p) == pytest.approx(np.log(2), abs=1e-2)
    assert kl.kl_grid(X, q, half) == np.inf


def test_one_sense_seeks_a_mode_and_the_other_covers_all():
    minima, cover = kl.mode_seeking(X, BUMPS), kl.mass_covering(X, BUMPS)
    assert [round(fit.mean) for fit in minima[:2]] == [-3, 3]
    assert minima[0].sd == pytest.approx(0.8, abs=0.02)
    # On one bump of weight w, KL(q‖p) is −log w but for the overlap.
    assert minima[0].divergence == pytest.approx(-np.log(0.6), abs=1e-2)
    assert minima[1].divergence == pytest.approx(-np.log(0.4), abs=1e-2)
    assert cover.mean == pytest.approx(0.6 * -3 + 0.4 * 3, abs=1e-6)
    variance = 0.6 * 0.64 + 0.4 * 1.0 + 0.24 * 36
    assert cover.sd == pytest.approx(np.sqrt(variance), abs=1e-6)
    for shift, stretch in ((0.1, 1.0), (0.0, 1.05), (-0.1, 0.95)):
        other = stats.norm.logpdf(X, cover.mean + shift, cover.sd * stretch)
        assert kl.kl_grid(X, BUMPS, other) > cover.divergence
        # Mutation: each is not the nearest in the other's sense.
        near = stats.norm.logpdf(X, minima[0].mean + shift, minima[0].sd * stretch)
        assert kl.kl_grid(X, near, BUMPS) > minima[0].divergence
    assert (
        kl.kl_grid(X, stats.norm.logpdf(X, cover.mean, cover.sd), BUMPS) > 2 * minima[0].divergence
    )


def test_a_wide_minimum_over_ripples_is_found_too():
    """From a quarter of p's spread each search falls into one ripple; from p's own, over all."""
    ripples = stats.norm.logpdf(X, 0, 2) + 1.5 * np.cos(6 * X)
    minima = kl.mode_seeking(X, ripples, num_starts=1)
    wide = max(minima, key=lambda fit: fit.sd)
    assert wide.sd > 1.5
    for shift, stretch in ((0.05, 1.0), (0.0, 1.02), (0.0, 0.98)):
        near = stats.norm.logpdf(X, wide.mean + shift, wide.sd * stretch)
        assert kl.kl_grid(X, near, ripples) > wide.divergence


def test_senses_follow_the_units():
    scaled = kl.mode_seeking(1e3 * X + 50, BUMPS)
    assert scaled[0].mean == pytest.approx(1e3 * kl.mode_seeking(X, BUMPS)[0].mean + 50, rel=1e-5)
    assert scaled[0].divergence == pytest.approx(kl.mode_seeking(X, BUMPS)[0].divergence, abs=1e-8)


def normal(value):
    return lambda _: value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kl.kl_normal([0, 0], np.eye(2), [0], np.eye(2)), "mean_q and mean_p must have"),
        (lambda: kl.kl_normal(0.0, 1.0, 0.0, -1.0), "covariance_p must be positive definite"),
        (
            lambda: kl.kl_normal([0, 0], [[1, 0.5], [0.2, 1]], [0, 0], np.eye(2)),
            "covariance_q must be symmetric",
        ),
        (lambda: kl.kl_bernoulli(1.1, 0.5), "q must be a probability"),
        (lambda: kl.kl_categorical([0.5, 0.6], [0.5, 0.5]), "q must be probabilities that sum"),
        (lambda: kl.kl_categorical([1.0], [0.5, 0.5]), "q and p must have the same length"),
        (lambda: kl.kl_gamma(1.0, 0.0, 1.0, 1.0), "rate_q must be positive"),
        (lambda: kl.kl_beta(1.0, 1.0, np.nan, 1.0), "a_p must be positive"),
        (lambda: kl.kl_grid([0, 2, 1], [0, 0, 0], [0, 0, 0]), "x must be increasing"),
        (lambda: kl.kl_grid([0, 1, 2], [0, 0], [0, 0, 0]), "log_q must be of shape"),
        (lambda: kl.kl_grid([0, 1, 2], [0, 0, 0], [-np.inf] * 3), "log_p must be above −∞"),
        (lambda: kl.kl_grid([0, 1, 2], [0, np.nan, 0], [0, 0, 0]), "log_q must be finite"),
        (lambda: kl.mode_seeking([0, 1, 2], [0, -np.inf, 0]), "log_p must be finite"),
        (
            lambda: kl.kl_monte_carlo(KEY, lambda k, n: np.ones(n), normal(0.0), normal(0.0), 5),
            r"log_q must be a function to shape \(5,\)",
        ),
        (
            lambda: kl.kl_monte_carlo(
                KEY, lambda k, n: np.ones(n), np.zeros_like, lambda x: np.nan * x, 5
            ),
            "log_p must be below",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_density_that_is_zero_at_a_draw_is_infinitely_far():
    found = kl.kl_monte_carlo(
        KEY, lambda k, n: np.ones(n), np.zeros_like, lambda x: np.where(x > 0, -np.inf, 0.0), 5
    )
    assert found.value == np.inf


def test_monte_carlo_takes_jax_densities():
    found = kl.kl_monte_carlo(
        KEY,
        lambda k, n: 1 + jax.random.normal(k, (n,)),
        lambda x: jax.scipy.stats.norm.logpdf(x, 1.0),
        lambda x: jax.scipy.stats.norm.logpdf(jnp.asarray(x)),
        1000,
    )
    assert abs(found.value - 0.5) < 4 * found.standard_error
