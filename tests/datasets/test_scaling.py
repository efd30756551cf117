"""Scaling by training rows."""

import numpy as np
import pytest

from bnnbook.datasets.scaling import Scaling

ROWS = np.random.default_rng(0).normal(3.0, [1.0, 50.0], (40, 2))


@pytest.mark.parametrize("rows", [ROWS, ROWS[:, 0]])
def test_rows_have_mean_zero_and_sd_one_and_come_back(rows):
    scaling = Scaling.of(rows)
    z = scaling.scaled(rows)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=0), 1)
    np.testing.assert_allclose(scaling.unscaled(z), rows)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.column_stack([ROWS[:, 0], np.full(40, 0.1)]), "rows must be .*column 1, 0.1"),
        (np.full(7, 0.1), "column 0, 0.1"),
        (np.array([1.0, np.nan]), "rows must be finite everywhere"),
        ([], "rows must have at least 1 elements"),
    ],
)
def test_what_cannot_be_scaled_is_named(rows, said):
    with pytest.raises(ValueError, match=said):
        Scaling.of(rows)
