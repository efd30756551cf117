r"""Scores of predicted classes: error, log score, Brier score, calibration, ranking.

The prediction is the mixture: class probabilities averaged over the draws of the weights. Its
confidence is that of the most probable class. The expected calibration error (ECE) compares
confidence and accuracy in bins; by chance alone it is above zero even for perfect calibration, so
it is given with what chance accounts for. Chapter "Images: a convolutional network on MNIST"
introduces it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy import special, stats

from bnnbook import checks
from bnnbook.datasets.splits import HeldOut
from bnnbook.evaluation.agreement import check_probabilities, class_draws
from bnnbook.evaluation.scores import Average, average
from bnnbook.exact.intervals import Coverage, Interval, coverage


def mixture(log_probabilities: ArrayLike) -> Float[np.ndarray, "point class"]:
    """Class probabilities averaged over draws, from log probabilities (chain, draw, point, class).

    Averaged are probabilities, not their logs: that would be another, sharper prediction.
    """
    return class_draws(log_probabilities).mean(axis=0)


class ClassScores(NamedTuple):
    """How good predicted class probabilities were on one test set."""

    error: Coverage
    """The share of wrong classes, with its binomial error."""
    negative_log_likelihood: Average
    """−log of the true class's probability, nats a datum; infinite where that was zero."""
    brier: Average
    """Σ (p_k − 1{k is true})² over the classes, from 0 to 2."""


def score(probabilities: ArrayLike, labels: ArrayLike) -> ClassScores:
    """Error, log score and Brier score.

    Args:
        probabilities: of the classes, shape (point, class); ``mixture`` makes them.
        labels: the true classes, whole numbers from 0, shape (point,), at least two.

    Raises:
        ValueError: where rows are no distributions, labels no classes, or lengths differ.
    """
    p, y = _checked(probabilities, labels)
    rows = np.arange(len(y))
    truth = np.zeros_like(p)
    truth[rows, y] = 1.0
    with np.errstate(divide="ignore"):
        logs = -np.log(p[rows, y])
    infinite = Average(float("inf"), float("inf"))
    return ClassScores(
        error=coverage(p.argmax(axis=1) != y),
        negative_log_likelihood=average(logs) if np.isfinite(logs).all() else infinite,
        brier=average(((p - truth) ** 2).sum(axis=1)),
    )


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy, in bins that are not empty."""

    confidence: Float[np.ndarray, " bin"]
    """The mean confidence in each bin."""
    accuracy: Float[np.ndarray, " bin"]
    """The share of right classes in each bin."""
    count: Int[np.ndarray, " bin"]
    """How many data are in it."""
    variance: Float[np.ndarray, " bin"]
    """The variance of the accuracy were every confidence right."""

    @property
    def ece(self) -> float:
        """Σ (n_b / n) |accuracy − confidence|, the plug-in estimate; biased upwards."""
        return float(self._weights @ np.abs(self.accuracy - self.confidence))

    @property
    def ece_by_chance(self) -> float:
        """What a perfectly calibrated prediction would be given on average (normal approximation).

        E|N(0, s)| = s √(2/π) in each bin.
        """
        return float(self._weights @ np.sqrt(2 / np.pi * self.variance))

    @property
    def ece_debiased(self) -> float:
        """The plug-in less its bias, estimated at the differences found (Kumar et al. 2019).

        In each bin 2|d| − E|N(d, s)|, s² = a(1 − a)/n_b. It removes part of the bias only, most of
        it where bins are truly miscalibrated.
        """
        d, s = self.accuracy - self.confidence, self._sd
        z = np.divide(d, s, out=np.zeros_like(d), where=s > 0)
        folded = s * np.sqrt(2 / np.pi) * np.exp(-0.5 * z**2) + d * special.erf(z / np.sqrt(2))
        return float(self._weights @ (2 * np.abs(d) - np.where(s > 0, folded, np.abs(d))))

    @property
    def squared_debiased(self) -> float:
        """Σ (n_b / n) (d² − a(1 − a)/(n_b − 1)): no bias for fixed bins (Ferro and Fricker 2012).

        Bins of one datum are left out; it may be slightly negative.
        """
        many = self.count > 1
        a = self.accuracy[many]
        noise = a * (1 - a) / (self.count[many] - 1)
        square = (a - self.confidence[many]) ** 2 - noise
        return float(self.count[many] @ square / self.count[many].sum()) if many.any() else 0.0

    def band(self, probability: float = 0.95, *, simultaneous: bool = True) -> Interval:
        """Where the accuracies would lie were every confidence right: central binomial intervals.

        Args:
            probability: for all bins together (by Bonferroni), or for each.
            simultaneous: which of the two.
        """
        outside = 1 - checks.fraction("probability", probability)
        tail = outside / 2 / (len(self.count) if simultaneous else 1)
        ends = [stats.binom.ppf(q, self.count, self.confidence) for q in (tail, 1 - tail)]
        return Interval(ends[0] / self.count, ends[1] / self.count)

    @property
    def _weights(self) -> Float[np.ndarray, " bin"]:
        return self.count / self.count.sum()

    @property
    def _sd(self) -> Float[np.ndarray, " bin"]:
        return np.sqrt(self.accuracy * (1 - self.accuracy) / self.count)


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, *, num_bins: int = 15, binning: str = "width"
) -> Reliability:
    """The reliability diagram of the most probable class, and the ECE with it.

    Args:
        probabilities: of the classes, shape (point, class).
        labels: the true classes, shape (point,), at least two.
        num_bins: how many bins.
        binning: "width", equal parts of 0 to 1 (Guo et al. 2017), or "mass", equally many data.
    """
    p, y = _checked(probabilities, labels)
    num_bins = checks.at_least("num_bins", num_bins, 1)
    checks.one_of("binning", binning, ("width", "mass"))
    confidence, right = np.minimum(p.max(axis=1), 1.0), p.argmax(axis=1) == y
    if binning == "width":
        place = np.maximum(np.ceil(confidence * num_bins).astype(int), 1) - 1
    else:
        place = stats.rankdata(confidence, "ordinal").astype(int) - 1
        place = place * num_bins // len(y)
    total = np.bincount(place)
    used = total > 0

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights=values)[used]

    count = total[used]
    variance = sums(confidence * (1 - confidence)) / count**2
    return Reliability(sums(confidence) / count, sums(right) / count, count, variance)


class Selective(NamedTuple):
    """Accuracy when only the surest predictions are answered."""

    coverage: Float[np.ndarray, " point"]
    """The share that is answered, from 1/n to 1."""
    accuracy: Float[np.ndarray, " point"]
    """The share of right answers among them."""
    standard_error: Float[np.ndarray, " point"]
    """Its binomial error, never quite zero."""


def selective_prediction(
    probabilities: ArrayLike, labels: ArrayLike, confidence: ArrayLike | None = None
) -> Selective:
    """Accuracy against coverage (El-Yaniv and Wiener 2010).

    Args:
        probabilities: of the classes, shape (point, class).
        labels: the true classes, shape (point,).
        confidence: who is answered first, higher first; the largest probability where it is None.
    """
    p, y = _checked(probabilities, labels)
    sure = p.max(axis=1) if confidence is None else checks.finite_array("confidence", confidence)
    if sure.shape != y.shape:
        raise checks.fail("confidence", f"of shape {y.shape}", sure.shape)
    right = (p.argmax(axis=1) == y)[np.argsort(-sure, kind="stable")]
    answered, hits = np.arange(1, len(y) + 1), np.cumsum(right)
    a, b = hits + 0.5, answered - hits + 0.5  # Jeffreys' posterior, as in exact.intervals
    return Selective(answered / len(y), hits / answered, np.sqrt(a * b / (a + b + 1)) / (a + b))


class Ranking(NamedTuple):
    """How well a score tells two groups apart."""

    auroc: float
    """The probability that one of the positives scores above one of the negatives, ties half."""
    standard_error: float
    """By DeLong, DeLong and Clarke-Pearson (1988)."""
    interval: Interval
    """A confidence interval, from the normal approximation of the logit, within 0 and 1."""


def auroc(positives: ArrayLike, negatives: ArrayLike, probability: float = 0.95) -> Ranking:
    """The area under the ROC curve with DeLong's error.

    For the detection of errors: scores of doubt of the wrong and of the right predictions. For data
    out of distribution: of those, and of the test set.

    Args:
        positives: scores of those that should score high, at least two.
        negatives: scores of the others, at least two.
        probability: the level of the interval, strictly between 0 and 1.

    Raises:
        ValueError: where there are fewer than two of a kind, or a score is not finite.
    """
    x = checks.finite_array("positives", positives, ndim=1, min_size=2)
    y = checks.finite_array("negatives", negatives, ndim=1, min_size=2)
    level = (1 + checks.fraction("probability", probability)) / 2
    ranks, m = stats.rankdata(np.concatenate([x, y])), len(x)
    above = (ranks[:m] - stats.rankdata(x)) / len(y)
    below = 1 - (ranks[m:] - stats.rankdata(y)) / m
    area = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / len(y)))
    if not 0 < area < 1:  # perfect separation: the rule of three stands for the missing error
        least = 1 - (1 - probability) ** (1 / min(m, len(y)))
        ends = Interval(1 - least, 1.0) if area else Interval(0.0, least)
        return Ranking(area, error, ends)
    half = float(special.ndtri(level)) * error / (area * (1 - area))
    low, high = special.expit(special.logit(area) + np.array([-half, half]))
    return Ranking(area, error, Interval(float(low), float(high)))


class Report(NamedTuple):
    """All that is said of one method on a test set."""

    scores: ClassScores
    """Error, log score and Brier score."""
    reliability: Reliability
    """Confidence against accuracy, and the ECE."""
    selective: Selective
    """Accuracy when the surest predictions alone are answered."""
    error_detection: Ranking | None
    """How well a low confidence tells wrong predictions from right ones; None where fewer than two
    are wrong, or right."""
    confidence_when_wrong: Average | None
    """The mean confidence of wrong predictions; None where fewer than two are wrong."""
    right: Bool[np.ndarray, " point"]
    """Which predictions were right."""


class Reports(NamedTuple):
    """The reports of several methods on a test set that was read once."""

    by_method: dict[str, Report]
    """By the caller's names."""
    labels: Int[np.ndarray, " point"]
    """The true classes, to be shown beside what was predicted; nothing may be chosen by them."""


def report(
    probabilities: ArrayLike, labels: ArrayLike, *, num_bins: int = 15, binning: str = "mass"
) -> Report:
    """Every score of one method.

    Args:
        probabilities: of the classes, shape (point, class).
        labels: the true classes, shape (point,), at least two.
        num_bins: of the reliability diagram; see ``reliability``.
        binning: of the same.
    """
    p, y = _checked(probabilities, labels)
    sure, right = p.max(axis=1), p.argmax(axis=1) == y
    both = min(right.sum(), (~right).sum()) >= 2
    return Report(
        scores=score(p, y),
        reliability=reliability(p, y, num_bins=num_bins, binning=binning),
        selective=selective_prediction(p, y),
        error_detection=auroc(-sure[~right], -sure[right]) if both else None,
        confidence_when_wrong=average(sure[~right]) if (~right).sum() >= 2 else None,
        right=right,
    )


def score_all(
    probabilities: Mapping[str, ArrayLike],
    held_out: HeldOut,
    *,
    num_bins: int = 15,
    binning: str = "mass",
) -> Reports:
    """The reports of all methods, for which the test labels are opened this once.

    Predictions are checked before anything is opened, so that a slip does not cost the only
    reading.

    Args:
        probabilities: the caller's name of a method to its class probabilities, (point, class).
        held_out: the test labels, still sealed.
        num_bins: of the reliability diagrams.
        binning: of the same.

    Raises:
        ValueError: where there is no method, or its predictions are no distributions or of another
            number of points; the labels then stay sealed.
        AlreadyReadError: where the labels were read before.
    """
    checks.at_least("the number of methods", len(probabilities), 1)
    for name, given in probabilities.items():
        p = check_probabilities(f"probabilities[{name!r}]", given)
        if len(p) != len(held_out):
            expected = f"one row for each of {len(held_out)} points"
            raise checks.fail(f"probabilities[{name!r}]", expected, p.shape)
    labels = held_out.unseal("evaluation.classification.score_all")
    options: dict[str, Any] = {"num_bins": num_bins, "binning": binning}
    by_method = {name: report(p, labels, **options) for name, p in probabilities.items()}
    return Reports(by_method, np.asarray(labels, np.int64))


def _checked(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[Float[np.ndarray, "point class"], Int[np.ndarray, " point"]]:
    p = check_probabilities("probabilities", probabilities)
    y = checks.finite_array("labels", labels, ndim=1, min_size=2)
    checks.same_length(probabilities=p, labels=y)
    if (y != np.floor(y)).any() or (y < 0).any() or (y >= p.shape[1]).any():
        raise checks.fail("labels", f"whole numbers from 0 to {p.shape[1] - 1}", labels)
    return p, y.astype(np.int64)
