"""NUTS on networks: linear ones meet the exact answer, and nothing fails in silence."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import two_devices
from bnnbook.bnn import nuts
from bnnbook.bnn.nuts import Settings
from bnnbook.bnn.tempering import powers
from bnnbook.exact import conjugate_linear
from bnnbook.mcmc.nuts import SamplerWarning
from bnnbook.models.bayesian_network import Network, regression
from bnnbook.models.likelihoods import Categorical, HeteroscedasticGaussian
from bnnbook.models.networks import FullyConnected

RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 3))
Y = X @ [0.8, -0.5, 0.2] + 0.4 + 0.5 * RNG.normal(size=12)
NEW = np.array([[0.0, 0.0, 0.0], [2.0, -1.0, 0.5], [-1.0, 3.0, 1.0]])
SMALL = Settings(num_warmup=200, num_samples=800, num_chains=4)


def exact_line(fan_in, prior_power=1.0, likelihood_power=1.0):
    """The posterior of f at the new points, by the closed form."""
    sds = np.array([0.7, *[0.6 / fan_in**0.5] * 3])
    precisions = prior_power / sds**2
    prior = conjugate_linear.NormalCoefficients.from_precision(np.zeros(4), precisions)
    with_ones = np.column_stack([np.ones(12), X])
    posterior = conjugate_linear.update(prior, with_ones, Y, 0.5 / likelihood_power**0.5)
    return conjugate_linear.regression_line(posterior, np.column_stack([np.ones(3), NEW]))


def z_scores(draws, line):
    """How many standard errors means and variances of f are off, from batches of draws."""
    f = draws.reshape(-1, 40, draws.shape[-1])  # of 40 draws: long beside the autocorrelation
    found = []
    for values, expected in (
        (f, line.mean),
        ((f - line.mean) ** 2, line.sd**2),
    ):
        batches = values.mean(axis=1)
        error = batches.std(axis=0, ddof=1) / len(batches) ** 0.5
        found.append(np.abs(batches.mean(axis=0) - expected) / error)
    return np.array(found)


@pytest.mark.parametrize("method", nuts.CHAIN_METHODS)
def test_a_linear_network_has_the_exact_posterior(method, x64):
    net = regression(3, (), 0.5, weight_scale=0.6, bias_scale=0.7)
    settings = SMALL._replace(chain_method=method)
    fitted = nuts.fit(jax.random.key(1), net, net.data(X, Y), settings)
    f = fitted.predict(NEW)[..., 0].values
    assert f.shape == (4, 800, 3)
    # Six numbers at 4.5 standard errors from 80 batches: a false alarm in 10,000 runs.
    assert (z_scores(f, exact_line(3)) < 4.5).all()
    # Mutation: the root of the fan-in forgotten.
    assert (z_scores(f, exact_line(1)) > 4.5).any()


@pytest.mark.parametrize(("temperature", "tempered"), [(0.2, "posterior"), (5.0, "likelihood")])
def test_a_linear_network_has_the_exact_posterior_at_every_temperature(temperature, tempered, x64):
    net = regression(3, (), 0.5, weight_scale=0.6, bias_scale=0.7)
    tempering = {"temperature": temperature, "tempered": tempered}
    fitted = nuts.fit(jax.random.key(1), net, net.data(X, Y), SMALL, **tempering)
    f = fitted.predict(NEW)[..., 0].values
    assert (z_scores(f, exact_line(3, *powers(**tempering))) < 4.5).all()
    assert fitted.attrs["temperature"] == temperature
    # Mutations: no temperature; the temperature of the other thing.
    other = {"posterior": "likelihood", "likelihood": "posterior"}[tempered]
    assert (z_scores(f, exact_line(3)) > 4.5).any()
    assert (z_scores(f, exact_line(3, *powers(temperature, other))) > 4.5).any()


@pytest.mark.parametrize(
    ("tempering", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"tempered": "prior"}, "tempered must be one of 'posterior', 'likelihood'"),
    ],
)
def test_bad_temperatures_are_refused(tempering, message):
    net = regression(3, (), 0.5)
    with pytest.raises(ValueError, match=message):
        nuts.fit(jax.random.key(1), net, net.data(X, Y), SMALL, **tempering)


@pytest.mark.filterwarnings("ignore::bnnbook.mcmc.nuts.SamplerWarning")
def test_draws_come_with_density_tree_and_statistics():
    net = regression(1, (2,), dist.LogNormal(-1.0, 0.5), activation="identity")
    data = net.data(X[:, :1], Y)
    fitted = nuts.fit(jax.random.key(2), net, data, SMALL._replace(target_accept_prob=0.9))
    assert fitted.log_density(data).dtype == np.float32
    np.testing.assert_allclose(
        fitted.log_density(data)[1, 7],
        net.log_density(jax.tree.map(lambda leaf: leaf[1, 7], fitted.params), data),
        rtol=1e-4,
    )
    tree = fitted.tree(NEW[:, :1], data)
    assert tree["posterior"]["f"].shape == (4, 800, 3)
    assert {"diverging", "num_steps", "log_density"} <= set(tree["sample_stats"])
    assert tree.attrs["num_warmup"] == 200


def test_going_on_is_the_same_as_not_having_stopped():
    net = regression(3, (2,), 0.5)
    data, settings = net.data(X, Y), Settings(20, 20, 2)
    state = nuts.start(jax.random.key(0), net, data, settings)
    _, whole = nuts.advance(net, data, state, settings, 40)
    middle, first = nuts.advance(net, data, state, settings, 20)
    _, second = nuts.advance(net, data, middle, settings, 20)
    together = np.concatenate([first.vectors, second.vectors], axis=1)
    np.testing.assert_array_equal(together, whole.vectors)


@pytest.mark.filterwarnings("ignore::bnnbook.mcmc.nuts.SamplerWarning")
def test_data_and_networks_of_one_shape_compile_once():
    counts, traced = [], []

    def count(h):
        traced.append(1)
        return h

    for seed in range(2):
        net = regression(3, [2], dist.HalfNormal(1.0), activation=count)
        settings, data = Settings(30, 30, 1), net.data(X + seed, Y)
        with pytest.warns(SamplerWarning, match="num_chains is 1"):
            nuts.fit(jax.random.key(seed), net, data, settings, temperature=1.0 + seed)
        counts.append(len(traced))
    assert counts[0] == counts[1] > 0


@pytest.mark.filterwarnings("ignore::bnnbook.mcmc.nuts.SamplerWarning")
@pytest.mark.parametrize(
    ("likelihood", "x", "y"),
    [
        (HeteroscedasticGaussian(0.5), X, np.full(12, 3.0)),  # outputs that never change
        (HeteroscedasticGaussian(0.5), X[:1], Y[:1]),
        (Categorical(3), X, np.zeros(12)),  # one class alone
        (Categorical(3), X * 0, np.arange(12) % 3),  # inputs that never change
    ],
)
def test_odd_data_have_a_posterior(likelihood, x, y):
    net = Network(FullyConnected(3, (2,)), likelihood)
    fitted = nuts.fit(jax.random.key(4), net, net.data(x, y), Settings(100, 100, 2))
    assert np.isfinite(fitted.predict(NEW)).all()


@pytest.mark.filterwarnings("ignore::bnnbook.mcmc.nuts.SamplerWarning")
def test_constant_targets_with_unknown_noise_are_learnt():
    net = regression(3, (2,), dist.LogNormal(-1.0, 0.5))
    data = net.data(X, np.full(12, 0.7))
    fitted = nuts.fit(jax.random.key(4), net, data, Settings(300, 300, 4, 0.9))
    found = fitted.predict(X)
    assert np.abs(found[..., 0].mean(("chain", "draw")) - 0.7).max() < 0.2
    assert float(found[..., 1].mean()) < 0.3


def test_what_is_wrong_is_told():
    stats = {
        "diverging": np.array([[True, False], [False, False]]),
        "num_steps": np.full((2, 2), 1023),
        "accept_prob": np.array([[0.6, 0.7], [0.0, 0.01]]),
    }
    told = " ".join(nuts.complaints(stats, Settings()))
    assert "1 of 4 draws diverged" in told
    assert "4 of 4 trajectories stopped at max_tree_depth = 10" in told
    assert "chain 1 accepts fewer than 5%" in told
    assert nuts.complaints(stats | {"diverging": np.zeros((2, 2), bool)}, Settings())
    fine = {
        "diverging": np.zeros((4, 9)),
        "num_steps": np.ones((4, 9)),
        "accept_prob": np.ones((4, 9)),
    }
    assert nuts.complaints(fine, Settings()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_warmup": 0}, "num_warmup must be a whole number of at least 1"),
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1"),
        ({"num_chains": 0}, "num_chains must be a whole number of at least 1"),
        ({"target_accept_prob": 1.0}, "target_accept_prob must be strictly between 0 and 1"),
        ({"chain_method": "parallel"}, "chain_method must be one of 'vectorised', 'sequential'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    net = regression(3, (2,), 0.5)
    with pytest.raises(ValueError, match=message):
        nuts.fit(jax.random.key(0), net, net.data(X, Y), Settings()._replace(**settings))


def test_data_out_of_all_reach_are_refused():
    net = regression(3, (2,), 1e-30)
    with pytest.raises(ValueError, match="network must have a finite log density and gradient"):
        nuts.fit(jax.random.key(0), net, net.data(X, Y), Settings(5, 5, 2))


ON_TWO_DEVICES = """
import jax, numpy as np
from bnnbook.bnn import nuts
from bnnbook.models.bayesian_network import regression

assert jax.device_count() == 2
x = np.linspace(-1, 1, 8)[:, None]
net = regression(1, (2,), 0.5)
data, settings = net.data(x, x[:, 0]), nuts.Settings(20, 20, 4)
state = nuts.start(jax.random.key(0), net, data, settings)
_, spread = nuts.advance(net, data, state, settings, 10)
_, vectors, _ = nuts._advance(net, data, state, settings, 10, 1)
np.testing.assert_allclose(spread.vectors, vectors, rtol=1e-3, atol=1e-4)
assert np.ptp(vectors, axis=0).min() > 0  # chains differ
"""


@pytest.mark.slow
def test_chains_over_two_devices_draw_what_one_does():
    two_devices.run(ON_TWO_DEVICES)
