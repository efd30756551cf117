"""Replications and predictions are draws from the posterior predictive, whoever made the draws."""

import arviz as az
import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from bnnbook.datatree import from_draws
from bnnbook.exact import conjugate_linear, normal_inverse_gamma
from bnnbook.models.linear import linear_regression
from bnnbook.models.predict import predict, replicate

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(6), np.arange(6.0)])
Y = X @ [1.0, 2.0] + RNG.normal(size=6)
X_NEW = np.array([[1.0, 9.0], [1.0, 10.0]])
POSTERIOR = normal_inverse_gamma.update(None, X, Y)


@pytest.fixture(scope="module")
def exact():
    return normal_inverse_gamma.draws(KEY, POSTERIOR, num_samples=2500)


@pytest.fixture(scope="module")
def replicated(exact):
    with jax.enable_x64(True):
        return replicate(KEY, exact, linear_regression, (X, Y))


def test_predictions_follow_the_closed_form(exact):
    tree = predict(KEY, exact, linear_regression, (X_NEW,))
    predicted = tree["predictions"]["y"].values.reshape(-1, 2)
    law = normal_inverse_gamma.predictive(POSTERIOR, X_NEW)
    # By the central limit theorem 5 sd are ample for sums of 10,000 uniforms.
    pit = law.cdf(predicted)
    assert np.abs(pit.mean(axis=0) - 0.5).max() < 5 / np.sqrt(12 * len(pit))
    tails = np.mean(np.abs(pit - 0.5) > 0.475, axis=0)
    error = np.sqrt(0.05 * 0.95 / len(pit))
    assert np.abs(tails - 0.05).max() < 5 * error
    # Mutation: the plug-in normal is much too sure of its tails with six data.
    fit_sd = POSTERIOR.unit_scale
    wrong = stats.norm.cdf(predicted, law.mean, fit_sd)
    assert np.mean(np.abs(wrong - 0.5) > 0.475, axis=0).min() > 0.05 + 5 * error


def test_a_set_shares_its_parameters(exact):
    """Outputs at two inputs are dependent: their difference has the variance of theory."""
    tree = predict(KEY, exact, linear_regression, (X_NEW,))
    difference = np.diff(tree["predictions"]["y"].values.reshape(-1, 2), axis=1)[:, 0]
    gap = X_NEW[1] - X_NEW[0]
    root = POSTERIOR.precision_root
    unit = np.sqrt(2 + np.sum(np.linalg.solve(root.T, gap) ** 2))
    law = stats.t(POSTERIOR.dof, scale=POSTERIOR.unit_scale * unit)
    inside = np.mean(np.abs(difference - gap @ POSTERIOR.mean) < law.ppf(0.75))
    error = np.sqrt(0.25 / len(difference))
    assert abs(inside - 0.5) < 5 * error
    # Mutation: two predictions made apart.
    scales = normal_inverse_gamma.predictive(POSTERIOR, X_NEW).scale
    apart = stats.t(POSTERIOR.dof, scale=np.hypot(*scales))
    inside_apart = np.mean(np.abs(difference - gap @ POSTERIOR.mean) < apart.ppf(0.75))
    assert abs(inside_apart - 0.5) > 5 * error


def test_log_likelihood_is_the_density_of_each_datum(exact, replicated):
    b, sd = (exact["posterior"][name].values for name in ("coefficients", "noise_sd"))
    expected = stats.norm.logpdf(Y, b @ X.T, sd[..., None])
    found = replicated["log_likelihood"]["y"].values
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    # Mutation: the exponent without its two.
    wrong = expected - 0.5 * ((Y - b @ X.T) / sd[..., None]) ** 2
    assert not np.allclose(found, wrong, rtol=1e-2)


def test_the_mean_density_is_the_predictive_density(replicated):
    """Averaged over draws, the density of a datum is Student's, to Monte Carlo error."""
    density = np.exp(replicated["log_likelihood"]["y"].values).reshape(-1, len(Y))
    law = normal_inverse_gamma.predictive(POSTERIOR, X).density(Y)
    error = density.std(axis=0, ddof=1) / np.sqrt(len(density))
    assert (np.abs(density.mean(axis=0) - law) < 5 * error).all()


def test_replications_match_the_data_in_shape_and_feed_arviz(replicated):
    assert replicated["posterior_predictive"]["y"].shape == (4, 2500, 6)
    np.testing.assert_array_equal(replicated["observed_data"]["y"], Y)
    assert "posterior_predictive" in replicated.children
    assert replicated.attrs["method"] == "exact"


def test_leave_one_out_by_arviz_agrees_with_leaving_out():
    """PSIS-LOO on our log densities is near the exact Student-t answer, refitted 30 times."""
    x = np.column_stack([np.ones(30), np.linspace(-1, 1, 30)])
    y = x @ [1.0, 2.0] + np.random.default_rng(2).normal(size=30)
    posterior = normal_inverse_gamma.update(None, x, y)
    tree = replicate(KEY, normal_inverse_gamma.draws(KEY, posterior), linear_regression, (x, y))
    exact = 0.0
    for i in range(30):
        others = np.arange(30) != i
        left = normal_inverse_gamma.update(None, x[others], y[others])
        exact += float(normal_inverse_gamma.predictive(left, x[[i]]).log_density(y[[i]])[0])
    found = az.loo(tree).elpd
    # 4,000 draws, 30 data: the Monte Carlo error is about 0.02 nats.
    assert found == pytest.approx(exact, abs=0.1)
    in_sample = normal_inverse_gamma.predictive(posterior, x).log_density(y).sum()
    assert found < in_sample - 0.5  # mutation: the data predict themselves


def test_one_key_gives_one_answer_and_draws_have_noise_of_their_own(exact, replicated):
    again = replicate(KEY, exact, linear_regression, (X, Y))
    np.testing.assert_array_equal(
        again["posterior_predictive"]["y"], replicated["posterior_predictive"]["y"]
    )
    b, sd = (exact["posterior"][name].values for name in ("coefficients", "noise_sd"))
    noise = (again["posterior_predictive"]["y"].values - b @ X.T) / sd[..., None]
    assert len(np.unique(noise)) > 0.999 * noise.size


def test_batches_and_the_rest_of_them_agree(exact):
    """300 draws are one batch of 256 and a rest; 44 of them alone are no batch at all."""
    few = exact.isel(chain=slice(0, 1), draw=slice(0, 300))
    logs = replicate(KEY, few, linear_regression, (X, Y))["log_likelihood"]["y"].values
    rest = exact.isel(chain=slice(0, 1), draw=slice(256, 300))
    logs_of_rest = replicate(KEY, rest, linear_regression, (X, Y))["log_likelihood"]["y"].values
    np.testing.assert_allclose(logs[:, 256:], logs_of_rest, rtol=1e-12)


def test_known_noise_need_not_be_drawn():
    law = conjugate_linear.update(None, X, Y, 0.5)
    tree = conjugate_linear.draws(KEY, law, num_samples=50)
    found = replicate(KEY, tree, linear_regression, (X, Y), {"noise_sd": 0.5})
    b = tree["posterior"]["coefficients"].values
    expected = stats.norm.logpdf(Y, b @ X.T, 0.5)
    np.testing.assert_allclose(found["log_likelihood"]["y"].values, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            lambda t: replicate(KEY, t, linear_regression, (X,)),
            "such that the model has data",
        ),
        (
            lambda t: predict(KEY, t, linear_regression, (X_NEW,), outputs=("z",)),
            "tree must be with",
        ),
        (
            lambda t: predict(KEY, t, linear_regression, (X_NEW[:, :1],)),
            r"coefficients must be of shape \(1,\) in each draw, got \(2,\)",
        ),
        (
            lambda t: replicate(KEY, t, linear_regression, (X, Y), {"noise_sd": 2.0}),
            "noise_sd must be what the model makes",
        ),
        (
            lambda t: replicate(KEY, from_draws(prior=t["posterior"]), linear_regression, (X, Y)),
            "tree must be a tree with the group posterior",
        ),
        (
            lambda t: replicate(
                KEY, from_draws(posterior={"noise_sd": np.ones((1, 2))}), linear_regression, (X, Y)
            ),
            r"model's coefficients and noise_sd, got \['noise_sd'\]",
        ),
        (
            lambda t: replicate(
                KEY,
                from_draws(posterior={**t["posterior"], "other": t["posterior"]["noise_sd"]}),
                linear_regression,
                (X, Y),
            ),
            "with draws of the model's sites alone, got 'other'",
        ),
    ],
)
def test_bad_input_is_named(exact, action, message):
    with pytest.raises(ValueError, match=message):
        action(exact)


def test_a_model_without_data_is_named():
    def model():
        numpyro.sample("b", dist.Normal(0.0, 1.0))

    tree = from_draws(posterior={"b": np.zeros((1, 2))})
    with pytest.raises(ValueError, match="such that the model has data"):
        replicate(KEY, tree, model)
    with pytest.raises(ValueError, match=r"outputs must be sites of the model \(b\), got \['y'\]"):
        predict(KEY, tree, model)
