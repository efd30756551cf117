"""Warm-up hits its target acceptance, learns scales, and changes nothing afterwards."""

from functools import partial

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.langevin import MALA
from bnnbook.mcmc.metropolis import RandomWalk
from bnnbook.mcmc.warmup import DECAY, SHRINKAGE, Moments, Tuned, add, scale_of, window_ends

KEY = jax.random.key(5)
COVARIANCE = np.array([[1.0, 4.5, 0.0], [4.5, 25.0, 0.0], [0.0, 0.0, 1e-4]])


def log_normal(x):
    return -0.5 * x @ jnp.asarray(np.linalg.inv(COVARIANCE), x.dtype) @ x


@pytest.mark.parametrize(
    ("num_warmup", "ends"),
    [
        (1000, [100, 150, 250, 800]),
        (500, [100, 150, 400]),
        (200, [100, 150]),
        (150, [100]),
        (149, []),
        (0, []),
    ],
)
def test_windows_double_until_the_last_phase(num_warmup, ends):
    assert window_ends(num_warmup) == ends


@pytest.mark.parametrize("dense", [False, True])
def test_running_moments_agree_with_numpy(x64, dense):
    draws = np.random.default_rng(0).normal(size=(40, 3)) @ np.linalg.cholesky(COVARIANCE).T
    moments = Moments(jnp.zeros((), int), jnp.zeros(3), jnp.zeros((3, 3) if dense else 3))
    for draw in draws:
        moments = add(moments, jnp.asarray(draw))
    few, before = 1e-3 * 5 / 45, np.array([2.0, 0.1, 5.0])
    covariance = np.cov(draws.T) * 40 / 45 + few * np.diag(before**2)
    scale = np.asarray(scale_of(moments, jnp.diag(before) if dense else jnp.asarray(before)))
    if dense:
        covariance += few * np.diag(np.diag(covariance))
        np.testing.assert_allclose(scale @ scale.T, covariance, rtol=1e-10, atol=1e-12)
    else:
        np.testing.assert_allclose(scale**2, np.diag(covariance), rtol=1e-10)


KERNELS = {"random walk": (RandomWalk, 0.3), "MALA": (MALA, 0.6), "HMC": (HMC, 0.85)}
ORDER = {"random walk": 1, "MALA": 3, "HMC": 2}
"""The error of a proposal's energy goes with this power of the step."""
NUM_LAST = 200
"""Steps of the last phase of 1000."""


def bias_and_sd(name):
    """How far the acceptance that warm-up reaches may be off, at most: in the mean, and by noise.

    One step's acceptance has a variance of at most v = δ(1 − δ). The average of log steps, whose
    last weight is n^-¾, is worth 2 n^¾ steps, so the acceptance reached has variance v / (2 n^¾).
    The log steps wander about their average x with the variance v / (2 |α'| γ √n) of a linear
    recursion of gain 1 / (γ √n), and α(x) is above their mean acceptance by −α''/2 times that. For
    α = 2 Φ(−exp(k x)) (Roberts and Rosenthal 2001), at u with 2 Φ(−u) = δ, this is
    k (1 − u²) v / (4 γ √n).
    """
    target = KERNELS[name][1]
    v, u = target * (1 - target), stats.norm.isf(target / 2)
    bias = ORDER[name] * (1 - u**2) * v / (4 * SHRINKAGE * np.sqrt(NUM_LAST))
    return abs(bias), np.sqrt(v / (2 * NUM_LAST**DECAY))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("step_size", [1e-3, 10.0])
def test_the_target_acceptance_is_met_from_any_first_step(x64, name, step_size):
    cls, target = KERNELS[name]
    kernel = Tuned(cls(log_normal, step_size), target, dense=True)
    starts = np.random.default_rng(0).normal(size=(8, 3)) @ np.linalg.cholesky(COVARIANCE).T
    tree = sample(KEY, kernel, starts, 1000, 1000)
    sample_stats = tree["sample_stats"]
    accepted = sample_stats["accept_prob"].values.mean(axis=1)
    bias, sd = bias_and_sd(name)
    assert abs(accepted - target).max() < bias + 4.5 * sd
    assert abs(accepted.mean() - target) < bias + 4.5 * sd / np.sqrt(8)
    # Mutation: nothing tuned, so that almost all or no proposals are accepted.
    kernel = cls(log_normal, step_size, scale=np.linalg.cholesky(COVARIANCE))
    step = jax.vmap(lambda key, x: kernel.step(key, kernel.init(x))[1].accept_prob)
    off = abs(float(step(jax.random.split(KEY, 8), jnp.asarray(starts)).mean()) - target)
    assert off > bias + 4.5 * sd / np.sqrt(8)
    # Nothing is tuned once draws count, and each chain has tuned for itself.
    steps = sample_stats["step_size"].values
    assert (steps == steps[:, :1]).all()
    assert len(np.unique(steps)) == 8
    assert tree.attrs["method"] == cls.__name__


def test_dense_scales_make_directions_alike(x64):
    """A long narrow target: with the right scales the best step size is near one."""
    starts = np.random.default_rng(0).normal(size=(4, 3)) @ np.linalg.cholesky(COVARIANCE).T

    def step_size(**settings):
        kernel = Tuned(HMC(log_normal, 0.1, 5, jitter=0.3), **settings)
        tree = sample(KEY, kernel, starts, 20, 1000)
        return float(tree["sample_stats"]["step_size"].mean())

    dense, diagonal = step_size(dense=True), step_size()
    none = step_size(adapt_scale=False)
    assert dense > 0.5
    assert dense > 1.5 * diagonal > 3 * none


@pytest.mark.parametrize("dense", [False, True])
def test_other_units_give_the_same_draws(x64, dense):
    """A power of two rescales numbers exactly, so that draws must be equal to the last digit."""
    starts = np.random.default_rng(0).normal(size=(4, 3)) @ np.linalg.cholesky(COVARIANCE).T

    def draws(unit):
        kernel = HMC(partial(log_normal_in, unit), 0.1, 5, scale=unit, jitter=0.3)
        tree = sample(KEY, Tuned(kernel, dense=dense), starts * unit, 50, 300)
        return tree["posterior"]["x"].values / unit

    np.testing.assert_array_equal(draws(1.0), draws(2.0**-20))


def log_normal_in(unit, x):
    return log_normal(x / unit)


@pytest.mark.parametrize(("dimension", "dense"), [(100, False), (20, True)])
def test_scales_a_million_apart_are_learnt_in_float32(dimension, dense):
    sds = np.logspace(-3, 3, dimension)
    starts = np.random.default_rng(0).normal(size=(4, dimension)) * sds
    kernel = Tuned(HMC(partial(log_scaled, sds), 0.1, 10, jitter=0.3), dense=dense)
    draws = sample(KEY, kernel, starts, 500, 1500)["posterior"]["x"].values / sds
    # Of at least 100 effective draws a chain and coordinate, whose squares have variance 2.
    assert abs((draws**2).mean() - 1) < 4.5 * np.sqrt(2 / (dimension * 4 * 100))
    assert max(float(az.rhat(draws[..., i])) for i in range(dimension)) < 1.05


def log_scaled(sds, x):
    return -0.5 * ((x / jnp.asarray(sds, x.dtype)) ** 2).sum()


def test_directions_that_no_draw_has_shown_keep_a_width():
    """In float32 too: draws on one line, far longer than the scale before."""
    line = jnp.array([1.0, 3.0, -2.0]) * 1e4
    moments = Moments(jnp.zeros((), int), jnp.zeros(3), jnp.zeros((3, 3)))
    for t in jnp.linspace(-1, 1, 25):
        moments = add(moments, t * line)
    scale = scale_of(moments, jnp.eye(3))
    assert scale.dtype == np.float32
    assert np.isfinite(scale).all()
    assert np.diag(scale).min() > 0
    # Mutation: Stan's floor, in units of its own.
    floored = moments.squares / 24 * 25 / 30 + 1e-3 * 5 / 30 * jnp.eye(3)
    assert not np.isfinite(jnp.linalg.cholesky(floored)).all()


def test_a_short_warm_up_tunes_the_step_alone(x64):
    tree = sample(KEY, Tuned(HMC(log_normal, 1.0)), np.zeros((4, 3)), 300, 100)
    assert 0.4 < float(tree["sample_stats"]["accept_prob"].mean()) < 0.99


def test_a_target_acceptance_that_is_none_is_named():
    with pytest.raises(ValueError, match="target_accept_prob must be strictly between 0 and 1"):
        Tuned(HMC(log_normal), 1.0)
