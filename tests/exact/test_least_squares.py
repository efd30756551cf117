"""Laws of least squares: projection, equivariance, unbiasedness, coverage, and NIST's digits."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.linear_model import LinearRegression

from bnnbook.datasets import kidiq, longley
from bnnbook.exact import least_squares
from bnnbook.exact.least_squares import (
    confidence_intervals,
    fit,
    leverage,
    normal_equations,
    prediction_intervals,
)
from bnnbook.references import reference

NAMES = ("intercept", *longley.PREDICTORS)
#: Each statistical test of this file raises a false alarm at most this often.
ALPHA = 1e-4


def longley_design() -> tuple[np.ndarray, np.ndarray]:
    table = longley.load()
    return (
        np.column_stack([np.ones(table.num_rows), table.matrix(longley.PREDICTORS)]),
        table["TOTEMP"],
    )


def certified() -> np.ndarray:
    return np.array([reference(f"longley.{name}").value for name in NAMES])


def kidiq_design() -> tuple[np.ndarray, np.ndarray]:
    table = kidiq.load()
    return (
        np.column_stack([np.ones(table.num_rows), table.matrix(["mom_iq", "mom_hs"])]),
        table["kid_score"],
    )


def ridge(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mutation of the laws of projection: coefficients pulled towards zero."""
    return np.linalg.solve(X.T @ X + 0.1 * np.eye(X.shape[1]), X.T @ y)


def coefficients(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return fit(X, y).coefficients


# Against certified digits and other programs


def test_longley_to_nist_digits() -> None:
    result = fit(*longley_design())
    np.testing.assert_allclose(result.coefficients, certified(), rtol=1e-8)
    assert result.residual_sd == pytest.approx(reference("longley.residual_sd").value, rel=1e-8)
    errors = [reference(f"longley.se_{name}").value for name in NAMES]
    np.testing.assert_allclose(result.standard_errors, errors, rtol=1e-8)


def test_normal_equations_in_float64_do_not_reach_those_digits() -> None:
    found = normal_equations(*longley_design())
    assert not np.allclose(found, certified(), rtol=1e-8, atol=0)
    np.testing.assert_allclose(found, certified(), rtol=1e-4)


def test_normal_equations_in_float32_get_a_sign_wrong() -> None:
    found = normal_equations(*longley_design(), dtype=np.float32)
    assert found.dtype == np.float32
    assert (np.sign(found) != np.sign(certified())).any()


def test_scikit_learn_and_statsmodels_agree() -> None:
    X, y = kidiq_design()
    result, other = fit(X, y), sm.OLS(y, X).fit()
    np.testing.assert_allclose(result.coefficients, other.params, rtol=1e-10)
    np.testing.assert_allclose(result.standard_errors, other.bse, rtol=1e-10)
    np.testing.assert_allclose(result.covariance, other.cov_params(), rtol=1e-9)
    np.testing.assert_allclose(confidence_intervals(result, 0.9), other.conf_int(0.1), rtol=1e-10)
    np.testing.assert_allclose(leverage(X), other.get_influence().hat_matrix_diag, rtol=1e-10)
    new = other.get_prediction(X[:5]).summary_frame(alpha=0.1)[["obs_ci_lower", "obs_ci_upper"]]
    np.testing.assert_allclose(prediction_intervals(result, X[:5], 0.9), new, rtol=1e-10)
    machine = LinearRegression(fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(result.coefficients, machine.coef_, rtol=1e-9)


# Laws of projection


@st.composite
def regressions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Well-conditioned designs of 4 to 12 rows, with any outputs."""
    n, p = draw(st.integers(4, 12)), draw(st.integers(1, 3))
    numbers = st.floats(-100, 100, allow_subnormal=False)
    X = draw(arrays(np.float64, (n, p), elements=numbers))
    # The ridge of a scaled identity keeps every draw at full rank.
    X[:p] += 500 * np.eye(p)
    return X, draw(arrays(np.float64, n, elements=numbers))


def slope_of_residuals(
    solve: Callable[[np.ndarray, np.ndarray], np.ndarray], X: np.ndarray, y: np.ndarray
) -> float:
    """The largest cosine-like product of the residuals with a column; 0 for a projection."""
    residuals = y - X @ solve(X, y)
    return float(np.abs(X.T @ residuals).max() / (np.linalg.norm(X) * (1 + np.linalg.norm(y))))


@given(regressions())
def test_residuals_are_orthogonal_to_every_column(data: tuple[np.ndarray, np.ndarray]) -> None:
    assert slope_of_residuals(coefficients, *data) < 1e-13


def test_ridge_fails_the_law_of_orthogonality() -> None:
    assert slope_of_residuals(ridge, *kidiq_design()) > 1e-9


@given(regressions())
def test_fitting_the_fitted_values_changes_nothing(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    once = fit(X, y)
    twice = fit(X, once.fitted)
    np.testing.assert_allclose(twice.fitted, once.fitted, rtol=0, atol=1e-12 * (1 + abs(y).max()))


def test_ridge_fails_the_law_of_idempotence() -> None:
    X, y = kidiq_design()
    once = X @ ridge(X, y)
    assert not np.allclose(X @ ridge(X, once), once, rtol=1e-12)


@given(regressions(), st.floats(0.01, 100), st.floats(-100, 100))
def test_change_of_units(
    data: tuple[np.ndarray, np.ndarray], per_unit: float, output: float
) -> None:
    X, y = data
    units = per_unit ** np.arange(X.shape[1])
    np.testing.assert_allclose(
        fit(X * units, output * y).coefficients * units,
        output * coefficients(X, y),
        rtol=1e-9,
        atol=1e-12 * (1 + abs(output)),
    )


def test_ridge_fails_the_change_of_units() -> None:
    X, y = kidiq_design()
    units = np.array([1.0, 100.0, 1.0])
    assert not np.allclose(ridge(X * units, y) * units, ridge(X, y), rtol=1e-9)


@given(regressions(), st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_does_not_matter(
    data: tuple[np.ndarray, np.ndarray], random: Random
) -> None:
    X, y = data
    rows, columns = list(range(len(y))), list(range(X.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    shuffled = fit(X[np.ix_(rows, columns)], y[rows])
    plain = fit(X, y)
    np.testing.assert_allclose(
        shuffled.coefficients, plain.coefficients[columns], rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(shuffled.fitted, plain.fitted[rows], rtol=1e-9, atol=1e-10)


def test_rows_shuffled_apart_from_outputs_are_seen() -> None:
    X, y = kidiq_design()
    assert not np.allclose(coefficients(X[::-1], y), coefficients(X, y), rtol=1e-3)


@given(regressions())
def test_leverages_lie_between_0_and_1_and_sum_to_the_rank(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    X, _ = data
    found = leverage(X)
    assert found.min() > -1e-14
    assert found.max() < 1 + 1e-12
    assert found.sum() == pytest.approx(X.shape[1], rel=1e-12)


def test_as_many_columns_as_rows_fit_exactly_and_leave_no_noise_to_estimate() -> None:
    result = fit(np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([1.0, 5.0]))
    np.testing.assert_allclose(result.coefficients, [1.0, 2.0], rtol=1e-14)
    with pytest.raises(ValueError, match="degrees_of_freedom must be at least 1"):
        result.standard_errors


# Laws over repeated data: a fixed design, normal noise of sd 2, many replications

TRUTH, SIGMA, REPLICATIONS = np.array([1.0, -3.0]), 2.0, 4000


def replicate() -> tuple[np.ndarray, list[least_squares.LeastSquares]]:
    rng = np.random.default_rng(7)
    X = np.column_stack([np.ones(8), rng.uniform(0, 1, 8)])
    noise = rng.normal(0, SIGMA, (REPLICATIONS, 8))
    return X, [fit(X, X @ TRUTH + row) for row in noise]


@pytest.fixture(scope="module")
def fits() -> list[least_squares.LeastSquares]:
    return replicate()[1]


def coverage_p_value(intervals: list[np.ndarray]) -> float:
    """Binomial p value of a coverage of 0.9 of the true slope."""
    hits = sum(bool(ends[1, 0] <= TRUTH[1] <= ends[1, 1]) for ends in intervals)
    return float(stats.binomtest(hits, len(intervals), 0.9).pvalue)


def test_coverage_of_t_intervals(fits: list[least_squares.LeastSquares]) -> None:
    assert coverage_p_value([confidence_intervals(f, 0.9) for f in fits]) > ALPHA


def test_normal_quantiles_in_place_of_t_are_seen(fits: list[least_squares.LeastSquares]) -> None:
    z = stats.norm.isf(0.05)
    normal = [f.coefficients[:, None] + z * f.standard_errors[:, None] * [-1, 1] for f in fits]
    assert coverage_p_value(normal) < ALPHA


#: Outside of the inputs, which lie between 0 and 1, so that the line's own uncertainty counts.
NEW_ROW = np.array([[1.0, 1.5]])


def prediction_coverage_p_value(intervals: list[np.ndarray]) -> float:
    """Binomial p value of a coverage of 0.9 of one new output at the new row, for each fit."""
    noise = np.random.default_rng(8).normal(0, SIGMA, len(intervals))
    outputs = (NEW_ROW @ TRUTH).item() + noise
    low, high = np.concatenate(intervals).T
    hits = int(((low <= outputs) & (outputs <= high)).sum())
    return float(stats.binomtest(hits, len(intervals), 0.9).pvalue)


def test_coverage_of_prediction_intervals(fits: list[least_squares.LeastSquares]) -> None:
    assert (
        prediction_coverage_p_value([prediction_intervals(f, NEW_ROW, 0.9) for f in fits]) > ALPHA
    )


@pytest.mark.parametrize(
    ("of_output", "of_line", "quantile"),
    [
        (0, 1, stats.t.isf(0.05, 6)),  # the interval of the line, taken for that of an output
        (1, 0, stats.t.isf(0.05, 6)),  # the line taken for known
        (1, 1, stats.norm.isf(0.05)),  # the noise taken for known
    ],
)
def test_prediction_intervals_that_forget_a_part_are_seen(
    fits: list[least_squares.LeastSquares], of_output: int, of_line: int, quantile: float
) -> None:
    share = (NEW_ROW @ fits[0].unscaled_covariance @ NEW_ROW.T).item()
    factor = quantile * np.sqrt(of_output + of_line * share)
    forgetful = [
        NEW_ROW @ f.coefficients[:, None] + factor * f.residual_sd * np.array([[-1, 1]])
        for f in fits
    ]
    assert prediction_coverage_p_value(forgetful) < ALPHA


def variance_p_value(estimates: np.ndarray) -> float:
    """p value of 'the mean of the estimates is σ²'; (n − p) s²/σ² is chi-squared with 6 d.f."""
    sd = SIGMA**2 * np.sqrt(2 / 6) / np.sqrt(len(estimates))
    return float(2 * stats.norm.sf(abs(estimates.mean() - SIGMA**2) / sd))


def test_residual_variance_is_unbiased(fits: list[least_squares.LeastSquares]) -> None:
    assert variance_p_value(np.array([f.residual_sd**2 for f in fits])) > ALPHA


def test_maximum_likelihood_variance_is_seen_to_be_biased(
    fits: list[least_squares.LeastSquares],
) -> None:
    assert variance_p_value(np.array([f.residual_sd**2 * 6 / 8 for f in fits])) < ALPHA


def test_coefficients_have_the_covariance_that_the_formula_says(
    fits: list[least_squares.LeastSquares],
) -> None:
    # (b − β)ᵀ XᵀX (b − β) / σ² is chi-squared with 2 degrees of freedom.
    X, _ = replicate()
    errors = np.array([f.coefficients for f in fits]) - TRUTH
    distances = np.einsum("ri,ij,rj->r", errors, X.T @ X, errors) / SIGMA**2
    assert stats.kstest(distances, stats.chi2(2).cdf).pvalue > ALPHA
    forgotten_off_diagonal = np.einsum("ri,ij->r", errors**2, np.diag(np.diag(X.T @ X)))
    assert stats.kstest(forgotten_off_diagonal / SIGMA**2, stats.chi2(2).cdf).pvalue < ALPHA


# Bad input

X3, Y3 = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X3, Y3[:2], "X and y must have the same length, but X has 3, y has 2"),
        (X3[:, 0], Y3, "X must have 2 axes, got shape"),
        (
            np.where(X3 == 2, np.nan, X3),
            Y3,
            r"X must be finite everywhere, got nan at index \[2, 1",
        ),
        (X3, np.where(Y3 == 1, np.inf, Y3), r"y must be finite everywhere, got inf at index \[1\]"),
        (np.empty((0, 2)), np.empty(0), "must have at least 1 elements, got 0"),
        (X3[:1], Y3[:1], "X must have at least as many rows as columns, got 1 rows, 2 columns"),
        (
            np.column_stack([X3, X3[:, 1]]),
            Y3,
            r"X must have linearly independent columns, got rank 2 of 3 .* column [12] is",
        ),
        (np.zeros((3, 1)), Y3, "X must have linearly independent columns, got rank 0 of 1"),
    ],
)
@pytest.mark.parametrize("solve", [fit, normal_equations])
def test_bad_input(
    solve: Callable[..., object], X: np.ndarray, y: np.ndarray, message: str
) -> None:
    if solve is normal_equations and "independent" in message:
        message = "X must be such that its normal equations are regular in float64"
    with pytest.raises(ValueError, match=message):
        solve(X, y)


def test_columns_in_tiny_or_huge_units_are_not_called_dependent() -> None:
    result = fit(X3 * [1e-100, 1e100], Y3)
    np.testing.assert_allclose(result.fitted, Y3, atol=1e-14)


def test_predict_takes_a_single_new_row() -> None:
    assert least_squares.predict([1.0, -2.0], [[1.0, 3.0]]).tolist() == [-5.0]


def test_predict_refuses_another_number_of_columns() -> None:
    with pytest.raises(ValueError, match="X must be of 2 columns, one a coefficient"):
        least_squares.predict(np.ones(2), np.ones((3, 1)))


@pytest.mark.parametrize(
    ("X", "level", "message"),
    [
        (np.ones((1, 3)), 0.9, "X must be of 2 columns, one a coefficient"),
        ([[1.0, np.nan]], 0.9, r"X must be finite everywhere, got nan at index \[0, 1\]"),
        ([1.0, 2.0], 0.9, "X must have 2 axes, got shape"),
        (X3, 1.0, "level must be strictly between 0 and 1, got 1.0"),
    ],
)
def test_bad_input_of_prediction_intervals(X: object, level: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prediction_intervals(fit(X3, Y3), X, level)


def test_prediction_intervals_need_a_degree_of_freedom() -> None:
    exact = fit(X3[:2], Y3[:2])
    with pytest.raises(ValueError, match="degrees_of_freedom must be at least 1"):
        prediction_intervals(exact, X3)


def test_precision_must_be_known() -> None:
    with pytest.raises(ValueError, match="dtype must be one of 'float32', 'float64'"):
        normal_equations(X3, Y3, dtype=np.int64)


def test_mean_squared_error() -> None:
    assert least_squares.mean_squared_error([1.0, 3.0], [0.0, 1.0]) == 2.5
    with pytest.raises(ValueError, match="y and predicted must have the same length"):
        least_squares.mean_squared_error([1.0], [1.0, 2.0])
