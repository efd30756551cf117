"""Targets that no chapter has: one dimension, odd scales, strange supports, and what breaks."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from bnnbook.models import flat
from bnnbook.models.linear import linear_regression
from bnnbook.pareto import pareto_k
from bnnbook.variational import elbo, families
from bnnbook.variational.fit import FitError, FitWarning, fit
from bnnbook.variational.guides import fit_guide
from bnnbook.variational.pathfinder import pathfinder

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(21)
NORMALS = [families.mean_field, families.full_rank, families.low_rank(1)]
sample = numpyro.sample


def scaled(scale):
    """A normal density with those standard deviations, not normalised."""
    return lambda x: -0.5 * jnp.sum((x / scale) ** 2)


@pytest.mark.parametrize("family", NORMALS)
def test_one_dimension_is_like_any_other(family):
    fitted = fit(KEY, scaled(3.0), family, dimension=1)
    assert fitted.sd[0] == pytest.approx(3.0, rel=0.01)
    assert fitted.elbo == pytest.approx(np.log(3.0) + families.LOG_TWO_PI / 2, abs=1e-3)


@pytest.mark.parametrize("family", NORMALS[:2])
def test_scales_that_the_target_does_not_tell_are_found(family):
    """Twelve orders of magnitude in one target whose stated scale is 1."""
    sd = np.array([1e-6, 1.0, 1e6])
    fitted = fit(KEY, scaled(sd), family, dimension=3)
    assert fitted.converged
    np.testing.assert_allclose(fitted.sd, sd, rtol=0.02)
    assert fitted.elbo == pytest.approx(1.5 * families.LOG_TWO_PI, abs=1e-2)


@pytest.mark.parametrize("family", NORMALS)
def test_a_correlation_near_one(family):
    rho = 0.9999
    covariance = np.array([[1, rho], [rho, 1]])
    precision = np.linalg.inv(covariance)
    fitted = fit(KEY, lambda x: -0.5 * x @ precision @ x, family, dimension=2)
    held = family is not families.mean_field
    expected = np.ones(2) if held else families.mean_field_optimum(np.zeros(2), covariance).sd
    assert fitted.converged
    np.testing.assert_allclose(fitted.sd, expected, rtol=0.05)
    log_z = 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    gap = 0.0 if held else -0.5 * np.log(1 - rho**2)
    assert fitted.elbo == pytest.approx(log_z - gap, abs=4 * fitted.elbo_error + 0.01)
    # Mutation: the other family's width is far away.
    assert not np.allclose(fitted.sd, np.ones(2) if not held else 0.014, rtol=0.05)


@pytest.mark.parametrize("estimator", elbo.ESTIMATORS.values(), ids=elbo.ESTIMATORS)
def test_every_estimator_arrives_in_one_dimension(estimator):
    fitted = fit(KEY, scaled(0.5), dimension=1, estimator=estimator, num_draws=64)
    assert fitted.sd[0] == pytest.approx(0.5, rel=0.02)


def simplex(counts):
    p = sample("p", dist.Dirichlet(jnp.array([1.0, 2.0, 3.0])))
    sample("y", dist.Multinomial(10, p), obs=counts)


def correlations(y):
    root = sample("root", dist.LKJCholesky(2, 2.0))
    sample("y", dist.MultivariateNormal(jnp.zeros((len(y), 2)), scale_tril=root), obs=y)


def at_the_edge(y):
    level = sample("level", dist.Uniform(2.0, 5.0))
    sample("y", dist.Normal(level, 0.1), obs=y)


def in_order(y):
    free = dist.Normal(0.0, 1.0).expand([3]).to_event(1)
    cuts = sample("cuts", dist.TransformedDistribution(free, dist.transforms.OrderedTransform()))
    sample("y", dist.Normal(cuts, 1.0), obs=y)


PAIRS = np.random.default_rng(0).multivariate_normal(np.zeros(2), [[1, 0.8], [0.8, 1]], 40)


def log_evidence_of_correlations():
    """By quadrature over the correlation r, whose density is proportional to 1 − r²."""
    r = np.tanh(np.linspace(-8, 8, 4001))
    squares, cross = np.sum(PAIRS**2), np.sum(np.prod(PAIRS, axis=1))
    log_p = -len(PAIRS) * np.log(2 * np.pi) - 0.5 * len(PAIRS) * np.log1p(-(r**2))
    log_p -= 0.5 * (squares - 2 * r * cross) / (1 - r**2)
    density = np.exp(log_p - log_p.max()) * 0.75 * (1 - r**2)
    return log_p.max() + np.log(np.trapezoid(density, r))


def log_evidence_of_counts():
    log_gamma = jax.scipy.special.gammaln
    a, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 3.0, 5.0])
    coefficient = log_gamma(11.0) - log_gamma(y + 1).sum()
    ratio = log_gamma(a.sum()) - log_gamma(a).sum() + log_gamma(a + y).sum()
    return float(coefficient + ratio - log_gamma((a + y).sum()))


@pytest.mark.parametrize(
    ("model", "data", "site", "holds", "exact"),
    [
        (
            simplex,
            np.array([2.0, 3.0, 5.0]),
            "p",
            lambda v: np.allclose(v.sum(-1), 1) and (v > 0).all(),
            log_evidence_of_counts,
        ),
        (
            correlations,
            PAIRS,
            "root",
            lambda v: np.allclose((v**2).sum(-1), 1),
            log_evidence_of_correlations,
        ),
        (at_the_edge, np.array([4.95, 5.0]), "level", lambda v: ((v > 2) & (v < 5)).all(), None),
        (in_order, np.array([0.0, 1.0, 2.0]), "cuts", lambda v: (np.diff(v) > 0).all(), None),
    ],
)
def test_draws_stay_on_any_support_and_below_its_evidence(model, data, site, holds, exact):
    fitted = fit(KEY, flat.from_model(model, (data,)), families.full_rank)
    assert fitted.converged
    values = fitted.draws(KEY, 500)["posterior"][site].values
    assert np.isfinite(values).all()
    assert holds(values)
    if exact is not None:
        gap = exact() - fitted.elbo
        assert -4 * fitted.elbo_error < gap < 0.1


def discrete(y):
    which = sample("which", dist.Bernoulli(0.5))
    mean = sample("mean", dist.Normal(0.0, 1.0))
    sample("y", dist.Normal(mean + which, 1.0), obs=y)


def test_a_discrete_unknown_is_refused_by_its_name():
    message = r"model must be a model whose unknowns are continuous \(site 'which'\)"
    with pytest.raises(ValueError, match=message):
        flat.from_model(discrete, (1.0,))
    with pytest.raises(ValueError, match=message):
        fit_guide(KEY, discrete, (1.0,), num_steps=5)


def line(x, y):
    slope = sample("slope", dist.Normal(0.0, 1.0))
    spread = sample("spread", dist.HalfNormal(1.0))
    sample("y", dist.Normal(slope * x, spread), obs=y)


def test_nan_in_one_row_is_found_by_the_minibatch_that_draws_it():
    x = np.linspace(-1, 1, 200)
    target = flat.from_model(line, (x, np.where(x == x[100], np.nan, x)), rows=(0, 1))
    message = r"not finite at step [1-9]\d*: .*slope = .*spread = .*NaN in the data"
    with pytest.raises(FitError, match=message):
        fit(KEY, target, batch_size=4)


def improper():
    sample("level", dist.ImproperUniform(dist.constraints.real, (), ()))


@pytest.mark.parametrize("family", NORMALS[:2])
def test_a_posterior_that_is_not_proper_is_an_error(family):
    message = r"at step \d+ level has mean .* is the posterior proper"
    with pytest.raises(FitError, match=message):
        fit(KEY, flat.from_model(improper), family)
    # Mutation: one datum makes it proper.
    proper = flat.from_log_density(lambda x: -0.5 * x[0] ** 2, 1)
    assert fit(KEY, proper, family).converged


def test_a_start_out_of_reach_is_said_and_told():
    def distant(x):
        return -0.5 * (x[0] - 1e6) ** 2

    with pytest.warns(FitWarning, match=r"asks x\[0\] to move.* start and scale are nearer"):
        fitted = fit(KEY, distant, dimension=1, num_steps=1000)
    assert not fitted.converged
    assert fitted.pareto_k(KEY) > 0.7  # ∞: one weight is beyond all others
    target = flat.from_log_density(distant, 1, start=[1e6])
    assert fit(KEY, target).mean[0] == pytest.approx(1e6, abs=0.05)


def test_weights_of_which_one_outweighs_all_have_no_finite_k():
    weights = np.random.default_rng(0).normal(0, 1e4, 1000)
    assert pareto_k(weights) == np.inf
    # Equal but for rounding is the other end.
    for noise in (0.0, 1e-13, 1e-11):
        assert pareto_k(np.random.default_rng(0).normal(0, noise, 1000)) < 0.7


def slope_in(unit):
    x = np.column_stack([np.ones(30), np.linspace(-1, 2, 30)])
    y = x @ [1.0, 2.0] + np.random.default_rng(0).normal(0, 0.7, 30)
    prior = {"coefficients": dist.Normal(0.0, 2.0 * unit), "noise_sd": 0.7 * unit}
    return flat.from_model(linear_regression, (x, unit * y), prior)


def test_units_of_the_data_do_not_matter_to_pathfinder():
    unit = 1e8
    one, other = (pathfinder(KEY, slope_in(u)) for u in (1.0, unit))
    assert other.num_steps == one.num_steps > 3
    assert other.elbo == pytest.approx(one.elbo - 30 * np.log(unit), abs=1e-4)
    draws = [q.flat_draws(KEY, 100) for q in (one, other)]
    np.testing.assert_allclose(draws[1], unit * draws[0], rtol=1e-4, atol=1e-6 * unit)


def test_pathfinder_says_where_it_found_no_slope():
    with pytest.warns(FitWarning, match=r"path ended where it began.*scale="):
        pathfinder(KEY, scaled(1e6), dimension=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target = flat.from_log_density(scaled(1e6), 2, scale=np.full(2, 1e6))
        found = pathfinder(KEY, target)
    np.testing.assert_allclose(found.flat_draws(KEY, 20_000).std(axis=0), 1e6, rtol=0.05)
