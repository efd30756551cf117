"""An exact sampler passes; too narrow, too wide and leaning ones fail, each in its own way."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from scipy import stats

from bnnbook.evaluation import simulation_based_calibration
from bnnbook.evaluation.simulation_based_calibration import calibrate
from bnnbook.models import flat
from bnnbook.variational import families
from bnnbook.variational.fit import optimise

KEY = jax.random.key(8)


def simulate(key):
    """θ ~ N(0, 1) twice, y ~ N(θ, 1): the posterior is N(y / 2, √½)."""
    theta, noise = jax.random.normal(key, (2, 2))
    return theta, theta + noise


def posterior(factor=1.0, shift=0.0):
    def sample(key, y, num):
        z = jax.random.normal(key, (num, 2))
        return (y / 2 + shift)[None] + factor * jnp.sqrt(0.5) * z

    return sample


def run(sample, num_simulations=500, **settings):
    return calibrate(KEY, simulate, sample, num_simulations=num_simulations, **settings)


def test_numbers_bound_to_a_method_need_no_other_program():
    def shifted(shift, key, y, num):
        return posterior(shift=shift)(key, y, num)

    simulation_based_calibration._rank.clear_cache()
    right, wrong = (run(partial(shifted, shift)) for shift in (0.0, 0.5))
    assert simulation_based_calibration._rank._cache_size() == 1
    assert abs(right.uniformity("x[0]").lean) < 4.5 < abs(wrong.uniformity("x[0]").lean)
    # A whole number may be a length, so it stays one.
    for length in (99, np.int64(99)):
        many = run(partial(lambda length, *rest: posterior()(*rest)[jnp.arange(length)], length))
        assert abs(many.uniformity("x[0]").lean) < 4.5
    # Mutation: as a constant, the number makes another program.
    simulation_based_calibration._rank.clear_cache()
    run(partial(shifted, 0.0))
    run(posterior(shift=0.5))
    assert simulation_based_calibration._rank._cache_size() == 2


def test_an_exact_sampler_passes():
    found = run(posterior(), names=("a", "b"))
    assert found.ranks.shape == (500, 2)
    assert found.ranks.min() >= 0
    assert found.ranks.max() <= 99
    for name in found.names:
        summary = found.uniformity(name, 0.999)
        assert summary.inside
        assert abs(summary.lean) < 4
        assert abs(summary.narrowness) < 4
        assert stats.kstest(found.pit[:, found.names.index(name)], "uniform").pvalue > 1e-4


@pytest.mark.parametrize(
    ("factor", "shift", "lean", "narrowness"),
    [(0.6, 0.0, 0, 1), (1.7, 0.0, 0, -1), (1.0, 0.4, -1, 0), (1.0, -0.4, 1, 0)],
)
def test_a_wrong_posterior_fails_and_the_signs_say_how(factor, shift, lean, narrowness):
    """Mutations: too narrow, too wide, too high, too low."""
    summary = run(posterior(factor, shift)).uniformity("x[0]")
    assert not summary.inside
    for score, sign in ((summary.lean, lean), (summary.narrowness, narrowness)):
        assert sign * score > 4 if sign else abs(score) < 6


def test_ties_are_broken_fairly():
    def coarse(key):
        theta, y = simulate(key)
        return jnp.round(theta), y

    def guess(key, y, num):
        return jnp.round(jax.random.normal(key, (num, 2)))

    def prior_only(key):
        return coarse(key)[0], jnp.zeros(2)

    found = calibrate(KEY, prior_only, guess, num_simulations=500)
    assert found.uniformity("x[0]", 0.999).inside


def correlated(X, y=None):
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    scale = numpyro.sample("scale", dist.Gamma(20.0, 20.0))
    numpyro.sample("y", dist.Normal(X @ b, scale).to_event(1), obs=y)


X = np.column_stack([np.ones(8), 2 + np.linspace(-1, 1, 8)])


@pytest.mark.parametrize(("family", "passes"), [("full", True), ("mean field", False)])
def test_variational_posteriors_are_told_apart(family, passes):
    family = families.full_rank if family == "full" else families.mean_field
    with jax.enable_x64(True):
        target = flat.from_model(correlated, (X, np.zeros(8)))
        draw = flat.simulator(correlated, (X,))
        start = family.init(jnp.asarray(target.start), jnp.asarray(0.3 * target.scale))
        settings = {"optimizer": optax.adam(0.05, b2=0.99), "num_steps": 800, "num_draws": 4}

        def sample(key, data, num):
            density = lambda x: target.log_density_given(x, (X, data["y"]))  # noqa: E731
            keys = jax.random.split(key)
            params = optimise(keys[0], density, family, start, **settings)
            return family.sample(keys[1], params, num)

        found = calibrate(KEY, draw, sample, num_simulations=200, names=target.names)
    assert found.names == ("b[0]", "b[1]", "scale")
    summary = found.uniformity("b[1]", 0.999)
    assert summary.inside == passes
    assert (summary.narrowness > 4) != passes


def test_the_tree_is_for_arviz():
    tree = run(posterior(), num_simulations=20).tree()
    assert tree["posterior"]["x[1]"].shape == (1, 20)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run(posterior(), num_simulations=3), "num_simulations must be a whole number"),
        (lambda: run(lambda k, y, n: jnp.zeros((n, 3))), r"sample must be a function to draws of"),
        (lambda: run(posterior(jnp.nan)), r"finite draws, got others for x\[0\] in simulation 0"),
        (lambda: run(posterior(), names=("a",)), "names must be of length 2"),
        (lambda: run(posterior()).uniformity("c"), "name must be one of"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_simulator_needs_data_that_are_drawn():
    with pytest.raises(ValueError, match="outputs must be sites that the model draws"):
        flat.simulator(correlated, (X, np.zeros(8)))
