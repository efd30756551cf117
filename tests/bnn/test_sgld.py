"""Langevin dynamics: exact on linear networks, its bias included, and nothing fails in silence."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import two_devices
from bnnbook.bnn.sgld import Settings, fit
from bnnbook.bnn.tempering import powers
from bnnbook.models.bayesian_network import regression
from bnnbook.variational.fit import FitError, FitWarning

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 2)) @ [[1.0, 0.4], [0.0, 0.9]]
Y = X @ [0.7, -0.4] + 0.2 + 0.3 * RNG.normal(size=30)
NET = regression(2, (), 0.3, weight_scale=1.7, bias_scale=0.6)
DESIGN = np.column_stack([X, np.ones(30)]) * [1.7 / 2**0.5, 1.7 / 2**0.5, 0.6]
CHAINS = 128
LONG = Settings(num_warmup=300, num_samples=60, thinning=20, num_chains=CHAINS)
QUICK = Settings(num_warmup=10, num_samples=5, thinning=2, num_chains=3)


def exact(temperature=1.0, tempered="posterior"):
    """Mean and precision of the linear network's posterior in standardised coordinates."""
    of_prior, of_likelihood = powers(temperature, tempered)
    precision = of_prior * np.eye(3) + of_likelihood * DESIGN.T @ DESIGN / 0.09
    return np.linalg.solve(precision, of_likelihood * DESIGN.T @ Y / 0.09), precision


def rate_of(a, temperature=1.0, tempered="posterior"):
    """The learning rate at which a is reached in the stiffest direction."""
    return a * 30 / temperature / np.linalg.eigvalsh(exact(temperature, tempered)[1])[-1]


def law_of_draws(settings):
    """The covariance in which the chain itself settles: step, momentum, minibatch and all."""
    mean, precision = exact(settings.temperature, settings.tempered)
    h, beta, eye = settings.learning_rate * settings.temperature / 30, settings.momentum, np.eye(3)
    forward = np.block([[eye - h * precision, beta * eye], [-h * precision, beta * eye]])
    power = powers(settings.temperature, settings.tempered).likelihood_power / 0.09
    residual = Y - DESIGN @ mean
    found = np.zeros((6, 6))
    for _ in range(5000):
        noise = 2 * (1 - beta) * h * eye
        if settings.batch_size is not None:
            spread = found[:3, :3]
            square = residual**2 + np.einsum("ni,ij,nj->n", DESIGN, spread, DESIGN)
            pull, gram = DESIGN.T @ residual / 30, DESIGN.T @ DESIGN / 30
            average = np.outer(pull, pull) + gram @ spread @ gram
            rows = (DESIGN.T * square) @ DESIGN / 30 - average
            noise = noise + (30 * h * power) ** 2 / settings.batch_size * rows
        found = forward @ found @ forward.T + np.kron(np.ones((2, 2)), noise)
    return found[:3, :3]


def vectors(fitted):
    return np.asarray(jax.vmap(jax.vmap(NET.ravel))(fitted.params))


def z_scores(draws, mean, covariance):
    """Standard errors by which mean and covariance are off, from chains that are independent."""
    away = draws - mean
    squares = np.einsum("cdi,cdj->cij", away, away) / draws.shape[1]
    found = []
    for values, expected in ((draws.mean(axis=1), mean), (squares, covariance)):
        error = values.std(axis=0, ddof=1) / len(values) ** 0.5
        found.append(np.abs(values.mean(axis=0) - expected) / error)
    return max(scores.max() for scores in found)


CASES = {
    "small step": {"a": 0.05},
    "large step": {"a": 1.0},
    "minibatch": {"a": 0.2, "batch_size": 4},
    "momentum": {"a": 0.5, "momentum": 0.7},
    "minibatch and momentum": {"a": 0.1, "momentum": 0.7, "batch_size": 8},
    "cold posterior": {"a": 0.3, "temperature": 0.2},
    "cold likelihood": {"a": 0.3, "temperature": 0.2, "tempered": "likelihood"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_linear_network_is_drawn_as_the_chains_own_law_says(case, x64):
    options = dict(CASES[case])
    tempering = {k: v for k, v in options.items() if k.startswith("temper")}
    rate = rate_of(options.pop("a"), **tempering)
    settings = LONG._replace(learning_rate=rate, **options)
    found = vectors(fit(jax.random.key(0), NET, NET.data(X, Y), settings))
    mean, precision = exact(**tempering)
    # 12 numbers at 4.5 standard errors from 128 chains: a false alarm in 10,000 runs.
    assert z_scores(found, mean, law_of_draws(settings)) < 4.5
    # Mutations: no bias where it is large; the temperature forgotten.
    if case == "small step":
        assert z_scores(found, mean, np.linalg.inv(precision)) < 4.5
    elif not tempering:
        assert z_scores(found, mean, np.linalg.inv(precision)) > 4.5
    else:
        assert z_scores(found, mean, np.linalg.inv(exact()[1])) > 4.5
        other = {"posterior": "likelihood", "likelihood": "posterior"}[settings.tempered]
        wrong_mean, wrong = exact(settings.temperature, other)
        assert z_scores(found, wrong_mean, np.linalg.inv(wrong)) > 4.5


def test_the_bias_of_the_variance_grows_as_half_the_step(x64):
    mean, precision = exact()
    values, axes = np.linalg.eigh(precision)
    shares, errors, steps = [], [], np.array([0.2, 0.4, 0.8])
    for a in steps:
        settings = LONG._replace(learning_rate=rate_of(a))
        away = (vectors(fit(jax.random.key(1), NET, NET.data(X, Y), settings)) - mean) @ axes[:, -1]
        ratio = (away**2).mean(axis=1) * values[-1]
        shares.append(ratio.mean() - 1)
        errors.append(ratio.std(ddof=1) / CHAINS**0.5)
    # variance = exact / (1 - a/2): the bias is a/2 of it.
    slopes = np.array(shares) / (1 + np.array(shares)) / steps
    off = np.abs(slopes - 0.5) * steps / np.array(errors)
    assert (off < 4.5).all()
    assert (np.abs(slopes - 0.25) * steps / np.array(errors) > 4.5).any()  # Mutation: a quarter.


@pytest.mark.parametrize("schedule", ["decreasing", "cyclical"])
def test_falling_steps_lose_the_bias(schedule, x64):
    settings = LONG._replace(
        learning_rate=rate_of(0.9),
        schedule=schedule,
        delay=20.0,
        decay=0.5,
        num_samples=100,
        num_cycles=2 if schedule == "cyclical" else 1,
    )
    fitted = fit(jax.random.key(2), NET, NET.data(X, Y), settings)
    at = 300 + 20 * np.arange(1, 101) - 1
    falling = (1 + at / 20) ** -0.5
    if schedule == "cyclical":
        falling = np.tile(0.5 * (1 + np.cos(np.pi * at / 2300)), 2)
    np.testing.assert_allclose(fitted.stats["learning_rate"][3], rate_of(0.9) * falling, rtol=1e-9)
    mean, precision = exact()
    stiffest = np.linalg.eigh(precision)[1][:, -1]
    end = slice(-25, None) if schedule == "cyclical" else slice(None)
    away = (vectors(fitted)[:, end] - mean) @ stiffest
    ratio = (away**2).mean(axis=1) * np.linalg.eigvalsh(precision)[-1]
    error = ratio.std(ddof=1) / CHAINS**0.5
    expected = (1 / (1 - 0.45 * falling[end])).mean()  # each draw has the bias of its own step
    assert abs(ratio.mean() - expected) < 4.5 * error
    assert 1 / (1 - 0.45) - ratio.mean() > 4.5 * error  # Mutation: the step stayed.


def test_chains_follow_their_hidden_units_where_those_are_permuted_and_flipped(x64):
    """Without noise a chain is gradient ascent, whose path goes along with the symmetry."""
    net = regression(2, (4,), 0.3)
    data = net.data(X, Y)
    start = net.draw_prior(jax.random.key(1))
    order, signs = jnp.array([2, 0, 3, 1]), jnp.array([1.0, -1.0, -1.0, 1.0])

    def moved(params, into):
        a, b = params.weights.layers
        where = lambda p: [  # noqa: E731
            p.weights.layers[0].weight,
            p.weights.layers[0].bias,
            p.weights.layers[1].weight,
        ]
        new = (a.weight * signs[None], a.bias * signs, b.weight * into[:, None])
        return eqx.tree_at(where, params, [new[0][:, order], new[1][order], new[2][order]])

    silent = QUICK._replace(schedule="cyclical", num_warmup=300, num_samples=1, thinning=1)
    ends = [
        fit(jax.random.key(0), net, data, silent, start=at).predict(X)[0, 0, :, 0]
        for at in (start, moved(start, signs), moved(start, jnp.ones(4)))
    ]
    # One noisy step at the very end of the cosine moves f by next to nothing.
    assert float(np.abs(ends[0] - ends[1]).max()) < 0.01
    assert float(np.abs(ends[0] - ends[2]).max()) > 0.05  # Mutation: flipped on one side alone.


@pytest.mark.parametrize(("x", "y"), [(X[:1], Y[:1]), (X, np.full(30, 0.7)), (X * 0, Y)])
def test_odd_data_are_drawn_from_and_a_batch_beyond_the_data_is_all_of_them(x, y):
    net = regression(2, (3,), dist.LogNormal(-1.0, 0.5))
    found = [
        fit(jax.random.key(0), net, net.data(x, y), QUICK._replace(batch_size=size))
        for size in (None, 1000)
    ]
    assert found[0].predict(X).shape == (3, 5, 30, 2)
    np.testing.assert_array_equal(found[0].predict(X), found[1].predict(X))


def test_numbers_change_without_compiling_anew_and_names_tell_the_method():
    traced = []

    def count(h):
        traced.append(1)
        return jnp.tanh(h)

    counts, names = [], []
    for i in range(2):
        net = regression(2, [3], 0.3, activation=count)
        change = {"learning_rate": 1e-4 * (1 + i), "momentum": 0.5 * i, "temperature": 1 / (1 + i)}
        fitted = fit(jax.random.key(i), net, net.data(X + i, Y), QUICK._replace(**change))
        counts.append(len(traced))
        names.append(fitted.method)
    assert counts[0] == counts[1]
    assert names == ["SGLD", "SGHMC"]


def test_too_large_a_step_is_an_error_that_names_chain_and_step():
    data = NET.data(X, Y)
    settings = QUICK._replace(learning_rate=rate_of(60.0), num_warmup=200)
    with pytest.raises(FitError, match=r"SGLD failed: chain 0 broke down at step \d+.*smaller"):
        fit(jax.random.key(0), NET, data, settings)
    settings = settings._replace(learning_rate=rate_of(2.5), num_warmup=20)
    with pytest.raises(FitError, match=r"chain 0 diverged: its log density went from"):
        fit(jax.random.key(0), NET, data, settings)


def test_a_chain_that_fails_is_left_out_and_the_others_kept():
    data = NET.data(X, Y)
    each = jnp.stack([jnp.zeros(3), jnp.full(3, 1e25), jnp.ones(3)])
    start = jax.vmap(NET.unravel)(each)
    settings = QUICK._replace(learning_rate=rate_of(0.1))
    with pytest.warns(FitWarning, match=r"SGLD keeps 2 of 3 chains: chain 1 broke down at step 0"):
        found = fit(jax.random.key(0), NET, data, settings, start=start)
    assert found.num_chains == 2
    assert list(found.failed) == [1]
    whole = fit(jax.random.key(0), NET, data, settings, start=NET.unravel(jnp.zeros(3)))
    np.testing.assert_array_equal(vectors(found)[0], vectors(whole)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_warmup": -1}, "num_warmup must be a whole number of at least 0"),
        ({"thinning": 0}, "thinning must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"learning_rate": np.nan}, "learning_rate must be positive"),
        ({"momentum": 1.0}, "momentum must be strictly between 0 and 1"),
        ({"schedule": "wild"}, "schedule must be one of 'fixed', 'decreasing', 'cyclical'"),
        ({"temperature": 0.0}, "temperature must be positive"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        fit(jax.random.key(0), NET, NET.data(X, Y), QUICK._replace(**change))


def test_bad_starts_and_devices_are_refused():
    data = NET.data(X, Y)
    with pytest.raises(ValueError, match="start must be of shapes"):
        fit(jax.random.key(0), NET, data, QUICK, start=jax.vmap(NET.unravel)(jnp.zeros((2, 3))))
    with pytest.raises(ValueError, match="start must be finite everywhere"):
        fit(jax.random.key(0), NET, data, QUICK, start=NET.unravel(jnp.full(3, jnp.nan)))
    with pytest.raises(ValueError, match="num_devices must be at most"):
        fit(jax.random.key(0), NET, data, QUICK, num_devices=1000)
    with pytest.raises(ValueError, match="y must be finite everywhere"):
        NET.data(X, Y * np.nan)


ON_TWO_DEVICES = """
import jax, numpy as np
from bnnbook.bnn import mean_field, sgld
from bnnbook.models.bayesian_network import regression

assert jax.device_count() == 2
x = np.linspace(-1, 1, 8)[:, None]
net = regression(1, (2,), 0.5)
data = net.data(x, x[:, 0])
for module, settings in (
    (sgld, sgld.Settings(10, 5, 2, 4)),
    (mean_field, mean_field.Settings(20, num_fits=4, num_draws=5, elbo_draws=2)),
):
    one, two = (module.fit(jax.random.key(0), net, data, settings, num_devices=n) for n in (1, 2))
    np.testing.assert_allclose(one.predict(x), two.predict(x), rtol=1e-3, atol=1e-4)
    assert np.ptp(one.predict(x).values, axis=0)[..., 0].min() > 0  # chains differ
"""


@pytest.mark.slow
def test_chains_over_two_devices_draw_what_one_does():
    two_devices.run(ON_TWO_DEVICES)
