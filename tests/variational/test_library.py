"""NumPyro's guides and Pathfinder end in the same record, near the same answers."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest

from bnnbook.exact import conjugate_linear
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.models import flat
from bnnbook.models.linear import linear_regression
from bnnbook.variational.fit import FitError, FitWarning
from bnnbook.variational.guides import GUIDES, fit_guide
from bnnbook.variational.pathfinder import pathfinder

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(9)
X = np.column_stack([np.ones(30), np.linspace(-1, 2, 30)])
Y = X @ [1.0, 2.0] + np.random.default_rng(0).normal(0, 0.7, 30)
PRIOR = NormalCoefficients.from_covariance(np.zeros(2), 4.0 * np.eye(2))
POSTERIOR = conjugate_linear.update(PRIOR, X, Y, 0.7)
LOG_EVIDENCE = conjugate_linear.log_evidence(PRIOR, X, Y, 0.7)


def priors():
    return {"coefficients": dist.Normal(0.0, 2.0), "noise_sd": 0.7}


def check(found, gap):
    """The ELBO is below the evidence, by no more than the family leaves."""
    assert LOG_EVIDENCE - found.elbo > -4 * found.elbo_error - 1e-6
    assert LOG_EVIDENCE - found.elbo < gap
    posterior = found.draws(KEY, num_draws=1000)["posterior"]["coefficients"].values
    error = (posterior.mean((0, 1)) - POSTERIOR.mean) / POSTERIOR.marginals.sd
    assert np.abs(error).max() < 0.3
    return posterior.std((0, 1)) / POSTERIOR.marginals.sd


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_reaches_what_its_family_allows(guide):
    steps = 3000 if "flow" in guide else 2000
    arguments = (linear_regression, (X, Y), priors())
    found = fit_guide(KEY, *arguments, guide=guide, num_steps=steps, num_draws=8)
    ratio = check(found, 0.5)
    if guide != "mean field":
        np.testing.assert_allclose(ratio, 1, atol=0.15)
        # A flow's tails are lighter than a normal's: k̂ says so, though the bulk is right.
        assert "block" in guide or found.pareto_k(KEY) < 0.7
    else:
        # Mutation of full rank: the widths of independent normals are too small.
        assert ratio.max() < 0.95
    assert found.num_steps == steps


def test_pathfinder_finds_a_normal_posterior():
    target = flat.from_model(linear_regression, (X, Y), priors())
    found = pathfinder(KEY, target)
    check(found, 0.5)
    assert found.num_steps < 30
    assert found.method == found.draws(KEY, 10)["posterior"].root.attrs["method"] == "Pathfinder"


def shifted(y):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.factor("broken", jnp.sqrt(3.0 - scale))
    numpyro.sample("y", dist.Normal(0.0, scale), obs=y)


def impossible(y):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.factor("broken", jnp.log(-scale))
    numpyro.sample("y", dist.Normal(0.0, scale), obs=y)


def lone(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def test_what_breaks_is_named():
    data = (np.array([0.5, 1.0]),)
    with pytest.raises(FitError, match=r"not finite at step \d+: the log density is nan for scale"):
        fit_guide(KEY, shifted, data, num_steps=2000)
    with pytest.raises(FitError, match="not finite at step 0, where the search starts"):
        fit_guide(KEY, impossible, data, num_steps=50)
    with pytest.raises(ValueError, match="guide must be one of 'mean field'"):
        fit_guide(KEY, lone, data, guide="planar")
    with pytest.raises(ValueError, match="model must be of at least two parameters for a flow"):
        fit_guide(KEY, lone, data, guide="inverse autoregressive flow")
    with pytest.warns(FitWarning, match=r"still rising by .* give more num_steps"):
        fit_guide(KEY, lone, (np.full(50, 30.0),), optimizer=optax.adam(1e-3), num_steps=1000)

    def nowhere(x):
        return jnp.nan * x[0]

    with pytest.raises(FitError, match="no iterate on the path has a finite ELBO"):
        pathfinder(KEY, nowhere, dimension=1)
