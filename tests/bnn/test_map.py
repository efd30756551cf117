"""The MAP estimate: exact where the network is linear, a mode elsewhere, clear where none is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from bnnbook.bnn import map as map_estimate
from bnnbook.bnn.fitted import Drawn
from bnnbook.bnn.map import Settings, fit
from bnnbook.bnn.train import FitError, FitWarning
from bnnbook.exact import conjugate_linear
from bnnbook.models.bayesian_network import Data, Network, regression
from bnnbook.models.likelihoods import Categorical, HeteroscedasticGaussian
from bnnbook.models.networks import FullyConnected

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 2))
Y = X @ [0.7, -0.4] + 0.2 + 0.3 * RNG.normal(size=30)
NEW = RNG.normal(size=(7, 2)) * 2
KEY = jax.random.key(0)
QUICK = Settings(num_steps=300)


def exact_means(x, y, fan_in=2):
    """The posterior mean of f at the new points, by the closed form."""
    variances = np.array([1.7**2 / fan_in] * 2 + [0.6**2])
    prior = conjugate_linear.NormalCoefficients.from_covariance(np.zeros(3), variances)
    posterior = conjugate_linear.update(prior, np.column_stack([x, np.ones(len(x))]), y, 0.3)
    design = np.column_stack([NEW, np.ones(len(NEW))])
    return conjugate_linear.regression_line(posterior, design).mean


@pytest.mark.parametrize("rows", [30, 1])
def test_a_linear_network_has_the_exact_posterior_mean(rows, x64):
    net = regression(2, (), 0.3, activation="identity", weight_scale=1.7, bias_scale=0.6)
    x, y = X[:rows], Y[:rows]  # one datum is enough, with a prior
    fitted = fit(KEY, net, net.data(x, y), QUICK)
    found = fitted.predict(NEW)
    assert found.shape == (1, 1, 7, 2)
    np.testing.assert_allclose(found[0, 0, :, 0], exact_means(x, y), rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(found[..., 1], 0.3)
    np.testing.assert_array_equal(found, fitted.predict(NEW))
    # Mutation: the root of the fan-in forgotten.
    assert not np.allclose(found[0, 0, :, 0], exact_means(x, y, fan_in=1), rtol=1e-3)


def test_minibatches_end_near_the_exact_mean():
    net = regression(2, (), 0.3, activation="identity", weight_scale=1.7, bias_scale=0.6)
    settings = Settings(num_steps=10_000, learning_rate=0.005, batch_size=15)
    fitted = fit(KEY, net, net.data(X, Y), settings)
    found = fitted.predict(NEW).sel(parameter="mean")[0, 0]
    # The posterior sd of f is 0.05 to 0.2 here; the last steps are a hundredth of the first.
    np.testing.assert_allclose(found, exact_means(X, Y), atol=0.02)


@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_the_gradient_is_nought_at_the_mode(kind, x64):
    if kind == "regression":
        net = regression(2, (4,), dist.LogNormal(-1.0, 0.5))
        data = net.data(X, Y)
    else:
        net = Network(FullyConnected(2, (4,)), Categorical(3))
        data = net.data(X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5))
    fitted = fit(KEY, net, data, Settings(num_steps=1000))
    mode = jax.tree.map(lambda leaf: leaf[0, 0], fitted.params)
    gradient = jax.grad(net.log_density)(mode, data)
    assert np.abs(net.ravel(gradient)).max() < 1e-3
    # Mutation: without the polish Adam is not there yet.
    rough = fit(KEY, net, data, Settings(num_steps=1000, num_refinements=0))
    assert rough.log_density(data)[0, 0] < fitted.log_density(data)[0, 0] - 1e-6
    assert fitted.tree(NEW, data)["sample_stats"]["num_steps"][0, 0] == 1000


def test_predictions_do_not_change_with_the_names_and_signs_of_hidden_units():
    net = regression(2, (4, 3), 0.3)
    data = net.data(X, Y)
    fitted = fit(KEY, net, data, QUICK)
    order, signs = np.array([2, 0, 3, 1]), np.array([1, -1, -1, 1], np.float32)
    first, second, _ = (jax.tree.map(np.asarray, a) for a in fitted.params.weights.layers)

    def moved(signs_after):
        def parts(params):
            layers = params.weights.layers
            return layers[0].weight, layers[0].bias, layers[1].weight

        new = (
            first.weight[..., order] * signs,
            first.bias[..., order] * signs,
            second.weight[..., order, :] * signs_after[:, None],
        )
        params = eqx.tree_at(parts, fitted.params, new)
        return Drawn(network=net, method="moved", seconds=0.0, params=params)

    np.testing.assert_allclose(moved(signs).predict(NEW), fitted.predict(NEW), atol=2e-5)
    np.testing.assert_allclose(
        moved(signs).log_density(data), fitted.log_density(data), rtol=1e-4, atol=1e-3
    )
    # Mutation: signs flipped on one side alone.
    assert not np.allclose(moved(signs * 0 + 1).predict(NEW), fitted.predict(NEW), atol=1e-2)


def test_validation_data_stop_the_search_early():
    net = regression(2, (20,), 0.05)
    few, held = net.data(X[:6], Y[:6]), net.data(X[6:], Y[6:])
    whole = fit(KEY, net, few, QUICK)
    stopped = fit(KEY, net, few, QUICK, validation=held)
    assert 0 < stopped.stats["num_steps"][0, 0] < 300

    def score(fitted):
        params = jax.tree.map(lambda leaf: leaf[0, 0], fitted.params)
        return float(jnp.sum(net.log_likelihood(params, *held)))

    assert score(stopped) > score(whole)


def test_constant_targets_give_a_constant_or_a_warning():
    known = regression(2, (4,), 0.1)
    found = fit(KEY, known, known.data(X, np.full(30, 0.5)), QUICK).predict(X)
    np.testing.assert_allclose(found.sel(parameter="mean"), 0.5, atol=0.1)
    unknown = regression(2, (4,), dist.HalfNormal(1.0))
    with pytest.warns(FitWarning, match="the noise sd by MAP is .* of its prior's median"):
        fit(KEY, unknown, unknown.data(X, np.zeros(30)), Settings(num_steps=2000))


def test_what_cannot_be_fitted_is_refused_by_name():
    with pytest.raises(ValueError, match=r"widths\[0\] must be a whole number of at least 1"):
        regression(2, (0,), 0.3)
    net = regression(2, (4,), 0.3)
    with pytest.raises(ValueError, match="x must be finite everywhere, got nan"):
        fit(KEY, net, Data(np.full((3, 2), np.nan), Y[:3]))
    with pytest.raises(FitError, match="MAP failed: diverged"):
        fit(KEY, net, net.data(X, Y), QUICK._replace(learning_rate=1e3, num_refinements=0))
    assert Settings() == map_estimate.DEFAULTS


def test_noise_that_changes_and_runs_off_towards_nought_is_told():
    net = Network(FullyConnected(2, (8,)), HeteroscedasticGaussian(0.3), 3.0, 3.0)
    data = net.data(X, np.zeros(len(X)))
    with pytest.warns(FitWarning, match=r"noise sd by MAP is .* of its prior's median.*everywhere"):
        fit(jax.random.key(0), net, data)
