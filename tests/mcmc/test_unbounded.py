"""A model over unbounded parameters: the Jacobian is in it, and what cannot be sampled is named."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from bnnbook.mcmc.driver import move
from bnnbook.mcmc.metropolis import RandomWalk
from bnnbook.mcmc.unbounded import posterior

KEY = jax.random.key(0)


def share():
    numpyro.sample("p", dist.Beta(2.0, 3.0))


def test_the_log_density_has_the_jacobian(x64):
    target = posterior(KEY, share, num_chains=5)
    assert target.starts["p"].shape == (5,)
    assert abs(target.starts["p"]).max() <= 2
    u = np.linspace(-4, 4, 9)
    found = np.array([target.log_density({"p": value}) for value in u])
    p = np.array([target.constrain({"p": value})["p"] for value in u])
    exact = stats.beta(2, 3).logpdf(p) + np.log(p * (1 - p))  # dp/du = p (1 - p)
    np.testing.assert_allclose(found, exact, atol=1e-10)


def test_exact_draws_keep_their_law(x64):
    """At a level of 1e-6; without the Jacobian they do not."""
    target, law = posterior(KEY, share), stats.beta(2, 3)
    p = law.rvs(20_000, random_state=1)
    u = np.log(p / (1 - p))

    def p_value(log_density):
        moved = move(KEY, RandomWalk(log_density, 1.0), {"p": u}, 5)["p"]
        return stats.kstest(1 / (1 + np.exp(-moved)), law.cdf).pvalue

    assert p_value(target.log_density) > 1e-6
    sigmoid = jax.nn.sigmoid
    assert p_value(lambda x: jnp.log(sigmoid(x["p"])) + 2 * jnp.log(sigmoid(-x["p"]))) < 1e-6


def discrete():
    z = numpyro.sample("z", dist.Bernoulli(0.3))
    numpyro.sample("y", dist.Normal(z, 1.0), obs=0.5)


def never_finite():
    x = numpyro.sample("x", dist.Normal())
    numpyro.factor("f", jnp.nan * x)


def nothing():
    numpyro.sample("y", dist.Normal(), obs=0.5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (discrete, r"model must be without discrete unknowns .*Gibbs.*got \['z'\]"),
        (never_finite, "model must have a finite log density and gradient where chains start"),
        (nothing, "model must be a model with at least one site that is not observed"),
    ],
)
def test_what_cannot_be_sampled_is_named(model, message):
    with pytest.raises(ValueError, match=message):
        posterior(KEY, model)
