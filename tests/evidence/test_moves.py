"""Moves by differences of a crowd: symmetric, and with the crowd's own covariance."""

import jax
import numpy as np
import pytest

from bnnbook.evidence import moves

pytestmark = pytest.mark.usefixtures("x64")
SHAPE = np.array([[3.0, 0.0], [2.5, 0.1]])


def test_moves_have_mean_zero_and_the_shape_of_the_crowd(monkeypatch):
    crowd = np.random.default_rng(0).normal(size=(400, 2)) @ SHAPE.T
    found = np.asarray(moves.difference_moves(jax.random.key(0), crowd, 40_000))
    factor = 0.9 * 2.38**2 / 4 + 0.1
    expected = 2 * factor * np.cov(crowd.T, ddof=0) * 400 / 399
    assert (np.abs(found.mean(0)) < 4 * np.sqrt(np.diag(expected) / 40_000)).all()
    # Fourth moments of a mixture of normals: a relative error of 3 / √n bounds that of a variance.
    np.testing.assert_allclose(np.cov(found.T), expected, rtol=4 * 3 / np.sqrt(40_000))
    assert (np.abs(found).sum(axis=1) > 0).all()
    # Mutation: full moves only.
    monkeypatch.setattr(moves, "FULL_MOVES", 1.0)
    fewer = np.asarray(moves.difference_moves(jax.random.key(0), crowd, 40_000))
    assert abs(np.cov(fewer.T)[0, 0] / expected[0, 0] - 1) > 4 * 3 / np.sqrt(40_000)
