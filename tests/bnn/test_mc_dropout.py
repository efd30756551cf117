"""MC dropout: without dropping it is the MAP estimate, and its masks are what they should be."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.bnn import mc_dropout, train
from bnnbook.bnn.map import fit as fit_map
from bnnbook.bnn.mc_dropout import DEFAULTS, Dropped, Settings, fit, leaving_out
from bnnbook.bnn.train import FitError
from bnnbook.models.bayesian_network import Data, Network, regression
from bnnbook.models.likelihoods import Categorical
from bnnbook.models.networks import FullyConnected, Layer

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 2))
Y = np.sin(2 * X[:, 0]) + 0.3 * RNG.normal(size=30)
NEW = RNG.normal(size=(7, 2)) * 2
KEY = jax.random.key(0)
SEARCH = train.Settings(num_steps=150, num_refinements=0)
QUICK = Settings(0.2, 40, SEARCH)


class Through(Layer):
    """A layer that changes nothing."""

    def __call__(self, h):
        return h


@pytest.fixture(scope="module")
def net():
    return regression(2, (6, 5), 0.3)


@pytest.fixture(scope="module")
def fitted(net):
    return fit(KEY, net, net.data(X, Y), QUICK)


def test_as_the_rate_vanishes_it_is_the_map_estimate(net, fitted):
    data = net.data(X, Y)
    exact = fit_map(KEY, net, data, SEARCH).predict(NEW)
    for rate in (0.0, 1e-7):  # with 1e-7 masks are drawn, and are all ones
        found = fit(KEY, net, data, QUICK._replace(rate=rate)).predict(NEW)
        assert found.shape == (1, 40, 7, 2)
        for draw in (0, 39):
            np.testing.assert_allclose(found[:, draw], exact[:, 0], rtol=2e-3, atol=2e-3)
    # Mutation: with units left out it is not.
    assert not np.allclose(fitted.predict(NEW)[:, 0], exact[:, 0], rtol=2e-3, atol=2e-3)


def test_predicting_twice_gives_the_same_numbers(fitted):
    found = fitted.predict(NEW)
    np.testing.assert_array_equal(found, fitted.predict(NEW))
    # One mask a draw, shared by all points: a point alone is predicted as among others.
    np.testing.assert_allclose(found[:, :, 3:4], fitted.predict(NEW[3:4]), rtol=1e-5, atol=1e-5)
    assert float(found.sel(parameter="mean").std("draw").min()) > 0.01
    np.testing.assert_allclose(found.sel(parameter="sd"), 0.3, rtol=1e-6)


def test_masks_keep_the_mean_of_what_enters_a_layer():
    h, layer = jnp.ones((400, 500)), Through(jnp.ones(1), jnp.ones(1), 1)
    for shared in (False, True):
        apply_layer = leaving_out(KEY, (0.0, 0.3), shared=shared)
        out = np.asarray(apply_layer(1, layer, h))
        np.testing.assert_allclose(np.unique(out), [0.0, 1 / 0.7], rtol=1e-6)
        masks = out[:1] if shared else out
        # 4 standard errors of a mean of values with variance 0.3 / 0.7.
        assert masks.mean() == pytest.approx(1.0, abs=4 * (0.3 / 0.7 / masks.size) ** 0.5)
        assert (np.ptp(out, axis=0) == 0).all() == shared
        np.testing.assert_array_equal(apply_layer(0, layer, h), h)
        # Mutation: what is kept not scaled up.
        assert abs(0.7 * masks.mean() - 1) > 4 * (0.3 / 0.7 / masks.size) ** 0.5


def test_a_linear_last_layer_sees_the_expected_noise_of_its_masks():
    r"""Of a linear model with dropped inputs the mean squared error gains a ridge,
    Σ r/(1-r) w² x² (Srivastava et al. 2014, section 9.1), which the objective must average to."""
    net = Network(FullyConnected(2, ()), regression(2, (), 0.5).likelihood)
    data, params = net.data(X, Y), net.init(KEY)
    dropped = Dropped((0.25,))
    draws = jax.vmap(lambda key: dropped(key, net, params, data, 30))(jax.random.split(KEY, 20_000))
    weight = np.asarray(net.module(params).layers[0].weight)[:, 0]
    ridge = (X**2 @ weight**2).sum() * 0.25 / 0.75 / (2 * 0.5**2)
    expected = float(net.log_density(params, data)) - ridge
    error = float(draws.std()) / 20_000**0.5
    assert abs(float(draws.mean()) - expected) < 4 * error
    # Mutation: without the ridge.
    assert abs(float(draws.mean()) - expected - ridge) > 4 * error


def test_another_rate_needs_no_other_program(net):
    """Candidates for the rate are tried one after another, and compiling takes longest."""
    data, few = net.data(X, Y), Settings(num_draws=2, search=train.Settings(num_steps=3))
    for program in (train._search, mc_dropout._masked):
        program._cached.clear_cache()  # else another test's programs could leave it meanwhile
    fit(KEY, net, data, few).predict(NEW)
    programs = train._search._cached._cache_size(), mc_dropout._masked._cached._cache_size()
    fit(KEY, net, data, few._replace(rate=0.3)).predict(NEW)
    after = train._search._cached._cache_size(), mc_dropout._masked._cached._cache_size()
    assert after == programs
    # Mutation: a rate of nought is another program, in which that layer is left alone.
    fit(KEY, net, data, few._replace(rate=0.0)).predict(NEW)
    assert train._search._cached._cache_size() > programs[0]


def test_the_objective_scales_minibatches_up(net):
    data, params = net.data(X, Y), net.init(KEY)
    rows = Data(data.x[:10], data.y[:10])
    found = Dropped((0.0,) * 3)(KEY, net, params, rows, 30)
    assert found == pytest.approx(float(net.log_density(params, rows, num_rows=30)), rel=1e-5)


def test_inputs_enter_whole_unless_told_otherwise():
    net = Network(FullyConnected(2, ()), Categorical(2))
    data = net.data(X, (Y > 0).astype(int))
    with pytest.raises(ValueError, match="network must be one with hidden units to leave out"):
        fit(KEY, net, data, QUICK)
    fitted = fit(KEY, net, data, QUICK._replace(rate=(0.5,)), validation=data)
    found = fitted.predict(NEW)
    assert fitted.rates == (0.5,)
    np.testing.assert_allclose(np.exp(found).sum("parameter"), 1.0, rtol=1e-5)
    assert len(np.unique(np.round(found[0, :, 0, 0], 4))) == 4  # masks of two inputs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (QUICK._replace(rate=1.0), r"rate\[1\] must be below 1"),
        (QUICK._replace(rate=-0.1), r"rate\[1\] must be a probability"),
        (QUICK._replace(rate=(0.1, 0.1)), "rate must be one number, or 3, one a layer"),
        (QUICK._replace(num_draws=0), "num_draws must be a whole number of at least 1"),
        (QUICK._replace(search=SEARCH._replace(num_steps=0)), "num_steps must be a whole number"),
    ],
)
def test_bad_settings_are_refused(settings, message, net):
    with pytest.raises(ValueError, match=message):
        fit(KEY, net, net.data(X, Y), settings)


def test_bad_data_and_divergence_are_refused(net):
    with pytest.raises(ValueError, match="network must be a Network"):
        inspect.unwrap(fit)(KEY, 3, net.data(X, Y), QUICK)  # as where shapes go unchecked
    with pytest.raises(ValueError, match="x must be finite everywhere"):
        fit(KEY, net, Data(X * np.nan, Y), QUICK)
    fast = SEARCH._replace(learning_rate=300.0)
    with pytest.raises(FitError, match="MC dropout failed: diverged"):
        fit(KEY, net, net.data(X, Y), QUICK._replace(search=fast))
    one = fit(KEY, net, net.data(X[:1], Y[:1]), QUICK)  # a single datum will do
    assert np.isfinite(one.predict(NEW)).all()
    assert Settings() == DEFAULTS
