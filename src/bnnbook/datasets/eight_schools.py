"""Coaching in eight schools: eight effects and their standard errors (Rubin 1981).

Did coaching raise test scores, and by how much in each school? Eight noisy estimates that should
learn from each other: the standard hierarchical model. Introduced in the chapter "The limits of
exact inference".
"""

import numpy as np

from bnnbook.datasets.table import Column, Table

EFFECTS = (28, 8, -3, 7, -1, 1, 18, 12)
STANDARD_ERRORS = (15, 10, 16, 11, 9, 11, 10, 18)


def load() -> Table:
    """The eight schools, A to H in order."""
    columns = {
        "effect": Column(
            np.array(EFFECTS, dtype=np.float64), "SAT points", "estimated effect of coaching"
        ),
        "standard_error": Column(
            np.array(STANDARD_ERRORS, dtype=np.float64),
            "SAT points",
            "standard error of that estimate, taken as known",
        ),
    }
    return Table(
        name="eight_schools",
        columns=columns,
        description="estimated effects of coaching on SAT-V scores in eight schools",
        provenance="typed from the published table",
        licence="facts",
        citation="rubin1981",
    )
