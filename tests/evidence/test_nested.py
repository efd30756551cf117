"""Nested sampling: volumes of known likelihood contours, information, plateaus, bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.evidence import nested
from bnnbook.evidence.nested import Peeled
from evidence_cases import gaussian, not_a_number

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(4)


def test_simulated_shares_have_their_law():
    # With all likelihoods 1 the shares add to the whole, whatever they are.
    counts = np.concatenate([np.full(300, 50.0), np.arange(50.0, 0, -1)])
    log_z, information, _ = nested._weigh(KEY, Peeled(np.zeros(350), counts, 0, 0.0))
    np.testing.assert_allclose(log_z, 0, atol=1e-12)
    assert information == pytest.approx(0, abs=1e-12)
    # With all of it after the 300th death log Z is minus a sum of 300 exponentials of mean 1/50.
    values = np.where(np.arange(350) < 300, -1e9, 0.0)
    log_z, *_ = nested._weigh(KEY, Peeled(values, counts, 0, 0.0))
    assert abs(log_z.mean() + 6) < 4 * np.sqrt(300) / 50 / np.sqrt(nested.NUM_SIMULATIONS)
    ratio = log_z.var(ddof=1) / (300 / 50**2)
    assert abs(ratio - 1) < 4 * np.sqrt(2 / nested.NUM_SIMULATIONS)
    # Mutation: one live point less at each death.
    wrong, *_ = nested._weigh(KEY, Peeled(values, counts * 49 / 50, 0, 0.0))
    assert abs(wrong.mean() + 6) > abs(log_z.mean() + 6)


def test_information_is_the_divergence_of_posterior_from_prior():
    case = gaussian(2, 0.1)
    found = nested.estimate(KEY, case.target, num_live=200)
    s = 0.01 / 1.01
    y = np.array([0.3, 1.9]) / 1.01
    truth = 0.5 * np.sum(s + y**2 - 1 - np.log(s))
    error = 4 * np.sqrt(truth / 200)
    assert abs(found.diagnostics["information"] - truth) < 4 * error
    assert found.diagnostics["information_error"] == pytest.approx(found.standard_error, rel=0.3)
    assert abs(found.log_evidence - case.exact) < 4 * found.standard_error
    assert found.diagnostics["stuck"] == 0


def steps():
    """Three plateaus."""
    normal = gaussian(1).target
    return dataclasses.replace(normal, log_likelihood=lambda u: jnp.floor(jnp.clip(u[0], -1, 1)))


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (gaussian().target, {"num_live": 20}, "num_live must be a whole number of at least 50"),
        (gaussian().target, {"num_live": 101}, "num_live must be a multiple of 10"),
        (gaussian().target, {"num_steps": 0}, "num_steps must be"),
        (gaussian().target, {"tolerance": 0.0}, "tolerance must be"),
        (dataclasses.replace(gaussian().target, sample_prior=None), {}, "draw from its prior"),
        (steps(), {"num_live": 50}, "likelihood without plateaus, got"),
        (not_a_number(), {"num_live": 50}, "got an estimate of (inf|nan)"),
    ],
)
def test_bad_input_is_named(target, settings, message):
    with pytest.raises(ValueError, match=message):
        nested.estimate(KEY, target, **settings)
