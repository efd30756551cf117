"""NUTS draws from posteriors that are known exactly, and says when it does not."""

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from bnnbook.datasets import kidiq
from bnnbook.exact import normal_inverse_gamma
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma
from bnnbook.mcmc import nuts
from bnnbook.mcmc.nuts import SamplerWarning
from bnnbook.models.conjugate import conjugate_regression
from bnnbook.models.linear import linear_regression
from bnnbook.models.logistic import logistic_regression
from bnnbook.references import reference

KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(20), RNG.normal(size=20)])
Y = X @ [1.0, 2.0] + RNG.normal(0, 1.5, 20)
PRIOR = {"mean": np.array([0.0, 1.0]), "precision": np.diag([0.5, 2.0]), "shape": 3.0, "scale": 4.0}


def z_score(tree, name, exact, index=()):
    """How many Monte Carlo standard errors the posterior mean is from its exact value."""
    draws = tree["posterior"][name].values[(..., *index)]
    return (draws.mean() - exact) / float(az.mcse(draws))


@pytest.fixture(scope="module")
def conjugate():
    with jax.enable_x64(True):
        return nuts.sample(KEY, conjugate_regression, (X, Y), PRIOR, num_warmup=300)


def test_conjugate_regression_agrees_with_the_closed_form(conjugate):
    prior = NormalInverseGamma.from_precision(*PRIOR.values())
    posterior = normal_inverse_gamma.update(prior, X, Y)
    for i, (mean, sd) in enumerate(zip(posterior.mean, posterior.marginals.sd, strict=True)):
        assert abs(z_score(conjugate, "coefficients", mean, (i,))) < 4
        # Mutation: a value that is off by a quarter of the posterior sd.
        assert abs(z_score(conjugate, "coefficients", mean + sd / 4, (i,))) > 4
    assert abs(z_score(conjugate, "noise_sd", posterior.variance.mean_sd)) < 4
    assert abs(z_score(conjugate, "noise_variance", posterior.variance.mean)) < 4
    # Mutation: twice the prior scale of the noise.
    wrong = NormalInverseGamma.from_precision(*(PRIOR | {"scale": 8.0}).values())
    wrong_sd = normal_inverse_gamma.update(wrong, X, Y).variance.mean_sd
    assert abs(z_score(conjugate, "noise_sd", wrong_sd)) > 4


def test_the_tree_holds_draws_statistics_data_and_settings(conjugate):
    assert conjugate["posterior"]["coefficients"].shape == (4, 1000, 2)
    assert conjugate["posterior"]["coefficients"].dtype == np.float64
    names = {"diverging", "energy", "num_steps", "accept_prob", "step_size"}
    assert set(conjugate["sample_stats"].data_vars) == names
    assert all(conjugate["sample_stats"][name].shape == (4, 1000) for name in names)
    np.testing.assert_array_equal(conjugate["observed_data"]["y"], Y)
    attrs = conjugate.attrs
    assert (attrs["method"], attrs["num_warmup"], attrs["dtype"]) == ("NUTS", 300, "float64")
    assert float(az.rhat(conjugate)["noise_sd"]) < 1.01
    assert len({float(s) for s in conjugate["sample_stats"]["step_size"][:, 0]}) == 4


def test_kidiq_agrees_with_its_reference(x64):
    kids = kidiq.load()
    data = (np.column_stack([np.ones(kids.num_rows), kids["mom_iq"]]), kids["kid_score"])
    priors = {"noise_sd": dist.HalfCauchy(2.5)}
    tree = nuts.sample(KEY, linear_regression, data, priors, num_warmup=500, dense_mass=True)
    for name, index in (("intercept", (0,)), ("slope", (1,))):
        exact = reference(f"kidiq.{name}").value
        assert abs(z_score(tree, "coefficients", exact, index)) < 4
    assert abs(z_score(tree, "noise_sd", reference("kidiq.sigma").value)) < 4
    # Mutation: the slope rounded to one digit.
    assert abs(z_score(tree, "coefficients", 0.6, (1,))) > 4


def test_compiled_once_it_is_right_for_many_data_sets(x64):
    """z-scores of 60 posteriors against their closed forms look standard normal."""
    run = nuts.compiled(conjugate_regression, PRIOR, nuts.Settings(300, 300))
    prior = NormalInverseGamma.from_precision(*PRIOR.values())
    z, z_wrong = [], []
    for key in jax.random.split(KEY, 60):
        y = X @ [1.0, 2.0] + 1.5 * np.asarray(jax.random.normal(key, (20,)))
        tree = run(key, (X, y))
        mean = normal_inverse_gamma.update(prior, X, y).mean[1]
        z.append(z_score(tree, "coefficients", mean, (1,)))
        # Mutation: the posterior of the first data set for all.
        first = normal_inverse_gamma.update(prior, X, Y).mean[1]
        z_wrong.append(z_score(tree, "coefficients", first, (1,)))
    # The sd of z over 60 runs has a standard error of 1/√120; the MCSE's own error adds to it.
    assert abs(np.mean(z)) < 4 / np.sqrt(60)
    assert abs(np.std(z) - 1) < 0.4
    assert np.std(z_wrong) > 2
    assert set(tree.children) == {"posterior", "sample_stats", "observed_data"}
    np.testing.assert_array_equal(tree["observed_data"]["y"], y)


def test_compiled_is_compiled_once_and_still_looks_at_its_data():
    traces = []

    def model(y):
        traces.append(isinstance(y, jax.core.Tracer))
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(z, 1.0), obs=y)

    run = nuts.compiled(model, settings=nuts.Settings(10, 10, 2))
    first = run(KEY, (np.ones(3),))
    once = sum(traces)
    again = run(KEY, (np.ones(3),))
    assert sum(traces) == once > 0
    np.testing.assert_array_equal(first["posterior"]["z"], again["posterior"]["z"])
    assert not np.array_equal(run(KEY, (np.zeros(3),))["posterior"]["z"], first["posterior"]["z"])
    with pytest.raises(ValueError, match="num_chains must be a whole number of at least 1"):
        nuts.compiled(model, settings=nuts.Settings(num_chains=0))
    with pytest.raises(ValueError, match="y must be 0 or 1 everywhere"):
        nuts.compiled(logistic_regression)(KEY, (X, Y))
    with pytest.raises(ValueError, match="model must have a finite log density"):
        nuts.compiled(nowhere, settings=nuts.Settings(10, 10, 2))(KEY)


def line():
    numpyro.sample("z", dist.Normal(0.0, 1.0))


def funnel(data):
    log_sd = numpyro.sample("log_sd", dist.Normal(0.0, 3.0))
    x = numpyro.sample("x", dist.Normal(0.0, jnp.exp(log_sd)))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=data)


def test_a_lone_diverging_chain_is_told_of_and_runs_in_float32_too():
    remedy = r"of 300 draws diverged.*target_accept_prob above 0.8.*not centred"
    settings = {"num_chains": 1, "num_warmup": 200, "num_samples": 300}
    with (
        pytest.warns(SamplerWarning, match="num_chains is 1"),
        pytest.warns(SamplerWarning, match=remedy),
    ):
        tree = nuts.sample(KEY, funnel, (np.zeros(3),), **settings)
    assert tree["sample_stats"]["diverging"].values.any()
    assert tree.attrs["dtype"] == tree["posterior"]["x"].dtype == "float32"


def tree_of(diverging, num_steps):
    ones = np.ones((2, 5))
    stats = {"diverging": ones * diverging, "num_steps": ones * num_steps}
    return nuts.from_draws(posterior={"z": ones}, sample_stats=stats)


SETTINGS = nuts.Settings(5, 5, 2, False, 0.8, 3, True)


@pytest.mark.parametrize(
    ("tree", "settings", "remedies"),
    [
        (tree_of(0, 3), SETTINGS, []),
        (tree_of(1, 3), SETTINGS, ["raise target_accept_prob"]),
        (tree_of(0, 7), SETTINGS, ["dense_mass=True"]),
        (tree_of(0, 3), SETTINGS._replace(num_chains=1), ["at least 4 chains"]),
        (tree_of(1, 7), SETTINGS, ["raise target_accept_prob", "dense_mass=True"]),
    ],
)
def test_each_complaint_names_its_remedy(tree, settings, remedies):
    found = nuts._complaints(tree, settings)
    assert len(found) == len(remedies)
    assert all(remedy in complaint for remedy, complaint in zip(remedies, found, strict=True))


def nowhere():
    z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    numpyro.factor("never", jnp.where(z < 1e9, -jnp.inf, 0.0))


def discrete():
    numpyro.sample("y", dist.Normal(numpyro.sample("z", dist.Poisson(2.0)), 1.0), obs=0.5)


def nothing_to_sample():
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=1.0)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((line,), {"num_samples": 0}, "num_samples must be a whole number of at least 1, got 0"),
        ((line,), {"num_chains": 0}, "num_chains must be a whole number of at least 1"),
        ((line,), {"num_warmup": 0}, "num_warmup must be a whole number of at least 1"),
        ((line,), {"target_accept_prob": 1.0}, "target_accept_prob must be strictly between"),
        ((line,), {"max_tree_depth": 0}, "max_tree_depth must be"),
        ((discrete,), {}, r"model must be without discrete unknowns .*got \['z'\]"),
        ((nothing_to_sample,), {}, "model must be a model with at least one site that is not"),
        ((nowhere,), {}, "model must have a finite log density"),
        ((linear_regression, (X, Y[1:])), {}, "X and y must have the same length"),
        ((logistic_regression, (X, Y)), {}, "y must be 0 or 1 everywhere"),
    ],
)
def test_bad_input_is_named(arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        nuts.sample(KEY, *arguments, **settings)
