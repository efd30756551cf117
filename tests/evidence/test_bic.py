"""Schwarz's criterion: its formula, its order in n, and likelihoods without a maximum."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from bnnbook.evidence import bic
from bnnbook.evidence.target import Target
from evidence_cases import gaussian

pytestmark = pytest.mark.usefixtures("x64")


def mean_of(y, prior_sd):
    return Target(
        lambda u: norm.logpdf(u[0], 0.0, prior_sd),
        lambda u: jnp.sum(norm.logpdf(y, u[0])),
        1,
        ("u",),
        np.zeros(1),
    )


def exact(y, prior_sd):
    n, square = len(y), y @ y - prior_sd**2 * y.sum() ** 2 / (1 + len(y) * prior_sd**2)
    return -0.5 * (n * np.log(2 * np.pi) + np.log1p(n * prior_sd**2) + square)


def test_it_is_right_for_a_prior_worth_one_observation_and_not_for_others():
    y = np.random.default_rng(0).normal(0.0, 1.0, size=400)
    found = bic.estimate(mean_of(y, 1.0), len(y))
    formula = norm.logpdf(y, y.mean()).sum() - 0.5 * np.log(400)
    assert found.log_evidence == pytest.approx(float(formula), abs=1e-9)
    assert abs(found.log_evidence - exact(y, 1.0)) < 0.01
    # It never sees the prior, and the error stays.
    assert bic.estimate(mean_of(y, 100.0), len(y)).log_evidence == found.log_evidence
    assert abs(found.log_evidence - exact(y, 100.0)) > 4
    # Mutation: n counted twice.
    assert abs(bic.estimate(mean_of(y, 1.0), 800).log_evidence - exact(y, 1.0)) > 0.1


def test_separable_data_have_no_criterion():
    x, sign = jnp.array([-1.0, -0.5, 0.7]), jnp.array([-1.0, -1.0, 1.0])
    target = Target(
        lambda u: norm.logpdf(u[0]),
        lambda u: -jnp.sum(jnp.logaddexp(0.0, -sign * x * u[0])),
        1,
        ("u",),
        np.zeros(1),
    )
    with pytest.raises(ValueError, match="must have a maximum of its log_likelihood"):
        bic.estimate(target, 3)


def test_bad_counts_are_named():
    with pytest.raises(ValueError, match="num_observations must be a whole number of at least 1"):
        bic.estimate(gaussian().target, 0)
