"""A split is a partition of the rows, and every row is as likely as any other to be held out."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bnnbook.datasets.splits import train_test_split


@given(st.integers(0, 2**31), st.sampled_from([2, 3, 10, 434]), st.floats(0.3, 0.7))
def test_a_split_is_a_partition(seed: int, num_rows: int, test_fraction: float) -> None:
    train, test = train_test_split(jax.random.key(seed), num_rows, test_fraction)
    assert sorted([*train, *test]) == list(range(num_rows))
    assert len(test) == round(num_rows * test_fraction)


def held_out_p_value(first_rows_only: bool) -> float:
    """Chi-squared p value of 'each of 10 rows is held out equally often', 400 splits."""
    tests = [train_test_split(jax.random.key(k), 10, 0.3)[1] for k in range(400)]
    counts = np.bincount(np.concatenate(tests), minlength=10)
    if first_rows_only:  # the mutation: a split that never shuffles
        counts = np.where(np.arange(10) < 3, 400, 0)
    # Each count has variance 400 · 0.3 · 0.7, and any two have correlation −1/9, because rows of
    # one split exclude each other: on contrasts the covariance is 10/9 of that variance.
    statistic = ((counts - 120) ** 2).sum() / (400 * 0.3 * 0.7 * 10 / 9)
    return float(stats.chi2(9).sf(statistic))


def test_every_row_is_held_out_equally_often() -> None:
    assert held_out_p_value(first_rows_only=False) > 1e-4


def test_an_unshuffled_split_is_seen() -> None:
    assert held_out_p_value(first_rows_only=True) < 1e-4


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, float("nan")])
def test_bad_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match="test_fraction must be strictly between 0 and 1"):
        train_test_split(jax.random.key(0), 10, fraction)


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match="test_fraction must be such that both parts of 10 rows"):
        train_test_split(jax.random.key(0), 10, 0.01)


def test_too_few_rows() -> None:
    with pytest.raises(ValueError, match="num_rows must be a whole number of at least 2, got 1"):
        train_test_split(jax.random.key(0), 1, 0.5)
