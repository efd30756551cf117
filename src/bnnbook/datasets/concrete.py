"""Strength of 1030 mixes of concrete (Yeh 1998).

Eight numbers describe a mix and its age; how strong is it? The relation is far from linear, which
makes it a standard test of regression with networks. Introduced in the chapter "Approximate
posteriors, scored".
"""

from bnnbook.datasets.registry import Meaning, load_csv
from bnnbook.datasets.table import Table

MEANINGS = {
    "cement": Meaning("kg/m³", "cement"),
    "blast_furnace_slag": Meaning("kg/m³", "ground blast-furnace slag"),
    "fly_ash": Meaning("kg/m³", "fly ash"),
    "water": Meaning("kg/m³", "water"),
    "superplasticizer": Meaning("kg/m³", "superplasticiser"),
    "coarse_aggregate": Meaning("kg/m³", "coarse aggregate, such as gravel"),
    "fine_aggregate": Meaning("kg/m³", "fine aggregate, such as sand"),
    "age": Meaning("days", "age when the specimen was crushed"),
    "compressive_strength": Meaning("MPa", "the stress at which the specimen failed"),
}


def load() -> Table:
    """The 1030 mixes, in the row order of the UCI repository, on which published splits rest.

    Raises:
        DataIntegrityError: where the file is missing or was changed.
    """
    return load_csv(
        "concrete.csv", "concrete", MEANINGS, "1030 specimens of high-performance concrete"
    )
