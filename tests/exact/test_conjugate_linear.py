"""Laws of Bayesian regression with known noise."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bnnbook.datasets import longley
from bnnbook.exact import conjugate_linear, intervals, least_squares, normal_mean
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.exact.normal_mean import Normal
from bnnbook.references import reference

RNG = np.random.default_rng(11)
X = np.column_stack([np.ones(12), RNG.uniform(1, 20, 12)])
Y = X @ [3.0, 10.0] + RNG.normal(0, 5.0, 12)
NOISE = 5.0
PRIOR = NormalCoefficients.from_covariance([1.0, 5.0], [[100.0, -3.0], [-3.0, 4.0]])


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, p = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    root = rng.normal(size=(p, p))
    prior = NormalCoefficients.from_precision(rng.normal(size=p), root @ root.T + 0.1 * np.eye(p))
    return prior, rng.normal(size=(n, p)), rng.normal(size=n), draw(st.floats(0.1, 10.0))


def dense_evidence(prior, X, y, noise_variance):
    covariance = noise_variance * np.eye(len(y)) + X @ prior.covariance @ X.T
    return stats.multivariate_normal(X @ prior.mean, covariance).logpdf(y)


@given(problems())
def test_evidence_is_the_density_of_one_big_normal(problem):
    prior, X, y, noise = problem
    expected = dense_evidence(prior, X, y, noise**2)
    assert conjugate_linear.log_evidence(prior, X, y, noise) == pytest.approx(expected, rel=1e-8)


def test_a_variance_given_as_standard_deviation_is_seen():
    ours = conjugate_linear.log_evidence(PRIOR, X, Y, NOISE)
    assert ours == pytest.approx(dense_evidence(PRIOR, X, Y, NOISE**2), rel=1e-10)
    assert ours != pytest.approx(dense_evidence(PRIOR, X, Y, NOISE), rel=1e-2)


@given(problems())
def test_posterior_is_likelihood_times_prior_over_evidence(problem):
    prior, X, y, noise = problem
    posterior = conjugate_linear.update(prior, X, y, noise)
    evidence = conjugate_linear.log_evidence(prior, X, y, noise)
    for b in (prior.mean, posterior.mean + 1.0):
        joint = prior.log_density(b) + stats.norm.logpdf(y, X @ b, noise).sum()
        assert posterior.log_density(b) == pytest.approx(joint - evidence, rel=1e-7, abs=1e-7)


@given(problems())
def test_evidence_is_the_product_of_one_step_ahead_predictives(problem):
    prior, X, y, noise = problem
    logs = conjugate_linear.one_step_ahead(prior, X, y, noise)
    evidence = conjugate_linear.log_evidence(prior, X, y, noise)
    assert logs.sum() == pytest.approx(evidence, rel=1e-9, abs=1e-9)


def test_predicting_from_the_prior_alone_is_not_the_evidence():
    unlearnt = conjugate_linear.predictive(PRIOR, X, NOISE).log_density(Y).sum()
    assert conjugate_linear.log_evidence(PRIOR, X, Y, NOISE) > unlearnt + 1


def test_order_of_the_data_is_irrelevant():
    order = np.random.default_rng(0).permutation(len(Y))
    same = conjugate_linear.log_evidence(PRIOR, X[order], Y[order], NOISE)
    assert same == pytest.approx(conjugate_linear.log_evidence(PRIOR, X, Y, NOISE), rel=1e-12)


def test_a_flat_prior_is_least_squares_and_the_limit_of_vague_ones():
    flat, fit = conjugate_linear.update(None, X, Y, NOISE), least_squares.fit(X, Y)
    np.testing.assert_allclose(flat.mean, fit.coefficients, rtol=1e-11)
    np.testing.assert_allclose(flat.covariance, NOISE**2 * fit.unscaled_covariance, rtol=1e-10)
    vague = NormalCoefficients.from_precision([1.0, 5.0], [1e-12, 1e-12])
    np.testing.assert_allclose(
        conjugate_linear.update(vague, X, Y, NOISE).mean, flat.mean, rtol=1e-8
    )
    # Mutation: a prior that is not vague moves the answer.
    assert not np.allclose(conjugate_linear.update(PRIOR, X, Y, NOISE).mean, flat.mean, rtol=1e-4)


def test_one_slope_through_the_origin_is_the_normal_mean_module():
    posterior = conjugate_linear.update(
        NormalCoefficients.from_covariance([5.0], [1.0]), X[:, 1:], Y, NOISE
    )
    scalar = normal_mean.update_slope(Normal(5.0, 1.0), X[:, 1], Y, NOISE)
    assert posterior.marginals.mean[0] == pytest.approx(scalar.mean, rel=1e-12)
    assert posterior.marginals.sd[0] == pytest.approx(scalar.sd, rel=1e-12)


def test_longley_keeps_its_digits_under_a_vague_prior():
    """X'X has a condition number of 2e19, so the formula with it loses digits."""
    table = longley.load()
    names = [name for name in table.columns if name != "TOTEMP"]
    design, y = np.column_stack([np.ones(table.num_rows), table.matrix(names)]), table["TOTEMP"]
    vague = NormalCoefficients.from_covariance(np.zeros(7), np.full(7, 1e26))
    ours = conjugate_linear.update(vague, design, y, 300.0).mean
    certified = [reference(f"longley.{name}").value for name in ("intercept", *names)]
    np.testing.assert_allclose(ours, certified, rtol=1e-9)
    # Mutation: the formula with the products.
    products = vague.precision + design.T @ design / 300**2
    by_formula = np.linalg.solve(products, design.T @ y / 300**2)
    assert not np.allclose(by_formula, certified, rtol=1e-9)


def simulated(assumed_noise, probability=0.9, replications=500):
    """Coverage of new outputs, truths drawn from the prior."""
    rng, new = np.random.default_rng(3), np.array([[1.0, 30.0]])
    held = []
    for b in rng.multivariate_normal(PRIOR.mean, PRIOR.covariance, replications):
        y, y_new = (row @ b + rng.normal(0, NOISE, len(row)) for row in (X[:4], new))
        posterior = conjugate_linear.update(PRIOR, X[:4], y, assumed_noise)
        predictive = conjugate_linear.predictive(posterior, new, assumed_noise)
        held.append(predictive.central_interval(probability).covers(y_new))
    return intervals.coverage(np.array(held))


def test_predictive_coverage_is_nominal_under_the_prior():
    right, wrong = simulated(NOISE), simulated(NOISE / 2)
    assert abs(right.rate - 0.9) < 4 * right.mcse
    assert abs(wrong.rate - 0.9) > 10 * wrong.mcse


def test_the_line_is_surer_than_an_output():
    line = conjugate_linear.regression_line(PRIOR, X)
    output = conjugate_linear.predictive(PRIOR, X, NOISE)
    np.testing.assert_allclose(line.sd**2 + NOISE**2, output.sd**2, rtol=1e-12)
    np.testing.assert_allclose(line.sd**2, np.diag(X @ PRIOR.covariance @ X.T), rtol=1e-12)


def test_draws_have_the_law():
    tree = conjugate_linear.draws(jax.random.key(1), PRIOR, num_samples=1000, num_chains=2)
    b = tree["posterior"]["coefficients"].values
    assert b.shape == (2, 1000, 2)
    assert b.dtype == np.float64
    white = (b.reshape(-1, 2) - PRIOR.mean) @ PRIOR.precision_root.T
    assert min(stats.kstest(column, stats.norm.cdf).pvalue for column in white.T) > 1e-4
    assert abs(np.mean(white[:, 0] * white[:, 1])) < 4 / np.sqrt(2000)
    # Mutation: the root of the precision transposed.
    askew = (b.reshape(-1, 2) - PRIOR.mean) @ PRIOR.precision_root
    assert abs(np.mean(askew[:, 0] * askew[:, 1])) > 4 / np.sqrt(2000)


COLLINEAR = np.column_stack([X, X[:, 1] * 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conjugate_linear.update(PRIOR, X, Y[:-1], 1.0), "X and y must have the same len"),
        (lambda: conjugate_linear.update(PRIOR, X[:, :1], Y, 1.0), "X must be of 2 columns"),
        (lambda: conjugate_linear.update(PRIOR, X[:0], Y[:0], 1.0), "y must have at least 1"),
        (lambda: conjugate_linear.update(PRIOR, X, Y * np.nan, 1.0), "y must be finite everywhere"),
        (lambda: conjugate_linear.update(PRIOR, X, Y, 0.0), "noise_sd must be positive"),
        (lambda: conjugate_linear.update(None, COLLINEAR, Y, 1.0), "linearly independent columns"),
        (lambda: conjugate_linear.update(None, X[:1], Y[:1], 1.0), "at least as many rows"),
        (lambda: conjugate_linear.log_evidence(None, X, Y, 1.0), "prior must be proper"),
        (lambda: conjugate_linear.one_step_ahead(None, X, Y, 1.0), "prior must be proper"),
        (lambda: PRIOR.log_density([1.0]), "must have the same length"),
        (lambda: conjugate_linear.predictive(PRIOR, X, -1.0), "noise_sd must be positive"),
        (lambda: conjugate_linear.draws(jax.random.key(0), PRIOR, num_samples=0), "num_samples"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_proper_prior_makes_up_for_collinear_columns():
    prior = NormalCoefficients.from_precision(np.zeros(3), np.ones(3))
    posterior = conjugate_linear.update(prior, COLLINEAR, Y, NOISE)
    assert np.isfinite(posterior.mean).all()
    assert np.isfinite(conjugate_linear.log_evidence(prior, COLLINEAR, Y, NOISE))
