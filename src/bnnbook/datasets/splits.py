"""Which rows to learn from and which to be tested on.

A model is judged by rows that it has not seen. Which rows those are is chance, and the chance
matters: the chapter "Linear regression" repeats the split many times and shows how much.
"""

import jax
import numpy as np
from jaxtyping import Int, PRNGKeyArray

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
