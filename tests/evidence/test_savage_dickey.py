"""Savage-Dickey: the density at a point against exact ones, and bad input."""

import numpy as np
import pytest

from bnnbook.evidence import savage_dickey
from bnnbook.evidence.record import Evidence
from evidence_cases import beta_binomial, gaussian

pytestmark = pytest.mark.usefixtures("x64")
FIXED = {"name": "u0", "value": 0.5, "log_prior_density": -1.0, "full": Evidence(-3.0, 0.1, 7, 2.0)}


def test_errors_costs_and_seconds_add_to_those_of_the_larger_model():
    found = savage_dickey.estimate(gaussian().target, gaussian().draws(0, 300), **FIXED)
    of_ratio = found.diagnostics["bayes_factor_error"]
    assert found.standard_error == pytest.approx(np.hypot(0.1, of_ratio))
    assert found.num_evaluations == 7 + 2 * 600
    assert found.seconds > 2
    assert found.log_evidence == pytest.approx(-3 + found.diagnostics["log_bayes_factor"])


def test_a_point_far_out_in_the_tail_is_flagged():
    case = beta_binomial()
    fixed = {**FIXED, "name": "logit", "value": -4.0}
    near = savage_dickey.estimate(case.target, case.draws(0, 300), **{**fixed, "value": 0.5})
    far = savage_dickey.estimate(case.target, case.draws(0, 300), **fixed)
    assert far.diagnostics["bayes_factor_error"] >= near.diagnostics["bayes_factor_error"]
    assert not near.flagged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "u9"}, "name must be one of 'u0', 'u1', got 'u9'"),
        ({"value": np.nan}, "value must be a finite number"),
        ({"log_prior_density": -np.inf}, "log_prior_density must be a finite number"),
        ({"value": 1e200}, "value must be where the posterior density is positive"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        savage_dickey.estimate(gaussian().target, gaussian().draws(0, 300), **{**FIXED, **change})
