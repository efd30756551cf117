"""Draws of every origin go into one container, which ArviZ's diagnostics read."""

import arviz as az
import numpy as np
import pytest

from bnnbook.datatree import from_draws, joined


def draws(chains=4, samples=500):
    return np.random.default_rng(1).normal(size=(chains, samples))


def test_arviz_reads_it():
    tree = from_draws(
        posterior={"theta": draws(), "w": draws()[..., None] * np.ones(3)},
        observed_data={"y": np.arange(5.0)},
        attrs={"method": "exact"},
    )
    assert dict(tree.posterior.sizes) == {"chain": 4, "draw": 500, "w_dim_0": 3}
    assert tree.attrs["method"] == "exact"
    summary = az.summary(tree, ci_prob=0.95, ci_kind="eti")
    assert len(summary) == 4
    # Independent draws: the effective sample size is their number, to within its own error.
    assert float(az.ess(tree).theta) == pytest.approx(2000, rel=0.2)
    assert float(az.rhat(tree).theta) < 1.01
    # Mutation: chains that disagree must not pass.
    apart = from_draws(posterior={"theta": draws() + np.arange(4)[:, None]})
    assert float(az.rhat(apart).theta) > 1.5


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "at least one of posterior"),
        ({"posterior": {"theta": np.zeros(5)}}, r"posterior\['theta'\] must be of shape"),
        ({"posterior": {"theta": np.zeros((2, 0))}}, r"must be of shape \(chain, draw"),
        ({"posterior": {"theta": np.full((2, 3), np.nan)}}, "must not hold NaN, got 6"),
        ({"log_likelihood": {"y": np.full((2, 3, 1), np.nan)}}, "must not hold NaN, got 6"),
        ({"posterior": {"a": np.zeros((2, 3)), "b": np.zeros((2, 4))}}, "chain and draw axes"),
    ],
)
def test_what_is_no_draws_is_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        from_draws(**groups)


def test_joining_adds_groups_and_leaves_the_tree_as_it_was():
    tree = from_draws(posterior={"theta": draws()}, attrs={"method": "exact"})
    more = from_draws(
        predictions={"y": draws()[..., None]}, log_likelihood={"y": draws()[..., None]}
    )
    both = joined(tree, more)
    assert {"posterior", "predictions", "log_likelihood"} <= set(both.children)
    assert both.attrs["method"] == "exact"
    assert set(tree.children) == {"posterior"}
    with pytest.raises(ValueError, match="more must be of the tree's number of chains and draws"):
        joined(tree, from_draws(predictions={"y": draws(2)}))
