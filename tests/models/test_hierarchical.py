"""Three ways to write one hierarchical model, held against quadrature."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density
from scipy import integrate, stats

from bnnbook.datasets import eight_schools
from bnnbook.models import hierarchical
from bnnbook.references import reference

pytestmark = pytest.mark.usefixtures("x64")

SCHOOLS = eight_schools.load()
Y, S = SCHOOLS["effect"], SCHOOLS["standard_error"]
THETA = np.linspace(-3.0, 12.0, 8)
MU, TAU = 3.0, 4.0


def log_joint(model, values, **priors):
    values = {name: jnp.asarray(value) for name, value in values.items()}
    return float(log_density(model, (S, Y), priors, values)[0])


def log_prior():
    return stats.norm(0, 5).logpdf(MU) + stats.halfcauchy(scale=5).logpdf(TAU)


def test_centred_density_agrees_with_scipy():
    expected = (
        log_prior() + stats.norm(MU, TAU).logpdf(THETA).sum() + stats.norm(THETA, S).logpdf(Y).sum()
    )
    values = {"mu": MU, "tau": TAU, "theta": THETA}
    assert log_joint(hierarchical.centred, values) == pytest.approx(expected, rel=1e-12)


def test_non_centred_is_centred_times_the_jacobian():
    values = {"mu": MU, "tau": TAU}
    centred = log_joint(hierarchical.centred, values | {"theta": THETA})
    z = {"theta_standardised": (THETA - MU) / TAU}
    ours = log_joint(hierarchical.non_centred, values | z)
    assert ours == pytest.approx(centred + 8 * np.log(TAU), rel=1e-12)
    # Mutation: no Jacobian.
    assert ours != pytest.approx(centred, rel=1e-2)


def test_marginal_is_centred_with_the_effects_integrated_out():
    """The ratio of centred to marginal is a normal density of θ: eight closed forms."""
    weight = TAU**2 / (TAU**2 + S**2)
    conditional = stats.norm(weight * Y + (1 - weight) * MU, S * np.sqrt(weight))
    values = {"mu": MU, "tau": TAU}
    ratio = log_joint(hierarchical.centred, values | {"theta": THETA}) - log_joint(
        hierarchical.marginal, values
    )
    assert ratio == pytest.approx(conditional.logpdf(THETA).sum(), rel=1e-10)


def moments(log_density_at):
    """Log evidence and moments by nested trapezoids over μ and log τ."""
    mu, log_tau = np.linspace(-25, 35, 401), np.linspace(-14, 7, 601)
    logs = np.array([log_density_at(mu, np.exp(u)) for u in log_tau]) + log_tau[:, None]
    top = logs.max()
    p = np.exp(logs - top)

    def integral(f):
        return integrate.trapezoid(integrate.trapezoid(f * p, mu, axis=1), log_tau)

    total = integral(1.0)
    out = {"log_evidence": top + np.log(total)}
    for name, f in (("mu", mu[None, :]), ("tau", np.exp(log_tau)[:, None])):
        out[f"{name}_mean"] = integral(f) / total
        out[f"{name}_sd"] = np.sqrt(integral(f**2) / total - out[f"{name}_mean"] ** 2)
    return out


def formula(mu, tau, power=2):
    spread = np.sqrt(tau**power + S[:, None] ** 2)
    likelihood = stats.norm.logpdf(Y[:, None], mu, spread).sum(axis=0)
    return likelihood + stats.norm.logpdf(mu, 0, 5) + stats.halfcauchy.logpdf(tau, scale=5)


def test_marginal_density_is_the_formula():
    ours = log_joint(hierarchical.marginal, {"mu": MU, "tau": TAU})
    assert ours == pytest.approx(float(formula(np.array([MU]), TAU)[0]), rel=1e-12)


def test_reference_values_of_the_eight_schools():
    found = moments(formula)
    assert found["log_evidence"] == pytest.approx(
        reference("eight-schools.log_evidence").value, abs=2e-6
    )
    for name in ("mu_mean", "mu_sd", "tau_mean"):
        assert found[name] == pytest.approx(reference(f"eight-schools.{name}").value, abs=1e-5)
    # The tail of τ is a power's: what lies beyond the grid shows in the variance.
    assert found["tau_sd"] == pytest.approx(reference("eight-schools.tau_sd").value, abs=2e-5)
    wrong = moments(lambda mu, tau: formula(mu, tau, power=1))
    assert wrong["log_evidence"] != pytest.approx(found["log_evidence"], abs=1e-3)


def test_priors_are_arguments():
    priors = {"mu": dist.Normal(1.0, 2.0), "tau": dist.HalfNormal(3.0)}
    ours = log_joint(hierarchical.marginal, {"mu": MU, "tau": TAU}, **priors)
    default = log_joint(hierarchical.marginal, {"mu": MU, "tau": TAU})
    given = stats.norm(1, 2).logpdf(MU) + stats.halfnorm(scale=3).logpdf(TAU)
    assert ours - default == pytest.approx(given - log_prior(), rel=1e-10)


MODELS = [hierarchical.centred, hierarchical.non_centred, hierarchical.marginal]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("arguments", "priors", "message"),
    [
        ((S, Y[:-1]), {}, "must have the same length"),
        ((-S, Y), {}, "standard_errors must be positive everywhere"),
        ((S, Y * np.nan), {}, "y must be finite everywhere"),
        ((S[:0], Y[:0]), {}, "at least 1 elements"),
        ((S, Y), {"tau": dist.Normal(0.0, 1.0)}, "tau must be a distribution over positive"),
    ],
)
def test_bad_input_is_named(model, arguments, priors, message):
    with pytest.raises(ValueError, match=message):
        log_density(model, arguments, priors, {"mu": 0.0, "tau": 1.0})
