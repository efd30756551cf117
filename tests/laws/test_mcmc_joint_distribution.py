"""Every sampler passes Geweke's joint-distribution test on a conjugate model; broken ones do not.

Parameters are drawn from the prior and data from the model; then, in turn, the parameters take some
steps of a kernel whose target is their posterior given the data, and data are drawn anew. The joint
law of both is kept by every step, so in the end the parameters are draws from the prior again
(Geweke 2004). Here the chains are many and independent, so the test is a Kolmogorov-Smirnov test of
the prior (Gandy and Scott 2020), with a false-alarm rate of ALPHA for each of the seven kernels.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import same_law
from bnnbook.mcmc.gibbs import regression_conditionals
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.langevin import MALA
from bnnbook.mcmc.metropolis import Independence, MetropolisHastings, RandomWalk
from bnnbook.mcmc.slice import Slice

pytestmark = pytest.mark.usefixtures("x64")
ALPHA = 1e-6
NUM_CHAINS, NUM_ROUNDS, NUM_STEPS = 10_000, 5, 3
NUM_DATA, SHAPE = 5, 3.0


def draw_prior(rng_key):
    """A mean and a log variance: σ² ~ InverseGamma(3, 2), mean ~ N(0, σ)."""
    for_mean, for_variance = jax.random.split(rng_key)
    variance = 2.0 / jax.random.gamma(for_variance, SHAPE)
    mean = jnp.sqrt(variance) * jax.random.normal(for_mean)
    return jnp.array([mean, jnp.log(variance)])


def draw_data(rng_key, theta):
    return theta[0] + jnp.exp(theta[1] / 2) * jax.random.normal(rng_key, (NUM_DATA,))


def log_joint(y, theta, jacobian=1.0):
    """Log density of data and parameters; in log σ² the prior has the Jacobian σ²."""
    mean, log_variance = theta
    squares = (((y - mean) ** 2).sum() + mean**2) / 2 + 2.0
    return (jacobian - (SHAPE + 1) - (NUM_DATA + 1) / 2) * log_variance - squares * jnp.exp(
        -log_variance
    )


def push(rng_key, x):
    return 0.5 * x + 0.7 * jax.random.normal(rng_key, (2,))


def log_push(new, old):
    return -0.5 * (((new - 0.5 * old) / 0.7) ** 2).sum()


def log_wide(x):
    return -0.5 * (x**2).sum() / 4


KERNELS = {
    "Metropolis-Hastings": lambda target: MetropolisHastings(target, push, log_push),
    "random walk": lambda target: RandomWalk(target, 0.9),
    "independence": lambda target: Independence(
        target, lambda rng_key: 2 * jax.random.normal(rng_key, (2,)), log_wide
    ),
    "MALA": lambda target: MALA(target, 0.5),
    "slice": lambda target: Slice(target, 1.5, max_steps=4),
    "HMC": lambda target: HMC(target, 0.25, 3, jitter=0.2),
}


def p_value(transition):
    """From (rng_key, y, theta) to the next theta: is its stationary law the prior?"""

    def chain(rng_key):
        keys = jax.random.split(rng_key, NUM_ROUNDS + 1)

        def turn(theta, rng_key):
            for_data, for_theta = jax.random.split(rng_key)
            return transition(for_theta, draw_data(for_data, theta), theta), None

        return jax.lax.scan(turn, draw_prior(keys[0]), keys[1:])[0]

    moved = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(0), NUM_CHAINS))
    fresh = jax.vmap(draw_prior)(jax.random.split(jax.random.key(1), 2 * NUM_CHAINS))
    return same_law.p_value(moved, fresh)


def steps_of(make, jacobian=1.0):
    def transition(rng_key, y, theta):
        kernel = make(Partial(log_joint, y, jacobian=jacobian))

        def step(state, rng_key):
            return kernel.step(rng_key, state)[0], None

        keys = jax.random.split(rng_key, NUM_STEPS)
        return jax.lax.scan(step, kernel.init(theta), keys)[0].position

    return transition


@pytest.mark.parametrize("name", KERNELS)
def test_a_sampler_of_the_posterior_gives_the_prior_back(name):
    assert p_value(steps_of(KERNELS[name])) > ALPHA


def gibbs(shape):
    """The posterior given other data needs other blocks, so theirs are built in the trace."""

    def transition(rng_key, y, theta):
        for_b, for_variance = jax.random.split(rng_key)
        blocks = regression_conditionals(np.ones((NUM_DATA, 1)), y, **prior(shape))
        position = {"coefficients": theta[:1], "noise_variance": jnp.exp(theta[1])}
        position["coefficients"] = blocks["coefficients"](for_b, position)
        variance = blocks["noise_variance"](for_variance, position)
        return jnp.array([position["coefficients"][0], jnp.log(variance)])

    return transition


def prior(shape):
    return {"mean": np.zeros(1), "precision": np.eye(1), "shape": shape, "scale": 2.0}


def test_gibbs_gives_the_prior_back():
    assert p_value(gibbs(SHAPE)) > ALPHA


MUTATIONS = {
    "no Hastings ratio": steps_of(lambda target: MetropolisHastings(target, push)),
    "forgotten Jacobian": steps_of(KERNELS["random walk"], jacobian=0.0),
    "another posterior's blocks": gibbs(SHAPE + 0.5),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_sampler_is_found(name):
    assert p_value(MUTATIONS[name]) < ALPHA
