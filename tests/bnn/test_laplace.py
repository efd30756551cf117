"""Laplace's approximation of networks: exact where they are linear, and what it must not know."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import integrate

from bnnbook.bnn import laplace
from bnnbook.bnn.laplace import Settings, fit, gauss_newton
from bnnbook.exact import conjugate_linear
from bnnbook.models.bayesian_network import Network, Params, regression
from bnnbook.models.likelihoods import Categorical, Gaussian, HeteroscedasticGaussian
from bnnbook.models.networks import FullyConnected
from bnnbook.variational.fit import FitError, FitWarning

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 2))
Y = X @ [0.7, -0.4] + 0.2 + 0.3 * RNG.normal(size=30)
NEW = RNG.normal(size=(7, 2)) * 2
CLASSES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
NOISE = dist.LogNormal(np.log(0.5), 0.7)
SCALES = {"weight_scale": 1.7, "bias_scale": 0.6}
LIKELIHOODS = {
    "known noise": (Gaussian(0.3), Y),
    "unknown noise": (Gaussian(NOISE), Y),
    "changing noise": (HeteroscedasticGaussian(0.3), Y),
    "classes": (Categorical(3), CLASSES),
}
QUICK = Settings(map_steps=300, num_draws=64)


def exact(noise_sd, precision=1.0):
    """The conjugate answer: prior, posterior and evidence of the linear network."""
    design = np.column_stack([X, np.ones(len(X))])
    variances = np.array([1.7**2 / 2, 1.7**2 / 2, 0.6**2]) / precision
    prior = conjugate_linear.NormalCoefficients.from_covariance(np.zeros(3), variances)
    posterior = conjugate_linear.update(prior, design, Y, noise_sd)
    return posterior, conjugate_linear.log_evidence(prior, design, Y, noise_sd)


@pytest.mark.parametrize("subset", laplace.SUBSETS)
def test_a_linear_network_has_the_exact_posterior_and_evidence(subset, x64):
    net = regression(2, (), 0.3, **SCALES)
    settings = QUICK._replace(subset=subset, num_draws=20_000)
    fitted = fit(jax.random.key(0), net, net.data(X, Y), settings)
    posterior, evidence = exact(0.3)
    line = conjugate_linear.regression_line(posterior, np.column_stack([NEW, np.ones(7)]))
    mean, covariance = fitted.moments(NEW)
    np.testing.assert_allclose(mean[:, 0], line.mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(covariance[:, 0, 0] ** 0.5, line.sd, rtol=1e-8)
    assert fitted.log_evidence == pytest.approx(evidence, abs=1e-8)
    # 20,000 draws: 14 numbers within 4 standard errors, a false alarm in 1,000 runs.
    drawn = fitted.predict(NEW).sel(parameter="mean")[0]
    assert (np.abs(drawn.mean("draw") - line.mean) < 4 * line.sd / 20_000**0.5).all()
    np.testing.assert_allclose(drawn.std("draw"), line.sd, rtol=4 / 40_000**0.5)
    # A linear network is its own linearisation.
    np.testing.assert_allclose(fitted.sampled().predict(NEW), fitted.predict(NEW), rtol=1e-8)
    # Mutation: another noise.
    assert abs(fitted.log_evidence - exact(0.33)[1]) > 0.1


def test_the_noise_is_averaged_out_of_the_evidence(x64):
    net = regression(2, (), NOISE, **SCALES)
    fitted = fit(jax.random.key(0), net, net.data(X, Y), QUICK)

    def log_joint(u):
        return exact(np.exp(u))[1] + float(NOISE.log_prob(np.exp(u)) + u)

    top = log_joint(np.log(fitted.noise_sd))
    grid = np.linspace(-2.5, 0.5, 241)
    density = np.exp([log_joint(u) - top for u in grid])
    mass = integrate.simpson(density, x=grid)
    # 30 data: the log of σ is not quite normal, of order 1/(12 n) and more.
    assert fitted.log_evidence == pytest.approx(top + np.log(mass), abs=0.02)
    assert grid[np.argmax(density)] == pytest.approx(np.log(fitted.noise_sd), abs=0.0125)
    error = np.sqrt(
        integrate.simpson(density * (grid - np.log(fitted.noise_sd)) ** 2, x=grid) / mass
    )
    assert fitted.log_noise_error == pytest.approx(error, rel=0.1)
    # Mutation: the noise at its best value, not averaged out.
    assert abs(top - fitted.log_evidence) > 0.5


def test_the_priors_precision_is_the_one_of_highest_evidence(x64):
    net = regression(2, (), 0.3, **SCALES)
    fitted = fit(jax.random.key(0), net, net.data(X, Y), QUICK._replace(tune_prior=True))
    at = {factor: exact(0.3, fitted.prior_precision * factor)[1] for factor in (0.99, 1.0, 1.01)}
    assert fitted.log_evidence == pytest.approx(at[1.0], abs=1e-6)
    assert at[1.0] > max(at[0.99], at[1.01])
    assert fitted.prior_precision != pytest.approx(1.0, rel=0.1)
    assert at[1.0] > exact(0.3)[1]  # Mutation: the precision as it was.


def test_the_noise_is_found_where_it_is_known():
    x = np.linspace(-2, 2, 300)[:, None]
    net = regression(1, (10,), dist.LogNormal(0.0, 2.0), weight_scale=2.0)
    for seed in range(2):
        noise = np.random.default_rng(seed).normal(size=300)
        data = net.data(x, np.sin(2 * x[:, 0]) + 0.2 * noise)
        fitted = fit(jax.random.key(seed), net, data, Settings(num_draws=10))
        assert fitted.log_noise_error == pytest.approx(1 / 600**0.5, rel=0.15)
        assert abs(np.log(fitted.noise_sd / 0.2)) < 4 * fitted.log_noise_error
        # Mutation: another noise.
        assert abs(np.log(fitted.noise_sd / 0.25)) > 4 * fitted.log_noise_error


@pytest.mark.parametrize("kind", LIKELIHOODS)
@pytest.mark.parametrize("subset", laplace.SUBSETS)
def test_the_matrix_is_that_of_brute_force(kind, subset, x64, monkeypatch):
    likelihood, y = LIKELIHOODS[kind]
    net = Network(FullyConnected(2, (4, 3)), likelihood, scale_prior=dist.LogNormal(0.0, 0.5))
    data, params = net.data(X, y), net.draw_prior(jax.random.key(1))
    monkeypatch.setattr(laplace, "CHUNK_ROWS", 7)  # chunks, the last of them not full
    keep = [not n.startswith("log_noise") for n in net.names()]
    if subset == "last layer":
        keep = [n.startswith(("W2", "b2")) for n in net.names()]
    vector = net.ravel(params)
    full = jax.jacfwd(lambda v: net.outputs(net.unravel(v), data.x))(vector)[..., np.array(keep)]
    outputs = net.outputs(params, data.x)

    def information(f):
        """The mean of the squared score over data of the model: quadrature, or all classes."""
        score = jax.grad(lambda g, v: likelihood.log_prob(g[None], params.log_noise_sd, v[None])[0])
        if kind == "classes":
            weights, values = jax.nn.softmax(f), jnp.arange(3)
        else:
            nodes, weights = np.polynomial.hermite_e.hermegauss(20)
            mean, sd = likelihood.parameters(f[None], params.log_noise_sd)[0]
            weights, values = jnp.asarray(weights) / np.sqrt(2 * np.pi), mean + sd * nodes
        scores = jax.vmap(lambda v: score(f, v))(values)
        return jnp.einsum("k,ki,kj->ij", weights, scores, scores)

    h = jax.vmap(information)(outputs)
    expected = jnp.einsum("nop,noq,nqr->pr", full, h, full)
    found = gauss_newton(net, params, data, subset)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    # Mutation: one datum left out.
    less = jnp.einsum("nop,noq,nqr->pr", full[1:], h[1:], full[1:])
    assert not np.allclose(found, less, rtol=1e-3)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_nothing_changes_where_hidden_units_are_permuted_and_flipped(kind, x64):
    likelihood, y = LIKELIHOODS[kind]
    net = Network(FullyConnected(2, (4,)), likelihood)
    data = net.data(X, y)
    start = net.init(jax.random.key(0))
    first = fit(jax.random.key(0), net, data, QUICK, start=start)
    order, signs = jnp.array([2, 0, 3, 1]), jnp.array([1.0, -1.0, -1.0, 1.0])
    a, b = start.weights.layers
    flip = signs[order]
    other = eqx.tree_at(
        lambda p: [
            p.weights.layers[0].weight,
            p.weights.layers[0].bias,
            p.weights.layers[1].weight,
        ],
        start,
        [a.weight[:, order] * flip[None], a.bias[order] * flip, b.weight[order] * flip[:, None]],
    )
    second = fit(jax.random.key(0), net, data, QUICK, start=other)
    assert float(jnp.abs(net.ravel(first.mode) - net.ravel(second.mode)).max()) > 0.1
    assert second.log_evidence == pytest.approx(first.log_evidence, abs=1e-5)
    for one, two in zip(first.moments(NEW), second.moments(NEW), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-4)
    # Mutation: flipped on one side of the hidden layer alone.
    bias = lambda p: p.weights.layers[0].bias  # noqa: E731
    wrong = eqx.tree_at(bias, second.mode, bias(second.mode) * flip)
    moved = laplace.Laplace(**{**vars(second), "mode": wrong}).moments(NEW)
    assert not np.allclose(moved.mean, first.moments(NEW).mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "subset"), list(zip(LIKELIHOODS, [*laplace.SUBSETS, *laplace.SUBSETS], strict=True))
)
def test_every_likelihood_predicts_its_parameters(kind, subset):
    likelihood, y = LIKELIHOODS[kind]
    net = Network(FullyConnected(2, (4, 3)), likelihood)
    fitted = fit(jax.random.key(0), net, net.data(X, y), QUICK._replace(subset=subset))
    found = fitted.predict(NEW)
    assert found.shape == (1, 64, 7, len(likelihood.parameter_names))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, fitted.predict(NEW))
    assert fitted.sampled().predict(NEW).shape == found.shape
    assert (fitted.noise_sd is None) == (kind != "unknown noise")
    if kind == "classes":
        np.testing.assert_allclose(np.exp(found).sum("parameter"), 1.0, rtol=1e-5)
    else:
        assert (found.sel(parameter="sd") > 0).all()


def test_the_draws_of_weights_fail_in_the_network_itself():
    """The linear network fits the data; the network, with the same weights, does not."""
    x = np.linspace(-2, 2, 40)[:, None]
    y = np.sin(2 * x[:, 0]) + 0.1 * np.random.default_rng(0).normal(size=40)
    net = regression(1, (30,), 0.1, weight_scale=3.0)
    fitted = fit(jax.random.key(0), net, net.data(x, y), Settings(num_draws=200))
    error = {}
    for name, prediction in (("linear", fitted), ("network", fitted.sampled())):
        off = prediction.predict(x).sel(parameter="mean")[0] - y[None]
        error[name] = float(np.sqrt((off**2).mean()))
    assert error["linear"] < 0.2
    assert error["network"] > 2 * error["linear"]


def test_a_single_datum_and_constant_targets_leave_the_prior_to_speak(x64):
    net = regression(2, (3,), 0.3)
    for x, y in ((X[:1], Y[:1]), (X, np.zeros(30))):
        fitted = fit(jax.random.key(0), net, net.data(x, y), QUICK)
        assert np.isfinite(fitted.log_evidence)
        assert (fitted.moments(NEW).covariance > 0).all()


def test_equal_shapes_compile_once():
    traced = []

    def count(h):
        traced.append(1)
        return jnp.tanh(h)

    def once(seed):
        net = regression(2, [3], NOISE, activation=count)
        fit(jax.random.key(seed), net, net.data(X, Y + seed), QUICK).predict(NEW)

    once(0)
    first = len(traced)
    once(1)
    assert len(traced) == first


def bad(settings=QUICK, likelihood=None, y=Y, widths=(3,), **options):
    net = Network(FullyConnected(2, widths), likelihood or Gaussian(0.3), **options)
    fit(jax.random.key(0), net, net.data(X, y), settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bad(y=Y * np.nan), "y must be finite everywhere"),
        (lambda: bad(widths=(0,)), r"widths\[0\] must be a whole number of at least 1"),
        (lambda: bad(QUICK._replace(subset="first")), "subset must be one of 'all', 'last layer'"),
        (lambda: bad(QUICK._replace(num_draws=0)), "num_draws must be a whole number"),
        (lambda: bad(QUICK._replace(learning_rate=-1.0)), "learning_rate must be positive"),
        (
            lambda: bad(QUICK._replace(tune_prior=True), scale_prior=dist.HalfNormal(1.0)),
            "tune_prior must be False where a scale_prior",
        ),
        (
            lambda: bad(widths=(100, 100)),
            r'network must be of at most 6000 random weights.*take subset="last layer", got 10501',
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_start_of_another_network_is_refused():
    net, wider = regression(2, (3,), 0.3), regression(2, (9,), 0.3)
    with pytest.raises(ValueError, match=r"start must be of shapes .*\(2, 3\)"):
        fit(jax.random.key(0), net, net.data(X, Y), QUICK, start=wider.init(jax.random.key(1)))


def test_what_has_no_best_value_is_an_error(x64):
    flat = {"y": np.zeros(30), "widths": ()}
    with pytest.raises(FitError, match="maximum in the precision of the prior"):
        bad(QUICK._replace(tune_prior=True), **flat)
    with pytest.raises(FitError, match=r"Laplace failed: broke down at step \d+.* smaller"):
        bad(QUICK._replace(learning_rate=1e300))


def test_a_matrix_that_rounding_leaves_indefinite_is_damped(x64):
    matrix = np.array([[1.0, 1 + 1e-9], [1 + 1e-9, 1.0]])
    point = laplace._Point(0.0, np.array([1.0, 2.0]), matrix, np.full(2, 1e-6))
    step, damping = point.step(-20.0, 0.0)
    assert np.isfinite(step).all()
    assert damping > 0
    # Mutation: a matrix that is as it should be is left as it is.
    step, damping = point._replace(matrix=np.eye(2)).step(0.0, 0.0)
    assert damping == 0.0
    np.testing.assert_allclose(step, [1.0 / 1.001, 2.0 / 1.001])
    with pytest.raises(FitError, match="curvature must be positive definite at the mode"):
        point._replace(matrix=-np.eye(2)).step(0.0, 0.0)


def test_noise_that_vanishes_is_told_and_not_an_error_of_the_solver():
    net = Network(FullyConnected(2, (8,)), HeteroscedasticGaussian(0.3), 3.0, 3.0)
    data = net.data(np.random.default_rng(3).normal(size=(30, 2)), np.zeros(30))
    noise = pytest.warns(FitWarning, match="the noise sd by Laplace is")
    with noise, pytest.warns(FitWarning, match="nats below the top"):
        fitted = fit(jax.random.key(1), net, data, Settings(num_draws=5))
    assert np.isfinite(fitted.log_evidence)


def test_noise_that_has_not_settled_is_told():
    net = regression(2, (3,), NOISE)
    with pytest.warns(FitWarning, match="not settled: in the last of 1 rounds"):
        fit(jax.random.key(0), net, net.data(X, Y), QUICK._replace(num_rounds=1))


def test_constant_targets_find_their_noise_under_a_prior_that_vanishes_at_nought(x64):
    for prior, fails in ((dist.HalfNormal(1.0), True), (NOISE, False)):
        net = regression(2, (), prior)
        data = net.data(X, np.zeros(30))
        if fails:
            with pytest.raises(FitError, match="maximum in the noise sd"):
                fit(jax.random.key(0), net, data, QUICK)
        else:
            with pytest.warns(FitWarning, match="noise sd by Laplace"):
                assert 0 < fit(jax.random.key(0), net, data, QUICK).noise_sd < 0.5


def test_a_large_network_has_its_last_layer():
    net = regression(2, (100, 100), 0.3)
    fitted = fit(jax.random.key(0), net, net.data(X, Y), QUICK._replace(subset="last layer"))
    assert fitted.root.shape == (101, 101)
    assert isinstance(fitted.sampled().params, Params)
