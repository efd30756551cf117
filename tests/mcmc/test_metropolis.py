"""Metropolis' kernels balance their flows exactly and accept as often as theory says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.hamiltonian import HMC
from bnnbook.mcmc.langevin import MALA
from bnnbook.mcmc.metropolis import Independence, MetropolisHastings, RandomWalk

pytestmark = pytest.mark.usefixtures("x64")
TARGET = np.array([0.1, 0.4, 0.05, 0.25, 0.2])
PROPOSAL = np.array(
    [
        [0.0, 0.7, 0.1, 0.1, 0.1],
        [0.3, 0.2, 0.3, 0.1, 0.1],
        [0.2, 0.2, 0.2, 0.2, 0.2],
        [0.6, 0.1, 0.1, 0.1, 0.1],
        [0.05, 0.05, 0.1, 0.5, 0.3],
    ]
)
LAW = np.array([0.3, 0.1, 0.2, 0.2, 0.2])


def log_target(x):
    return jnp.log(jnp.asarray(TARGET))[x]


def log_proposal(new, old):
    return jnp.log(jnp.asarray(PROPOSAL))[old, new]


def hastings(proposed, log_proposal=log_proposal):
    return MetropolisHastings(log_target, lambda rng_key, x: jnp.asarray(proposed), log_proposal)


def independence(proposed):
    def log_law(x):
        return jnp.log(jnp.asarray(LAW))[x]

    return Independence(log_target, lambda rng_key: jnp.asarray(proposed), log_law)


def transition_matrix(kernel_that_proposes, proposal):
    """Exact: the kernel's own acceptance probability of each proposal, times its probability."""
    accept_prob = np.zeros_like(proposal)
    for new in range(len(proposal)):
        kernel = kernel_that_proposes(new)
        for old in range(len(proposal)):
            state = kernel.init(jnp.asarray(old))
            accept_prob[old, new] = kernel.step(jax.random.key(0), state)[1].accept_prob
    flow = np.where(proposal > 0, proposal * accept_prob, 0.0)
    np.fill_diagonal(flow, 0.0)
    return flow + np.diag(1 - flow.sum(axis=1))


@pytest.mark.parametrize(
    ("kernel", "proposal"),
    [(hastings, PROPOSAL), (independence, np.tile(LAW, (5, 1)))],
    ids=["Metropolis-Hastings", "independence"],
)
def test_flows_between_any_two_states_balance_to_machine_precision(kernel, proposal):
    transition = transition_matrix(kernel, proposal)
    flow = TARGET[:, None] * transition
    np.testing.assert_allclose(flow, flow.T, rtol=0, atol=1e-16)
    np.testing.assert_allclose(TARGET @ transition, TARGET, rtol=0, atol=1e-15)
    powers = np.linalg.matrix_power(transition, 200)
    np.testing.assert_allclose(powers, np.tile(TARGET, (5, 1)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrong", [None, lambda new, old: log_proposal(old, new)])
def test_a_wrong_hastings_ratio_breaks_the_balance(wrong):
    """Mutation: none, or upside down."""
    transition = transition_matrix(lambda new: hastings(new, wrong), PROPOSAL)
    flow = TARGET[:, None] * transition
    assert abs(flow - flow.T).max() > 0.01
    assert abs(TARGET @ transition - TARGET).max() > 0.01


def log_normal(x):
    return -0.5 * (x**2).sum()


def acceptance(dimension, step_size):
    """A random walk on N(0, I): the mean of 2 Φ(−ε |z| / 2) over z, a quadrature over |z|."""
    radius = stats.chi(dimension)
    return radius.expect(lambda r: 2 * stats.norm.cdf(-step_size * r / 2))


def mean_and_error(values):
    """Mean over independent chains and its standard error."""
    means = values.mean(axis=1)
    return means.mean(), means.std(ddof=1) / np.sqrt(len(means))


@pytest.mark.parametrize(
    ("dimension", "step_size"), [(1, 2.4), (10, 2.38 / np.sqrt(10)), (100, 0.3)]
)
def test_a_random_walk_accepts_as_often_as_theory_says(dimension, step_size):
    starts = jax.random.normal(jax.random.key(0), (64, dimension))
    walk = RandomWalk(log_normal, step_size)
    tree = sample(jax.random.key(1), walk, starts, num_samples=500, num_warmup=0)
    mean, error = mean_and_error(tree["sample_stats"]["accept_prob"].values)
    assert abs(mean - acceptance(dimension, step_size)) < 4.5 * error
    # Mutation: theory for a step that is a tenth longer.
    assert abs(mean - acceptance(dimension, 1.1 * step_size)) > 4.5 * error


def test_theory_of_acceptance_agrees_with_itself():
    # In one dimension the integral is known: 2/π arctan(2/ε) (Gelman, Roberts and Gilks 1996).
    assert acceptance(1, 2.4) == pytest.approx(2 / np.pi * np.arctan(2 / 2.4), abs=1e-8)
    # Step sizes of 2.38/√d tend to the acceptance 2 Φ(−2.38/2), about 0.234.
    limit = 2 * stats.norm.cdf(-2.38 / 2)
    assert acceptance(1000, 2.38 / np.sqrt(1000)) == pytest.approx(limit, abs=1e-3)
    assert limit == pytest.approx(0.234, abs=5e-4)


def test_an_independence_sampler_accepts_as_often_as_theory_says():
    """From N(0, 2) for N(0, 1): an integral of min(p(x) q(x'), p(x') q(x)) in the plane."""
    x = np.linspace(-12, 12, 2401)
    flow = stats.norm.pdf(x)[:, None] * stats.norm.pdf(x, scale=2)
    exact = np.minimum(flow, flow.T).sum() * (x[1] - x[0]) ** 2
    kernel = Independence(
        log_normal,
        lambda rng_key: 2 * jax.random.normal(rng_key, (1,)),
        lambda x: -0.5 * (x**2).sum() / 4,
    )
    starts = jax.random.normal(jax.random.key(0), (64, 1))
    tree = sample(jax.random.key(1), kernel, starts, num_samples=500, num_warmup=0)
    mean, error = mean_and_error(tree["sample_stats"]["accept_prob"].values)
    assert abs(mean - exact) < 4.5 * error
    assert abs(mean - exact) < 0.01


@pytest.mark.parametrize("step_size", [0.0, -1.0, np.nan, "a", None])
def test_a_bad_step_size_is_named(step_size):
    with pytest.raises(ValueError, match="step_size must be positive and finite"):
        RandomWalk(log_normal, step_size)


@pytest.mark.parametrize("scale", [0.0, [1.0, 0.0], np.ones((2, 2)), [[np.nan]], "a", None])
@pytest.mark.parametrize("kernel", [RandomWalk, MALA, HMC])
def test_a_scale_that_squashes_a_direction_is_named(kernel, scale):
    with pytest.raises(ValueError, match="scale must be finite and without a direction"):
        kernel(lambda x: -(x**2).sum(), scale=scale)


@pytest.mark.parametrize("scale", [np.ones(2), np.ones((3, 2))])
def test_a_scale_that_does_not_fit_is_named(scale):
    with pytest.raises(ValueError, match=r"scale must be of shape \(\), \(3,\) or \(3, 3\)"):
        RandomWalk(log_normal, 1.0, scale).init(jnp.zeros(3))
