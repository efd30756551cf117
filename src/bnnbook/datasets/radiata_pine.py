"""Strength of 42 specimens of radiata pine, and two densities (Williams 1959).

Which predicts strength better, the plain density or the density adjusted for resin? The two
straight lines are not nested, and their evidences are known exactly. Specimen 9 is
(3160, 27.1, 26.3); copies with (3670, 32.3, 29.0) in that row have been used in papers. Introduced
in the chapter "Model evidence".
"""

from dataclasses import replace

import numpy as np

from bnnbook import checks
from bnnbook.datasets.registry import Meaning, load_csv
from bnnbook.datasets.table import Table

MEANINGS = {
    "specimen": Meaning("number", "number of the specimen, from 1"),
    "strength": Meaning("lb/in²", "maximum compressive strength parallel to the grain"),
    "density": Meaning("lb/ft³", "density"),
    "adjusted_density": Meaning("lb/ft³", "density adjusted for the resin content"),
}


MISPRINT = {"strength": 3670.0, "density": 32.3, "adjusted_density": 29.0}
"""Specimen 9 in the wrong copies."""


def load(specimen_9: str = "right") -> Table:
    """The 42 specimens.

    Args:
        specimen_9: "right", or "as misprinted" for the row of the wrong copies, to reproduce
            numbers that were computed from them; never for anything else.

    Raises:
        ValueError: where the choice is another.
        DataIntegrityError: where the file is missing or was changed.
    """
    choice = checks.one_of("specimen_9", specimen_9, ("right", "as misprinted"))
    table = load_csv("radiata_pine.csv", "radiata_pine", MEANINGS, "42 specimens of radiata pine")
    return table if choice == "right" else _misprinted(table)


def _misprinted(table: Table) -> Table:
    ninth = table["specimen"] == 9
    columns = dict(table.columns)
    for name, value in MISPRINT.items():
        columns[name] = replace(columns[name], values=np.where(ninth, value, table[name]))
    wrong = "a wrong copy: specimen 9 is not Williams's"
    return replace(table, columns=columns, description=f"{table.description}, {wrong}")
