"""The reference values of the book's data: pine, Pima and the eight schools, by every method."""

import functools

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
    exact,
    harmonic_mean,
    importance,
    laplace,
    nested,
    quadrature,
    smc,
    thermodynamic,
)
from bnnbook.evidence import target as targets
from bnnbook.exact import normal_inverse_gamma
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma
from bnnbook.mcmc import nuts
from bnnbook.models import hierarchical
from bnnbook.models.conjugate import conjugate_regression
from bnnbook.models.logistic import logistic_regression
from bnnbook.references import reference

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(4)
PRIOR = {"mean": np.array([3000.0, 185.0]), "precision": np.diag([0.06, 6.0])}
PRIOR |= {"shape": 3.0, "scale": 2 * 300.0**2}
NIG = NormalInverseGamma.from_precision(*PRIOR.values())
WRONG_ROW = {"strength": 3670.0, "density": 32.3, "adjusted_density": 29.0}


def pine(regressor, wrong=False):
    table = radiata_pine.load()
    x, y = np.array(table[regressor]), np.array(table["strength"])
    if wrong:
        x[8], y[8] = WRONG_ROW[regressor], WRONG_ROW["strength"]
    return np.column_stack([np.ones(len(x)), x - x.mean()]), y


@functools.cache
def conjugate_pine(regressor, wrong=False):
    return targets.from_model(conjugate_regression, pine(regressor, wrong), PRIOR)


def independent(X, y):
    b0 = numpyro.sample("b0", dist.Normal(3000.0, 1000.0))
    b1 = numpyro.sample("b1", dist.Normal(185.0, 100.0))
    variance = numpyro.sample("variance", dist.InverseGamma(3.0, 2 * 300.0**2))
    numpyro.sample("y", dist.Normal(b0 + b1 * X[:, 1], jnp.sqrt(variance)).to_event(1), obs=y)


@functools.cache
def independent_pine(regressor):
    return targets.from_model(independent, pine(regressor))


@functools.cache
def logistic_pima(entry):
    table = pima.load()
    columns = ["npreg", "glu", "bmi", "ped"] + (["age"] if entry == "five" else [])
    inputs = table.matrix(columns)
    z = (inputs - inputs.mean(0)) / inputs.std(0, ddof=1)
    args = (np.column_stack([np.ones(len(z)), z]), np.asarray(table["type"]))
    kwargs = {"coefficients": dist.Normal(0.0, 10.0)}
    return targets.from_model(logistic_regression, args, kwargs), args, kwargs


@functools.cache
def schools():
    table = eight_schools.load()
    effects = (table["standard_error"], table["effect"])
    return targets.from_model(hierarchical.marginal, effects)


def close(found, truth):
    return abs(found.log_evidence - truth) < 4 * found.standard_error


@pytest.mark.parametrize("regressor", ["density", "adjusted_density"])
def test_pine_in_closed_form_and_by_quadrature(regressor):
    for wrong in (False, True):
        truth = reference(f"pine-conjugate.{'wrong_' * wrong}{regressor}").value
        found = exact.estimate(NIG, *pine(regressor, wrong)).log_evidence
        assert found == pytest.approx(truth, abs=0.5e-5)
    # Mutation: the wrong specimen does not pass for the right one.
    assert found != pytest.approx(reference(f"pine-conjugate.{regressor}").value, abs=0.01)
    by_grid = quadrature.estimate(conjugate_pine(regressor)).log_evidence
    assert by_grid == pytest.approx(reference(f"pine-conjugate.{regressor}").value, abs=0.5e-5)
    by_grid = quadrature.estimate(independent_pine(regressor)).log_evidence
    assert by_grid == pytest.approx(reference(f"pine-independent.{regressor}").value, abs=0.5e-5)


def test_the_bayes_factor_of_pine():
    logs = [
        exact.estimate(NIG, *pine(name)).log_evidence for name in ("adjusted_density", "density")
    ]
    factor = reference("pine-conjugate.bayes_factor").value
    assert np.exp(logs[0] - logs[1]) == pytest.approx(factor, abs=0.005)


def test_pine_by_posterior_draws_and_the_harmonic_mean_is_flagged():
    target, truth = conjugate_pine("density"), reference("pine-conjugate.density").value
    posterior = normal_inverse_gamma.update(NIG, *pine("density"))
    tree = normal_inverse_gamma.draws(KEY, posterior)["posterior"]
    draws = target.flatten(
        {"coefficients": tree["coefficients"], "noise_variance": tree["noise_sd"] ** 2}
    )
    found = bridge.estimate(KEY, target, draws)
    assert close(found, truth)
    # Mutation: another power of the noise in the prior is off by far more.
    assert not close(found, truth + 0.1)
    harmonic = harmonic_mean.estimate(target, draws)
    assert harmonic.flagged
    assert harmonic.standard_error is None
    assert harmonic.log_evidence > truth + 1


@pytest.mark.parametrize(
    ("case", "entry"),
    [
        (lambda: conjugate_pine("density"), "pine-conjugate.density"),
        (lambda: conjugate_pine("density", wrong=True), "pine-conjugate.wrong_density"),
        (lambda: independent_pine("adjusted_density"), "pine-independent.adjusted_density"),
        (lambda: logistic_pima("four")[0], "pima-evidence.four"),
        (lambda: logistic_pima("five")[0], "pima-evidence.five"),
        (schools, "eight-schools.log_evidence"),
    ],
)
def test_importance_sampling_and_thermodynamic_integration(case, entry):
    truth = reference(entry).value
    assert close(importance.estimate(KEY, case(), num_samples=20_000), truth)
    assert close(thermodynamic.estimate(KEY, case(), num_rungs=24, num_walkers=64), truth)


@pytest.mark.parametrize(
    ("case", "entry"),
    [
        (lambda: conjugate_pine("adjusted_density"), "pine-conjugate.adjusted_density"),
        pytest.param(schools, "eight-schools.log_evidence", marks=pytest.mark.slow),
        pytest.param(
            lambda: logistic_pima("four")[0], "pima-evidence.four", marks=pytest.mark.slow
        ),
    ],
)
def test_smc_and_nested_sampling(case, entry):
    truth = reference(entry).value
    assert close(smc.estimate(KEY, case(), num_particles=64, num_crowds=16), truth)
    assert close(nested.estimate(KEY, case(), num_live=100), truth)


def test_bridge_sampling_of_nuts_draws():
    target, args, kwargs = logistic_pima("four")
    tree = nuts.sample(KEY, logistic_regression, args, kwargs, num_warmup=300, num_samples=500)
    found = bridge.estimate(KEY, target, target.flatten(tree["posterior"]))
    assert close(found, reference("pima-evidence.four").value)
    # Mutation: the other model's evidence.
    assert not close(found, reference("pima-evidence.five").value)


@pytest.mark.parametrize("entry", ["four", "five"])
def test_laplace_of_pima_is_the_printed_value_and_not_the_truth(entry):
    target = logistic_pima(entry)[0]
    found = laplace.estimate(target)
    printed = reference(f"pima-evidence.{entry}_laplace").value
    assert found.log_evidence == pytest.approx(printed, abs=0.5e-4)
    sampled = importance.estimate(KEY, target, num_samples=20_000)
    assert abs(found.log_evidence - sampled.log_evidence) > 4 * sampled.standard_error


def test_eight_schools_by_quadrature_and_bic_of_pine_by_its_formula():
    truth = reference("eight-schools.log_evidence").value
    assert quadrature.estimate(schools()).log_evidence == pytest.approx(truth, abs=1e-6)
    X, y = pine("density")
    rss = np.linalg.lstsq(X, y)[1][0]
    formula = -21 * (np.log(2 * np.pi * rss / 42) + 1) - 1.5 * np.log(42)
    found = bic.estimate(conjugate_pine("density"), 42).log_evidence
    assert found == pytest.approx(formula, abs=1e-6)
