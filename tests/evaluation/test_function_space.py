"""Function space forgives relabelled units, and nothing else; certificates are hard to get."""

import arviz as az
import numpy as np
import pytest
import xarray as xr

from bnnbook.evaluation import function_space
from bnnbook.evaluation.function_space import diagnose

X = np.linspace(-2, 2, 20)


def scalars(chains=4, draws=1000):
    names, rng = ("log_density", "noise_sd"), np.random.default_rng(9)
    return dict(zip(names, rng.normal(size=(2, chains, draws)), strict=True))


def good(chains=4, draws=1000, points=20):
    return np.random.default_rng(10).normal(size=(chains, draws, points))


def two_units(relabel):
    """A net a₁ tanh(w₁x) + a₂ tanh(w₂x) whose chains hold its units in different orders."""
    w, a = np.random.default_rng(11).normal(0.0, 0.1, size=(2, 4, 1000, 2))
    w, a = w + np.array([1.0, 3.0]), a + np.array([2.0, -1.0])
    if relabel:
        w[::2], a[::2] = w[::2, :, ::-1].copy(), a[::2, :, ::-1].copy()
    f = np.einsum("cdu,cdup->cdp", a, np.tanh(w[..., None] * X))
    return {"w": w, "a": a}, f[..., X != 0]


def test_relabelled_units_spoil_the_weights_and_not_the_function():
    weights, f = two_units(relabel=True)
    found = diagnose(f, scalars(), weights)
    assert found.certified()
    assert found.weights.worst.r_hat > 1.5
    # Mutation: function space judged by weights that nobody relabelled hides the difference.
    weights, f = two_units(relabel=False)
    assert diagnose(f, weights=weights).weights.worst.r_hat < 1.02


def test_the_numbers_are_arviz_own():
    f = good(3, 50, 2).cumsum(axis=1)
    data = xr.Dataset({"f": (("chain", "draw", "point"), f)})
    found = function_space.mixing("f", f)
    np.testing.assert_allclose(found.r_hat, az.rhat(data)["f"])
    np.testing.assert_allclose(found.bulk_ess, az.ess(data, method="bulk")["f"])
    np.testing.assert_allclose(found.tail_ess, az.ess(data, method="tail")["f"])
    assert found.worst == (found.r_hat.max(), found.bulk_ess.min(), found.tail_ess.min())


def test_ess_counts_independent_draws():
    """An AR(1) chain of correlation ρ is worth (1 − ρ)/(1 + ρ) of its draws."""
    noise, rho = good(4, 4000, 6), 0.8
    chain = np.zeros_like(noise)
    for i in range(1, 4000):
        chain[:, i] = rho * chain[:, i - 1] + np.sqrt(1 - rho**2) * noise[:, i]
    ess = function_space.mixing("f", chain).bulk_ess.mean()
    exact = 16000 * (1 - rho) / (1 + rho)
    # The relative error of one estimate is about 8 % here, measured; of six, 3.5 %.
    assert abs(ess / exact - 1) < 0.15
    assert abs(16000 / exact - 1) > 0.15  # mutation: the draws themselves counted


def test_independent_chains_are_certified():
    found = diagnose(good(), scalars())
    assert found.shortfalls() == ()
    assert found.certified()
    assert set(found.summary()) == {"f", "log_density", "noise_sd"}


def shifted(off, by, points=20):
    """One chain off at some points: R̂ − 1 is about 0.107 times the shift squared."""
    f = good(draws=4000, points=points)
    f[0, :, :off] += by
    return f


@pytest.mark.parametrize(
    ("f", "others", "reason"),
    [
        (good(chains=3), scalars(3), "3 chains, at least 4 are needed"),
        (good(draws=90), scalars(draws=90), "bulk ESS of f falls to"),
        (shifted(4, 0.38), scalars(draws=4000), "R̂ of f is below 1.01 at 80% of the points only"),
        (shifted(1, 1.0), scalars(draws=4000), "R̂ of f reaches 1."),
        (good(), {"log_density": scalars()["log_density"]}, "noise_sd was not given"),
        (good(), scalars() | {"noise_sd": good(points=1)[..., 0] + np.arange(4)[:, None]}, "noise"),
        (
            good(),
            scalars() | {"extra": np.repeat(np.arange(4.0)[:, None], 1000, 1)},
            "extra is inf",
        ),
    ],
)
def test_a_run_that_falls_short_says_by_how_much(f, others, reason):
    """Mutations of a certified run, one for each condition."""
    found = diagnose(f, others)
    assert not found.certified()
    assert any(reason in sentence for sentence in found.shortfalls())


@pytest.mark.parametrize(
    ("r_hats", "passes"),
    [
        ([1.019] * 5 + [1.009] * 95, True),
        ([1.019] * 6 + [1.009] * 94, False),
        ([1.021] + [1.0] * 99, False),
    ],
)
def test_five_points_in_a_hundred_may_lie_between_the_bounds(r_hats, passes):
    ess = np.full(100, 401.0)
    f = function_space.Mixing(np.array(r_hats), ess, ess)
    fine = diagnose(good(), scalars()).scalars
    assert function_space.Diagnosis(f, fine, None, 4, 1000).certified() == passes


def test_a_likelihood_without_noise_needs_none():
    only = {"log_density": scalars()["log_density"]}
    assert diagnose(good(), only).certified(required=("log_density",))


def test_chains_that_never_moved_are_not_called_converged():
    f = good()
    f[..., 3] = np.arange(4.0)[:, None]
    found = diagnose(f, scalars())
    assert found.f.worst == (np.inf, 1.0, 1.0)
    assert not found.certified()
    assert np.isfinite(np.delete(found.f.r_hat, 3)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: diagnose(good(chains=1)), r"f must hold at least 2 chains .*num_chains=4"),
        (lambda: diagnose(good(draws=3)), "f must be of at least 4 draws a chain"),
        (lambda: diagnose(np.zeros((4, 9))), r"f must be of shape \(chain, draw, point\)"),
        (lambda: diagnose(np.zeros((4, 9, 2))), "f must vary, got quantity 0 the same"),
        (lambda: diagnose(good() * np.nan), "f must be finite everywhere, got nan"),
        (
            lambda: diagnose(good(), {"noise_sd": np.zeros((4, 9))}),
            r"scalars\['noise_sd'\] must be",
        ),
        (lambda: diagnose(good(), weights=good(chains=2)), r"weights must be of shape \(4, 1000"),
        (lambda: function_space.mixing("f", [1.0]), r"f must be of shape \(chain, draw, ...\)"),
        (lambda: diagnose(good()).f.r_hat_quantile(2.0), "probability must be a probability"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
