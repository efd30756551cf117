"""Scores agree with scikit-learn and by hand; calibrated predictions score as calibrated."""

import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from bnnbook.datasets.splits import AlreadyReadError, HeldOut
from bnnbook.evaluation import classification
from bnnbook.evaluation.classification import auroc, reliability, score, selective_prediction


def calibrated(n, seed, sharpen=1.0):
    """Labels drawn from probabilities, and the probabilities, made too sure where sharpen > 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, size=(n, 4))
    p = special.softmax(logits, axis=1)
    labels = (rng.uniform(size=(n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=3)
    return special.softmax(sharpen * logits, axis=1), labels


def test_scores_agree_with_scikit_learn():
    p, labels = calibrated(200, 0)
    found = score(p, labels)
    assert found.error.rate == pytest.approx(1 - metrics.accuracy_score(labels, p.argmax(axis=1)))
    assert found.negative_log_likelihood.value == pytest.approx(metrics.log_loss(labels, p))
    assert found.brier.value == pytest.approx(((p - np.eye(4)[labels]) ** 2).sum(axis=1).mean())
    binary, y = p[:, :2] / p[:, :2].sum(axis=1, keepdims=True), labels % 2
    ours = score(binary, y).brier.value
    assert ours == pytest.approx(2 * metrics.brier_score_loss(y, binary[:, 1]))


def test_ece_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    found = reliability(p, [0, 1, 1, 1], num_bins=10)
    np.testing.assert_allclose(found.confidence, [0.6, 0.9])
    np.testing.assert_allclose(found.accuracy, [1.0, 0.5])
    assert found.ece == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert reliability(p, [0, 1, 1, 1], num_bins=2, binning="mass").ece == pytest.approx(0.4)


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_calibrated_predictions_score_as_such(binning):
    runs = [reliability(*calibrated(500, s), binning=binning) for s in range(200)]
    plug_in, chance, debiased, squared = np.array(
        [(r.ece, r.ece_by_chance, r.ece_debiased, r.squared_debiased) for r in runs]
    ).T
    error = plug_in.std() / np.sqrt(200)
    assert abs(plug_in.mean() - chance.mean()) < 4 * error + 0.02 * chance.mean()
    assert plug_in.mean() > 20 * error  # the bias: the truth is zero
    assert 0 < debiased.mean() < 0.7 * plug_in.mean()
    assert abs(squared.mean()) < 4 * squared.std() / np.sqrt(200) + 2e-5
    # Mutation: logits that are two and a half times too large.
    wrong = reliability(*calibrated(500, 0, 2.5), binning=binning)
    assert wrong.ece > 2 * wrong.ece_by_chance
    assert wrong.squared_debiased > 5 * squared.std()


def test_bands_hold_calibrated_curves_at_their_level():
    inside = []
    for sharpen in (1.0, 1.5):
        runs = [reliability(*calibrated(500, s, sharpen), num_bins=10) for s in range(300)]
        inside.append(np.mean([r.band(0.9).covers(r.accuracy).all() for r in runs]))
    assert inside[0] > 0.9 - 4 * np.sqrt(0.9 * 0.1 / 300)
    assert inside[1] < 0.5


def test_selective_prediction_by_hand():
    p = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]])
    found = selective_prediction(p, [1, 0, 1])
    np.testing.assert_allclose(found.coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(found.accuracy, [1, 1, 2 / 3])
    assert (found.standard_error > 0).all()
    backwards = selective_prediction(p, [1, 0, 1], confidence=[2.0, 1.0, 0.0])
    assert backwards.accuracy[0] == 0


def test_auroc_agrees_with_scikit_learn_ties_included():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, 40).astype(float), rng.integers(0, 5, 60).astype(float)
    truth = np.repeat([1, 0], [40, 60])
    expected = metrics.roc_auc_score(truth, np.concatenate([x, y]))
    assert auroc(x, y).auroc == pytest.approx(expected)
    placements = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    variance = placements.mean(1).var(ddof=1) / 40 + placements.mean(0).var(ddof=1) / 60
    assert auroc(x, y).standard_error == pytest.approx(np.sqrt(variance))


def test_intervals_of_the_auroc_cover():
    rng, truth = np.random.default_rng(2), special.ndtr(1.5 / np.sqrt(2))
    runs = [auroc(rng.normal(1.5, 1, 40), rng.normal(size=80)) for _ in range(1500)]
    covered = np.mean([r.interval.covers(truth) for r in runs])
    assert abs(covered - 0.95) < 0.02 + 4 * np.sqrt(0.95 * 0.05 / 1500)
    spread = np.std([r.auroc for r in runs])
    assert abs(np.mean([r.standard_error for r in runs]) / spread - 1) < 0.1
    # Mutation: the error that holds where the score tells nothing.
    assert abs(np.sqrt(121 / (12 * 40 * 80)) / spread - 1) > 0.2


def test_perfect_separation_is_not_called_certain():
    found = auroc([2.0, 3.0], [0.0, 1.0])
    assert found.auroc == 1.0
    assert found.interval.lower < 0.9


def test_the_mixture_averages_probabilities():
    with np.errstate(divide="ignore"):
        logs = np.log([[[0.9, 0.1]], [[0.5, 0.5]]])[None]
    np.testing.assert_allclose(classification.mixture(logs), [[0.7, 0.3]])


def test_a_class_called_impossible_costs_without_bound():
    assert score([[1.0, 0.0], [0.5, 0.5]], [1, 0]).negative_log_likelihood.value == np.inf


def test_all_methods_are_scored_by_one_reading():
    p, labels = calibrated(300, 3)
    held = HeldOut(labels, "labels")
    with pytest.raises(ValueError, match=r"probabilities\['short'\] must be one row for each of"):
        classification.score_all({"fine": p, "short": p[:-1]}, held)
    with pytest.raises(ValueError, match="the number of methods must be"):
        classification.score_all({}, held)
    assert held.opened_by is None
    found = classification.score_all({"one": p, "sharp": p**3 / (p**3).sum(1, keepdims=True)}, held)
    assert list(found.by_method) == ["one", "sharp"]
    one = found.by_method["one"]
    wrong = p.argmax(axis=1) != labels
    assert one.scores.error.rate == wrong.mean()
    assert one.confidence_when_wrong.value == pytest.approx(p.max(axis=1)[wrong].mean())
    expected = metrics.roc_auc_score(wrong, -p.max(axis=1))
    assert one.error_detection.auroc == pytest.approx(expected)
    np.testing.assert_array_equal(one.right, ~wrong)
    np.testing.assert_array_equal(found.labels, labels)
    with pytest.raises(AlreadyReadError):
        classification.score_all({"again": p}, held)


def test_where_nothing_is_wrong_there_are_no_errors_to_detect():
    found = classification.report([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    assert (found.error_detection, found.confidence_when_wrong) == (None, None)


P = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score([[0.5, 0.6]] * 2, [0, 1]), "probabilities must be rows"),
        (lambda: score(P, [0, 2]), "labels must be whole numbers from 0 to 1"),
        (lambda: score(P, [0.5, 1]), "labels must be whole numbers"),
        (lambda: score(P, [0]), "labels must have at least 2"),
        (lambda: score([*P, P[0]], [0, 1]), "must have the same length"),
        (lambda: score(np.full((2, 2), np.nan), [0, 1]), "probabilities must be finite"),
        (lambda: reliability(P, [0, 1], num_bins=0), "num_bins must be a whole number"),
        (lambda: reliability(P, [0, 1], binning="x"), "binning must be one of"),
        (lambda: selective_prediction(P, [0, 1], [1.0]), "confidence must be of shape"),
        (lambda: auroc([1.0], [1.0, 2.0]), "positives must have at least 2"),
        (lambda: auroc([1.0, 2.0], [np.nan, 2.0]), "negatives must be finite"),
        (lambda: classification.mixture(np.zeros((2, 2))), "log_probabilities must be of shape"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
