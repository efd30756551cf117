"""Test scores of 434 young children, and their mothers' schooling and IQ (Gelman and Hill 2007).

The book's first real data: how well does a mother's test score predict her child's? Introduced in
the chapter "Linear regression".
"""

from bnnbook.datasets.registry import Meaning, load_csv
from bnnbook.datasets.table import Table

MEANINGS = {
    "kid_score": Meaning("points", "the child's cognitive test score at age three or four"),
    "mom_hs": Meaning("1 yes, 0 no", "whether the mother finished high school"),
    "mom_iq": Meaning("IQ points", "the mother's IQ score, on a scale with mean 100"),
    "mom_age": Meaning("years", "the mother's age"),
}


def load() -> Table:
    """The 434 children, from the (United States) National Longitudinal Survey of Youth.

    Raises:
        DataIntegrityError: where the file is missing or was changed.
    """
    return load_csv(
        "kidiq.csv",
        "kidiq",
        MEANINGS,
        "434 children of the National Longitudinal Survey of Youth and their mothers",
    )
