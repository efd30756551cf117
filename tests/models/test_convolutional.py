"""Convolutions are XLA's, permuted channels say the same, and any shape that fits is admitted."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.models import networks
from bnnbook.models.bayesian_network import Network
from bnnbook.models.likelihoods import Categorical
from bnnbook.models.networks import Convolution, LeNet, average_pooling, layers_of, max_pooling


def xla(weight, h):
    axes = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(h, weight, (1, 1), "VALID", dimension_numbers=axes)


@pytest.mark.parametrize("sides", [(9, 8), (10, 8)])  # by single places; by squares of four
@pytest.mark.parametrize("shape", [(5, 5, 1, 6), (3, 5, 2, 4), (3, 2, 4, 7), (1, 1, 3, 2)])
def test_a_convolution_and_its_gradient_are_xlas(shape, sides):
    keys = jax.random.split(jax.random.key(1), 3)
    weight, bias = jax.random.normal(keys[0], shape), jax.random.normal(keys[1], shape[-1:])
    h = jax.random.normal(keys[2], (3, *sides, shape[2]))
    layer = Convolution(weight, bias, shape[0] * shape[1] * shape[2])
    np.testing.assert_allclose(layer(h), xla(weight, h) + bias[None, None, None], atol=2e-5)

    def total(function):
        return jax.grad(lambda w, h: jnp.sum(jnp.sin(function(w, h))), (0, 1))(weight, h)

    for ours, theirs in zip(total(layer.linear), total(xla), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-5)


def test_pooling_is_by_squares_and_leaves_an_odd_end_out():
    h = jnp.arange(15.0).reshape(1, 3, 5, 1)
    assert average_pooling(h)[0, :, :, 0].tolist() == [[3.0, 5.0]]
    assert max_pooling(h)[0, :, :, 0].tolist() == [[6.0, 8.0]]


@pytest.fixture(scope="module")
def plan():
    return LeNet((11, 10, 2), (3, 4), kernel=3, widths=(6, 5), pooling="max")


def test_fan_ins_and_shapes_follow_from_the_plan(plan):
    layers = layers_of(plan.build(jax.random.key(0), 3))
    assert [layer.fan_in for layer in layers] == [18, 27, 4, 6, 5]
    assert [layer.weight.shape for layer in layers] == [
        *((3, 3, 2, 3), (3, 3, 3, 4)),
        *((4, 6), (6, 5), (5, 3)),
    ]


def test_lenet_5_has_the_parameters_that_a_hand_counts():
    network = Network(LeNet(), Categorical(10))
    hand = 5 * 5 * 6 + 6 + 5 * 5 * 6 * 16 + 16 + 256 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10
    assert network.num_parameters == hand
    assert network.num_layers == 5


def test_permuting_channels_leaves_predictions_unchanged(plan):
    module = plan.build(jax.random.key(2), 3)
    x = jax.random.normal(jax.random.key(3), (4, 11, 10, 2))
    order = jnp.array([2, 0, 1])
    first, second = module.convolutions

    def moved(weight_of_second):
        one = Convolution(first.weight[..., order], first.bias[order], first.fan_in)
        two = Convolution(weight_of_second, second.bias, second.fan_in)
        return eqx.tree_at(lambda m: m.convolutions, module, (one, two))(x)

    np.testing.assert_allclose(moved(second.weight[:, :, order]), module(x), rtol=1e-4, atol=1e-4)
    # Mutation: the second layer still reads the old order.
    assert np.abs(moved(second.weight) - module(x)).max() > 0.1


def test_many_points_are_the_same_taken_in_parts(plan, monkeypatch):
    module = plan.build(jax.random.key(2), 3)
    x = jax.random.normal(jax.random.key(3), (11, 11, 10, 2))
    at_once = module(x)
    for size in (4, 11, 1):
        monkeypatch.setattr(networks, "POINTS_AT_ONCE", size)
        np.testing.assert_allclose(module(x), at_once, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (28, 28)}, "input_shape must be rows, columns and channels"),
        ({"input_shape": (12, 12, 1)}, "input_shape must be large enough for 2 convolutions"),
        ({"channels": (0,)}, r"channels\[0\] must be a whole number of at least 1"),
        ({"widths": (3, -1)}, r"widths\[1\] must be"),
        ({"kernel": 0}, "kernel must be"),
        ({"pooling": "sum"}, "pooling must be one of 'average', 'max'"),
        ({"activation": "step"}, "activation must be one of"),
    ],
)
def test_plans_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LeNet(**options)


def test_pictures_of_another_shape_are_refused():
    network = Network(LeNet(), Categorical(10))
    with pytest.raises(ValueError, match=r"x must be of shape \(points, 28, 28, 1\)"):
        network.inputs(np.zeros((3, 28, 28)))
