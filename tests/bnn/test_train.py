"""The search: its gradients are unbiased, it stops where it says, and no failure is silent."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

import two_devices
from bnnbook.bnn import train
from bnnbook.bnn.train import FitError, FitWarning, Settings, keep, search
from bnnbook.datasets.splits import HeldOut
from bnnbook.models.bayesian_network import Data, Network, regression
from bnnbook.models.likelihoods import Categorical
from bnnbook.models.networks import FullyConnected

RNG = np.random.default_rng(5)
X = RNG.normal(size=(20, 2))
Y = np.sin(2 * X[:, 0]) + 0.3 * RNG.normal(size=20)
QUICK = Settings(num_steps=60, num_refinements=0)
KEY = jax.random.key(4)


def kept(run, net):
    return keep(run, "test", train.tolerance(net))[0]


@pytest.fixture(scope="module")
def net():
    return regression(2, (4,), 0.3)


@pytest.fixture(scope="module")
def data(net):
    return net.data(X, Y)


def test_the_gradient_of_a_minibatch_is_unbiased(net, data):
    params = net.init(KEY)

    def gradient(rows, count):
        return net.ravel(jax.grad(lambda p: train.log_density(KEY, net, p, rows, count))(params))

    # A row drawn at random: the expectation is the average over all rows, with no error.
    rows = [Data(data.x[i : i + 1], data.y[i : i + 1]) for i in range(20)]
    whole = gradient(data, 20)
    average = np.mean([gradient(row, 20) for row in rows], axis=0)
    np.testing.assert_allclose(average, whole, rtol=1e-4, atol=1e-3)
    # Mutation: the rows not scaled up.
    assert not np.allclose(np.mean([gradient(row, 1) for row in rows], axis=0), whole, rtol=0.1)


def test_minibatches_draw_every_row_alike(data):
    keys = jax.random.split(KEY, 4000)
    y = np.asarray(jax.vmap(lambda key: train.batch(key, data, 5).y)(keys))
    counts = np.array([(y == value).sum() for value in np.asarray(data.y)])
    # Chi squared of 20 cells at 1e-4: 19 degrees of freedom.
    statistic = ((counts - 1000) ** 2 / 1000).sum()
    assert counts.sum() == 20_000
    assert statistic < 52
    # Mutation: one row never drawn.
    assert (((counts * (np.arange(20) > 0)) - 1000) ** 2 / 1000).sum() > 52
    assert train.batch(KEY, data, 20) is data
    assert train.batch(KEY, data, None) is data


@pytest.mark.parametrize("block", [4, 6, 7, 20, 50])
def test_blocks_of_rows_sum_to_the_whole(block, net, data):
    def total(params, rows):
        return jnp.sum(net.log_likelihood(params, *rows))

    def blocks(params):
        return train.over_rows(lambda rows: total(params, rows), data, block)

    params = net.init(KEY)
    value, slope = jax.value_and_grad(blocks)(params)
    expected, wanted = jax.value_and_grad(total)(params, data)
    assert value == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(net.ravel(slope), net.ravel(wanted), rtol=1e-4, atol=1e-3)
    # Mutation: one row left out.
    assert total(params, Data(data.x[:-1], data.y[:-1])) != pytest.approx(float(expected), rel=1e-5)


def test_members_do_not_depend_on_how_many_there_are(net, data):
    few, more = (search(KEY, net, data, QUICK, count) for count in (2, 3))
    for one, other in zip(jax.tree.leaves(few.params), jax.tree.leaves(more.params), strict=True):
        np.testing.assert_allclose(one, other[:2], rtol=1e-3, atol=1e-4)
        assert np.ptp(other, axis=0).min() > 1e-4  # members differ


def test_the_end_is_the_log_density_there(net, data):
    run = search(KEY, net, data, QUICK, 2)
    first, last = (jax.tree.map(lambda leaf, i=i: leaf[i], run.params) for i in (0, 1))
    expected = [float(net.log_density(params, data)) for params in (first, last)]
    np.testing.assert_allclose(run.ended, expected, rtol=1e-4)
    assert (run.ended > run.trace[:, 0]).all()
    assert run.trace.shape == (2, 60)


def test_early_stopping_keeps_what_predicted_the_validation_data_best(net, data):
    # Of one step size, so that a shorter search is the beginning of a longer one.
    some = Data(data.x[:5], data.y[:5])  # few, so that it overfits
    held = Data(data.x[5:], data.y[5:])
    settings = Settings(80, optimizer=optax.adam(0.05), num_refinements=0, check_every=25)
    run = search(KEY, net, some, settings, validation=held)
    looks = [*range(25, 80, 25), 80]
    ends = [search(KEY, net, some, settings._replace(num_steps=steps)) for steps in looks]
    params = [jax.tree.map(lambda leaf: leaf[0], end.params) for end in ends]
    scores = [float(net.log_likelihood(p, *held).sum()) for p in params]
    best = int(np.argmax(scores))
    assert run.chosen_at[0] == looks[best]
    assert looks[best] < 80  # else there was nothing to stop
    found = net.ravel(jax.tree.map(lambda leaf: leaf[0], run.params))
    np.testing.assert_allclose(found, net.ravel(params[best]), rtol=1e-3, atol=1e-4)
    assert run.trace.shape == (1, 80)
    # Mutation: the last kept instead of the best.
    assert not np.allclose(found, net.ravel(params[-1]), rtol=1e-3, atol=1e-4)


def test_a_sealed_test_set_is_no_validation_set(net, data):
    sealed = HeldOut(Y, name="y_test")
    with pytest.raises(TypeError, match="y_test is sealed"):
        search(KEY, net, data, QUICK, validation=Data(X, sealed))
    assert sealed.opened_by is None


def fails_where_positive(rng_key, network, params, rows, count):
    """NaN for members whose first bias at the output is positive, which few steps do not change."""
    value = network.log_density(params, rows, num_rows=count)
    return jnp.where(params.weights.layers[-1].bias[0] > 0, jnp.nan, value)


def test_a_member_that_fails_is_left_out_and_the_others_kept(net, data):
    settings = Settings(3, learning_rate=1e-4, num_refinements=0)
    starts = [net.init(jax.random.split(key, 3)[0]) for key in train.member_keys(KEY, 6)]
    positive = np.array([bool(start.weights.layers[-1].bias[0] > 0) for start in starts])
    assert 0 < positive.sum() < 6
    run = search(KEY, net, data, settings, 6, objective=fails_where_positive)
    np.testing.assert_array_equal(run.failed_at, np.where(positive, 0, -1))
    with pytest.warns(FitWarning, match=f"keeps {6 - positive.sum()} of 6 members: member "):
        left = kept(run, net)
    bias = left.params.weights.layers[-1].bias
    assert bias.shape == (6 - positive.sum(), 1)
    assert (bias < 0).all()
    fine = search(KEY, net, data, settings, 6)
    np.testing.assert_allclose(bias, fine.params.weights.layers[-1].bias[~positive], rtol=1e-5)
    # Mutation: a run without failures must not warn, or it would say nothing.
    assert len(kept(fine, net).ended) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            QUICK._replace(optimizer=optax.sgd(1e9)),
            r"test failed: broke down at step [1-9], where the log density must be finite, but it "
            "is (nan|-inf): take a smaller learning rate",
        ),
        (QUICK._replace(learning_rate=300.0), "diverged: its log density went from .* in 60 steps"),
    ],
)
def test_a_search_that_diverges_says_where(settings, message, net, data):
    with pytest.raises(FitError, match=message):
        kept(search(KEY, net, data, settings), net)


def test_a_search_that_never_betters_the_start_says_so(net, data):
    far = net.data(X, Y - 100.0)
    run = search(KEY, net, net.data(X, Y + 100.0), QUICK, validation=far)
    with pytest.raises(FitError, match="worse at every look than at its start"):
        kept(run, net)


def test_data_out_of_reach_fail_at_the_first_step():
    net = regression(2, (4,), 1e-30)
    with pytest.raises(FitError, match=r"broke down at step 0, .* but it is (nan|-inf)"):
        kept(search(KEY, net, net.data(X, Y), QUICK), net)


def test_learning_rates_and_data_of_one_shape_share_a_program():
    traced = []

    def count(h):
        traced.append(1)
        return jnp.tanh(h)

    def run(rate, shift):
        net = regression(2, [3], dist.HalfNormal(1.0), activation=count)
        search(KEY, net, net.data(X + shift, Y), Settings(5, rate, num_refinements=0))

    run(0.1, 0.0)
    first = len(traced)
    run(0.2, 1.0)
    assert len(traced) == first


def test_images_in_minibatches_train_without_holding_all_rows_at_once(monkeypatch):
    monkeypatch.setattr(train, "ROWS_AT_ONCE", 64)
    most = []

    def count(h):
        most.append(h.shape[0])
        return jax.nn.relu(h)

    net = Network(FullyConnected(9, (5,), count), Categorical(3))
    x = RNG.normal(size=(300, 9))
    data = net.data(x, np.argmax(x[:, :3], axis=1))
    settings = Settings(num_steps=200, learning_rate=0.1, batch_size=16, check_every=50)
    run = kept(search(KEY, net, data, settings, 2, validation=data), net)
    # A trace sees 64 rows, 16 in a batch, and the rest of 300 - 4 * 64.
    assert set(most) == {64, 16, 44}
    assert (run.ended > run.trace[:, 0] + 100).all()
    assert run.params.weights.layers[0].weight.shape == (2, 9, 5)


@pytest.mark.parametrize(
    ("settings", "more", "message"),
    [
        ({"num_steps": 0}, {}, "num_steps must be a whole number of at least 1"),
        ({"learning_rate": 0.0}, {}, "learning_rate must be positive"),
        ({"batch_size": 0}, {}, "batch_size must be a whole number of at least 1"),
        ({"num_refinements": -1}, {}, "num_refinements must be a whole number of at least 0"),
        ({"check_every": 0}, {}, "check_every must be a whole number of at least 1"),
        ({}, {"num_members": 0}, "num_members must be a whole number of at least 1"),
        ({}, {"num_devices": 99}, "num_devices must be at most"),
        ({}, {"validation": Data(X * np.nan, Y)}, "x must be finite everywhere"),
    ],
)
def test_bad_arguments_are_refused(settings, more, message, net, data):
    with pytest.raises(ValueError, match=message):
        search(KEY, net, data, QUICK._replace(**settings), **more)


def test_bad_data_are_refused(net):
    with pytest.raises(ValueError, match="x must be finite everywhere, got nan"):
        search(KEY, net, Data(np.full((3, 2), np.nan), Y[:3]), QUICK)


ON_TWO_DEVICES = """
import jax, numpy as np, pytest
from bnnbook.bnn import train
from bnnbook.bnn.map import drawn
from bnnbook.models.bayesian_network import regression

assert jax.device_count() == 2
x = np.linspace(-1, 1, 8)[:, None]
net = regression(1, (3,), 0.5)
data, settings = net.data(x, x[:, 0]), train.Settings(40, batch_size=4)
one, two = (train.search(jax.random.key(0), net, data, settings, 4, validation=data, num_devices=n)
            for n in (1, 2))
assert len(two.params.weights.layers[0].weight.devices()) == 2
for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two)):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
predictions = [drawn(run, net, data, "x", 0.0).predict(x) for run in (one, two)]
np.testing.assert_allclose(*predictions, rtol=1e-4, atol=1e-4)
with pytest.raises(ValueError, match="num_devices must be a divisor of the 3 members"):
    train.search(jax.random.key(0), net, data, settings, 3, num_devices=2)
"""


@pytest.mark.slow
def test_members_on_two_devices_are_those_on_one():
    two_devices.run(ON_TWO_DEVICES)
