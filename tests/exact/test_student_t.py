"""Student's t agrees with SciPy and is the normal whose variance was averaged out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bnnbook.exact.student_t import StudentT


@settings(max_examples=25)
@given(st.floats(-50, 50), st.floats(0.1, 30), st.floats(0.5, 1e6), st.floats(-200, 200))
def test_density_cdf_and_quantile_agree_with_scipy(mean, scale, dof, y):
    ours, theirs = StudentT(mean, scale, dof), stats.t(dof, mean, scale)
    assert ours.log_density(y) == pytest.approx(theirs.logpdf(y), rel=1e-8, abs=1e-8)
    assert ours.cdf(y) == pytest.approx(theirs.cdf(y), rel=1e-8, abs=1e-12)
    assert ours.quantile(0.1) == pytest.approx(theirs.ppf(0.1), rel=1e-7)
    if dof > 2.1:
        assert ours.sd == pytest.approx(theirs.std(), rel=1e-8)


def averaged(y, power):
    """A normal of mean 2 and variance 9 σ², averaged over σ² ~ InverseGamma(3, 4)."""

    def integrand(log_variance):
        variance = np.exp(log_variance)
        of_variance = stats.invgamma.pdf(variance, 3, scale=4) * variance
        return stats.norm.pdf(y, 2, 3 * variance**power) * of_variance

    return integrate.quad(integrand, -12, 12, epsabs=1e-12)[0]


def test_it_is_a_normal_of_averaged_variance():
    ours = StudentT(2.0, 3 * np.sqrt(4 / 3), 6.0)
    assert ours.density(7.0) == pytest.approx(averaged(7.0, 0.5), rel=1e-8)
    # Mutation: the variance taken for the standard deviation.
    assert ours.density(7.0) != pytest.approx(averaged(7.0, 1.0), rel=1e-2)


def test_many_degrees_of_freedom_give_the_normal():
    y = np.array([-3.0, 0.0, 4.0])
    ours = StudentT(np.zeros(3), np.ones(3), 1e12)
    np.testing.assert_allclose(ours.log_density(y), stats.norm.logpdf(y), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: StudentT(0.0, 0.0, 3.0), "scale must be positive and finite, got 0.0"),
        (lambda: StudentT(np.nan, 1.0, 3.0), "mean must be finite everywhere"),
        (lambda: StudentT(0.0, 1.0, -1.0), "dof must be positive and finite, got -1.0"),
        (lambda: StudentT(0.0, 1.0, 2.0).sd, "dof must be above 2 .* got 2.0"),
        (lambda: StudentT(0.0, 1.0, 3.0).quantile(1.0), "probability must be strictly"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
