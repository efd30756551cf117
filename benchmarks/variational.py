"""ELBO steps per second of ``variational.fit`` beside NumPyro's SVI, in one run on one model.

Both take steps with as many draws, on the same logistic regression (Pima, five coefficients),
with Adam, in float64; compilation is left out on both sides by running twice. Usage:
``python benchmarks/variational.py [num_steps]``. The last line of each block is the ratio, ours
over NumPyro's: above 1, ours is faster.
"""

import sys
import time
import warnings

import jax
import numpy as np
import numpyro.distributions as dist
import optax
from numpyro.infer import SVI, Trace_ELBO, autoguide

from bnnbook.datasets import pima
from bnnbook.models import flat
from bnnbook.models.logistic import logistic_regression
from bnnbook.variational import families
from bnnbook.variational.fit import fit

NUM_DRAWS, REPEATS = 16, 15
PAIRS = {
    "mean field": (families.mean_field, autoguide.AutoNormal),
    "full rank": (families.full_rank, autoguide.AutoMultivariateNormal),
}


def data():
    table = pima.load()
    inputs = table.matrix(["npreg", "glu", "bmi", "ped"])
    z = (inputs - inputs.mean(0)) / inputs.std(0, ddof=1)
    return np.column_stack([np.ones(len(z)), z]), table["type"]


def seconds(*runs):
    """The least time of each of several runs, taken in turn, after one round that compiles."""
    times = []
    for _ in range(REPEATS + 1):
        row = []
        for run in runs:
            begin = time.perf_counter()
            run()
            row.append(time.perf_counter() - begin)
        times.append(row)
    return np.min(times[1:], axis=0)


def main(num_steps: int) -> None:
    args, prior = data(), {"coefficients": dist.Normal(0.0, 10.0)}
    target, key = flat.from_model(logistic_regression, args, prior), jax.random.key(0)
    arrays, _ = flat.in_force(args, {})
    optimizer = optax.adam(0.01)
    settings = {"num_draws": NUM_DRAWS, "num_steps": num_steps, "optimizer": optimizer}
    settings |= {"tolerance": None, "num_check_draws": 2, "window": num_steps}
    for name, (family, guide) in PAIRS.items():
        svi = SVI(
            logistic_regression,
            guide(logistic_regression),
            optimizer,
            Trace_ELBO(num_particles=NUM_DRAWS),
        )
        # SVI.run compiles anew at each call, so its step is scanned here, as run does it.
        state = svi.init(key, *arrays, **prior)

        @jax.jit
        def scanned(state, svi=svi):
            body = lambda s, _: svi.update(s, *arrays, **prior)  # noqa: E731
            return jax.lax.scan(body, state, length=num_steps)

        theirs, ours = seconds(
            lambda run=scanned, s=state: jax.block_until_ready(run(s)),
            lambda f=family: fit(key, target, f, **settings),
        )
        ours /= 2  # half of it is the check at the end: as many steps of size zero
        print(f"{name}: ours {num_steps / ours:,.0f} steps per second")
        print(f"{name}: NumPyro's SVI {num_steps / theirs:,.0f} steps per second")
        print(f"{name}: ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # a search this short has not arrived
    with jax.enable_x64(True):
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
