"""A prior acts as extra rows of data, and a matrix that is no precision is refused."""

import numpy as np
import pytest

from bnnbook.exact import stacked_rows

COVARIANCE = np.array([[4.0, 1.0], [1.0, 9.0]])
MEAN = np.array([1.0, -2.0])


def test_precision_and_covariance_name_the_same_distribution():
    _, by_covariance = stacked_rows.normal_from_covariance(MEAN, COVARIANCE)
    _, by_precision = stacked_rows.normal_from_precision(MEAN, np.linalg.inv(COVARIANCE))
    np.testing.assert_allclose(by_covariance, by_precision, atol=1e-14)
    np.testing.assert_allclose(stacked_rows.covariance_of(by_covariance), COVARIANCE, rtol=1e-12)
    # Mutation: the covariance taken for the precision.
    _, mixed_up = stacked_rows.normal_from_precision(MEAN, COVARIANCE)
    assert not np.allclose(mixed_up, by_covariance, atol=0.1)


def test_the_verdict_on_a_prior_does_not_depend_on_units():
    units = np.diag([1e-9, 1e9])
    _, root = stacked_rows.normal_from_covariance(MEAN, units @ COVARIANCE @ units)
    _, plain = stacked_rows.normal_from_covariance(MEAN, COVARIANCE)
    np.testing.assert_allclose(root @ units, plain, rtol=1e-12, atol=1e-14)


def test_prior_rows_are_rows_of_data():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5, 2)), rng.normal(size=5)
    mean, root = stacked_rows.normal_from_covariance(MEAN, COVARIANCE)
    stacked = stacked_rows.combine(mean, root, X, y)
    by_hand = np.linalg.lstsq(np.vstack([root, X]), np.concatenate([root @ mean, y]))
    np.testing.assert_allclose(stacked.mean, by_hand[0], rtol=1e-12)
    assert stacked.square == pytest.approx(by_hand[1][0], rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stacked_rows.normal_from_precision(MEAN, [1.0, 0.0]), "precision must be symm"),
        (lambda: stacked_rows.normal_from_precision(MEAN, [1.0, -2.0]), "precision must be symm"),
        (lambda: stacked_rows.normal_from_precision(MEAN, [1.0]), r"of shape \(2, 2\) or \(2,\)"),
        (lambda: stacked_rows.normal_from_precision(MEAN, [1.0, np.inf]), "finite everywhere"),
        (lambda: stacked_rows.normal_from_covariance(MEAN, [[1, 2], [2, 1]]), "positive definite"),
        (lambda: stacked_rows.normal_from_covariance(MEAN, [[1, 1], [1, 1]]), "positive definite"),
        (lambda: stacked_rows.normal_from_covariance(MEAN, [[2, 1], [0, 2]]), "symmetric and"),
        (lambda: stacked_rows.check_normal(MEAN, np.eye(3)), r"must be of shape \(2, 2\)"),
        (lambda: stacked_rows.check_normal(MEAN, np.ones((2, 2))), "upper triangular"),
        (lambda: stacked_rows.proper(None), "prior must be proper"),
    ],
)
def test_bad_priors_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
