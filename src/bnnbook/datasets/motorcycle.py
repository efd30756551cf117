"""Head acceleration in a simulated motorcycle crash (Silverman 1985).

A curve that is flat, plunges, swings back and settles, with noise whose size changes along the way:
the standard test of smooth regression. Introduced in the chapter "A network is a prior over
functions".
"""

from bnnbook.datasets.registry import Meaning, load_csv
from bnnbook.datasets.table import Table

MEANINGS = {
    "times": Meaning("ms", "time after the impact"),
    "accel": Meaning("g", "acceleration of the head of a test object"),
}


def load() -> Table:
    """The 133 measurements; several times occur more than once.

    Raises:
        DataIntegrityError: where the file is missing or was changed.
    """
    return load_csv(
        "mcycle.csv",
        "motorcycle",
        MEANINGS,
        "133 accelerations in simulated motorcycle impacts, made to test crash helmets",
    )
