"""The search finds what is known exactly, says when it has not, and names what broke it."""

import warnings

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.distributions.transforms import ExpTransform, SigmoidTransform, SoftplusTransform

from bnnbook.datasets import eight_schools, pima
from bnnbook.evidence import target as evidence_target
from bnnbook.exact import beta_binomial, conjugate_linear, normal_inverse_gamma
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma
from bnnbook.models import flat, hierarchical
from bnnbook.models.conjugate import conjugate_regression
from bnnbook.models.linear import linear_regression
from bnnbook.models.logistic import logistic_regression
from bnnbook.references import reference
from bnnbook.variational import elbo, families
from bnnbook.variational import fit as fit_module
from bnnbook.variational.fit import DRIFT, FitError, FitWarning, fit, fit_seeds, optimise

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(7)
MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[1.0, 1.8], [1.8, 4.0]])
PRECISION = np.linalg.inv(COVARIANCE)
X = np.column_stack([np.ones(30), np.linspace(-1, 2, 30)])
Y = X @ [1.0, 2.0] + np.random.default_rng(0).normal(0, 0.7, 30)
NORMAL_PRIOR = {"coefficients": dist.Normal(0.0, 2.0), "noise_sd": 0.7}


WRONG = families.MeanField(np.zeros(2), np.zeros(2))


def gaussian(x):
    """Normalised, so that its log evidence is zero."""
    z = x - MEAN
    return -0.5 * (z @ PRECISION @ z + np.linalg.slogdet(2 * np.pi * COVARIANCE)[1])


def coin(heads, num):
    p = numpyro.sample("p", dist.Beta(2.0, 3.0))
    numpyro.sample("heads", dist.Binomial(num, p), obs=heads)


def test_mean_field_on_a_gaussian_ends_at_the_closed_form():
    settings = {"num_draws": 1000, "tolerance": 1e-6, "window": 200, "num_steps": 4000}
    fitted = fit(KEY, gaussian, dimension=2, **settings)
    best = families.mean_field_optimum(MEAN, COVARIANCE)
    np.testing.assert_allclose(fitted.sd, best.sd, rtol=1e-3)
    np.testing.assert_allclose((fitted.mean - MEAN) / best.sd, 0, atol=0.05)
    assert fitted.converged
    # Mutation: the marginal standard deviations are more than twice as wide.
    assert (np.sqrt(np.diag(COVARIANCE)) > 2 * fitted.sd).all()
    # KL of the two normals: half the log of one over 1 − ρ².
    gap = -0.5 * np.log(1 - 1.8**2 / 4)
    assert abs(fitted.elbo + gap) < 4 * fitted.elbo_error + 1e-4


@pytest.mark.parametrize("family", [families.full_rank, families.low_rank(1)])
def test_a_family_that_holds_the_posterior_reaches_the_evidence(family):
    fitted = fit(KEY, gaussian, family, dimension=2)
    np.testing.assert_allclose(fitted.covariance, COVARIANCE, rtol=0.02)
    assert fitted.elbo == pytest.approx(0, abs=1e-3)
    assert fitted.elbo <= 4 * fitted.elbo_error + 1e-9
    assert fitted.converged


def conjugate_model(name):
    normal = NormalCoefficients.from_covariance(np.zeros(2), 4.0 * np.eye(2))
    prior = {"mean": np.zeros(2), "precision": np.eye(2), "shape": 3.0, "scale": 2.0}
    inverse_gamma = NormalInverseGamma.from_precision(*prior.values())
    if name == "known noise":
        target = flat.from_model(linear_regression, (X, Y), NORMAL_PRIOR)
        return target, conjugate_linear.log_evidence(normal, X, Y, 0.7), True
    if name == "unknown noise":
        target = flat.from_model(conjugate_regression, (X, Y), prior)
        return target, normal_inverse_gamma.log_evidence(inverse_gamma, X, Y), False
    # Of the number of heads, in whatever order: there are 120 orders.
    exact = beta_binomial.log_evidence(beta_binomial.Beta(2.0, 3.0), 7, 10) + np.log(120)
    return flat.from_model(coin, (7, 10)), exact, False


@pytest.mark.parametrize("name", ["known noise", "unknown noise", "coin"])
def test_elbo_never_exceeds_log_evidence(name):
    target, log_evidence, held = conjugate_model(name)
    fitted = fit(KEY, target, families.full_rank, num_check_draws=20_000)
    gap = log_evidence - fitted.elbo
    assert gap > -4 * fitted.elbo_error - 1e-6
    # Near enough for a normal in place of a slightly skewed posterior.
    assert gap < (4 * fitted.elbo_error + 1e-3 if held else 0.05)
    if held:
        # Mutation: a posterior 10 % too wide lies below by more than its error.
        wide = fitted.params._replace(root=1.1 * fitted.params.root)
        worse = elbo.elbo(KEY, target.log_density, families.full_rank, wide, 20_000)
        assert log_evidence - worse.value > 4 * worse.standard_error + 1e-3


NAMES = ("intercept", "npreg", "glu", "bmi", "ped")


def test_draws_compile_once_for_a_target():
    traced = []

    def counted(x):
        traced.append(1)
        return gaussian(x)

    fitted = fit(KEY, counted, dimension=2)
    fitted.pareto_k(KEY)
    before = len(traced)
    for i in range(3):
        fitted.pareto_k(jax.random.key(i))
        fitted.draws(jax.random.key(i), num_draws=500, num_chains=4)
    assert len(traced) == before


def women():
    table = pima.load()
    inputs = table.matrix(["npreg", "glu", "bmi", "ped"])
    z = (inputs - inputs.mean(0)) / inputs.std(0, ddof=1)
    args = (np.column_stack([np.ones(len(z)), z]), table["type"])
    prior = {"coefficients": dist.Normal(0.0, 10.0)}
    return flat.from_model(logistic_regression, args, prior, rows=(0, 1))


def test_a_search_compiles_its_window_once():
    """Its first window, the later ones and the check at the end are one program."""
    fit_module._window.clear_cache()  # else another test's programs could leave it meanwhile
    fitted = fit(KEY, lambda x: -0.5 * jnp.sum((x - 1.0) ** 2), dimension=3, num_check_draws=4000)
    assert fitted.num_steps > 100, "else there is no second window"
    assert fit_module._window._cache_size() == 1


def test_full_rank_recovers_pima():
    fitted = fit(KEY, women(), families.full_rank)
    mean, sd = (
        np.array([reference(f"pima-posterior.{n}_{part}").value for n in NAMES])
        for part in ("mean", "sd")
    )
    assert np.abs(fitted.mean - mean).max() < 0.05 * sd.min()
    np.testing.assert_allclose(fitted.sd, sd, rtol=0.05)
    exact = reference("pima-evidence.four").value
    assert exact - 0.05 < fitted.elbo < exact + 4 * fitted.elbo_error
    tree = fitted.draws(KEY, num_draws=2000)
    assert tree["posterior"]["coefficients"].shape == (4, 2000, 5)
    summary = az.summary(tree, ci_prob=0.9, ci_kind="eti")
    assert len(summary) == 5
    # From draw to draw k̂ differs by a tenth.
    assert np.median([fitted.pareto_k(key) for key in jax.random.split(KEY, 9)]) < 0.7


def test_minibatches_are_unbiased():
    target = women()
    x = jnp.asarray(target.start + 0.3)
    rows = jax.random.randint(KEY, (4000, 20), 0, target.num_rows)
    few = np.asarray(jax.jit(jax.vmap(lambda r: target.log_density_of_rows(x, r)))(rows))
    error = few.std(ddof=1) / np.sqrt(len(few))
    whole = float(target.log_density(x))
    assert abs(few.mean() - whole) < 4 * error
    # Mutation: the prior scaled up too, or nothing scaled.
    unscaled = few * 20 / target.num_rows
    assert abs(unscaled.mean() - whole) > 4 * error


MANY = 400
X_MANY = np.column_stack([np.ones(MANY), np.random.default_rng(1).normal(size=(MANY, 2))])
Y_MANY = X_MANY @ [3.0, -2.0, 1.0] + np.random.default_rng(2).normal(0, 0.7, MANY)


def of_rows_of(batch_size, num_seeds=6):
    """Errors of means in posterior sds, and ratios of sds, a row a seed."""
    prior = {"coefficients": dist.Normal(0.0, 10.0), "noise_sd": 0.7}
    target = flat.from_model(linear_regression, (X_MANY, Y_MANY), prior, rows=(0, 1))
    settings = {"num_draws": 4, "num_steps": 20_000, "spread": 0.0, "num_seeds": num_seeds}
    fits = fit_seeds(KEY, target, families.full_rank, batch_size=batch_size, **settings)
    normal = NormalCoefficients.from_covariance(np.zeros(3), 100.0 * np.eye(3))
    exact = conjugate_linear.update(normal, X_MANY, Y_MANY, 0.7)
    shifts = np.array([(f.mean - exact.mean) / exact.marginals.sd for f in fits])
    return shifts, np.array([f.sd / exact.marginals.sd for f in fits]), fits


def test_small_batches_end_where_all_of_the_data_do(monkeypatch):
    whole, _, _ = of_rows_of(None)
    assert np.abs(whole).max() < 1e-3
    few, ratios, fits = of_rows_of(50)
    # Each phase goes on until its average gradient, and so its average state, is known to DRIFT.
    assert np.sqrt(np.mean(few**2)) < 1.5 * DRIFT
    assert np.abs(few.mean(axis=0)).max() < 4 * DRIFT / np.sqrt(len(few))
    np.testing.assert_allclose(ratios.mean(axis=0), 1, atol=0.05)
    assert all(f.converged for f in fits)
    # Mutation: whatever noise could hide is taken for rest, and the search ends at once.
    monkeypatch.setattr(fit_module, "DRIFT", 10.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        early, _, _ = of_rows_of(50)
    assert np.sqrt(np.mean(early**2)) > 1.5 * DRIFT


FAMILIES = pytest.mark.parametrize(
    "family", [families.mean_field, families.full_rank, families.low_rank(1)]
)


@FAMILIES
def test_units_of_the_data_do_not_matter(family):
    """Outputs in one unit, inputs in others: the same search, and so the same diagnostics."""

    def scaled(unit, inputs):
        prior = dist.Normal(jnp.zeros(2), 2.0 * unit / inputs)
        given = {"coefficients": prior, "noise_sd": 0.7 * unit}
        return flat.from_model(linear_regression, (X * inputs, unit * Y), given)

    units = np.array([1.0, 1e-3])
    one, other = fit(KEY, scaled(1.0, 1.0), family), fit(KEY, scaled(1e4, units), family)
    np.testing.assert_allclose(other.mean, 1e4 / units * one.mean, rtol=1e-6)
    np.testing.assert_allclose(other.sd, 1e4 / units * one.sd, rtol=1e-6)
    assert other.num_steps == one.num_steps
    # Each of n observations has a density per unit.
    assert other.elbo == pytest.approx(one.elbo - len(Y) * np.log(1e4), abs=1e-5)
    assert other.elbo_error == pytest.approx(one.elbo_error, rel=1e-3, abs=1e-8)
    if family is families.mean_field:  # else there is no tail
        assert other.pareto_k(KEY) == pytest.approx(one.pareto_k(KEY), abs=1e-4)
    # Mutation: without the Jacobian of the units the bounds are far apart.
    assert abs(other.elbo - one.elbo) > 100


def test_units_do_not_matter_where_a_parameter_has_bounds():
    def schools_in(unit, y, sd):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0 * unit))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0 * unit))
        with numpyro.plate("school", len(y)):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(mu + tau * z, sd), obs=y)

    table = eight_schools.load()
    y, sd = table["effect"], table["standard_error"]
    one, other = (fit(KEY, flat.from_model(schools_in, (u, u * y, u * sd))) for u in (1.0, 1e3))
    assert other.elbo == pytest.approx(one.elbo - len(y) * np.log(1e3), abs=1e-4)
    shift = dict(zip(one.target.names, other.mean - one.mean, strict=True))
    assert shift["tau"] == pytest.approx(np.log(1e3), abs=1e-5)
    np.testing.assert_allclose(other.sd[1:], one.sd[1:], rtol=1e-4)
    assert other.pareto_k(KEY) == pytest.approx(one.pareto_k(KEY), abs=1e-3)
    # An ELBO far below zero by its units alone is no divergence, nor one far above.
    assert other.elbo < one.elbo - 50


def schools(model):
    table = eight_schools.load()
    return flat.from_model(model, (table["standard_error"], table["effect"]))


def test_eight_schools_centred_is_biased_and_non_centring_repairs():
    fits = {m: fit(KEY, schools(m)) for m in (hierarchical.centred, hierarchical.non_centred)}
    exact = reference("eight-schools.log_evidence").value
    sds, ks = {}, {}
    for model, fitted in fits.items():
        assert fitted.elbo < exact
        posterior = fitted.draws(KEY, num_draws=2500)["posterior"]
        assert posterior["theta"].shape == (4, 2500, 8)
        sds[model] = float(posterior["tau"].std()), float(posterior["mu"].std())
        ks[model] = fitted.pareto_k(KEY)
    mu_sd, tau_sd = (reference(f"eight-schools.{n}_sd").value for n in ("mu", "tau"))
    centred, non_centred = hierarchical.centred, hierarchical.non_centred
    assert sds[centred][0] < 0.6 * tau_sd
    assert sds[centred][1] < 0.7 * mu_sd
    assert sds[non_centred][1] == pytest.approx(mu_sd, rel=0.1)
    assert sds[non_centred][0] > 0.65 * tau_sd
    assert fits[centred].elbo < fits[non_centred].elbo - 1
    assert ks[centred] > 0.7 > ks[non_centred]


def test_it_is_general_in_dimension():
    d = 100
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(d, 2))
    covariance = np.diag(rng.uniform(0.5, 2, d)) + factor @ factor.T
    precision, mean = np.linalg.inv(covariance), rng.normal(size=d)

    def density(x):
        return -0.5 * (x - mean) @ precision @ (x - mean)

    log_z = 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    low = fit(KEY, density, families.low_rank(2), dimension=d)
    assert low.elbo == pytest.approx(log_z, abs=0.2)
    mean_field = fit(KEY, density, dimension=d)
    np.testing.assert_allclose(mean_field.sd, 1 / np.sqrt(np.diag(precision)), rtol=0.05)


def test_seeds_have_starts_and_noise_of_their_own():
    def bumps(x):
        return jnp.logaddexp(-2 * (x[0] - 4) ** 2, -2 * (x[0] + 4) ** 2)

    fits = fit_seeds(KEY, bumps, dimension=1, num_seeds=8, spread=3.0)
    signs = {np.sign(f.mean[0]) for f in fits}
    assert signs == {-1.0, 1.0}
    # Mode-seeking: each sits on one bump, whose sd is a half, and half the evidence is lost.
    for fitted in fits:
        assert fitted.sd[0] == pytest.approx(0.5, rel=0.05)
        lost = 0.5 * np.log(2 * np.pi * 0.25) - fitted.elbo
        assert lost == pytest.approx(0, abs=0.01)


def test_it_takes_an_evidence_target_and_runs_in_float32():
    target = evidence_target.from_model(linear_regression, (X, Y), NORMAL_PRIOR)
    fitted = fit(KEY, target, families.full_rank)
    normal = NormalCoefficients.from_covariance(np.zeros(2), 4.0 * np.eye(2))
    exact = conjugate_linear.update(normal, X, Y, 0.7)
    np.testing.assert_allclose(fitted.mean, exact.mean, atol=0.02 * exact.marginals.sd.min())
    assert fitted.dtype == "float64"
    with jax.enable_x64(False):
        model = flat.from_model(linear_regression, (X, Y), NORMAL_PRIOR)
        single = fit(KEY, model, families.full_rank)
    assert single.dtype == single.params.mean.dtype == "float32"
    np.testing.assert_allclose(single.mean, exact.mean, atol=0.05 * exact.marginals.sd.min())
    assert single.draws(KEY)["posterior"]["coefficients"].dtype == np.float32


@pytest.mark.parametrize(
    "estimator", [elbo.score_leave_one_out, elbo.score_control_variate, elbo.reparameterised]
)
def test_other_estimators_arrive_too(estimator):
    fitted = fit(KEY, gaussian, dimension=2, estimator=estimator, num_draws=100)
    best = families.mean_field_optimum(MEAN, COVARIANCE)
    np.testing.assert_allclose(fitted.sd, best.sd, rtol=0.05)


def test_the_bare_search_is_pure_and_vectorises_over_data():
    target = flat.from_model(linear_regression, (X, Y), NORMAL_PRIOR)
    start = families.full_rank.init(jnp.asarray(target.start), jnp.asarray(0.1 * target.scale))
    optimizer = optax.adam(0.05, b2=0.99)

    def one(key, y):
        density = lambda x: target.log_density_given(x, (X, y))  # noqa: E731
        settings = {"optimizer": optimizer, "num_steps": 2000, "num_draws": 16}
        return optimise(key, density, families.full_rank, start, **settings)

    data = np.stack([Y, Y[::-1], Y + 1])
    found = jax.jit(jax.vmap(one))(jax.random.split(KEY, 3), data)
    normal = NormalCoefficients.from_covariance(np.zeros(2), 4.0 * np.eye(2))
    for mean, y in zip(found.mean, data, strict=True):
        exact = conjugate_linear.update(normal, X, y, 0.7)
        np.testing.assert_allclose(mean, exact.mean, atol=0.05 * exact.marginals.sd.min())


def test_stopping_too_early_warns_of_the_parameter_that_is_farthest_off():
    def far(x):
        return -0.5 * x[0] ** 2 - 0.5 * (x[1] - 50.0) ** 2

    target = flat.from_log_density(far, 2, names=("near", "distant"))
    with pytest.warns(FitWarning, match=r"num_steps ran out.*asks distant to move.*more num_steps"):
        fitted = fit(KEY, target, num_steps=40)
    assert not fitted.converged
    assert fitted.num_steps == 40


def test_a_step_size_that_diverges_names_the_step_and_the_parameter():
    def steep(x):
        return -0.5 * x[0] ** 2 - 0.5e6 * x[1] ** 2

    target = flat.from_log_density(steep, 2, names=("gentle", "steep"))
    message = r"diverged: at step \d+ the ELBO was far below.*(gentle|steep).*smaller learning rate"
    with pytest.raises(FitError, match=message):
        fit(KEY, target, optimizer=optax.adam(8.0))
    with pytest.raises(
        FitError, match=r"at step \d+.*farthest off is steep.*smaller learning rate"
    ):
        fit(KEY, target, optimizer=optax.sgd(1e-3), initial_scale=1.0)


def bounded(x):
    inside = (x[1] > 0) & (x[1] < 1)
    return jnp.where(inside, 0.0, -jnp.inf) - 0.5 * x[0] ** 2


def nan_beyond(x):
    return jnp.sqrt(2.0 - x[1]) - 0.5 * x @ x


def kink(x):
    return -jnp.sqrt((x[1] - x[1]) ** 2) - 0.5 * x @ x


@pytest.mark.parametrize(
    ("density", "message"),
    [
        (bounded, r"not finite at step 0: the log density is -inf for b = -?\d.*by a bijection"),
        (nan_beyond, r"not finite at step \d+: the log density is nan for b = \d"),
        (kink, r"the gradient of the log density is nan at step 0 for b = "),
    ],
)
def test_what_is_not_finite_is_blamed_on_its_parameter(density, message):
    target = flat.from_log_density(density, 2, names=("a", "b"), start=[0.0, 0.5])
    with pytest.raises(FitError, match=message):
        fit(KEY, target, initial_scale=1.0)


def bounded_scale(y):
    scale = numpyro.sample("scale", dist.HalfNormal(2.0))
    numpyro.sample("y", dist.Normal(0.0, scale), obs=y)


def test_a_transform_must_cover_the_prior_and_stay_inside():
    y = np.array([0.5, -1.0, 2.0])
    message = r"transforms\['scale'\] must reach all of the prior's support.*lacks 1.649"
    with pytest.raises(ValueError, match=message):
        flat.from_model(bounded_scale, (y,), transforms={"scale": SigmoidTransform()})
    identity = dist.transforms.IdentityTransform()
    with pytest.raises(ValueError, match=r"must stay within the prior's support"):
        flat.from_model(bounded_scale, (y,), transforms={"scale": identity})
    with pytest.raises(ValueError, match="transforms must be for the sites scale"):
        flat.from_model(bounded_scale, (y,), transforms={"sigma": ExpTransform()})
    elbos = []
    for transform in (ExpTransform(), SoftplusTransform()):
        target = flat.from_model(bounded_scale, (y,), transforms={"scale": transform})
        fitted = fit(KEY, target, num_check_draws=20_000)
        assert (fitted.draws(KEY)["posterior"]["scale"] > 0).all()
        elbos.append(fitted.elbo)
    # The same posterior in other coordinates: another best normal, another gap.
    assert abs(elbos[0] - elbos[1]) > 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": gaussian}, "dimension must be given with a target that is a plain function"),
        ({"target": 3}, "target must be a target or a function"),
        ({"num_draws": 1}, "num_draws must be a whole number of at least 2"),
        (
            {"target": jnp.sin, "dimension": 2},
            "target must be a function from a vector to one real",
        ),
        ({"dimension": 0}, "dimension must be a whole number of at least 1"),
        ({"num_check_draws": 0}, "num_check_draws must be a whole number of at least 2"),
        ({"window": 0}, "window must be a whole number of at least 1"),
        ({"initial_scale": 0.0}, "initial_scale must be positive"),
        ({"family": families.full_rank, "initial": WRONG}, "a finite state of full rank in 2"),
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1"),
        ({"tolerance": -1.0}, "tolerance must be positive"),
        ({"batch_size": 4}, "target must tell its rows apart for batch_size = 4"),
        ({"initial": families.MeanField(np.zeros(3), np.zeros(3))}, "initial must be a finite"),
    ],
)
def test_bad_input_is_named(arguments, message):
    given = {"target": gaussian, "dimension": 2} if "target" not in arguments else {}
    with pytest.raises(ValueError, match=message):
        fit(KEY, **(given | arguments))


def test_what_is_no_part_of_a_search_is_named_where_types_go_unchecked():
    target = flat.from_log_density(gaussian, 2)
    right = [families.mean_field, None, elbo.reparameterised]
    for place, message in enumerate(("family must", "optimizer must", "estimator must")):
        wrong = [*right[:place], "wrong", *right[place + 1 :]]
        with pytest.raises(ValueError, match=message):
            fit_module._check_arguments(target, *wrong, None)
    fit_module._check_arguments(target, *right, 2)


def test_draws_ask_for_some():
    fitted = fit(KEY, gaussian, dimension=2)
    with pytest.raises(ValueError, match="num_draws must be a whole number of at least 1, got 0"):
        fitted.draws(KEY, num_draws=0)
    with pytest.raises(ValueError, match="num_draws must be a whole number of at least 100"):
        fitted.pareto_k(KEY, 99)
    with pytest.raises(ValueError, match="dimension must be 2 as the target's, got 3"):
        fit(KEY, fitted.target, dimension=3)


@pytest.mark.parametrize("rate", [1e3, 1e6])
@FAMILIES
def test_an_absurd_learning_rate_is_an_error_and_not_an_answer(family, rate):
    target = flat.from_model(linear_regression, (X, Y), NORMAL_PRIOR)
    with pytest.raises(FitError, match=r"at step \d+.*coefficients\[[01]\].*smaller learning rate"):
        fit(KEY, target, family, optimizer=optax.adam(rate))


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_a_density_that_is_nowhere_finite_says_so(value):
    target = flat.from_log_density(lambda x: value + 0.0 * x[0], 2, names=("a", "b"))
    with pytest.raises(FitError, match=r"step 0.*a = .*b = .*nor is it finite where the search"):
        fit(KEY, target)


def test_no_warning_is_the_rule():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(KEY, gaussian, dimension=2).converged
