"""Data in units of order one: less their mean, over their standard deviation.

The mean and the standard deviation are of the training rows alone, or the test rows have been
looked at. Chapter "Approximate posteriors, scored" uses it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bnnbook import checks


class Scaling(NamedTuple):
    """What is subtracted from values and what they are divided by."""

    mean: np.ndarray
    """The mean over the training rows, of each column or of the one."""
    sd: np.ndarray
    """The standard deviation over the training rows, with divisor n."""

    @classmethod
    def of(cls, rows: ArrayLike) -> "Scaling":
        """By the mean and the standard deviation over the first axis.

        Raises:
            ValueError: where values are not finite, or a column is constant.
        """
        array = checks.finite_array("rows", rows)
        mean, sd = array.mean(axis=0), array.std(axis=0)
        constant = np.flatnonzero(np.ptp(array, axis=0) == 0)
        if len(constant):
            expected = "of columns that change, for a constant one has no scale"
            raise checks.fail(
                "rows", expected, f"column {constant[0]}, {array.flat[constant[0]]:g}"
            )
        return cls(mean, sd)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """In units of the standard deviation."""
        return (values - self.mean) / self.sd

    def unscaled(self, values: np.ndarray) -> np.ndarray:
        """Back in the data's own units."""
        return values * self.sd + self.mean
