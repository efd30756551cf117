r"""Polynomials in one variable as linear models: the columns of the design matrix.

Linear regression is linear in its coefficients, not in x: any functions of x may be the columns.
Monomials span the polynomials, but their columns are nearly parallel; Legendre's polynomials span
the same space with columns that are nearly orthogonal. Introduced in the chapter "Linear
regression".
"""

import numpy as np
from jaxtyping import Float
from numpy.polynomial.legendre import legvander
from numpy.typing import ArrayLike

from bnnbook import checks


def monomials(x: ArrayLike, degree: int) -> Float[np.ndarray, "n columns"]:
    """The columns 1, x, x², …, up to the degree.

    Args:
        x: the inputs, shape (n,).
        degree: the highest power, at least 0.
    """
    x = checks.finite_array("x", x, ndim=1)
    return np.vander(x, checks.at_least("degree", degree, 0) + 1, increasing=True)


def legendre(
    x: ArrayLike, degree: int, low: float = -1.0, high: float = 1.0
) -> Float[np.ndarray, "n columns"]:
    """The columns P₀, P₁, …, up to the degree, Legendre's polynomials stretched to an interval.

    Orthogonal under the uniform distribution on the interval, where each lies between −1 and 1.

    Args:
        x: the inputs, shape (n,).
        degree: the highest degree, at least 0.
        low: the lower end of the interval.
        high: its upper end.

    Raises:
        ValueError: where an argument is bad, high is not above low, or an x is outside: beyond its
            interval a polynomial of high degree explodes, which should not happen unawares.
    """
    x = checks.finite_array("x", x, ndim=1)
    low, high = checks.finite("low", low), checks.finite("high", high)
    if high <= low:
        raise checks.fail("high", f"above low = {low:g}", high)
    if x.min() < low or x.max() > high:
        raise checks.fail("x", f"between {low:g} and {high:g}", (float(x.min()), float(x.max())))
    return legvander((2 * x - low - high) / (high - low), checks.at_least("degree", degree, 0))
