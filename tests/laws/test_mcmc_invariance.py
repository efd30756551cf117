"""Every exact kernel leaves its target invariant; broken ones do not.

Exact draws are moved some steps and compared with fresh ones: an invariant law stays as it is,
however slowly a kernel mixes. Each comparison is a test with a false-alarm rate of at most ALPHA
(``same_law``); there are some 50 of them, so all together raise one false alarm in 20,000 suites of
other keys. Every mutation must be found at the same rate.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from jax.tree_util import Partial
from numpyro.infer import NUTS

import same_law
from bnnbook.mcmc.driver import move
from bnnbook.mcmc.gibbs import Gibbs
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.kernel import Info, kernel
from bnnbook.mcmc.langevin import MALA, SGLD
from bnnbook.mcmc.metropolis import Independence, MetropolisHastings, RandomWalk
from bnnbook.mcmc.slice import Slice
from bnnbook.models import targets_2d

pytestmark = pytest.mark.usefixtures("x64")
ALPHA = 1e-6
NUM_DRAWS, NUM_STEPS = 20_000, 6
TARGETS = (
    targets_2d.correlated_normal(0.8),
    targets_2d.wedge(),
    targets_2d.student_t(3.0),
    targets_2d.banana(),
    targets_2d.unbounded_wedge(),
    targets_2d.unbounded_wedge(jacobian=False),
)
LOG_DENSITIES = [target.log_density for target in TARGETS]
GOOD = range(5)
NO_JACOBIAN = 5


def pick(which, x):
    return jax.lax.switch(which, LOG_DENSITIES, x)


def log_density(which):
    """The target as a number, so that a kernel compiles once for all of them."""
    return Partial(pick, jnp.asarray(which))


def push(rng_key, x):
    """A proposal that is not symmetric: it is drawn towards zero."""
    return 0.6 * x + jax.random.normal(rng_key, (2,))


def log_push(new, old):
    return norm.logpdf(new, 0.6 * old).sum()


def wide(rng_key):
    return 3 * targets_2d.student_t(3.0).draw(rng_key)


def log_wide(x):
    return targets_2d.student_t(3.0).log_density(x / 3)


KERNELS = {
    "Metropolis-Hastings": lambda which: MetropolisHastings(log_density(which), push, log_push),
    "random walk": lambda which: RandomWalk(log_density(which), 1.2),
    "independence": lambda which: Independence(log_density(which), wide, log_wide),
    "MALA": lambda which: MALA(log_density(which), 0.9),
    "slice": lambda which: Slice(log_density(which), 1.0, max_steps=3),
    "HMC": lambda which: HMC(log_density(which), 0.5, 4, jitter=0.3),
    "HMC, dense, half the momentum kept": lambda which: HMC(
        log_density(which), 0.4, 3, scale=jnp.array([[1.0, 0.0], [0.8, 0.6]]), persistence=0.5
    ),
}


@functools.cache
def exact_draws(which):
    """Draws to be moved, and fresh ones to compare them with."""
    with jax.enable_x64(True):
        draws = np.asarray(TARGETS[min(which, 4)].draws(jax.random.key(7), 3 * NUM_DRAWS))
    return draws[:NUM_DRAWS], draws[NUM_DRAWS:]


def p_value(kernel, which, num_steps=NUM_STEPS):
    """How likely fresh exact draws are to differ as much from draws that the kernel has moved."""
    start, fresh = exact_draws(which)
    return same_law.p_value(move(jax.random.key(17), kernel, start, num_steps), fresh)


@pytest.mark.parametrize("name", KERNELS)
def test_exact_draws_that_are_moved_keep_their_law(name):
    for which in GOOD:
        assert p_value(KERNELS[name](which), which) > ALPHA, TARGETS[which].name


@jax.jit
def moved_by_nuts(keys, start, which):
    """NumPyro's sampler at a fixed step and mass, compiled once for all targets."""
    settings = {"adapt_step_size": False, "adapt_mass_matrix": False, "max_tree_depth": 4}
    nuts = NUTS(potential_fn=lambda x: -pick(which, x), step_size=0.6, **settings)
    state = nuts.init(keys, 0, init_params=start, model_args=(), model_kwargs={})
    return jax.lax.fori_loop(0, 3, lambda _, s: nuts.sample(s, (), {}), state).z


def nuts_p_value(which):
    start, fresh = exact_draws(which)
    keys = jax.random.split(jax.random.key(17), NUM_DRAWS)
    return same_law.p_value(moved_by_nuts(keys, start, jnp.asarray(which)), fresh)


def test_nuts_keeps_the_law():
    for which in GOOD:
        assert nuts_p_value(which) > ALPHA, TARGETS[which].name
    # Mutation: the forgotten Jacobian.
    assert nuts_p_value(NO_JACOBIAN) < ALPHA


@pytest.mark.parametrize("name", ["random walk", "MALA", "slice", "HMC"])
def test_a_forgotten_jacobian_is_found(name):
    assert p_value(KERNELS[name](NO_JACOBIAN), NO_JACOBIAN) < ALPHA


@kernel
class UncorrectedMALA(MALA):
    """Mutation: the proposal's asymmetry is forgotten, as if it were a random walk."""

    def step(self, rng_key, state):
        x, g = state.position, state.gradient
        for_noise, for_accept = jax.random.split(rng_key)
        new = x + 0.9**2 / 2 * g + 0.9 * jax.random.normal(for_noise, x.shape)
        fresh = self.init(new)
        accepted = jnp.log(jax.random.uniform(for_accept)) < fresh.log_density - state.log_density
        state = jax.tree.map(lambda a, b: jnp.where(accepted, a, b), fresh, state)
        return state, Info(accepted, False)


@kernel
class StaleSlice(Slice):
    """Mutation: the height under the curve is drawn at the chain's first place."""

    def step(self, rng_key, state):
        new, info = super().step(rng_key, state)
        return new._replace(log_density=state.log_density), info


@kernel
class UncorrectedHMC(HMC):
    """Mutation: every trajectory's end is accepted."""

    def step(self, rng_key, state):
        point = trajectory(self, rng_key, state)
        return self.init(point), Info(1.0, False)


def trajectory(self, rng_key, state):
    x, r = state.position, jax.random.normal(rng_key, (2,))
    gradient = jax.grad(self.log_density)
    for _ in range(4):
        r = r + 0.45 * gradient(x)
        x = x + 0.9 * r
        r = r + 0.45 * gradient(x)
    return x


NORMAL = TARGETS[0].log_density
MUTATIONS = {
    "no Hastings ratio": MetropolisHastings(NORMAL, push),
    "Hastings ratio upside down": MetropolisHastings(
        NORMAL, push, lambda new, old: log_push(old, new)
    ),
    "weights without the proposal": MetropolisHastings(NORMAL, lambda key, _: wide(key)),
    "MALA as if symmetric": UncorrectedMALA(NORMAL, 0.9),
    "stale slice": StaleSlice(NORMAL, 1.0, max_steps=3),
    "HMC without acceptance": UncorrectedHMC(NORMAL, 0.9),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_kernel_is_found(name):
    assert p_value(MUTATIONS[name], 0) < ALPHA


def test_invariance_is_not_ergodicity():
    """Without refreshment of the momentum, HMC passes: see test_hamiltonian for what finds it."""
    assert p_value(HMC(log_density(0), 0.5, 4, persistence=1.0), 0) > ALPHA


def test_langevin_dynamics_at_a_fixed_step_is_found():
    nothing = SGLD(NORMAL, lambda x, row: 0.0, jnp.zeros((1, 1)), 1, step_size=0.25)
    assert p_value(nothing, 0, 30) < ALPHA


def normal_block(i):
    def draw(rng_key, position):
        return 0.8 * position["ba"[i]] + 0.6 * jax.random.normal(rng_key)

    return draw


def t_block(i):
    """x given y is t with one degree of freedom more and the scale √((3 + y²) / 4)."""

    def draw(rng_key, position):
        return jax.random.t(rng_key, 4.0) * jnp.sqrt((3 + position["ba"[i]] ** 2) / 4)

    return draw


def wedge_first(rng_key, position):
    return position["b"] + jax.random.exponential(rng_key)


def wedge_second(rng_key, position):
    return position["a"] * jax.random.uniform(rng_key)


GIBBS = {
    0: {"a": normal_block(0), "b": normal_block(1)},
    1: {"a": wedge_first, "b": wedge_second},
    2: {"a": t_block(0), "b": t_block(1)},
}


@kernel
class StaleGibbs(Gibbs):
    """Mutation: all blocks are drawn from the old values of the others."""

    def step(self, rng_key, state):
        keys = jax.random.split(rng_key)
        blocks = zip(keys, self.conditionals.items(), strict=True)
        position = {name: draw(key, state.position) for key, (name, draw) in blocks}
        return state._replace(position=position), Info(1.0, False)


def gibbs_p_value(kernel, which):
    start, fresh = exact_draws(which)
    start = {"a": start[:, 0], "b": start[:, 1]}
    moved = move(jax.random.key(8), kernel, start, NUM_STEPS)
    return same_law.p_value(np.column_stack([moved["a"], moved["b"]]), fresh)


@pytest.mark.parametrize("which", GIBBS)
def test_gibbs_keeps_the_law(which):
    assert gibbs_p_value(Gibbs(GIBBS[which]), which) > ALPHA


def test_blocks_drawn_side_by_side_are_found():
    assert gibbs_p_value(StaleGibbs(GIBBS[0]), 0) < ALPHA


def hop(rng_key, x):
    """One up or down on one axis, and up twice as often as down."""
    for_axis, for_sign = jax.random.split(rng_key)
    step = jnp.where(jax.random.uniform(for_sign) < 2 / 3, 1, -1)
    return x + step * (jnp.arange(2) == jax.random.bernoulli(for_axis))


def log_hop(new, old):
    return jnp.log(jnp.where((new - old).sum() > 0, 2 / 3, 1 / 3))


def lattice_block(i):
    def draw(rng_key, position):
        table = jnp.log(jnp.asarray(targets_2d.lattice_probabilities()))
        other = position["ba"[i]]
        return jax.random.categorical(rng_key, table[:, other] if i == 0 else table[other])

    return draw


@pytest.mark.parametrize(
    ("log_proposal", "right"), [(log_hop, True), (None, False)], ids=["right", "no ratio"]
)
def test_metropolis_hastings_keeps_a_discrete_law(log_proposal, right):
    target = targets_2d.lattice()
    kernel = MetropolisHastings(target.log_density, hop, log_proposal)
    draws = target.draws(jax.random.key(1), NUM_DRAWS)
    moved = move(jax.random.key(2), kernel, draws, NUM_STEPS)
    found = same_law.p_value_of_counts(moved, targets_2d.lattice_probabilities())
    assert (found > ALPHA) == right


def anywhere(rng_key):
    """Smaller numbers more often than larger ones, each coordinate by itself."""
    return jnp.minimum(*jax.random.randint(rng_key, (2, 2), 0, targets_2d.LATTICE))


def log_anywhere(x):
    """The smaller of two dice: k with probability (2 (6 - k) - 1) / 36."""
    return jnp.log(2 * (targets_2d.LATTICE - x) - 1).sum()


@pytest.mark.parametrize(
    ("log_proposal", "right"), [(log_anywhere, True), (lambda x: 0.0, False)], ids=["right", "flat"]
)
def test_an_independence_sampler_keeps_a_discrete_law(log_proposal, right):
    target = targets_2d.lattice()
    kernel = Independence(target.log_density, anywhere, log_proposal)
    moved = move(jax.random.key(2), kernel, target.draws(jax.random.key(1), NUM_DRAWS), NUM_STEPS)
    found = same_law.p_value_of_counts(moved, targets_2d.lattice_probabilities())
    assert (found > ALPHA) == right


@pytest.mark.parametrize(("cls", "right"), [(Gibbs, True), (StaleGibbs, False)])
def test_gibbs_keeps_a_discrete_law(cls, right):
    target = targets_2d.lattice()
    start = target.draws(jax.random.key(1), NUM_DRAWS)
    blocks = cls({"a": lattice_block(0), "b": lattice_block(1)})
    moved = move(jax.random.key(2), blocks, {"a": start[:, 0], "b": start[:, 1]}, 3)
    draws = np.column_stack([moved["a"], moved["b"]])
    found = same_law.p_value_of_counts(draws, targets_2d.lattice_probabilities())
    assert (found > ALPHA) == right


def test_exact_draws_alone_raise_no_alarm():
    """The p-values of the method itself are spread as they should be, or below α too seldom."""
    target = TARGETS[0]
    draws = target.draws(jax.random.key(3), 200_000).reshape(200, 2, 500, 2)
    p_values = np.array([same_law.p_value(*pair) for pair in draws])
    # 200 draws of at most 0.1: 20 expected at most, 40 is 4.7 standard deviations above.
    assert (p_values < 0.1).sum() < 40
