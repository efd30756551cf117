r"""Least squares: the point of a plane that is nearest to the data.

The fitted values are the orthogonal projection of y onto the span of the columns of X, and the
coefficients say where in that plane they lie. Two ways to the same numbers are here: an orthogonal
factorisation, which is the one to use, and the normal equations, which square the condition number
of X and are here to be seen failing. Introduced in the chapter "Linear regression".
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy.typing import ArrayLike, DTypeLike
from scipy import special

from bnnbook import checks


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """A fitted linear model, with what its errors can be told from."""

    coefficients: Float[np.ndarray, " p"]
    """The coefficients b that minimise the sum of squares, in units of y per unit of X."""
    fitted: Float[np.ndarray, " n"]
    """The fitted values X b, in units of y."""
    residuals: Float[np.ndarray, " n"]
    """The residuals y − X b, orthogonal to every column of X."""
    unscaled_covariance: Float[np.ndarray, "p p"]
    """The inverse of XᵀX: the covariance of b for noise of variance one."""
    rank: int
    """The number of linearly independent columns, which is the number of columns p."""

    @property
    def degrees_of_freedom(self) -> int:
        """The number of rows less the number of coefficients, n − p."""
        return len(self.residuals) - self.rank

    @property
    def residual_sd(self) -> float:
        """The estimate s of the noise's standard deviation: s² = RSS / (n − p) is unbiased for σ².

        Raises:
            ValueError: where no degree of freedom is left, so that nothing can be said of it.
        """
        if self.degrees_of_freedom == 0:
            raise checks.fail("degrees_of_freedom", "at least 1 to estimate the noise", 0)
        return float(np.linalg.norm(self.residuals) / np.sqrt(self.degrees_of_freedom))

    @property
    def covariance(self) -> Float[np.ndarray, "p p"]:
        """The estimated covariance of the coefficients, s² (XᵀX)⁻¹."""
        return self.residual_sd**2 * self.unscaled_covariance

    @property
    def standard_errors(self) -> Float[np.ndarray, " p"]:
        """The estimated standard deviations of the coefficients over repeated data."""
        return self.residual_sd * np.sqrt(np.diag(self.unscaled_covariance))


def fit(X: ArrayLike, y: ArrayLike) -> LeastSquares:
    r"""Least squares by a QR factorisation with column pivoting.

    With X = QR, where the columns of Q are orthonormal and R is triangular, the minimum of
    ‖y − Xb‖² is where R b = Qᵀy (Golub and Van Loan 2013, section 5.3). XᵀX is never formed, so
    relative errors of data and arithmetic grow by about the condition number of X, and by its
    square only times the relative size of the residuals: that part is the problem's own.

    Args:
        X: the design matrix, a row an observation, shape (n, p); a column of ones for an intercept.
        y: the outputs, shape (n,).

    Returns:
        The fit.

    Raises:
        ValueError: where an argument is empty, not finite or of a wrong shape, the lengths differ,
            there are fewer rows than columns, or the columns are linearly dependent.
    """
    X, y = _checked(X, y)
    Q, R_inverse = _factor(X)
    coefficients = R_inverse @ (Q.T @ y)
    fitted = X @ coefficients
    return LeastSquares(
        coefficients=coefficients,
        fitted=fitted,
        residuals=y - fitted,
        unscaled_covariance=R_inverse @ R_inverse.T,
        rank=X.shape[1],
    )


def normal_equations(
    X: ArrayLike, y: ArrayLike, dtype: DTypeLike = np.float64
) -> Float[np.ndarray, " p"]:
    r"""The solution of XᵀX b = Xᵀy, all arithmetic in one precision.

    Right on paper. On a computer XᵀX has the squared condition number of X, so half of the digits
    are lost before the equations are solved: on Longley's data float32 gets signs wrong. Use
    ``fit``.

    Args:
        X: the design matrix, shape (n, p).
        y: the outputs, shape (n,).
        dtype: float32 or float64.

    Raises:
        ValueError: for the reasons that ``fit`` has, and where XᵀX is singular in this precision.
    """
    checks.one_of("dtype", np.dtype(dtype).name, ("float32", "float64"))
    X, y = (array.astype(dtype) for array in _checked(X, y))
    try:
        return np.linalg.solve(X.T @ X, X.T @ y)
    except np.linalg.LinAlgError:
        expected = f"such that its normal equations are regular in {np.dtype(dtype).name}"
        raise checks.fail("X", expected, X) from None


def predict(coefficients: ArrayLike, X: ArrayLike) -> Float[np.ndarray, " n"]:
    """The fitted line at new inputs, X b.

    Args:
        coefficients: the coefficients b, shape (p,).
        X: the new design matrix, with the columns that b was fitted on, shape (n, p).

    Raises:
        ValueError: where an argument is not finite, or X has not one column a coefficient.
    """
    b = checks.finite_array("coefficients", coefficients, ndim=1)
    X = checks.finite_array("X", X, ndim=2)
    if X.shape[1] != len(b):
        raise checks.fail("X", f"of {len(b)} columns, one a coefficient", X.shape)
    return X @ b


def leverage(X: ArrayLike) -> Float[np.ndarray, " n"]:
    """How strongly each fitted value follows its own output: the diagonal of the hat matrix.

    The hat matrix H = X (XᵀX)⁻¹ Xᵀ = QQᵀ projects y onto the fitted values; its diagonal lies
    between 0 and 1 and sums to p (Hastie, Tibshirani and Friedman 2009, section 3.2).
    """
    X = _design(X)
    Q, _ = _factor(X)
    return np.einsum("ij,ij->i", Q, Q)


def confidence_intervals(fit: LeastSquares, level: float = 0.95) -> Float[np.ndarray, "p 2"]:
    """Intervals b ± t · se that cover the true coefficients with the given frequency.

    The quantile t is Student's with n − p degrees of freedom. Exact for independent normal noise of
    equal variance, at every n; approximate for other noise, when n is large.

    Args:
        fit: the fit.
        level: the frequency of coverage over repeated data, strictly between 0 and 1.

    Returns:
        The lower and the upper ends, a row a coefficient.
    """
    tail = (1 - checks.fraction("level", level)) / 2
    half = special.stdtrit(fit.degrees_of_freedom, 1 - tail) * fit.standard_errors
    return np.stack([fit.coefficients - half, fit.coefficients + half], axis=1)


def prediction_intervals(
    fit: LeastSquares, X: ArrayLike, level: float = 0.95
) -> Float[np.ndarray, "m 2"]:
    """Intervals that cover one new output at each row of X with the given frequency.

    x̃ᵀb ± t · s √(1 + x̃ᵀ(XᵀX)⁻¹x̃): the 1 is the new output's own noise, the rest the uncertainty
    of the line (Seber and Lee 2003, section 5.3). The quantile t is Student's with n − p degrees of
    freedom. Exact for independent normal noise of equal variance; for other noise it stays wrong
    however large n is, since one output averages over nothing.

    Args:
        fit: the fit.
        X: the new design matrix, with the columns of the fit, shape (m, p).
        level: the frequency of coverage over repeated data and new outputs, strictly between 0
            and 1.

    Returns:
        The lower and the upper ends in units of y, a row an output.

    Raises:
        ValueError: where X is not finite or has not one column a coefficient, the level is out of
            its range, or the fit has no degree of freedom left.
    """
    middle = predict(fit.coefficients, X)
    X = np.asarray(X, dtype=np.float64)
    of_line = np.einsum("mi,ij,mj->m", X, fit.unscaled_covariance, X)
    tail = (1 - checks.fraction("level", level)) / 2
    quantile = special.stdtrit(fit.degrees_of_freedom, 1 - tail)
    half = quantile * fit.residual_sd * np.sqrt(1 + of_line)
    return np.stack([middle - half, middle + half], axis=1)


def mean_squared_error(y: ArrayLike, predicted: ArrayLike) -> float:
    """The mean of (y − prediction)², in squared units of y: the test error, for unseen y."""
    y = checks.finite_array("y", y, ndim=1)
    predicted = checks.finite_array("predicted", predicted, ndim=1)
    checks.same_length(y=y, predicted=predicted)
    return float(np.mean((y - predicted) ** 2))


def _design(X: ArrayLike) -> Float[np.ndarray, "n p"]:
    X = checks.finite_array("X", X, ndim=2)
    n, p = X.shape
    if n < p:
        raise ValueError(f"X must have at least as many rows as columns, got {n} rows, {p} columns")
    return X


def _checked(X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y = checks.finite_array("y", y, ndim=1)
    X = checks.finite_array("X", X, ndim=2)
    checks.same_length(X=X, y=y)
    return _design(X), y


def _factor(
    X: Float[np.ndarray, "n p"],
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "p p"]]:
    """Q and a matrix A with X A = Q, whose columns are orthonormal; an error if X lacks rank."""
    # Scaling the columns by powers of two rounds nothing, and makes the judgement of the rank
    # independent of the units in which the columns are measured.
    scale = np.exp2(np.frexp(np.abs(X).max(axis=0))[1])
    Q, R, order = scipy.linalg.qr(X / scale, mode="economic", pivoting=True)
    pivots = np.abs(np.diag(R))
    rank = int((pivots > max(X.shape) * np.finfo(np.float64).eps * pivots[0]).sum())
    if rank < X.shape[1]:
        raise ValueError(
            f"X must have linearly independent columns, got rank {rank} of {X.shape[1]} columns "
            f"(to double precision, column {order[rank]} is a combination of others)"
        )
    inverse = np.empty_like(R)
    inverse[order] = scipy.linalg.solve_triangular(R, np.eye(len(R)))
    return Q, inverse / scale[:, None]
