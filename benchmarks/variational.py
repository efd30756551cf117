"""ELBO steps per second of ``variational.fit`` beside NumPyro's SVI, in one run on one model.

Both take steps with as many draws, on the same logistic regression (Pima, five coefficients),
with Adam, in float64; compilation is left out on both sides by a first round. The two run in turn,
which goes first changing from pair to pair, and each pair gives a ratio, ours over NumPyro's: above
1, ours is faster. The last line of each block has the median of the ratios, its interval of about
95 % by order statistics, and a verdict: "slower" where the interval lies below 1, "unclear" where
it goes below 0.9 too. Times are processor time, which other work on the machine lengthens less.
Usage: ``python benchmarks/variational.py [num_steps [num_pairs]]``.
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
from bnnbook.models import flat, sites
from bnnbook.models.logistic import logistic_regression
from bnnbook.variational import families
from bnnbook.variational.fit import fit

NUM_DRAWS = 16
PAIRS = {
    "mean field": (families.mean_field, autoguide.AutoNormal),
    "full rank": (families.full_rank, autoguide.AutoMultivariateNormal),
}


def data():
    table = pima.load()
    inputs = table.matrix(["npreg", "glu", "bmi", "ped"])
    z = (inputs - inputs.mean(0)) / inputs.std(0, ddof=1)
    return np.column_stack([np.ones(len(z)), z]), table["type"]


def paired_seconds(num_pairs, *runs):
    """The times of several runs, a row a round; a first round, which compiles, is left out."""
    times = np.empty((num_pairs + 1, len(runs)))
    for i in range(num_pairs + 1):
        for j in range(len(runs))[:: 1 if i % 2 else -1]:
            begin = time.process_time()
            runs[j]()
            times[i, j] = time.process_time() - begin
    return times[1:]


def median_and_interval(values):
    """The median, and the order statistics that hold it with about 95 % whatever the law."""
    ordered, n = np.sort(values), len(values)
    reach = int(np.ceil(0.98 * np.sqrt(n)))
    low, high = max(n // 2 - reach, 0), min((n - 1) // 2 + reach, n - 1)
    return np.median(values), ordered[low], ordered[high]


def main(num_steps: int, num_pairs: int) -> None:
    args, prior = data(), {"coefficients": dist.Normal(0.0, 10.0)}
    target, key = flat.from_model(logistic_regression, args, prior), jax.random.key(0)
    arrays, _ = sites.in_force(args, {})
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

        times = paired_seconds(
            num_pairs,
            lambda run=scanned, s=state: jax.block_until_ready(run(s)),
            lambda f=family: fit(key, target, f, **settings),
        )
        times[:, 1] /= 2  # half of it is the check at the end: as many steps of size zero
        theirs, ours = num_steps / np.median(times, axis=0)
        ratio, low, high = median_and_interval(times[:, 0] / times[:, 1])
        verdict = "slower" if high < 1 else "not slower" if low > 0.9 else "unclear"
        print(f"{name}: ours {ours:,.0f} steps per second")
        print(f"{name}: NumPyro's SVI {theirs:,.0f} steps per second")
        print(f"{name}: ratio {ratio:.3f} ({low:.3f} to {high:.3f}, {num_pairs} pairs): {verdict}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # a search this short has not arrived
    with jax.enable_x64(True):
        given = [int(value) for value in sys.argv[1:]]
        main(*given, *(2000, 41)[len(given) :])
