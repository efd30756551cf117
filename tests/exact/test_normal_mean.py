"""Laws of the normal mean and slope with known noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats

from bnnbook.exact import intervals, normal_mean
from bnnbook.exact.normal_mean import Normal
from bnnbook.references import reference

LEVEL = 0.95
means = st.floats(-50.0, 50.0)
sds = st.floats(0.1, 30.0)
data = hnp.arrays(float, st.integers(1, 30), elements=st.floats(-100.0, 100.0))


@given(means, sds, data, sds)
def test_posterior_is_proportional_to_likelihood_times_prior(mean, sd, y, noise_sd):
    prior = Normal(mean, sd)
    posterior = normal_mean.update(prior, y, noise_sd)
    theta = posterior.mean + posterior.sd * np.array([-1.0, 0.0, 2.0])
    likelihood = stats.norm.logpdf(y[:, None], theta, noise_sd).sum(axis=0)
    joint = prior.log_density(theta) + likelihood
    evidence = normal_mean.log_evidence(prior, y, noise_sd)
    np.testing.assert_allclose(
        posterior.log_density(theta), joint - evidence, atol=1e-10 * (1 + np.abs(joint).max())
    )


@given(means, sds, data, sds)
def test_sequential_updating_equals_batch_in_any_order(mean, sd, y, noise_sd):
    batch = normal_mean.update(Normal(mean, sd), y, noise_sd)
    for order in (y, y[::-1], np.sort(y)):
        state = Normal(mean, sd)
        for value in order:
            state = normal_mean.update(state, [value], noise_sd)
        assert state.mean == pytest.approx(batch.mean, rel=1e-9, abs=1e-9)
        assert state.sd == pytest.approx(batch.sd, rel=1e-10)


@given(means, sds, data, sds)
def test_evidence_is_the_product_of_one_step_ahead_predictives(mean, sd, y, noise_sd):
    state, total = Normal(mean, sd), 0.0
    for value in y:
        total += float(normal_mean.predictive(state, noise_sd).log_density(value))
        state = normal_mean.update(state, [value], noise_sd)
    evidence = normal_mean.log_evidence(Normal(mean, sd), y, noise_sd)
    assert total == pytest.approx(evidence, rel=1e-9, abs=1e-9)


def test_evidence_mutation_predicting_from_the_prior_alone():
    y, prior = np.array([4.0, 5.0, 6.0, 5.5]), Normal(0.0, 3.0)
    unlearnt = float(normal_mean.predictive(prior, 1.0).log_density(y).sum())
    assert normal_mean.log_evidence(prior, y, 1.0) > unlearnt + 1


def test_slope_is_a_regression_through_the_origin():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(1, 20, 12), rng.normal(0, 60, 12)
    flat = normal_mean.update_slope(None, x, y, 50.0)
    assert flat.mean == pytest.approx(np.linalg.lstsq(x[:, None], y)[0][0], rel=1e-12)
    assert flat.sd == pytest.approx(50.0 / np.sqrt(x @ x), rel=1e-12)
    prior = Normal(5.0, 1.0)
    posterior = normal_mean.update_slope(prior, x, y, 50.0)
    weight = posterior.sd**2 / prior.sd**2
    assert posterior.mean == pytest.approx(weight * 5 + (1 - weight) * flat.mean, rel=1e-12)


def test_many_data_sets_at_once_give_what_each_gives_alone():
    rng = np.random.default_rng(5)
    x, y = rng.uniform(1, 20, (3, 7)), rng.normal(50, 60, (3, 7))
    together = normal_mean.update_slope(Normal(5.0, 1.0), x, y, 50.0)
    alone = [normal_mean.update_slope(Normal(5.0, 1.0), *xy, 50.0) for xy in zip(x, y, strict=True)]
    np.testing.assert_allclose(together.mean, [p.mean for p in alone], rtol=1e-13)
    np.testing.assert_allclose(together.sd, [p.sd for p in alone], rtol=1e-13)


@given(means, sds, sds)
def test_predictive_integrates_to_one_and_averages_the_likelihood(mean, sd, noise_sd):
    state = Normal(mean, sd)
    predictive = normal_mean.predictive(state, noise_sd)
    span = (predictive.mean - 12 * predictive.sd, predictive.mean + 12 * predictive.sd)
    total, error = integrate.quad(predictive.density, *span)
    assert total == pytest.approx(1.0, abs=max(1e-9, error))
    y = mean + noise_sd
    theta = np.linspace(mean - 10 * sd, mean + 10 * sd, 40_001)
    average = np.trapezoid(stats.norm.pdf(y, theta, noise_sd) * state.density(theta), theta)
    assert predictive.density(y) == pytest.approx(average, rel=1e-8)


def slope_coverage(rng, prior, num_data, *, noise_assumed=50.0, truth=10.0, replications=4000):
    x = rng.uniform(1, 20, (replications, num_data))
    y = truth * x + 50.0 * rng.normal(size=x.shape)
    posterior = normal_mean.update_slope(prior, x, y, noise_assumed)
    return intervals.coverage(posterior.central_interval(LEVEL).covers(truth)), posterior


@pytest.mark.parametrize("num_data", [5, 20, 100, 500, 1600])
def test_wrong_prior_covers_as_the_2018_tutorial_case_measured(num_data):
    coverage, posterior = slope_coverage(np.random.default_rng(6), Normal(5.0, 1.0), num_data)
    expected = reference(f"wrong-prior.coverage_{num_data}")
    # The reference is itself a simulation, and rounded.
    error = np.hypot(coverage.mcse, expected.standard_error)
    assert abs(coverage.rate - expected.value) < 4 * error
    rmse = np.sqrt(np.mean((posterior.mean - 10.0) ** 2))
    published = reference(f"wrong-prior.rmse_{num_data}")
    assert rmse == pytest.approx(published.value, abs=4 * published.standard_error + 0.02 * rmse)


def test_flat_prior_covers_at_the_nominal_rate_and_a_wrong_noise_does_not():
    rng = np.random.default_rng(7)
    coverage, _ = slope_coverage(rng, None, 20)
    assert abs(coverage.rate - LEVEL) < 4 * coverage.mcse
    # Mutation: the tutorial's likelihood, noise of sd 1 where it is 50.
    wrong, _ = slope_coverage(rng, None, 20, noise_assumed=1.0)
    assert wrong.rate < 0.1


def test_averaged_over_the_prior_credible_intervals_have_nominal_coverage():
    rng = np.random.default_rng(8)
    prior, replications = Normal(5.0, 1.0), 20_000
    mean = rng.normal(5.0, 1.0, replications)
    y = mean[:, None] + 3.0 * rng.normal(size=(replications, 4))
    held = normal_mean.update(prior, y, 3.0).central_interval(LEVEL).covers(mean)
    coverage = intervals.coverage(held)
    assert abs(coverage.rate - LEVEL) < 4 * coverage.mcse
    # Mutation: at one fixed truth far from the prior's mean it is another number.
    y_far = 8.0 + 3.0 * rng.normal(size=(replications, 4))
    far = normal_mean.update(prior, y_far, 3.0).central_interval(LEVEL).covers(8.0)
    assert intervals.coverage(far).rate < LEVEL - 0.1


@given(data, sds, st.floats(0.05, 0.99))
def test_confidence_interval_equals_the_flat_prior_credible_interval_in_numbers(y, sd, level):
    confidence = normal_mean.confidence_interval(y, sd, level)
    credible = normal_mean.update(None, y, sd).central_interval(level)
    np.testing.assert_allclose(confidence, credible, rtol=1e-9, atol=1e-9)


def test_density_cdf_and_quantile_agree_with_scipy():
    ours, theirs = Normal(2.0, 3.0), stats.norm(2.0, 3.0)
    x = np.array([-8.0, 1.0, 2.0, 9.0])
    np.testing.assert_allclose(ours.density(x), theirs.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(ours.cdf(x), theirs.cdf(x), rtol=1e-12)
    assert ours.quantile(0.2) == pytest.approx(theirs.ppf(0.2), rel=1e-12)


PRIOR = Normal(0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Normal(0.0, 0.0), "sd must be positive and finite, got 0.0"),
        (lambda: Normal(float("nan"), 1.0), "mean must be finite everywhere"),
        (lambda: normal_mean.update(PRIOR, [], 1.0), "y must have at least 1 elements, got 0"),
        (lambda: normal_mean.update(PRIOR, [1.0, np.nan], 1.0), r"y must be finite .* index \[1\]"),
        (lambda: normal_mean.update(PRIOR, [1.0], -2.0), "noise_sd must be positive .* got -2.0"),
        (lambda: normal_mean.update(PRIOR, 1.0, 1.0), r"x and y must have one shape"),
        (lambda: normal_mean.update_slope(PRIOR, [1.0], [1.0, 2.0], 1.0), "must have one shape"),
        (lambda: normal_mean.update_slope(None, [0.0], [1.0], 1.0), "x must not be all zero"),
        (lambda: normal_mean.predictive(PRIOR, 0.0), "noise_sd must be positive and finite"),
        (lambda: normal_mean.log_evidence(PRIOR, [], 1.0), "y must have at least 1"),
        (lambda: normal_mean.confidence_interval([1.0], 1.0, 95.0), "probability must be strictly"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
