r"""Many effects that learn from each other: the hierarchical normal model, written in three ways.

.. math:: \mu \sim p(\mu),\; \tau \sim p(\tau),\; \theta_j \sim N(\mu, \tau),\;
          y_j \sim N(\theta_j, s_j)

for J groups with estimates y_j of known standard errors s_j; N(mean, standard deviation). The
centred way samples θ itself: where data are weak its posterior is a funnel that samplers and
approximations cannot enter. The non-centred way samples z = (θ − μ) / τ, which a priori knows
nothing of τ. The marginal way averages θ out. All three have one posterior of μ, τ and one
evidence. Introduced in the chapter "The limits of exact inference" (Rubin 1981; Betancourt and
Girolami 2015).
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from bnnbook import checks

FloatArray = Array | np.ndarray
PRIOR_SD = 5.0
"""Standard deviation of the default prior of μ and scale of that of τ, for the eight schools."""


def centred(
    standard_errors: Float[FloatArray, " J"],
    y: Float[FloatArray, " groups_of_y"] | None = None,
    *,
    mu: dist.Distribution | None = None,
    tau: dist.Distribution | None = None,
) -> None:
    """A NumPyro model with the sites ``mu``, ``tau``, ``theta`` and ``y``.

    Args:
        standard_errors: the known standard error of each group's estimate, in units of y.
        y: the estimates, one a group; None to simulate them.
        mu: the prior of the mean of the effects; N(0, 5) where it is None.
        tau: the prior of their standard deviation, over positive numbers; half-Cauchy with scale 5
            where it is None.

    Raises:
        ValueError: where lengths disagree, data are not finite, a standard error is not positive,
            or the prior of τ admits negative numbers.
    """
    mean, sd = _population(standard_errors, y, mu, tau)
    with numpyro.plate("group", len(standard_errors)):
        theta = numpyro.sample("theta", dist.Normal(mean, sd))
        numpyro.sample("y", dist.Normal(theta, jnp.asarray(standard_errors)), obs=y)


def non_centred(
    standard_errors: Float[FloatArray, " J"],
    y: Float[FloatArray, " groups_of_y"] | None = None,
    *,
    mu: dist.Distribution | None = None,
    tau: dist.Distribution | None = None,
) -> None:
    """The same posterior, sampled through ``theta_standardised``; ``theta`` is computed from it.

    Arguments and errors are those of :func:`centred`.
    """
    mean, sd = _population(standard_errors, y, mu, tau)
    with numpyro.plate("group", len(standard_errors)):
        z = numpyro.sample("theta_standardised", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mean + sd * z)
        numpyro.sample("y", dist.Normal(theta, jnp.asarray(standard_errors)), obs=y)


def marginal(
    standard_errors: Float[FloatArray, " J"],
    y: Float[FloatArray, " groups_of_y"] | None = None,
    *,
    mu: dist.Distribution | None = None,
    tau: dist.Distribution | None = None,
) -> None:
    """The effects averaged out: y_j ~ N(μ, √(τ² + s_j²)); the sites are ``mu``, ``tau``, ``y``.

    Two parameters are left, few enough for a grid. Arguments and errors are those of
    :func:`centred`.
    """
    mean, sd = _population(standard_errors, y, mu, tau)
    with numpyro.plate("group", len(standard_errors)):
        total = jnp.sqrt(sd**2 + jnp.asarray(standard_errors) ** 2)
        numpyro.sample("y", dist.Normal(mean, total), obs=y)


def _population(
    standard_errors: Float[FloatArray, " J"],
    y: Float[FloatArray, " groups_of_y"] | None,
    mu: dist.Distribution | None,
    tau: dist.Distribution | None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    _check(standard_errors, y)
    mu = dist.Normal(0.0, PRIOR_SD) if mu is None else mu
    tau = dist.HalfCauchy(PRIOR_SD) if tau is None else tau
    # Minus one and not a bound: some supports of positive numbers name no bound.
    if bool(tau.support(-1.0)):
        raise checks.fail("tau", "a distribution over positive numbers", type(tau).__name__)
    return numpyro.sample("mu", mu), numpyro.sample("tau", tau)


def _check(
    standard_errors: Float[FloatArray, " J"], y: Float[FloatArray, " groups_of_y"] | None
) -> None:
    given = {"standard_errors": standard_errors} | ({} if y is None else {"y": y})
    for name, array in given.items():
        # A sampler may trace the data; only concrete numbers can be looked at.
        if not isinstance(array, jax.core.Tracer):
            checks.finite_array(name, array, ndim=1)
    checks.same_length(**given)
    concrete = not isinstance(standard_errors, jax.core.Tracer)
    if concrete and (np.asarray(standard_errors) <= 0).any():
        raise checks.fail("standard_errors", "positive everywhere", standard_errors)
