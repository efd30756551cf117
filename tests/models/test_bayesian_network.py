"""One log density for all methods: against NumPyro's, in its symmetries and in its limits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import log_density as numpyro_log_density
from scipy import integrate, stats

from bnnbook.models.bayesian_network import Network, regression
from bnnbook.models.likelihoods import Categorical, Gaussian, HeteroscedasticGaussian
from bnnbook.models.networks import FullyConnected, network

X = np.array([[-1.3, 0.4], [0.2, -0.5], [0.7, 1.0], [1.1, 0.0]])
Y = np.array([0.1, -0.4, 1.0, 0.3])
CLASSES = np.array([0, 2, 1, 2])
NOISE = dist.LogNormal(np.log(0.5), 0.7)
LIKELIHOODS = {
    "known noise": (Gaussian(0.3), Y),
    "unknown noise": (Gaussian(NOISE), Y),
    "changing noise": (HeteroscedasticGaussian(0.3), Y),
    "classes": (Categorical(3), CLASSES),
}


def numpyro_model(x, y, widths, kind, weight_scale, bias_scale, shape):
    """The same network written in NumPyro, with the weights proper."""
    hidden = x
    for layer, units in enumerate([*widths, shape]):
        fan_in = hidden.shape[1]
        size = (fan_in, units)
        prior = dist.Normal(0.0, weight_scale / fan_in**0.5)
        w = numpyro.sample(f"W{layer}", prior.expand(size).to_event(2))
        b = numpyro.sample(f"b{layer}", dist.Normal(0.0, bias_scale).expand([units]).to_event(1))
        hidden = hidden @ w + b[None, :]
        hidden = jnp.tanh(hidden) if layer < len(widths) else hidden
    if kind == "classes":
        numpyro.sample("y", dist.Categorical(logits=hidden), obs=y)
    elif kind == "changing noise":
        numpyro.sample("y", dist.Normal(hidden[:, 0], 0.3 * jnp.exp(hidden[:, 1])), obs=y)
    else:
        sd = 0.3 if kind == "known noise" else numpyro.sample("noise_sd", NOISE)
        numpyro.sample("y", dist.Normal(hidden[:, 0], sd), obs=y)


@pytest.mark.parametrize("kind", LIKELIHOODS)
@pytest.mark.parametrize("widths", [(), (3,), (4, 3)])
def test_the_log_density_is_that_of_a_numpyro_model(kind, widths, x64):
    likelihood, y = LIKELIHOODS[kind]
    net = Network(FullyConnected(2, widths), likelihood, weight_scale=1.7, bias_scale=0.6)
    data = net.data(X, y)
    params = net.draw_prior(jax.random.key(1))
    proper = net.constrained(params)
    arguments = (data.x, data.y, widths, kind, 1.7, 0.6, likelihood.num_outputs)
    theirs, _ = numpyro_log_density(numpyro_model, arguments, {}, proper)
    # Ours is over standardised weights and the log of the noise: theirs gains the Jacobian.
    fan_ins = [2, *widths]
    jacobian = sum(
        proper[f"W{i}"].size * np.log(1.7 / fan_in**0.5) + proper[f"b{i}"].size * np.log(0.6)
        for i, fan_in in enumerate(fan_ins)
    )
    jacobian += float(params.log_noise_sd) if kind == "unknown noise" else 0.0
    assert float(net.log_density(params, data)) == pytest.approx(float(theirs + jacobian), rel=1e-9)
    # Mutation: without the fan-in in the prior.
    other = jacobian - sum(proper[f"W{i}"].size * 0.5 * np.log(h) for i, h in enumerate(fan_ins))
    assert float(theirs + other) != pytest.approx(float(theirs + jacobian), rel=1e-6)


def test_outputs_are_those_of_the_numpyro_network(x64):
    net = regression(2, (4, 3), 0.3, activation="sin", weight_scale=1.4)
    params = net.draw_prior(jax.random.key(2))
    seeded = numpyro.handlers.substitute(network, data=net.constrained(params))
    expected = seeded(jnp.asarray(X), (4, 3), jnp.sin)
    np.testing.assert_allclose(net.outputs(params, jnp.asarray(X))[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_the_vector_is_the_pytree_in_the_order_of_its_names(kind):
    likelihood, y = LIKELIHOODS[kind]
    net = Network(FullyConnected(2, (3,)), likelihood, scale_prior=dist.LogNormal(0.0, 0.5))
    data, params = net.data(X, y), net.draw_prior(jax.random.key(0))
    vector, flat = net.ravel(params), net.flat(data)
    assert len(vector) == net.num_parameters == net.describe()["total"] == flat.dimension
    assert jax.tree.all(jax.tree.map(jnp.array_equal, net.unravel(vector), params))
    named = dict(zip(flat.names, vector, strict=True))
    assert named["W0[1, 2]"] == params.weights.layers[0].weight[1, 2]
    assert named["b1[0]"] == params.weights.layers[1].bias[0]
    assert named["log_scales[1, 0]"] == params.log_scales[1, 0]
    assert float(flat.log_density(vector)) == float(net.log_density(params, data))
    given = flat.log_density_given(vector, (data.x, data.y))
    assert float(given) == float(net.log_density(params, data))


def test_minibatches_are_unbiased(x64):
    net = regression(2, (3,), NOISE)
    data, params = net.data(X, Y), net.draw_prior(jax.random.key(0))
    flat, vector = net.flat(data), net.ravel(params)
    rows = [jnp.array([i, j]) for i in range(4) for j in range(4)]
    mean = np.mean([float(flat.log_density_of_rows(vector, chosen)) for chosen in rows])
    assert mean == pytest.approx(float(net.log_density(params, data)), rel=1e-12)
    # Mutation: the likelihood of a few rows, not scaled up.
    batch = type(data)(data.x[:2], data.y[:2])
    short = [net.log_density(params, type(data)(data.x[r], data.y[r])) for r in rows]
    assert np.mean(short) != pytest.approx(float(net.log_density(params, data)), rel=1e-3)
    assert float(net.log_density(params, batch, num_rows=4)) != float(mean)


def test_powers_temper_the_prior_and_the_likelihood(x64):
    net = regression(2, (3,), NOISE)
    data, params = net.data(X, Y), net.draw_prior(jax.random.key(0))
    prior = float(net.log_prior(params))
    likelihood = float(net.log_likelihood(params, *data).sum())
    tempered = net.log_density(params, data, prior_power=0.5, likelihood_power=2.0)
    assert float(tempered) == pytest.approx(0.5 * prior + 2 * likelihood, rel=1e-12)


def test_standardising_undoes_the_module(x64):
    net = regression(2, (4, 3), NOISE, scale_prior=dist.LogNormal(0.0, 0.5), bias_scale=0.2)
    params = net.draw_prior(jax.random.key(0))
    back = net.standardised(net.module(params), params)
    np.testing.assert_allclose(net.ravel(back), net.ravel(params), rtol=1e-12)


def moved(params, order, signs):
    """Hidden units of the first layer in another order, some with their signs flipped."""
    first, second = params.weights.layers[:2]
    parts = lambda p: (  # noqa: E731
        p.weights.layers[0].weight,
        p.weights.layers[0].bias,
        p.weights.layers[1].weight,
    )
    flip = signs[order]
    new = (
        first.weight[:, order] * flip[None, :],
        first.bias[order] * flip,
        second.weight[order] * flip[:, None],
    )
    return eqx.tree_at(parts, params, new)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_nothing_changes_where_hidden_units_are_permuted_and_flipped(kind, x64):
    likelihood, y = LIKELIHOODS[kind]
    net = Network(FullyConnected(2, (4, 3)), likelihood)
    data, params = net.data(X, y), net.draw_prior(jax.random.key(3))
    order, signs = jnp.array([2, 0, 3, 1]), jnp.array([1.0, -1.0, -1.0, 1.0])
    other = moved(params, order, signs)
    assert float(jnp.abs(net.ravel(other) - net.ravel(params)).max()) > 0.1
    for function in (lambda p: net.predict(p, data.x), lambda p: net.log_density(p, data)):
        np.testing.assert_allclose(function(other), function(params), rtol=1e-11)
    # Mutation: units with an activation that is not odd cannot be flipped, though permuted.
    relu = Network(FullyConnected(2, (4, 3), "relu"), likelihood)
    params = relu.draw_prior(jax.random.key(3))
    expected = relu.predict(params, data.x)
    permuted = moved(params, order, jnp.ones(4))
    np.testing.assert_allclose(relu.predict(permuted, data.x), expected, rtol=1e-11)
    flipped = moved(params, order, signs)
    assert not np.allclose(relu.predict(flipped, data.x), expected)


def draws_of_f(net, x, num_draws, seed=0):
    keys = jax.random.split(jax.random.key(seed), num_draws)
    x = net.inputs(x)
    f = jax.jit(jax.vmap(lambda key: net.outputs(net.draw_prior(key), x)[:, 0]))(keys)
    return np.asarray(f, np.float64)


def arcsine_kernel(x, weight_scale, bias_scale):
    """The covariance of f for erf units, in closed form (Williams 1998)."""
    inner = weight_scale**2 * (x @ x.T) / x.shape[1] + bias_scale**2
    d = 1 + 2 * np.diag(inner)
    return (
        weight_scale**2 * 2 / np.pi * np.arcsin(2 * inner / np.sqrt(np.outer(d, d))) + bias_scale**2
    )


def arc_cosine_kernel(x, weight_scale, bias_scale):
    """The covariance of f for rectified units, in closed form (Cho and Saul 2009)."""
    inner = weight_scale**2 * (x @ x.T) / x.shape[1] + bias_scale**2
    norms = np.sqrt(np.outer(np.diag(inner), np.diag(inner)))
    angle = np.arccos(np.clip(inner / norms, -1, 1))
    moment = norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    return weight_scale**2 * moment + bias_scale**2


NUM_DRAWS = 20_000


def z_scores(f, kernel):
    """How many standard errors the covariances of draws are off a kernel."""
    products = f[:, :, None] * f[:, None, :]
    error = products.std(axis=0) / len(f) ** 0.5
    return np.abs(products.mean(axis=0) - kernel) / error


@pytest.mark.parametrize(
    ("activation", "kernel"), [("erf", arcsine_kernel), ("relu", arc_cosine_kernel)]
)
@pytest.mark.parametrize("width", [1, 3, 40])
def test_one_hidden_layer_has_the_limits_covariance_at_every_width(activation, kernel, width):
    net = regression(2, (width,), 0.1, activation=activation, weight_scale=1.8, bias_scale=0.7)
    f = draws_of_f(net, X, NUM_DRAWS)
    expected = kernel(X, 1.8, 0.7)
    # Ten distinct entries in six cases, each at 5 standard errors (heavy tails at one unit): a
    # false alarm in some 10,000 runs.
    assert (z_scores(f, expected) < 5).all()
    # Mutation: the other activation's kernel.
    other = {arcsine_kernel: arc_cosine_kernel, arc_cosine_kernel: arcsine_kernel}[kernel]
    assert (z_scores(f, other(X, 1.8, 0.7)) > 5).any()


def excess_kurtosis(net, seed):
    f = draws_of_f(net, X[:1], 200_000, seed)[:, 0]
    return stats.kurtosis(f)


def test_excess_kurtosis_falls_as_one_over_the_width():
    """With H units f is a sum of H independent terms, whose fourth cumulants add: κ(H) = κ(1)/H."""
    widths = np.array([1, 2, 4, 8])
    logs = []
    for seed, width in enumerate(widths):
        # No output bias to speak of, whose normal part would hide in the sum.
        scales = {"weight_scale": 2.0, "bias_scale": (1.0, 1e-6)}
        net = regression(2, (int(width),), 0.1, activation="erf", **scales)
        logs.append(np.log(excess_kurtosis(net, seed)))
    slope = np.polyfit(np.log(widths), logs, 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.15)
    # Mutation: a prior that is not independent over units: a common factor keeps the tails.
    wild = dist.LogNormal(0.0, 0.7)
    logs = [
        np.log(
            excess_kurtosis(regression(2, (h,), 0.1, activation="erf", scale_prior=wild), seed=9)
        )
        for h in (1, 8)
    ]
    assert (logs[1] - logs[0]) / np.log(8) > -0.5


def test_with_two_hidden_layers_the_covariance_converges(x64):
    """The variance of f tends to the limit's; the error falls with the first layer's width."""

    def limit(x, weight_scale=2.0, bias_scale=0.5):
        inner = arcsine_kernel(x, weight_scale, bias_scale)
        d = 1 + 2 * np.diag(inner)
        root = np.sqrt(np.outer(d, d))
        return weight_scale**2 * 2 / np.pi * np.arcsin(2 * inner / root) + bias_scale**2

    expected = limit(X)
    worst = {}
    for width in (1, 30):
        net = regression(2, (width, 20), 0.1, activation="erf", weight_scale=2.0, bias_scale=0.5)
        worst[width] = z_scores(draws_of_f(net, X, 30_000), expected).max()
    assert worst[30] < 5  # ten entries: a false alarm in 100,000 runs, were the limit exact
    assert worst[1] > 8  # at width 1 it is another covariance


def test_the_noises_own_prior_has_its_jacobian(x64):
    net = regression(1, (), NOISE)
    prior = lambda u: float(net.log_prior(eqx.tree_at(at, params, jnp.asarray(u))))  # noqa: E731
    at = lambda p: p.log_noise_sd  # noqa: E731
    params = net.draw_prior(jax.random.key(0))
    rest = prior(0.0) - float(NOISE.log_prob(1.0))
    mass, _ = integrate.quad(lambda u: np.exp(prior(u) - rest), -8, 6)
    assert mass == pytest.approx(1.0, rel=1e-6)


def test_scales_may_differ_between_layers(x64):
    net = regression(2, (4,), 0.1, weight_scale=(3.0, 0.5), bias_scale=(2.0, 0.1))
    params = net.draw_prior(jax.random.key(0))
    proper = net.constrained(params)
    raw = params.weights.layers
    np.testing.assert_allclose(proper["W0"], raw[0].weight * 3.0 / 2**0.5, rtol=1e-12)
    np.testing.assert_allclose(proper["W1"], raw[1].weight * 0.5 / 2, rtol=1e-12)
    np.testing.assert_allclose(proper["b1"], raw[1].bias * 0.1, rtol=1e-12)


def test_any_function_may_be_the_activation():
    net = regression(2, (4,), 0.1, activation=lambda h: h**2)
    assert net.outputs(net.init(jax.random.key(0)), net.inputs(X)).shape == (4, 1)


def test_float32_unless_asked():
    net = regression(2, (4,), NOISE)
    params, data = net.init(jax.random.key(0)), net.data(X, Y)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, data))} == {jnp.dtype("float32")}
    with jax.enable_x64(True):
        leaves = ravel_pytree(net.init(jax.random.key(0)))[0]
        assert leaves.dtype == net.data(X, Y).x.dtype == jnp.dtype("float64")


def test_searches_start_at_a_share_of_a_draw_of_the_prior():
    key, wide = jax.random.key(3), regression(2, (3,), 0.1, weight_scale=4.0)
    share = Network(wide.architecture, wide.likelihood, 4.0, start_scale=0.25)
    drawn = jax.tree.leaves(wide.draw_prior(key))
    for whole, part, one in zip(
        drawn, jax.tree.leaves(share.init(key)), jax.tree.leaves(wide.init(key)), strict=True
    ):
        np.testing.assert_array_equal(one, whole)
        np.testing.assert_array_equal(part, 0.25 * whole)
    # The prior is the same: a start says nothing of what is believed.
    assert share.log_prior(wide.init(key)) == wide.log_prior(wide.init(key))
    with pytest.raises(ValueError, match="start_scale must be positive"):
        Network(wide.architecture, wide.likelihood, start_scale=0.0)


def test_equal_networks_compile_once():
    traced = []

    @eqx.filter_jit
    def density(net, params, data):
        traced.append(1)
        return net.log_density(params, data)

    for seed in range(3):
        net = regression(2, [4], dist.HalfNormal(1.0))
        density(net, net.init(jax.random.key(seed)), net.data(X, Y))
    assert len(traced) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: regression(0, (3,), 0.1), "num_inputs must be a whole number of at least 1"),
        (lambda: regression(2, (3, 0), 0.1), r"widths\[1\] must be a whole number of at least 1"),
        (lambda: regression(2, (3,), -0.1), "noise_sd must be positive and finite, got -0.1"),
        (lambda: regression(2, (3,), dist.Normal(0.0, 1.0)), "noise_sd must be a distribution of"),
        (lambda: regression(2, (3,), dist.Uniform(0.0, 1.0)), "noise_sd must be a distribution of"),
        (lambda: regression(2, (3,), 0.1, activation="gelu"), "activation must be one of 'tanh'"),
        (lambda: regression(2, (3,), 0.1, weight_scale=0.0), "weight_scale must be positive"),
        (lambda: regression(2, (3,), 0.1, weight_scale=(1.0,)), "weight_scale must be one number"),
        (lambda: regression(2, (3,), 0.1, bias_scale=(1.0, np.nan)), r"bias_scale\[1\] must be"),
        (lambda: Categorical(1), "num_classes must be a whole number of at least 2"),
        (lambda: HeteroscedasticGaussian(0.0), "typical_sd must be positive"),
    ],
)
def test_bad_networks_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("likelihood", "x", "y", "message"),
    [
        (Gaussian(0.1), X * np.nan, Y, r"x must be finite everywhere, got nan at index \[0, 0\]"),
        (Gaussian(0.1), X, np.where(Y > 0.9, np.inf, Y), "y must be finite everywhere, got inf"),
        (Gaussian(0.1), X[:, :1], Y, r"x must be of shape \(points, 2\), got \(4, 1\)"),
        (Gaussian(0.1), X[:, 0], Y, r"x must be of shape \(points, 2\), got \(4,\)"),
        (Gaussian(0.1), X, Y[:3], "x has 4, y has 3"),
        (Gaussian(0.1), X[:0], Y[:0], "x must have at least 1 elements"),
        (Categorical(2), X, CLASSES, "y must be whole numbers from 0 to 1"),
        (Categorical(3), X, CLASSES + 0.5, "y must be whole numbers from 0 to 2"),
    ],
)
def test_bad_data_are_refused(likelihood, x, y, message):
    with pytest.raises(ValueError, match=message):
        Network(FullyConnected(2, (3,)), likelihood).data(x, y)


def test_what_the_precision_cannot_hold_is_refused():
    net = regression(1, (3,), 0.3)
    with pytest.raises(ValueError, match=r"x must be between 0 and 3.4e\+38 .*float32.*got 1e\+39"):
        net.data([[0.0], [1e39]], [0.0, 1.0])
    with pytest.raises(ValueError, match=r"y must be between .* got -1e\+39"):
        net.data([[0.0]], [-1e39])
    for likelihood, name in (
        (Gaussian(1e-46), "noise_sd"),
        (HeteroscedasticGaussian(1e-46), "typical_sd"),
    ):
        tiny = Network(net.architecture, likelihood)
        with pytest.raises(ValueError, match=f"{name} must be between 1.2e-38 and .* got 1e-46"):
            tiny.data([[0.0]], [1.0])
        with jax.enable_x64(True):
            tiny.data([[1e39]], [1.0])


@pytest.mark.parametrize(
    ("likelihood", "x", "y", "message"),
    [
        (
            Gaussian(0.3),
            [[1.0], [2.0]],
            [[1.0], [2.0]],
            r"y must be of shape \(n,\).*np.ravel\(y\)",
        ),
        (Categorical(2), [[1.0], [2.0]], ["a", "b"], r"real numbers, .*np.unique\(y, return_inv"),
        (
            Categorical(2),
            [[1.0], [2.0]],
            [1, 2],
            r"numbers from 0 to 1, .*np.unique\(y, return_inv",
        ),
        (
            Gaussian(0.3),
            np.array([[1.0], [2.0]], object),
            [1.0, 2.0],
            r"x must be an array of real numbers, .*np.asarray\(x, float\)",
        ),
    ],
)
def test_the_error_says_what_to_do_with_columns_text_and_objects(likelihood, x, y, message):
    with pytest.raises(ValueError, match=message):
        Network(FullyConnected(1, (3,)), likelihood).data(x, y)
