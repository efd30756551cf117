"""The harmonic mean: right where data say little, flagged where they say much."""

import numpy as np
import pytest

from bnnbook.evidence import harmonic_mean
from bnnbook.pareto import pareto_k
from evidence_cases import gaussian

pytestmark = pytest.mark.usefixtures("x64")


def test_it_is_right_and_not_flagged_where_the_prior_hardly_differs_from_the_posterior():
    case = gaussian(2, 3.0)
    found = harmonic_mean.estimate(case.target, case.draws(0, 1000))
    assert not found.flagged
    assert abs(found.log_evidence - case.exact) < 4 * found.standard_error


def test_it_is_flagged_and_gives_no_error_where_its_variance_is_infinite():
    case = gaussian(10, 0.3)
    draws = case.draws(0, 1000)
    found = harmonic_mean.estimate(case.target, draws)
    assert found.flagged
    assert found.standard_error is None
    assert found.log_evidence > case.exact + 4 * found.diagnostics["nominal_error"]
    # Mutation: the diagnostic of the likelihoods instead of their inverses sees nothing.
    likelihood = case.target.evaluate(draws.reshape(-1, 10)).log_likelihood
    assert not pareto_k(likelihood) > 0.7


def test_bad_draws_are_named():
    with pytest.raises(ValueError, match="draws must be of shape"):
        harmonic_mean.estimate(gaussian().target, np.zeros((4, 10, 2)))
