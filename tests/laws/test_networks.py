"""What holds for every approximate posterior of networks, and for the evidence of linear ones."""

import ast
import functools
import importlib
import pkgutil
from pathlib import Path

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import bnnbook
from bnnbook import bnn
from bnnbook.bnn import (
    deep_ensemble,
    laplace,
    mc_dropout,
    mean_field,
    nuts,
    sgld,
    swag,
    train,
)
from bnnbook.bnn import map as map_estimate
from bnnbook.datasets import diabetes, kidiq, pima, registry
from bnnbook.datasets.scaling import Scaling
from bnnbook.evidence import bridge, importance, nested, smc, thermodynamic
from bnnbook.evidence import laplace as laplace_evidence
from bnnbook.evidence.target import from_network
from bnnbook.exact import conjugate_linear
from bnnbook.models.bayesian_network import Data, Network, regression
from bnnbook.models.likelihoods import Categorical, Gaussian, HeteroscedasticGaussian
from bnnbook.models.networks import FullyConnected, LeNet

RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 2))
Y = X @ [0.7, -0.4] + 0.2 + 0.3 * RNG.normal(size=12)
NEW = RNG.normal(size=(5, 2)) * 2
KEY = jax.random.key(0)
SHORT = train.Settings(num_steps=20, num_refinements=0)
FITS = {
    "map": (map_estimate, SHORT),
    "laplace": (laplace, laplace.Settings("last layer", False, 8, 20, 0.02, None, 3, 2)),
    "mean_field": (mean_field, mean_field.Settings(20, num_draws=8, elbo_draws=2)),
    "mc_dropout": (mc_dropout, mc_dropout.Settings(0.2, 8, SHORT)),
    "deep_ensemble": (deep_ensemble, deep_ensemble.Settings(2, SHORT)),
    "sgld": (sgld, sgld.Settings(10, 4, 2, 2, 1e-4)),
    "swag": (swag, swag.Settings(1, SHORT, num_states=6, rank=3, num_draws=8)),
    "nuts": (nuts, nuts.Settings(20, 20, 2)),
}
ALL = pytest.mark.parametrize("method", FITS)
complains = pytest.mark.filterwarnings(
    "ignore::bnnbook.mcmc.nuts.SamplerWarning", "ignore::bnnbook.variational.fit.FitWarning"
)


def fitted(method, network, x, y):
    module, settings = FITS[method]
    return module.fit(KEY, network, network.data(x, y), settings)


def test_every_method_is_here():
    found = [
        importlib.import_module(f"bnnbook.bnn.{m.name}") for m in pkgutil.iter_modules(bnn.__path__)
    ]
    assert {m for m in found if hasattr(m, "fit")} == {module for module, _ in FITS.values()}


@ALL
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Data(X * np.nan, Y), "x must be finite everywhere, got nan"),
        (Data(X, np.where(Y > 0.5, np.inf, Y)), "y must be finite everywhere, got inf"),
        (Data(X[:0], Y[:0]), "x must have at least 1 elements"),
        (Data(X[:, :1], Y), r"x must be of shape \(points, 2\)"),
        (Data(X, Y[:3]), "x has 12, y has 3"),
    ],
)
def test_bad_data_are_refused_by_name(method, bad, message):
    module, settings = FITS[method]
    with pytest.raises(ValueError, match=message):
        module.fit(KEY, regression(2, (3,), 0.3), bad, settings)


@ALL
def test_no_network_has_zero_hidden_units(method):
    with pytest.raises(
        ValueError, match=r"widths\[0\] must be a whole number of at least 1, got 0"
    ):
        fitted(method, regression(2, (0,), 0.3), X, Y)


@complains
@ALL
@pytest.mark.parametrize("kind", ["one datum", "constant targets"])
def test_a_single_datum_and_constant_targets_are_fitted(method, kind):
    """Where a mode says nothing of the noise, its search warns; its own test tells of what."""
    x, y = (X[:1], Y[:1]) if kind == "one datum" else (X, np.full(12, 0.7))
    noise = 0.3 if kind == "one datum" else dist.LogNormal(-1.0, 0.5)
    network = regression(2, (3,), noise)
    found = fitted(method, network, x, y).predict(NEW)
    assert np.isfinite(found).all()
    assert (found.sel(parameter="sd") > 0).all()


def tables():
    def scaled(table, target, inputs):
        x, y = np.column_stack([table[name] for name in inputs]), np.asarray(table[target])
        return Scaling.of(x).scaled(x), y

    sugar, children, sick = diabetes.load(), kidiq.load(), pima.load()
    ten = [name for name in sugar.columns if name != "progression"]
    seven = [name for name in sick.columns if name not in ("type", "split")]
    x, y = scaled(sugar, "progression", ten)
    deep = Network(FullyConnected(len(ten), (4, 3), "relu"), HeteroscedasticGaussian(1.0))
    yield "diabetes, two layers of rectified units", deep, x, Scaling.of(y).scaled(y)
    # In points of the test, not standardised: scales are the caller's.
    x, y = scaled(children, "kid_score", ["mom_iq", "mom_hs"])
    free = dist.LogNormal(0.0, 0.5)
    points = Network(FullyConnected(2, (3,)), Gaussian(20.0), (1.0, 50.0), (1.0, 100.0), free)
    yield "kidiq, in points", points, x, y
    x, y = scaled(sick, "type", seven)
    yield "pima, classes", Network(FullyConnected(len(seven), (5,), "sin"), Categorical(2)), x, y
    images = np.random.default_rng(0).normal(size=(20, 11, 11, 1))
    small = LeNet((11, 11, 1), (2, 2), kernel=3, widths=(4,))
    yield "images, convolutions", Network(small, Categorical(3)), images, np.arange(20) % 3


TABLES = {name: rest for name, *rest in tables()}


@pytest.mark.slow
@complains
@ALL
@pytest.mark.parametrize("table", TABLES)
def test_any_table_and_any_architecture_go_through_the_same_calls(method, table):
    network, x, y = TABLES[table]
    found = fitted(method, network, x, y).predict(x[:7])
    assert found.dims == ("chain", "draw", "point", "parameter")
    assert found.shape[2:] == (7, len(network.likelihood.parameter_names))
    assert np.isfinite(found).all()
    if isinstance(network.likelihood, Categorical):
        np.testing.assert_allclose(np.exp(found).sum("parameter"), 1.0, rtol=1e-4)
    else:
        assert (found.sel(parameter="sd") > 0).all()


ROOT = Path(bnnbook.__file__).parent
KNOWN = {Path(name).stem for name in registry.ENTRIES} | {"mnist", "motorcycle"}


def names_of_data(source):
    """Names of data sets in what runs; what is written for readers may speak of them."""
    names = {"id", "name", "arg", "attr", "value"}
    tree = ast.parse(source)
    told = [
        n.body[0].value
        for n in ast.walk(tree)
        if isinstance(n, DOCUMENTED) and n.body and isinstance(n.body[0], ast.Expr)
    ]
    words = [
        getattr(node, name)
        for node in ast.walk(tree)
        if node not in told
        for name in names
        if isinstance(getattr(node, name, None), str)
    ]
    return sorted({one for one in KNOWN for word in words if one in word.lower()})


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


@pytest.mark.parametrize("room", ["bnn", "models", "evaluation"])
def test_no_method_knows_a_data_set(room):
    found = {
        path.name: names
        for path in (ROOT / room).glob("*.py")
        if (names := names_of_data(path.read_text("utf8")))
    }
    # The hierarchical model of eight schools is the data's own.
    assert set(found) <= {"hierarchical.py"}, found


def test_a_data_set_that_is_known_is_found():
    """Mutation: a method that looks for a name, or loads a table."""
    source = '"""Of concrete."""\nif name == "concrete":\n    rate = 5\nx = pima.load()'
    assert names_of_data(source) == ["concrete", "pima"]


def linear_evidence(noise_sd):
    design = np.column_stack([X, np.ones(12)])
    prior = conjugate_linear.NormalCoefficients.from_covariance(np.zeros(3), [0.5, 0.5, 1.0])
    posterior = conjugate_linear.update(prior, design, Y, noise_sd)
    return posterior, conjugate_linear.log_evidence(prior, design, Y, noise_sd)


@functools.cache
def linear_target():
    network = regression(2, (), 0.3)
    return from_network(network, network.data(X, Y))


def exact_draws(num=500):
    posterior, _ = linear_evidence(0.3)
    z = np.random.default_rng(1).normal(size=(4, num, 3))
    draws = posterior.mean + z @ np.linalg.cholesky(posterior.covariance).T
    return draws / np.array([0.5**0.5, 0.5**0.5, 1.0])


ESTIMATES = {
    "importance": lambda t: importance.estimate(KEY, t, num_samples=500),
    "bridge": lambda t: bridge.estimate(KEY, t, exact_draws()),
    "thermodynamic": lambda t: thermodynamic.estimate(KEY, t, num_rungs=16, num_walkers=64),
    "SMC": lambda t: smc.estimate(KEY, t, num_particles=200),
    "nested": lambda t: nested.estimate(KEY, t, num_live=300),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_evidence_of_a_linear_network_is_the_conjugate_one(name, x64):
    found = ESTIMATES[name](linear_target())
    off = abs(found.log_evidence - linear_evidence(0.3)[1])
    # Five estimates at 4.5 standard errors: a false alarm in 30,000 runs.
    assert off < 4.5 * found.standard_error + 1e-6
    # Mutation: another noise.
    assert abs(found.log_evidence - linear_evidence(0.36)[1]) > 4.5 * found.standard_error


def test_laplaces_evidence_of_a_linear_network_is_exact(x64):
    found = laplace_evidence.estimate(linear_target())
    assert found.log_evidence == pytest.approx(linear_evidence(0.3)[1], abs=1e-6)


def test_the_target_of_a_network_is_its_log_density(x64):
    network = regression(2, (3,), dist.LogNormal(-1.0, 0.5))
    data = network.data(X, Y)
    target = from_network(network, data)
    parts = target.evaluate(target.start[None])
    params = network.unravel(jax.numpy.asarray(target.start))
    assert parts.log_joint[0] == pytest.approx(float(network.log_density(params, data)), rel=1e-9)
    assert parts.log_prior[0] == pytest.approx(float(network.log_prior(params)), rel=1e-9)
    assert target.names == network.names()
    # Mutation: a start that is any draw: most are far worse than the best of many.
    others = np.asarray(jax.vmap(target.sample_prior)(jax.random.split(KEY, 50)))
    assert (target.evaluate(others).log_joint < parts.log_joint[0]).mean() > 0.9
