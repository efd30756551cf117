"""Quadrature: exact where densities are smooth, an error where they are not."""

import pytest

from bnnbook.evidence import quadrature
from evidence_cases import beta_binomial, bounded, gaussian, heavy_tailed

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("case", [gaussian(1), gaussian(3), beta_binomial(), heavy_tailed()])
def test_smooth_targets_come_out_to_the_tolerance(case):
    found = quadrature.estimate(case.target)
    assert abs(found.log_evidence - case.exact) < 1e-6
    assert float(found.diagnostics["error"]) <= 2e-6
    assert found.standard_error is None


def test_the_error_of_a_loose_tolerance_is_what_it_says():
    for tolerance in (1e-2, 1e-4):
        found = quadrature.estimate(heavy_tailed().target, tolerance=tolerance)
        assert abs(found.log_evidence - heavy_tailed().exact) < 2 * tolerance
    # Mutation: a datum dropped.
    assert (
        abs(quadrature.estimate(gaussian(2, 1.0, 1).target).log_evidence - gaussian().exact) > 0.1
    )


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (gaussian(10).target, {}, "target must be of at most 3 parameters, got 10"),
        (gaussian().target, {"tolerance": 0.0}, "tolerance must be positive"),
        (gaussian().target, {"max_evaluations": 100}, "smooth enough for 100 evaluations"),
        (bounded().target, {}, "must have a maximum of its log_joint"),
    ],
)
def test_bad_input_is_named(target, settings, message):
    with pytest.raises(ValueError, match=message):
        quadrature.estimate(target, **settings)
