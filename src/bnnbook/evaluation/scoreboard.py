"""A row of a scoreboard: how near a method is to the reference, and how good on test data.

The two are different questions, so they are different functions: ``near`` knows no test output, and
``on_test_data`` knows no reference. ``chosen`` picks a setting by rows set aside from the training
data, which is neither. Chapter "Approximate posteriors, scored" introduces it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from bnnbook import checks
from bnnbook.datasets.splits import HeldOut
from bnnbook.evaluation.agreement import RegressionAgreement, regression_agreement
from bnnbook.evaluation.predictive import Predictive, RegressionScores, pit_distance, score
from bnnbook.variational.fit import FitError

Row = dict[str, float]


def thin(parameters: ArrayLike, most: int) -> Float[np.ndarray, "1 draw point parameter"]:
    """Evenly spaced draws of all chains, in one: scores and distances take time a draw.

    Args:
        parameters: shape (chain, draw, point, parameter).
        most: so many draws are kept at most, of all chains together.
    """
    draws = checks.finite_array("parameters", parameters, ndim=4)
    draws = draws.reshape(1, -1, *draws.shape[2:])
    return draws[:, :: -(-draws.shape[1] // checks.at_least("most", most, 1))]


def near(prediction: ArrayLike, reference: ArrayLike) -> Row:
    """Means over the points of the distances to the reference, and of the ratios of sds to its.

    Args:
        prediction: likelihood parameters of shape (chain, draw, point, 2), in units of y.
        reference: the same of the reference, at the same points.
    """
    return agreement_row(regression_agreement(prediction, reference))


def agreement_row(found: RegressionAgreement) -> Row:
    """The same of distances that were computed already, such as the reference's own floor."""
    return {
        "total variation": float(found.total_variation.mean()),
        "Wasserstein": float(found.wasserstein.mean()),
        "sd ratio": float(found.sd_ratio.mean()),
        "sd of f, ratio": float(found.epistemic_sd_ratio.mean()),
    }


def on_test_data(scores: RegressionScores) -> Row:
    """The scores on test data: means over the data, coverage, and the distance of PIT from uniform.

    Args:
        scores: what ``predictive.score`` or ``score_all`` gave, with coverage at one probability or
            more.
    """
    return {
        "−log score": scores.negative_log_likelihood.value,
        "CRPS": scores.crps.value,
        "RMSE": scores.root_mean_squared_error.value,
        **{f"in {100 * p:g} %": one.rate for p, one in scores.coverage.items()},
        "PIT": pit_distance(scores.pit),
    }


class OverKeys(NamedTuple):
    """One number of a method over the keys that it was fitted from."""

    mean: float
    """Their mean."""
    standard_error: float
    """Its standard error, from the keys alone; NaN from one key."""


def over_keys(rows: Mapping[tuple[str, int], Row]) -> dict[str, dict[str, OverKeys]]:
    """By method and column, the mean over keys.

    Args:
        rows: a method's name and a key to its row; the rows of one method have the same columns.
    """
    by_method: dict[str, list[Row]] = {}
    for (name, _), row in rows.items():
        by_method.setdefault(name, []).append(row)
    return {name: _columns(several) for name, several in by_method.items()}


def _columns(rows: list[Row]) -> dict[str, OverKeys]:
    found = {}
    for column in rows[0]:
        values = np.array([row[column] for row in rows])
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        found[column] = OverKeys(float(values.mean()), float(error))
    return found


class Choice(NamedTuple):
    """A setting that validation data chose."""

    best: Any
    """The candidate with the lowest negative log score."""
    scores: dict[Any, float]
    """The negative log score a datum (nats) under each candidate; infinite where it failed."""
    failed: dict[Any, str]
    """Of each candidate that was ruled out, why."""


def chosen[T](
    candidates: Iterable[T],
    predict: Callable[[T], ArrayLike | Predictive],
    y_validation: ArrayLike,
) -> Choice:
    """The candidate under which validation data are predicted best, by the log score.

    A fit that fails, or a prediction that cannot be scored, rules its candidate out; of equal ones
    the first wins.

    Args:
        candidates: values of a setting, at least one.
        predict: from a candidate to the prediction of the validation data, fitted to other rows.
        y_validation: those data, shape (point,), at least two; sealed test outputs are refused.

    Raises:
        ValueError: where there is no candidate, or the data are bad or sealed.
        FitError: where every candidate failed; it names the reasons.
    """
    if isinstance(y_validation, HeldOut):
        raise checks.fail("y_validation", "rows set aside from the training data", y_validation)
    y = checks.finite_array("y_validation", y_validation, ndim=1, min_size=2)
    scores: dict[T, float] = {}
    failed: dict[T, str] = {}
    for candidate in candidates:
        try:
            scores[candidate] = score(predict(candidate), y).negative_log_likelihood.value
        except ValueError as error:  # a FitError is one
            scores[candidate], failed[candidate] = np.inf, str(error)
    if not scores:
        raise checks.fail("candidates", "at least one", scores)
    if len(failed) == len(scores):
        raise FitError(f"every candidate failed: {failed}")
    return Choice(min(scores, key=lambda candidate: scores[candidate]), scores, failed)
