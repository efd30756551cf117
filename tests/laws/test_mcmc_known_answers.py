"""Our kernels on posteriors of many kinds whose answers are known, all by the driver alone.

A tree of arrays of several shapes, heavy tails without a mean, a simplex and a box by way of
unbounded parameters, counts and truth values. What is compared is an expectation over chains that
are long beside their correlation: each has a chance of 7e-6 to be off by 4.5 standard errors, over
independent chains for the discrete, MCSE for the others. Each target has a mutation.
"""

from functools import partial

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.langevin import MALA
from bnnbook.mcmc.metropolis import Independence, MetropolisHastings, RandomWalk
from bnnbook.mcmc.slice import Slice
from bnnbook.mcmc.unbounded import posterior
from bnnbook.mcmc.warmup import Tuned

KEY, Z = jax.random.key(31), 4.5
KERNELS = {
    "random walk": lambda f: Tuned(RandomWalk(f), 0.25),
    "MALA": lambda f: Tuned(MALA(f), 0.57),
    "slice": lambda f: Slice(f, 2.0),
    "HMC": lambda f: Tuned(HMC(f, num_steps=8, jitter=0.3)),
    "HMC, dense": lambda f: Tuned(HMC(f, num_steps=8, jitter=0.3), dense=True),
}


def z_score(draws, exact):
    draws = np.asarray(draws, float)
    return abs(draws.mean() - exact) / float(az.mcse(draws))


def log_mixed(x):
    """A number, a matrix and, in a pair, a shifted vector and two Laplace variables."""
    shifted, laplace = x["pair"]
    squares = x["a"] ** 2 + ((x["m"] - 1) ** 2).sum() / 4 + ((shifted + 3) ** 2).sum()
    return -squares / 2 - jnp.abs(laplace).sum()


@pytest.mark.parametrize("name", ["MALA", "slice", "HMC", "HMC, dense"])
def test_a_tree_of_several_shapes(name):
    starts = {
        "a": np.zeros(4),
        "m": np.ones((4, 2, 3)),
        "pair": (np.full((4, 1), -3.0), np.zeros((4, 2))),
    }
    found = sample(KEY, KERNELS[name](log_mixed), starts, 3000, 1000)["posterior"]
    assert {k: v.shape[2:] for k, v in found.data_vars.items()} == {
        "a": (),
        "m": (2, 3),
        "pair.0": (1,),
        "pair.1": (2,),
    }
    assert z_score(found["a"], 0) < Z
    assert z_score((found["m"][..., 1, 2] - 1) ** 2, 4) < Z
    assert z_score(found["pair.0"][..., 0], -3) < Z
    assert z_score(found["pair.1"][..., 1] ** 2, 2) < Z
    # Mutation: a standard normal where there is a Laplace variable.
    assert z_score(found["pair.1"][..., 1] ** 2, 1) > Z


def log_t(degrees, x):
    return jax.scipy.stats.t.logpdf(x, degrees).sum()


@pytest.mark.parametrize("degrees", [3.0, 1.0])
@pytest.mark.parametrize("name", ["random walk", "slice", "HMC"])
def test_quantiles_of_heavy_tails(degrees, name):
    """Of Cauchy's, too, which has no mean: shares of draws below exact quantiles."""
    starts = np.linspace(-3, 3, 8)[:, None]
    kernel = KERNELS[name](partial(log_t, degrees))
    draws = sample(KEY, kernel, starts, 5000, 1000)["posterior"]["x"].values[..., 0]
    for probability in (0.05, 0.25, 0.75, 0.95):
        below = draws < stats.t(degrees).ppf(probability)
        assert z_score(below, probability) < Z
    # Mutation: a normal of the same quartiles has other tails.
    normal = stats.norm(scale=stats.t(degrees).ppf(0.75) / stats.norm.ppf(0.75))
    assert z_score(draws < normal.ppf(0.005), 0.005) > Z


def simplex():
    numpyro.sample("p", dist.Dirichlet(jnp.array([0.5, 2.0, 6.0])))


def box():
    numpyro.sample("p", dist.Uniform(-2.0, 5.0).expand([2]).to_event(1))


ON_A_SIMPLEX = np.array([0.5, 2.0, 6.0]) / 8.5


@pytest.mark.parametrize("name", ["slice", "HMC"])
@pytest.mark.parametrize(
    ("model", "mean", "square"),
    [(simplex, ON_A_SIMPLEX[1], 6 / (8.5 * 9.5)), (box, 1.5, (125 + 8) / 21)],
    ids=["simplex", "box"],
)
def test_bounded_supports_by_unbounded_parameters(name, model, mean, square):
    target = posterior(KEY, model)
    kernel = KERNELS[name](target.log_density)
    tree = sample(KEY, kernel, target.starts, 3000, 1000, constrain=target.constrain)
    second = tree["posterior"]["p"].values[..., 1]
    assert z_score(second, mean) < Z
    assert z_score(second**2, square) < Z
    # Mutation: a square that is off by a tenth.
    assert z_score(second**2, 0.9 * square) > Z


def off_over_chains(draws, exact):
    """Independent chains: t with 19 degrees of freedom is beyond 6.2 with a chance of 6e-6."""
    means = np.asarray(draws, float).mean(axis=1)
    return abs(means.mean() - exact) / (means.std(ddof=1) / np.sqrt(len(means)))


def log_poisson(x):
    return jnp.where(x >= 0, x * jnp.log(3.5) - jax.scipy.special.gammaln(x + 1.0), -jnp.inf)


def up_or_down(rng_key, x):
    return x + jnp.where(jax.random.bernoulli(rng_key), 1, -1)


@pytest.mark.parametrize("x64", [False, True], ids=["int32", "int64"])
def test_counts(x64):
    with jax.enable_x64(x64):
        kernel = MetropolisHastings(log_poisson, up_or_down)
        draws = sample(KEY, kernel, np.arange(20) % 7, 4000, 200)["posterior"]["x"].values
    assert draws.dtype == ("int64" if x64 else "int32")
    assert off_over_chains(draws, 3.5) < 6.2
    assert off_over_chains(draws == 0, np.exp(-3.5)) < 6.2
    # Mutation: another rate.
    assert off_over_chains(draws, 3.3) > 6.2


def log_bernoulli(x):
    return jnp.where(x, jnp.log(0.3), jnp.log(0.7)).sum()


def flip(rng_key, x):
    return x ^ jax.random.bernoulli(rng_key, 0.5, x.shape)


def toss(rng_key):
    return jax.random.bernoulli(rng_key, 0.5, (3,))


@pytest.mark.parametrize(
    "kernel",
    [
        MetropolisHastings(log_bernoulli, flip),
        Independence(log_bernoulli, toss, lambda x: 0.0),
    ],
    ids=["Metropolis-Hastings", "independence"],
)
def test_truth_values(kernel):
    draws = sample(KEY, kernel, np.zeros((20, 3), bool), 4000, 200)["posterior"]["x"].values
    assert draws.dtype == bool
    for i in range(3):
        assert off_over_chains(draws[..., i], 0.3) < 6.2
        assert off_over_chains(draws[..., i], 0.35) > 6.2  # mutation
