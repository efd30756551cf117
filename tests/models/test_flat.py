"""A model as a density over a flat vector: the right density, and the way back, for any support."""

import warnings
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions.transforms import ExpTransform, StickBreakingTransform
from numpyro.infer.util import log_density as numpyro_density
from scipy import special, stats

from bnnbook.models import flat
from bnnbook.variational import families
from bnnbook.variational.fit import FitError, fit
from bnnbook.variational.pathfinder import pathfinder

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(17)
sample = numpyro.sample
COUNTS = np.array([3, 5, 2])


def one_rate(count):
    rate = sample("rate", dist.Gamma(2.0, 1.0))
    sample("count", dist.Poisson(rate), obs=count)


def shares(counts):
    p = sample("p", dist.Dirichlet(jnp.array([1.0, 2.0, 1.5])))
    sample("counts", dist.Multinomial(10, p), obs=counts)


def correlated(y):
    scale = sample("scale", dist.HalfNormal(1.0).expand([2]).to_event(1))
    root = sample("root", dist.LKJCholesky(2, 2.0))
    numpyro.deterministic("correlation", root[1, 0])
    sample(
        "y", dist.MultivariateNormal(jnp.zeros(y.shape), scale_tril=scale[:, None] * root), obs=y
    )


def nested(y):
    top = sample("top", dist.Uniform(1.0, 4.0))
    with numpyro.plate("group", 3):
        part = sample("part", dist.Uniform(0.0, top))
        sample("y", dist.Normal(part, 0.5), obs=y)


RNG = np.random.default_rng(0)
Y = np.array([0.1, 0.7, -0.3])
MODELS = {
    "one bounded": (one_rate, (4,), ("rate",)),
    "simplex": (shares, (COUNTS,), ("p[0]", "p[1]")),
    "lkj": (correlated, (RNG.normal(size=(20, 2)),), ("root[0]", "scale[0]", "scale[1]")),
    "nested": (nested, (np.array([0.5, 1.0, 2.0]),), ("part[0]", "part[1]", "part[2]", "top")),
}
ALL = pytest.mark.parametrize("name", MODELS)


@cache  # to look a model over compiles a dozen programs
def target_of(name):
    model, args, _ = MODELS[name]
    return flat.from_model(model, args)


@ALL
def test_names_count_the_unbounded_parameters(name):
    target = target_of(name)
    assert target.names == MODELS[name][2]
    assert target.dimension == len(target.names) == len(target.start) == len(target.scale)
    assert np.isfinite(target.log_density(jnp.asarray(target.start)))


@ALL
def test_the_density_is_the_joint_times_the_jacobian(name):
    """Where the map back is one to one in numbers, its Jacobian by automatic differentiation."""
    model, args, _ = MODELS[name]
    target = target_of(name)
    x = jnp.asarray(target.start) + 0.3 * jnp.arange(1.0, target.dimension + 1)
    values = target.constrain(x)
    free = {  # as many numbers as unbounded parameters
        "one bounded": lambda v: v["rate"][None],
        "simplex": lambda v: v["p"][:2],
        "lkj": lambda v: jnp.append(v["correlation"], v["scale"]),
        "nested": lambda v: jnp.append(v["part"], v["top"]),
    }[name]
    jacobian = jax.jacobian(lambda u: free(target.constrain(u)))(x)
    with numpyro.validation_enabled(False):
        joint, _ = numpyro_density(model, args, {}, values)
    exact = float(joint + jnp.linalg.slogdet(jacobian)[1])
    assert float(target.log_density(x)) == pytest.approx(exact, abs=1e-9)
    # Mutation: the joint alone.
    assert abs(float(target.log_density(x)) - float(joint)) > 0.01


def test_the_unbounded_density_integrates_to_the_evidence():
    u = np.linspace(-20, 6, 4001)
    target = target_of("one bounded")
    logs = np.asarray(jax.vmap(target.log_density)(jnp.asarray(u)[:, None]))
    # A gamma prior and a Poisson count: the negative binomial, Gamma(6) / (4! Gamma(2) 2^6).
    exact = special.gammaln(6) - special.gammaln(5) - special.gammaln(2) - 6 * np.log(2)
    assert np.log(np.trapezoid(np.exp(logs), u)) == pytest.approx(exact, abs=1e-8)


@ALL
@pytest.mark.parametrize("family", [families.mean_field, families.full_rank])
def test_a_fit_stays_inside_every_support(name, family):
    model, args, _ = MODELS[name]
    fitted = fit(KEY, target_of(name), family, num_draws=8, num_check_draws=500)
    posterior = fitted.draws(KEY, num_draws=500)["posterior"]
    drawn = {
        k: jnp.asarray(posterior[k].values.reshape(-1, *posterior[k].shape[2:])) for k in posterior
    }
    with numpyro.handlers.seed(rng_seed=0), numpyro.handlers.trace() as trace:
        model(*args)
    if name != "nested":
        for site, value in drawn.items():
            if site != "correlation":
                assert bool(jnp.all(trace[site]["fn"].support(value))), site
    else:
        assert bool(jnp.all((drawn["part"] > 0) & (drawn["part"] < drawn["top"][:, None])))
    assert fitted.converged


def test_a_simplex_has_the_conjugate_posterior():
    fitted = fit(KEY, target_of("simplex"), families.full_rank, num_check_draws=20_000)
    concentration = np.array([1.0, 2.0, 1.5]) + COUNTS
    p = fitted.draws(KEY, num_draws=5000)["posterior"]["p"].values.reshape(-1, 3)
    exact = stats.dirichlet(concentration)
    sd = np.sqrt(exact.var())
    assert np.abs((p.mean(axis=0) - exact.mean()) / sd).max() < 0.1
    prior = np.array([1.0, 2.0, 1.5])
    evidence = stats.dirichlet_multinomial(prior, 10).logpmf(COUNTS)
    gap = evidence - fitted.elbo
    assert -4 * fitted.elbo_error - 1e-6 < gap < 0.05


def test_a_transform_of_a_simplex_is_taken():
    target = flat.from_model(shares, (COUNTS,), transforms={"p": StickBreakingTransform()})
    own = target_of("simplex")
    x = jnp.array([0.2, -0.4])
    assert float(target.log_density(x)) == pytest.approx(float(own.log_density(x)))
    with pytest.raises(ValueError, match=r"transforms\['p'\] must"):
        flat.from_model(shares, (COUNTS,), transforms={"p": ExpTransform()})


def line(x, y):
    slope = sample("slope", dist.Normal(0.0, 1.0))
    sample("y", dist.Normal(slope * x, 1.0), obs=y)


def test_precision_in_force_is_followed():
    x, y = np.linspace(0, 1, 5), np.linspace(0, 2, 5)
    target = flat.from_model(line, (x, y))
    assert target.log_density(jnp.asarray(target.start)).dtype == jnp.float64
    with jax.enable_x64(False):
        single = flat.from_model(line, (x, y))
        assert single.log_density(jnp.asarray(single.start)).dtype == jnp.float32
    # A target made in one precision works in the other.
    assert single.log_density(jnp.asarray(single.start)).dtype == jnp.float64


def no_unknowns(y):
    sample("y", dist.Normal(0.0, 1.0), obs=y)


def discrete(y):
    k = sample("k", dist.Categorical(jnp.ones(3) / 3))
    sample("y", dist.Normal(k, 1.0), obs=y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flat.from_model(no_unknowns, (Y,)), "at least one site that is not observed"),
        (lambda: flat.from_model(discrete, (Y,)), r"unknowns are continuous \(site 'k'\)"),
        (
            lambda: flat.from_model(line, (Y, Y[:2]), rows=(0, 1)),
            r"model_args\[0\] and model_args\[1\] must have the same length",
        ),
        (lambda: flat.from_model(line, (Y[:0], Y[:0]), rows=(0, 1)), "length of model_args"),
        (lambda: flat.from_model(line, (Y, Y), rows=(2,)), "rows must be one of"),
        (lambda: flat.from_log_density(jnp.sum, 0), "dimension must be .* at least 1, got 0"),
        (lambda: flat.from_log_density(jnp.sum, 2, names=["a"]), "names must be of length 2"),
        (lambda: flat.from_log_density(jnp.sum, 2, start=[np.nan, 0]), "start must be finite"),
        (lambda: flat.from_log_density(jnp.sum, 2, scale=[1, 0]), "scale must be positive"),
        (lambda: flat.simulator(line, (Y, None), outputs=("z",)), "outputs must be"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nan_in_the_data_is_named_as_the_likely_cause():
    target = flat.from_model(line, (Y, np.array([0.1, np.nan, 0.2])))
    with pytest.raises(FitError, match=r"step 0.*slope.*look for NaN in the data"):
        fit(KEY, target)
    with pytest.raises(FitError, match="no iterate"):
        pathfinder(KEY, target)


def test_no_data_leaves_the_prior():
    fitted = fit(KEY, flat.from_model(line, (Y[:0], Y[:0])))
    assert fitted.mean[0] == pytest.approx(0, abs=0.02)
    assert fitted.sd[0] == pytest.approx(1, rel=0.02)
    assert fitted.elbo == pytest.approx(0, abs=1e-2)


def test_one_dimension_is_no_special_case():
    for family in (families.mean_field, families.full_rank, families.low_rank(1)):
        fitted = fit(KEY, lambda x: -0.5 * ((x[0] - 3) / 0.1) ** 2, family, dimension=1)
        assert fitted.sd[0] == pytest.approx(0.1, rel=0.02)
        assert fitted.covariance.shape == (1, 1)


def test_simulated_parameters_follow_the_prior_and_fit_the_target():
    with jax.numpy_rank_promotion("allow"):  # NumPyro's own multinomial
        simulate = flat.simulator(shares, (None,), outputs=("counts",))
        x, data = jax.vmap(simulate)(jax.random.split(KEY, 2000))
    assert x.shape == (2000, 2)
    target = target_of("simplex")
    p = np.asarray(jax.vmap(target.constrain)(x)["p"])
    exact = stats.dirichlet([1.0, 2.0, 1.5])
    error = np.sqrt(exact.var() / len(p))
    assert np.abs((p.mean(axis=0) - exact.mean()) / error).max() < 4
    assert (data["counts"].sum(axis=1) == 10).all()
    # Mutation: draws taken for another prior's.
    other = stats.dirichlet([1.0, 1.0, 1.0])
    assert np.abs((p.mean(axis=0) - other.mean()) / error).max() > 4


def test_no_warning_is_the_rule():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target_of("nested")
