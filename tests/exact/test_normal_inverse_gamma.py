"""Laws of Bayesian regression with unknown noise, and the pine evidences."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from bnnbook.datasets import radiata_pine
from bnnbook.exact import intervals, least_squares, normal_inverse_gamma
from bnnbook.exact.normal_inverse_gamma import InverseGamma, NormalInverseGamma
from bnnbook.references import reference

PINE = radiata_pine.load()
PINE_PRIOR = NormalInverseGamma.from_precision([3000, 185], [0.06, 6], 3, 2 * 300**2)
WRONG_SPECIMEN = {"strength": 3670.0, "density": 32.3, "adjusted_density": 29.0}

RNG = np.random.default_rng(12)
X = np.column_stack([np.ones(9), RNG.uniform(1, 20, 9)])
Y = X @ [3.0, 10.0] + RNG.normal(0, 5.0, 9)
PRIOR = NormalInverseGamma.from_covariance([1.0, 5.0], [[4.0, -0.3], [-0.3, 0.2]], 3.0, 40.0)
A = np.array([[2.0, 0.5], [-1.0, 3.0]])


def pine_log_evidence(regressor, wrong=False):
    columns = {name: PINE[name].copy() for name in ("strength", regressor)}
    if wrong:
        for name, column in columns.items():
            column[8] = WRONG_SPECIMEN[name]
    x = columns[regressor]
    design = np.column_stack([np.ones(len(x)), x - x.mean()])
    return normal_inverse_gamma.log_evidence(PINE_PRIOR, design, columns["strength"])


@pytest.mark.parametrize("regressor", ["density", "adjusted_density"])
def test_pine_evidences_to_the_printed_digits_right_and_wrong(regressor):
    right, wrong = pine_log_evidence(regressor), pine_log_evidence(regressor, wrong=True)
    assert right == pytest.approx(reference(f"pine-conjugate.{regressor}").value, abs=0.5e-5)
    assert wrong == pytest.approx(reference(f"pine-conjugate.wrong_{regressor}").value, abs=0.5e-5)
    assert abs(right - wrong) > 0.01


def test_pine_bayes_factor():
    factor = np.exp(pine_log_evidence("adjusted_density") - pine_log_evidence("density"))
    assert factor == pytest.approx(reference("pine-conjugate.bayes_factor").value, abs=0.005)


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, p = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    root = rng.normal(size=(p, p))
    precision = root @ root.T + 0.1 * np.eye(p)
    shape, scale = draw(st.floats(0.3, 20)), draw(st.floats(0.1, 30))
    prior = NormalInverseGamma.from_precision(rng.normal(size=p), precision, shape, scale)
    return prior, rng.normal(size=(n, p)), 3 * rng.normal(size=n)


def log_likelihood(X, y, b, variance):
    return stats.norm.logpdf(y, X @ b, np.sqrt(variance)).sum()


@given(problems(), st.floats(0.2, 9.0))
def test_posterior_is_likelihood_times_prior_over_evidence(problem, variance):
    prior, X, y = problem
    posterior = normal_inverse_gamma.update(prior, X, y)
    b = posterior.mean + 0.3
    joint = prior.log_density(b, variance) + log_likelihood(X, y, b, variance)
    evidence = normal_inverse_gamma.log_evidence(prior, X, y)
    assert posterior.log_density(b, variance) == pytest.approx(joint - evidence, rel=1e-8, abs=1e-7)


@given(problems())
def test_evidence_is_the_product_of_one_step_ahead_predictives(problem):
    prior, X, y = problem
    logs = normal_inverse_gamma.one_step_ahead(prior, X, y)
    evidence = normal_inverse_gamma.log_evidence(prior, X, y)
    assert logs.sum() == pytest.approx(evidence, rel=1e-9, abs=1e-9)


def test_predicting_from_the_prior_alone_is_not_the_evidence():
    unlearnt = normal_inverse_gamma.predictive(PRIOR, X).log_density(Y).sum()
    assert normal_inverse_gamma.log_evidence(PRIOR, X, Y) > unlearnt + 1


@given(problems())
def test_evidence_is_the_density_of_one_big_t(problem):
    prior, X, y = problem
    spread = np.eye(len(y)) + X @ np.linalg.inv(prior.precision_root.T @ prior.precision_root) @ X.T
    big = stats.multivariate_t(X @ prior.mean, prior.unit_scale**2 * spread, prior.dof)
    ours = normal_inverse_gamma.log_evidence(prior, X, y)
    assert ours == pytest.approx(float(big.logpdf(y)), rel=1e-8, abs=1e-8)


def test_joint_density_integrates_to_one():
    prior = NormalInverseGamma.from_precision([1.0], [2.0], 3.0, 4.0)

    def density(b, log_variance):
        return np.exp(prior.log_density([b], np.exp(log_variance)) + log_variance)

    total, _ = integrate.dblquad(density, -4, 5, -15, 17, epsabs=1e-4)
    assert total == pytest.approx(1.0, abs=1e-3)


def test_invariant_to_the_order_of_the_data():
    order = np.random.default_rng(0).permutation(len(Y))
    same = normal_inverse_gamma.log_evidence(PRIOR, X[order], Y[order])
    assert same == pytest.approx(normal_inverse_gamma.log_evidence(PRIOR, X, Y), rel=1e-12)
    # Mutation: outputs shuffled without their inputs.
    other = normal_inverse_gamma.log_evidence(PRIOR, X, Y[order])
    assert other < normal_inverse_gamma.log_evidence(PRIOR, X, Y) - 1


def in_units(factor):
    covariance = [[4.0, -0.3], [-0.3, 0.2]]  # in units of the noise variance: unchanged
    mean = factor * PRIOR.mean
    return NormalInverseGamma.from_covariance(mean, covariance, 3.0, factor**2 * 40.0)


def test_other_units_of_y_change_the_evidence_by_the_jacobian_only():
    ours = normal_inverse_gamma.log_evidence(PRIOR, X, Y)
    rescaled = normal_inverse_gamma.log_evidence(in_units(2.54), X, 2.54 * Y)
    assert rescaled + len(Y) * np.log(2.54) == pytest.approx(ours, rel=1e-12)
    # Mutations: no Jacobian; a prior left in the old units.
    assert rescaled != pytest.approx(ours, rel=1e-3)
    forgotten = normal_inverse_gamma.log_evidence(PRIOR, X, 2.54 * Y)
    assert forgotten + len(Y) * np.log(2.54) != pytest.approx(ours, rel=1e-3)


def reparameterised(precision):
    """b = A c, so that X b = (XA) c: the prior of c has mean A⁻¹m and precision AᵀΛA."""
    mean = np.linalg.solve(A, PRIOR.mean)
    prior = NormalInverseGamma.from_precision(mean, precision, 3.0, 40.0)
    return normal_inverse_gamma.log_evidence(prior, X @ A, Y)


def test_invariant_to_reparameterisation():
    precision = PRIOR.precision_root.T @ PRIOR.precision_root
    ours = normal_inverse_gamma.log_evidence(PRIOR, X, Y)
    assert reparameterised(A.T @ precision @ A) == pytest.approx(ours, rel=1e-10)
    # Mutation: the prior not transformed.
    assert reparameterised(precision) != pytest.approx(ours, rel=1e-3)


def test_the_improper_prior_has_the_numbers_of_least_squares():
    flat, fit = normal_inverse_gamma.update(None, X, Y), least_squares.fit(X, Y)
    np.testing.assert_allclose(flat.mean, fit.coefficients, rtol=1e-11)
    line, ends = flat.marginals.central_interval(0.9), least_squares.confidence_intervals(fit, 0.9)
    np.testing.assert_allclose(np.transpose(line), ends, rtol=1e-10)
    new = normal_inverse_gamma.predictive(flat, X)
    s2 = fit.residual_sd**2 * (1 + least_squares.leverage(X))
    np.testing.assert_allclose(new.scale**2, s2, rtol=1e-10)
    assert flat.dof == fit.degrees_of_freedom


@pytest.mark.parametrize(("precision", "agrees"), [(1e-10, True), (1.0, False)])
def test_vague_priors_tend_to_least_squares(precision, agrees):
    prior = NormalInverseGamma.from_precision([9.0, -9.0], [precision] * 2, 1.0, 1.0)
    posterior = normal_inverse_gamma.update(prior, X, Y)
    fit = least_squares.fit(X, Y)
    assert np.allclose(posterior.mean, fit.coefficients, rtol=1e-6) == agrees


def test_ridge_is_the_posterior_mean():
    from sklearn.linear_model import Ridge

    prior = NormalInverseGamma.from_precision(np.zeros(2), [7.0, 7.0], 1.0, 1.0)
    ridge = Ridge(alpha=7.0, fit_intercept=False).fit(X, Y)
    np.testing.assert_allclose(
        normal_inverse_gamma.update(prior, X, Y).mean, ridge.coef_, rtol=1e-8
    )


def simulated(dof_kept, probability=0.9, replications=500):
    """Coverage of a new output, truths drawn from a prior that knows little of the noise."""
    rng, new = np.random.default_rng(3), np.array([[1.0, 25.0]])
    covariance = np.array([[4.0, -0.3], [-0.3, 0.2]])
    prior = NormalInverseGamma.from_covariance(PRIOR.mean, covariance, 1.0, 40.0)
    held = []
    for variance in stats.invgamma.rvs(1.0, scale=40.0, size=replications, random_state=rng):
        b = rng.multivariate_normal(prior.mean, variance * covariance)
        y, y_new = (r @ b + rng.normal(0, np.sqrt(variance), len(r)) for r in (X[:2], new))
        posterior = normal_inverse_gamma.update(prior, X[:2], y)
        t = normal_inverse_gamma.predictive(posterior, new)
        plugged_in = intervals.central(lambda p, t=t: stats.norm.ppf(p, t.mean, t.scale), 0.9)
        interval = t.central_interval(probability) if dof_kept else plugged_in
        held.append(interval.covers(y_new))
    return intervals.coverage(np.array(held))


def test_predictive_coverage_is_nominal_under_the_prior():
    right, wrong = simulated(dof_kept=True), simulated(dof_kept=False)
    assert abs(right.rate - 0.9) < 4 * right.mcse
    # Mutation: σ plugged in, so that the t becomes a normal.
    assert wrong.rate < 0.9 - 4 * wrong.mcse


def uniform_p(values, cdf):
    return stats.kstest(cdf(values), stats.uniform.cdf).pvalue


def test_draws_have_the_law():
    posterior = normal_inverse_gamma.update(PRIOR, X, Y)
    tree = normal_inverse_gamma.draws(jax.random.key(2), posterior, num_samples=1000)["posterior"]
    b = tree["coefficients"].values.reshape(-1, 2)
    sd = tree["noise_sd"].values.ravel()
    assert b.dtype == sd.dtype == np.float64
    inverse = stats.invgamma(posterior.variance.shape, scale=posterior.variance.scale)
    assert uniform_p(sd**2, inverse.cdf) > 1e-4
    line = normal_inverse_gamma.regression_line(posterior, [[1.0, 14.0]])
    assert uniform_p(b @ [1.0, 14.0], line.cdf) > 1e-4
    # Mutations: the standard deviation taken for the variance; the intercept's sign.
    assert uniform_p(sd, inverse.cdf) < 1e-4
    assert uniform_p(b @ [-1.0, 14.0], line.cdf) < 1e-4


@given(st.floats(1.2, 80), st.floats(0.1, 50), st.floats(0.05, 0.95))
def test_the_noise_agrees_with_scipy(shape, scale, probability):
    ours, theirs = InverseGamma(shape, scale), stats.invgamma(shape, scale=scale)
    assert ours.mean == pytest.approx(theirs.mean(), rel=1e-9)
    assert ours.quantile(probability) == pytest.approx(theirs.ppf(probability), rel=1e-7)
    assert ours.log_density(2.0) == pytest.approx(theirs.logpdf(2.0), rel=1e-8, abs=1e-8)
    interval = ours.central_interval_of_sd(probability)
    inside = theirs.cdf(interval.upper**2) - theirs.cdf(interval.lower**2)
    assert inside == pytest.approx(probability, abs=1e-8)


def test_mean_of_the_noise_sd():
    ours = InverseGamma(4.0, 9.0)
    expected = stats.invgamma(4.0, scale=9.0).expect(np.sqrt)
    assert ours.mean_sd == pytest.approx(expected, rel=1e-7)
    assert ours.mean_sd < np.sqrt(ours.mean)


EXACT_FIT = X @ [1.0, 2.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NormalInverseGamma.from_precision([0], [0], 1, 1), "precision must be symmetric"),
        (lambda: NormalInverseGamma.from_precision([0], [1], 0, 1), "shape must be positive"),
        (lambda: NormalInverseGamma.from_covariance([0], [1], 1, 0), "scale must be positive"),
        (lambda: InverseGamma(1.0, 1.0).mean, "shape must be above 1 "),
        (lambda: InverseGamma(0.5, 1.0).mean_sd, "shape must be above 1/2"),
        (lambda: normal_inverse_gamma.update(PRIOR, X, Y[:-1]), "must have the same length"),
        (lambda: normal_inverse_gamma.update(PRIOR, X[:0], []), "y must have at least 1 elements"),
        (lambda: normal_inverse_gamma.update(PRIOR, X * np.nan, Y), "X must be finite everywhere"),
        (lambda: normal_inverse_gamma.update(None, X[:2], Y[:2]), "X must be of more rows than"),
        (lambda: normal_inverse_gamma.update(None, X[:, [0, 0]], Y), "linearly independent"),
        (lambda: normal_inverse_gamma.update(None, X, EXACT_FIT), "y must be off the fitted line"),
        (lambda: normal_inverse_gamma.log_evidence(None, X, Y), "prior must be proper"),
        (lambda: normal_inverse_gamma.predictive(PRIOR, X[:, :1]), "X must be of 2 columns"),
        (lambda: PRIOR.log_density([1.0, 2.0], 0.0), "variance must be positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
