"""The estimators against exact evidences, their standard errors by repetition, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from bnnbook.datasets import eight_schools, pima, radiata_pine
from bnnbook.evidence import (
    bic,
    bridge,
    harmonic_mean,
    importance,
    laplace,
    quadrature,
    savage_dickey,
)
from bnnbook.evidence import target as targets
from bnnbook.evidence.target import Target
from bnnbook.exact import normal_inverse_gamma
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma
from bnnbook.models import hierarchical
from bnnbook.models.conjugate import conjugate_regression
from bnnbook.models.logistic import logistic_regression
from bnnbook.references import reference

pytestmark = pytest.mark.usefixtures("x64")
PINE, WOMEN, SCHOOLS = radiata_pine.load(), pima.load(), eight_schools.load()
PRIOR = {"mean": np.array([3000.0, 185.0]), "precision": np.diag([0.06, 6.0])}
PRIOR |= {"shape": 3.0, "scale": 2 * 300.0**2}
KEY = jax.random.key(4)
Y = np.array([0.3, 1.9])


def pine(regressor, order=slice(None)):
    x = PINE[regressor][order]
    return np.column_stack([np.ones(len(x)), x - PINE[regressor].mean()]), PINE["strength"][order]


def gaussian(transform=lambda u: u, log_jacobian=lambda u: 0.0, start=(0.1, 0.2)):
    """θ ~ N(0, I), y ~ N(θ, I): the evidence is the density of N(0, 2 I) at y."""
    return Target(
        lambda u: -0.5 * jnp.sum(transform(u) ** 2) - jnp.log(2 * jnp.pi) + log_jacobian(u),
        lambda u: -0.5 * jnp.sum((Y - transform(u)) ** 2) - jnp.log(2 * jnp.pi),
        2,
        ("a", "b"),
        np.array(start),
    )


EXACT = float(-0.25 * Y @ Y - np.log(4 * np.pi))


def draws(seed, num=400):
    return Y / 2 + np.sqrt(0.5) * np.random.default_rng(seed).normal(size=(4, num, 2))


@pytest.mark.parametrize("regressor", ["density", "adjusted_density"])
def test_pine_conjugate(regressor):
    X, y = pine(regressor)
    target = targets.from_model(conjugate_regression, (X, y), PRIOR)
    exact = reference(f"pine-conjugate.{regressor}").value
    assert quadrature.estimate(target).log_evidence == pytest.approx(exact, abs=0.5e-5)
    posterior = normal_inverse_gamma.update(
        NormalInverseGamma.from_precision(*PRIOR.values()), X, y
    )
    tree = normal_inverse_gamma.draws(KEY, posterior)["posterior"]
    named = {"coefficients": tree["coefficients"], "noise_variance": tree["noise_sd"] ** 2}
    theta = target.flatten(named)
    for found in (importance.estimate(KEY, target), bridge.estimate(KEY, target, theta)):
        assert abs(found.log_evidence - exact) < 4 * found.standard_error
        # Mutation: the other power of the noise in the prior is off by far more.
        assert abs(found.log_evidence - exact - 0.1) > 4 * found.standard_error
    harmonic = harmonic_mean.estimate(target, theta)
    assert harmonic.flagged
    assert harmonic.standard_error is None
    assert harmonic.log_evidence > exact + 1


def independent(X, y):
    b0 = numpyro.sample("b0", dist.Normal(3000.0, 1000.0))
    b1 = numpyro.sample("b1", dist.Normal(185.0, 100.0))
    variance = numpyro.sample("variance", dist.InverseGamma(3.0, 2 * 300.0**2))
    numpyro.sample("y", dist.Normal(b0 + b1 * X[:, 1], jnp.sqrt(variance)).to_event(1), obs=y)


@pytest.mark.parametrize("regressor", ["density", "adjusted_density"])
def test_pine_independent(regressor):
    found = quadrature.estimate(targets.from_model(independent, pine(regressor)))
    exact = reference(f"pine-independent.{regressor}").value
    assert found.log_evidence == pytest.approx(exact, abs=0.5e-5)


def test_eight_schools():
    effects = (SCHOOLS["standard_error"], SCHOOLS["effect"])
    found = quadrature.estimate(targets.from_model(hierarchical.marginal, effects))
    assert found.log_evidence == pytest.approx(
        reference("eight-schools.log_evidence").value, abs=1e-6
    )
    with pytest.raises(ValueError, match="must have a maximum of its log_joint"):
        laplace.estimate(targets.from_model(hierarchical.centred, effects))


@pytest.mark.parametrize(("entry", "extra"), [("four", []), ("five", ["age"])])
def test_pima(entry, extra):
    inputs = WOMEN.matrix(["npreg", "glu", "bmi", "ped", *extra])
    z = (inputs - inputs.mean(0)) / inputs.std(0, ddof=1)
    args = (np.column_stack([np.ones(len(z)), z]), WOMEN["type"])
    target = targets.from_model(logistic_regression, args, {"coefficients": dist.Normal(0.0, 10.0)})
    approximate = laplace.estimate(target)
    assert approximate.standard_error is None
    printed = reference(f"pima-evidence.{entry}_laplace").value
    assert approximate.log_evidence == pytest.approx(printed, abs=0.5e-4)
    found = importance.estimate(KEY, target, num_samples=20000)
    exact = reference(f"pima-evidence.{entry}").value
    assert abs(found.log_evidence - exact) < 4 * found.standard_error
    assert abs(printed - exact) > 4 * found.standard_error


@pytest.mark.parametrize("method", ["importance", "bridge", "savage_dickey"])
def test_standard_errors_by_repetition(method):
    target, runs = gaussian(), 100
    # M0 fixes a = 0.5: its evidence is N(y_a; 0.5, 1) N(y_b; 0, 2).
    nested = -0.5 * (Y[0] - 0.5) ** 2 - 0.25 * Y[1] ** 2 - np.log(2 * np.pi) - 0.5 * np.log(2)
    whole = laplace.estimate(target)
    fixed = {"name": "a", "value": 0.5, "full": whole}
    fixed["log_prior_density"] = -0.125 - 0.5 * np.log(2 * np.pi)
    z = np.empty(runs)
    for i in range(runs):
        if method == "importance":
            found, exact = importance.estimate(jax.random.key(i), target, num_samples=500), EXACT
        elif method == "bridge":
            found, exact = bridge.estimate(jax.random.key(i), target, draws(i)), EXACT
        else:
            found, exact = savage_dickey.estimate(target, draws(i), **fixed), nested
        z[i] = (found.log_evidence - exact) / found.standard_error
    # Four standard errors of a mean and of a variance of standard normals.
    bound = 4 * np.sqrt(2 / runs)
    assert abs(z.mean()) < 4 / np.sqrt(runs)
    assert abs(z.var(ddof=1) - 1) < bound
    # Mutation: errors half as large.
    assert abs((2 * z).var(ddof=1) - 1) > bound


def test_laplace_is_exact_for_a_gaussian_and_changes_with_the_parameterisation():
    A = np.array([[2.0, 0.5], [0.0, -3.0]])
    affine = gaussian(lambda u: A @ u + 1.0, lambda u: jnp.log(6.0))
    bent = gaussian(jnp.sinh, lambda u: jnp.sum(jnp.log(jnp.cosh(u))))
    assert laplace.estimate(gaussian()).log_evidence == pytest.approx(EXACT, abs=1e-10)
    assert laplace.estimate(affine).log_evidence == pytest.approx(EXACT, abs=1e-10)
    assert abs(laplace.estimate(bent).log_evidence - EXACT) > 0.01
    for target in (affine, bent):
        assert quadrature.estimate(target).log_evidence == pytest.approx(EXACT, abs=1e-6)
    # Mutation: the Jacobian forgotten.
    forgotten = quadrature.estimate(gaussian(lambda u: A @ u + 1.0)).log_evidence
    assert abs(forgotten - EXACT) > 1


def test_order_of_the_data_does_not_matter_and_bic_is_its_formula():
    order = np.random.default_rng(0).permutation(42)
    one, two = (
        targets.from_model(conjugate_regression, pine("density", o), PRIOR)
        for o in (slice(None), order)
    )
    difference = laplace.estimate(one).log_evidence - laplace.estimate(two).log_evidence
    assert abs(difference) < 1e-8
    X, y = pine("density")
    rss = np.linalg.lstsq(X, y)[1][0]
    exact = -21 * (np.log(2 * np.pi * rss / 42) + 1) - 1.5 * np.log(42)
    assert bic.estimate(one, 42).log_evidence == pytest.approx(exact, abs=1e-6)


def test_a_target_is_compiled_once():
    traced = []

    def log_likelihood(u):
        traced.append(1)
        return -jnp.sum(u**2)

    target = Target(lambda u: -jnp.sum(u**2), log_likelihood, 1, ("u",), np.zeros(1))
    importance.estimate(KEY, target)
    count = len(traced)
    importance.estimate(KEY, target, num_samples=777)
    laplace.estimate(target)
    assert len(traced) == count


def flat_target():
    X, y = jnp.array([-1.0, -0.5, 0.7]), jnp.array([-1.0, -1.0, 1.0])
    return Target(
        lambda u: -0.5e-30 * jnp.sum(u**2),
        lambda u: -jnp.sum(jnp.logaddexp(0.0, -y * X * u[0])),
        1,
        ("u",),
        np.zeros(1),
    )


def improper():
    return Target(lambda u: 0.0 * u[0], lambda u: -(u[0] ** 2), 1, ("u",), np.zeros(1))


def ridge():
    prior = lambda u: -((u[0] + u[1]) ** 2)  # noqa: E731
    return Target(prior, prior, 2, ("a", "b"), np.zeros(2))


def nowhere():
    return Target(lambda u: -(u[0] ** 2), lambda u: -jnp.inf + u[0], 1, ("u",), np.zeros(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (improper, "proper prior, got a flat one of u"),
        (lambda: targets.from_model(logistic_regression, pima_two()), "proper prior"),
        (nowhere, "finite log_likelihood at its start, got -inf"),
        (lambda: laplace.estimate(ridge()), "maximum of its log_joint .*singular"),
        (lambda: bic.estimate(flat_target(), 3), "must have a maximum of its log_likelihood"),
        (lambda: bridge.estimate(KEY, gaussian(), draws(0, 1)), "draws must be of shape"),
        (lambda: harmonic_mean.estimate(gaussian(), draws(0, 1)), "draws must be of shape"),
        (lambda: importance.estimate(KEY, gaussian(), num_samples=1), "num_samples must be"),
        (lambda: bridge.estimate(KEY, gaussian(), np.ones((4, 200, 2))), "all of them moving"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def pima_two():
    return np.column_stack([np.ones(532), WOMEN["glu"] / 100]), WOMEN["type"]
