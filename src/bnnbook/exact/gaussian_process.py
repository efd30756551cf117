r"""Gaussian process regression: a normal prior over functions, and its exact posterior.

.. math:: f \sim \mathrm{GP}(0, k),\; y_i \sim \N(f(x_i), \sigma)
          \;\Rightarrow\; \E f_* = K_{*}^\top (K + \sigma^2 I)^{-1} y,\quad
          \Cov f_* = K_{**} - K_{*}^\top (K + \sigma^2 I)^{-1} K_{*}

(Rasmussen and Williams 2006, chapter 2), by a Cholesky factor in float64. With the arcsine kernel
it is the limit of a network of one hidden layer of erf units as the width grows (Neal 1996;
Williams 1998). Chapter "A network is a prior over functions" introduces it; "Approximate
posteriors, scored" has it as a baseline.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from bnnbook import checks
from bnnbook.exact.normal_mean import Normal

Kernel = Callable[..., Any]
"""From inputs (n, d), inputs (m, d) and positive hyperparameters by name to (n, m)."""
LOG_TWO_PI = float(np.log(2 * np.pi))


def linear(X: Any, Z: Any, *, bias_scale: Any, weight_scale: Any) -> Any:
    """bias_scale² + weight_scale² x·z: a line with normal coefficients."""
    return bias_scale**2 + weight_scale**2 * (X @ Z.T)


def rbf(X: Any, Z: Any, *, scale: Any, lengthscale: Any) -> Any:
    """scale² exp(−‖(x − z) / lengthscale‖² / 2); one lengthscale, or one an input."""
    row = jnp.reshape(jnp.asarray(lengthscale), (1, -1))
    X, Z = X / row, Z / row
    square = (X**2).sum(1)[:, None] + (Z**2).sum(1)[None, :] - 2 * X @ Z.T
    return scale**2 * jnp.exp(-0.5 * jnp.maximum(square, 0.0))


def arcsine(
    X: Any, Z: Any, *, bias_scale: Any, weight_scale: Any, output_bias: Any, output_weight: Any
) -> Any:
    r"""The covariance of a network of one hidden layer of erf units, at every width.

    .. math:: b^2 + w^2 \frac2\pi \arcsin
              \frac{2 c(x, z)}{\sqrt{(1 + 2 c(x, x)) (1 + 2 c(z, z))}},\quad
              c(x, z) = \mathrm{bias\_scale}^2 + \mathrm{weight\_scale}^2\, x^\top z / d

    (Williams 1998) with b = output_bias and w = output_weight, for weights divided by the roots of
    the numbers of inputs d and of hidden units.
    """

    def preactivations(products: Any) -> Any:
        return bias_scale**2 + weight_scale**2 * products / X.shape[1]

    variances = [1 + 2 * preactivations((A**2).sum(1)) for A in (X, Z)]
    product = variances[0][:, None] * variances[1][None, :]
    angle = jnp.arcsin(2 * preactivations(X @ Z.T) / jnp.sqrt(product))
    return output_bias**2 + output_weight**2 * 2 / jnp.pi * angle


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A posterior over functions, given data."""

    kernel: Kernel
    """The covariance of f under the prior."""
    hyperparameters: Mapping[str, Any]
    """The kernel's, all positive."""
    noise_sd: float
    """The standard deviation of a datum about f, in units of y."""
    X: Float[np.ndarray, "n d"]
    """The training inputs."""
    root: Float[np.ndarray, "n n"]
    """The lower Cholesky factor of K + σ²I."""
    weights: Float[np.ndarray, " n"]
    """(K + σ²I)⁻¹ y."""
    log_evidence: float
    """The log density of all training outputs, f averaged out."""

    def function(self, X: ArrayLike) -> Normal:
        """The posterior of f at each row of X, without the noise of a datum."""
        X = checks.finite_array("X", X, ndim=2)
        if X.shape[1] != self.X.shape[1]:
            raise checks.fail("X", f"of {self.X.shape[1]} columns as in training", X.shape)
        cross = covariance(self.kernel, self.X, X, self.hyperparameters)
        half = scipy.linalg.solve_triangular(self.root, cross, lower=True)
        with jax.enable_x64(True):
            prior = np.asarray(jax.vmap(self._variance)(jnp.asarray(X)))
        # Rounding must not make the variance of what is known exactly negative.
        variance = np.maximum(prior - (half**2).sum(axis=0), np.finfo(np.float64).eps * prior)
        return Normal(cross.T @ self.weights, np.sqrt(variance))

    def _variance(self, x: Any) -> Any:
        return self.kernel(x[None], x[None], **self.hyperparameters)[0, 0]

    def predictive(self, X: ArrayLike) -> Normal:
        """The distribution of one new output at each row of X."""
        f = self.function(X)
        return Normal(f.mean, np.hypot(f.sd, self.noise_sd))


def covariance(
    kernel: Kernel, X: ArrayLike, Z: ArrayLike, hyperparameters: Mapping[str, Any]
) -> Float[np.ndarray, "n m"]:
    """The kernel's matrix, in float64."""
    with jax.enable_x64(True):
        return np.asarray(kernel(jnp.asarray(X), jnp.asarray(Z), **hyperparameters), np.float64)


def condition(
    kernel: Kernel,
    X: ArrayLike,
    y: ArrayLike,
    hyperparameters: Mapping[str, Any],
    noise_sd: float,
) -> GaussianProcess:
    """The exact posterior of f given data, and the log evidence.

    Args:
        kernel: ``linear``, ``rbf``, ``arcsine`` or another of their kind.
        X: training inputs, shape (n, d).
        y: training outputs, shape (n,), about zero: the prior mean is zero.
        hyperparameters: the kernel's, positive numbers, or arrays of them.
        noise_sd: the noise's standard deviation, in units of y.

    Raises:
        ValueError: where the data are empty, not finite or of different lengths, a hyperparameter
            or the noise is not positive, or K + σ²I is singular in float64.
    """
    X, y = checks.finite_array("X", X, ndim=2), checks.finite_array("y", y, ndim=1)
    checks.same_length(X=X, y=y)
    noise_sd, given = checks.positive("noise_sd", noise_sd), dict(hyperparameters)
    for name, value in given.items():
        given[name] = checks.finite_array(f"hyperparameters[{name!r}]", value)
        if (given[name] <= 0).any():
            raise checks.fail(f"hyperparameters[{name!r}]", "positive", value)
    K = covariance(kernel, X, X, given) + noise_sd**2 * np.eye(len(y))
    try:
        root = np.linalg.cholesky(K)
    except np.linalg.LinAlgError:
        expected = "large enough for K + noise_sd² I to be positive definite in float64"
        raise checks.fail("noise_sd", expected, noise_sd) from None
    weights = scipy.linalg.cho_solve((root, True), y)
    log_root = np.log(np.diag(root)).sum()
    log_evidence = float(-0.5 * (y @ weights + len(y) * LOG_TWO_PI) - log_root)
    return GaussianProcess(
        kernel, MappingProxyType(given), noise_sd, X, root, weights, log_evidence
    )


def fit(
    kernel: Kernel,
    X: ArrayLike,
    y: ArrayLike,
    start: Mapping[str, Any],
    noise_sd: float,
    *,
    max_iterations: int = 100,
) -> GaussianProcess:
    """Hyperparameters and noise by maximum marginal likelihood on the training data.

    The search (L-BFGS in the logs, by gradients from JAX) finds a local maximum and stays within
    e⁷ of the start; try several starts and keep the greatest ``log_evidence``.

    Args:
        kernel: see ``condition``.
        X: training inputs, shape (n, d).
        y: training outputs, shape (n,), about zero.
        start: where the search of the hyperparameters begins.
        noise_sd: where that of the noise begins.
        max_iterations: of the search.

    Raises:
        ValueError: for the reasons of ``condition``, at the start or at the end of the search.
    """
    first = condition(kernel, X, y, start, noise_sd)
    X, y = first.X, checks.finite_array("y", y, ndim=1)
    with jax.enable_x64(True):
        tree = {"kernel": dict(first.hyperparameters), "noise_sd": np.asarray(first.noise_sd)}
        flat, back = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.log, tree))

        def negative_log_evidence(logs: Any) -> Any:
            values = jax.tree.map(jnp.exp, back(logs))
            K = kernel(X, X, **values["kernel"]) + values["noise_sd"] ** 2 * jnp.eye(len(y))
            root = jnp.linalg.cholesky(K)
            z = jax.scipy.linalg.solve_triangular(root, y, lower=True)
            return 0.5 * (z @ z + len(y) * LOG_TWO_PI) + jnp.log(jnp.diag(root)).sum()

        gradient = jax.jit(jax.value_and_grad(negative_log_evidence))

        def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = gradient(jnp.asarray(logs))
            if not np.isfinite(value):  # not positive definite: a wall for the line search
                return 1e25, np.zeros_like(logs)
            return float(value), np.asarray(slope)

        bounds = [(v - 7, v + 7) for v in np.asarray(flat)]
        options = {"maxiter": checks.at_least("max_iterations", max_iterations, 1)}
        found = minimize(
            objective, np.asarray(flat), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        best = jax.tree.map(lambda v: np.asarray(jnp.exp(v)), back(jnp.asarray(found.x)))
    fitted = condition(kernel, X, y, best["kernel"], float(best["noise_sd"]))
    return fitted if fitted.log_evidence >= first.log_evidence else first
