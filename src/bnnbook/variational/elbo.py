r"""The evidence lower bound, and five ways to follow its gradient by Monte Carlo.

.. math:: \mathrm{ELBO}(\phi) = \mathbb{E}_{q_\phi}[\log p(\mathcal{D}, x) - \log q_\phi(x)]
          = \log p(\mathcal{D}) - \mathrm{KL}(q_\phi \| p(x \mid \mathcal{D}))

Every estimator draws from q and returns the ELBO's estimate and an unbiased one of its gradient in
the state's own entries. They differ in variance alone: a score function knows only how good a draw
was, and needs no gradient of the log density; a reparameterised one knows in which direction it
gets better. Chapter "Variational inference" introduces them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bnnbook.variational.families import Family, Params

LogDensity = Callable[[Any], Any]


class Elbo(NamedTuple):
    """An estimate of an ELBO, in nats."""

    value: Float[Array, ""]
    """The mean over draws."""
    standard_error: Float[Array, ""]
    """Its Monte Carlo standard error."""


class Estimate(NamedTuple):
    """What an estimator makes of its draws."""

    terms: Float[Array, " draw"]
    """log p(D, x) − log q(x) of each draw; their mean estimates the ELBO."""
    gradient: Params
    """An unbiased estimate of the gradient of the ELBO, a tuple like the state."""


Estimator = Callable[[Array, LogDensity, Family, Params, int], Estimate]


def elbo(
    rng_key: Array, log_density: LogDensity, family: Family, params: Params, num_draws: int
) -> Elbo:
    """The ELBO with its Monte Carlo standard error; at least two draws.

    Args:
        rng_key: a JAX key.
        log_density: log p(D, x) as a function of one vector.
        family: the variational family.
        params: a state of it.
        num_draws: draws from q.
    """
    x = family.sample(rng_key, params, num_draws)
    terms = _log_ratios(log_density, family, params, x)
    return Elbo(terms.mean(), terms.std(ddof=1) / num_draws**0.5)


def negative_elbo(
    rng_key: Array, log_density: LogDensity, family: Family, params: Params, num_draws: int
) -> Float[Array, ""]:
    """What is minimised: minus the ELBO, differentiable in ``params`` through the draws."""
    return -elbo(rng_key, log_density, family, params, num_draws).value


def score_function(
    rng_key: Array, log_density: LogDensity, family: Family, params: Params, num_draws: int
) -> Estimate:
    r"""The gradient from scores alone (REINFORCE; Williams 1992; Ranganath et al. 2014).

    .. math:: \nabla_\phi \mathrm{ELBO} = \mathbb{E}_q\bigl[(\log p - \log q)\,
              \nabla_\phi \log q_\phi(x)\bigr]
    """
    x = jax.lax.stop_gradient(family.sample(rng_key, params, num_draws))
    terms = _log_ratios(log_density, family, params, x)
    return Estimate(terms, _weighted_score(family, params, x, terms / num_draws))


def score_leave_one_out(
    rng_key: Array, log_density: LogDensity, family: Family, params: Params, num_draws: int
) -> Estimate:
    r"""The score function less a baseline: the mean signal of the other draws.

    A constant times the score has mean zero, and a baseline made from the other draws is a constant
    as far as this draw is concerned: the estimate stays unbiased (Kool et al. 2019). It takes at
    least two draws.
    """
    x = jax.lax.stop_gradient(family.sample(rng_key, params, num_draws))
    terms = _log_ratios(log_density, family, params, x)
    others = (terms.sum() - terms) / (num_draws - 1)
    return Estimate(terms, _weighted_score(family, params, x, (terms - others) / num_draws))


def score_control_variate(
    rng_key: Array, log_density: LogDensity, family: Family, params: Params, num_draws: int
) -> Estimate:
    r"""The score less the best multiple of itself, one for each entry of the state.

    .. math:: g - a s,\quad a = \operatorname{Cov}(g, s) / \operatorname{Var}(s),\quad
              s = \nabla \log q,\; g = (\log p - \log q)\, s

    E s = 0, so any a keeps the mean; this one gives the least variance (Ranganath et al. 2014). For
    each draw it is estimated from the others, for else its own luck would bias the estimate.
    """
    x = jax.lax.stop_gradient(family.sample(rng_key, params, num_draws))
    terms = _log_ratios(log_density, family, params, x)
    scores = jax.vmap(jax.grad(family.log_prob), (None, 0))(params, x)

    def average(s: Any) -> Any:
        f = terms.reshape(-1, *[1] * (s.ndim - 1))
        covariances, variances = f * s**2, s**2
        others = [part.sum(0, keepdims=True) - part for part in (covariances, variances)]
        # Entries that q does not use, such as an upper triangle, have a score of zero.
        coefficient = others[0] / jnp.where(others[1] > 0, others[1], 1.0)
        return jnp.mean((f - coefficient) * s, axis=0)

    return Estimate(terms, jax.tree.map(average, scores))


def reparameterised(
    rng_key: Array, log_density: LogDensity, family: Family, params: Params, num_draws: int
) -> Estimate:
    r"""The gradient through the draws, x = m + L z (Kingma and Welling 2014).

    .. math:: \nabla_\phi \mathrm{ELBO} = \mathbb{E}_z\bigl[\nabla_\phi
              (\log p(\mathcal{D}, x_\phi(z)) - \log q_\phi(x_\phi(z)))\bigr]
    """

    def objective(params: Params) -> Any:
        x = family.sample(rng_key, params, num_draws)
        terms = _log_ratios(log_density, family, params, x)
        return terms.mean(), terms

    gradient, terms = jax.grad(objective, has_aux=True)(params)
    return Estimate(terms, gradient)


def sticking_the_landing(
    rng_key: Array, log_density: LogDensity, family: Family, params: Params, num_draws: int
) -> Estimate:
    r"""The same along the paths of the draws only (Roeder, Wu and Duvenaud 2017).

    In log q the state is held fixed, which drops a term of mean zero, the score. Where q is the
    posterior, every draw then gives a gradient of exactly zero.
    """

    def objective(params: Params) -> Any:
        x = family.sample(rng_key, params, num_draws)
        terms = _log_ratios(log_density, family, jax.lax.stop_gradient(params), x)
        return terms.mean(), terms

    gradient, terms = jax.grad(objective, has_aux=True)(params)
    return Estimate(terms, gradient)


ESTIMATORS: dict[str, Estimator] = {
    "score function": score_function,
    "leave one out": score_leave_one_out,
    "control variate": score_control_variate,
    "reparameterised": reparameterised,
    "sticking the landing": sticking_the_landing,
}
"""By name, in the order of the chapter; which is the noisiest depends on where q is."""


def _log_ratios(
    log_density: LogDensity, family: Family, params: Params, x: Float[Array, "draw d"]
) -> Float[Array, " draw"]:
    log_q = jax.vmap(family.log_prob, (None, 0))(params, x)
    return jax.vmap(log_density)(x) - log_q


def _weighted_score(
    family: Family, params: Params, x: Float[Array, "draw d"], weights: Float[Array, " draw"]
) -> Params:
    """Σ w ∇ log q(x), the weights taken as constants."""
    fixed = jax.lax.stop_gradient(weights)
    return jax.grad(lambda p: fixed @ jax.vmap(family.log_prob, (None, 0))(p, x))(params)
