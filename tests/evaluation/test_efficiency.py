"""Effective draws by what they cost: right for chains of known ESS, and counted in full."""

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.datatree import from_draws
from bnnbook.evaluation import efficiency as module
from bnnbook.evaluation.efficiency import efficiency, timed
from bnnbook.mcmc import nuts
from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.gibbs import Gibbs
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.metropolis import RandomWalk
from bnnbook.mcmc.slice import Slice

pytestmark = pytest.mark.usefixtures("x64")
PHI, CHAINS, DRAWS = 0.8, 4, 20_000
EXACT = CHAINS * DRAWS * (1 - PHI) / (1 + PHI)


def autoregressive(seed=0):
    """Chains of correlation φ^k at lag k and variance 1, whose ESS is n (1 − φ) / (1 + φ)."""
    noise = np.random.default_rng(seed).normal(size=(DRAWS, CHAINS))
    x = np.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, DRAWS):
        x[t] = PHI * x[t - 1] + np.sqrt(1 - PHI**2) * noise[t]
    return x.T


def tree_of(draws, density=1, gradient=0, **attrs):
    counts = np.ones(draws.shape[:2], int)
    stats = {
        "num_density_evaluations": density * counts,
        "num_gradient_evaluations": gradient * counts,
    }
    return from_draws(posterior={"x": draws}, sample_stats=stats, attrs=attrs)


def near_exact(value):
    """ArviZ's ESS of such chains has a relative standard deviation of 2.9 % over 40 seeds: off
    by more than 15 % it is for less than one seed in a million."""
    return abs(value / EXACT - 1) < 0.15


def test_effective_draws_by_cost_are_right_for_a_chain_of_known_ess():
    found = efficiency(tree_of(autoregressive(), density=3, gradient=2), seconds=4.0, kind="mean")
    assert near_exact(found.ess)
    assert found.num_draws == CHAINS * DRAWS
    assert found.per_draw == found.ess / (CHAINS * DRAWS)
    assert found.per_density_evaluation == found.ess / (3 * CHAINS * DRAWS)
    assert found.per_gradient_evaluation == found.ess / (2 * CHAINS * DRAWS)
    assert found.per_second == found.ess / 4.0
    # Mutation: the chains taken for one after another in the wrong order, draws across chains.
    shuffled = np.random.default_rng(1).permutation(autoregressive().ravel())
    wrong = efficiency(tree_of(shuffled.reshape(CHAINS, DRAWS)), kind="mean")
    assert not near_exact(wrong.ess)


def test_the_worst_quantity_counts():
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(CHAINS, DRAWS, 2, 2))
    draws[:, :, 1, 0] = autoregressive()
    found = efficiency(tree_of(draws), kind="mean")
    assert found.quantity == "x[1, 0]"
    assert near_exact(found.ess)
    tree = from_draws(
        posterior={"a": draws[..., 0, 0], "b": autoregressive()},
        sample_stats={
            name: np.ones((CHAINS, DRAWS), int) for name in (module.DENSITY, module.GRADIENT)
        },
    )
    assert efficiency(tree).quantity == "b"
    assert efficiency(tree, var_names=["a"]).quantity == "a"


@pytest.mark.parametrize("kind", module.KINDS)
def test_each_kind_is_arvizs(kind):
    draws = autoregressive()
    settings = {"prob": (0.05, 0.95)} if kind == "tail" else {}
    expected = float(az.ess(draws, method=kind, **settings))
    assert efficiency(tree_of(draws), kind=kind).ess == expected


def log_normal(x):
    return -0.5 * (x**2).sum()


STARTS = np.zeros((3, 2))


def test_evaluations_of_draws_and_of_warmup_are_counted_apart():
    def spent(kernel):
        found = efficiency(sample(jax.random.key(0), kernel, STARTS, 50, 20))
        return found[3:7]

    assert spent(RandomWalk(log_normal)) == (150, 0, 60, 0)
    assert spent(HMC(log_normal, 0.5, num_steps=7)) == (0, 1050, 0, 420)
    density, gradient, of_warmup, _ = spent(Slice(log_normal))
    # Two coordinates, each at least two ends of a bracket and one draw from it.
    assert gradient == 0
    assert density >= 150 * 6
    assert of_warmup >= 60 * 6
    tree = sample(jax.random.key(0), Slice(log_normal), STARTS, 50, 20)
    assert density == int(tree["sample_stats"]["num_density_evaluations"].sum())


def test_a_sampler_without_evaluations_has_no_such_ratio():
    blocks = {"a": lambda key, at: jax.random.normal(key)}
    found = efficiency(sample(jax.random.key(0), Gibbs(blocks), {"a": np.zeros(3)}, 50, 0))
    assert found.per_density_evaluation is found.per_gradient_evaluation is found.per_second is None


def test_numpyros_leapfrog_steps_are_gradients():
    def model():
        import numpyro

        numpyro.sample("x", numpyro.distributions.Normal(jnp.zeros(2), 1.0).to_event(1))

    tree = nuts.sample(jax.random.key(0), model, num_warmup=50, num_samples=50, num_chains=2)
    found = efficiency(tree)
    assert found.gradient_evaluations == int(tree["sample_stats"]["num_steps"].sum())
    assert (found.density_evaluations, found.warmup_gradient_evaluations) == (0, None)


def test_the_least_time_counts_and_the_first_run_does_not():
    calls = []
    result, seconds = timed(lambda: calls.append(0) or len(calls), repeats=4)
    assert result == 5
    assert 0 <= seconds < 1


def test_bad_input_is_told():
    draws = np.random.default_rng(0).normal(size=(2, 10))
    for tree, of in (
        (from_draws(posterior={"x": draws}), "group 'sample_stats'"),
        (from_draws(sample_stats={"x": draws}), "group 'posterior'"),
        (from_draws(posterior={"x": draws}, sample_stats={"energy": draws}), "count evaluations"),
        (tree_of(draws[:, :3]), "at least 4 draws"),
        (tree_of(np.ones((2, 10, 2))), r"draws that differ, got 1.0 from every draw of 'x\[0\]'"),
    ):
        with pytest.raises(ValueError, match=of):
            efficiency(tree)
    good = tree_of(draws)
    for wrong, of in (
        ({"kind": "median"}, "kind must be one of 'bulk'"),
        ({"seconds": 0.0}, "seconds must be positive and finite, got 0.0"),
        ({"var_names": ["y"]}, "var_names must be one of 'x', got 'y'"),
        ({"var_names": []}, "number of var_names must be"),
    ):
        with pytest.raises(ValueError, match=of):
            efficiency(good, **wrong)
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1"):
        timed(lambda: None, repeats=0)
