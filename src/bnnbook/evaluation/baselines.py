r"""What any network must beat: a constant, a straight line, and intervals that assume nothing.

The constant and the line are least squares with their exact predictive distribution under flat
priors of the coefficients and of log σ: Student's t with n − p degrees of freedom. Split conformal
intervals cover a new datum with at least the stated probability for any data that are exchangeable
and any fitted mean, in finite samples (Vovk et al. 2005; Lei et al. 2018). The exact Gaussian
process is in ``exact.gaussian_process``. Chapter "Approximate posteriors, scored" introduces them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from bnnbook import checks
from bnnbook.evaluation.scores import crps_student_t
from bnnbook.exact import least_squares
from bnnbook.exact.intervals import Interval
from bnnbook.exact.normal_mean import Normal
from bnnbook.exact.student_t import StudentT


@dataclass(frozen=True, eq=False)
class TPrediction(StudentT):
    """Student's t at each point, as the scores ask for it."""

    def crps(self, y: ArrayLike) -> Float[np.ndarray, " point"]:
        """The CRPS in closed form, in units of y."""
        return np.asarray(crps_student_t(y, self.mean, self.scale, self.dof))


def linear(x_train: ArrayLike, y_train: ArrayLike, x_test: ArrayLike) -> TPrediction:
    """The exact predictive distribution of a line with intercept, under flat priors.

    A column that on the training rows is a combination of the intercept and of columns before it,
    such as a constant or the last of a set of indicators, is left out: where new inputs depend on
    each other alike, it would change nothing.

    Args:
        x_train: inputs, shape (n, d), without a column of ones.
        y_train: outputs, shape (n,).
        x_test: new inputs, shape (m, d).

    Raises:
        ValueError: where data are bad, fewer than three degrees of freedom are left (no predictive
            sd), or the line fits without any residual.
    """
    x_train = checks.finite_array("x_train", x_train, ndim=2)
    x_test = checks.finite_array("x_test", x_test, ndim=2)
    if x_train.shape[1] != x_test.shape[1]:
        raise checks.fail("x_test", f"of {x_train.shape[1]} columns as x_train", x_test.shape)
    y_train = checks.finite_array("y_train", y_train, ndim=1)
    checks.same_length(x_train=x_train, y_train=y_train)
    design = _with_ones(x_train)
    kept = _independent(design)
    return _t_prediction(design[:, kept], y_train, _with_ones(x_test)[:, kept])


def constant(y_train: ArrayLike, num_points: int) -> TPrediction:
    """The same prediction everywhere: the mean of the outputs and their spread.

    Args:
        y_train: outputs, shape (n,), at least four of them, not all the same.
        num_points: how many points are predicted.
    """
    y_train = checks.finite_array("y_train", y_train, ndim=1)
    points = checks.at_least("num_points", num_points, 1)
    return _t_prediction(np.ones((len(y_train), 1)), y_train, np.ones((points, 1)))


def as_parameters(normal: Normal) -> Float[np.ndarray, "1 1 m 2"]:
    """A normal prediction, such as a Gaussian process's, in the form that networks predict in.

    Args:
        normal: means and sds, each of shape (m,).
    """
    mean = checks.finite_array("normal.mean", normal.mean, ndim=1)
    sd = checks.finite_array("normal.sd", normal.sd, ndim=1)
    checks.same_length(mean=mean, sd=sd)
    return np.stack([mean, sd], axis=-1)[None, None]


def _with_ones(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n p"]:
    return np.column_stack([np.ones(len(x)), x])


def _independent(X: Float[np.ndarray, "n p"]) -> list[int]:
    """The columns that are no combination of those before them."""
    size = np.abs(X).max(axis=0)
    unit = X / np.where(size > 0, size, 1.0)
    kept = list(range(X.shape[1]))
    if len(X) < len(kept) or np.linalg.matrix_rank(unit) == len(kept):
        return kept
    kept = []
    for column in range(X.shape[1]):
        if np.linalg.matrix_rank(unit[:, [*kept, column]]) > len(kept):
            kept.append(column)
    return kept


def _t_prediction(
    X: Float[np.ndarray, "n p"], y: Float[np.ndarray, " n"], new: Float[np.ndarray, "m p"]
) -> TPrediction:
    if len(y) < X.shape[1] + 3:
        expected = f"of at least {X.shape[1] + 3} data for a predictive sd"
        raise checks.fail("y_train", expected, y.shape)
    fit = least_squares.fit(X, y)
    size = max(float(np.abs(y).max()), np.finfo(np.float64).tiny)
    if fit.residual_sd <= 1e-12 * size:
        raise ValueError(f"y_train must not be fitted exactly, got residual sd {fit.residual_sd}")
    line = np.einsum("mi,ij,mj->m", new, fit.unscaled_covariance, new)
    mean = least_squares.predict(fit.coefficients, new)
    return TPrediction(mean, fit.residual_sd * np.sqrt(1 + line), float(fit.degrees_of_freedom))


def split_conformal(
    residuals: ArrayLike,
    predicted: ArrayLike,
    probability: float,
    *,
    residual_scale: ArrayLike | float = 1.0,
    scale: ArrayLike | float = 1.0,
) -> Interval:
    """Intervals around any fitted mean, from residuals on rows that it was not fitted to.

    The half width is the residual of rank ⌈(n + 1) p⌉ by size: a new datum, exchangeable with the n
    calibration data, is covered with a probability of at least p and less than p + 1/(n + 1) (but
    for ties). On average over inputs and calibration sets, not at each input.

    Args:
        residuals: y less prediction on the calibration rows, shape (n,).
        predicted: predictions at the new points, shape (m,).
        probability: what the intervals hold at least, strictly between 0 and 1.
        residual_scale: a predicted sd at each calibration row, where intervals may vary in width.
        scale: the same at each new point.

    Raises:
        ValueError: where there are too few residuals: n must be at least p / (1 − p).
    """
    residuals = checks.finite_array("residuals", residuals, ndim=1)
    predicted = checks.finite_array("predicted", predicted, ndim=1)
    level = checks.fraction("probability", probability)
    scales = []
    sizes = (len(residuals), len(predicted))
    for name, value, size in zip(
        ("residual_scale", "scale"), (residual_scale, scale), sizes, strict=True
    ):
        array = checks.finite_array(name, value)
        if array.shape not in ((), (size,)) or (array <= 0).any():
            raise checks.fail(name, f"positive, a number or of shape ({size},)", value)
        scales.append(array)
    # Rounding must not turn 20 · 0.95 into a rank of 20.
    rank = int(np.ceil((len(residuals) + 1) * level - 1e-9))
    if rank > len(residuals):
        least = int(np.ceil(level / (1 - level) - 1e-9))
        raise checks.fail("residuals", f"at least {least} for probability {level}", len(residuals))
    half = np.sort(np.abs(residuals) / scales[0])[rank - 1] * scales[1]
    return Interval(predicted - half, predicted + half)
