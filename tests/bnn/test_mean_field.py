"""Mean field: its optimum on linear networks, and ways of drawing that mean the same."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from bnnbook.bnn import mean_field
from bnnbook.bnn.mean_field import GRADIENTS, Settings, State, elbo_estimate, fit
from bnnbook.bnn.tempering import powers
from bnnbook.exact import conjugate_linear
from bnnbook.models.bayesian_network import Data, Network, regression
from bnnbook.models.likelihoods import Categorical, Gaussian
from bnnbook.models.networks import Dense, FullyConnected, Layer
from bnnbook.variational.fit import FitError, FitWarning

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 2)) @ [[1.0, 0.8], [0.0, 0.6]]
Y = X @ [0.7, -0.4] + 0.2 + 0.3 * RNG.normal(size=30)
LINEAR = {"noise_sd": 0.3, "weight_scale": 1.7, "bias_scale": 0.6}
SCALES = np.array([1.7 / 2**0.5, 1.7 / 2**0.5, 0.6])
SETTINGS = Settings(3000, 0.03, gradient="weights", num_fits=4, elbo_draws=400)


def exact(x, prior_power=1.0, likelihood_power=1.0):
    """Mean and precision of the linear network's posterior in standardised coordinates."""
    design = np.column_stack([x, np.ones(len(x))]) * SCALES
    precision = prior_power * np.eye(3) + likelihood_power * design.T @ design / 0.09
    return np.linalg.solve(precision, likelihood_power * design.T @ Y / 0.09), precision


def log_evidence(x):
    prior = conjugate_linear.NormalCoefficients.from_covariance(np.zeros(3), SCALES**2)
    return conjugate_linear.log_evidence(prior, np.column_stack([x, np.ones(30)]), Y, 0.3)


@pytest.mark.parametrize(
    ("temperature", "tempered"), [(1.0, "posterior"), (0.3, "posterior"), (0.3, "likelihood")]
)
def test_a_linear_network_has_the_exact_mean_and_the_sd_of_one_over_root_precision(
    temperature, tempered, x64
):
    net = regression(2, (), **LINEAR)
    settings = SETTINGS._replace(temperature=temperature, tempered=tempered)
    found = fit(jax.random.key(0), net, net.data(X, Y), settings)
    mean, precision = exact(X, *powers(temperature, tempered))
    sd = np.diag(precision) ** -0.5
    # The search's own noise: four searches, some 5 % of an sd each; 0.12 is 5 of its errors.
    ends = jax.vmap(net.ravel)(found.mean), jax.vmap(net.ravel)(found.sd)
    assert np.abs((ends[0].mean(axis=0) - mean) / sd).max() < 0.12
    assert np.abs(np.log(ends[1]).mean(axis=0) - np.log(sd)).max() < 0.12
    # Draws are of q: 4,000 of them, their variance within 5 standard errors.
    z = (jax.vmap(jax.vmap(net.ravel))(found.params) - ends[0][:, None]) / ends[1][:, None]
    assert abs(float(z.var()) - 1) < 5 * (2 / 12_000) ** 0.5
    # Mutations: the sds of the posterior itself; the temperature forgotten.
    assert np.abs(np.log(sd) - 0.5 * np.log(np.diag(np.linalg.inv(precision)))).max() > 0.3
    other = np.diag(exact(X)[1]) ** -0.5
    assert temperature == 1 or np.abs(np.log(other / sd)).max() > 0.3


def test_the_elbo_never_exceeds_the_log_evidence_and_meets_it_where_q_can_be_exact(x64):
    design = np.column_stack([X, np.ones(30)])
    apart = np.linalg.qr(design[:, ::-1])[0][:, ::-1] * 30**0.5
    apart = (apart * np.sign(apart[0, 2]))[:, :2]  # columns at right angles, also to the ones
    net = regression(2, (), **LINEAR)
    for x, gap_is_nought in ((X, False), (apart, True)):
        found = fit(jax.random.key(0), net, net.data(x, Y), SETTINGS)
        precision = exact(x)[1]
        gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
        assert (gap < 1e-9) == gap_is_nought
        # Ends off by 5 % of an sd cost some 0.01 nats.
        off = found.elbo - (log_evidence(x) - gap)
        assert (np.abs(off) < 4.5 * found.elbo_error + 0.05).all()
        assert (found.elbo < log_evidence(x) + 4.5 * found.elbo_error).all()
    # Mutation: another noise has another evidence, by far more than the errors.
    assert found.elbo_error.max() < 0.2


class Stripes(Layer):
    """A convolution along the row: every place sees two neighbours through the same weights."""

    def __call__(self, h):
        return self.linear(self.weight, h) + self.bias[None, None]

    def linear(self, weight, h):
        return jnp.concatenate([h[:, :-1], h[:, 1:]], axis=2) @ weight


class Small(eqx.Module):
    """A convolution and a dense layer."""

    first: Stripes
    last: Dense

    def __call__(self, x, apply_layer):
        h = jnp.tanh(apply_layer(0, self.first, x[:, :, None]))
        return apply_layer(1, self.last, h.reshape(len(h), -1))


@dataclass(frozen=True)
class Convolutional:
    """The plan of ``Small``."""

    input_shape: tuple[int, ...] = (2,)

    def build(self, rng_key, num_outputs):
        a, b, c, d = jax.random.split(rng_key, 4)
        return Small(
            Stripes(jax.random.normal(a, (2, 3)), jax.random.normal(b, (3,)), 2),
            Dense(jax.random.normal(c, (3, num_outputs)), jax.random.normal(d, (num_outputs,)), 3),
        )


@dataclass(frozen=True)
class Longer(Convolutional):
    """The same with inputs of length four, so that the weights are shared by three places."""

    input_shape: tuple[int, ...] = (4,)

    def build(self, rng_key, num_outputs):
        small = super().build(rng_key, num_outputs)
        weight = jax.random.normal(jax.random.fold_in(rng_key, 9), (9, num_outputs))
        return eqx.tree_at(lambda s: s.last, small, Dense(weight, small.last.bias, 9))


def gradients(net, data, gradient, num_keys=4000, batch_size=6):
    """Estimates from minibatches of the gradient by means and log sds, a key a row."""
    mean = net.draw_prior(jax.random.key(1))
    state = State(mean, jax.tree.map(lambda m: jnp.full_like(m, -1.5), mean))

    def one(key):
        for_rows, for_noise = jax.random.split(key)
        rows = jax.random.randint(for_rows, (batch_size,), 0, data.num_rows)
        some = Data(data.x[rows], data.y[rows])
        slope = jax.grad(
            lambda s: elbo_estimate(for_noise, net, s, some, data.num_rows, gradient=gradient)
        )(state)
        return jnp.concatenate([net.ravel(slope.mean), net.ravel(slope.log_sd)])

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), num_keys)))


def z_scores(one, two):
    error = np.sqrt(one.var(axis=0) / len(one) + two.var(axis=0) / len(two))
    return np.abs(one.mean(axis=0) - two.mean(axis=0)) / error


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_all_ways_of_drawing_have_one_expected_gradient_and_the_local_is_quieter(
    kind, x64, monkeypatch
):
    if kind == "dense":
        net = Network(FullyConnected(2, (3,)), Gaussian(dist.LogNormal(0.0, 0.5)))
        data = net.data(X, Y)
    else:
        net = Network(Longer(), Categorical(2), scale_prior=dist.LogNormal(0.0, 0.3))
        data = net.data(np.column_stack([X, X**2]), Y > 0)
    found = {gradient: gradients(net, data, gradient) for gradient in GRADIENTS}
    # Some 80 numbers within 4.8 standard errors: a false alarm in 8,000 runs.
    assert z_scores(found["local"], found["weights"]).max() < 4.8
    assert z_scores(found["flipout"], found["weights"]).max() < 4.8
    noise = {name: values.var(axis=0).sum() for name, values in found.items()}
    assert noise["local"] < 0.9 * noise["weights"]
    # Mutation: places of a convolution drawn one by one; the bias's variance forgotten.
    local = mean_field._local

    def forgetful(rng_key, layer, sd, h):
        return local(rng_key, layer, eqx.tree_at(lambda s: s.bias, sd, 0 * sd.bias), h)

    def apart(rng_key, layer, sd, h):
        variance = layer.linear(sd.weight**2, h**2) + sd.bias.reshape(*[1] * (h.ndim - 1), -1) ** 2
        noise = jax.random.normal(rng_key, variance.shape)
        return layer(h) + jnp.sqrt(variance) * noise

    if kind == "dense":
        monkeypatch.setattr(mean_field, "_local", forgetful)
    else:
        monkeypatch.setattr(mean_field, "_flipped", apart)
    assert z_scores(gradients(net, data, "local"), found["weights"]).max() > 4.8


def test_the_elbo_is_the_same_where_hidden_units_are_permuted_and_flipped(x64):
    net = regression(2, (4,), 0.3)
    data = net.data(X, Y)
    mean = net.draw_prior(jax.random.key(1))
    spread = jax.tree.map(lambda m: -1 + 0.3 * m, net.draw_prior(jax.random.key(2)))
    order, signs = jnp.array([2, 0, 3, 1]), jnp.array([1.0, -1.0, -1.0, 1.0])

    def moved(params, signs):
        a, b = params.weights.layers
        where = lambda p: [  # noqa: E731
            p.weights.layers[0].weight,
            p.weights.layers[0].bias,
            p.weights.layers[1].weight,
        ]
        new = [a.weight * signs[None], a.bias * signs, b.weight * signs[:, None]]
        return eqx.tree_at(where, params, [new[0][:, order], new[1][order], new[2][order]])

    @jax.jit
    def value(state):
        keys = jax.random.split(jax.random.key(3), 4000)
        terms = jax.vmap(lambda k: elbo_estimate(k, net, state, data, gradient="local"))(keys)
        return terms.mean(), terms.std() / 4000**0.5

    first = value(State(mean, spread))
    second = value(State(moved(mean, signs), moved(spread, jnp.ones(4))))
    wrong = value(State(moved(mean, signs), spread))  # Mutation: the sds stay with the old units.
    error = float(np.hypot(first[1], second[1]))
    assert abs(first[0] - second[0]) < 4.5 * error
    assert abs(first[0] - wrong[0]) > 4.5 * error


QUICK = Settings(60, 0.02, num_draws=8, elbo_draws=2)


@pytest.mark.parametrize(("x", "y"), [(X[:1], Y[:1]), (X, np.full(30, 0.7)), (X * 0, Y)])
def test_odd_data_have_a_q_and_a_batch_beyond_the_data_is_all_of_them(x, y):
    net = regression(2, (3,), dist.LogNormal(-1.0, 0.5))
    found = [
        fit(jax.random.key(0), net, net.data(x, y), QUICK._replace(batch_size=size))
        for size in (None, 1000)
    ]
    assert found[0].predict(X).shape == (1, 8, 30, 2)
    np.testing.assert_array_equal(found[0].predict(X), found[1].predict(X))


def test_numbers_change_without_compiling_anew():
    traced = []

    def count(h):
        traced.append(1)
        return jnp.tanh(h)

    counts = []
    for i in range(2):
        net = regression(2, [3], 0.3, activation=count)
        settings = QUICK._replace(temperature=1.0 + i, learning_rate=0.01 * (1 + i))
        fit(jax.random.key(i), net, net.data(X + i, Y), settings)
        counts.append(len(traced))
    assert counts[0] == counts[1]


def test_a_search_that_breaks_down_says_where_and_others_are_kept(monkeypatch):
    net = regression(2, (3,), 0.3)
    data = net.data(X, Y)
    with pytest.raises(FitError, match=r"mean-field VI failed: broke down at step \d+"):
        fit(jax.random.key(0), net, data, QUICK._replace(learning_rate=1e30))
    init = Network.init

    def some_bad(self, rng_key):
        drawn = init(self, rng_key)
        return jax.tree.map(
            lambda m: jnp.where(drawn.weights.layers[1].bias[0] > 0, m, jnp.nan), drawn
        )

    monkeypatch.setattr(Network, "init", some_bad)
    with pytest.warns(FitWarning, match=r"keeps \d of 6 members: member \d broke down at step 0"):
        found = fit(jax.random.key(0), net, data, QUICK._replace(num_fits=6, num_steps=61))
    assert found.num_chains + len(found.failed) == 6
    assert np.isfinite(found.elbo).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"initial_sd": 0.0}, "initial_sd must be positive"),
        ({"learning_rate": np.nan}, "learning_rate must be positive"),
        ({"gradient": "best"}, "gradient must be one of 'local', 'flipout', 'weights'"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"tempered": "prior"}, "tempered must be one of 'posterior', 'likelihood'"),
    ],
)
def test_bad_settings_are_refused(change, message):
    net = regression(2, (3,), 0.3)
    with pytest.raises(ValueError, match=message):
        fit(jax.random.key(0), net, net.data(X, Y), Settings()._replace(**change))


def test_bad_data_and_starts_are_refused():
    net = regression(2, (3,), 0.3)
    with pytest.raises(ValueError, match="y must be finite everywhere"):
        net.data(X, Y * np.nan)
    start = regression(2, (4,), 0.3).init(jax.random.key(0))
    with pytest.raises(ValueError, match="start must be of shapes"):
        fit(jax.random.key(0), net, net.data(X, Y), QUICK, start=start)


def test_a_fit_whose_elbo_is_not_finite_is_left_out(monkeypatch):
    ends = mean_field._ends

    def one_lost(*args):
        draws, terms = ends(*args)
        return draws, terms.at[len(terms) // 2, 0].set(jnp.nan)

    monkeypatch.setattr(mean_field, "_ends", one_lost)
    net = regression(2, (3,), 0.3)
    settings = QUICK._replace(num_fits=3)
    with pytest.warns(FitWarning, match=r"keeps 2 of 3 members: member 1 diverged: .* to nan"):
        fitted = fit(jax.random.key(0), net, net.data(X, Y), settings)
    assert np.isfinite(fitted.elbo).all()
    assert fitted.num_chains == len(fitted.elbo) == len(fitted.trace) == 2
    assert list(fitted.failed) == [1]
    with pytest.raises(FitError, match=r"mean-field VI failed: diverged: .* to nan"):
        fit(jax.random.key(0), net, net.data(X, Y), settings._replace(num_fits=1))
