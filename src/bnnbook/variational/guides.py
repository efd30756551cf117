r"""NumPyro's own guides behind one function: the same search, richer families.

A *guide* is a program that draws from q. NumPyro writes some of them itself, the Gaussian families
and normalising flows, that bend a normal distribution by a network whose Jacobian is known (Kingma
et al. 2016; De Cao, Aziz and Titov 2019). This is the library's teacher beside ``fit``: plain Adam
in the guide's own parameters. Chapter "Variational inference" introduces it.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from jaxtyping import Array
from numpyro.infer import SVI, Trace_ELBO, autoguide, init_to_value

from bnnbook import checks
from bnnbook.models import flat
from bnnbook.models.sites import in_force
from bnnbook.variational.approximation import Approximation, mean_and_error
from bnnbook.variational.fit import FitError, FitWarning

GUIDES: dict[str, Callable[..., Any]] = {
    "mean field": autoguide.AutoNormal,
    "full rank": autoguide.AutoMultivariateNormal,
    "low rank": autoguide.AutoLowRankMultivariateNormal,
    "inverse autoregressive flow": autoguide.AutoIAFNormal,
    "block neural autoregressive flow": autoguide.AutoBNAFNormal,
}
"""By name, the plainest first."""
FLOWS = ("inverse autoregressive flow", "block neural autoregressive flow")


def fit_guide(
    rng_key: Array,
    model: Callable[..., Any],
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    guide: str = "mean field",
    optimizer: optax.GradientTransformation | None = None,
    num_steps: int = 5000,
    num_draws: int = 16,
    num_check_draws: int = 4000,
    **guide_settings: Any,
) -> Approximation:
    """A NumPyro guide fitted by NumPyro's stochastic variational inference.

    Args:
        rng_key: a JAX key.
        model: a NumPyro model.
        model_args: its positional arguments, data among them.
        model_kwargs: its arguments by keyword, such as priors.
        guide: one of the names of ``GUIDES``. Flows need at least two parameters.
        optimizer: any of Optax's; Adam with a rate that falls from 0.01 along a cosine where None.
        num_steps: steps.
        num_draws: draws a step.
        num_check_draws: draws for the final ELBO.
        **guide_settings: for NumPyro's guide, such as ``rank``, ``num_flows``, ``hidden_dims``.

    Raises:
        FitError: where the loss is not finite, with the step and the parameter of the guide.
        ValueError: where an argument makes no sense.

    Warns:
        FitWarning: where the ELBO was still rising in the last tenth of the steps.
    """
    begin = time.perf_counter()
    checks.one_of("guide", guide, GUIDES)
    checks.at_least("num_steps", num_steps, 1)
    checks.at_least("num_draws", num_draws, 1)
    checks.at_least("num_check_draws", num_check_draws, 2)
    target = flat.from_model(model, model_args, model_kwargs)
    if guide in FLOWS and target.dimension < 2:
        raise checks.fail("model", "of at least two parameters for a flow", target.names)
    args, kwargs = in_force(model_args, model_kwargs or {})
    rate = optax.cosine_decay_schedule(0.01, num_steps, alpha=0.01)
    # NumPyro's guides start at a draw from the prior's neighbourhood unless told where.
    made = GUIDES[guide](model, init_loc_fn=_start(target), **guide_settings)
    loss = Trace_ELBO(num_particles=num_draws)
    search = SVI(model, made, optax.adam(rate) if optimizer is None else optimizer, loss)
    key_run, key_check = jax.random.split(rng_key)
    result = _searched(search, key_run, num_steps, args, kwargs)
    trace = -np.asarray(result.losses, dtype=np.float64)
    _check(trace, result.params, guide)
    found = Approximation(
        target=target,
        method=f"NumPyro's guide, {guide}",
        sampler=_sampler(made, result.params),
        elbo=float(trace[-1]),
        elbo_error=0.0,
        trace=trace,
        seconds=0.0,
        dtype=jnp.result_type(float).name,
    )
    value, error = mean_and_error(found.log_weights(key_check, num_check_draws))
    _warn(trace, guide)
    return found.replaced(elbo=value, elbo_error=error, seconds=time.perf_counter() - begin)


def _searched(search: SVI, rng_key: Array, num_steps: int, args: Any, kwargs: Any) -> Any:
    try:
        with jax.numpy_rank_promotion("allow"):
            # The progress bar, on by default, compiles for minutes.
            return search.run(rng_key, num_steps, *args, progress_bar=False, **kwargs)
    except RuntimeError as error:
        if "initial parameters" not in str(error):
            raise
        raise FitError(
            "the log density is not finite at step 0, where the search starts (the prior's "
            "medians): look for data outside the support"
        ) from error


def _start(target: flat.FlatTarget) -> Any:
    if target.constrain is None:
        raise checks.fail("target", "made from a model", target.names)
    return init_to_value(values=target.constrain(jnp.asarray(target.start)))


def _sampler(guide: Any, params: Mapping[str, Any]) -> Any:
    """Draws of the flat vector with their densities; flows know them only along the way."""

    def sampler(rng_key: Array, num_draws: int) -> Any:
        if isinstance(guide, autoguide.AutoNormal):
            return _mean_field_draws(rng_key, guide, params, num_draws)
        with jax.numpy_rank_promotion("allow"):
            posterior = guide.get_posterior(params)
            if not isinstance(posterior, dist.TransformedDistribution):
                x = posterior.sample(rng_key, (num_draws,))
                return x, posterior.log_prob(x)
            x, between = posterior.sample_with_intermediates(rng_key, (num_draws,))
            return x, posterior.log_prob(x, between)

    return sampler


def _mean_field_draws(
    rng_key: Array, guide: Any, params: Mapping[str, Any], num_draws: int
) -> tuple[Any, Any]:
    # It keeps a mean and a scale a site; the flat vector has the sites in alphabetical order.
    sites = sorted(name[: -len("_auto_loc")] for name in params if name.endswith("_auto_loc"))
    loc, scale = (
        jnp.concatenate([jnp.ravel(params[f"{s}_auto_{part}"]) for s in sites])
        for part in ("loc", "scale")
    )
    z = jax.random.normal(rng_key, (num_draws, len(loc)), loc.dtype)
    log_q = (
        -0.5 * jnp.sum(z**2, axis=1)
        - jnp.sum(jnp.log(scale))
        - len(loc) * 0.5 * jnp.log(2 * jnp.pi)
    )
    return loc[None] + scale[None] * z, log_q


def _check(trace: np.ndarray, params: Mapping[str, Any], guide: str) -> None:
    bad = np.flatnonzero(~np.isfinite(trace))
    broken = [
        name
        for name, value in params.items()  # a flow's are nested
        if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(value))
    ]
    if len(bad) or broken:
        step = int(bad[0]) if len(bad) else len(trace)
        named = f", when {', '.join(broken)} were not finite" if broken else ""
        raise FitError(
            f"the ELBO of the guide {guide!r} is not finite at step {step} of {len(trace)}{named}: "
            "take a smaller learning rate, or look for data outside the support"
        )


def _warn(trace: np.ndarray, guide: str) -> None:
    tenth = len(trace) // 10
    if tenth < 10:
        return
    now, before = trace[-tenth:], trace[-2 * tenth : -tenth]
    error = np.sqrt((now.var() + before.var()) / tenth)
    rise = now.mean() - before.mean()
    if rise > max(0.1, 4 * error):
        warnings.warn(
            f"the guide {guide!r} was still rising by {rise:.2g} nats in the last tenth of "
            f"{len(trace)} steps: give more num_steps",
            FitWarning,
            stacklevel=3,
        )
