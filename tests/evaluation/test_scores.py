"""Scores agree with their definitions, and honesty scores best."""

import numpy as np
import pytest
from scipy import integrate, stats

from bnnbook.evaluation import scores


def crps_by_integral(distribution, y):
    below, _ = integrate.quad(lambda t: distribution.cdf(t) ** 2, -np.inf, y, epsabs=1e-11)
    above, _ = integrate.quad(lambda t: distribution.sf(t) ** 2, y, np.inf, epsabs=1e-11)
    return below + above


@pytest.mark.parametrize("y", [-4.0, 1.0, 2.5])
def test_closed_forms_of_the_crps_are_its_integral(y):
    ours = float(scores.crps_normal(y, 1.0, 2.0))
    assert ours == pytest.approx(crps_by_integral(stats.norm(1, 2), y), rel=1e-7)
    for dof in (1.5, 3.0, 40.0):
        ours = float(scores.crps_student_t(y, 1.0, 2.0, dof))
        assert ours == pytest.approx(crps_by_integral(stats.t(dof, 1, 2), y), rel=1e-6)
        # Mutation: the scale taken for the standard deviation of a normal.
        assert ours != pytest.approx(float(scores.crps_normal(y, 1.0, 2.0)), rel=1e-3)


def test_many_degrees_of_freedom_give_the_normal_crps():
    y = np.array([-3.0, 0.2])
    ours = scores.crps_student_t(y, 0.0, np.ones(2), 1e9)
    np.testing.assert_allclose(ours, scores.crps_normal(y, 0.0, np.ones(2)), rtol=1e-6)


def test_crps_from_draws_is_its_definition():
    rng = np.random.default_rng(0)
    draws, y = rng.normal(size=(2, 5, 3)), rng.normal(size=3)
    flat = draws.reshape(10, 3)
    pairs = np.abs(flat[:, None] - flat[None]).sum(axis=(0, 1)) / 90
    expected = np.abs(flat - y).mean(axis=0) - pairs / 2
    np.testing.assert_allclose(scores.crps_from_draws(y, draws), expected, rtol=1e-12)


def test_crps_from_few_draws_has_no_bias():
    rng = np.random.default_rng(1)
    replications = 20_000
    y, draws = np.full(replications, 0.7), rng.normal(size=(1, 3, replications))
    mean, error = scores.average(scores.crps_from_draws(y, draws))
    exact = float(scores.crps_normal(0.7, 0.0, 1.0))
    assert abs(mean - exact) < 4 * error
    # Mutation: pairs of a draw with itself counted too.
    flat = draws[0]
    with_self = np.abs(flat[:, None] - flat[None]).mean(axis=(0, 1))
    biased, error = scores.average(np.abs(flat - y).mean(axis=0) - with_self / 2)
    assert abs(biased - exact) > 10 * error


def test_log_score_is_the_density_of_the_mixture():
    rng = np.random.default_rng(2)
    means, y = rng.normal(size=(2, 50)), np.array([0.3, 8.0])
    logs = stats.norm.logpdf(y, means[..., None], 1.0)
    expected = np.log(np.mean(stats.norm.pdf(y, means[..., None], 1.0), axis=(0, 1)))
    ours = scores.log_score(logs)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    # Mutation: the mean of the logs, below by Jensen's inequality.
    assert (ours > logs.mean(axis=(0, 1)) + 0.1).all()


def test_a_datum_ruled_out_by_every_draw_scores_minus_infinity():
    logs = np.zeros((2, 2, 2))
    logs[0, :, 0] = logs[:, :, 1] = -np.inf
    np.testing.assert_allclose(scores.log_score(logs), [-np.log(2), -np.inf])


def test_errors_agree_with_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(3)
    y, f = rng.normal(size=(2, 30))
    root = scores.root_mean_squared_error(y, f)
    assert root == pytest.approx(metrics.root_mean_squared_error(y, f), rel=1e-12)
    absolute = scores.mean_absolute_error(y, f)
    assert absolute == pytest.approx(metrics.mean_absolute_error(y, f), rel=1e-12)
    assert absolute < root


Y = np.random.default_rng(4).normal(size=20_000)
HALF = stats.norm.ppf(0.95)


def score_of(name, sd):
    """The mean score, lower is better, of N(0, sd) where the truth is N(0, 1)."""
    ones = np.full(len(Y), sd)
    if name == "log":
        return -scores.log_score(stats.norm.logpdf(Y, 0, sd)[None, None]).mean()
    if name == "crps":
        return scores.crps_normal(Y, 0.0, ones).mean()
    return scores.interval_score(Y, -HALF * ones, HALF * ones, 0.9).mean()


@pytest.mark.parametrize("name", ["log", "crps", "interval"])
def test_proper_scores_favour_honesty(name):
    honest = score_of(name, 1.0)
    assert honest < min(score_of(name, 0.8), score_of(name, 1.25))


def test_a_width_without_its_fine_favours_boldness():
    """Mutation: an interval score that forgives misses."""
    far = 1e9 * np.ones(1)
    widths = [
        scores.interval_score(far * 0, -HALF * sd * far, HALF * sd * far, 0.9) for sd in (1.0, 0.8)
    ]
    assert widths[1] < widths[0]


def test_interval_score_is_a_sum_of_two_quantile_scores():
    y, low, high = np.array([-3.0, 0.0, 4.0]), np.full(3, -1.0), np.full(3, 2.0)
    from sklearn.metrics import mean_pinball_loss

    ours = scores.interval_score(y, low, high, 0.8).mean()
    pinball = mean_pinball_loss(y, low, alpha=0.1) + mean_pinball_loss(y, high, alpha=0.9)
    assert ours == pytest.approx(2 / 0.2 * pinball, rel=1e-12)


def test_average_has_the_error_of_a_mean():
    value, error = scores.average([1.0, 2.0, 3.0, 6.0])
    assert (value, error) == pytest.approx((3.0, stats.sem([1, 2, 3, 6])), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scores.average([1.0]), "scores must have at least 2"),
        (lambda: scores.log_score(np.zeros((2, 3))), r"of shape \(chain, draw, n\)"),
        (lambda: scores.log_score(np.full((1, 1, 1), np.nan)), "log_densities must be finite"),
        (lambda: scores.log_score(np.full((1, 1, 1), np.inf)), "log_densities must be finite"),
        (lambda: scores.log_score(np.zeros((1, 0, 1))), "none empty"),
        (lambda: scores.root_mean_squared_error([1.0], [1.0, 2.0]), "must have the same length"),
        (lambda: scores.mean_absolute_error([], []), "y must have at least 1"),
        (lambda: scores.crps_from_draws([1.0], np.zeros((1, 1, 1))), "at least 2 for each datum"),
        (lambda: scores.crps_from_draws([1.0], np.zeros((1, 5, 2))), r"\(chain, draw, 1\)"),
        (lambda: scores.crps_normal(1.0, 0.0, 0.0), "sd must be positive everywhere"),
        (lambda: scores.crps_normal([1.0], [0.0, 1.0], 1.0), "mean must be a number or of shape"),
        (lambda: scores.crps_student_t(1.0, 0.0, 1.0, 1.0), "dof must be above 1"),
        (lambda: scores.interval_score([1.0], [2.0], [1.0], 0.9), "upper must be nowhere below"),
        (lambda: scores.interval_score([1.0], [0.0], [1.0], 90.0), "probability must be strictly"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
