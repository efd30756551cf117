"""Distances meet their closed forms, and doubt adds up."""

import numpy as np
import pytest
from scipy import stats

from bnnbook.evaluation import agreement
from bnnbook.evaluation.agreement import gap_score, regression_agreement


def normals(mean, sd, points=2):
    """Two components a hair apart, so that the reference has an epistemic sd."""
    means = np.array([[mean - 1e-3], [mean + 1e-3]]) * np.ones(points)
    return np.stack([means, np.full(means.shape, sd)], axis=-1)[None]


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_distances_of_shifted_normals_are_the_closed_forms(shift):
    found = regression_agreement(normals(shift, 1.0), normals(0.0, 1.0))
    exact = 2 * stats.norm.cdf(shift / 2) - 1
    np.testing.assert_allclose(found.total_variation, exact, atol=1e-3)
    np.testing.assert_allclose(found.wasserstein, shift, atol=5e-3)
    np.testing.assert_allclose(found.shift, shift, atol=1e-5)
    np.testing.assert_allclose(found.sd_ratio, 1.0, rtol=1e-12)
    if shift:  # mutation: |p − q| without its half
        assert abs(2 * found.total_variation - exact).min() > 0.1


def test_distances_of_scaled_normals_are_the_closed_forms():
    found = regression_agreement(normals(0.0, 2.0), normals(0.0, 1.0))
    cross = np.sqrt(2 * np.log(2) / (1 - 1 / 4))
    exact = 2 * (stats.norm.cdf(cross) - stats.norm.cdf(cross / 2))
    np.testing.assert_allclose(found.total_variation, exact, atol=2e-3)
    np.testing.assert_allclose(found.wasserstein, np.sqrt(2 / np.pi), rtol=1e-2)


def test_total_variation_is_symmetric_and_units_do_not_matter():
    rng = np.random.default_rng(1)
    p, q = (
        np.stack([rng.normal(m, 1, (2, 50, 3)), rng.uniform(0.5, 1, (2, 50, 3))], axis=-1)
        for m in (0.0, 0.5)
    )
    one, other = regression_agreement(p, q), regression_agreement(q, p)
    np.testing.assert_allclose(one.total_variation, other.total_variation)
    scaled = regression_agreement(100 * p, 100 * q)
    for mine, theirs in zip(one, scaled, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_class_agreement_by_hand():
    p, q = [[0.7, 0.3], [0.4, 0.6]], [[0.9, 0.1], [0.6, 0.4]]
    assert agreement.class_agreement(p, q) == pytest.approx((0.5, 0.2))
    assert agreement.class_agreement(p, p) == (1.0, 0.0)


def test_variance_and_entropy_add_up():
    rng = np.random.default_rng(2)
    given = np.stack([rng.normal(0, 2, (2, 500, 1)), rng.uniform(1, 2, (2, 500, 1))], axis=-1)
    total, noise, spread = agreement.decompose_variance(given)
    y = given[..., 0] + given[..., 1] * rng.normal(size=(400, 2, 500, 1))
    assert total[0] == pytest.approx(y.var(), rel=0.02)
    assert abs(noise[0] / y.var() - 1) > 0.1  # mutation: the noise alone
    logits = rng.normal(size=(2, 50, 3, 4))
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    total, noise, spread = agreement.decompose_entropy(logs)
    mean = np.exp(logs).mean(axis=(0, 1))
    divergence = stats.entropy(np.exp(logs), mean, axis=-1).mean(axis=(0, 1))
    np.testing.assert_allclose(spread, divergence, rtol=1e-9)
    np.testing.assert_allclose(total, noise + spread, rtol=1e-12)


def test_members_that_are_sure_of_different_classes_have_epistemic_doubt_alone():
    with np.errstate(divide="ignore"):
        logs = np.log(np.eye(2))[None, :, None]
    total, noise, spread = agreement.decompose_entropy(logs)
    assert (total[0], noise[0], spread[0]) == pytest.approx((np.log(2), 0.0, np.log(2)))


def test_gap_score_is_the_ratio_with_an_error_of_repetition():
    sds = np.array([1.0, 1.0, 3.0, 3.0])
    gap = sds > 2
    rng = np.random.default_rng(3)
    runs = [gap_score(rng.normal(size=(4, 100, 4)) * sds, gap, ~gap) for _ in range(200)]
    values, errors = np.array(runs).T
    assert abs(values.mean() - 3) < 4 * values.std() / np.sqrt(200) + 0.01
    # Ten blocks tell an error to about a quarter, 200 runs of them far better; the bias is small.
    assert abs(errors.mean() / values.std() - 1) < 0.25
    assert gap_score(rng.normal(size=(4, 100, 4)), gap, ~gap).ratio < 1.5  # no gap in its doubt


BOTH = np.array([True, False])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: regression_agreement(normals(0, 1, 3), normals(0, 1)),
            "prediction must be of 2 p",
        ),
        (lambda: regression_agreement(normals(0, 1), normals(0, 1)[:, :1]), "reference must be of"),
        (lambda: regression_agreement(normals(0, 0), normals(0, 1)), "positive sds"),
        (
            lambda: agreement.class_agreement([[0.5, 0.6]], [[0.5, 0.5]]),
            "probabilities must be rows",
        ),
        (lambda: agreement.class_agreement([[0.5, 0.5]], [[1.0, 0, 0]]), r"of shape \(1, 3\)"),
        (lambda: agreement.decompose_variance(normals(0, 1)[:, :1]), "of two draws or more"),
        (lambda: agreement.decompose_entropy(np.zeros((1, 2, 1, 2))), "summing to 1"),
        (lambda: agreement.decompose_entropy(np.zeros((2, 1, 2))), r"\(chain, draw, point, class"),
        (lambda: gap_score(np.zeros((1, 9, 2)), BOTH, ~BOTH), "f must vary at the data"),
        (lambda: gap_score(np.zeros((1, 1, 2)), BOTH, ~BOTH), "f must be of at least 2 draws"),
        (lambda: gap_score(np.zeros((1, 9, 2)), BOTH, BOTH & False), "at_data must be 2 truth"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def two_chains(shift, draws=500):
    rng = np.random.default_rng(5)
    means = rng.normal(size=(4, draws, 3))
    means[2:] += shift
    return np.stack([means, np.ones(means.shape)], axis=-1)


def test_the_floor_is_that_between_halves_of_the_chains():
    same, apart = (agreement.floor_of(two_chains(shift)) for shift in (0.0, 2.0))
    assert (same.total_variation < 0.05).all()
    # Mutation: halves of the draws, not of the chains, hide that chains disagree.
    assert (apart.total_variation > 0.4).all()
    one_chain = two_chains(0.0)[:1]
    halves = regression_agreement(one_chain[:, :250], one_chain[:, 250:])
    np.testing.assert_array_equal(agreement.floor_of(one_chain)[0], halves[0])
    with pytest.raises(ValueError, match="reference must be of at least 4 draws in all"):
        agreement.floor_of(one_chain[:, :3])


def test_two_members_have_a_gap_score_without_an_error():
    f = np.array([[[0.0, 0.0]], [[3.0, 1.0]]])
    found = gap_score(f, np.array([True, False]), np.array([False, True]))
    assert found.ratio == pytest.approx(3.0)
    assert np.isnan(found.standard_error)
