"""Longley's macroeconomic data, which broke the regression programs of 1967.

Sixteen years, six series that nearly move as one: a design so close to singular that careless
arithmetic loses every digit. NIST has certified the right answer. Introduced in the chapter "Linear
regression".
"""

from bnnbook.datasets.registry import as_table, verified_values
from bnnbook.datasets.table import Column, Table

MEANINGS = {
    "TOTEMP": ("thousands of people", "total employment"),
    "GNPDEFL": ("index, 1954 = 100", "implicit price deflator of the gross national product"),
    "GNP": ("millions of dollars", "gross national product"),
    "UNEMP": ("thousands of people", "unemployment"),
    "ARMED": ("thousands of people", "size of the armed forces"),
    "POP": ("thousands of people", "non-institutional population aged 14 and over"),
    "YEAR": ("year", "calendar year"),
}
PREDICTORS = ("GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR")


def load() -> Table:
    """The sixteen years from 1947 to 1962, in the United States.

    Raises:
        DataIntegrityError: where statsmodels' copy is not the one registered here.
    """
    # Deferred: statsmodels takes a second to import, which only this data set should cost.
    from statsmodels.datasets import longley

    frame = longley.load_pandas().data
    values = verified_values("longley", frame[list(MEANINGS)].to_numpy(dtype=float))
    columns = {
        name: Column(values[:, i], unit, description)
        for i, (name, (unit, description)) in enumerate(MEANINGS.items())
    }
    return as_table("longley", "longley", columns, "employment in the United States, 1947 to 1962")
