"""Which rows to learn from and which to be tested on.

A model is judged by rows that it has not seen. Which rows those are is chance, and the chance
matters: the chapter "Linear regression" repeats the split many times and shows how much. Chapter
"Approximate posteriors, scored" takes the splits of published tables and reads each test set once.
"""

import jax
import numpy as np
from jaxtyping import Int, PRNGKeyArray
from numpy.typing import ArrayLike

from bnnbook import checks


def train_test_split(
    rng_key: PRNGKeyArray, num_rows: int, test_fraction: float
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """A uniformly random split of the row numbers 0, 1, …, num_rows − 1 into two parts.

    Args:
        rng_key: a JAX key.
        num_rows: the number of rows, at least 2.
        test_fraction: the share of rows in the test part; their number is rounded to a whole one.

    Returns:
        The row numbers to train on and those to test on, in random order, disjoint and complete.

    Raises:
        ValueError: where num_rows is below 2, test_fraction is not strictly between 0 and 1, or one
            part would be empty.
    """
    num_rows = checks.at_least("num_rows", num_rows, 2)
    num_test = round(num_rows * checks.fraction("test_fraction", test_fraction))
    if num_test in (0, num_rows):
        expected = f"such that both parts of {num_rows} rows have a row"
        raise checks.fail("test_fraction", expected, test_fraction)
    # NumPy's shuffle, seeded by the key: JAX's would compile anew for every number of rows.
    order = np.random.default_rng(np.asarray(jax.random.key_data(rng_key))).permutation(num_rows)
    return order[num_test:], order[:num_test]


def published_splits(
    num_rows: int, num_splits: int = 20, train_fraction: float = 0.9, seed: int = 1
) -> list[tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]]:
    """The splits of the published tables of regression with networks, row by row.

    Hernández-Lobato and Adams (2015) seeded NumPy's old generator with 1 and permuted the rows once
    a split; the first round(0.9 n) of each permutation are for training. Papers since then use the
    same splits, so results can be compared split by split. The rows must be in the order of the
    repository that the papers took them from. The global generator is not touched.

    Args:
        num_rows: the number of rows, at least 2.
        num_splits: how many splits; fewer give the first ones.
        train_fraction: the share of rows to train on; their number is rounded to a whole one.
        seed: of the old generator; 1 in the papers.

    Returns:
        For each split the row numbers to train on and those to test on, disjoint and complete.

    Raises:
        ValueError: where a number is too small, train_fraction is not strictly between 0 and 1, or
            one part would be empty.
    """
    num_rows = checks.at_least("num_rows", num_rows, 2)
    num_splits = checks.at_least("num_splits", num_splits, 1)
    num_train = round(num_rows * checks.fraction("train_fraction", train_fraction))
    if num_train in (0, num_rows):
        expected = f"such that both parts of {num_rows} rows have a row"
        raise checks.fail("train_fraction", expected, train_fraction)
    old = np.random.RandomState(checks.at_least("seed", seed, 0))
    orders = [old.choice(num_rows, num_rows, replace=False) for _ in range(num_splits)]
    return [(order[:num_train], order[num_train:]) for order in orders]


class HeldOut:
    """Values that can be read once: the outputs of a test set, sealed until the final scoring.

    Whoever looks at the test score, changes a setting and looks again has trained on the test set,
    a little each time. So the values are given out once, to the function that scores all methods
    together, and never again: a second reading raises. The seal is a reminder, no lock; whoever
    holds the table can read the rows elsewhere.

    >>> y_test = HeldOut([1.0, 2.0], name="y_test")
    >>> len(y_test)
    2
    >>> y_test.unseal("score_all")
    array([1., 2.])
    >>> y_test.unseal("another try")
    Traceback (most recent call last):
    ...
    bnnbook.datasets.splits.AlreadyReadError: y_test may be read once, which score_all did
    """

    __slots__ = ("__values", "name", "opened_by")

    name: str
    """What the values are called in messages."""
    opened_by: str | None
    """Who has read the values; None while they are sealed."""

    def __init__(self, values: ArrayLike, name: str = "held_out") -> None:
        array = np.array(values)  # a copy: changing the original later changes nothing here
        if array.ndim == 0 or array.size == 0:
            raise checks.fail(name, "an array with at least one value", values)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            checks.finite_array(name, array)
        array.setflags(write=False)
        self.__values, self.name, self.opened_by = array, name, None

    def __len__(self) -> int:
        """The number of values, which may be known beforehand."""
        return len(self.__values)

    def __repr__(self) -> str:
        state = "sealed" if self.opened_by is None else f"read by {self.opened_by}"
        return f"HeldOut({self.name}, {len(self)} values, {state})"

    def unseal(self, reader: str) -> np.ndarray:
        """The values, this once.

        Args:
            reader: who reads them, for the message to whoever comes next.

        Raises:
            AlreadyReadError: where they were read before.
        """
        if self.opened_by is not None:
            raise AlreadyReadError(f"{self.name} may be read once, which {self.opened_by} did")
        if not reader:
            raise checks.fail("reader", "the name of who reads", reader)
        self.opened_by = reader
        return self.__values

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise TypeError(f"{self.name} is sealed: hand it to the scoring function, which opens it")

    def __copy__(self) -> "HeldOut":
        return self

    def __deepcopy__(self, memo: object) -> "HeldOut":
        return self

    def __reduce_ex__(self, protocol: object) -> str:
        raise TypeError(f"{self.name} is sealed and cannot be pickled: that would be a second copy")


class AlreadyReadError(RuntimeError):
    """Held-out values were asked for a second time."""
