"""A guide by hand is taken where it fits the model, and refused by name where it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions import constraints
from numpyro.infer import autoguide

from bnnbook.exact import beta_binomial
from bnnbook.variational.fit import FitError
from bnnbook.variational.guides import check_guide, fit_guide

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(13)
param, sample = numpyro.param, numpyro.sample


def coin(heads, num):
    p = sample("p", dist.Beta(2.0, 3.0))
    sample("heads", dist.Binomial(num, p), obs=heads)


def beta_guide(heads, num):
    a, b = (param(n, 2.0, constraint=constraints.positive) for n in "ab")
    sample("p", dist.Beta(a, b))


def two(y):
    mean = sample("mean", dist.Normal(0.0, 2.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    sample("y", dist.Normal(mean, scale), obs=y)


Y = np.array([0.5, -1.0, 2.0])


def guide_of(**drawn):
    """A guide that draws each site from a fixed distribution."""

    def guide(y):
        for name, q in drawn.items():
            sample(name, q)

    return guide


NORMAL, LOG_NORMAL = dist.Normal(0.0, 1.0), dist.LogNormal(0.0, 1.0)


def test_a_guide_that_holds_the_posterior_reaches_the_evidence():
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 1500))
    settings = {"num_steps": 1500, "optimizer": optimizer}
    found = fit_guide(KEY, coin, (7, 10), guide=beta_guide, **settings)
    exact = beta_binomial.log_evidence(beta_binomial.Beta(2.0, 3.0), 7, 10) + np.log(120)
    # A few hundredths of an sd off the optimum cost less than a thousandth of a nat.
    assert exact - found.elbo == pytest.approx(0, abs=2e-3)
    assert exact - found.elbo > -4 * found.elbo_error - 1e-6
    draws = found.draws(KEY, 2000)["posterior"]["p"].values
    assert draws.mean() == pytest.approx(9 / 15, abs=0.01)
    assert found.pareto_k(KEY) < 0.7
    assert found.method.endswith("beta_guide")
    # Mutation: without the Jacobian of the unbounded coordinate the bound is another number.
    logit = found.flat_draws(KEY, 4000)
    jacobian = (-np.logaddexp(0, -logit) - np.logaddexp(0, logit)).mean()
    assert abs(jacobian) > 0.5


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (guide_of(mean=NORMAL), r"must be a program that draws mean, scale, got .*'scale'"),
        (
            guide_of(mean=NORMAL, scale=LOG_NORMAL, other=NORMAL),
            r"must draw mean, scale alone, got other too",
        ),
        (
            guide_of(mean=NORMAL, scale=LOG_NORMAL, y=dist.Normal(jnp.zeros(3), 1.0)),
            r"must draw mean, scale alone, got y too, which the model does not draw or observes",
        ),
        (
            guide_of(mean=NORMAL, scale=dist.Uniform(0.0, 1000.0)),
            r"cover the prior's support of 'scale', Positive.*its own is Interval.*1000",
        ),
        (
            guide_of(mean=LOG_NORMAL, scale=LOG_NORMAL),
            r"cover the prior's support of 'mean', Real.*its own is Positive",
        ),
        (
            guide_of(mean=NORMAL, scale=NORMAL),
            r"stay within the prior's support of 'scale', Positive.*its own is Real",
        ),
        (
            guide_of(mean=dist.Poisson(3.0), scale=LOG_NORMAL),
            r"cover the prior's support of 'mean'",
        ),
        (
            guide_of(mean=NORMAL, scale=dist.Delta(1.0)),
            r"must have a density for 'scale', got a point mass",
        ),
        (
            guide_of(mean=dist.Normal(jnp.zeros(2), 1.0), scale=LOG_NORMAL),
            r"guide must be of shape \(\) for 'mean', as the prior, got \(2,\)",
        ),
        (lambda: None, r"guide must take the model's arguments, but too many positional"),
        (autoguide.AutoDelta(two), r"guide must be a name, a function, .* got 'AutoDelta'"),
        (autoguide.AutoDiagonalNormal, r"made of the model, got 'AutoDiagonalNormal'"),
        ("planar", r"guide must be one of 'mean field'"),
    ],
)
def test_a_guide_that_does_not_fit_is_refused_by_name(guide, message):
    with pytest.raises(ValueError, match=message):
        fit_guide(KEY, two, (Y,), guide=guide, num_steps=5)


def simplex(y):
    sample("p", dist.Dirichlet(jnp.ones(3)))


def matrix(y):
    sample("r", dist.LKJCholesky(2, 1.0))


def nested(y):
    top = sample("top", dist.HalfNormal(1.0))
    sample("part", dist.Uniform(0.0, top))


def nested_guide(y):
    top = sample("top", dist.LogNormal(0.0, 1.0))
    sample("part", dist.Uniform(0.0, top))


@pytest.mark.parametrize(
    ("model", "guide"),
    [
        (two, guide_of(mean=dist.StudentT(4.0), scale=dist.Gamma(2.0, 1.0))),
        (simplex, guide_of(p=dist.Dirichlet(jnp.array([3.0, 1.0, 1.0])))),
        (matrix, guide_of(r=dist.LKJCholesky(2, 5.0))),
        (nested, nested_guide),
    ],
)
def test_supports_of_one_meaning_are_admitted(model, guide):
    check_guide(guide, model, (Y,))


def test_sets_without_simple_bounds_are_compared_too():
    with pytest.raises(ValueError, match="stay within the prior's support of 'p', Simplex"):
        check_guide(guide_of(p=dist.Normal(jnp.zeros(3), 1.0).to_event(1)), simplex, (Y,))
    with pytest.raises(ValueError, match="cover the prior's support of 'part'"):
        check_guide(guide_of(top=LOG_NORMAL, part=dist.Uniform(0.0, 1e-9)), nested, (Y,))


def test_a_support_that_shrinks_during_the_search_is_found_at_its_end():
    def tent(y):
        width = param("width", 1.0, constraint=constraints.positive)
        sample("p", dist.Uniform(0.5 - width / 2, 0.5 + width / 2))

    def unit(y):
        sample("p", dist.Uniform(0.0, 1.0))
        sample("y", dist.Normal(0.0, 1.0), obs=y)

    check_guide(tent, unit, (Y,))
    with pytest.raises(ValueError, match="cover the prior's support of 'p'"):
        check_guide(tent, unit, (Y,), params={"width": 0.9})


def test_a_step_size_that_diverges_names_the_parameter_of_the_model():
    for guide in ("mean field", "full rank"):
        with pytest.raises(FitError, match=r"step \d+.*(mean|scale)"):
            fit_guide(KEY, two, (Y,), guide=guide, optimizer=optax.adam(1e3), num_steps=300)

    def steep(y):
        sample("gentle", dist.Normal(0.0, 1.0))
        sample("steep", dist.Normal(0.0, 1e-4))

    def runaway(y):
        sample("gentle", dist.Normal(param("a", 0.0), 1.0))
        sample("steep", dist.Normal(param("b", 0.0), 1.0))

    with pytest.raises(FitError, match=r"'runaway' diverged: from step \d+ on.*is steep \(mean"):
        fit_guide(KEY, steep, (Y,), guide=runaway, optimizer=optax.sgd(2.05e-8), num_steps=300)
    # Mutation: a small rate passes.
    fit_guide(KEY, two, (Y,), optimizer=optax.adam(1e-2), num_steps=1000)


def test_what_is_not_finite_is_blamed_on_the_parameter_of_the_model():
    def nan_beyond(y):
        sample("mean", dist.Normal(0.0, 2.0))
        scale = sample("scale", dist.HalfNormal(1.0))
        numpyro.factor("broken", jnp.sqrt(3.0 - scale))

    q = guide_of(mean=NORMAL, scale=LOG_NORMAL)
    with pytest.raises(FitError, match=r"not finite at step \d+: the log density is nan for scale"):
        fit_guide(KEY, nan_beyond, (Y,), guide=q, num_steps=300)

    def cliff(y):
        mean = sample("mean", dist.Normal(0.0, 2.0))
        sample("scale", dist.HalfNormal(1.0))
        numpyro.factor("broken", jnp.where(mean > 0.5, -jnp.inf, 0.0))

    with pytest.raises(FitError, match=r"the log density is -inf for mean = "):
        fit_guide(KEY, cliff, (Y,), num_steps=300)
    with pytest.raises(FitError, match="look for NaN in the data"):
        fit_guide(KEY, two, (Y * np.nan,), guide=q, num_steps=20)
    with pytest.raises(FitError, match=r"at step 0, where the search starts.*NaN in the"):
        fit_guide(KEY, two, (Y * np.nan,), num_steps=20)
