"""Laws of the beta-binomial pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from bnnbook.exact import beta_binomial, intervals
from bnnbook.exact.beta_binomial import Beta

shapes = st.floats(0.2, 300.0)


@st.composite
def counts(draw):
    trials = draw(st.integers(0, 400))
    return draw(st.integers(0, trials)), trials


@given(shapes, shapes, st.floats(0.0, 1.0))
def test_density_cdf_and_moments_agree_with_scipy(a, b, theta):
    ours, theirs = Beta(a, b), stats.beta(a, b)
    assert ours.mean == pytest.approx(theirs.mean(), rel=1e-10)
    assert ours.sd == pytest.approx(theirs.std(), rel=1e-10)
    assert ours.cdf(theta) == pytest.approx(theirs.cdf(theta), abs=1e-10)
    if 0 < theta < 1:
        assert ours.density(theta) == pytest.approx(theirs.pdf(theta), rel=1e-9, abs=1e-300)


@given(shapes, shapes, counts())
def test_posterior_is_proportional_to_likelihood_times_prior(a, b, count):
    prior = Beta(a, b)
    successes, trials = count
    posterior = beta_binomial.update(prior, successes, trials)
    theta = np.array([0.2, 0.45, 0.8])
    log_likelihood = successes * np.log(theta) + (trials - successes) * np.log1p(-theta)
    log_evidence = beta_binomial.log_evidence(prior, successes, trials)
    np.testing.assert_allclose(
        posterior.log_density(theta),
        prior.log_density(theta) + log_likelihood - log_evidence,
        atol=1e-9,
        rtol=1e-10,
    )


@given(shapes, shapes, st.lists(st.integers(0, 1), min_size=1, max_size=40))
def test_sequential_updating_equals_batch(a, b, outcomes):
    last = beta_binomial.update_sequentially(Beta(a, b), outcomes)[-1]
    batch = beta_binomial.update(Beta(a, b), sum(outcomes), len(outcomes))
    assert (last.a, last.b) == pytest.approx((batch.a, batch.b), rel=1e-12)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=40), st.randoms(use_true_random=False))
def test_order_of_the_data_is_irrelevant(outcomes, random):
    shuffled = random.sample(outcomes, len(outcomes))
    one, other = (
        beta_binomial.update_sequentially(Beta(2, 5), o)[-1] for o in (outcomes, shuffled)
    )
    assert one == other


def test_evidence_is_the_product_of_one_step_ahead_predictives():
    outcomes = np.random.default_rng(2).integers(0, 2, 60)
    prior = Beta(2.5, 0.7)
    states = beta_binomial.update_sequentially(prior, outcomes)
    evidence = beta_binomial.log_evidence(prior, int(outcomes.sum()), len(outcomes))

    def product(predictors):
        means = np.array([state.mean for state in predictors])
        return np.log(np.where(outcomes == 1, means, 1 - means)).sum()

    assert product(states[:-1]) == pytest.approx(evidence, abs=1e-10)
    # Mutation: a datum predicted with its own help is predicted too well.
    assert product(states[1:]) > evidence + 1


@given(shapes, shapes, st.integers(1, 300))
def test_predictive_sums_to_one_and_agrees_with_scipy(a, b, trials):
    probabilities = beta_binomial.predictive(Beta(a, b), trials)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-9)
    expected = stats.betabinom.pmf(np.arange(trials + 1), trials, a, b)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-8, atol=1e-12)


def test_predictive_is_the_likelihood_averaged_over_the_parameter():
    beta, trials = Beta(3.0, 4.5), 6
    for k, probability in enumerate(beta_binomial.predictive(beta, trials)):
        average, error = integrate.quad(
            lambda t, k=k: stats.binom.pmf(k, trials, t) * beta.density(t), 0, 1, epsabs=1e-13
        )
        assert probability == pytest.approx(average, abs=max(1e-10, error))
    # Mutation: the plug-in predictive is too narrow.
    plugged_in = stats.binom.pmf(np.arange(trials + 1), trials, beta.mean)
    assert plugged_in[0] < beta_binomial.predictive(beta, trials)[0] / 2


def simulated_coverage(prior, drawn_from, level=0.9, trials=15, replications=20_000):
    rng = np.random.default_rng(3)
    ends = [
        beta_binomial.update(prior, k, trials).central_interval(level) for k in range(trials + 1)
    ]
    lower, upper = np.array(ends).T
    theta = rng.beta(drawn_from.a, drawn_from.b, replications)
    k = rng.binomial(trials, theta)
    return intervals.coverage((lower[k] <= theta) & (theta <= upper[k]))


def test_averaged_over_the_prior_credible_intervals_have_nominal_coverage():
    prior = Beta(2.0, 6.0)
    result = simulated_coverage(prior, drawn_from=prior)
    assert abs(result.rate - 0.9) < 4 * result.mcse
    # Mutation: truths that do not come from the prior.
    wrong = simulated_coverage(prior, drawn_from=Beta(6.0, 2.0))
    assert abs(wrong.rate - 0.9) > 10 * wrong.mcse


def test_quantile_inverts_the_cdf_and_the_mode_tops_the_density():
    beta = Beta(4.0, 9.0)
    assert beta.cdf(beta.quantile(0.3)) == pytest.approx(0.3, abs=1e-12)
    grid = np.linspace(0, 1, 100_001)
    assert grid[np.argmax(beta.density(grid))] == pytest.approx(beta.mode, abs=1e-5)
    assert beta.density([-0.1, 1.1]).tolist() == [0.0, 0.0]


@given(st.floats(0.01, 0.99), st.floats(0.1, 500.0))
def test_from_mean_keeps_mean_and_strength(mean, strength):
    beta = Beta.from_mean(mean, strength)
    assert (beta.mean, beta.strength) == pytest.approx((mean, strength), rel=1e-12)


def test_no_trials_give_the_prior_back():
    assert beta_binomial.update(Beta(2, 3), 0, 0) == Beta(2, 3)
    assert beta_binomial.log_evidence(Beta(2, 3), 0, 0) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Beta(0.0, 1.0), "a must be positive and finite, got 0.0"),
        (lambda: Beta(1.0, float("nan")), "b must be positive and finite, got nan"),
        (lambda: Beta.from_mean(1.0, 4.0), "mean must be strictly between 0 and 1, got 1.0"),
        (lambda: Beta.from_mean(0.5, -1.0), "strength must be positive and finite, got -1.0"),
        (lambda: Beta(0.5, 0.5).mode, "a and b must be at least 1"),
        (lambda: Beta(1, 1).mode, "a and b must be at least 1"),
        (lambda: Beta(0.5, 0.5).highest_density_interval(0.9), "a and b must be such that"),
        (lambda: beta_binomial.update(Beta(1, 1), 7, 5), "successes must not exceed trials, got 7"),
        (lambda: beta_binomial.update(Beta(1, 1), -1, 5), "successes must be a whole number"),
        (lambda: beta_binomial.predictive(Beta(1, 1), 0), "trials must be a whole number of at"),
        (lambda: beta_binomial.update_sequentially(Beta(1, 1), []), "outcomes must have at least"),
        (
            lambda: beta_binomial.update_sequentially(Beta(1, 1), [0.0, 0.5]),
            "outcomes must be 0 or 1 everywhere",
        ),
        (
            lambda: beta_binomial.update_sequentially(Beta(1, 1), [0.0, np.nan]),
            "outcomes must be finite everywhere, got nan",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
