r"""NumPyro's own guides behind one function: the same search, richer families.

A *guide* is a program that draws from q. NumPyro writes some of them itself, the Gaussian families
and normalising flows, that bend a normal distribution by a network whose Jacobian is known (Kingma
et al. 2016; De Cao, Aziz and Titov 2019). One written by hand is taken too, once it is known to
draw every parameter of the model, and to reach as far as its prior does and no farther. This is the
library's teacher beside ``fit``: plain Adam in the guide's own parameters. Chapter "Variational
inference" introduces it.
"""

import inspect
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from numpyro import handlers
from numpyro.infer import SVI, Trace_ELBO, autoguide, init_to_value

from bnnbook import checks
from bnnbook.models import flat, sites, supports
from bnnbook.models.sites import Model
from bnnbook.variational.approximation import Approximation, mean_and_error
from bnnbook.variational.fit import FitError, FitWarning, blamed, far_below

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
    model: Model,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    guide: Any = "mean field",
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
        guide: one of the names of ``GUIDES``; a guide that NumPyro made of the same model; or one
            written by hand, a function of the model's arguments that draws each of its parameters
            under its own name. Flows need at least two parameters.
        optimizer: any of Optax's; Adam with a rate that falls from 0.01 along a cosine where None.
        num_steps: steps.
        num_draws: draws a step.
        num_check_draws: draws for the final ELBO.
        **guide_settings: for a named guide, such as ``rank``, ``num_flows``, ``hidden_dims``.

    Raises:
        FitError: where the loss is not finite or the search diverges, with the step and the
            parameter of the model.
        ValueError: where an argument makes no sense, or a guide by hand lacks a parameter, draws
            one that the model has not, or has another support than the parameter's prior.

    Warns:
        FitWarning: where the ELBO was still rising in the last tenth of the steps.
    """
    begin = time.perf_counter()
    num_steps = checks.at_least("num_steps", num_steps, 1)
    num_draws = checks.at_least("num_draws", num_draws, 1)
    checks.at_least("num_check_draws", num_check_draws, 2)
    target = flat.from_model(model, model_args, model_kwargs)
    given = _Given(model, *sites.in_force(model_args, model_kwargs or {}))
    label, made = _made(guide, given, target, guide_settings)
    rate = optax.cosine_decay_schedule(0.01, num_steps, alpha=0.01)
    loss = Trace_ELBO(num_particles=num_draws)
    search = SVI(model, made, optax.adam(rate) if optimizer is None else optimizer, loss)
    key_run, key_check = jax.random.split(rng_key)
    result = _searched(search, key_run, num_steps, given, target)
    trace = -np.asarray(result.losses, dtype=np.float64)
    _check(trace, result.params, _Search(search, key_run, num_draws, given, target, label))
    found = Approximation(
        target=target,
        method=f"NumPyro's guide, {label}",
        sampler=_sampler(made, result.params, given),
        elbo=float(trace[-1]),
        elbo_error=0.0,
        trace=trace,
        seconds=0.0,
        dtype=jnp.result_type(float).name,
    )
    value, error = mean_and_error(found.log_weights(key_check, num_check_draws))
    _warn(trace, label)
    return found.replaced(elbo=value, elbo_error=error, seconds=time.perf_counter() - begin)


class _Given(NamedTuple):
    """A model with its arguments, in the precision in force."""

    model: Model
    args: list[Any]
    kwargs: dict[str, Any]


class _Search(NamedTuple):
    """All that is needed to go back to a step that failed."""

    svi: SVI
    rng_key: Array
    num_draws: int
    given: _Given
    target: flat.FlatTarget
    label: str


def _made(
    guide: Any, given: _Given, target: flat.FlatTarget, settings: Mapping[str, Any]
) -> tuple[str, Any]:
    """What to call the guide, and the guide itself."""
    if not callable(guide):
        checks.one_of("guide", guide, GUIDES)
        if guide in FLOWS and target.dimension < 2:
            raise checks.fail("model", "of at least two parameters for a flow", target.names)
        # NumPyro's guides start at a draw from the prior's neighbourhood unless told where.
        return guide, GUIDES[guide](given.model, init_loc_fn=_start(target), **settings)
    if settings:
        raise checks.fail("guide_settings", "left out with a guide that is made", dict(settings))
    label = getattr(guide, "__name__", type(guide).__name__)
    if isinstance(guide, (autoguide.AutoNormal, autoguide.AutoContinuous)):
        return label, guide
    if isinstance(guide, (type, autoguide.AutoGuide)):
        expected = "a name, a function, or a guide of NumPyro's with a density, made of the model"
        raise checks.fail("guide", expected, label)
    check_guide(guide, given.model, given.args, given.kwargs)
    return label, guide


def check_guide(
    guide: Callable[..., Any],
    model: Model,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
) -> None:
    """Whether a guide written by hand draws what the model asks, wherever its prior reaches.

    Where q is zero and the posterior is not, no search can tell; where q goes and the prior does
    not, the ELBO is −∞.

    Args:
        guide: a function of the model's arguments.
        model: a NumPyro model.
        model_args: its positional arguments.
        model_kwargs: its arguments by keyword.
        params: values of the guide's parameters; those at its start where None.

    Raises:
        ValueError: where the guide does not take the model's arguments, lacks a parameter, draws
            one that the model has not, one of another shape, a point mass, or one whose support is
            not the prior's.
    """
    given = _Given(model, *sites.in_force(model_args, model_kwargs or {}))
    try:
        inspect.signature(guide).bind(*given.args, **given.kwargs)
    except TypeError as error:
        raise ValueError(f"guide must take the model's arguments, but {error}") from None
    q = _guide_sites(guide, given, jax.random.key(0), params or {})
    values = {name: site["value"] for name, site in q.items()}
    # The prior's support may depend on other parameters: it is asked for where the guide is.
    trace = sites.run(*given, lambda site: values.get(site["name"]))
    p = {name: site for name, site in trace.items() if sites.is_unknown(site)}
    if missing := [name for name in p if name not in q]:
        raise checks.fail("guide", f"a program that draws {', '.join(p)}", f"none of {missing}")
    if extra := [name for name in q if name not in p]:
        raise ValueError(
            f"guide must draw {', '.join(p)} alone, got {', '.join(extra)} too, which the model "
            "does not draw or observes: the density of q would not be known"
        )
    for name, site in p.items():
        _check_site(name, site["fn"], q[name]["fn"])


def _check_site(name: str, prior: Any, q: Any) -> None:
    if isinstance(sites.base(q), dist.Delta):
        raise ValueError(
            f"guide must have a density for {name!r}, got a point mass (Delta): its ELBO bounds "
            "nothing"
        )
    shapes = [tuple(d.batch_shape) + tuple(d.event_shape) for d in (prior, q)]
    if shapes[0] != shapes[1]:
        raise checks.fail("guide", f"of shape {shapes[0]} for {name!r}, as the prior", shapes[1])
    if supports.lacks(q.support, prior.support, shapes[0]):
        raise ValueError(
            f"guide must cover the prior's support of {name!r}, {prior.support}, but its own is "
            f"{q.support}: the rest could never be found"
        )
    if supports.lacks(prior.support, q.support, shapes[0]):
        raise ValueError(
            f"guide must stay within the prior's support of {name!r}, {prior.support}, but its own "
            f"is {q.support}: where the prior is zero the ELBO is −∞"
        )


def _guide_sites(
    guide: Any, given: _Given, rng_key: Array, params: Mapping[str, Any]
) -> dict[str, Any]:
    """What one run of a guide draws."""
    seeded = handlers.seed(handlers.substitute(guide, data=dict(params)), rng_key)
    trace = handlers.trace(seeded).get_trace(*given.args, **given.kwargs)
    return {name: site for name, site in trace.items() if sites.is_unknown(site)}


def _flattened(values: Mapping[str, Any], given: _Given) -> tuple[Any, Any]:
    """The flat vector of a model's parameters, and the log Jacobian of the way back."""
    trace = sites.run(*given, lambda site: values.get(site["name"]))
    unbounded = sites.unbounded_values(trace)
    jacobians = [
        jnp.sum(sites.transform(trace[k]).log_abs_det_jacobian(u, trace[k]["value"]))
        for k, u in unbounded.items()
    ]
    return ravel_pytree(unbounded)[0], sum(jacobians)


def _searched(
    search: SVI, rng_key: Array, num_steps: int, given: _Given, target: flat.FlatTarget
) -> Any:
    try:
        with _lenient():
            # The progress bar, on by default, compiles for minutes.
            return search.run(rng_key, num_steps, *given.args, progress_bar=False, **given.kwargs)
    except RuntimeError as error:
        if "initial parameters" not in str(error):
            raise
        raise FitError(
            "the log density is not finite at step 0, where the search starts (the prior's medians "
            f"of {', '.join(target.names[:3])}): look for NaN in the data, or data outside the "
            "support"
        ) from error


@contextmanager
def _lenient() -> Iterator[None]:
    """A value outside a support gives −∞, and not a warning or NumPyro's own error."""
    with (
        jax.numpy_rank_promotion("allow"),
        numpyro.validation_enabled(False),
        warnings.catch_warnings(),
    ):
        # Where NumPyro looks for a start it validates whatever is set.
        warnings.filterwarnings("ignore", message="Out-of-support values")
        yield


def _start(target: flat.FlatTarget) -> Any:
    if target.constrain is None:
        raise checks.fail("target", "made from a model", target.names)
    return init_to_value(values=target.constrain(jnp.asarray(target.start)))


def _sampler(guide: Any, params: Mapping[str, Any], given: _Given) -> Any:
    """Draws of the flat vector with their densities; flows know them only along the way."""

    @jax.jit
    def by_hand(keys: Array) -> Any:
        def one(key: Array) -> Any:
            drawn = _guide_sites(guide, given, key, params)
            x, jacobian = _flattened({k: site["value"] for k, site in drawn.items()}, given)
            log_q = [jnp.sum(site["fn"].log_prob(site["value"])) for site in drawn.values()]
            return x, sum(log_q) + jacobian

        return jax.vmap(one)(keys)

    def sampler(rng_key: Array, num_draws: int) -> Any:
        if not isinstance(guide, autoguide.AutoGuide):
            with jax.numpy_rank_promotion("allow"):
                return by_hand(jax.random.split(rng_key, num_draws))
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


def _check(trace: np.ndarray, params: Mapping[str, Any], search: _Search) -> None:
    """Raise where the ELBO is not finite, a guide has left its support, or the search ran away."""
    bad = np.flatnonzero(~np.isfinite(trace))
    finite = all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(params))
    if len(bad) or not finite:
        raise _not_finite(int(bad[0]) if len(bad) else len(trace), search)
    if not isinstance(search.svi.guide, autoguide.AutoGuide):
        # A support may have parameters of its own.
        check_guide(search.svi.guide, *search.given, params)
    # Looked at only where it can matter: it compiles a sampler.
    medians = [np.median(trace[i : i + 100]) for i in range(0, len(trace), 100)]
    if not far_below(min(medians), trace[0], 0.0, search.target.dimension):
        return
    begun, ended = (_of_params(search, p) for p in (_state(search, 0)[0], params))
    for first, median in zip(range(0, len(trace), 100), medians, strict=True):
        if far_below(median, trace[0], begun.spread, search.target.dimension):
            raise _diverged(first, trace[0], begun, ended, search)


class _Moments(NamedTuple):
    """A guide by its draws."""

    mean: np.ndarray
    sd: np.ndarray
    spread: float
    """Of the terms log p − log q."""


def _of_params(search: _Search, params: Mapping[str, Any]) -> _Moments:
    sampler = _sampler(search.svi.guide, params, search.given)
    x, log_q = sampler(jax.random.key(0), 200)
    terms = np.asarray(jax.vmap(search.target.log_density)(x)) - np.asarray(log_q)
    x = np.asarray(x, dtype=np.float64)
    return _Moments(x.mean(axis=0), x.std(axis=0), float(np.std(terms)))


def _diverged(
    step: int, elbo: float, begun: _Moments, ended: _Moments, search: _Search
) -> FitError:
    target = search.target
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.abs(ended.mean - begun.mean) / target.scale
        far = np.maximum(shift, np.abs(np.log(ended.sd) - np.log(begun.sd)))
    worst = int(np.argmax(np.nan_to_num(far, nan=np.inf)))
    return FitError(
        f"the search of the guide {search.label!r} diverged: from step {step} on the ELBO was far "
        f"below the {elbo:.4g} of the start, farthest off is {target.names[worst]} (mean "
        f"{ended.mean[worst]:.4g}, standard deviation {ended.sd[worst]:.4g}): take a smaller "
        "learning rate"
    )


def _state(search: _Search, step: int) -> tuple[Mapping[str, Any], Array]:
    """The guide's parameters before a step, and the key of its draws, by repeating the search."""
    svi, given = search.svi, search.given
    with _lenient():
        state = svi.init(search.rng_key, *given.args, **given.kwargs)
        if step > 0:
            state = svi.run(
                search.rng_key, step, *given.args, progress_bar=False, **given.kwargs
            ).state
        # As SVI.update splits it.
        return svi.get_params(state), jax.random.split(state.rng_key)[1]


def _not_finite(step: int, search: _Search) -> FitError:
    """Repeat the draws of the failed step, and find the parameter to blame."""
    params, key = _state(search, step)
    if step > 0 and not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        # What is not finite came of the gradient before.
        step -= 1
        params, key = _state(search, step)
    x = _draws_of_step(search, params, key)
    found = blamed(search.target.log_density, x, step, search.target)
    if found is not None:
        return found
    far = np.abs(np.asarray(x).mean(axis=0) - search.target.start) / search.target.scale
    worst = int(np.argmax(np.nan_to_num(far, nan=np.inf)))
    return FitError(
        f"the step of the guide {search.label!r} taken at step {step} was not finite, the farthest "
        f"off is {search.target.names[worst]} (mean {float(np.mean(x[:, worst])):.4g}): take a "
        "smaller learning rate"
    )


def _draws_of_step(search: _Search, params: Mapping[str, Any], key: Array) -> Any:
    """The draws that NumPyro's loss made with that key."""
    given, guide = search.given, search.svi.guide
    # As Trace_ELBO splits it: one key a particle, the second half for the guide.
    keys = jax.random.split(key, search.num_draws) if search.num_draws > 1 else key[None]

    def one(particle: Array) -> Any:
        drawn = handlers.substitute(guide, data=dict(params))
        seeded = handlers.seed(drawn, jax.random.split(particle)[1])
        trace = handlers.trace(seeded).get_trace(*given.args, **given.kwargs)
        values = {k: site["value"] for k, site in trace.items() if sites.is_unknown(site)}
        return _flattened(values, given)[0]

    with _lenient():
        return jax.vmap(one)(keys)


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
