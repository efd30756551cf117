"""Laplace's approximation of a posterior: where it is exact, how it moves, how its check tells."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from bnnbook.datasets import eight_schools
from bnnbook.evidence import laplace
from bnnbook.evidence import target as targets
from bnnbook.evidence.target import Target
from bnnbook.exact import conjugate_linear
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.models import hierarchical
from bnnbook.models.linear import linear_regression

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(7)
SCHOOLS = eight_schools.load()
X = np.column_stack([np.ones(6), np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])])
Y = np.array([1.0, -0.5, 2.0, 2.5, 1.5, 4.0])


def line(A=None, shift=0.0):
    """A linear regression in the parameters u, where the coefficients are A u + shift."""
    A = np.eye(2) if A is None else A

    def log_prior(u):
        return jnp.sum(dist.Normal(0.0, 3.0).log_prob(A @ u + shift))

    def log_likelihood(u):
        return jnp.sum(dist.Normal(X @ (A @ u + shift), 0.7).log_prob(Y))

    return Target(log_prior, log_likelihood, 2, ("a", "b"), np.array([0.1, 0.2]))


def rate(events, power=0):
    """Poisson events in unit time at a rate λ ~ Exponential(1): the posterior is Gamma.

    In λ itself (power 1), √λ (power 2) or log λ (power 0).
    """

    def rate_of(u):
        return jnp.exp(u) if power == 0 else jnp.where(u > 0, u, 1.0) ** power

    def log_prior(u):
        log_jacobian = u[0] if power == 0 else jnp.log(power * rate_of(u[0]) / u[0])
        value = log_jacobian - rate_of(u[0])
        return value if power == 0 else jnp.where(u[0] > 0, value, -jnp.inf)

    def log_likelihood(u):
        return events * jnp.log(rate_of(u[0])) - rate_of(u[0])

    start = np.zeros(1) if power == 0 else np.ones(1)
    return Target(log_prior, log_likelihood, 1, ("u",), start)


def exact_distance(events):
    """Total variation between the posterior of log λ and its approximation, by a fine sum."""
    u = np.linspace(-30, 10, 400_001)
    p = stats.gamma(events + 1, scale=0.5).pdf(np.exp(u)) * np.exp(u)
    q = stats.norm(np.log((events + 1) / 2), (events + 1) ** -0.5).pdf(u)
    return 0.5 * np.sum(np.abs(p - q)) * (u[1] - u[0])


def test_it_is_the_exact_posterior_of_a_linear_model():
    prior = NormalCoefficients.from_covariance([0.0, 0.0], 9.0 * np.eye(2))
    exact = conjugate_linear.update(prior, X, Y, noise_sd=0.7)
    found = laplace.approximate(line())
    assert found.mean == pytest.approx(exact.mean, abs=1e-10)
    assert found.covariance == pytest.approx(exact.covariance, abs=1e-10)
    checked = laplace.check(KEY, line(), found)
    assert checked.falls == pytest.approx(2.0)
    assert checked.gradient < 1e-10
    assert checked.total_variation < 1e-8
    assert checked.effective_share == pytest.approx(1.0)
    assert checked.pareto_k == -np.inf
    assert not checked.flagged
    # Mutation: the standard deviations doubled.
    wide = found.normal._replace(root=2 * found.normal.root)
    mutant = laplace.check(KEY, line(), dataclasses.replace(found, normal=wide))
    assert mutant.total_variation > 0.2
    assert mutant.falls == pytest.approx(8.0)


def test_it_moves_with_affine_maps_and_changes_under_others():
    A, shift = np.array([[2.0, 0.5], [0.3, -3.0]]), np.array([1.0, -2.0])
    plain, moved = laplace.approximate(line()), laplace.approximate(line(A, shift))
    assert A @ moved.mean + shift == pytest.approx(plain.mean, abs=1e-9)
    assert A @ moved.covariance @ A.T == pytest.approx(plain.covariance, abs=1e-9)
    # Mutation: the covariance mapped the other way.
    assert np.abs(A.T @ moved.covariance @ A - plain.covariance).max() > 0.01
    # Of a Gamma(3, rate 2): in λ at (a - 1)/b with sd √(a - 1)/b, in log λ at log(a/b), sd 1/√a.
    by_rate, by_log = (laplace.approximate(rate(2, power)) for power in (1, 0))
    assert (by_rate.mean[0], by_rate.sd[0]) == pytest.approx((1.0, np.sqrt(2) / 2))
    assert (by_log.mean[0], by_log.sd[0]) == pytest.approx((np.log(1.5), 3**-0.5))
    assert np.exp(by_log.mean[0]) != pytest.approx(by_rate.mean[0], rel=0.1)


def test_its_evidence_is_the_estimators():
    target = rate(3)
    found = laplace.approximate(target)
    assert found.log_evidence == laplace.estimate(target).log_evidence
    # The peak divided by the peak of the normal density.
    peak = target.evaluate(found.mean[None]).log_joint - found.normal.log_density(found.mean[None])
    assert found.log_evidence == pytest.approx(peak[0])


def test_draws_have_its_mean_and_covariance():
    found = laplace.approximate(line())
    z = np.linalg.solve(found.normal.root, (found.draws(KEY, 40_000) - found.mean).T)
    bound = 4 / np.sqrt(40_000)
    assert np.abs(z.mean(axis=1)).max() < bound
    assert np.abs(z @ z.T / 40_000 - np.eye(2)).max() < np.sqrt(2) * bound
    # Mutation: the root transposed.
    other = np.linalg.solve(found.normal.root.T, (found.draws(KEY, 40_000) - found.mean).T)
    assert np.abs(other @ other.T / 40_000 - np.eye(2)).max() > np.sqrt(2) * bound


def test_the_error_of_the_total_variation_by_repetition():
    events, runs = 8, 100
    target, exact = rate(events), exact_distance(events)
    found = laplace.approximate(target)
    checks = [laplace.check(jax.random.key(i), target, found, num_draws=2000) for i in range(runs)]
    z = np.array([(c.total_variation - exact) / c.standard_error for c in checks])
    bound = 4 * np.sqrt(2 / runs)
    assert abs(z.mean()) < 4 / np.sqrt(runs)
    assert abs(z.var(ddof=1) - 1) < bound
    # Mutations: half the error; the distance without its half.
    assert abs((2 * z).var(ddof=1) - 1) > bound
    off = np.array([(2 * c.total_variation - exact) / c.standard_error for c in checks])
    assert abs(off.mean()) > 4 / np.sqrt(runs)


def test_the_distance_falls_as_one_over_the_root_of_the_data():
    near, far = exact_distance(400), exact_distance(25)
    assert far / near == pytest.approx(4, rel=0.05)
    for events in (2, 25, 400):
        target = rate(events)
        checked = laplace.check(KEY, target, laplace.approximate(target))
        assert abs(checked.total_variation - exact_distance(events)) < 4 * checked.standard_error
        # Mutation: the distance of the next size is far off.
        assert abs(checked.total_variation - exact_distance(9)) > 4 * checked.standard_error
    # √λ is nearer to normal than log λ, and log λ than λ.
    distances = []
    for power in (2, 0, 1):
        target = rate(5, power)
        distances.append(laplace.check(KEY, target, laplace.approximate(target)).total_variation)
    assert distances[0] < distances[1] < distances[2]


def test_weight_outside_the_support_is_counted():
    """In λ, with one event, a part Φ(−1) of the normal distribution lies at negative rates."""
    target = rate(1, power=1)
    found = laplace.approximate(target)
    checked = laplace.check(KEY, target, found, num_draws=20_000)
    lam = np.linspace(-10, 20, 300_001)
    p = stats.gamma(2, scale=0.5).pdf(lam)
    q = stats.norm(0.5, 0.5).pdf(lam)
    exact = 0.5 * np.sum(np.abs(p - q)) * (lam[1] - lam[0])
    assert exact > stats.norm.cdf(-1)
    assert checked.falls[0, 0] == np.inf
    # The tails of the weights are heavy, so that the error is no guide: roughly right.
    assert checked.total_variation == pytest.approx(exact, abs=0.05)
    assert checked.pareto_k > 0.5


def test_heavy_tails_are_flagged():
    def cauchy(u):
        return -jnp.sum(jnp.log1p(u**2))

    target = Target(cauchy, lambda u: 0.1 * cauchy(u), 1, ("u",), np.full(1, 0.2))
    assert laplace.check(KEY, target, laplace.approximate(target)).flagged


def test_a_tree_has_the_models_names_and_bounds():
    target = targets.from_model(
        hierarchical.non_centred, (SCHOOLS["standard_error"], SCHOOLS["effect"])
    )
    tree = laplace.to_tree(KEY, target, laplace.approximate(target), num_samples=50)
    posterior = tree["posterior"]
    assert set(posterior) == {"mu", "tau", "theta_standardised", "theta"}
    assert float(posterior["tau"].min()) > 0
    first = posterior["theta_standardised"].values[..., 0]
    expected = posterior["mu"].values + posterior["tau"].values * first
    assert posterior["theta"].values[..., 0] == pytest.approx(expected)
    # The way there and back.
    flat = target.flatten({k: posterior[k].values for k in ("mu", "tau", "theta_standardised")})
    assert target.unflatten(flat)["tau"] == pytest.approx(posterior["tau"].values)
    plain = laplace.to_tree(KEY, line(), laplace.approximate(line()), num_chains=2)["posterior"]
    assert dict(plain.sizes) == {"chain": 2, "draw": 1000}
    assert set(plain) == {"a", "b"}


def test_positive_parameters_are_taken_for_log_normal():
    def model():
        numpyro.sample("y", dist.Poisson(numpyro.sample("rate", dist.Exponential(1.0))), obs=4)

    target = targets.from_model(model)
    draws = laplace.to_tree(KEY, target, laplace.approximate(target), num_samples=5000)
    z = np.sqrt(5) * np.log(draws["posterior"]["rate"].values / 2.5)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4
    assert stats.kstest(1.1 * z.ravel(), "norm").pvalue < 1e-4


def separable():
    inputs, yes = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0])
    log_odds = lambda u: inputs * u[0]  # noqa: E731
    return Target(
        lambda u: -1e-30 * jnp.sum(u**2),
        lambda u: jnp.sum(dist.Bernoulli(logits=log_odds(u)).log_prob(yes)),
        1,
        ("slope",),
        np.zeros(1),
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laplace.approximate(rate(0, power=1)), "must have a maximum of its log_joint"),
        (lambda: laplace.approximate(separable()), "must have a maximum of its log_joint"),
        (lambda: laplace.approximate(line()).draws(KEY, 0), "num_draws must be"),
        (lambda: laplace.to_tree(KEY, line(), laplace.approximate(rate(3))), "approximation must"),
        (lambda: laplace.check(KEY, rate(3), laplace.approximate(line())), "approximation must"),
        (
            lambda: laplace.check(KEY, line(), laplace.approximate(line()), num_draws=10),
            "num_draws must be .* 100",
        ),
        (
            lambda: laplace.to_tree(KEY, line(), laplace.approximate(line()), num_chains=0),
            "num_chains must be",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_centred_hierarchy_has_no_mode():
    args = (SCHOOLS["standard_error"], SCHOOLS["effect"])
    target = targets.from_model(hierarchical.centred, args)
    at = lambda log_tau: np.concatenate([[4.0, log_tau], np.full(8, 4.0)])[None]  # noqa: E731
    heights = [target.evaluate(at(t)).log_joint[0] for t in (0.0, -5.0, -50.0)]
    # Seven times faster than log τ falls: τ⁻⁸ from the effects, τ from the Jacobian.
    assert heights[2] - heights[1] == pytest.approx(7 * 45, rel=1e-3)
    with pytest.raises(ValueError, match="must have a maximum"):
        laplace.approximate(target)


def test_linear_regression_through_its_model():
    target = targets.from_model(
        linear_regression,
        (X, Y),
        {"coefficients": dist.Normal(0.0, 3.0), "noise_sd": dist.HalfNormal(2.0)},
    )
    tree = laplace.to_tree(KEY, target, laplace.approximate(target))
    assert tree["posterior"]["coefficients"].shape == (4, 1000, 2)
    assert float(tree["posterior"]["noise_sd"].min()) > 0
