"""Tempered SMC: the ladder it makes, its cost, and bad input."""

import dataclasses

import jax
import pytest

from bnnbook.evidence import smc
from evidence_cases import gaussian, not_a_number

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(3)


def test_sharper_data_take_more_stages():
    few, many = (smc.estimate(KEY, gaussian(2, noise).target) for noise in (3.0, 0.02))
    assert few.diagnostics["stages"] < 3 < 8 < many.diagnostics["stages"]
    assert abs(many.log_evidence - gaussian(2, 0.02).exact) < 4 * many.standard_error
    stages = many.diagnostics["stages"] * 32
    assert many.num_evaluations == 32 * 128 + 128 * (20 + 3) * stages


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (gaussian().target, {"num_particles": 3}, "num_particles must be"),
        (gaussian().target, {"num_crowds": 3}, "num_crowds must be"),
        (gaussian().target, {"num_steps": 0}, "num_steps must be"),
        (dataclasses.replace(gaussian().target, sample_prior=None), {}, "draw from its prior"),
        (not_a_number(), {}, "got an estimate of (inf|nan)"),
    ],
)
def test_bad_input_is_named(target, settings, message):
    with pytest.raises(ValueError, match=message):
        smc.estimate(KEY, target, **settings)


def test_a_walk_that_does_not_arrive_is_an_error(monkeypatch):
    monkeypatch.setattr(smc, "MAX_STAGES", 2)
    target = dataclasses.replace(gaussian(2, 0.02).target)
    with pytest.raises(ValueError, match="within reach of 2 stages, got 'temperature"):
        smc.estimate(KEY, target, num_particles=64, num_crowds=16, num_steps=2)
