r"""Is one method better than another, or were the splits kind to it? Paired differences.

Two methods scored on the same splits share each split's luck, so their difference is taken split by
split. But the splits share most of their training rows, so that differences are correlated, and
s/√J claims more than J overlapping splits can know. Nadeau and Bengio (2003) put the correlation at
the share of rows that is tested, ρ = n₂ / (n₁ + n₂) for n₁ training and n₂ test rows:

.. math:: \Var \bar d \approx \Bigl(\frac1J + \frac{n_2}{n_1}\Bigr) s^2,\quad
          t = \bar d \Big/ \sqrt{\Bigl(\frac1J + \frac{n_2}{n_1}\Bigr) s^2} \sim t_{J-1}

With 90 % for training and 20 splits that is 1.8 times the naive error, and more splits hardly
lessen it. An approximation: no estimator without bias exists (Bengio and Grandvalet 2004). Chapter
"Approximate posteriors, scored" introduces it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

from bnnbook import checks
from bnnbook.exact.intervals import Interval


@dataclass(frozen=True, eq=False)
class Comparison:
    """The mean difference of two methods' scores over splits, and what may be said of it."""

    differences: Float[np.ndarray, " split"]
    """First less second, one a split."""
    standard_error: float
    """Of their mean over other data sets of this size, for the overlap of training sets."""

    @property
    def value(self) -> float:
        """The mean difference."""
        return float(self.differences.mean())

    @property
    def naive_standard_error(self) -> float:
        """s/√J, as if the splits were independent: too small."""
        return float(self.differences.std(ddof=1) / np.sqrt(len(self.differences)))

    @property
    def t(self) -> float:
        """The mean over its error; zero where all differences are."""
        return self.value / self.standard_error if self.value else 0.0

    @property
    def p_value(self) -> float:
        """The two-sided p-value of no difference, by Student's t with J − 1 degrees of freedom."""
        return float(2 * special.stdtr(len(self.differences) - 1, -abs(self.t)))

    def interval(self, probability: float = 0.95) -> Interval:
        """A confidence interval of the difference.

        Args:
            probability: its level, strictly between 0 and 1.
        """
        level = (1 + checks.fraction("probability", probability)) / 2
        half = float(special.stdtrit(len(self.differences) - 1, level)) * self.standard_error
        return Interval(self.value - half, self.value + half)


def standard_error(scores: ArrayLike, num_train: int, num_test: int) -> float:
    """The standard error of a mean over random splits of one data set, overlap accounted for.

    Args:
        scores: one a split, shape (split,), at least two: a method's score or a difference.
        num_train: training rows of each split.
        num_test: test rows of each split.

    Raises:
        ValueError: where there are fewer than two splits, a score is not finite, a number of rows
            is below 1 or there are more test than training rows, for which it was not made.
    """
    scores = checks.finite_array("scores", scores, ndim=1, min_size=2)
    num_train = checks.at_least("num_train", num_train, 1)
    num_test = checks.at_least("num_test", num_test, 1)
    if num_test > num_train:
        raise checks.fail("num_test", f"at most num_train, {num_train}", num_test)
    factor = 1 / len(scores) + num_test / num_train
    return float(scores.std(ddof=1) * np.sqrt(factor))


def compare(first: ArrayLike, second: ArrayLike, num_train: int, num_test: int) -> Comparison:
    """First less second, split by split, with an error that knows of the overlap.

    Args:
        first: one method's score on each split, shape (split,), at least two.
        second: the other's on the same splits, in the same order.
        num_train: training rows of each split.
        num_test: test rows of each split.

    Raises:
        ValueError: where lengths differ, and for the reasons of ``standard_error``; where the
            differences are all the same but not zero, since no error can be told from them.
    """
    first = checks.finite_array("first", first, ndim=1, min_size=2)
    second = checks.finite_array("second", second, ndim=1, min_size=2)
    checks.same_length(first=first, second=second)
    differences = first - second
    if np.ptp(differences) == 0 and differences[0] != 0:
        raise ValueError(
            f"first and second must not differ by the same {differences[0]} on every split: that "
            "tells no error"
        )
    return Comparison(differences, standard_error(differences, num_train, num_test))
