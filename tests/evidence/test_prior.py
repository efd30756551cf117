"""Draws from the prior: their law, the share of them at which the data are possible, errors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from bnnbook.evidence import prior
from bnnbook.evidence import target as targets
from evidence_cases import bounded, gaussian

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(1)


def test_draws_follow_the_prior_of_a_model():
    def model():
        numpyro.sample("a", dist.HalfCauchy(5.0))
        numpyro.sample("b", dist.Normal(jnp.zeros(2), 3.0).to_event(1))
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=0.2)

    found = prior.draw(KEY, targets.from_model(model), 1000)
    a, b0, b1 = found.points.T
    assert stats.kstest(np.exp(a), stats.halfcauchy(scale=5.0).cdf).pvalue > 1e-5
    assert stats.kstest(b0, stats.norm(scale=3.0).cdf).pvalue > 1e-5
    assert abs(stats.spearmanr(b0, b1).statistic) < 5 / np.sqrt(1000)
    assert (found.log_share, found.share_error) == (0.0, 0.0)
    # Mutation: another scale.
    assert stats.kstest(b0, stats.norm(scale=2.0).cdf).pvalue < 1e-5


def test_impossible_draws_are_thrown_away_and_counted():
    low, high = 0.4, 1.2
    truth = np.log(stats.norm.cdf(high) - stats.norm.cdf(low))
    found = prior.draw(KEY, bounded().target, 3000)
    assert ((found.points > low) & (found.points < high)).all()
    assert abs(found.log_share - truth) < 4 * found.share_error
    # Mutation: the share forgotten.
    assert abs(0.0 - truth) > 4 * found.share_error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_prior": None}, r"able to draw from its prior \(sample_prior\)"),
        ({"sample_prior": lambda key: jnp.full(2, jnp.nan)}, "prior with finite draws, got .*nan"),
        ({"sample_prior": lambda key: jnp.full(2, 99.0)}, "above zero somewhere under the prior"),
    ],
)
def test_bad_samplers_are_named(change, message, monkeypatch):
    monkeypatch.setattr(prior, "MAX_BLOCKS", 3)
    near = {"log_likelihood": lambda u: jnp.where(u[0] > 9, -jnp.inf, -jnp.sum(u**2))}
    target = dataclasses.replace(gaussian().target, **near, **change)
    with pytest.raises(ValueError, match=message):
        prior.draw(KEY, target, 10)
