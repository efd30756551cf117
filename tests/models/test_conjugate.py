"""The NumPyro model has the density of the closed form."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import stats

from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma
from bnnbook.models.conjugate import conjugate_regression

pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 2)), RNG.normal(size=7)
PRECISION = np.array([[2.0, 0.3], [0.3, 1.0]])
SETTINGS = {"mean": np.array([1.0, -1.0]), "precision": PRECISION, "shape": 3.0, "scale": 4.0}


def log_joint(b, variance, **changes):
    values = {"coefficients": jnp.asarray(b), "noise_variance": jnp.asarray(variance)}
    return float(log_density(conjugate_regression, (X, Y), SETTINGS | changes, values)[0])


def test_density_is_prior_times_likelihood():
    b, variance = np.array([0.2, 0.7]), 1.7
    prior = NormalInverseGamma.from_precision(*SETTINGS.values())
    likelihood = stats.norm.logpdf(Y, X @ b, np.sqrt(variance)).sum()
    expected = prior.log_density(b, variance) + likelihood
    assert log_joint(b, variance) == pytest.approx(expected, rel=1e-10)
    # Mutation: a prior of b that does not scale with the noise.
    assert log_joint(b, variance, precision=PRECISION * variance) != pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": 0.0}, "shape must be positive and finite, got 0.0"),
        ({"scale": np.nan}, "scale must be positive and finite, got nan"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        log_joint([0.0, 0.0], 1.0, **changes)
