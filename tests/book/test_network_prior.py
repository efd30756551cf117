"""The arithmetic of the figure "network-prior", run in Node, against the package."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bnnbook.bnn import nuts
from bnnbook.evaluation import function_space
from bnnbook.models.bayesian_network import regression
from javascript import in_node

MODULE = "network-prior-math.js"
X = [-1.8, -1.5, -1.2, -0.9, 1.0, 1.4, 1.9]
Y = [-0.1, 0.3, -0.4, -0.9, 0.8, 0.4, -0.5]
SETTINGS = {
    "width": 5, "inner_scale": 2.0, "output_scale": 1.5, "output_bias": 0.5, "noise_sd": 0.2,
    "activation": "tanh", "x": X, "y": Y, "x_low": -3, "x_high": 3, "y_low": -2.5, "y_high": 2.5,
    "seed": 1,
}  # fmt: skip
AT = [-2.5, -1.5, 0.0, 0.5, 2.5]
# Four chains a run, of which each gives nearly independent draws (their ESS is measured below).
SWEEPS, RUNS = 1500, 4


def test_a_network_is_the_package_s_at_the_same_weights():
    network = regression(
        1, (5,), 0.2, activation="tanh", weight_scale=(2.0, 1.5), bias_scale=(2.0, 0.5)
    )
    params = network.draw_prior(jax.random.key(1))
    inner, outer = params.weights.layers
    ours = {
        "inner": np.stack([inner.weight[0], inner.bias], axis=1).tolist(),
        "outer": outer.weight[:, 0].tolist(),
        "bias": float(outer.bias[0]),
    }
    found = in_node(
        MODULE, "M.outputs(settings, at, params)", settings=SETTINGS, at=AT, params=ours
    )
    expected = network.outputs(params, jnp.array(AT)[:, None])[:, 0]
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("activation", ["tanh", "rectified", "sine", "none (a line)"])
def test_log_marginal_is_that_of_the_normal_distribution_of_y(activation):
    settings = SETTINGS | {"activation": activation}
    inner = np.random.default_rng(2).normal(size=(5, 2))
    call = """(() => { const units = inner.map(([w, c]) => M.outputs(
        {...settings, output_bias: 0}, settings.x, {inner: [[w, c]], outer: [1], bias: 0}));
      return [units, M.logMarginal(settings, M.covariance(settings, units))]; })()"""
    units, found = in_node(MODULE, call, settings=settings, inner=inner.tolist())
    units = np.array(units)
    covariance = units.T @ units + 0.25 + 0.04 * np.eye(len(X))
    expected = stats.multivariate_normal(np.zeros(len(X)), covariance).logpdf(Y)
    assert found == pytest.approx(expected, rel=1e-10)


def curves(settings=SETTINGS):
    """Draws of f of shape (chain, draw, place)."""
    call = """Array.from({length: runs}, (_, i) => {
        const one = M.chain(settings, 11 + i); const found = [];
        for (let k = 0; k < sweeps + 100; k++) { one.sweep();
          if (k >= 100) found.push(M.outputs(settings, at, one.draw())); }
        return found; })"""
    return np.array(in_node(MODULE, call, settings=settings, at=AT, sweeps=SWEEPS, runs=RUNS))


@pytest.fixture(scope="module")
def reference():
    network = regression(
        1, (5,), 0.2, activation="tanh", weight_scale=(2.0, 1.5), bias_scale=(2.0, 0.5)
    )
    data = network.data(np.array(X)[:, None], Y)
    settings = nuts.Settings(num_warmup=500, num_samples=1500, target_accept_prob=0.9)
    return nuts.fit(jax.random.key(3), network, data, settings).outputs(np.array(AT)[:, None])[
        ..., 0
    ]


def moments_apart(ours, theirs):
    """Differences of E f and E f² at each place in standard errors, from both samplers' ESS."""
    apart = []
    for power in (1, 2):
        parts = [(d**power, function_space.mixing("f", d**power).bulk_ess) for d in (ours, theirs)]
        error = np.sqrt(sum(d.var((0, 1)) / ess for d, ess in parts))
        apart.append((parts[0][0].mean((0, 1)) - parts[1][0].mean((0, 1))) / error)
    return np.abs(np.concatenate(apart))


def test_the_posterior_is_that_of_nuts(reference):
    # Ten comparisons at a false-alarm rate of 1e-5 in all.
    assert moments_apart(curves(), reference).max() < stats.norm.isf(1e-5 / 20)


def test_a_posterior_of_another_noise_is_told_apart(reference):
    wrong = curves(SETTINGS | {"noise_sd": 0.4})
    assert moments_apart(wrong, reference).max() > stats.norm.isf(1e-5 / 20)


def test_r_hat_is_one_for_chains_alike_and_large_for_chains_apart():
    draws = np.random.default_rng(4).normal(size=(4, 200))
    shifted = draws + np.arange(4)[:, None]
    alike, apart = in_node(
        MODULE, "chains.map(M.splitRHat)", chains=[draws.tolist(), shifted.tolist()]
    )
    halves = draws.reshape(8, 100)
    within, between = halves.var(1, ddof=1).mean(), halves.mean(1).var(ddof=1)
    assert alike == pytest.approx((0.99 + between / within) ** 0.5)
    assert apart > 1.3


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"noise_sd": 0}, "noise_sd"),
        ({"width": 2.5}, "width"),
        ({"activation": "nothing"}, "activation"),
        ({"x": []}, "x and y"),
    ],
)
def test_bad_settings_are_named(change, names):
    call = "(() => { try { M.checked(settings); } catch (e) { return e.message; } return ''; })()"
    assert names in in_node(MODULE, call, settings=SETTINGS | change)


def in_gap(**change):
    """Mean and sd of f in the middle of the gap, at a datum and at 0.5, as in the figure."""
    x = [-2.1, -1.8, -1.6, -1.4, -1.2, -1.0, -0.8, 0.9, 1.1, 1.3, 1.5, 1.7, 1.9, 2.1]
    y = (np.sin(2.2 * np.array(x)) + 0.3 * np.array(x)).tolist()
    settings = SETTINGS | {"width": 20, "inner_scale": 3, "noise_sd": 0.1, "x": x, "y": y} | change
    draws = curves(settings)[..., [2, 1, 3]]  # at 0, −1.5 and 0.5
    return draws.mean((0, 1)), draws.std((0, 1))


def test_what_the_page_tells_the_reader_to_try_is_so():
    _, usual = in_gap()
    _, small = in_gap(inner_scale=0.2)
    _, large = in_gap(inner_scale=20)
    line_mean, line = in_gap(activation="none (a line)")
    _, loud = in_gap(noise_sd=1)
    assert small[0] < 0.6 * usual[0] < usual[0] < large[0]
    # The line is sure, and wrong.
    assert line.max() < 0.1
    assert abs(line_mean[2] - np.sin(1.1) - 0.15) > 3 * line[2]
    assert loud[1] > 3 * usual[1]
