"""A scoreboard's rows are the means that they say, and choices never see test data."""

import math

import numpy as np
import pytest
from scipy import stats

from bnnbook.datasets.splits import HeldOut
from bnnbook.evaluation import scoreboard
from bnnbook.evaluation.agreement import floor_of, regression_agreement
from bnnbook.evaluation.predictive import pit_distance, score
from bnnbook.evaluation.scoreboard import chosen, near, on_test_data, over_keys, thin
from bnnbook.variational.fit import FitError

RNG = np.random.default_rng(7)
MEANS = RNG.normal(size=(4, 50, 9))
PREDICTION = np.stack([MEANS, np.full(MEANS.shape, 0.7)], axis=-1)
Y = RNG.normal(size=9)


def constant(mean, sd=1.0, points=9):
    return np.broadcast_to([mean, sd], (1, 1, points, 2))


@pytest.mark.parametrize(("most", "kept"), [(1000, 200), (200, 200), (199, 100), (70, 67), (1, 1)])
def test_thinning_keeps_evenly_spaced_draws_and_never_more_than_asked(most, kept):
    found = thin(PREDICTION, most)
    assert found.shape == (1, kept, 9, 2)
    assert kept <= most
    flat = PREDICTION.reshape(200, 9, 2)
    np.testing.assert_array_equal(found[0], flat[:: math.ceil(200 / most)])


def test_nearness_is_the_mean_over_points():
    other = PREDICTION + np.array([0.5, 0.2])
    found, each = near(other, PREDICTION), regression_agreement(other, PREDICTION)
    assert found["total variation"] == pytest.approx(each.total_variation.mean())
    assert found["Wasserstein"] == pytest.approx(each.wasserstein.mean())
    assert found["sd ratio"] > 1.02
    assert found["sd of f, ratio"] == pytest.approx(1.0)
    itself = near(PREDICTION, PREDICTION)
    assert list(itself.values()) == pytest.approx([0, 0, 1, 1], abs=1e-12)
    assert scoreboard.agreement_row(floor_of(PREDICTION)).keys() == itself.keys()


def test_test_scores_are_those_of_the_scoring_function():
    scores = score(PREDICTION, Y, (0.5, 0.9))
    found = on_test_data(scores)
    assert list(found) == ["−log score", "CRPS", "RMSE", "in 50 %", "in 90 %", "PIT"]
    assert found["−log score"] == scores.negative_log_likelihood.value
    assert found["in 90 %"] == scores.coverage[0.9].rate
    assert found["PIT"] == pit_distance(scores.pit)


@pytest.mark.parametrize("n", [2, 7, 300])
def test_the_distance_of_pit_is_the_statistic_of_kolmogorov_and_smirnov(n):
    u = RNG.uniform(size=n)
    assert pit_distance(u) == pytest.approx(stats.kstest(u, "uniform").statistic, abs=1e-12)
    # Mutation: the middle of each step alone.
    middle = np.abs(np.sort(u) - (np.arange(n) + 0.5) / n).max()
    assert pit_distance(u) == pytest.approx(middle + 0.5 / n)
    with pytest.raises(ValueError, match="pit must be between 0 and 1"):
        pit_distance(u + 1)


def test_means_over_keys_have_the_error_of_the_keys():
    rows = {("a", 0): {"x": 1.0, "y": 0.0}, ("a", 1): {"x": 3.0, "y": 0.0}, ("b", 0): {"x": 5.0}}
    found = over_keys(rows)
    assert found["a"]["x"] == pytest.approx((2.0, 1.0))  # sd √2 over two keys
    assert found["a"]["y"] == (0.0, 0.0)
    assert found["b"]["x"].mean == 5.0
    assert np.isnan(found["b"]["x"].standard_error)


def test_the_candidate_that_predicts_best_is_chosen_and_a_failed_one_is_ruled_out():
    def predict(shift):
        if shift == 0.1:
            raise FitError("diverged")
        return constant(Y.mean() + shift)

    found = chosen([2.0, 0.1, -0.2, 0.4], predict, Y)
    assert found.best == -0.2
    assert found.scores[0.1] == np.inf
    expected = -stats.norm(Y.mean() - 0.2, 1).logpdf(Y).mean()
    assert found.scores[-0.2] == pytest.approx(expected)
    # Mutation: the greatest chosen instead of the least.
    assert max(found.scores, key=found.scores.get) != found.best


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (constant(np.inf), "parameters must be finite everywhere"),
        (constant(0.0, sd=0.0), "parameters must hold positive sds"),
    ],
)
def test_a_candidate_whose_prediction_cannot_be_scored_spoils_no_other(bad, reason):
    found = chosen(["bad", "good"], {"bad": bad, "good": constant(0.0)}.get, Y)
    assert found.best == "good"
    assert found.scores["bad"] == np.inf
    assert list(found.failed) == ["bad"]
    assert reason in found.failed["bad"]


def test_choices_refuse_sealed_test_data_and_nothing_to_choose_from():
    sealed = HeldOut(Y, "y_test")
    with pytest.raises(ValueError, match="y_validation must be rows set aside from the training"):
        chosen([1.0], constant, sealed)
    assert sealed.opened_by is None
    with pytest.raises(ValueError, match="candidates must be at least one"):
        chosen([], constant, Y)
    with pytest.raises(ValueError, match="y_validation must be finite"):
        chosen([1.0], constant, Y * np.nan)

    def never(_):
        raise FitError("diverged at step 3")

    with pytest.raises(FitError, match=r"every candidate failed: .*diverged at step 3"):
        chosen([1.0, 2.0], never, Y)


def test_bad_predictions_are_named():
    with pytest.raises(ValueError, match="most must be a whole number of at least 1"):
        thin(PREDICTION, 0)
    with pytest.raises(ValueError, match="parameters must"):
        thin(PREDICTION[0], 5)
