"""With a linear kernel it is linear regression; the arcsine kernel is an erf network's."""

import jax
import numpy as np
import pytest
from scipy import special, stats

from bnnbook.exact import conjugate_linear, gaussian_process
from bnnbook.exact.gaussian_process import arcsine, condition, fit, linear, rbf

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2))
Y = 1 + X @ [2.0, -1.0] + RNG.normal(size=30)
NEW = RNG.normal(size=(5, 2))
LINE = {"bias_scale": 3.0, "weight_scale": 2.0}
BUMPS = {"scale": 1.5, "lengthscale": 0.8}
NET = {"bias_scale": 0.7, "weight_scale": 1.3, "output_bias": 0.5, "output_weight": 2.0}


def test_a_linear_kernel_is_conjugate_linear_regression():
    design, new = (np.column_stack([np.ones(len(x)), x]) for x in (X, NEW))
    prior = conjugate_linear.NormalCoefficients.from_covariance(np.zeros(3), [9.0, 4.0, 4.0])
    posterior = conjugate_linear.update(prior, design, Y, 0.5)
    found = condition(linear, X, Y, LINE, 0.5)
    evidence = conjugate_linear.log_evidence(prior, design, Y, 0.5)
    assert found.log_evidence == pytest.approx(evidence, rel=1e-10)
    line = conjugate_linear.regression_line(posterior, new)
    np.testing.assert_allclose(found.function(NEW).mean, line.mean, rtol=1e-8)
    np.testing.assert_allclose(found.function(NEW).sd, line.sd, rtol=1e-6)
    expected = conjugate_linear.predictive(posterior, new, 0.5).sd
    np.testing.assert_allclose(found.predictive(NEW).sd, expected, rtol=1e-8)
    # Mutation: the variance of the noise taken for its sd.
    assert condition(linear, X, Y, LINE, 0.25).log_evidence != pytest.approx(evidence, rel=1e-3)


@pytest.mark.parametrize(("kernel", "values"), [(rbf, BUMPS), (arcsine, NET)])
def test_posterior_and_evidence_are_those_of_the_joint_normal(kernel, values):
    found = condition(kernel, X, Y, values, 0.5)
    K = gaussian_process.covariance(kernel, X, X, values) + 0.25 * np.eye(30)
    assert found.log_evidence == pytest.approx(stats.multivariate_normal(None, K).logpdf(Y))
    cross = gaussian_process.covariance(kernel, X, NEW, values)
    own = gaussian_process.covariance(kernel, NEW, NEW, values)
    np.testing.assert_allclose(found.function(NEW).mean, cross.T @ np.linalg.solve(K, Y))
    variance = np.diag(own - cross.T @ np.linalg.solve(K, cross))
    np.testing.assert_allclose(found.function(NEW).sd, np.sqrt(variance), rtol=1e-6)


@pytest.mark.parametrize("width", [1, 20])
def test_the_arcsine_kernel_is_the_covariance_of_an_erf_network_at_every_width(width):
    rng, draws = np.random.default_rng(5), 40_000
    points = np.array([[0.5, -1.0], [2.0, 1.0]])
    w = rng.normal(0, NET["weight_scale"] / np.sqrt(2), size=(draws, 2, width))
    b = rng.normal(0, NET["bias_scale"], size=(draws, 1, width))
    hidden = special.erf(points @ w + b)
    out = rng.normal(0, NET["output_weight"] / np.sqrt(width), size=(draws, width, 1))
    f = (hidden @ out)[..., 0] + rng.normal(0, NET["output_bias"], size=(draws, 1))
    products = f[:, :, None] * f[:, None, :]
    total, square = products.mean(axis=0), products.std(axis=0) / np.sqrt(draws)
    exact = gaussian_process.covariance(arcsine, points, points, NET)
    assert (np.abs(total - exact) < 4.5 * square).all()
    # Mutation: tanh units in the network of the same weights.
    f = (np.tanh(points @ w + b) @ out)[..., 0]
    wrong = (f[:, :, None] * f[:, None, :]).mean(axis=0) + NET["output_bias"] ** 2
    assert (np.abs(wrong - exact) > 4.5 * square).any()


def test_the_fit_climbs_to_the_top_of_the_evidence():
    found = fit(rbf, X, Y, BUMPS, 0.5)
    values = dict(found.hyperparameters)
    assert found.log_evidence > condition(rbf, X, Y, BUMPS, 0.5).log_evidence
    for factor in (0.9, 1.1):
        for name in values:
            nearby = values | {name: values[name] * factor}
            near = condition(rbf, X, Y, nearby, found.noise_sd)
            assert near.log_evidence < found.log_evidence + 1e-6
        near = condition(rbf, X, Y, values, factor * found.noise_sd)
        assert near.log_evidence < found.log_evidence


def test_one_lengthscale_an_input_finds_the_idle_one():
    y = np.sin(2 * X[:, 0])
    start = {"scale": 1.0, "lengthscale": np.ones(2)}
    first, second = fit(rbf, X, y, start, 0.1).hyperparameters["lengthscale"]
    assert second > 3 * first


def test_predictions_cover_functions_of_the_prior():
    """Data drawn from the process itself: standardised errors are standard normal."""
    rng, errors = np.random.default_rng(8), []
    K = gaussian_process.covariance(rbf, np.vstack([X, NEW]), np.vstack([X, NEW]), BUMPS)
    root = np.linalg.cholesky(K + 1e-10 * np.eye(35))
    for _ in range(80):
        f = root @ rng.normal(size=35)
        y = f + 0.5 * rng.normal(size=35)
        ahead = condition(rbf, X, y[:30], BUMPS, 0.5).predictive(NEW[:1])
        errors.append(((y[30:31] - ahead.mean) / ahead.sd)[0])
    assert stats.kstest(errors, "norm").pvalue > 1e-4
    assert stats.kstest(2 * np.array(errors), "norm").pvalue < 1e-4  # mutation: half the sd


def test_one_datum_will_do_and_nothing_global_changes():
    assert condition(rbf, X[:1], Y[:1], BUMPS, 0.5).function(NEW).mean.shape == (5,)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: condition(rbf, X, Y[:3], BUMPS, 0.5), "X and y must have the same length"),
        (lambda: condition(rbf, X * np.nan, Y, BUMPS, 0.5), "X must be finite everywhere"),
        (lambda: condition(rbf, X, Y, BUMPS, 0.0), "noise_sd must be positive and finite"),
        (
            lambda: condition(rbf, X, Y, BUMPS | {"scale": -1.0}, 0.5),
            r"\['scale'\] must be positive",
        ),
        (lambda: condition(rbf, X[[0, 0]], Y[:2], BUMPS, 1e-12), "noise_sd must be large enough"),
        (lambda: condition(rbf, X, Y, BUMPS, 0.5).function(X[:, :1]), "X must be of 2 columns"),
        (lambda: fit(rbf, X, Y, BUMPS, 0.5, max_iterations=0), "max_iterations must be a whole"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
