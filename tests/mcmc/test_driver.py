"""The driver runs any kernel over any pytree, compiles once, and says what is wrong."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.mcmc.driver import move, sample
from bnnbook.mcmc.gibbs import Gibbs
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.kernel import AdaptiveKernel, Kernel, carrying_data, check_key
from bnnbook.mcmc.langevin import MALA, SGLD
from bnnbook.mcmc.metropolis import Independence, MetropolisHastings, RandomWalk
from bnnbook.mcmc.nuts import SamplerWarning
from bnnbook.mcmc.slice import Slice
from bnnbook.mcmc.warmup import Tuned

KEY = jax.random.key(0)


def log_normal(x):
    return -0.5 * sum((leaf**2).sum() for leaf in jax.tree.leaves(x))


def noise(rng_key, x=None):
    return {"a": jax.random.normal(rng_key), "b": jax.random.normal(rng_key, (2,))}


def normal_block(name):
    return lambda rng_key, x: jax.random.normal(rng_key, x[name].shape)


KERNELS = [
    MetropolisHastings(log_normal, noise, lambda new, old: log_normal(new)),
    RandomWalk(log_normal),
    Independence(log_normal, noise, log_normal),
    MALA(log_normal),
    Slice(log_normal),
    HMC(log_normal),
    Tuned(HMC(log_normal), dense=True),
    Gibbs({"b": normal_block("b"), "a": normal_block("a")}, log_normal),
    SGLD(log_normal, lambda x, row: 0.0 * row.sum(), jnp.zeros(5), 2),
]
STARTS = {"a": np.zeros(3), "b": np.ones((3, 2))}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
def test_every_kernel_moves_a_pytree_in_the_precision_in_force(kernel, x64):
    with jax.enable_x64(x64):
        tree = sample(KEY, kernel, STARTS, num_samples=20, num_warmup=10)
    dtype = "float64" if x64 else "float32"
    posterior, stats = tree["posterior"], tree["sample_stats"]
    assert posterior["a"].shape == (3, 20)
    assert posterior["b"].shape == (3, 20, 2)
    assert posterior["a"].dtype == posterior["b"].dtype == stats["log_density"].dtype == dtype
    always = {"accept_prob", "log_density", "diverging", "num_density_evaluations"}
    assert always | {"num_gradient_evaluations"} <= set(stats.data_vars)
    assert all(stats[name].shape == (3, 20) for name in stats.data_vars)
    if not isinstance(kernel, SGLD):  # whose statistic is of the place before
        value = -0.5 * (posterior["a"] ** 2 + (posterior["b"] ** 2).sum(axis=2).values)
        np.testing.assert_allclose(stats["log_density"], value, rtol=1e-5)
    assert (tree.attrs["dtype"], tree.attrs["num_chains"]) == (dtype, 3)
    assert isinstance(kernel, Kernel)
    assert isinstance(kernel, AdaptiveKernel) == isinstance(kernel, Tuned)


def test_evaluations_are_counted_and_only_they():
    def evaluations(kernel):
        stats = sample(KEY, kernel, STARTS, 20, 0)["sample_stats"]
        return [int(stats[f"num_{of}_evaluations"].values.max()) for of in ("density", "gradient")]

    assert evaluations(RandomWalk(log_normal)) == [1, 0]
    assert evaluations(MALA(log_normal)) == [0, 1]
    assert evaluations(HMC(log_normal, num_steps=7)) == [0, 7]
    # Three coordinates, each at least two ends of a bracket and one draw from it.
    assert evaluations(Slice(log_normal))[0] >= 9
    # Gibbs needs no density: what it costs is a draw for each block.
    gibbs = Gibbs({"b": normal_block("b"), "a": normal_block("a")}, log_normal)
    assert evaluations(gibbs) == [0, 0]
    assert (sample(KEY, gibbs, STARTS, 20, 0)["sample_stats"]["num_conditional_draws"] == 2).all()


def test_a_kernel_compiles_once_whatever_its_numbers():
    traces = 0

    def counted(x, centre):
        nonlocal traces
        traces += 1
        return -0.5 * ((x - centre) ** 2).sum()

    def kernel(step_size, centre):
        return HMC(jax.tree_util.Partial(counted, centre), step_size, num_steps=3)

    sample(KEY, kernel(0.1, 0.0), np.zeros((2, 3)), 10, 5)
    once = traces
    for i in range(3):
        sample(jax.random.key(i), kernel(0.1 + 0.2 * i, 1.0 * i), np.ones((2, 3)) * i, 10, 5)
    assert traces == once
    # Mutation: other shapes do compile anew.
    sample(KEY, kernel(0.1, 0.0), np.zeros((2, 4)), 10, 5)
    assert traces > once


def test_a_function_that_carries_data_is_told_from_one_that_does_not():
    leaves = jax.tree.leaves(RandomWalk(partial(log_normal, 3.0)))
    assert 3.0 in leaves
    assert jax.tree.leaves(carrying_data(log_normal)) == []
    assert carrying_data(None) is None


def test_runs_repeat_and_keys_and_chains_differ():
    one, same = (sample(KEY, RandomWalk(log_normal), np.zeros(2), 50, 10) for _ in range(2))
    other = sample(jax.random.key(1), RandomWalk(log_normal), np.zeros(2), 50, 10)
    x = one["posterior"]["x"].values
    np.testing.assert_array_equal(x, same["posterior"]["x"])
    assert (x != other["posterior"]["x"].values).mean() > 0.9
    assert (x[0] != x[1]).mean() > 0.9


def test_warm_up_is_thrown_away_and_draws_go_on_from_it():
    far = np.full((2, 1), 50.0)
    walk = RandomWalk(log_normal, 2.0)
    kept = sample(KEY, walk, far, 200, 0)["posterior"]["x"].values
    after = sample(KEY, walk, far, 200, 300)["posterior"]["x"].values
    assert abs(kept[:, 0]).min() > 40
    assert abs(after).max() < 10


def test_draws_are_given_in_the_parameters_asked_for():
    def constrain(position):
        return {"scale": jnp.exp(position["log_scale"])}

    start = {"log_scale": np.zeros(2)}
    kernel = RandomWalk(lambda x: -0.5 * x["log_scale"] ** 2)
    tree = sample(KEY, kernel, start, 100, 0, constrain=constrain)
    raw = sample(KEY, kernel, start, 100, 0)
    exact = np.exp(raw["posterior"]["log_scale"])
    np.testing.assert_allclose(tree["posterior"]["scale"], exact, rtol=1e-5)
    assert [*tree["posterior"].data_vars] == ["scale"]


class Pair(NamedTuple):
    one: np.ndarray
    two: dict


def test_leaves_are_named_by_their_way_from_the_root():
    position = Pair(np.zeros(2), {"deep": [np.zeros((2, 3))]})
    tree = sample(KEY, RandomWalk(log_normal), position, 5, 0)
    assert set(tree["posterior"].data_vars) == {"one", "two.deep.0"}


class Coin(NamedTuple):
    """A kernel by somebody else, with the two functions and no statistic of ours."""

    def init(self, position):
        return State(position)

    def step(self, rng_key, state):
        return State(jax.random.bernoulli(rng_key).astype(int)), Face(jnp.ones(()))


class State(NamedTuple):
    position: jax.Array


class Face(NamedTuple):
    face: jax.Array


def test_anything_that_keeps_the_contract_is_run():
    tree = sample(KEY, jax.tree_util.Partial(Coin)(), np.zeros(2, int), 50, 0)
    assert set(np.unique(tree["posterior"]["x"])) == {0, 1}
    assert [*tree["sample_stats"].data_vars] == ["face"]


def noise_of(rng_key, x):
    return x + jax.random.normal(rng_key, x.shape)


def nan_far_away(new, old):
    return jnp.where(abs(new - old) > 1, jnp.nan, 0.0)


def proposing(propose, log_proposal=None):
    return MetropolisHastings(log_normal, propose, log_proposal)


def outside(x):
    return jnp.where(x > 0, -x, -jnp.inf)


def nan_outside(x):
    return -jnp.sqrt(x)


def below(rng_key, position):
    return -jax.random.exponential(rng_key)


WALK = RandomWalk(log_normal)
NEVER_THERE = Independence(
    log_normal, lambda key: -jax.random.uniform(key), lambda x: jnp.where(x < 0, 0.0, -jnp.inf)
)
SGLD_OUT = SGLD(outside, lambda x, row: 0.0 * row.sum(), jnp.zeros(5), 2, step_size=1.0)
GIBBS_OUT = Gibbs({"a": below}, lambda position: outside(position["a"]))
GIBBS_NAN = Gibbs({"a": lambda rng_key, position: jnp.sqrt(below(rng_key, position))})


@pytest.mark.parametrize(
    ("kernel", "starts", "sizes", "message"),
    [
        (WALK, np.zeros(2), (0, 0), "num_samples must be a whole number of at least 1, got 0"),
        (WALK, np.zeros(2), (10, -1), "num_warmup must be a whole number of at least 0"),
        (WALK, 0.0, (10, 0), "initial_positions must be arrays whose first axis is the chain"),
        (WALK, np.zeros((0, 2)), (10, 0), "whose first axis is the chain"),
        (WALK, {"a": np.zeros(2), "b": np.zeros(3)}, (10, 0), "of one length"),
        (WALK, {}, (10, 0), "whose first axis is the chain"),
        (WALK, np.array([0.0, np.nan]), (10, 0), r"initial_positions\['x'\] must be finite"),
        (WALK, np.zeros(2, int), (10, 0), "position must be of floating-point numbers"),
        (
            RandomWalk(outside),
            np.array([1.0, -1.0]),
            (10, 0),
            "finite log density at every chain's start, got -inf for chain 1 at -1.0: start inside",
        ),
        (RandomWalk(nan_outside), -np.ones(2), (10, 0), "got nan for chain 0"),
        (MALA(nan_outside), np.zeros(2), (10, 0), "finite gradient of the log density"),
        (RandomWalk(lambda x: x), np.zeros((2, 3)), (10, 0), "that returns one number"),
        (log_normal, np.zeros(2), (10, 0), "kernel must be an object with the functions init and"),
        (Tuned(Slice(log_normal)), np.zeros(2), (9, 9), "a kernel whose state has a step size"),
        (Gibbs({"a": normal_block("a")}), {"b": np.zeros(2)}, (9, 9), "of the blocks"),
        (GIBBS_NAN, {"a": np.ones(2)}, (9, 0), "got nan from draw 0.*mend the conditionals"),
        (Slice(log_normal, np.ones(3)), np.zeros((2, 2)), (9, 0), "scale must be of shape"),
        (RandomWalk, np.zeros(2), (9, 0), "kernel must be an object with the functions"),
        (RandomWalk(lambda x: None), np.zeros(2), (9, 0), "that returns one number, got None"),
        (RandomWalk(lambda x: 1j * x), np.zeros(2), (9, 0), "one number, got 'complex"),
        (proposing(lambda key, x: {"a": x}), np.zeros(2), (9, 0), "propose must .*the structure"),
        (proposing(lambda key, x: x[0]), np.zeros((2, 3)), (9, 0), r"propose must .*shape \(3,\)"),
        (proposing(lambda key, x: x + 0.5), np.zeros(2, int), (9, 0), "propose must .*returns int"),
        (
            proposing(noise_of, lambda new, old: new),
            np.zeros((2, 3)),
            (9, 0),
            "log_proposal must be",
        ),
        (
            Independence(log_normal, jax.random.normal, log_normal),
            np.zeros((2, 3)),
            (9, 0),
            "propose",
        ),
        (Gibbs({"a": lambda key, x: jnp.zeros(3)}), {"a": np.zeros(2)}, (9, 0), r"\['a'\] must be"),
    ],
)
def test_bad_input_is_named(kernel, starts, sizes, message):
    with pytest.raises(ValueError, match=message):
        sample(KEY, kernel, starts, *sizes)


@pytest.mark.parametrize(
    ("kernel", "starts", "num_warmup", "message"),
    [
        (WALK, np.zeros(1), 0, "one chain, so R̂ has nothing to compare: take 4"),
        (Tuned(WALK), np.zeros(2), 0, "num_warmup is 0, so nothing was tuned"),
        (RandomWalk(log_normal, 1e4), np.zeros(2), 0, "hardly moved: make step_size smaller"),
        (RandomWalk(nan_outside), np.ones(2), 0, "of 100 steps diverged .a log density of NaN"),
        (proposing(noise_of, nan_far_away), np.ones(2), 0, "of 100 steps diverged"),
        (NEVER_THERE, np.ones(2), 0, "hardly moved.*a proposal with heavier tails"),
        (Slice(nan_outside), np.ones(2), 0, "of 100 steps diverged .a log density of NaN"),
        (SGLD_OUT, np.ones(2), 0, "outside the support.*mend the conditionals.*in unbounded"),
        (GIBBS_OUT, {"a": np.ones(2)}, 0, "of 200 steps were outside the support"),
    ],
)
def test_what_is_wrong_with_a_run_is_told_with_a_remedy(kernel, starts, num_warmup, message):
    with pytest.warns(SamplerWarning, match=message):
        sample(KEY, kernel, starts, 50 if len(starts) > 1 else 100, num_warmup)


def test_a_support_that_is_left_is_no_error():
    draws = sample(KEY, RandomWalk(outside), np.ones(4), 500, 0)["posterior"]["x"].values
    assert draws.min() > 0


def test_proposals_may_be_whole_numbers_truth_values_or_both():
    """Of a truth value b and a count k given it: shares and means by hand; a step keeps types."""

    def log_density(x):
        rate = jnp.where(x["b"], 4.0, 1.0)
        of_k = x["k"] * jnp.log(rate) - rate - jax.scipy.special.gammaln(x["k"] + 1.0)
        return jnp.where(x["k"] >= 0, of_k, -jnp.inf) + jnp.where(x["b"], jnp.log(3.0), 0.0)

    def propose(rng_key, x):
        up, flip = jax.random.bernoulli(rng_key, 0.5, (2,))
        return {"k": x["k"] + 2 * up - 1, "b": x["b"] ^ flip}

    starts = {"k": np.arange(20) % 5, "b": np.arange(20) % 2 == 0}
    draws = sample(KEY, MetropolisHastings(log_density, propose), starts, 5000, 200)["posterior"]
    assert draws["b"].dtype == bool
    assert np.issubdtype(draws["k"].dtype, np.integer)
    for name, exact in (("b", 0.75), ("k", 0.75 * 4 + 0.25)):
        means = draws[name].values.mean(axis=1)
        error = means.std(ddof=1) / np.sqrt(20)  # t with 19 dof: 6.5 at 3e-6
        assert abs(means.mean() - exact) < 6.5 * error
        # Mutation: the two values alike.
        assert abs(means.mean() - {"b": 0.5, "k": 2.5}[name]) > 6.5 * error


@pytest.mark.parametrize("rng_key", [0, None, "a", jax.random.split(KEY, 2), jnp.zeros(2)])
def test_what_is_no_key_is_named(rng_key):
    with pytest.raises(ValueError, match="rng_key must be one JAX key"):
        check_key(rng_key)
    check_key(KEY)
    check_key(jax.random.PRNGKey(0))  # keys of the older kind


@pytest.mark.parametrize("call", [sample, move])
def test_one_key_is_for_all_chains(call):
    with pytest.raises(ValueError, match="rng_key must be one JAX key"):
        call(jax.random.split(KEY, 2), WALK, np.zeros(2), 5)


def test_a_way_back_that_gives_nan_is_named():
    with pytest.raises(ValueError, match=r"must be finite, got nan.*or mend constrain"):
        sample(KEY, WALK, np.zeros(2), 50, 0, constrain=jnp.log)


def test_moving_needs_a_step_a_kernel_and_a_start_inside():
    with pytest.raises(ValueError, match="num_steps must be"):
        move(KEY, WALK, np.zeros(2), 0)
    with pytest.raises(ValueError, match="kernel must be"):
        move(KEY, log_normal, np.zeros(2), 3)
    with pytest.raises(ValueError, match=r"finite log density.*-inf for chain 1 at -1\.0"):
        move(KEY, RandomWalk(outside), np.array([1.0, -1.0]), 3)
    assert move(KEY, WALK, {"a": np.zeros(7)}, 2)["a"].shape == (7,)
