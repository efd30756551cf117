r"""How near an approximation predicts to a reference, and where its doubt comes from.

Good test scores and nearness to the true posterior are two questions. Here is the second: the total
variation ½∫|p − q| and the 1-Wasserstein distance ∫|F − G| between predictive distributions, point
by point, and for classes the agreement of the most probable class and ½Σ|p − q|, as in the NeurIPS
2021 competition on approximate inference (Wilson et al. 2022). Beside them, the doubt that more
data would remove (epistemic) and that which is the data's own (aleatoric), and whether the first
grows in a gap between the data. Chapter "Approximate posteriors, scored" introduces it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

from bnnbook import checks
from bnnbook.evaluation.predictive import GaussianMixture, gaussian_mixture

CELLS = 256
"""Cells that the line is cut into, of about equal probability."""
SCORES = special.ndtri((np.arange(8) + 0.5) / 8)
BLOCKS = 10

Points = Float[np.ndarray, " point"]


class RegressionAgreement(NamedTuple):
    """Distances between two predictions, one a point; all zero, and the ratios 1, where equal."""

    total_variation: Points
    """½∫|p − q|, from 0 to 1: the most that the probability of any event differs."""
    wasserstein: Points
    """∫|F − G| over the reference's predictive sd: how far probability has to be moved."""
    shift: Points
    """Difference of the predictive means over the reference's predictive sd."""
    sd_ratio: Points
    """The predictive sd over the reference's."""
    epistemic_sd_ratio: Points
    """The sd of the component means over the reference's."""


def regression_agreement(prediction: ArrayLike, reference: ArrayLike) -> RegressionAgreement:
    """Distances between two Gaussian mixtures at each point, by cells of a partition.

    Two finite samples of one posterior are not at distance zero: compare with the distance between
    halves of the reference's own chains.

    Args:
        prediction: likelihood parameters of shape (chain, draw, point, 2), in units of y.
        reference: the same of the reference, at the same points.

    Raises:
        ValueError: where numbers are bad, points differ in number, or the reference has one draw or
            no spread of its means, so that there is no epistemic sd to divide by.
    """
    p, q = gaussian_mixture(prediction), gaussian_mixture(reference)
    if p.means.shape[1] != q.means.shape[1]:
        got = p.means.shape[1]
        raise checks.fail("prediction", f"of {q.means.shape[1]} points as the reference", got)
    spread = q.means.std(axis=0)
    if (spread == 0).any():
        raise checks.fail("reference", "of draws that differ at every point", spread)
    tv, w1 = np.array([_distances(p, q, i) for i in range(q.means.shape[1])]).T
    return RegressionAgreement(
        total_variation=tv,
        wasserstein=w1 / q.sd,
        shift=(p.mean - q.mean) / q.sd,
        sd_ratio=p.sd / q.sd,
        epistemic_sd_ratio=p.means.std(axis=0) / spread,
    )


def floor_of(reference: ArrayLike) -> RegressionAgreement:
    """The distance between two halves of a reference's own chains: nothing can be told nearer.

    Halves are of whole chains where there are several, else of the draws of the one. Each has half
    the draws, so the floor is a little above what two whole runs would show.

    Args:
        reference: likelihood parameters of shape (chain, draw, point, 2), in units of y.

    Raises:
        ValueError: where numbers are bad or there are fewer than four draws in all.
    """
    draws = checks.finite_array("reference", reference, ndim=4)
    axis = 0 if draws.shape[0] > 1 else 1
    middle = draws.shape[axis] // 2
    if draws.shape[0] * draws.shape[1] < 4:
        raise checks.fail("reference", "of at least 4 draws in all", draws.shape)
    one, other = np.split(draws, [middle], axis=axis)
    return regression_agreement(one, other)


def _distances(p: GaussianMixture, q: GaussianMixture, point: int) -> tuple[float, float]:
    """Total variation and Wasserstein distance on edges at quantiles of the two, pooled."""
    sides = [(one.means[:, point], one.sds[:, point]) for one in (p, q)]
    ends = [_edges(means, sds) for means, sds in sides]
    edges = np.unique(np.concatenate(ends))
    below = [special.ndtr((edges[:, None] - means) / sds).mean(axis=1) for means, sds in sides]
    difference = below[0] - below[1]
    tv = 0.5 * np.abs(np.diff(difference, prepend=0.0, append=0.0)).sum()
    return float(tv), float(np.trapezoid(np.abs(difference), edges))


def _edges(means: np.ndarray, sds: np.ndarray) -> np.ndarray:
    spread = np.sort((means + sds * SCORES[:, None]).ravel())
    inner = np.quantile(spread, np.linspace(0, 1, CELLS // 2))
    low, high = (means - 8 * sds).min(), (means + 8 * sds).max()
    tails = np.linspace(low, inner[0], CELLS // 8), np.linspace(inner[-1], high, CELLS // 8)
    return np.concatenate([tails[0], inner, tails[1]])


class ClassAgreement(NamedTuple):
    """How alike two predictions of classes are."""

    agreement: float
    """The share of inputs for which both call the same class the most probable."""
    total_variation: float
    """The mean over inputs of ½Σ|p − q|."""


def class_agreement(probabilities: ArrayLike, reference: ArrayLike) -> ClassAgreement:
    """Agreement and total variation (Wilson et al. 2022).

    Args:
        probabilities: of the classes, averaged over draws, shape (point, class).
        reference: the same of the reference.

    Raises:
        ValueError: where shapes differ or a row is no probability distribution.
    """
    p = check_probabilities("probabilities", probabilities)
    q = check_probabilities("reference", reference)
    if p.shape != q.shape:
        raise checks.fail("probabilities", f"of shape {q.shape} as the reference", p.shape)
    same = p.argmax(axis=1) == q.argmax(axis=1)
    return ClassAgreement(float(same.mean()), float(0.5 * np.abs(p - q).sum(axis=1).mean()))


def check_probabilities(name: str, value: ArrayLike) -> Float[np.ndarray, "point class"]:
    """Rows of probabilities that sum to one, to the rounding of float32."""
    p = checks.finite_array(name, value, ndim=2)
    if p.shape[1] < 2 or (p < 0).any() or (np.abs(p.sum(axis=1) - 1) > 1e-4).any():
        raise checks.fail(name, "rows of probabilities of two classes or more, summing to 1", p)
    return p


class Decomposition(NamedTuple):
    """Total doubt and its two parts, one a point."""

    total: Points
    """Variance of a new datum, or entropy of the mixture (nats)."""
    aleatoric: Points
    """The mean over draws of the noise variance, or of the entropy."""
    epistemic: Points
    """The rest: the variance of the means, or the mutual information of class and weights."""


def decompose_variance(parameters: ArrayLike) -> Decomposition:
    r"""The law of total variance: Var y = E σ² + Var m.

    Args:
        parameters: shape (chain, draw, point, 2), a mean and an sd; at least two draws in all.
    """
    mixture = gaussian_mixture(parameters)
    if len(mixture.means) < 2:
        raise checks.fail("parameters", "of two draws or more: one has no epistemic part", 1)
    noise, spread = np.mean(mixture.sds**2, axis=0), mixture.means.var(axis=0)
    return Decomposition(noise + spread, noise, spread)


def decompose_entropy(log_probabilities: ArrayLike) -> Decomposition:
    """Entropy of the mixture = mean entropy of the draws + mutual information.

    Args:
        log_probabilities: shape (chain, draw, point, class); at least two draws in all. Minus
            infinity is admitted.
    """
    p = class_draws(log_probabilities)
    if len(p) < 2:
        raise checks.fail("log_probabilities", "of two draws or more: one has no epistemic part", 1)
    total = special.entr(p.mean(axis=0)).sum(axis=-1)
    aleatoric = special.entr(p).sum(axis=-1).mean(axis=0)
    return Decomposition(total, aleatoric, np.maximum(total - aleatoric, 0.0))


def class_draws(log_probabilities: ArrayLike) -> Float[np.ndarray, "draw point class"]:
    """The probabilities of each draw, chains in one axis."""
    logs = np.asarray(log_probabilities, dtype=np.float64)
    if logs.ndim != 4 or logs.size == 0:
        expected = "of shape (chain, draw, point, class), none empty"
        raise checks.fail("log_probabilities", expected, logs.shape)
    checks.finite_array("log_probabilities", np.where(np.isneginf(logs), 0.0, logs))
    p = np.exp(logs.reshape(-1, *logs.shape[2:]))
    check_probabilities("exp(log_probabilities)", p.reshape(-1, p.shape[2]))
    return p


class GapScore(NamedTuple):
    """How much more doubt there is in a gap than at the data."""

    ratio: float
    """The mean epistemic sd of f inside the gap over that at the data."""
    standard_error: float
    """Its Monte Carlo error, by a jackknife over blocks of draws; NaN from two draws."""


def gap_score(f: ArrayLike, inside: ArrayLike, at_data: ArrayLike) -> GapScore:
    """The ratio of the sd of f in a gap to that at the data; put the reference's beside it.

    Args:
        f: the network's output, shape (chain, draw, point); at least two draws in all, and three
            for a standard error.
        inside: a truth value for each point: whether it lies in the gap.
        at_data: the same: whether it lies among the data.

    Raises:
        ValueError: where no point is chosen, too few draws are given, or f does not vary.
    """
    f = checks.finite_array("f", f, ndim=3)
    draws = f.reshape(-1, f.shape[2])
    masks = [_mask(n, m, f.shape[2]) for n, m in (("inside", inside), ("at_data", at_data))]
    if len(draws) < 2:
        raise checks.fail("f", "of at least 2 draws in all: one has no spread", f.shape)

    def ratio(some: np.ndarray) -> float:
        top, bottom = (some[:, mask].std(axis=0, ddof=1).mean() for mask in masks)
        if bottom == 0:
            raise ValueError("f must vary at the data, got an sd of 0.0 there")
        return float(top / bottom)

    if len(draws) == 2:
        return GapScore(ratio(draws), np.nan)
    blocks = np.array_split(np.arange(len(draws)), min(BLOCKS, len(draws)))
    left = np.array([ratio(np.delete(draws, block, axis=0)) for block in blocks])
    error = np.sqrt((len(left) - 1) / len(left) * np.sum((left - left.mean()) ** 2))
    return GapScore(ratio(draws), float(error))


def _mask(name: str, value: ArrayLike, num_points: int) -> np.ndarray:
    mask = np.asarray(value)
    if mask.dtype != np.bool_ or mask.shape != (num_points,) or not mask.any():
        expected = f"{num_points} truth values, at least one of them true"
        raise checks.fail(name, expected, value)
    return mask
