"""Importance sampling: its weights' own diagnostic, and bad input."""

import math

import jax
import numpy as np
import pytest

from bnnbook.evidence import importance
from bnnbook.evidence.proposal import Proposal
from evidence_cases import gaussian, heavy_tailed

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(6)


def test_light_tails_are_flagged_and_heavy_ones_not():
    light = Proposal(np.zeros(1), np.array([[0.1]]), math.inf)
    case = gaussian(1)
    assert importance.estimate(KEY, case.target, proposed=light).flagged
    assert not importance.estimate(KEY, case.target).flagged
    assert not importance.estimate(KEY, heavy_tailed().target).flagged


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 1}, "num_samples must be a whole number of at least 100, got 1"),
        ({"proposed": Proposal(np.full(1, 1e200), np.eye(1), 5.0)}, "overlaps the target"),
    ],
)
def test_bad_input_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        importance.estimate(KEY, gaussian(1).target, **settings)
