"""Laws of the grid posterior, against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bnnbook.exact import beta_binomial, grid, normal_mean
from bnnbook.exact.beta_binomial import Beta
from bnnbook.exact.normal_mean import Normal

UNIT = np.linspace(0.0, 1.0, 2001)


def coin(successes, trials, points=UNIT, prior=Beta(1.0, 1.0)):  # noqa: B008
    def log_joint(theta):
        likelihood = stats.binom.logpmf(successes, trials, theta)
        return prior.log_density(theta) + likelihood

    return grid.from_log_density(log_joint, points)


@given(st.integers(1, 60), st.integers(1, 60))
def test_coin_agrees_with_the_beta_posterior_to_quadrature_error(heads, tails):
    ours = coin(heads, heads + tails)
    exact = beta_binomial.update(Beta(1.0, 1.0), heads, heads + tails)
    tolerance = 4 * max(ours.quadrature_error, 1e-13)
    assert ours.mean == pytest.approx(exact.mean, rel=tolerance)
    # Predictive probability of the count under a flat prior: 1 / (n + 1), Bayes's own result.
    assert np.exp(ours.log_evidence) == pytest.approx(1 / (heads + tails + 1), rel=tolerance)
    np.testing.assert_allclose(ours.density, exact.density(UNIT), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.quantile(0.3), exact.quantile(0.3), atol=1e-5)
    assert ours.sd == pytest.approx(exact.sd, rel=1e-4)


@given(st.floats(-3.0, 3.0), st.floats(0.3, 2.0), st.floats(0.5, 3.0), st.integers(1, 20))
def test_normal_mean_agrees_to_1e_10(mean, sd, noise_sd, num_data):
    prior = Normal(mean, sd)
    y = np.random.default_rng(num_data).normal(1.0, noise_sd, num_data)
    exact = normal_mean.update(prior, y, noise_sd)
    points = exact.mean + exact.sd * np.linspace(-12, 12, 401)
    ours = grid.from_log_density(
        lambda t: prior.log_density(t) + stats.norm.logpdf(y[:, None], t, noise_sd).sum(0), points
    )
    # A density that vanishes at both ends: the trapezoidal rule converges faster than any power.
    assert ours.log_evidence == pytest.approx(
        normal_mean.log_evidence(prior, y, noise_sd), abs=1e-10
    )
    assert ours.mean == pytest.approx(exact.mean, abs=1e-10)
    assert ours.sd == pytest.approx(exact.sd, rel=1e-10)
    assert ours.quadrature_error < 1e-10
    assert ours.edge_mass < 1e-20


def test_a_coarse_grid_never_passes_both_alarms():
    for heads in range(500, 700, 7):
        for num_points in (6, 11, 21, 41, 81, 161, 321):
            ours = coin(heads, 1000, np.linspace(0, 1, num_points))
            true_error = abs(np.expm1(ours.log_evidence + np.log(1001)))
            too_few = ours.effective_points < 4
            assert too_few or ours.quadrature_error >= true_error - 1e-9


def test_the_quadrature_error_alone_can_be_lucky():
    # Two points at equal height at either side of the peak: halving the grid changes little.
    ours = coin(650, 1000, np.linspace(0, 1, 11))
    true_error = abs(np.expm1(ours.log_evidence + np.log(1001)))
    assert ours.quadrature_error < 0.3 * true_error
    assert ours.effective_points < 4


def test_edge_mass_tells_of_a_grid_that_cuts_the_posterior_off():
    assert coin(9, 10, np.linspace(0, 0.8, 401)).edge_mass > 1e-3
    assert coin(9, 10).edge_mass < 1e-9


def test_uneven_grid_gives_the_same_posterior():
    uneven = np.sort(np.concatenate([UNIT, UNIT[:-1] ** 2 + 1e-7]))
    ours, even = coin(7, 10, np.unique(uneven.clip(0, 1))), coin(7, 10)
    assert ours.mean == pytest.approx(even.mean, abs=1e-5)
    # Mutation: points taken for equally heavy, as a histogram of densities would.
    equal_weights = ours.grid @ ours.density / ours.density.sum()
    assert abs(equal_weights - even.mean) > 1e-3


def test_probabilities_density_cdf_and_intervals_are_consistent():
    ours = coin(7, 10)
    assert ours.probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.trapezoid(ours.density, ours.grid) == pytest.approx(1.0, abs=1e-12)
    assert ours.cdf[0] == 0.0
    assert ours.cdf[-1] == pytest.approx(1.0, abs=1e-12)
    assert ours.mode == pytest.approx(0.7, abs=1e-12)
    exact = Beta(8.0, 4.0).central_interval(0.9)
    np.testing.assert_allclose(ours.central_interval(0.9), exact, atol=1e-5)


def test_two_parameters_agree_with_two_independent_closed_forms():
    first, second = Normal(1.0, 0.5), Beta(3.0, 4.0)
    ours = grid.from_log_density_2d(
        lambda m, t: first.log_density(m) + second.log_density(t) - 2.0,
        np.linspace(-4, 6, 401),
        UNIT,
    )
    assert ours.log_evidence == pytest.approx(-2.0, abs=4 * ours.quadrature_error)
    assert ours.marginal(0).mean == pytest.approx(1.0, abs=1e-6)
    assert ours.marginal(1).mean == pytest.approx(second.mean, abs=1e-6)
    assert ours.marginal(0).probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match="axis must be one of 0, 1, got 2"):
        ours.marginal(2)


def log_normal(t):
    return -0.5 * t**2


@pytest.mark.parametrize(
    ("log_density", "points", "message"),
    [
        (log_normal, [0.0, 1.0], "grid must have at least 3 elements, got 2"),
        (log_normal, [0.0, 2.0, 1.0], "grid must increase .* got 2 then 1 at index 1"),
        (log_normal, [0.0, 1.0, 1.0], "grid must increase"),
        (log_normal, [0.0, np.nan, 1.0], "grid must be finite everywhere, got nan"),
        (lambda t: np.full_like(t, -np.inf), [0.0, 1.0, 2.0], "grid must reach where the density"),
        (lambda t: np.where(t == 1, np.nan, t), [0.0, 1.0, 2.0], r"log_density .* got nan at .*1"),
        (lambda t: np.where(t == 2, np.inf, t), [0.0, 1.0, 2.0], r"log_density .* got inf"),
        (lambda t: 0.0, [0.0, 1.0, 2.0], r"log_density must be of shape \(3,\)"),
    ],
)
def test_bad_input_is_named(log_density, points, message):
    with pytest.raises(ValueError, match=message):
        grid.from_log_density(log_density, points)


def test_two_dimensional_grid_without_mass_is_named():
    with pytest.raises(ValueError, match="grid must reach where the density"):
        grid.from_log_density_2d(lambda a, b: a * 0 - np.inf, [0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
