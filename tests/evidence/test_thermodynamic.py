"""Thermodynamic integration: the rule of integration, its error, and bad input."""

import dataclasses

import jax
import numpy as np
import pytest

from bnnbook.evidence import thermodynamic
from evidence_cases import gaussian, not_a_number

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(2)


def curve(ladder, y=3.0):
    """Two log likelihoods at each rung with the mean and variance of N(θ, 1) at y, θ ~ N(0, 1)."""
    # p_t is N(t y / (1 + t), 1 / (1 + t)).
    m, v = y / (1 + ladder), 1 / (1 + ladder)
    mean = -0.5 * (m**2 + v) - 0.5 * np.log(2 * np.pi)
    sd = np.sqrt(0.5 * v**2 + m**2 * v)
    return (mean + np.array([[1.0], [-1.0]]) * sd).T[:, :, None]


def test_the_corrected_rule_is_of_fourth_order():
    exact = -0.25 * 9 - 0.5 * np.log(4 * np.pi)
    errors, plain = [], []
    for rungs in (8, 16, 32):
        ladder = (np.arange(rungs + 1) / rungs) ** thermodynamic.POWER
        values = curve(ladder)
        errors.append(abs(thermodynamic.integrate(ladder, values)[0] - exact))
        mean = values.mean(axis=(1, 2))
        plain.append(abs(np.trapezoid(mean, ladder) - exact))
    assert errors[1] / errors[2] > 12
    assert errors[2] < 1e-4
    # Mutation: without the correction the order is two.
    assert 3 < plain[1] / plain[2] < 5


def test_diagnostics_say_what_the_ladder_leaves():
    # Few rungs: the error is beyond the standard error, and so is what stands beside it.
    size = {"num_walkers": 1024, "num_steps": 40}
    rough = thermodynamic.estimate(KEY, gaussian(2, 0.2).target, num_rungs=4, **size)
    exact = gaussian(2, 0.2).exact
    assert abs(rough.log_evidence - exact) > 4 * rough.standard_error
    assert rough.diagnostics["discretisation"] > 2 * rough.standard_error
    fine = thermodynamic.estimate(KEY, gaussian(2, 0.2).target, num_rungs=32)
    assert abs(fine.log_evidence - exact) < 4 * fine.standard_error
    assert fine.diagnostics["discretisation"] < 2 * fine.standard_error
    assert fine.num_evaluations == 128 * (1 + 32 * 80) + 256 * np.ceil(128 * 40 / 256)


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (gaussian().target, {"num_rungs": 5}, "num_rungs must be even, got 5"),
        (gaussian().target, {"num_rungs": 2}, "num_rungs must be a whole number of at least 4"),
        (gaussian().target, {"num_walkers": 3}, "num_walkers must be"),
        (gaussian().target, {"num_steps": 1}, "num_steps must be"),
        (dataclasses.replace(gaussian().target, sample_prior=None), {}, "draw from its prior"),
        (not_a_number(), {}, "got an estimate of (inf|nan)"),
    ],
)
def test_bad_input_is_named(target, settings, message):
    with pytest.raises(ValueError, match=message):
        thermodynamic.estimate(KEY, target, **settings)
