"""MALA accepts as theory says; SGLD is biased by as much as theory says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bnnbook.mcmc.driver import move, sample
from bnnbook.mcmc.langevin import MALA, SGLD

pytestmark = pytest.mark.usefixtures("x64")


def log_normal(x):
    return -0.5 * (x**2).sum()


def acceptance(step_size):
    """Of MALA on N(0, 1): the acceptance probability integrated over x and the noise."""
    x = np.linspace(-8, 8, 1601)[:, None]
    z = x.T
    new = x * (1 - step_size**2 / 2) + step_size * z
    z_back = (x - new * (1 - step_size**2 / 2)) / step_size
    accept_prob = np.exp(np.minimum((x**2 - new**2 + z**2 - z_back**2) / 2, 0))
    return (accept_prob * stats.norm.pdf(x) * stats.norm.pdf(z)).sum() * (x[1, 0] - x[0, 0]) ** 2


def test_mala_accepts_as_often_as_theory_says():
    starts = jax.random.normal(jax.random.key(0), (64, 1))
    tree = sample(jax.random.key(1), MALA(log_normal, 1.5), starts, 500, 0)
    means = tree["sample_stats"]["accept_prob"].values.mean(axis=1)
    error = means.std(ddof=1) / 8
    assert abs(means.mean() - acceptance(1.5)) < 4.5 * error
    # Mutation: theory for a step that is a twentieth longer.
    assert abs(means.mean() - acceptance(1.575)) > 4.5 * error


# N(0, 1) data about a mean with prior N(0, 1): the posterior variance is 1 / (N + 1).
DATA = np.random.default_rng(0).normal(0.5, 1.0, 99)
VARIANCE = 1 / (len(DATA) + 1)


def log_prior(mean):
    return -0.5 * mean**2


def log_likelihood(mean, rows):
    return -0.5 * ((rows - mean) ** 2).sum()


def variance_by_theory(h, batch_size):
    """The linear recursion's: noise h, and (h/2)² V from the gradients, V = N² var(y) / n."""
    gradient_variance = len(DATA) ** 2 * DATA.var() / batch_size
    return VARIANCE * (1 + h * gradient_variance / 4) / (1 - h / (4 * VARIANCE))


def variance_of_draws(h, batch_size):
    kernel = SGLD(log_prior, log_likelihood, jnp.asarray(DATA), batch_size, step_size=h)
    starts = jnp.full(256, DATA.sum() / (len(DATA) + 1))
    tree = sample(jax.random.key(4), kernel, starts, 2500, 100)
    variances = tree["posterior"]["x"].values.var(axis=1)
    # A chain's own mean moves too: add its square about the exact posterior mean.
    variances += (tree["posterior"]["x"].values.mean(axis=1) - starts[0]) ** 2
    return variances.mean(), variances.std(ddof=1) / 16


STEPS = np.array([0.5, 1.0, 2.0, 4.0]) * 1e-3


def test_sgld_at_a_fixed_step_is_biased_in_proportion_to_the_step():
    found = np.array([variance_of_draws(h, 10) for h in STEPS])
    for h, (variance, error) in zip(STEPS, found, strict=True):
        assert abs(variance - variance_by_theory(h, 10)) < 4.5 * error
        assert abs(variance - VARIANCE) > 4.5 * error  # it does not draw from the posterior
        # Mutation: the theory without minibatches, which has a bias ten times as small.
        assert abs(variance - VARIANCE / (1 - h / (4 * VARIANCE))) > 4.5 * error
    relative_bias = found[:, 0] / VARIANCE - 1
    slope = np.polyfit(np.log(STEPS), np.log(relative_bias), 1)[0]
    assert slope == pytest.approx(1, abs=0.1)  # order one, and neither 1/2 nor 2


def variance_of_falling_steps(num_steps, decay):
    """The same recursion step by step, from the start at the posterior mean."""
    gradient_variance = len(DATA) ** 2 * DATA.var() / 10
    variance = 0.0
    for h in STEPS[-1] * (1 + np.arange(num_steps) / 20) ** -decay:
        variance = (1 - h / (2 * VARIANCE)) ** 2 * variance + h + h**2 * gradient_variance / 4
    return variance


@pytest.mark.parametrize("num_steps", [50, 1000])
def test_with_steps_that_fall_the_bias_goes(num_steps):
    mean = DATA.sum() / (len(DATA) + 1)
    data = jnp.asarray(DATA)
    kernel = SGLD(log_prior, log_likelihood, data, 10, STEPS[-1], decay=1.0, delay=20.0)
    moved = move(jax.random.key(4), kernel, jnp.full(1500, mean), num_steps)
    squares = (moved - mean) ** 2
    error = squares.std() / np.sqrt(1500)
    assert abs(squares.mean() - variance_of_falling_steps(num_steps, 1.0)) < 4.5 * error
    # Mutation: steps that do not fall, whose bias stays that of the first.
    assert abs(squares.mean() - variance_of_falling_steps(num_steps, 0.0)) > 4.5 * error
    relative_bias = variance_of_falling_steps(1000, 1.0) / VARIANCE - 1
    assert 0 < relative_bias < (variance_by_theory(STEPS[-1], 10) / VARIANCE - 1) / 10


def test_weights_of_steps_that_fall_are_told():
    kernel = SGLD(log_prior, log_likelihood, jnp.asarray(DATA), 10, 1e-3, decay=0.5, delay=10.0)
    steps = sample(jax.random.key(0), kernel, jnp.zeros(2), 5, 30)["sample_stats"]["step_size"]
    exact = 1e-3 / np.sqrt(1 + (30 + np.arange(5)) / 10)
    np.testing.assert_allclose(steps, np.stack([exact, exact]), rtol=1e-12)


def test_mala_has_no_such_bias():
    def log_density(mean):
        return log_prior(mean) + log_likelihood(mean, jnp.asarray(DATA))

    starts = jnp.full(256, DATA.mean())
    kernel = MALA(log_density, np.sqrt(STEPS[-1]))
    draws = sample(jax.random.key(4), kernel, starts, 2500, 100)["posterior"]["x"].values
    squares = ((draws - DATA.sum() / (len(DATA) + 1)) ** 2).mean(axis=1)
    assert abs(squares.mean() - VARIANCE) < 4.5 * squares.std(ddof=1) / 16


def test_a_step_that_explodes_is_an_error_with_a_remedy():
    kernel = SGLD(log_prior, log_likelihood, jnp.asarray(DATA), 10, step_size=1.0)
    with pytest.raises(ValueError, match=r"draws of 'x' must be finite.*make step_size smaller"):
        sample(jax.random.key(0), kernel, jnp.zeros(4), 1000, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DATA, 0), "batch_size must be a whole number of at least 1"),
        ((DATA, 10, -1.0), "step_size must be positive"),
        ((DATA, 10, 1e-3, 1.5), "decay must be a probability"),
        ((DATA, 10, 1e-3, 0.5, 0.0), "delay must be positive"),
        (({"x": DATA, "y": DATA[1:]}, 10), "must have the same length"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SGLD(log_prior, log_likelihood, *arguments)
