"""The synthetic line has the law that it promises."""

import jax
import numpy as np
import pytest
from scipy import stats

from bnnbook.datasets import synthetic_line

#: Each statistical test of this file raises a false alarm at most this often.
ALPHA = 1e-4
N = 20_000


def p_values(table_slope: float, noise_sd: float, high: float) -> tuple[float, float]:
    """Kolmogorov–Smirnov p values of x and of the noise under the default law."""
    table = synthetic_line.simulate(
        jax.random.key(1), n=N, slope=table_slope, noise_sd=noise_sd, high=high
    )
    noise = table["y"] - synthetic_line.SLOPE * table["x"]
    x_law, noise_law = stats.uniform(1, 19), stats.norm(0, synthetic_line.NOISE_SD)
    return stats.kstest(table["x"], x_law.cdf).pvalue, stats.kstest(noise, noise_law.cdf).pvalue


def test_x_is_uniform_and_noise_normal() -> None:
    assert min(p_values(10.0, 50.0, 20.0)) > ALPHA


@pytest.mark.parametrize("mutation", [(10.0, 50.0, 21.0), (10.5, 50.0, 20.0), (10.0, 47.0, 20.0)])
def test_mutations_are_seen(mutation: tuple[float, float, float]) -> None:
    assert min(p_values(*mutation)) < ALPHA


def test_same_key_same_data_and_other_key_other_data() -> None:
    first, again, other = (synthetic_line.simulate(jax.random.key(k), n=50) for k in (3, 3, 4))
    assert np.array_equal(first.matrix(), again.matrix())
    assert not np.array_equal(first.matrix(), other.matrix())


def test_simulating_leaves_the_precision_of_the_process_alone() -> None:
    synthetic_line.simulate(jax.random.key(0), n=3)
    assert jax.numpy.ones(1).dtype == np.float32


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("n", 0, "n must be a whole number of at least 1, got 0"),
        ("noise_sd", -1.0, "noise_sd must be positive and finite, got -1.0"),
        ("slope", float("nan"), "slope must be a finite number, got nan"),
        ("high", 1.0, "high must be above low = 1, got 1.0"),
    ],
)
def test_bad_arguments(argument: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic_line.simulate(jax.random.key(0), **{argument: value})  # type: ignore[arg-type]
