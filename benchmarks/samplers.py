"""Draws and effective draws a second: our kernels beside NUTS by NumPyro, BlackJAX, PyMC, nutpie.

    nox -s benchmarks -- samplers

Every sampler, in float64, gets the same target, starts, number of chains, warm-up and draws, in one
process, one after the other. A rate is over the second call, when all is compiled, warm-up
included, in seconds of the processor, which other work on the machine does not stretch; `first` is
the first call's. NumPyro's sampler compiles at every call as it is usually called: it is there as
called, and once more compiled as a whole. The ratios are to the latter on the same target: rates
are of this machine at this hour. Effective draws are the least bulk ESS over coordinates; R̂ beside
them tells where they mean nothing.

PyMC and nutpie, which are not installed everywhere, run on one core, PyMC as it is called, with its
compilation each time, nutpie from a compiled model and from starts of its own choosing. That their
target is the same is looked at before they run.
"""

import importlib.util
import logging
import time
import warnings
from functools import partial

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np

from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.langevin import MALA
from bnnbook.mcmc.metropolis import RandomWalk
from bnnbook.mcmc.slice import Slice
from bnnbook.mcmc.warmup import Tuned
from bnnbook.models import targets_2d

CHAINS, WARMUP, DRAWS = 4, 1000, 2000


def round_normal(x):
    return -0.5 * (x**2).sum()


def stretched_normal(scales, x):
    return -0.5 * ((x / scales) ** 2).sum()


def pytensor_correlated(x):
    return -0.5 * (x[0] ** 2 - 1.8 * x[0] * x[1] + x[1] ** 2) / 0.19


def pytensor_banana(x):
    return -0.5 * x[0] ** 2 - 2 * (x[1] - (x[0] ** 2 - 1)) ** 2


SCALES = np.logspace(-1, 1, 30)
TARGETS = {
    "correlated normal, 2": (
        targets_2d.correlated_normal(0.9).log_density,
        2,
        pytensor_correlated,
    ),
    "banana, 2": (targets_2d.banana().log_density, 2, pytensor_banana),
    "round normal, 30": (round_normal, 30, round_normal),
    "scales 0.1 to 10, 30": (
        partial(stretched_normal, SCALES),
        30,
        partial(stretched_normal, SCALES),
    ),
}


def ours(make, target, starts, key):
    return sample(key, make(target), starts, DRAWS, WARMUP)["posterior"]["x"].values


def numpyro_nuts(target, starts, key, keep, *, whole):
    from numpyro.infer import MCMC, NUTS

    kernel = NUTS(potential_fn=lambda x: -target(x))
    settings = {"num_warmup": WARMUP, "num_samples": DRAWS, "num_chains": CHAINS}
    mcmc = MCMC(kernel, **settings, chain_method="vectorized", progress_bar=False)

    def run(key, starts):
        mcmc.run(key, init_params=starts)
        return mcmc.get_samples(group_by_chain=True)

    run = keep.setdefault("run", jax.jit(run) if whole else run)
    return np.asarray(run(key, starts))


def blackjax_nuts(target, starts, key, keep):
    import blackjax

    def chain(key, start):
        for_warmup, for_draws = jax.random.split(key)
        warmup = blackjax.window_adaptation(blackjax.nuts, target)
        (state, settings), _ = warmup.run(for_warmup, start, num_steps=WARMUP)
        step = blackjax.nuts(target, **settings).step

        def one(state, key):
            state, _ = step(key, state)
            return state, state.position

        return jax.lax.scan(one, state, jax.random.split(for_draws, DRAWS))[1]

    if "run" not in keep:
        keep["run"] = jax.jit(jax.vmap(chain))
    return np.asarray(keep["run"](jax.random.split(key, CHAINS), starts))


def pymc_model(target, dimension, formula):
    """The target once more, in PyTensor, after a look that it is the same up to a constant."""
    import pymc

    with pymc.Model() as model:
        x = pymc.Flat("x", shape=dimension)
        pymc.Potential("target", formula(x))
    log_density = model.compile_logp()
    points = np.random.default_rng(0).normal(size=(5, dimension))
    constants = [float(target(jnp.asarray(p))) - float(log_density({"x": p})) for p in points]
    np.testing.assert_allclose(constants, constants[0], atol=1e-8)
    return model


def pymc_nuts(model, starts, key):
    import pymc

    with model:
        tree = pymc.sample(
            DRAWS,
            tune=WARMUP,
            chains=CHAINS,
            cores=1,
            initvals=[{"x": np.asarray(start)} for start in starts],
            init="adapt_diag",
            random_seed=seed_of(key),
            progressbar=False,
            compute_convergence_checks=False,
            nuts_sampler="pymc",
        )
    return tree["posterior"]["x"].values


def nutpie_nuts(model, starts, key, keep):
    import nutpie

    if "run" not in keep:
        keep["run"] = nutpie.compile_pymc_model(model)
    sizes = {"draws": DRAWS, "tune": WARMUP, "chains": CHAINS, "cores": 1}
    tree = nutpie.sample(keep["run"], **sizes, seed=seed_of(key), progress_bar=False)
    return tree["posterior"]["x"].values


def seed_of(key):
    return int(jax.random.randint(key, (), 0, 2**31 - 1))


def installed():
    return [name for name in ("pymc", "nutpie") if importlib.util.find_spec(name)]


def samplers(target, dimension, formula):
    def hmc(log_density):
        return Tuned(HMC(log_density, 0.1, 8, jitter=0.3))

    kernels = {
        "random walk": lambda f: Tuned(RandomWalk(f, 0.5), 0.25),
        "MALA": lambda f: Tuned(MALA(f, 0.3), 0.57),
        "slice": lambda f: Slice(f, 2.0),
        "HMC, 8 steps": hmc,
    }
    found = {
        "NumPyro NUTS, whole": partial(numpyro_nuts, target, keep={}, whole=True),
        "NumPyro NUTS, called": partial(numpyro_nuts, target, keep={}, whole=False),
        "BlackJAX NUTS": partial(blackjax_nuts, target, keep={}),
    }
    others = installed()
    if "pymc" in others:
        model = pymc_model(target, dimension, formula)
        found["PyMC NUTS, called"] = partial(pymc_nuts, model)
        if "nutpie" in others:
            found["nutpie NUTS"] = partial(nutpie_nuts, model, keep={})
    return found | {f"ours: {name}": partial(ours, make, target) for name, make in kernels.items()}


def measured(run, starts, key):
    began = time.process_time()
    run(starts=starts, key=key)
    first = time.process_time() - began
    began = time.process_time()
    draws = run(starts=starts, key=jax.random.fold_in(key, 1))
    seconds = time.process_time() - began
    columns = [draws[..., i] for i in range(draws.shape[-1])]
    ess = min(float(az.ess(column)) for column in columns)
    rhat = max(float(az.rhat(column)) for column in columns)
    return {"first": first, "draws": CHAINS * DRAWS / seconds, "ess": ess / seconds, "rhat": rhat}


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # PyMC tells of every run
    jax.config.update("jax_enable_x64", True)
    for other in sorted({"pymc", "nutpie"} - {*installed()}):
        print(f"{other} is not installed: left out")
    head = ("sampler", "first/s", "draws/s", "ESS/s", "R̂", "draws ratio", "ESS ratio")
    for name, (target, dimension, formula) in TARGETS.items():
        print(f"\n{name} ({CHAINS} chains of {WARMUP} + {DRAWS})")
        print("{:22}{:>9}{:>12}{:>12}{:>7}{:>13}{:>11}".format(*head))
        starts = jax.random.normal(jax.random.key(0), (CHAINS, dimension))
        base = None
        for label, run in samplers(target, dimension, formula).items():
            row = measured(run, starts, jax.random.key(1))
            base = base or row
            numbers = [row["draws"] / base["draws"], row["ess"] / base["ess"]]
            print(
                f"{label:22}{row['first']:9.1f}{row['draws']:12.0f}{row['ess']:12.0f}"
                f"{row['rhat']:7.3f}{numbers[0]:13.2f}{numbers[1]:11.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
