"""Two bases of the same space, of which one is nearly orthogonal."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnbook.exact.least_squares import fit
from bnnbook.exact.polynomials import legendre, monomials

X = np.random.default_rng(3).uniform(2.0, 5.0, 40)


def test_monomials_are_powers() -> None:
    assert monomials([2.0, 3.0], 2).tolist() == [[1.0, 2.0, 4.0], [1.0, 3.0, 9.0]]


@given(st.integers(0, 5))
def test_both_bases_fit_the_same_polynomial(degree: int) -> None:
    y = np.sin(X)
    first, second = fit(monomials(X, degree), y), fit(legendre(X, degree, 2.0, 5.0), y)
    np.testing.assert_allclose(first.fitted, second.fitted, atol=1e-8)


def gram(low: float, high: float) -> np.ndarray:
    """Inner products under the uniform distribution on 2 to 5, by exact Gauss quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    columns = legendre(3.5 + 1.5 * nodes, 6, low, high)
    return columns.T * (weights / 2) @ columns


def test_legendre_columns_are_orthogonal_on_their_interval() -> None:
    expected = np.diag(1 / (2 * np.arange(7) + 1))
    np.testing.assert_allclose(gram(2.0, 5.0), expected, atol=1e-14)


def test_another_interval_is_seen() -> None:
    assert abs(gram(2.0, 6.0) - np.diag(np.diag(gram(2.0, 6.0)))).max() > 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], -1), "degree must be a whole number of at least 0, got -1"),
        (([0.0], 2, 1.0, 1.0), "high must be above low = 1"),
        (([0.0, 3.0], 2), r"x must be between -1 and 1, got \(0.0, 3.0\)"),
        (([np.nan], 2), "x must be finite everywhere"),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        legendre(*arguments)
