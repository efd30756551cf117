"""Every exact sampler passes simulation-based calibration; broken ones do not.

Truths are drawn from the prior and data given them; each sampler then draws from the posterior,
from a start that does not know the truth, and the rank of the truth among its draws must be
uniform. Ranks are of each parameter and of the log of the joint density, which tells a sampler that
ignores the data (Modrák et al. 2023). Three tests of each (Kolmogorov-Smirnov, mean, spread) by
Bonferroni have a false-alarm rate of at most ALPHA a sampler, so of 1 in 12,500 for all eight.
Every mutation must be found at the same level.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.tree_util import Partial
from numpyro.infer import MCMC, NUTS
from scipy import stats

from bnnbook.evaluation.simulation_based_calibration import calibrate
from bnnbook.mcmc.gibbs import Gibbs, regression_conditionals
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.kernel import Info, kernel
from bnnbook.mcmc.langevin import MALA
from bnnbook.mcmc.metropolis import Independence, MetropolisHastings, RandomWalk
from bnnbook.mcmc.slice import Slice

pytestmark = pytest.mark.usefixtures("x64")
ALPHA = 1e-5
NUM_SIMULATIONS, NUM_DRAWS = 600, 15
NUM_DATA = 5
PRIOR = {"mean": np.zeros(1), "precision": np.eye(1), "shape": 3.0, "scale": 2.0}
DESIGN = np.ones((NUM_DATA, 1))


def log_joint(y, theta, jacobian=1.0):
    """Log density of data, mean and log σ²: σ² ~ InverseGamma(3, 2), mean ~ N(0, σ)."""
    mean, log_variance = theta
    squares = (((y - mean) ** 2).sum() + mean**2) / 2 + PRIOR["scale"]
    power = jacobian - (PRIOR["shape"] + 1) - (NUM_DATA + 1) / 2
    return power * log_variance - squares * jnp.exp(-log_variance)


def simulate(rng_key):
    """Mean, log σ² and the log of their joint density with the data; the data."""
    for_noise, for_variance = jax.random.split(rng_key)
    # A gamma variable of shape 3, whose own generator compiles for long.
    gamma = jax.random.exponential(for_variance, (3,)).sum()
    sd = jnp.sqrt(PRIOR["scale"] / gamma)
    z = jax.random.normal(for_noise, (1 + NUM_DATA,))
    theta = jnp.array([sd * z[0], 2 * jnp.log(sd)])
    y = theta[0] + sd * z[1:]
    return with_density(y, theta), y


def with_density(y, theta):
    return jnp.append(theta, log_joint(y, theta))


def p_value(sample):
    found = calibrate(
        jax.random.key(21),
        simulate,
        sample,
        num_simulations=NUM_SIMULATIONS,
        num_draws=NUM_DRAWS,
        batch_size=NUM_SIMULATIONS,
    )
    p_values = []
    for i in range(3):
        u = found.pit[:, i]
        # What Uniformity calls lean and narrowness, without its band.
        lean = (u.mean() - 0.5) * np.sqrt(12 * len(u))
        narrowness = (((u - 0.5) ** 2).mean() - 1 / 12) * np.sqrt(180 * len(u))
        p_values += [2 * stats.norm.sf(abs(lean)), 2 * stats.norm.sf(abs(narrowness))]
        p_values.append(stats.kstest(u, "uniform").pvalue)
    return min(1.0, len(p_values) * min(p_values))


def by_kernel(make, every, start=lambda y: jnp.zeros(2), back=lambda position: position):
    """Draws of one chain, each some steps after the last, and the first ten times as many."""

    def sample(rng_key, y, num_draws):
        kernel = make(y)

        def step(state, rng_key):
            return kernel.step(rng_key, state)[0], None

        def draw(state, rng_key):
            state = jax.lax.scan(step, state, jax.random.split(rng_key, every))[0]
            return state, with_density(y, back(state.position))

        keys = jax.random.split(rng_key, num_draws + 10)
        return jax.lax.scan(draw, kernel.init(start(y)), keys)[1][10:]

    return sample


def push(rng_key, x):
    return 0.6 * x + 0.6 * jax.random.normal(rng_key, (2,))


def log_push(new, old):
    return -0.5 * (((new - 0.6 * old) / 0.6) ** 2).sum()


def wide(rng_key):
    return 2 * jax.random.normal(rng_key, (2,))


def log_wide(x):
    return -0.5 * (x**2).sum() / 4


def target(y, jacobian=1.0):
    return Partial(log_joint, y, jacobian=jacobian)


def gibbs(prior):
    return by_kernel(
        lambda y: Gibbs(regression_conditionals(DESIGN, y, **prior)),
        5,
        lambda y: {"coefficients": jnp.zeros(1), "noise_variance": jnp.ones(())},
        lambda at: jnp.array([at["coefficients"][0], jnp.log(at["noise_variance"])]),
    )


def model(y):
    variance = numpyro.sample("variance", dist.InverseGamma(PRIOR["shape"], PRIOR["scale"]))
    mean = numpyro.sample("mean", dist.Normal(0.0, jnp.sqrt(variance)))
    numpyro.sample("y", dist.Normal(mean, jnp.sqrt(variance)).expand([NUM_DATA]), obs=y)


def by_nuts(rng_key, y, num_draws):
    sampler = MCMC(
        NUTS(model),
        num_warmup=150,
        num_samples=4 * num_draws,
        thinning=4,
        num_chains=1,
        progress_bar=False,
    )
    sampler.run(rng_key, y)
    found = sampler.get_samples()
    theta = jnp.stack([found["mean"], jnp.log(found["variance"])], axis=1)
    return jax.vmap(lambda t: with_density(y, t))(theta)


EXACT = {
    "Metropolis-Hastings": by_kernel(lambda y: MetropolisHastings(target(y), push, log_push), 40),
    "random walk": by_kernel(lambda y: RandomWalk(target(y), 0.9), 40),
    "independence": by_kernel(lambda y: Independence(target(y), wide, log_wide), 40),
    "MALA": by_kernel(lambda y: MALA(target(y), 0.6), 30),
    "Gibbs": gibbs(PRIOR),
    "slice": by_kernel(lambda y: Slice(target(y), 1.5), 5),
    "HMC": by_kernel(lambda y: HMC(target(y), 0.3, 4, jitter=0.3), 10),
    "NUTS": by_nuts,
}


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_sampler_passes(name):
    assert p_value(EXACT[name]) > ALPHA


@kernel
class Uncorrected(HMC):
    """Mutation: every trajectory's end is accepted."""

    def step(self, rng_key, state):
        x, r = state.position, jax.random.normal(rng_key, (2,))
        gradient = jax.grad(self.log_density)
        for _ in range(3):
            r = r + 0.25 * gradient(x)
            x = x + 0.5 * r
            r = r + 0.25 * gradient(x)
        return state._replace(position=x), Info(1.0, False)


BROKEN = {
    "no Hastings ratio": by_kernel(lambda y: MetropolisHastings(target(y), push), 40),
    "HMC without acceptance": by_kernel(lambda y: Uncorrected(target(y)), 10),
    "forgotten Jacobian": by_kernel(lambda y: RandomWalk(target(y, 0.0), 0.9), 40),
    "blocks of another prior": gibbs(PRIOR | {"shape": 2.0}),
    "the prior, whatever the data": lambda rng_key, y, num_draws: jax.vmap(
        lambda key: with_density(y, simulate(key)[0][:2])
    )(jax.random.split(rng_key, num_draws)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_sampler_is_found(name):
    assert p_value(BROKEN[name]) < ALPHA
