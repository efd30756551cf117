"""Gibbs sampling balances exactly, block by block, and agrees with the conjugate posterior."""

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnnbook.exact import normal_inverse_gamma
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma
from bnnbook.mcmc.driver import sample
from bnnbook.mcmc.gibbs import Gibbs, regression_conditionals
from bnnbook.models.targets_2d import lattice_probabilities

pytestmark = pytest.mark.usefixtures("x64")
JOINT = lattice_probabilities()
SIZE = len(JOINT)
OF_A = JOINT / JOINT.sum(axis=0)  # p(a | b), at [a, b]
OF_B = JOINT / JOINT.sum(axis=1, keepdims=True)  # p(b | a), at [a, b]


def one_block(name):
    """The exact matrix of one block: it is drawn from its table, and the other stays."""
    eye = np.eye(SIZE)
    if name == "a":
        matrix = OF_A.T[None, :, :, None] * eye[None, :, None, :]
    else:
        matrix = OF_B[:, None, None, :] * eye[:, None, :, None]
    return np.broadcast_to(matrix, (SIZE,) * 4).reshape(SIZE**2, SIZE**2)


@pytest.mark.parametrize("name", ["a", "b"])
def test_each_block_balances_to_machine_precision(name):
    flow = JOINT.ravel()[:, None] * one_block(name)
    np.testing.assert_allclose(flow, flow.T, rtol=0, atol=1e-17)
    np.testing.assert_allclose(one_block(name).sum(axis=1), 1, atol=1e-15)


def sweep_matrix(names):
    """Exact: each block's own table read at the position that the kernel shows to the block."""
    matrix = np.zeros((SIZE, SIZE, SIZE, SIZE))
    for old in np.ndindex(JOINT.shape):
        # The first block's new value is fixed in turn; the second's table is then read as a whole.
        for value in range(SIZE):
            seen = []

            def first(rng_key, position, value=value, seen=seen):
                seen.append(dict(position))
                return value

            def second(rng_key, position, seen=seen):
                seen.append(dict(position))
                return 0

            kernel = Gibbs(dict(zip(names, (first, second), strict=True)))
            position = {"a": np.int64(old[0]), "b": np.int64(old[1])}
            kernel.step(jax.random.key(0), kernel.init(position))
            before, after = ({k: int(v) for k, v in at.items()} for at in seen)
            if names == "ab":
                matrix[*old, value, :] = OF_A[value, before["b"]] * OF_B[after["a"], :]
            else:
                matrix[*old, :, value] = OF_B[before["a"], value] * OF_A[:, after["b"]]
    return matrix.reshape(SIZE**2, SIZE**2)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_sweep_is_one_block_after_the_other_and_keeps_the_law_without_balance(names):
    sweep, law = sweep_matrix(names), JOINT.ravel()
    first, second = (one_block(name) for name in names)
    np.testing.assert_allclose(sweep, first @ second, atol=1e-15)
    np.testing.assert_allclose(law @ sweep, law, atol=1e-15)
    flow = law[:, None] * sweep
    assert abs(flow - flow.T).max() > 1e-3  # a fixed order cannot be told backwards
    # Mutation: the other order is another sweep.
    assert abs(sweep - second @ first).max() > 0.01


RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(20), RNG.normal(size=20)])
Y = X @ [1.0, 2.0] + RNG.normal(0, 1.5, 20)
PRIOR = {"mean": np.array([0.0, 1.0]), "precision": np.diag([0.5, 2.0]), "shape": 3.0, "scale": 4.0}
POSTERIOR = normal_inverse_gamma.update(NormalInverseGamma.from_precision(*PRIOR.values()), X, Y)


def test_conjugate_regression_agrees_with_the_closed_form():
    blocks = regression_conditionals(X, Y, **PRIOR)
    starts = {
        "coefficients": 5 * RNG.normal(size=(4, 2)),
        "noise_variance": np.array([0.1, 1, 9, 99]),
    }
    tree = sample(jax.random.key(0), Gibbs(blocks), starts, 5000, 100)
    b, variance = (tree["posterior"][name].values for name in blocks)
    exact = [(b[..., i], POSTERIOR.mean[i], POSTERIOR.marginals.sd[i]) for i in range(2)]
    exact += [(variance, POSTERIOR.variance.mean, variance.std())]
    exact += [(np.sqrt(variance), POSTERIOR.variance.mean_sd, np.sqrt(variance).std())]
    for draws, mean, sd in exact:
        assert abs(draws.mean() - mean) < 4.5 * float(az.mcse(draws))
        # Mutation: a value that is off by a tenth of the posterior sd.
        assert abs(draws.mean() - mean - sd / 10) > 4.5 * float(az.mcse(draws))
        assert float(az.rhat(draws)) < 1.01
    for probability in (0.05, 0.5, 0.95):
        below = (variance < POSTERIOR.variance.quantile(probability)).astype(float)
        assert abs(below.mean() - probability) < 4.5 * float(az.mcse(below))
    stats = tree["sample_stats"]
    assert "log_density" not in stats.data_vars
    assert float(stats["accept_prob"].min()) == 1


def test_noise_without_the_prior_of_the_coefficients_is_found():
    """Mutation: the variance given b forgets that the prior of b is in units of the noise."""
    blocks = regression_conditionals(X, Y, **PRIOR)

    def forgetful(rng_key, position):
        residual = Y - jnp.asarray(X) @ position["coefficients"]
        return (4 + residual @ residual / 2) / jax.random.gamma(rng_key, 3 + 20 / 2)

    starts = {"coefficients": np.zeros((4, 2)), "noise_variance": np.ones(4)}
    wrong = Gibbs(blocks | {"noise_variance": forgetful})
    tree = sample(jax.random.key(0), wrong, starts, 5000, 100)
    draws = tree["posterior"]["noise_variance"].values
    assert abs(draws.mean() - POSTERIOR.variance.mean) > 4.5 * float(az.mcse(draws))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": 0.0}, "shape must be positive"),
        ({"scale": -1.0}, "scale must be positive"),
        ({"mean": np.array([0.0, np.nan])}, "mean must be finite everywhere"),
        ({"precision": -np.eye(2)}, "precision must be symmetric, with no negative eigenvalue"),
        ({"precision": np.array([[1.0, 0.5], [0.0, 1.0]])}, "precision must be symmetric"),
    ],
)
def test_bad_priors_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        regression_conditionals(X, Y, **(PRIOR | change))


def test_a_flat_prior_is_admitted():
    flat = {"mean": np.zeros(2), "precision": np.outer([1.0, 3.0], [1.0, 3.0]) / 7}
    regression_conditionals(X, Y, **(PRIOR | flat))


def test_no_block_is_named():
    with pytest.raises(ValueError, match="conditionals must be at least one block"):
        Gibbs({})
