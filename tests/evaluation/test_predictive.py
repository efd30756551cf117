"""Scores of mixtures are those of the mixture; the test data are read once."""

import numpy as np
import pytest
from scipy import integrate, stats

from bnnbook.datasets.splits import AlreadyReadError, HeldOut
from bnnbook.evaluation import predictive, scores
from bnnbook.evaluation.predictive import gaussian_mixture, score, score_all
from bnnbook.exact.intervals import Interval


def parameters(chains=2, draws=10, points=3, seed=0):
    rng = np.random.default_rng(seed)
    mean = rng.normal(0.0, 2.0, size=(chains, draws, points))
    return np.stack([mean, rng.uniform(0.3, 1.5, size=mean.shape)], axis=-1)


Y = np.array([-1.0, 0.2, 6.0])


def components(given, point):
    means, sds = given.reshape(-1, given.shape[2], 2)[:, point].T
    return stats.norm(means, sds)


def test_density_cdf_and_moments_are_those_of_the_mixture():
    given = parameters()
    found = gaussian_mixture(given)
    for i, y in enumerate(Y):
        normals = components(given, i)
        assert np.exp(found.log_density(Y)[i]) == pytest.approx(normals.pdf(y).mean(), rel=1e-12)
        assert found.cdf(Y)[i] == pytest.approx(normals.cdf(y).mean(), rel=1e-12)
        grid = np.linspace(-15, 15, 20_001)
        density = normals.pdf(grid[:, None]).mean(axis=1)
        mean = integrate.trapezoid(grid * density, grid)
        second = integrate.trapezoid((grid - mean) ** 2 * density, grid)
        assert (found.mean[i], found.sd[i]) == pytest.approx((mean, np.sqrt(second)), rel=1e-8)


def test_the_density_is_averaged_and_not_its_log():
    given = parameters()
    jensen = np.mean([components(given, i).logpdf(y).mean() for i, y in enumerate(Y)])
    nll = score(given, Y).negative_log_likelihood.value
    assert nll < -jensen - 0.1
    assert nll == pytest.approx(-gaussian_mixture(given).log_density(Y).mean())


def test_far_data_have_a_finite_score():
    one = np.array([0.0, 1.0]).reshape(1, 1, 1, 2)
    assert gaussian_mixture(one).log_density([100.0])[0] == pytest.approx(
        stats.norm.logpdf(100.0), rel=1e-12
    )


def crps_by_integral(normals, y):
    below, _ = integrate.quad(lambda t: normals.cdf(t).mean() ** 2, -30, y, limit=300)
    above, _ = integrate.quad(lambda t: normals.sf(t).mean() ** 2, y, 30, limit=300)
    return below + above


@pytest.mark.parametrize("probability", [0.001, 0.5, 0.95])
def test_quantiles_invert_the_cdf(probability):
    found = gaussian_mixture(parameters())
    np.testing.assert_allclose(found.cdf(found.quantile(probability)), probability, rtol=1e-12)


def test_crps_of_a_mixture_is_its_integral():
    given = parameters()
    found = gaussian_mixture(given).crps(Y)
    expected = [crps_by_integral(components(given, i), y) for i, y in enumerate(Y)]
    np.testing.assert_allclose(found, expected, atol=1e-8)
    # Mutation: the mean of the components' own scores, which no spread between them reduces.
    means, sds = given.reshape(-1, 3, 2).transpose(2, 0, 1)
    alone = np.mean([scores.crps_normal(Y, m, s) for m, s in zip(means, sds, strict=True)], axis=0)
    assert (alone > found + 0.1).all()


def test_crps_by_pairs_is_crps_by_quadrature():
    """The two ways that the module chooses between agree, for even and for very uneven sds."""
    rng, smallest = np.random.default_rng(3), np.array([0.5, 0.1, 0.01])
    means, sds = rng.normal(size=(300, 3)), rng.uniform(smallest, 1.0, size=(300, 3))
    pairs = predictive._by_pairs(means, sds)
    np.testing.assert_allclose(predictive._by_quadrature(means, sds, 4000), pairs, rtol=1e-9)
    np.testing.assert_allclose(predictive._half_mean_difference(means, sds), pairs, rtol=1e-9)
    # Mutation: a rule with a step of several sds.
    assert abs(predictive._by_quadrature(means, sds, 5) / pairs - 1).max() > 1e-4
    by_hand = 1 / np.sqrt(np.pi)  # E|Y − Y'| / 2 of a standard normal
    unit = np.zeros((2, 1)), np.ones((2, 1))
    assert predictive._by_pairs(*unit)[0] == pytest.approx(by_hand, rel=1e-12)


def test_crps_of_one_component_and_of_hand_cases():
    one = np.array([1.0, 2.0]).reshape(1, 1, 1, 2)
    np.testing.assert_allclose(
        gaussian_mixture(one).crps([2.5]), scores.crps_normal([2.5], [1.0], 2.0), rtol=1e-10
    )
    # Two nearly sharp components at 0 and 1: E|Y − ½| − ½ E|Y − Y'| = ½ − ¼.
    sharp = np.array([[0.0, 1e-6], [1.0, 1e-6]]).reshape(1, 2, 1, 2)
    np.testing.assert_allclose(gaussian_mixture(sharp).crps([0.5]), 0.25, atol=1e-5)


def test_crps_agrees_with_draws():
    given, rng = parameters(), np.random.default_rng(5)
    pick = rng.integers(20, size=20_000)
    means, sds = given.reshape(-1, 3, 2).transpose(2, 0, 1)
    draws = means[pick] + sds[pick] * rng.normal(size=(20_000, 3))
    exact = gaussian_mixture(given).crps(Y)
    by_draws = [scores.crps_from_draws(Y, part[None]) for part in np.array_split(draws, 50)]
    z = (np.mean(by_draws, axis=0) - exact) / (np.std(by_draws, axis=0, ddof=1) / np.sqrt(50))
    assert np.abs(z).max() < 4.5  # t of 49 degrees, three points: 1e-4


N = 1000


def honest(sd_factor=1.0):
    """Data from two-component mixtures, and predictions that know or misjudge their sds."""
    rng = np.random.default_rng(6)
    centre = rng.normal(size=N)
    means = centre + np.array([[-1.0], [1.0]])
    sds = np.full((2, N), 0.5)
    which = rng.integers(2, size=N)
    y = means[which, np.arange(N)] + 0.5 * rng.normal(size=N)
    return np.stack([means, sds * sd_factor], axis=-1)[None], y


def test_honest_mixtures_cover_and_are_uniform():
    given, y = honest()
    found = score(given, y, (0.5, 0.9))
    for probability, covered in found.coverage.items():
        assert abs(covered.rate - probability) < 4 * covered.mcse
    assert predictive.pit_uniformity(found.pit, 0.999).inside
    # Mutations: sds too small or too large.
    for factor in (0.5, 2.0):
        wrong = score(given * np.array([1.0, factor]), y, (0.5, 0.9))
        assert not predictive.pit_uniformity(wrong.pit, 0.999).inside
        assert abs(wrong.coverage[0.9].rate - 0.9) > 6 * wrong.coverage[0.9].mcse
        for name in ("negative_log_likelihood", "crps"):
            assert getattr(wrong, name).value > getattr(found, name).value


def test_rmse_is_that_of_the_mean_and_its_error_that_of_repetition():
    rng = np.random.default_rng(7)
    unit = np.broadcast_to([0.0, 1.0], (1, 1, 200, 2))
    runs = [score(unit, rng.normal(size=200)).root_mean_squared_error for _ in range(200)]
    values, errors = np.array(runs).T
    # The sd of 200 values is known to 5 %; four of these.
    assert abs(values.std() / errors.mean() - 1) < 0.2


def test_rescaled_parameters_score_on_the_original_scale():
    given = parameters()
    back = predictive.rescale(given, 10.0, 4.0)
    standard, original = score(given, Y), score(back, 10 + 4 * Y)
    assert original.crps.value == pytest.approx(4 * standard.crps.value, rel=1e-9)
    assert original.root_mean_squared_error.value == pytest.approx(
        4 * standard.root_mean_squared_error.value
    )
    shift = original.negative_log_likelihood.value - standard.negative_log_likelihood.value
    assert shift == pytest.approx(np.log(4.0), rel=1e-9)
    np.testing.assert_allclose(original.pit, standard.pit, rtol=1e-9)


def test_order_of_chains_and_draws_does_not_matter():
    given = parameters(4, 5)
    other = given.reshape(1, 20, 3, 2)[:, ::-1]
    np.testing.assert_allclose(
        score(given, Y).negative_log_likelihood, score(other, Y).negative_log_likelihood
    )


def test_all_methods_are_scored_at_one_reading():
    sealed = HeldOut(Y, "y_test")
    broken = parameters()
    broken[0, 3, 1, 0] = np.nan
    found = score_all({"a": parameters(), "b": broken, "c": parameters(points=2)}, sealed)
    assert set(found.scores) == {"a"}
    assert "parameters must be finite everywhere, got nan" in found.refused["b"]
    assert "prediction must be of 3 points" in found.refused["c"]
    assert found.scores["a"].crps == score(parameters(), Y).crps
    with pytest.raises(AlreadyReadError, match="score_all"):
        score_all({"a": parameters()}, sealed)


def test_intervals_are_scored_at_the_same_reading():
    centre = Interval(Y - np.array([1.0, 1.0, -1.0]), Y + np.array([1.0, 3.0, 2.0]))
    sealed = HeldOut(Y, "y_test")
    found = score_all({"a": parameters()}, sealed, intervals={"b": {0.9: centre}})
    assert found.intervals["b"].coverage[0.9].rate == pytest.approx(2 / 3)
    assert found.intervals["b"].width[0.9].value == pytest.approx((2 + 4 + 1) / 3)
    assert set(found.scores) == {"a"}


def test_bad_calls_leave_the_seal_whole():
    sealed = HeldOut(Y, "y_test")
    short = {"b": {0.9: Interval(Y[:2], Y[:2] + 1)}}
    for call in (
        lambda: score_all({}, sealed),
        lambda: score_all({"a": parameters()}, sealed, intervals=short),
        lambda: score_all({"a": parameters()}, sealed, (2,)),
    ):
        with pytest.raises(ValueError, match="must"):
            call()
    assert sealed.opened_by is None


def with_sd(sd):
    given = parameters()
    given[0, 0, 1, 1] = sd
    return given


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score(parameters(), [1.0]), "y must have at least 2 elements"),
        (lambda: score(parameters(), [1.0, 2.0]), "prediction must be of 2 points"),
        (lambda: score(parameters(), [1.0, 2.0, np.nan]), "y must be finite everywhere"),
        (lambda: score(with_sd(0.0), Y), "positive sds at .* got 0.0 at point 1"),
        (lambda: score(with_sd(np.inf), Y), "parameters must be finite everywhere, got inf"),
        (lambda: score(parameters()[..., 0], Y), r"of shape \(chain, draw, point, 2\)"),
        (lambda: score(parameters(), Y, (90,)), "probabilities must be strictly between"),
        (lambda: gaussian_mixture(parameters()).cdf([0.0]), "y must be one value for each of 3"),
        (lambda: predictive.rescale(parameters(), 0.0, 0.0), "sd must be positive and finite"),
        (lambda: predictive.rescale(np.zeros(3), 0.0, 1.0), r"parameters must be of shape"),
        (lambda: predictive.pit_uniformity([0.5, 1.5]), "pit must be between 0 and 1"),
        (lambda: predictive.GaussianMixture(np.zeros((1, 1)), np.zeros((1, 1))), "sds must be pos"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
