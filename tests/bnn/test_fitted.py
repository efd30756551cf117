"""Draws of weights predict as the network does, one by one, in their own precision."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from bnnbook.bnn.fitted import Drawn, check_fit
from bnnbook.models.bayesian_network import Data, Network, regression
from bnnbook.models.likelihoods import Categorical, Gaussian, HeteroscedasticGaussian
from bnnbook.models.networks import FullyConnected
from bnnbook.variational.fit import FitError, FitWarning

X = np.array([[-1.3, 0.4], [0.2, -0.5], [0.7, 1.0], [1.1, 0.0]])
Y = np.array([0.1, -0.4, 1.0, 0.3])
LIKELIHOODS = {
    "known noise": (Gaussian(0.3), Y),
    "unknown noise": (Gaussian(dist.LogNormal(-1.0, 0.5)), Y),
    "changing noise": (HeteroscedasticGaussian(0.3), Y),
    "classes": (Categorical(3), np.array([0, 2, 1, 2])),
}


def drawn(net, chains=2, draws=9, seed=0):
    """From the prior; 18 draws, so that the last batch is not full."""
    keys = jax.random.split(jax.random.key(seed), (chains, draws))
    params = jax.vmap(jax.vmap(net.draw_prior))(keys)
    return Drawn(network=net, method="prior", seconds=0.0, params=params)


def one(fitted, chain, draw):
    return jax.tree.map(lambda leaf: leaf[chain, draw], fitted.params)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_each_draw_predicts_as_the_network(kind):
    likelihood, y = LIKELIHOODS[kind]
    net = Network(FullyConnected(2, (3,)), likelihood)
    fitted, data = drawn(net), net.data(X, y)
    found, densities = fitted.predict(X), fitted.log_density(data)
    assert found.dims == ("chain", "draw", "point", "parameter")
    assert tuple(found.parameter.values) == likelihood.parameter_names
    assert found.shape == (2, 9, 4, len(likelihood.parameter_names))
    for at in [(0, 0), (1, 8), (0, 8)]:
        np.testing.assert_allclose(found[at], net.predict(one(fitted, *at), data.x), rtol=2e-5)
        assert densities[at] == pytest.approx(float(net.log_density(one(fitted, *at), data)), 1e-4)
    np.testing.assert_array_equal(found, fitted.predict(X))
    # Mutation: chain and draw confused.
    assert not np.allclose(found[1, 0], net.predict(one(fitted, 0, 1), data.x))
    if kind == "classes":
        np.testing.assert_allclose(np.exp(found).sum("parameter"), 1.0, rtol=1e-5)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_the_tree_holds_f_and_the_unknowns(kind):
    likelihood, y = LIKELIHOODS[kind]
    net = Network(FullyConnected(2, (3,)), likelihood)
    fitted, data = drawn(net), net.data(X, y)
    tree = fitted.tree(X, data)
    f = tree["posterior"]["f"].values
    assert f.shape == (2, 9, 4) + (() if likelihood.num_outputs == 1 else (likelihood.num_outputs,))
    np.testing.assert_array_equal(f.reshape(2, 9, 4, -1), fitted.outputs(X))
    assert ("noise_sd" in tree["posterior"]) == (kind == "unknown noise")
    np.testing.assert_allclose(
        tree["posterior"]["W0"][1, 2], net.constrained(one(fitted, 1, 2))["W0"], rtol=1e-6
    )
    assert tree["sample_stats"]["log_density"].shape == (2, 9)
    assert tree.attrs["method"] == "prior"


def test_predictions_keep_the_precision_of_the_fit():
    net = regression(2, (3,), 0.1)
    with jax.enable_x64(True):
        double = drawn(net)
    assert double.predict(X).dtype == double.log_density(net.data(X, Y)).dtype == np.float64
    with jax.enable_x64(True):
        assert drawn(net).predict(X).dtype == np.float64
    assert drawn(net).predict(X).dtype == np.float32


def test_equal_networks_compile_once():
    traced = []

    def count(h):
        traced.append(1)
        return jnp.tanh(h)

    drawn(regression(2, (3,), dist.HalfNormal(1.0), activation=count)).predict(X)
    first = len(traced)
    drawn(regression(2, [3], dist.HalfNormal(1.0), activation=count), seed=1).predict(X + 1)
    assert len(traced) == first


@pytest.mark.parametrize(("draws", "kept"), [(9, (2, 8)), (1, (1, 1))])
def test_a_draw_whose_noise_overflows_is_left_out_and_told(draws, kept):
    net = Network(FullyConnected(2, ()), HeteroscedasticGaussian(0.3))
    fitted = drawn(net, 2, draws)
    bias = lambda p: p.weights.layers[0].bias  # noqa: E731
    wrong = eqx.tree_at(bias, fitted.params, bias(fitted.params).at[1, draws // 2, 1].set(200.0))
    spoiled = dataclasses.replace(fitted, params=wrong)
    where = rf"inf as sd at chain 1, draw {draws // 2}, point 0"
    with pytest.warns(FitWarning, match=where):
        found = spoiled.predict(X)
    assert found.shape[:2] == kept
    np.testing.assert_array_equal(found, fitted.predict(X).sel(chain=found.chain, draw=found.draw))
    assert np.isfinite(found).all()
    every = dataclasses.replace(fitted, params=jax.tree.map(lambda leaf: leaf + 200.0, wrong))
    with pytest.raises(FitError, match=r"must be finite everywhere for one .* got inf as sd at"):
        every.predict(X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: jax.tree.map(lambda leaf: leaf[0], p),
            r"params must be of shapes \(chain, draw",
        ),
        (lambda p: jax.tree.map(lambda leaf: leaf[:, :0], p), "params must be of shapes"),
        (
            lambda p: jax.tree.map(lambda leaf: leaf * jnp.nan, p),
            "params must be finite everywhere",
        ),
    ],
)
def test_bad_params_are_refused(change, message):
    net = regression(2, (3,), 0.1)
    with pytest.raises(ValueError, match=message):
        Drawn(network=net, method="bad", seconds=0.0, params=change(drawn(net).params))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: check_fit(3, net.data(X, Y)), "network must be a Network"),
        (lambda net: check_fit(net, (X, Y)), r"data must be what network.data\(x, y\) gives"),
        (lambda net: check_fit(net, Data(X * np.nan, Y)), r"x must be finite everywhere"),
        (lambda net: check_fit(net, Data(X[:0], Y[:0])), "x must have at least 1 elements"),
        (lambda net: check_fit(net, Data(X, Y[:3])), "x has 4, y has 3"),
        (lambda net: check_fit(net, Data(X[:, :1], Y)), r"x must be of shape \(points, 2\)"),
        (lambda net: drawn(net).predict(X[:, :1]), r"x must be of shape \(points, 2\)"),
        (lambda net: drawn(net).predict(np.where(X > 1, np.inf, X)), "x must be finite everywhere"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(regression(2, (3,), 0.1))
