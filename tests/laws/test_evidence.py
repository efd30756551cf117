"""What holds for every estimator of the evidence: errors that are right, and invariances."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.evidence import (
    bridge,
    importance,
    laplace,
    nested,
    quadrature,
    savage_dickey,
    smc,
    thermodynamic,
)
from bnnbook.evidence import target as targets
from bnnbook.evidence.proposal import Proposal
from bnnbook.evidence.record import Evidence
from evidence_cases import (
    Case,
    beta_binomial,
    bimodal,
    bounded,
    gaussian,
    heavy_tailed,
    looks_standard_normal,
    z_scores,
)

pytestmark = pytest.mark.usefixtures("x64")
RUNS = 60
KEY = jax.random.key(20)


def by_importance(key, case):
    return importance.estimate(key, case.target, num_samples=500)


def by_bridge(key, case):
    seed = int(jax.random.key_data(key)[1])
    return bridge.estimate(key, case.target, case.draws(seed, 300))


def by_thermodynamic(key, case):
    return thermodynamic.estimate(key, case.target, num_rungs=16, num_walkers=64)


def by_smc(key, case):
    return smc.estimate(key, case.target, num_particles=64)


def by_nested(key, case):
    return nested.estimate(key, case.target, num_live=100)


WALKERS = [by_thermodynamic, by_smc, by_nested]
CONSISTENT = [by_importance, by_bridge, *WALKERS]


def known_null(case):
    """What Savage-Dickey needs to fix a parameter: the point, the prior there, and the answer."""
    if case is beta_binomial():  # p = 1/2, the logit 0
        prior = float(case.target.evaluate(np.zeros((1, 1))).log_prior[0])
        return "logit", 0.0, prior, float(np.log(36 / 512))
    y = np.array([0.3, 1.9])  # u0 = 0.5
    rest = -0.25 * y[1] ** 2 - 0.5 * np.log(4 * np.pi)
    at = -0.5 * (y[0] - 0.5) ** 2 - 0.5 * np.log(2 * np.pi)
    return "u0", 0.5, -0.125 - 0.5 * np.log(2 * np.pi), float(at + rest)


def by_savage_dickey(key, case):
    name, value, prior, _ = known_null(case)
    full = Evidence(case.exact, 0.0, 0)
    draws = case.draws(int(jax.random.key_data(key)[1]), 300)
    fixed = {"name": name, "value": value, "log_prior_density": prior, "full": full}
    return savage_dickey.estimate(case.target, draws, **fixed)


@pytest.mark.parametrize(
    ("method", "case"),
    [
        *[(m, beta_binomial()) for m in (*CONSISTENT, by_savage_dickey)],
        *[(m, gaussian()) for m in (by_importance, by_bridge, by_thermodynamic, by_savage_dickey)],
    ],
)
def test_z_scores_look_standard_normal_over_repetitions(method, case):
    runs = [method(jax.random.key(i), case) for i in range(RUNS)]
    exact = known_null(case)[3] if method is by_savage_dickey else case.exact
    z = z_scores(runs, exact)
    assert looks_standard_normal(z)
    # Mutations: errors half or three times as large, and a bias of one error.
    assert not looks_standard_normal(2 * z)
    assert not looks_standard_normal(z / 3)
    assert not looks_standard_normal(z + 1)


@pytest.mark.parametrize("method", CONSISTENT)
def test_each_target_is_compiled_once_and_not_per_call(method):
    traces = []

    def fresh():
        case = gaussian(1)
        inner = case.target

        def log_likelihood(u):
            traces.append(1)
            return inner.log_likelihood(u)

        rest = (1, inner.names, inner.start)
        target = targets.Target(
            inner.log_prior, log_likelihood, *rest, sample_prior=inner.sample_prior
        )
        return Case(target, case.exact, case.draws)

    once = fresh()
    method(jax.random.key(0), once)
    count = len(traces)
    method(jax.random.key(1), once)
    assert count > 0
    assert len(traces) == count
    # Mutation: a target made anew for each call is traced anew (the two cheapest will do).
    if method in (by_importance, by_bridge):
        method(jax.random.key(1), fresh())
        assert len(traces) > count


SHEAR = np.array([[2.0, 0.7], [0.0, -3.0]])


@functools.cache
def affine(**mutation):
    return moved(lambda u: SHEAR @ u + 1, lambda x: jnp.linalg.solve(SHEAR, x - 1), **mutation)


@functools.cache
def bent(**mutation):
    return moved(jnp.sinh, jnp.arcsinh, **mutation)


def moved(forward, inverse, *, jacobian=True):
    """The normal case in other parameters; without the Jacobian: a mutation."""
    case = gaussian()
    target = targets.transformed(case.target, forward, inverse)
    if not jacobian:
        old = case.target.log_prior
        target = dataclasses.replace(target, log_prior=lambda u: old(forward(u)))
    over_draws = jax.vmap(jax.vmap(inverse))
    return Case(target, case.exact, lambda seed, num: np.asarray(over_draws(case.draws(seed, num))))


def agrees(method, case):
    found = method(KEY, case)
    return abs(found.log_evidence - case.exact) < 4 * found.standard_error


@pytest.mark.parametrize("parameters", [affine, bent])
@pytest.mark.parametrize("method", CONSISTENT)
def test_consistent_estimates_do_not_depend_on_the_parameters(method, parameters):
    assert agrees(method, parameters())


@pytest.mark.parametrize("parameters", [affine, bent])
def test_a_forgotten_jacobian_is_found_out(parameters):
    # The mutation of the law above. Walks from the prior hardly feel it: they take the prior's
    # constant from its draws, not its density. Theirs is the dropped datum below.
    assert not agrees(by_importance, parameters(jacobian=False))
    assert not agrees(by_bridge, parameters(jacobian=False))


def test_quadrature_does_not_depend_on_the_parameters_and_laplace_does():
    exact = gaussian().exact
    for parameters in (affine, bent):
        target = parameters().target
        assert quadrature.estimate(target).log_evidence == pytest.approx(exact, abs=1e-6)
        mutated = quadrature.estimate(parameters(jacobian=False).target).log_evidence
        assert abs(mutated - exact) > 0.1
    assert laplace.estimate(affine().target).log_evidence == pytest.approx(exact, abs=1e-10)
    assert abs(laplace.estimate(bent().target).log_evidence - exact) > 0.01


@functools.cache
def reordered(drop=0):
    """Five data of N(θ, 1) in another order, the last ones dropped or not; θ ~ N(0, 1)."""
    y = np.array([0.1, 2.3, -0.4, 1.7, 0.8])
    order = np.array([3, 0, 4, 2, 1])
    data = y[order][: 5 - drop]
    normal = gaussian(1).target
    target = targets.Target(
        normal.log_prior,
        lambda u: -0.5 * jnp.sum((data - u[0]) ** 2) - 0.5 * len(data) * jnp.log(2 * jnp.pi),
        1,
        ("u",),
        np.zeros(1),
        sample_prior=normal.sample_prior,
    )
    # The exact answer uses the first order: y ~ N(0, I + 1 1ᵀ).
    covariance = np.eye(5) + 1
    exact = -0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(covariance)[1])
    draws = lambda seed, num: (  # noqa: E731
        y.sum() / 6 + np.sqrt(1 / 6) * np.random.default_rng(seed).normal(size=(4, num, 1))
    )
    return Case(target, float(exact - 2.5 * np.log(2 * np.pi)), draws)


@pytest.mark.parametrize("method", CONSISTENT)
def test_the_order_of_the_data_does_not_matter(method):
    assert agrees(method, reordered())


@pytest.mark.parametrize("method", CONSISTENT)
def test_a_dropped_datum_is_found_out(method):
    assert not agrees(method, reordered(drop=1))


@pytest.mark.parametrize(
    ("method", "case"),
    [
        *[(m, bounded()) for m in WALKERS],
        *[(m, bimodal()) for m in WALKERS],
        *[(m, heavy_tailed()) for m in (by_importance, by_thermodynamic, by_smc)],
        *[(m, gaussian(10)) for m in (by_importance, by_bridge, by_thermodynamic)],
        *[(m, gaussian(20)) for m in (by_bridge, by_thermodynamic, by_smc)],
        (by_nested, gaussian(10)),
    ],
)
def test_bounded_bimodal_heavy_tailed_and_wide_targets_come_out_right(method, case):
    assert agrees(method, case)


def test_importance_sampling_of_a_bounded_target_needs_a_proposal_and_says_so():
    case = bounded()
    with pytest.raises(ValueError, match="must have a maximum of its log_joint"):
        by_importance(KEY, case)
    uniform_like = Proposal(np.array([0.8]), np.array([[0.3]]), 5.0)
    found = importance.estimate(KEY, case.target, proposed=uniform_like)
    assert abs(found.log_evidence - case.exact) < 4 * found.standard_error


def test_importance_sampling_that_misses_a_mode_is_wrong_and_cannot_know():
    case = bimodal()
    found = by_importance(KEY, case)
    assert found.log_evidence < case.exact - 10 * found.standard_error
    assert not found.flagged


def test_walks_with_too_few_steps_are_wrong():
    # The law's other side: what the docstrings name as failure does fail.
    case = gaussian(20)
    few = thermodynamic.estimate(KEY, case.target, num_walkers=512, num_steps=2)
    assert abs(few.log_evidence - case.exact) > 4 * few.standard_error
