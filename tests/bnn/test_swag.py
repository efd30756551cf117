"""SWAG: its draws have the moments of the states it met, which are not the posterior's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.bnn import swag, train
from bnnbook.bnn.swag import Moments, Settings, draws_of, fit, moments_of
from bnnbook.bnn.train import FitError, FitWarning
from bnnbook.exact import conjugate_linear
from bnnbook.models.bayesian_network import Data, regression

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2))
Y = X @ [0.7, -0.4] + 0.2 + 0.3 * RNG.normal(size=60)
NEW = RNG.normal(size=(7, 2)) * 2
KEY = jax.random.key(0)
SEARCH = train.Settings(num_steps=500, num_refinements=0)
QUICK = Settings(search=SEARCH, num_states=400, batch_size=16, num_draws=20_000)


@pytest.fixture(scope="module")
def net():
    return regression(2, (), 0.3, activation="identity")


@pytest.fixture(scope="module")
def fitted(net):
    with jax.enable_x64(True):
        return fit(KEY, net, net.data(X, Y), QUICK)


def posterior():
    prior = conjugate_linear.NormalCoefficients.from_covariance(np.zeros(3), [0.5, 0.5, 1.0])
    return conjugate_linear.update(prior, np.column_stack([X, np.ones(60)]), Y, 0.3)


def formula(states, rank):
    """The covariance of q, written out a state at a time."""
    columns = [s - states[: i + 1].mean(axis=0) for i, s in enumerate(states)][-rank:]
    low_rank = sum(np.outer(c, c) for c in columns) / (rank - 1)
    return 0.5 * np.diag(states.var(axis=0)) + 0.5 * low_rank


def test_the_covariance_is_the_formula_of_the_states():
    states = 5 + np.cumsum(RNG.normal(size=(50, 3)), axis=0)
    with jax.enable_x64(True):
        moments = moments_of(jnp.asarray(states), 8)
    np.testing.assert_allclose(moments.mean, states.mean(axis=0))
    np.testing.assert_allclose(moments.covariance(), formula(states, 8))
    # Mutation: deviations from the last mean instead of the running one.
    columns = (states - states.mean(axis=0))[-8:]
    wrong = 0.5 * np.diag(states.var(axis=0)) + columns.T @ columns / 14
    assert not np.allclose(wrong, formula(states, 8), rtol=0.1)


def test_draws_of_a_linear_model_have_the_moments_of_its_states(fitted, net):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: leaf[0], fitted.params)
        vectors = np.asarray(jax.vmap(net.ravel)(params))
    mean, covariance = fitted.moments.mean[0], fitted.moments.covariance()[0]
    assert vectors.shape == (20_000, 3)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(vectors.mean(axis=0) - mean) < 4 * sd / 20_000**0.5).all()

    # Entries of a covariance from n draws have errors of at most sqrt(2 / n) of the sds' product.
    def off(wanted):
        return np.abs(np.cov(vectors.T) - wanted) / np.outer(sd, sd) * (20_000 / 2) ** 0.5

    assert (off(covariance) < 4).all()
    # Mutation: the half of the diagonal forgotten.
    assert (off(covariance + 0.5 * np.diag(fitted.moments.variance[0])) > 4).any()


def test_the_mean_of_a_linear_model_is_right_and_the_spread_is_not(fitted):
    design = np.column_stack([NEW, np.ones(7)])
    line = conjugate_linear.regression_line(posterior(), design)
    found = fitted.predict(NEW).sel(parameter="mean")[0]
    # States wander around the mode; their mean is within half a posterior sd of it.
    assert (np.abs(found.mean("draw") - line.mean) < 0.5 * line.sd).all()

    # The spread is the step's and the batches', where the posterior's has neither: a smaller step
    # makes it smaller, and with all rows at each step next to nothing is left.
    for change, most in (({"share": 0.01}, 0.7), ({"batch_size": 60}, 0.2)):
        with jax.enable_x64(True):
            settings = QUICK._replace(**change)
            other = fit(KEY, fitted.network, fitted.network.data(X, Y), settings)
        spread = other.predict(NEW).sel(parameter="mean")[0].std("draw")
        assert (spread < most * found.std("draw")).all()


def test_the_step_is_a_share_of_the_greatest_stable_one(fitted):
    # Of a linear model the Hessian of the mean loss is known: (XᵀX / σ² + I) / N in z's units.
    design = np.column_stack([X / 2**0.5, np.ones(60)])
    largest = np.linalg.eigvalsh(design.T @ design / 0.3**2 + np.eye(3))[-1] / 60
    assert fitted.step_sizes[0] == pytest.approx(0.1 * 2 / largest, rel=1e-4)


def test_each_member_has_a_mode_of_its_own():
    net = regression(2, (4,), 0.3)
    data = net.data(X, Y)
    settings = Settings(2, SEARCH, num_states=30, num_draws=9)
    fitted = fit(KEY, net, data, settings)
    found = fitted.predict(NEW)
    assert found.shape == (2, 9, 7, 2)
    np.testing.assert_array_equal(found, fitted.predict(NEW))
    assert np.abs(fitted.moments.mean[0] - fitted.moments.mean[1]).max() > 0.1
    assert fitted.log_density(data).shape == (2, 9)
    assert fitted.moments.deviations.shape == (2, 20, net.num_parameters)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 1}, "rank must be a whole number of at least 2"),
        ({"num_states": 10, "rank": 11}, "rank must be at most 10, the number of states"),
        ({"share": 1.5}, "share must be strictly between 0 and 1"),
        ({"thinning": 0}, "thinning must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"num_draws": 0}, "num_draws must be a whole number of at least 1"),
    ],
)
def test_bad_settings_are_refused(change, message, net):
    with pytest.raises(ValueError, match=message):
        fit(KEY, net, net.data(X, Y), QUICK._replace(**change))


def test_bad_data_and_divergence_are_refused(net, monkeypatch):
    with pytest.raises(ValueError, match="x must be finite everywhere"):
        fit(KEY, net, Data(X * np.nan, Y), QUICK)
    short = Settings(search=SEARCH._replace(num_steps=20, num_refinements=0), num_states=20)
    monkeypatch.setattr(swag, "_largest_curvature", lambda loss, params: jnp.array(1e-6))
    with pytest.raises(FitError, match="SWAG failed: broke down at step"):
        fit(KEY, net, net.data(X, Y), short._replace(num_states=21))
    assert Settings() == swag.DEFAULTS


def test_members_that_fail_are_left_out_and_the_others_kept(monkeypatch):
    net = regression(2, (4,), 0.3)
    data = net.data(X, Y)
    settings = Settings(3, SEARCH._replace(num_steps=50), num_states=10, rank=4, num_draws=5)
    whole = fit(KEY, net, data, settings)
    searched, wandered = train.search, swag._wander

    def broken_search(*args, **named):
        run = searched(*args, **named)
        return run._replace(failed_at=run.failed_at.at[1].set(7))

    def broken_walk(*args):
        return wandered(*args)._replace(failed_at=np.array([-1, -1, 3]))

    for name, broken, lost, message in (
        ("search", broken_search, 1, "member 1 broke down at step 7"),
        ("_wander", broken_walk, 2, "member 2 broke down at step 3"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(train if name == "search" else swag, name, broken)
            with pytest.warns(FitWarning, match=f"SWAG keeps 2 of 3 members: {message}"):
                found = fit(KEY, net, data, settings)
        assert found.attrs["num_failed"] == 1
        kept = [i for i in range(3) if i != lost]
        np.testing.assert_allclose(found.moments.mean, whole.moments.mean[kept], rtol=1e-4)


def test_a_single_datum_and_constant_targets_will_do(net):
    short = Settings(search=SEARCH._replace(num_steps=20), num_states=20, num_draws=3)
    for data in (net.data(X[:1], Y[:1]), net.data(X, np.ones(60))):
        assert np.isfinite(fit(KEY, net, data, short).predict(NEW)).all()


def test_q_of_known_moments_is_drawn():
    moments = Moments(jnp.zeros(2), jnp.array([2.0, 0.0]), jnp.array([[0.0, 2.0], [0.0, 0.0]]))
    np.testing.assert_allclose(moments.covariance(), np.diag([1.0, 2.0]))
    vectors = np.asarray(draws_of(KEY, moments, 20_000))
    np.testing.assert_allclose(vectors.var(axis=0), [1.0, 2.0], rtol=4 * (2 / 20_000) ** 0.5)
