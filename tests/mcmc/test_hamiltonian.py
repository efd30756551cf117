"""The leapfrog keeps volume and can be undone; HMC accepts as theory says; what momentum is for."""

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import integrate

from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.hamiltonian import HMC, Point, leapfrog
from bnnbook.models import targets_2d

DENSE = np.array([[1.0, 0.0], [0.8, 0.6]])


def trajectory(log_density, x, r, scale, num_steps=25, step_size=0.2):
    scale = jnp.asarray(scale, x.dtype)
    point = Point(x, r, *jax.value_and_grad(log_density)(x))

    def onward(_, point):
        return leapfrog(log_density, point, step_size, scale)

    return jax.lax.fori_loop(0, num_steps, onward, point)


TARGETS = [*targets_2d.showcase(), targets_2d.student_t(), targets_2d.unbounded_wedge()]


@pytest.mark.parametrize("scale", [np.array([0.5, 1.2]), DENSE], ids=["diagonal", "dense"])
@pytest.mark.parametrize("target", TARGETS[:3], ids=lambda target: target.name)
def test_the_leapfrog_can_be_undone_and_keeps_volume(x64, target, scale):
    x, r = jnp.array([0.3, -0.7]), jnp.array([1.1, 0.4])
    run = jax.jit(lambda x, r: trajectory(target.log_density, x, r, scale))
    end = run(x, r)
    assert abs(end.x - x).max() > 0.1
    back = run(end.x, -end.r)
    np.testing.assert_allclose(back.x, x, atol=1e-6)
    np.testing.assert_allclose(-back.r, r, atol=1e-6)

    def flow(z):
        point = trajectory(target.log_density, z[:2], z[2:], scale)
        return jnp.concatenate([point.x, point.r])

    jacobian = jax.jit(jax.jacfwd(flow))(jnp.concatenate([x, r]))
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-8)


def test_the_leapfrog_can_be_undone_in_float32():
    density = targets_2d.banana().log_density
    x, r = jnp.array([0.3, -0.7]), jnp.array([1.1, 0.4])
    end = trajectory(density, x, r, np.ones(2), 10, 0.1)
    back = trajectory(density, end.x, -end.r, np.ones(2), 10, 0.1)
    assert back.x.dtype == np.float32
    np.testing.assert_allclose(back.x, x, atol=1e-6)


def test_eulers_method_keeps_no_volume(x64):
    """Mutation: position and momentum moved side by side, and not in turn."""

    def euler(z):
        x, r = z[:2], z[2:]
        gradient = jax.grad(targets_2d.correlated_normal().log_density)(x)
        return jnp.concatenate([x + 0.2 * r, r + 0.2 * gradient])

    jacobian = jax.jacfwd(euler)(jnp.array([0.3, -0.7, 1.1, 0.4]))
    assert abs(np.linalg.det(jacobian) - 1) > 0.01


def test_the_error_of_the_energy_falls_with_the_square_of_the_step(x64):
    density = targets_2d.banana().log_density
    x, r = jnp.array([0.3, -0.7]), jnp.array([1.1, 0.4])
    start = Point(x, r, density(x), x).energy

    def error(num_steps):
        end = trajectory(density, x, r, np.ones(2), num_steps, 2.0 / num_steps)
        return abs(float(end.energy - start))

    assert np.log2(error(100) / error(200)) == pytest.approx(2, abs=0.05)


def acceptance(step_size, num_steps):
    """Of HMC on N(0, 1): the change of energy is a quadratic form, its angle integrated out.

    With x = √(2 e) cos φ, r = √(2 e) sin φ, e exponential and φ uniform, the error of the energy is
    e q(φ), and E min(1, exp(−e q)) is 1 / (1 + q) where q > 0, else 1.
    """
    kick = np.array([[1, 0], [-step_size / 2, 1]])
    step = kick @ np.array([[1, step_size], [0, 1]]) @ kick
    form = np.linalg.matrix_power(step, num_steps)
    form = form.T @ form - np.eye(2)

    def accepted(angle):
        direction = np.array([np.cos(angle), np.sin(angle)])
        return 1 / (1 + max(direction @ form @ direction, 0))

    return integrate.quad(accepted, 0, np.pi, limit=200)[0] / np.pi


@pytest.mark.parametrize(("step_size", "num_steps"), [(1.0, 3), (1.6, 2)])
def test_it_accepts_as_often_as_theory_says(x64, step_size, num_steps):
    starts = 3 * jax.random.normal(jax.random.key(0), (64,))
    kernel = HMC(lambda x: -0.5 * (x / 3) ** 2, step_size, num_steps, scale=3.0)
    tree = sample(jax.random.key(1), kernel, starts, num_samples=1000, num_warmup=0)
    means = tree["sample_stats"]["accept_prob"].values.mean(axis=1)
    error = means.std(ddof=1) / 8
    assert abs(means.mean() - acceptance(step_size, num_steps)) < 4.5 * error
    # Mutation: theory for a step that is a twentieth longer.
    assert abs(means.mean() - acceptance(1.05 * step_size, num_steps)) > 4.5 * error


def log_normal(x):
    return -0.5 * (x**2).sum()


def runs(persistence):
    """Four chains from dispersed starts on a round normal in ten dimensions."""
    starts = 3 * jax.random.normal(jax.random.key(2), (4, 10))
    kernel = HMC(log_normal, 0.3, 5, jitter=0.5, persistence=persistence)
    return sample(jax.random.key(3), kernel, starts, num_samples=2000, num_warmup=500)


def energy_diagnostics(tree):
    energy = tree["sample_stats"]["energy"].values
    return float(az.rhat(energy)), float(az.ess(energy))


def test_energy_that_is_never_refreshed_is_found_by_rhat_and_ess(x64):
    """Mutation: no refreshment of the momentum, which keeps every law and mixes none."""
    rhat, ess = energy_diagnostics(runs(0.0))
    assert rhat < 1.01
    assert ess > 1000
    rhat, ess = energy_diagnostics(runs(1.0))
    assert rhat > 2
    assert ess < 10


def test_partly_refreshed_momentum_still_samples(x64):
    tree = runs(0.5)
    draws = tree["posterior"]["x"].values
    assert energy_diagnostics(tree)[0] < 1.01
    z = (draws**2).mean(axis=(0, 1)) - 1
    mcse = np.array([float(az.mcse(draws[..., i] ** 2)) for i in range(10)])
    assert abs(z / mcse).max() < 4.5


def test_a_trajectory_of_a_whole_turn_goes_nowhere_unless_its_length_is_jittered(x64):
    starts = jax.random.normal(jax.random.key(0), (4, 1))
    settings = {"step_size": 2 * np.pi / 60, "num_steps": 60}

    def ess(jitter):
        kernel = HMC(log_normal, **settings, jitter=jitter)
        tree = sample(jax.random.key(1), kernel, starts, 500, 0)
        return float(az.ess(tree["posterior"]["x"].values[..., 0]))

    assert ess(0.0) < 50
    assert ess(0.5) > 500


def test_a_trajectory_that_leaves_the_target_is_told_of(x64):
    funnel = targets_2d.funnel()
    starts = funnel.draws(jax.random.key(0), 4)
    with pytest.warns(UserWarning, match="steps diverged.*target_accept_prob larger"):
        tree = sample(jax.random.key(1), HMC(funnel.log_density, 0.4, 20), starts, 2000, 0)
    assert np.isfinite(ravel_pytree(tree["posterior"]["x"].values)[0]).all()


def test_a_whole_number_of_steps_may_be_a_float():
    found, same = (
        sample(jax.random.key(0), HMC(log_normal, 0.5, num_steps), jnp.zeros(2), 5, 0)
        for num_steps in (3.0, 3)
    )
    np.testing.assert_array_equal(found["posterior"]["x"], same["posterior"]["x"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1"),
        ({"jitter": 1.5}, "jitter must be a probability"),
        ({"persistence": -0.1}, "persistence must be a probability"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        HMC(log_normal, **settings)
