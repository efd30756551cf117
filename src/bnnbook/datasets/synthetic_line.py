"""A straight line through the origin, seen through heavy noise.

Data whose truth we know, because we made them: x uniform on an interval, y = slope · x + noise.
The defaults are those of the 2018 tutorial that this book grew from. Introduced in the chapter
"Linear regression".
"""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from bnnbook import checks
from bnnbook.datasets.table import Column, Table

SLOPE = 10.0
NOISE_SD = 50.0


def simulate(
    rng_key: PRNGKeyArray,
    n: int = 2000,
    slope: float = SLOPE,
    noise_sd: float = NOISE_SD,
    low: float = 1.0,
    high: float = 20.0,
) -> Table:
    """Points of a line: y = βx + ε with ε ~ N(0, σ), x ~ U(low, high), all independent.

    Args:
        rng_key: a JAX key.
        n: the number of points.
        slope: the true slope β.
        noise_sd: the standard deviation σ of the noise.
        low: the lower end of the interval from which the x are drawn.
        high: its upper end.

    Returns:
        A table with the columns x and y.

    Raises:
        ValueError: where n is below 1, noise_sd is not positive, or high is not above low.
    """
    n = checks.at_least("n", n, 1)
    slope, noise_sd = checks.finite("slope", slope), checks.positive("noise_sd", noise_sd)
    low, high = checks.finite("low", low), checks.finite("high", high)
    if high <= low:
        raise checks.fail("high", f"above low = {low:g}", high)
    with jax.enable_x64(True):
        x_key, noise_key = jax.random.split(rng_key)
        x = np.asarray(jax.random.uniform(x_key, (n,), minval=low, maxval=high, dtype="float64"))
        noise = np.asarray(jax.random.normal(noise_key, (n,), dtype="float64"))
    return Table(
        name="synthetic_line",
        columns={
            "x": Column(x, "none", f"input, uniform on {low:g} to {high:g}"),
            "y": Column(slope * x + noise_sd * noise, "none", "output: slope times x, plus noise"),
        },
        description=f"{n} points of a line of slope {slope:g} with noise of sd {noise_sd:g}",
        provenance="simulated by bnnbook.datasets.synthetic_line",
        licence="CC0",
        citation="",
    )
