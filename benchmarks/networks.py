"""ESS of f a second on a 1-50-1 tanh network: ours beside NumPyro, BlackJAX, PyMC and nutpie.

    nox -s benchmarks -- networks

All sample the same posterior, of a network with 50 tanh units on one input with a gap in its data
and unknown noise (152 unknowns), in the standardised coordinates of ``models.bayesian_network``,
with as many chains, warm-up steps and draws, one after the other in one process. JAX runs in
float32, PyMC and nutpie in their float64. A rate is over the first call, compilation included, in
seconds of the clock; the second rate is over the second call in seconds of the processor, which
other work on the machine does not stretch. ESS is the least bulk ESS of f over a grid. Per thousand
gradients after warm-up it tells of the sampler alone, where gradients are counted. ``bias`` is the
largest shift of the posterior mean of f and of the noise's logarithm from the first row's, in
standard errors: above 4 or so one of the two is wrong; where R̂ of f is above 1.01 the ESS means
little. The ratio is ours over that row, of the first rate.

The first rows are the levers: the acceptance aimed at, a mass matrix, tree depth, the precision,
chains one after the other or side by side. MCLMC gets as many gradients as our NUTS. PyMC and
nutpie, which are not installed everywhere, run on one core. Called by hand it takes the number of
draws, 1000 where none is given.
"""

import importlib.util
import logging
import sys
import time
import warnings
from functools import partial

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from bnnbook.bnn import nuts
from bnnbook.evaluation.function_space import mixing
from bnnbook.models.bayesian_network import regression

CHAINS = 4
DRAWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
WARMUP = DRAWS // 2
NOISE = (np.log(0.2), 0.5)


def problem():
    """Data with a gap, the network, and where f is looked at."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-2.0, -0.6, 50), rng.uniform(0.7, 2.0, 50)])
    y = np.sin(2.5 * x) + 0.2 * rng.normal(size=100)
    net = regression(
        1, (50,), dist.LogNormal(*NOISE), weight_scale=(2.0, 1.5), bias_scale=(2.0, 1.0)
    )
    return net, net.data(x[:, None], y), np.linspace(-2.5, 2.5, 50)[:, None]


def ours(net, data, key, **changed):
    settings = nuts.Settings(WARMUP, DRAWS, CHAINS)._replace(**changed)
    state = nuts.start(key, net, data, settings)
    _, run = nuts.advance(net, data, state, settings, WARMUP + DRAWS)
    return run.vectors[:, WARMUP:], int(run.stats["num_steps"].sum())


def in_float64(net, data, key):
    with jax.enable_x64(True):
        return ours(net, net.data(np.asarray(data.x), np.asarray(data.y)), key)


def starts(net, key):
    keys = jax.random.split(key, CHAINS)
    return jax.vmap(lambda key: net.ravel(net.draw_prior(key)))(keys)


def numpyro_default(net, data, key):
    from numpyro.infer import MCMC, NUTS

    kernel = NUTS(potential_fn=lambda z: -net.log_density(net.unravel(z), data))
    sizes = {"num_warmup": WARMUP, "num_samples": DRAWS, "num_chains": CHAINS}
    mcmc = MCMC(kernel, **sizes, chain_method="vectorized", progress_bar=False)
    mcmc.run(key, init_params=starts(net, key))
    return np.asarray(mcmc.get_samples(group_by_chain=True)), None


def blackjax_nuts(net, data, key, keep, **settings):
    import blackjax

    def target(z):
        return net.log_density(net.unravel(z), data)

    def chain(key, start):
        for_warmup, for_draws = jax.random.split(key)
        warmup = blackjax.window_adaptation(blackjax.nuts, target, **settings)
        (state, found), _ = warmup.run(for_warmup, start, num_steps=WARMUP)
        step = blackjax.nuts(target, **found).step

        def one(state, key):
            state, _ = step(key, state)
            return state, state.position

        return jax.lax.scan(one, state, jax.random.split(for_draws, DRAWS))[1]

    if "run" not in keep:
        keep["run"] = jax.jit(lambda keys, z: jax.lax.map(lambda pair: chain(*pair), (keys, z)))
    return np.asarray(keep["run"](jax.random.split(key, CHAINS), starts(net, key))), None


def blackjax_mclmc(net, data, key, keep, num_gradients):
    import blackjax

    def target(z):
        return net.log_density(net.unravel(z), data)

    thin = max(1, num_gradients // (2 * CHAINS * DRAWS))  # two gradients a step
    kernel = blackjax.mcmc.mclmc.build_kernel()

    def chain(key, start):
        for_init, for_tuning, for_draws = jax.random.split(key, 3)
        state = blackjax.mcmc.mclmc.init(start, target, for_init)
        state, found, _ = blackjax.mclmc_find_L_and_step_size(
            kernel, DRAWS * thin, state, for_tuning, target, diagonal_preconditioning=False
        )
        step = blackjax.mclmc(target, L=found.L, step_size=found.step_size).step

        def one(state, key):
            def inner(state, key):
                return step(key, state)[0], None

            state, _ = jax.lax.scan(inner, state, jax.random.split(key, thin))
            return state, state.position

        return jax.lax.scan(one, state, jax.random.split(for_draws, DRAWS))[1]

    if "run" not in keep:
        keep["run"] = jax.jit(lambda keys, z: jax.lax.map(lambda pair: chain(*pair), (keys, z)))
    draws = np.asarray(keep["run"](jax.random.split(key, CHAINS), starts(net, key)))
    return draws, int(1.3 * 2 * CHAINS * DRAWS * thin)


def pymc_model(net, data):
    """The same density in PyTensor, after a look that it is the same up to a constant."""
    import pymc
    import pytensor.tensor as pt

    x, y = np.asarray(data.x, np.float64), np.asarray(data.y, np.float64)
    with pymc.Model() as model:
        z = pymc.Normal("z", shape=151)
        log_sd = pymc.Normal("log_sd", *NOISE)
        first, bias, second = z[:50], z[50:100], z[100:150]
        h = pt.tanh(x * (2.0 * first)[None, :] + (2.0 * bias)[None, :])
        f = h @ (second * 1.5 / 50**0.5) + z[150]
        pymc.Normal("y", f, pt.exp(log_sd), observed=y)
    log_density = model.compile_logp()
    points = np.random.default_rng(0).normal(size=(5, 152))
    theirs = [float(log_density({"z": p[:151], "log_sd": p[151]})) for p in points]
    mine = [float(net.log_density(net.unravel(jnp.asarray(p, jnp.float32)), data)) for p in points]
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)
    return model


def vectors_of(posterior):
    return np.concatenate([posterior["z"].values, posterior["log_sd"].values[..., None]], axis=-1)


def pymc_nuts(model, key):
    import pymc

    sizes = {"draws": DRAWS, "tune": WARMUP, "chains": CHAINS, "cores": 1}
    quiet = {"progressbar": False, "compute_convergence_checks": False}
    with model:
        tree = pymc.sample(**sizes, **quiet, random_seed=seed_of(key), nuts_sampler="pymc")
    return vectors_of(tree["posterior"]), None


def nutpie_nuts(model, key, keep):
    import nutpie

    if "run" not in keep:
        keep["run"] = nutpie.compile_pymc_model(model)
    sizes = {"draws": DRAWS, "tune": WARMUP, "chains": CHAINS, "cores": 1}
    tree = nutpie.sample(keep["run"], **sizes, seed=seed_of(key), progress_bar=False)
    return vectors_of(tree["posterior"]), None


def seed_of(key):
    return int(jax.random.randint(key, (), 0, 2**31 - 1))


def samplers(net, data):
    """From a name to a function of a key, and of the gradients that the first one took."""
    mine = {
        "ours": {},
        "ours, side by side": {"chain_method": "vectorised"},
        "ours, acceptance 0.8": {"target_accept_prob": 0.8},
        "ours, mass matrix": {"adapt_mass_matrix": True},
        "ours, depth 8": {"max_tree_depth": 8},
    }
    found = {name: partial(ours, net, data, **changed) for name, changed in mine.items()}
    found["ours, float64"] = partial(in_float64, net, data)
    found["NumPyro, as it comes"] = partial(numpyro_default, net, data)
    found["BlackJAX NUTS"] = partial(blackjax_nuts, net, data, keep={})
    found["BlackJAX MCLMC"] = partial(blackjax_mclmc, net, data, keep={})
    installed = [name for name in ("pymc", "nutpie") if importlib.util.find_spec(name)]
    for other in sorted({"pymc", "nutpie"} - {*installed}):
        print(f"{other} is not installed: left out")
    if "pymc" in installed:
        model = pymc_model(net, data)
        if "nutpie" in installed:
            found["nutpie"] = partial(nutpie_nuts, model, keep={})
        found["PyMC"] = partial(pymc_nuts, model)
    return found


def measured(run, key, function):
    clock = time.perf_counter()
    vectors, gradients = run(key=key)
    first, clock = time.perf_counter() - clock, time.process_time()
    again, _ = run(key=jax.random.fold_in(key, 1))
    second = time.process_time() - clock
    found, later = (mixing("f", function(draws)) for draws in (vectors, again))
    sums = np.concatenate([function(vectors), vectors[..., -1:]], axis=-1).astype(np.float64)
    return {
        "first": found.worst.bulk_ess / first,
        "again": later.worst.bulk_ess / second,
        "per_gradient": None if gradients is None else 1e3 * found.worst.bulk_ess / gradients,
        "r_hat": found.worst.r_hat,
        "gradients": gradients,
        "mean": sums.mean(axis=(0, 1)),
        "mcse": np.array([float(az.mcse(sums[..., i])) for i in range(sums.shape[-1])]),
    }


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # PyMC tells of every run
    net, data, grid = problem()
    x = net.inputs(grid)
    one = jax.jit(lambda z: net.outputs(net.unravel(z), x)[:, 0])

    def function(vectors):
        flat = jnp.asarray(vectors.reshape(-1, vectors.shape[-1]), jnp.float32)
        f = np.asarray(jax.lax.map(one, flat, batch_size=64))
        return f.reshape(*vectors.shape[:2], -1)

    heads = ("sampler", "ESS/s first", "ESS/CPU s", "ESS/1000 grad", "R̂", "bias", "ratio")
    print(f"{CHAINS} chains of {WARMUP} + {DRAWS}, {net.num_parameters} unknowns, ESS of f")
    print("{:22}{:>13}{:>11}{:>15}{:>8}{:>7}{:>8}".format(*heads))
    base = None
    for label, run in samplers(net, data).items():
        if "MCLMC" in label:
            run = partial(run, num_gradients=base["gradients"])
        row = measured(run, jax.random.key(1), function)
        base = base or row
        error = np.hypot(row["mcse"], base["mcse"])
        bias = np.abs((row["mean"] - base["mean"]) / error).max()
        per = "" if row["per_gradient"] is None else f"{row['per_gradient']:.2f}"
        ratio = base["first"] / row["first"]
        print(
            f"{label:22}{row['first']:13.1f}{row['again']:11.1f}{per:>15}{row['r_hat']:8.3f}"
            f"{bias:7.1f}{ratio:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
