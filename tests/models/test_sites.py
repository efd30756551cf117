"""A model seen site by site."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from bnnbook.evidence import target
from bnnbook.mcmc import nuts
from bnnbook.models import flat, sites


def nested(y):
    """A model whose lower bound is itself a parameter."""
    low = numpyro.sample("low", dist.Normal(0.0, 1.0))
    high = numpyro.sample("high", dist.Uniform(low, low + 3.0))
    numpyro.deterministic("middle", (low + high) / 2)
    with numpyro.plate("data", len(y)):
        numpyro.sample("y", dist.Normal(high, 1.0), obs=y)


Y = np.array([0.5, 1.5])


def parts(unbounded):
    return sites.log_parts(nested, (Y,), {}, unbounded)


def by_hand(low, u):
    """The log prior in unbounded coordinates and the log likelihood of the nested model."""
    share = 1 / (1 + np.exp(-u))
    log_jacobian = np.log(3 * share * (1 - share))
    prior = dist.Normal(0.0, 1.0).log_prob(low) - np.log(3.0) + log_jacobian
    return prior, dist.Normal(low + 3 * share, 1.0).log_prob(Y).sum()


@pytest.mark.parametrize(("low", "u"), [(0.0, 0.0), (-1.3, 2.0), (4.0, -3.0)])
def test_the_log_density_has_the_jacobian_of_a_support_that_moves(low, u):
    unbounded = {"low": jnp.asarray(low), "high": jnp.asarray(u)}
    np.testing.assert_allclose(parts(unbounded), by_hand(low, u), rtol=2e-5)


def test_a_forgotten_jacobian_would_be_seen():
    prior, _ = parts({"low": jnp.zeros(()), "high": jnp.asarray(2.0)})
    share = 1 / (1 + np.exp(-2.0))
    assert abs(prior - by_hand(0.0, 2.0)[0] + np.log(3 * share * (1 - share))) > 0.1


def test_unbounded_values_invert_what_fills_a_model():
    unbounded = {"low": jnp.asarray(0.7), "high": jnp.asarray(-1.2)}
    trace = sites.run(nested, (Y,), {}, sites.filler(unbounded))
    back = sites.unbounded_values(trace)
    assert {k: pytest.approx(float(v), abs=1e-5) for k, v in unbounded.items()} == back
    answers = {name for name, site in trace.items() if sites.is_answer(site)}
    assert answers == {"low", "high", "middle"}


def test_the_base_of_a_prior_is_under_its_shape():
    prior = dist.Normal(0, 1).expand([3]).to_event(1).mask(True)
    assert isinstance(sites.base(prior), dist.Normal)


@pytest.mark.parametrize("x64", [False, True])
def test_arguments_come_in_the_precision_in_force(x64):
    given = np.ones(2)
    with jax.enable_x64(True):
        jnp.asarray(given)
    with jax.enable_x64(x64):
        (array, number), named = sites.in_force((given, 3), {"x": given})
    assert array.dtype == named["x"].dtype == (np.float64 if x64 else np.float32)
    assert number == 3


def test_names_follow_the_flat_vector():
    initial = {"b": jnp.zeros((2, 1)), "a": jnp.zeros(())}
    assert sites.names(initial) == ("a", "b[0, 0]", "b[1, 0]")


def counts(y):
    rate = numpyro.sample("rate", dist.Exponential(1.0))
    numpyro.sample("y", dist.Poisson(rate).expand([3]), obs=y)


def bounded(y):
    top = numpyro.sample("top", dist.Exponential(1.0))
    numpyro.sample("y", dist.Uniform(0.0, top).expand([3]), obs=y)


def vectors(y):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.MultivariateNormal(jnp.full(3, mean), jnp.eye(3)), obs=y)


def masked(y):
    rate = numpyro.sample("rate", dist.Exponential(1.0))
    numpyro.sample("y", dist.Poisson(rate).expand([3]).mask(y >= 0), obs=y)


def check(model, y):
    trace = sites.run(model, (y,), {}, lambda site: None)
    sites.check_observed(model, (y,), {}, trace)


@pytest.mark.parametrize(
    ("model", "y", "message"),
    [
        (counts, [2.0, 0.0, -1.0], r"data y\[2\] must be .* Poisson likelihood, .*got -1"),
        (counts, [2.0, 0.5, 1.0], r"data y\[1\].*got 0.5"),
        (vectors, [1.0, -np.inf, 0.0], r"data y must be .* MultivariateNormal .*inf"),
        (vectors, [[0.0, 0.0, 0.0], [1.0, np.inf, 0.0]], r"data y\[1\].*inf"),
    ],
)
def test_data_that_a_likelihood_never_gives_are_named(model, y, message):
    with pytest.raises(ValueError, match=message):
        check(model, np.array(y))


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (counts, [2.0, 0.0, 1.0]),
        (bounded, [0.1, 99.0, 0.2]),  # the bound is a parameter, and may yet be above it
        (masked, [2.0, -1.0, 1.0]),
        (vectors, [[0.0, 0.0, 0.0], [1.0, np.nan, 0.0]]),  # left to those who search or sample
    ],
)
def test_data_that_a_likelihood_may_give_pass(model, y):
    check(model, np.array(y))


def test_every_way_into_a_model_checks_its_data():
    y = np.array([2.0, 0.0, -1.0])
    for enter in (
        lambda: flat.from_model(counts, (y,)),
        lambda: target.from_model(counts, (y,)),
        lambda: nuts.sample(jax.random.key(0), counts, (y,)),
    ):
        with pytest.raises(ValueError, match=r"data y\[2\]"):
            enter()
