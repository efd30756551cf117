r"""The evidence as a sum over a grid, refined until it no longer changes: one to three parameters.

.. math:: p(\mathcal{D}) \approx h^d \sum_k p(\mathcal{D}, \theta(t_k))\, |\mathrm{d}\theta /
          \mathrm{d}t|,\quad \theta = \hat\theta + L \sinh t

The axes are those of the normal approximation at the mode, L Lᵀ its covariance. After the change of
variables the integrand dies away twice as exponentially, and then the plain trapezoidal rule
converges exponentially in the step h (Takahasi and Mori 1974). The range grows until its edges no
longer matter; then the step is halved until the sum stands still. Exponential convergence shows in
each change being less than the one before to the power 3/2; then so will the next one be, and it
stands for the error. Else the last change itself does.
The number of points is a power of the dimension: no way beyond three parameters. It fails, and says
so, for densities with kinks or far-off modes. Introduced in the chapter "Model evidence".
"""

import itertools
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from bnnbook import checks
from bnnbook.evidence import mode
from bnnbook.evidence.mode import Mode
from bnnbook.evidence.record import Evidence, timed
from bnnbook.evidence.target import Target

FIRST_STEP, FIRST_RANGE, LAST_RANGE = 0.4, 2.8, 14.0


class Sum(NamedTuple):
    """One trapezoidal sum."""

    log_value: float
    """Its logarithm."""
    edge: float
    """The share of it that comes from points on the edges."""
    num_points: int
    """Its number of points."""


@timed
def estimate(
    target: Target, *, tolerance: float = 1e-6, max_evaluations: int = 3_000_000
) -> Evidence:
    """The log evidence, with what further refinement would change in ``diagnostics["error"]``.

    Args:
        target: a model of one to three parameters.
        tolerance: the error at which refinement stops, on the log scale.
        max_evaluations: give up rather than evaluate more points than that.

    Raises:
        ValueError: where there are too many parameters, no mode, or no convergence.
    """
    tolerance = checks.positive("tolerance", tolerance)
    if target.dimension > 3:
        raise checks.fail("target", "of at most 3 parameters", target.dimension)
    top = mode.find(target)
    used, half_range, step = top.num_evaluations, FIRST_RANGE, FIRST_STEP
    now, error = _sum(target, top, step, half_range), np.inf
    changes: list[float] = []
    while now.edge > tolerance / 10 or error > tolerance:
        used, before = used + now.num_points, now
        widen = now.edge > tolerance / 10
        half_range, step = (half_range + FIRST_STEP, step) if widen else (half_range, step / 2)
        next_size = (2 * half_range / step + 1) ** target.dimension
        if half_range > LAST_RANGE or used + next_size > max_evaluations:
            raise checks.fail(
                "target",
                f"smooth enough for {max_evaluations} evaluations",
                f"edge {now.edge:.2g}, change {error:.2g}",
            )
        now = _sum(target, top, step, half_range)
        changes = [] if widen else [*changes, abs(now.log_value - before.log_value)]
        error = _error(changes)
    diagnostics: dict[str, float | str] = {"error": error + now.edge, "step": step}
    return Evidence(now.log_value, None, used + now.num_points, diagnostics=diagnostics)


def _error(changes: list[float]) -> float:
    """What is left after the last halving, from the changes that the halvings made."""
    if len(changes) < 2 or changes[-1] > changes[-2] ** 1.5:
        return changes[-1] if changes else np.inf
    return changes[-1] ** 1.5


def _sum(target: Target, top: Mode, step: float, half_range: float) -> Sum:
    count = round(half_range / step)
    t = step * np.arange(-count, count + 1)
    grid = np.array(list(itertools.product(t, repeat=target.dimension)))
    points = top.position + np.sinh(grid) @ top.root.T
    log_volume = np.log(step * np.cosh(grid)).sum(axis=1) + np.log(np.diag(top.root)).sum()
    terms = target.evaluate(points).log_joint + log_volume
    total = float(logsumexp(terms))
    on_edge = np.abs(grid).max(axis=1) > t[-1] - step / 2
    return Sum(total, float(np.exp(logsumexp(terms[on_edge]) - total)), len(grid))
