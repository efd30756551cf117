"""Walks from the whole prior end in all copies of a mode, in equal shares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.evidence import bridge, copies, nested, smc
from bnnbook.evidence.target import from_network
from bnnbook.models.bayesian_network import regression

pytestmark = pytest.mark.usefixtures("x64")
NUM_COPIES = 8


@pytest.fixture(scope="module")
def case():
    network = regression(
        1, (2,), 0.5, activation="erf", weight_scale=(3.0, 1.5), bias_scale=(3.0, 0.5)
    )
    # Few data with much noise: no peak is so narrow that one copy's is found and another's not.
    x, y = np.linspace(-1, 1, 6)[:, None], np.array([-0.9, -0.7, -0.2, 0.3, 0.6, 1.0])
    with jax.enable_x64(True):
        target = from_network(network, network.data(x, y))
        walked = smc.estimate(jax.random.key(1), target, num_particles=64, num_crowds=32)
    return network, target, walked


def even(found):
    """Whether each share is within 4 of its errors of one in eight."""
    return (np.abs(found.value - 1 / NUM_COPIES) < 4 * found.standard_error).all()


def test_points_and_their_folds_are_the_same_function_with_one_label(case):
    network, _, _ = case
    keys = jax.random.split(jax.random.key(2), 400)
    points = np.asarray(jax.vmap(lambda key: network.ravel(network.draw_prior(key)))(keys))
    found = copies.labels(network, points)
    counts = np.bincount(found, minlength=NUM_COPIES)
    assert len(counts) == NUM_COPIES
    # Of the prior too each copy holds one in eight: 4 binomial errors.
    assert np.abs(counts / 400 - 1 / 8).max() < 4 * (7 / 64 / 400) ** 0.5
    there = copies.folded(network, points)
    assert len(np.unique(copies.labels(network, there))) == 1
    x = jnp.linspace(-1, 1, 5)[:, None]
    before, after = (
        jax.vmap(lambda v: network.outputs(network.unravel(v), x))(p) for p in (points, there)
    )
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_smc_ends_in_all_copies_in_equal_shares(case):
    network, _, walked = case
    assert walked.sample.weights.sum() == pytest.approx(1)
    assert even(copies.shares(network, walked.sample))
    # Mutation: as many particles, all in one copy.
    caught = walked.sample._replace(points=copies.folded(network, walked.sample.points))
    assert not even(copies.shares(network, caught))


def test_a_method_that_saw_one_copy_misses_log_eight(case):
    network, target, walked = case
    rng = np.random.default_rng(3)
    flat = walked.sample.points.reshape(-1, target.dimension)
    drawn = flat[rng.choice(len(flat), (4, 500), p=walked.sample.weights.ravel())]
    one = bridge.estimate(jax.random.key(4), target, copies.folded(network, drawn))
    missed = walked.log_evidence - one.log_evidence
    # Up to log 8: copies that touch let the bridge see a part of the others.
    assert 0.5 < missed < np.log(NUM_COPIES) + 0.3
    # Mutation: draws of all copies miss nothing.
    every = bridge.estimate(jax.random.key(4), target, drawn)
    assert abs(walked.log_evidence - every.log_evidence) < 0.4


def test_nested_sampling_passes_through_all_copies(case):
    network, target, walked = case
    found = nested.estimate(jax.random.key(5), target, num_live=200)
    value = copies.shares(network, found.sample).value
    assert value.sum() == pytest.approx(1)
    assert (np.abs(value - 1 / NUM_COPIES) < 4 * copies.drift(1 / NUM_COPIES, found, 200)).all()
    assert abs(found.log_evidence - walked.log_evidence) < 4 * np.hypot(
        found.standard_error, walked.standard_error
    )
