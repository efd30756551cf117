r"""Scores of a prediction that is a mixture: one normal distribution a draw, or a member.

Every fitted network predicts the parameters of its likelihood, a mean and an sd for each draw of
its weights, and what it says of a new datum is the average of those normals:

.. math:: p(y \mid x, \mathcal{D}) \approx \frac1S \sum_{s} \N\bigl(y;\; m_s(x), \sigma_s(x)\bigr)

So draws of a posterior, members of an ensemble and passes of dropout are scored alike, and no
function here knows a method's name. All numbers are of the mixture itself, in closed form or by
bisection and quadrature, without drawing from it. Chapter "Approximate posteriors, scored"
introduces it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

from bnnbook import checks
from bnnbook.datasets.splits import HeldOut
from bnnbook.evaluation.coverage import pit_from_cdf
from bnnbook.evaluation.scores import Average, average
from bnnbook.evaluation.simulation_based_calibration import Calibration, Uniformity
from bnnbook.exact.intervals import Coverage, Interval
from bnnbook.exact.intervals import coverage as interval_coverage

BISECTIONS = 60
"""Halvings of a quantile's bracket: the last is 1e-18 of the first."""
REACH = 8.5
"""Beyond this many sds a normal distribution holds nothing that double precision can tell."""

Points = Float[np.ndarray, " point"]


@runtime_checkable
class Predictive(Protocol):
    """What the scores ask of a prediction, one distribution a point."""

    @property
    def mean(self) -> Points: ...
    @property
    def sd(self) -> Points: ...
    def log_density(self, y: ArrayLike) -> Points: ...
    def cdf(self, y: ArrayLike) -> Points: ...
    def quantile(self, probability: float) -> Points: ...
    def crps(self, y: ArrayLike) -> Points: ...


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """An equal mixture of normal distributions at each point."""

    means: Float[np.ndarray, "component point"]
    """The means, in units of y."""
    sds: Float[np.ndarray, "component point"]
    """The standard deviations, above zero, in units of y."""

    def __post_init__(self) -> None:
        means = checks.finite_array("means", self.means, ndim=2)
        sds = checks.finite_array("sds", self.sds, ndim=2)
        if means.shape != sds.shape:
            raise checks.fail("sds", f"of shape {means.shape}, as means", sds.shape)
        if (sds <= 0).any():
            raise ValueError(f"sds must be positive everywhere, got {sds.min()}")

    @property
    def mean(self) -> Points:
        """The mean of the mixture: the average of the means."""
        return self.means.mean(axis=0)

    @property
    def sd(self) -> Points:
        """The sd of the mixture: variances within and between the components add."""
        return np.sqrt(np.mean(self.sds**2, axis=0) + self.means.var(axis=0))

    def log_density(self, y: ArrayLike) -> Points:
        """The log density of the mixture, one datum a point: the log of the mean density."""
        z = (self._checked(y) - self.means) / self.sds
        logs = -0.5 * z**2 - np.log(self.sds) - 0.5 * np.log(2 * np.pi)
        return special.logsumexp(logs, axis=0) - np.log(len(logs))

    def cdf(self, y: ArrayLike) -> Points:
        """The probability of at most y, one datum a point."""
        return special.ndtr((self._checked(y) - self.means) / self.sds).mean(axis=0)

    def quantile(self, probability: float) -> Points:
        """The value below which the given probability lies, by bisection of the cdf.

        The bracket is from the least to the greatest quantile of a component.
        """
        probability = checks.fraction("probability", probability)
        ends = self.means + self.sds * special.ndtri(probability)
        low, high = ends.min(axis=0), ends.max(axis=0)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)

    def crps(self, y: ArrayLike) -> Points:
        r"""The CRPS of the mixture, in units of y; lower is better.

        .. math:: \frac1S \sum_s A(y - m_s, \sigma_s)
                  - \frac{1}{2 S^2} \sum_{s,t} A\Bigl(m_s - m_t, \sqrt{\sigma_s^2+\sigma_t^2}\Bigr),
                  \quad A(d, \sigma) = \E |\N(d, \sigma)|

        (Grimit et al. 2006). The double sum equals the integral of F(1 − F), on which the
        trapezoidal rule converges exponentially; whichever of the two is cheaper is taken.
        """
        first = mean_absolute_normal(self._checked(y) - self.means, self.sds).mean(axis=0)
        return first - _half_mean_difference(self.means, self.sds)

    def _checked(self, y: ArrayLike) -> Points:
        y = checks.finite_array("y", y, ndim=1)
        if len(y) != self.means.shape[1]:
            raise checks.fail("y", f"one value for each of {self.means.shape[1]} points", y.shape)
        return y


def gaussian_mixture(parameters: ArrayLike) -> GaussianMixture:
    """The mixture that a network predicts, from its likelihood's parameters.

    Args:
        parameters: shape (chain, draw, point, 2): a mean and an sd, in units of y.

    Raises:
        ValueError: where the shape is another, a number is not finite or an sd not positive.
    """
    array = checks.finite_array("parameters", parameters)
    if array.ndim != 4 or array.shape[3] != 2:
        raise checks.fail("parameters", "of shape (chain, draw, point, 2)", array.shape)
    flat = array.reshape(-1, *array.shape[2:])
    if (flat[..., 1] <= 0).any():
        raise ValueError(
            f"parameters must hold positive sds at [..., 1], got {flat[..., 1].min()} "
            f"at point {int(np.argmin(flat[..., 1].min(axis=0)))}"
        )
    return GaussianMixture(flat[..., 0], flat[..., 1])


def rescale(parameters: ArrayLike, mean: float, sd: float) -> Float[np.ndarray, "..."]:
    """Gaussian parameters of (y − mean) / sd, brought back to the units of y.

    Args:
        parameters: shape (..., 2): a mean and an sd on the standardised scale.
        mean: what was subtracted, the mean of the training outputs.
        sd: what was divided by, their sd.
    """
    array = checks.finite_array("parameters", parameters)
    if array.ndim == 0 or array.shape[-1] != 2:
        raise checks.fail("parameters", "of shape (..., 2): a mean and an sd", array.shape)
    scale, shift = checks.positive("sd", sd), checks.finite("mean", mean)
    return array * scale + np.array([shift, 0.0])


def mean_absolute_normal(mean: ArrayLike, sd: ArrayLike) -> Float[np.ndarray, "..."]:
    r"""E|Z| of a normal Z: :math:`2 \sigma \varphi(m/\sigma) + m (2 \Phi(m/\sigma) - 1)`."""
    mean, sd = np.asarray(mean, dtype=np.float64), np.asarray(sd, dtype=np.float64)
    z = mean / sd
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(2 * sd * density + mean * special.erf(z / np.sqrt(2)))


def _half_mean_difference(means: np.ndarray, sds: np.ndarray) -> Points:
    """½ E|Y − Y'| at each point, by quadrature or by pairs, whichever is cheaper there."""
    reach = (means + REACH * sds).max(axis=0) - (means - REACH * sds).min(axis=0)
    # At half the least sd the rule's error is of the order of exp(−4π²).
    num_nodes = 1 + np.ceil(reach / (0.5 * sds.min(axis=0)))
    # Points of about the same need go together, those that need more nodes than pairs by pairs.
    octave = np.where(num_nodes > len(means), 0, np.ceil(np.log2(num_nodes))).astype(int)
    found = np.empty(means.shape[1])
    for group in np.unique(octave):
        here = octave == group
        if group == 0:
            found[here] = _by_pairs(means[:, here], sds[:, here])
        else:
            found[here] = _by_quadrature(means[:, here], sds[:, here], 2 ** int(group))
    return found


def _by_quadrature(means: np.ndarray, sds: np.ndarray, num_nodes: int) -> Points:
    low, high = (means - REACH * sds).min(axis=0), (means + REACH * sds).max(axis=0)
    total = np.zeros(means.shape[1])
    for t in np.linspace(low, high, num_nodes):
        below = special.ndtr((t - means) / sds).mean(axis=0)
        total += below * (1 - below)
    return total * (high - low) / (num_nodes - 1)


def _by_pairs(means: np.ndarray, sds: np.ndarray) -> Points:
    total = np.zeros(means.shape[1])
    for mean, sd in zip(means, sds, strict=True):
        total += mean_absolute_normal(mean - means, np.hypot(sd, sds)).mean(axis=0)
    return 0.5 * total / len(means)


class RegressionScores(NamedTuple):
    """How good the predictions of one method were on one test set."""

    negative_log_likelihood: Average
    """−log of the mixture's density, nats a datum; lower is better."""
    crps: Average
    """The continuous ranked probability score, in units of y; lower is better."""
    root_mean_squared_error: Average
    """Of the mixture's mean, in units of y, with its error by the delta method."""
    coverage: dict[float, Coverage]
    """For each probability, how many data its central intervals held."""
    width: dict[float, Average]
    """For each probability, how wide those intervals were, in units of y."""
    pit: Points
    """The predicted probability of at most each datum."""


def score(
    prediction: ArrayLike | Predictive, y: ArrayLike, probabilities: Collection[float] = (0.5, 0.9)
) -> RegressionScores:
    """All scores of one prediction.

    The errors are those of a mean over independent test data. They don't hold the chance in what
    was trained on: for that repeat the split, and compare by ``paired.compare``.

    Args:
        prediction: likelihood parameters of shape (chain, draw, point, 2), a mean and an sd in the
            units of y, or any ``Predictive``.
        y: the test data, shape (point,), at least two.
        probabilities: of the central intervals, each strictly between 0 and 1.

    Raises:
        ValueError: where numbers are not finite, an sd is not positive or lengths differ.
    """
    y = checks.finite_array("y", y, ndim=1, min_size=2)
    predictive = as_predictive(prediction, len(y))
    square = average((y - predictive.mean) ** 2)
    rmse = float(np.sqrt(square.value))
    rmse_error = square.standard_error / (2 * rmse) if rmse > 0 else 0.0
    intervals = {
        p: Interval(predictive.quantile((1 - p) / 2), predictive.quantile((1 + p) / 2))
        for p in (checks.fraction("probabilities", p) for p in probabilities)
    }
    return RegressionScores(
        negative_log_likelihood=average(-predictive.log_density(y)),
        crps=average(predictive.crps(y)),
        root_mean_squared_error=Average(rmse, rmse_error),
        coverage={p: interval_coverage(i.covers(y)) for p, i in intervals.items()},
        width={p: average(i.width) for p, i in intervals.items()},
        pit=pit_from_cdf(y, predictive.cdf),
    )


class IntervalScores(NamedTuple):
    """How good the intervals of one method were."""

    coverage: dict[float, Coverage]
    """For each probability that was claimed, how many data the intervals held."""
    width: dict[float, Average]
    """For each probability, how wide they were, in units of y."""


class Scored(NamedTuple):
    """The scores of several methods on a test set that was read once."""

    scores: dict[str, RegressionScores]
    """By the caller's names."""
    refused: dict[str, str]
    """Predictions that could not be scored, and why; the others' scores are kept."""
    intervals: dict[str, IntervalScores]
    """Of methods that give intervals alone, such as split conformal prediction."""


def score_all(
    predictions: Mapping[str, ArrayLike | Predictive],
    held_out: HeldOut,
    probabilities: Collection[float] = (0.5, 0.9),
    *,
    intervals: Mapping[str, Mapping[float, Interval]] | None = None,
) -> Scored:
    """The scores of all methods, for which the test outputs are opened this once.

    Predictions are looked over before the seal is broken. One that is not finite, has an sd that is
    not positive or another number of points is refused, with the reason, and spoils no other.

    Args:
        predictions: the caller's name of a method to its prediction, as ``score`` takes it.
        held_out: the test outputs, still sealed.
        probabilities: of the central intervals, each strictly between 0 and 1.
        intervals: of methods that predict no more than intervals, by name and probability.

    Raises:
        ValueError: where no prediction can be scored, or intervals are of another number of points;
            the outputs then stay sealed.
        AlreadyReadError: where the outputs were read before.
    """
    for p in probabilities:
        checks.fraction("probabilities", p)
    checks.at_least("held_out's length", len(held_out), 2)
    fine: dict[str, Predictive] = {}
    refused: dict[str, str] = {}
    for name, prediction in predictions.items():
        try:
            fine[name] = as_predictive(prediction, len(held_out))
        except ValueError as error:
            refused[name] = str(error)
    if not fine:
        raise ValueError(f"predictions must hold one that can be scored, got {refused}")
    given = {} if intervals is None else intervals
    for name, by_probability in given.items():
        for p, interval in by_probability.items():
            if (got := np.shape(interval.width)) != (len(held_out),):
                expected = f"one interval for each of {len(held_out)} points"
                raise checks.fail(f"intervals[{name!r}][{p}]", expected, got)
    y = held_out.unseal("evaluation.predictive.score_all")
    return Scored(
        {name: score(one, y, probabilities) for name, one in fine.items()},
        refused,
        {name: _score_intervals(of_method, y) for name, of_method in given.items()},
    )


def _score_intervals(intervals: Mapping[float, Interval], y: Points) -> IntervalScores:
    return IntervalScores(
        {p: interval_coverage(one.covers(y)) for p, one in intervals.items()},
        {p: average(one.width) for p, one in intervals.items()},
    )


def as_predictive(prediction: ArrayLike | Predictive, num_points: int) -> Predictive:
    """A prediction as the scores want it, for that many points."""
    found = prediction if isinstance(prediction, Predictive) else gaussian_mixture(prediction)
    if (got := np.shape(found.mean)) != (num_points,):
        raise checks.fail("prediction", f"of {num_points} points, one a datum", got)
    return found


def pit_uniformity(pit: ArrayLike, probability: float = 0.99) -> Uniformity:
    """The distribution function of PIT values, with a simultaneous band: a calibration plot.

    The band is that of independent uniform values. Test data share what was learnt, so that a curve
    may leave it a little more often than the probability says, even for a good method.

    Args:
        pit: PIT values, shape (n,), such as those of ``score``.
        probability: with which a uniform sample's curve stays within the band.
    """
    pit = _checked_pit(pit)
    ranks = np.zeros((len(pit), 1), dtype=np.int64)
    return Calibration(ranks, pit[:, None], 0, ("PIT",)).uniformity("PIT", probability)


def pit_distance(pit: ArrayLike) -> float:
    """The greatest distance of the PIT values' distribution function from the uniform one.

    The statistic of Kolmogorov and Smirnov: of n values that are uniform it is of the order of
    1 / √n, and above 1.63 / √n once in a hundred times where n is large.

    Args:
        pit: PIT values, shape (n,), such as those of ``score``.
    """
    u, n = np.sort(_checked_pit(pit)), np.size(pit)
    steps = np.arange(n + 1) / n
    return float(max((steps[1:] - u).max(), (u - steps[:-1]).max()))


def _checked_pit(pit: ArrayLike) -> Points:
    pit = checks.finite_array("pit", pit, ndim=1, min_size=2)
    if (pit < 0).any() or (pit > 1).any():
        raise checks.fail("pit", "between 0 and 1 everywhere", pit)
    return pit
