"""Each data set has the rows, columns and well-known summaries that its source reports."""

from collections.abc import Callable

import numpy as np
import pytest

from bnnbook.datasets import (
    concrete,
    diabetes,
    eight_schools,
    kidiq,
    longley,
    motorcycle,
    pima,
    radiata_pine,
)
from bnnbook.datasets.table import Table

ROWS = {
    concrete.load: 1030,
    diabetes.load: 442,
    eight_schools.load: 8,
    kidiq.load: 434,
    longley.load: 16,
    motorcycle.load: 133,
    pima.load: 532,
    radiata_pine.load: 42,
}


@pytest.mark.parametrize(("load", "num_rows"), ROWS.items())
def test_number_of_rows(load: Callable[[], Table], num_rows: int) -> None:
    assert load().num_rows == num_rows


@pytest.mark.parametrize("load", ROWS)
def test_every_column_has_a_unit_and_a_description(load: Callable[[], Table]) -> None:
    table = load()
    assert all(c.unit and c.description for c in table.columns.values())
    assert all([table.description, table.provenance, table.licence, table.citation])


def test_pine_has_the_right_specimen_nine() -> None:
    assert radiata_pine.load().matrix()[8].tolist() == [9.0, 3160.0, 27.1, 26.3]


def test_pine_as_misprinted_differs_in_specimen_nine_alone() -> None:
    right, wrong = radiata_pine.load(), radiata_pine.load(specimen_9="as misprinted")
    differs = (right.matrix() != wrong.matrix()).any(axis=1)
    assert np.flatnonzero(differs).tolist() == [8]
    assert wrong.matrix()[8].tolist() == [9.0, 3670.0, 32.3, 29.0]
    assert "wrong copy" in wrong.description
    assert "wrong" not in right.description
    with pytest.raises(ValueError, match=r"specimen_9 must be one of .* got 'wrong'"):
        radiata_pine.load(specimen_9="wrong")


def test_pima_codes_its_words() -> None:
    table = pima.load()
    assert (table["split"] == 0).sum() == 200
    assert (table["type"] == 1).sum() == 68 + 109  # Pima.tr and Pima.te, MASS


def test_pima_says_whose_data_they_are() -> None:
    assert "Akimel O'odham" in (pima.__doc__ or "")
    assert "Akimel O'odham" in pima.load().description


def test_eight_schools_pooled_effect() -> None:
    table = eight_schools.load()
    weights = table["standard_error"] ** -2
    # Gelman et al., Bayesian Data Analysis, section 5.5: 7.7, standard error 4.1.
    assert np.average(table["effect"], weights=weights) == pytest.approx(7.7, abs=0.05)
    assert weights.sum() ** -0.5 == pytest.approx(4.1, abs=0.05)


def test_longley_puts_employment_first() -> None:
    table = longley.load()
    assert tuple(table.columns) == ("TOTEMP", *longley.PREDICTORS)
    assert table["YEAR"].tolist() == list(range(1947, 1963))
