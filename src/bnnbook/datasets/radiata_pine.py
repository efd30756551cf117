"""Strength of 42 specimens of radiata pine, and two densities (Williams 1959).

Which predicts strength better, the plain density or the density adjusted for resin? The two
straight lines are not nested, and their evidences are known exactly. Specimen 9 is
(3160, 27.1, 26.3); copies with (3670, 32.3, 29.0) in that row have been used in papers. Introduced
in the chapter "Model evidence".
"""

from bnnbook.datasets.registry import Meaning, load_csv
from bnnbook.datasets.table import Table

MEANINGS = {
    "specimen": Meaning("number", "number of the specimen, from 1"),
    "strength": Meaning("lb/in²", "maximum compressive strength parallel to the grain"),
    "density": Meaning("lb/ft³", "density"),
    "adjusted_density": Meaning("lb/ft³", "density adjusted for the resin content"),
}


def load() -> Table:
    """The 42 specimens, with the right specimen 9.

    Raises:
        DataIntegrityError: where the file is missing or was changed.
    """
    return load_csv("radiata_pine.csv", "radiata_pine", MEANINGS, "42 specimens of radiata pine")
