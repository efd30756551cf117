"""The exact evidence in the common record."""

import numpy as np
import pytest
from scipy import stats

from bnnbook.evidence import exact
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma

X = np.column_stack([np.ones(5), [-2.0, -1.0, 0.5, 1.0, 3.0]])
Y = np.array([0.2, -1.0, 1.5, 1.0, 2.0])
KNOWN = NormalCoefficients.from_covariance([0.0, 1.0], [4.0, 1.0])
UNKNOWN = NormalInverseGamma.from_covariance([0.0, 1.0], [4.0, 1.0], 3.0, 2.0)


def test_the_value_is_the_density_of_the_data():
    spread = X @ np.diag([4.0, 1.0]) @ X.T
    found = exact.estimate(KNOWN, X, Y, noise_sd=0.5)
    truth = stats.multivariate_normal(X[:, 1], 0.25 * np.eye(5) + spread).logpdf(Y)
    assert found.log_evidence == pytest.approx(truth, abs=1e-10)
    assert (found.standard_error, found.num_evaluations) == (0.0, 0)
    assert found.seconds > 0
    # Mutation: the noise taken for a variance.
    assert abs(exact.estimate(KNOWN, X, Y, noise_sd=0.25).log_evidence - truth) > 0.1
    truth = stats.multivariate_t(X[:, 1], 2 / 3 * (np.eye(5) + spread), 6).logpdf(Y)
    assert exact.estimate(UNKNOWN, X, Y).log_evidence == pytest.approx(truth, abs=1e-10)


@pytest.mark.parametrize(
    ("prior", "noise", "message"),
    [
        (KNOWN, None, "noise_sd must be positive and finite, got None"),
        (KNOWN, 0.0, "noise_sd must be positive and finite, got 0"),
        (UNKNOWN, 1.0, "noise_sd must be None where the prior"),
        (None, 1.0, "prior must be"),
    ],
)
def test_bad_input_is_named(prior, noise, message):
    with pytest.raises(ValueError, match=message):
        exact.estimate(prior, X, Y, noise_sd=noise)
