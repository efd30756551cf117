"""A network's prior over functions: its variance is known in closed form with one hidden layer."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import Predictive
from numpyro.infer.util import log_density
from scipy import integrate, stats

from bnnbook.models import networks
from bnnbook.models.bayesian_network import regression
from bnnbook.models.networks import FullyConnected, network, network_regression

X = jnp.array([[-1.3], [0.2], [0.7]])
NUM_DRAWS = 20_000


def prior_draws(widths, weight_scale=2.0, bias_scale=0.5, seed=0):
    model = partial(
        network_regression,
        widths=widths,
        noise_sd=1.0,
        weight_scale=weight_scale,
        bias_scale=bias_scale,
    )
    predict = Predictive(model, num_samples=NUM_DRAWS, return_sites=["f"], parallel=True)
    return np.asarray(predict(jax.random.key(seed), X)["f"], np.float64)


def exact_variance(x, weight_scale=2.0, bias_scale=0.5):
    """Var f(x) = weight_scale² E tanh²(a) + bias_scale², where a is normal, at every width."""
    sd = np.sqrt(weight_scale**2 * x**2 + bias_scale**2)
    second, _ = integrate.quad(
        lambda z: np.tanh(sd * z) ** 2 * stats.norm.pdf(z), -10, 10, epsabs=1e-12
    )
    return weight_scale**2 * second + bias_scale**2


@pytest.mark.parametrize("width", [1, 30])
def test_prior_variance_is_the_exact_one_at_every_width(width):
    squares = prior_draws([width]) ** 2
    error = squares.std(0) / NUM_DRAWS**0.5
    exact = np.array([exact_variance(float(x)) for x in X[:, 0]])
    # Six comparisons in all, each at 4.5 standard errors: a false alarm in 25,000 runs.
    assert np.all(np.abs(squares.mean(0) - exact) < 4.5 * error)
    # Mutation: weights that are not divided by the root of the width.
    unscaled = prior_draws([width], weight_scale=2.0 * width**0.5) ** 2
    assert width == 1 or np.all(np.abs(unscaled.mean(0) - exact) > 4.5 * error)


def weights(widths, seed=3):
    keys = iter(jax.random.split(jax.random.key(seed), 20))
    sizes = [1, *widths, 1]
    made = {}
    for layer, (fan_in, units) in enumerate(pairwise(sizes)):
        made[f"W{layer}"] = jax.random.normal(next(keys), (fan_in, units))
        made[f"b{layer}"] = jax.random.normal(next(keys), (units,))
    return made


def joint(parameters, widths):
    y = jnp.array([0.1, -0.4, 1.0])
    model = partial(network_regression, widths=widths, noise_sd=0.3)
    with jax.enable_x64(True):
        return float(log_density(model, (X, y), {}, parameters)[0])


def test_the_joint_density_is_invariant_to_permuting_and_flipping_hidden_units():
    widths = [4, 3]
    w = weights(widths)
    order, signs = jnp.array([2, 0, 3, 1]), jnp.array([1.0, -1.0, -1.0, 1.0])
    moved = dict(
        w,
        W0=w["W0"][:, order] * signs[None, :],
        b0=w["b0"][order] * signs,
        W1=w["W1"][order] * signs[:, None],
    )
    assert joint(moved, widths) == pytest.approx(joint(w, widths), rel=1e-5)
    # Mutation: a permutation of one layer's weights alone is no symmetry.
    assert joint(dict(w, W0=w["W0"][:, order]), widths) != pytest.approx(joint(w, widths), rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": [0], "noise_sd": 1.0}, r"widths\[0\] must be a whole number of at least 1"),
        ({"widths": [3], "noise_sd": 0.0}, "noise_sd must be positive and finite, got 0.0"),
        ({"widths": [3], "noise_sd": 1.0, "weight_scale": -1.0}, "weight_scale must be positive"),
        ({"widths": [3], "noise_sd": 1.0, "bias_scale": np.nan}, "bias_scale must be positive"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Predictive(partial(network_regression, **options), num_samples=1)(jax.random.key(0), X)


def test_no_hidden_layer_is_a_line():
    predict = Predictive(partial(network, widths=[]), num_samples=1)
    draws = predict(jax.random.key(0), X)
    assert {name: value.shape[1:] for name, value in draws.items()} == {"W0": (1, 1), "b0": (1,)}


def test_sizes_and_scales_are_taken_as_one_gives_them():
    assert FullyConnected(1, [5, 3]) == FullyConnected(1, (5, 3))
    # Here types are checked first; elsewhere these come through.
    (width,) = networks._counts("widths", [5.0])
    assert isinstance(width, int)
    expected = r"widths must be a sequence of whole numbers, such as \(50,\), got 5"
    with pytest.raises(ValueError, match=expected):
        networks._counts("widths", 5)
    assert regression(1, (3,), 0.3, weight_scale=[1.0, 2.0]).weight_scale == (1.0, 2.0)
    with pytest.raises(ValueError, match="bias_scale must be one number, or 2, one a layer"):
        regression(1, (3,), 0.3, bias_scale=[1.0])
