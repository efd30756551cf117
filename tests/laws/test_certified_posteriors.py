"""Eight schools and kidiq, by NUTS and by our own HMC, meet values that other methods gave."""

import arviz as az
import jax
import numpy as np
import numpyro  # noqa: F401 (before its parts: ArviZ has already registered it, lazily)
import numpyro.distributions as dist
import pytest

from bnnbook.datasets import eight_schools, kidiq
from bnnbook.mcmc import nuts
from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.unbounded import posterior
from bnnbook.mcmc.warmup import Tuned
from bnnbook.models.hierarchical import non_centred
from bnnbook.models.linear import linear_regression
from bnnbook.references import reference

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("x64")]
KEY = jax.random.key(11)
SIZES = {"num_warmup": 1000, "num_samples": 2000}


def schools():
    table = eight_schools.load()
    return non_centred, (table["standard_error"], table["effect"]), {}


def kids():
    table = kidiq.load()
    design = np.column_stack([np.ones(table.num_rows), table["mom_iq"]])
    return linear_regression, (design, table["kid_score"]), {"noise_sd": dist.HalfCauchy(2.5)}


def by_nuts(model, args, kwargs):
    return nuts.sample(KEY, model, args, kwargs, **SIZES, dense_mass=True, target_accept_prob=0.95)


def by_hmc(model, args, kwargs):
    target = posterior(KEY, model, args, kwargs)
    kernel = Tuned(HMC(target.log_density, 0.1, 16, jitter=0.3), 0.95, dense=True)
    return sample(KEY, kernel, target.starts, **SIZES, constrain=target.constrain)


def certify(tree):
    """At least four chains, R̂ below 1.01, bulk and tail ESS above 400 everywhere, no divergence."""
    draws = tree["posterior"].dataset
    assert tree["posterior"].sizes["chain"] >= 4
    assert int(tree["sample_stats"]["diverging"].sum()) == 0
    for name, found in draws.data_vars.items():
        assert float(az.rhat(draws)[name].max()) < 1.01, name
        for method in ("bulk", "tail"):
            assert float(az.ess(draws, method=method)[name].min()) > 400, name
        assert np.isfinite(found).all()


def z_score(draws, name):
    return abs(draws.mean() - reference(name).value) / float(az.mcse(draws))


@pytest.mark.parametrize("sampler", [by_nuts, by_hmc])
def test_eight_schools(sampler):
    tree = sampler(*schools())
    certify(tree)
    mu, tau = (tree["posterior"][name].values for name in ("mu", "tau"))
    assert z_score(mu, "eight-schools.mu_mean") < 4
    assert z_score(tau, "eight-schools.tau_mean") < 4
    # Mutation: half a point off.
    assert z_score(mu + 0.5, "eight-schools.mu_mean") > 4
    assert z_score(tau - 0.5, "eight-schools.tau_mean") > 4


@pytest.mark.parametrize("sampler", [by_nuts, by_hmc])
def test_kidiq(sampler):
    tree = sampler(*kids())
    certify(tree)
    b, sigma = (tree["posterior"][name].values for name in ("coefficients", "noise_sd"))
    assert z_score(b[..., 0], "kidiq.intercept") < 4
    assert z_score(b[..., 1], "kidiq.slope") < 4
    assert z_score(sigma, "kidiq.sigma") < 4
    # Mutation: the slope off by a tenth of its posterior sd.
    assert z_score(b[..., 1] + 0.1 * b[..., 1].std(), "kidiq.slope") > 4
