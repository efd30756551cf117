"""A normal prior as extra rows of data: the linear algebra that conjugate regressions share.

A normal distribution of p coefficients is held by its mean m and an upper triangular root R of its
precision RᵀR. Its density falls with ‖R (b − m)‖², which is the sum of squares of p more rows of
data: R as their inputs and R m as their outputs. So prior and data are combined by least squares on
the stacked rows, with a QR factorisation, and XᵀX is never formed (Golub and Van Loan 2013,
section 5.3). Chapter "Bayesian linear regression" introduces the idea; readers need nothing else
from here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy.typing import ArrayLike

from bnnbook import checks


class Stacked(NamedTuple):
    """Least squares on the prior's rows stacked upon the data's."""

    mean: Float[np.ndarray, " p"]
    """The minimiser: the posterior mean."""
    precision_root: Float[np.ndarray, "p p"]
    """The triangular factor: a root of the posterior precision for noise of variance one."""
    square: float
    """The least sum of squares, prior and data together."""


def combine(
    mean: Float[np.ndarray, " p"] | None,
    root: Float[np.ndarray, "p p"] | None,
    X: Float[np.ndarray, "n p"],
    y: Float[np.ndarray, " n"],
) -> Stacked:
    """Prior and data at noise of variance one, by one QR factorisation; flat where both are None.

    Raises:
        ValueError: where together they leave a combination of the coefficients undetermined.
    """
    rows, target = X, y
    if mean is not None and root is not None:
        rows, target = np.vstack([root, X]), np.concatenate([root @ mean, y])
    if len(rows) < X.shape[1]:
        raise checks.fail("X", "of at least as many rows as columns under a flat prior", X.shape)
    Q, R = scipy.linalg.qr(rows, mode="economic")
    _check_rank(R, len(rows))
    solution = scipy.linalg.solve_triangular(R, Q.T @ target)
    residual = target - rows @ solution
    return Stacked(solution, np.sign(np.diag(R))[:, None] * R, float(residual @ residual))


def proper[Prior](prior: Prior | None) -> Prior:
    """A prior that has an evidence."""
    if prior is None:
        raise checks.fail("prior", "proper, since under an improper one no evidence exists", prior)
    return prior


def _check_rank(R: Float[np.ndarray, "p p"], num_rows: int) -> None:
    """Whether each column adds something to those before it, whatever their units."""
    own, whole = np.abs(np.diag(R)), np.linalg.norm(R, axis=0)
    lost = np.flatnonzero(own <= num_rows * np.finfo(np.float64).eps * whole)
    if len(lost):
        raise ValueError(
            "X must have linearly independent columns, or the prior must be sharp enough to make "
            f"up for it, got column {lost[0]}, a combination of those before it (to double "
            "precision)"
        )


def check_normal(mean: ArrayLike, root: ArrayLike) -> None:
    """Whether a mean and a triangular root of the precision define a normal distribution."""
    mean = checks.finite_array("mean", mean, ndim=1)
    root = checks.finite_array("precision_root", root, ndim=2)
    if root.shape != (len(mean), len(mean)):
        raise checks.fail("precision_root", f"of shape ({len(mean)}, {len(mean)})", root.shape)
    if np.tril(root, -1).any() or (np.diag(root) <= 0).any():
        raise checks.fail("precision_root", "upper triangular, of positive diagonal", root)


def normal_from_precision(
    mean: ArrayLike, precision: ArrayLike
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "p p"]]:
    """The mean and the triangular root, from a precision matrix or its diagonal."""
    mean = checks.finite_array("mean", mean, ndim=1)
    lower, scale = _cholesky("precision", precision, len(mean))
    return mean, lower.T * scale


def normal_from_covariance(
    mean: ArrayLike, covariance: ArrayLike
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "p p"]]:
    """The mean and the triangular root of the precision, from a covariance or its diagonal."""
    mean = checks.finite_array("mean", mean, ndim=1)
    lower, scale = _cholesky("covariance", covariance, len(mean))
    inverse = scipy.linalg.solve_triangular(lower, np.eye(len(mean)), lower=True)
    R = scipy.linalg.qr(inverse / scale, mode="r")[0]
    return mean, np.sign(np.diag(R))[:, None] * R


def _cholesky(
    name: str, matrix: ArrayLike, p: int
) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
    """The Cholesky factor of a matrix scaled to a diagonal of ones, and the scale."""
    matrix = checks.finite_array(name, matrix)
    matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
    if matrix.shape != (p, p):
        raise checks.fail(name, f"of shape ({p}, {p}) or ({p},)", matrix.shape)
    expected = "symmetric and positive definite"
    diagonal = np.diag(matrix)
    if (diagonal <= 0).any():
        raise checks.fail(name, expected, matrix)
    # Scaled, the verdict does not depend on the units of the inputs.
    scale = np.sqrt(diagonal)
    scaled = matrix / np.outer(scale, scale)
    if not np.allclose(scaled, scaled.T, rtol=0, atol=1e-10):
        raise checks.fail(name, expected, matrix)
    if np.linalg.eigvalsh(scaled)[0] <= p * np.finfo(np.float64).eps:
        raise checks.fail(name, expected, matrix)
    return np.linalg.cholesky(scaled), scale


def covariance_of(root: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p p"]:
    """The inverse of RᵀR."""
    inverse = scipy.linalg.solve_triangular(root, np.eye(len(root)))
    return inverse @ inverse.T


def log_root(root: Float[np.ndarray, "p p"]) -> float:
    """Half of the log determinant of RᵀR."""
    return float(np.log(np.diag(root)).sum())


def solve_root(
    root: Float[np.ndarray, "p p"], noise: Float[np.ndarray, "chain draw p"]
) -> Float[np.ndarray, "chain draw p"]:
    """R⁻¹z for each z: standard normals become normals of precision RᵀR."""
    inverse = scipy.linalg.solve_triangular(root, np.eye(len(root)))
    return noise @ inverse.T


def spread(root: Float[np.ndarray, "p p"], X: Float[np.ndarray, "m p"]) -> Float[np.ndarray, " m"]:
    """x̃ᵀ(RᵀR)⁻¹x̃ for each row x̃ of X; never quite zero, so that a row of zeros has a density."""
    half = scipy.linalg.solve_triangular(root, X.T, trans="T")
    return np.maximum(np.einsum("im,im->m", half, half), np.finfo(np.float64).tiny)


def design_for(mean: Float[np.ndarray, " p"], X: ArrayLike) -> Float[np.ndarray, "m p"]:
    """A design matrix with one column a coefficient."""
    X = checks.finite_array("X", X, ndim=2)
    if X.shape[1] != len(mean):
        raise checks.fail("X", f"of {len(mean)} columns, one a coefficient", X.shape)
    return X


def data_for(
    mean: Float[np.ndarray, " p"] | None, X: ArrayLike, y: ArrayLike
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, " n"]]:
    """A design matrix and outputs that fit each other and the prior."""
    y = checks.finite_array("y", y, ndim=1)
    X = checks.finite_array("X", X, ndim=2) if mean is None else design_for(mean, X)
    checks.same_length(X=X, y=y)
    return X, y


def one_step_ahead(
    prior: Any,
    X: ArrayLike,
    y: ArrayLike,
    log_density: Callable[[Any, Any, Any], Any],
    update: Callable[[Any, Any, Any], Any],
) -> Float[np.ndarray, " n"]:
    """The log density of each datum given those before it, predicted and then learned from.

    Args:
        prior: a proper prior with the attribute ``mean``.
        X: the design matrix, shape (n, p).
        y: the outputs, shape (n,), in the order in which they are predicted.
        log_density: of one row's output, from the state of knowledge, the row and the output.
        update: the next state of knowledge, from the same.
    """
    state = proper(prior)
    X, y = data_for(state.mean, X, y)
    logs = np.empty(len(y))
    for i in range(len(y)):
        row = slice(i, i + 1)
        logs[i] = np.sum(log_density(state, X[row], y[row]))
        state = update(state, X[row], y[row])
    return logs


def num_chains_and_samples(num_chains: int, num_samples: int) -> tuple[int, int]:
    """The leading axes of draws."""
    num_samples = checks.at_least("num_samples", num_samples, 1)
    return checks.at_least("num_chains", num_chains, 1), num_samples


def standard_normals(rng_key: jax.Array, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Standard normal numbers in float64, whatever precision is in force outside."""
    with jax.enable_x64(True):
        return np.asarray(jax.random.normal(rng_key, shape, dtype=np.float64))
