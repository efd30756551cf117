"""Deep ensembles: members are MAP estimates, a larger ensemble begins with a smaller one."""

import equinox as eqx
import jax
import numpy as np
import pytest

import two_devices
from bnnbook.bnn import deep_ensemble, train
from bnnbook.bnn.deep_ensemble import Settings, fit
from bnnbook.bnn.map import fit as fit_map
from bnnbook.bnn.train import FitError, FitWarning
from bnnbook.models.bayesian_network import Data, Network, regression
from bnnbook.models.likelihoods import Categorical
from bnnbook.models.networks import FullyConnected

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 2))
Y = np.sin(2 * X[:, 0]) + 0.3 * RNG.normal(size=30)
NEW = RNG.normal(size=(7, 2)) * 2
KEY = jax.random.key(0)
QUICK = Settings(3, train.Settings(num_steps=100, num_refinements=20))


def test_the_members_of_a_linear_network_are_its_map_estimate(x64):
    net = regression(2, (), 0.3)
    data = net.data(X, Y)
    found = fit(KEY, net, data, Settings(3, train.Settings(num_steps=300))).predict(NEW)
    assert found.shape == (3, 1, 7, 2)
    exact = fit_map(KEY, net, data, train.Settings(num_steps=300)).predict(NEW)
    for member in found:
        np.testing.assert_allclose(member, exact[0], rtol=1e-6, atol=1e-8)
    # Mutation: starts, from which members would differ, have other predictions.
    start = net.predict(net.init(KEY), net.inputs(NEW))
    assert not np.allclose(start, exact[0, 0], rtol=0.1)


def test_a_larger_ensemble_begins_with_a_smaller_one():
    net = regression(2, (5,), 0.3)
    data = net.data(X, Y)
    few = fit(KEY, net, data, QUICK._replace(num_members=2)).predict(NEW)
    more = fit(KEY, net, data, QUICK).predict(NEW)
    np.testing.assert_allclose(few, more[:2], rtol=5e-3, atol=5e-3)
    means = more.sel(parameter="mean").values[:, 0]
    assert np.abs(means[0] - means[1]).max() > 0.05  # members differ
    # Mutation: the members in another order.
    assert not np.allclose(few[::-1], more[:2], rtol=5e-3, atol=5e-3)


def test_minibatches_and_classes_make_probabilities():
    net = Network(FullyConnected(2, (5,)), Categorical(3))
    data = net.data(X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5))
    settings = Settings(2, train.Settings(num_steps=100, batch_size=8))
    fitted = fit(KEY, net, data, settings, validation=data)
    found = fitted.predict(NEW)
    np.testing.assert_allclose(np.exp(found).sum("parameter"), 1.0, rtol=1e-5)
    assert set(fitted.stats["num_steps"].ravel()) <= set(range(20, 101, 20))
    assert fitted.method == "deep ensemble"
    assert fitted.log_density(data).shape == (2, 1)


def test_members_that_fail_are_left_out_and_the_others_kept(monkeypatch):
    net = regression(2, (5,), 0.3)
    data = net.data(X, Y)
    whole = fit(KEY, net, data, QUICK).predict(NEW)
    searched = train.search

    def broken(*args, bad=(1,), **named):
        run = searched(*args, **named)
        at = run.failed_at.at[np.array(bad)].set(7)
        params = jax.tree.map(lambda leaf: leaf.at[np.array(bad)].set(np.nan), run.params)
        return eqx.tree_at(lambda r: (r.failed_at, r.params), run, (at, params))

    monkeypatch.setattr(train, "search", broken)
    with pytest.warns(FitWarning, match="keeps 2 of 3 members: member 1 broke down at step 7"):
        fitted = fit(KEY, net, data, QUICK)
    np.testing.assert_array_equal(fitted.predict(NEW), whole[[0, 2]])
    assert fitted.attrs["num_failed"] == 1
    monkeypatch.setattr(train, "search", lambda *a, **n: broken(*a, bad=(0, 1, 2), **n))
    with pytest.raises(FitError, match="deep ensemble failed: member 0 broke down at step 7"):
        fit(KEY, net, data, QUICK)


def test_bad_input_is_refused():
    net = regression(2, (5,), 0.3)
    data = net.data(X, Y)
    with pytest.raises(ValueError, match="num_members must be a whole number of at least 1"):
        fit(KEY, net, data, QUICK._replace(num_members=0))
    with pytest.raises(ValueError, match="num_devices must be at most"):
        fit(KEY, net, data, QUICK, num_devices=99)
    with pytest.raises(ValueError, match="x must be finite everywhere"):
        fit(KEY, net, Data(X * np.nan, Y), QUICK)
    assert Settings() == deep_ensemble.DEFAULTS


ON_TWO_DEVICES = """
import jax, numpy as np
from bnnbook.bnn import deep_ensemble, swag, train
from bnnbook.models.bayesian_network import regression

assert jax.device_count() == 2
x = np.linspace(-1, 1, 8)[:, None]
net = regression(1, (3,), 0.5)
data, search = net.data(x, x[:, 0]), train.Settings(40, batch_size=4)
cases = [(deep_ensemble.fit, deep_ensemble.Settings(4, search)),
         (swag.fit, swag.Settings(2, search, num_states=9, rank=3, num_draws=5))]
for fit, settings in cases:
    one, two = (fit(jax.random.key(0), net, data, settings, num_devices=n).predict(x)
                for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)
"""


@pytest.mark.slow
def test_members_on_two_devices_are_those_on_one():
    two_devices.run(ON_TWO_DEVICES)
