r"""The highest point of a target and its curvature, by Newton's method with damping.

.. math:: \theta \leftarrow \theta + (H + \lambda\, \mathrm{diag}|H|)^{-1} g,\quad
          g = \nabla \log p,\; H = -\nabla^2 \log p

λ falls while steps succeed and rises while they fail (Marquardt 1963), and scaling by the diagonal
makes units immaterial. The result is refused unless the density really falls on all sides. Used by
Laplace's approximation, quadrature and proposals; introduced in the chapter "Model evidence".
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bnnbook.evidence.target import Target

MAX_STEPS = 300


class Mode(NamedTuple):
    """A maximum of a log density, with the normal approximation there."""

    position: Float[np.ndarray, " dimension"]
    """Where it is."""
    log_density: float
    """The log density there."""
    root: Float[np.ndarray, "dimension dimension"]
    """Lower triangular; root rootᵀ is the inverse of the negative Hessian."""
    num_evaluations: int
    """Points at which the target was evaluated."""


def find(target: Target, of: str = "log_joint") -> Mode:
    """The mode of ``log_joint``, or the maximum of ``log_likelihood``.

    Raises:
        ValueError: where there is none to be found (the function rises without end, as a logistic
            likelihood of separable data does), the Hessian is singular, or it is higher nearby.
    """
    x, damping = np.asarray(target.start, dtype=np.float64), 1e-3
    value, gradient, hessian = target.derivatives(x, of)
    for step_number in range(1, MAX_STEPS + 1):
        step = _step(gradient, -hessian, damping)
        there = target.derivatives(x + step, of)
        # Not below by more than rounding: at the maximum steps no longer rise.
        if np.isfinite(there[2]).all() and there[0] >= value - 1e-13 * abs(value):
            decrement = float(gradient @ step)
            x, damping = x + step, max(damping / 10, 1e-12)
            value, gradient, hessian = there
            if decrement < 1e-14 * (1 + abs(value)) and damping < 1e-6:
                return _checked(target, of, x, value, hessian, step_number + 1)
        else:
            damping *= 10
    raise _no_maximum(of, f"none in {MAX_STEPS} Newton steps, the last at {x}")


def _step(
    gradient: Float[np.ndarray, " dimension"],
    curvature: Float[np.ndarray, "dimension dimension"],
    damping: float,
) -> Float[np.ndarray, " dimension"]:
    diagonal = np.maximum(np.abs(np.diag(curvature)), 1e-300)
    scale = 1 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(scale[:, None] * curvature * scale)
    # Downward curvature is turned about, so that every step goes uphill.
    inverse = 1 / (np.maximum(np.abs(values), 1e-12) + damping)
    return scale * (vectors @ (inverse * (vectors.T @ (scale * gradient))))


def _checked(
    target: Target,
    of: str,
    x: Float[np.ndarray, " dimension"],
    value: float,
    hessian: Float[np.ndarray, "dimension dimension"],
    count: int,
) -> Mode:
    root = _root(-hessian, of)
    around = np.concatenate([x + 2 * root.T, x - 2 * root.T])
    parts = target.evaluate(around)
    # A normal density falls by 2 there. Almost none: a plateau that only looks like a mode.
    falls = value - getattr(parts, of)
    if not falls.min() > 0.05:
        raise _no_maximum(of, f"a fall of {falls.min():.3g} two standard deviations from {x}")
    return Mode(x, value, root, count + len(around))


def _root(
    curvature: Float[np.ndarray, "dimension dimension"], of: str
) -> Float[np.ndarray, "dimension dimension"]:
    diagonal = np.diag(curvature)
    if not (diagonal > 0).all():
        raise _no_maximum(of, f"a Hessian with diagonal {-diagonal}")
    scale = 1 / np.sqrt(diagonal)
    smallest = float(np.linalg.eigvalsh(scale[:, None] * curvature * scale).min())
    if smallest < 1e-11:
        raise _no_maximum(of, f"a singular Hessian (smallest scaled eigenvalue {smallest:.2g})")
    covariance = scale[:, None] * np.linalg.inv(scale[:, None] * curvature * scale) * scale
    return np.linalg.cholesky(covariance)


def _no_maximum(of: str, got: str) -> ValueError:
    return ValueError(f"target must have a maximum of its {of} with a curvature, got {got}")
