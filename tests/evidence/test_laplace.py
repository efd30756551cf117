"""Laplace's evidence: exact for a normal, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import comb, xlogy

from bnnbook.datasets import eight_schools
from bnnbook.evidence import laplace
from bnnbook.evidence import target as targets
from bnnbook.evidence.target import Target
from bnnbook.models import hierarchical
from evidence_cases import beta_binomial, gaussian

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("dimension", [1, 2, 20])
def test_it_is_exact_for_a_normal_posterior(dimension):
    found = laplace.estimate(gaussian(dimension).target)
    assert found.log_evidence == pytest.approx(gaussian(dimension).exact, abs=1e-10)
    assert found.standard_error is None
    # Mutation: a datum dropped.
    dropped = laplace.estimate(gaussian(2, 1.0, 1).target)
    assert abs(dropped.log_evidence - gaussian().exact) > 0.1


def test_it_is_its_formula_for_a_skewed_posterior():
    a, b = 9.0, 5.0  # of the posterior, whose mode in the logit is log(9 / 5)
    p = a / (a + b)
    peak = np.log(12 * comb(9, 7)) + xlogy(a, p) + xlogy(b, 1 - p)
    formula = peak + 0.5 * np.log(2 * np.pi) - 0.5 * np.log((a + b) * p * (1 - p))
    found = laplace.estimate(beta_binomial().target)
    assert found.log_evidence == pytest.approx(formula, abs=1e-10)
    assert abs(found.log_evidence - beta_binomial().exact) > 0.001


def rising():
    return Target(
        lambda u: -jnp.logaddexp(0.0, -u[0]), lambda u: -jnp.exp(-u[0]), 1, ("u",), np.zeros(1)
    )


def test_densities_without_a_mode_are_refused():
    schools = eight_schools.load()
    effects = (schools["standard_error"], schools["effect"])
    with pytest.raises(ValueError, match="must have a maximum of its log_joint"):
        laplace.estimate(targets.from_model(hierarchical.centred, effects))
    with pytest.raises(ValueError, match="must have a maximum of its log_joint"):
        laplace.estimate(rising())
