"""Do two samples come from one law? A test with a false-alarm rate that is known."""

import numpy as np
from scipy import stats

PROJECTIONS = {
    "first": lambda x: x[:, 0],
    "second": lambda x: x[:, 1],
    "sum": lambda x: x[:, 0] + x[:, 1],
    "difference": lambda x: x[:, 0] - x[:, 1],
    "radius": lambda x: np.hypot(x[:, 0], x[:, 1]),
    "product": lambda x: x[:, 0] * x[:, 1],
}


def p_value(one, other):
    """The p-value of the hypothesis that two samples of shape (draw, 2) have one law.

    Two-sample Kolmogorov-Smirnov tests of six projections, by Bonferroni: where the hypothesis is
    true it is below α with a probability of at most α.
    """
    one, other = np.asarray(one, float), np.asarray(other, float)
    tests = [stats.ks_2samp(f(one), f(other), method="asymp") for f in PROJECTIONS.values()]
    return min(1.0, len(tests) * min(test.pvalue for test in tests))


def p_value_of_counts(draws, probabilities):
    """The chi-square test of draws of whole numbers against their exact probabilities."""
    cells = np.ravel_multi_index(np.asarray(draws).T, probabilities.shape)
    counts = np.bincount(cells, minlength=probabilities.size)
    return stats.chisquare(counts, len(cells) * probabilities.ravel()).pvalue
