"""One update of a slice sampler: bracket, level, evaluations. Its invariance is in tests/laws."""

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.slice import Slice, draw_from_slice

pytestmark = pytest.mark.usefixtures("x64")


def log_normal(x):
    return -0.5 * (x**2).sum()


def updates(curve, width, max_steps, num_draws=2000):
    """Updates of a chain at 0.3, with every evaluation counted by the sampler itself."""

    def one(rng_key):
        x = jnp.asarray(0.3)
        return draw_from_slice(rng_key, curve, x, curve(x), width, max_steps)

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), num_draws))


@pytest.mark.parametrize("max_steps", [1, 3, 100])
def test_draws_are_inside_a_bracket_that_grows_no_further_than_it_may(max_steps):
    found = updates(lambda x: 0.0 * x, 0.5, max_steps)  # a flat density: the bracket always grows
    reach = abs(found.value - 0.3)
    assert reach.max() < 0.5 * max_steps
    assert reach.max() > 0.4 * max_steps
    # Each end is looked at until it may go no further, and the first draw is in the slice.
    assert (found.num_evaluations == max_steps).all()


def test_a_bounded_density_is_never_left():
    found = updates(lambda x: jnp.where((x > 0) & (x < 1), 0.0, -jnp.inf), 3.0, 10)
    assert found.value.min() > 0
    assert found.value.max() < 1
    # From a flat slice, shrinkage is not quite uniform, but it reaches all of it.
    assert (np.histogram(found.value, bins=10, range=(0, 1))[0] > 100).all()
    np.testing.assert_array_equal(found.log_density, 0)


@pytest.mark.parametrize(("width", "cost"), [(0.05, (30, 100)), (1.0, (5, 6.8)), (50.0, (6.9, 10))])
def test_a_poor_width_costs_evaluations_and_not_correctness(width, cost):
    starts = jax.random.normal(jax.random.key(0), (8, 1))
    tree = sample(jax.random.key(1), Slice(log_normal, width), starts, 1000, 0)
    draws = tree["posterior"]["x"].values[..., 0]
    for power, exact in ((1, 0), (2, 1), (4, 3)):
        assert abs((draws**power).mean() - exact) < 4.5 * float(az.mcse(draws**power))
    # Mutation: a standard deviation of 1.1 would be found.
    assert abs((draws**2).mean() - 1.21) > 4.5 * float(az.mcse(draws**2))
    evaluations = float(tree["sample_stats"]["num_density_evaluations"].mean())
    assert cost[0] < evaluations < cost[1]


def test_a_slice_of_no_width_but_rounding_ends():
    """Float32 at a sharp peak far from zero: the bracket shrinks to one number, and it stops."""
    with jax.enable_x64(False):
        peak = np.float32(1e6)
        kernel = Slice(lambda x: -1e12 * ((x - peak) ** 2).sum(), 10.0)
        tree = sample(jax.random.key(0), kernel, np.full((2, 1), peak), 50, 0)
    np.testing.assert_allclose(tree["posterior"]["x"], peak)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0.0}, "width must be positive and finite"),
        ({"max_steps": 0}, "max_steps must be a whole number of at least 1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Slice(log_normal, **settings)
