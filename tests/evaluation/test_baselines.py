"""Baselines predict exactly what they claim, and conformal intervals cover whatever the data."""

import numpy as np
import pytest
from scipy import stats

from bnnbook.datasets import concrete
from bnnbook.datasets.splits import HeldOut, published_splits
from bnnbook.evaluation import baselines
from bnnbook.evaluation.baselines import split_conformal
from bnnbook.evaluation.predictive import score, score_all
from bnnbook.exact import gaussian_process, least_squares
from bnnbook.references import reference


def test_the_line_is_least_squares_with_its_intervals():
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(20, 2)), rng.normal(size=(4, 2))
    y = 1 + x @ [2.0, 1.0] + rng.normal(size=20)
    ours = baselines.linear(x, y, new).central_interval(0.9)
    fit = least_squares.fit(np.column_stack([np.ones(20), x]), y)
    theirs = least_squares.prediction_intervals(fit, np.column_stack([np.ones(4), new]), 0.9)
    np.testing.assert_allclose(np.stack(ours, axis=1), theirs)


def test_pit_of_the_line_is_uniform_however_few_the_data():
    rng, pit, plug_in = np.random.default_rng(1), [], []
    for _ in range(800):
        x, y = rng.normal(size=(7, 1)), rng.normal(size=7)
        found = baselines.linear(x[:6], y[:6], x[6:])
        pit.append(found.cdf(y[6:])[0])
        plug_in.append(stats.norm.cdf(y[6], found.mean, found.scale / 1.3)[0])
    assert stats.kstest(pit, "uniform").pvalue > 1e-4
    assert stats.kstest(plug_in, "uniform").pvalue < 1e-4  # mutation: a plug-in normal


def test_baselines_are_scored_as_networks_are():
    table = concrete.load()
    data, errors = table.matrix(), []
    for train, test in published_splits(table.num_rows, 20):
        line = baselines.linear(data[train, :-1], data[train, -1], data[test, :-1])
        errors.append(score(line, data[test, -1], (0.9,)).root_mean_squared_error.value)
    assert np.mean(errors) == pytest.approx(reference("concrete-linear.rmse").value, abs=5e-4)
    both = {"line": line, "constant": baselines.constant(data[train, -1], len(test))}
    found = score_all(both, HeldOut(data[test, -1])).scores
    for scores in (found["line"], found["constant"]):
        assert abs(scores.coverage[0.9].rate - 0.9) < 4.5 * scores.coverage[0.9].mcse
    assert found["line"].crps.value < found["constant"].crps.value


@pytest.mark.parametrize("skewed", [False, True])
def test_conformal_intervals_cover_at_their_finite_sample_rate(skewed):
    """With n = 14 and p = 0.8, exactly 12/15 of new data of a continuous law are covered."""
    rng = np.random.default_rng(2)
    draw = rng.standard_cauchy if skewed else rng.normal
    data = draw(size=(20_000, 15))
    covered, naive = [], []
    for row in data[:4000]:
        covered.append(split_conformal(row[:14], [0.0], 0.8).covers(row[14:])[0])
        naive.append(abs(row[14]) <= np.quantile(np.abs(row[:14]), 0.8))
    error = np.sqrt(0.8 * 0.2 / 4000)
    assert abs(np.mean(covered) - 12 / 15) < 4 * error
    assert np.mean(naive) < 0.8 - 2.5 * error  # mutation: the sample quantile, without n + 1


def test_conformal_intervals_may_vary_in_width():
    found = split_conformal(
        [1.0, -4.0, 3.0], [0.0, 0.0], 0.75, residual_scale=[1, 2, 3], scale=[1, 5]
    )
    np.testing.assert_allclose(found.width, [4.0, 20.0])


def test_a_process_is_scored_as_a_network_of_one_draw():
    """A sine that a Gaussian process learns, and a line cannot."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-3, 3, size=(80, 1))
    y = np.sin(2 * x[:, 0]) + 0.1 * rng.normal(size=80)
    process = gaussian_process.condition(
        gaussian_process.rbf, x[:40], y[:40], {"scale": 1.0, "lengthscale": 0.7}, 0.1
    )
    ahead = process.predictive(x[40:])
    found = score(baselines.as_parameters(ahead), y[40:])
    expected = -ahead.log_density(y[40:]).mean()
    assert found.negative_log_likelihood.value == pytest.approx(expected, rel=1e-12)
    line = score(baselines.linear(x[:40], y[:40], x[40:]), y[40:])
    assert found.crps.value < 0.5 * line.crps.value


X = np.arange(8.0)[:, None]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: baselines.constant([1.0, 2.0], 3), "y_train must be of at least 4 data"),
        (lambda: baselines.constant([1.0] * 9, 3), "y_train must not be fitted exactly"),
        (lambda: baselines.linear(X, X[:, 0], X), "y_train must not be fitted exactly"),
        (lambda: baselines.linear(X, X[:, 0], np.ones((2, 2))), "x_test must be of 1 columns"),
        (lambda: baselines.linear(X, X[:2, 0], X), "must have the same length"),
        (lambda: split_conformal([1.0] * 8, [0.0], 0.9), "residuals must be at least 9"),
        (lambda: split_conformal([np.nan], [0.0], 0.5), "residuals must be finite"),
        (lambda: split_conformal([1.0], [0.0], 1.5), "probability must be strictly"),
        (lambda: split_conformal([1.0], [0.0], 0.5, scale=0.0), "scale must be positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_columns_that_depend_on_others_change_nothing():
    rng = np.random.default_rng(5)
    x, new = rng.normal(size=(20, 2)), rng.normal(size=(6, 2))
    y = x @ [1.0, -2.0] + rng.normal(size=20)

    def more(x):
        return np.column_stack([np.full(len(x), 3.0), x, x @ [2.0, 1.0], np.zeros(len(x))])

    plain, found = baselines.linear(x, y, new), baselines.linear(more(x), y, more(new))
    np.testing.assert_allclose(found.mean, plain.mean, rtol=1e-9)
    np.testing.assert_allclose(found.sd, plain.sd, rtol=1e-9)
