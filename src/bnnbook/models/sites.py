"""A NumPyro model seen site by site: run with values filled in, bounded sites made unbounded.

What :mod:`bnnbook.models.flat` and :mod:`bnnbook.evidence.target` need of a model alike. Arrays
among its arguments are taken in the precision in force.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer import init_to_uniform
from numpyro.infer.util import compute_log_probs

from bnnbook import checks

Model = Callable[..., Any]
OWN: Mapping[str, Any] = MappingProxyType({})
"""No transforms of the user's: each site has the one of its support."""


def in_force(args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """A model's arguments with their arrays in the precision in force."""

    def convert(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        # JAX remembers the conversion of an array, and may answer in another context's precision.
        return jnp.asarray(value, jax.dtypes.canonicalize_dtype(value.dtype))

    return [convert(value) for value in args], {k: convert(v) for k, v in kwargs.items()}


def run(model: Model, args: Any, kwargs: Any, fill: Any, key: Any = None) -> Any:
    """The trace of one run; ``fill`` gives a site's value, or None where it is to be drawn."""
    seeded = handlers.seed(model, jax.random.key(0) if key is None else key)
    filled = handlers.substitute(seeded, substitute_fn=fill)
    args, kwargs = in_force(args, kwargs)
    return handlers.trace(filled).get_trace(*args, **kwargs)


def check_observed(model: Model, args: Any, kwargs: Any, trace: Mapping[str, Any]) -> None:
    """Complain of data that the likelihood can never give, to which it may yet give a density.

    A support that moves with the parameters is left alone, as is a site some of which is masked.
    NaN is in no support; whoever searches or samples finds it, and says where it was met.

    Args:
        model: the model.
        args: its positional arguments.
        kwargs: its arguments by keyword.
        trace: of one run of it.

    Raises:
        ValueError: with the site, the first such datum and where it stands.
    """
    for name, site in trace.items():
        if site["type"] != "sample" or not site["is_observed"] or _is_masked(site["fn"]):
            continue
        value, support = site["value"], site["fn"].support
        if isinstance(value, jax.core.Tracer):
            continue
        with numpyro.validation_enabled(False), jax.numpy_rank_promotion("allow"):
            inside = np.asarray(support(value))
            missing = np.isnan(np.asarray(value, dtype=float))
            inside = inside | missing.any(axis=tuple(range(inside.ndim, missing.ndim)))
            if inside.all():
                continue
            other = run(model, args, kwargs, init_to_uniform(), jax.random.key(1))[name]
            if not _same(other["fn"].support, support):
                continue
        index = tuple(int(i) for i in np.argwhere(~inside)[0])
        where = f"{name}[{', '.join(map(str, index))}]" if index else name
        expected = f"in the support of its {type(base(site['fn'])).__name__} likelihood, {support}"
        raise checks.fail(f"data {where}", expected, np.asarray(value)[index].tolist())


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _is_masked(likelihood: Any) -> bool:
    while isinstance(likelihood, (dist.ExpandedDistribution, dist.Independent)):
        likelihood = likelihood.base_dist
    return isinstance(likelihood, dist.MaskedDistribution)


def is_unknown(site: Mapping[str, Any]) -> bool:
    """A parameter: drawn, or filled in."""
    return site["type"] == "sample" and not site["is_observed"]


def is_answer(site: Mapping[str, Any]) -> bool:
    """A parameter, or what the model computes from them."""
    return is_unknown(site) or site["type"] == "deterministic"


def base(prior: Any) -> Any:
    """The distribution under expansions, event dimensions and masks."""
    while isinstance(prior, (dist.ExpandedDistribution, dist.Independent, dist.MaskedDistribution)):
        prior = prior.base_dist
    return prior


def transform(site: Mapping[str, Any], bijections: Mapping[str, Any] = OWN) -> Any:
    """From unbounded values to the site's support."""
    # A support may depend on other parameters, so it is asked for anew at each value of them.
    return bijections.get(site["name"]) or dist.biject_to(site["fn"].support)


def unbounded_values(
    trace: Mapping[str, Any], bijections: Mapping[str, Any] = OWN
) -> dict[str, Any]:
    """The unbounded values of a run's parameters."""
    return {
        name: transform(site, bijections).inv(site["value"])
        for name, site in trace.items()
        if is_unknown(site)
    }


def filler(
    unbounded: Any, bijections: Mapping[str, Any] = OWN, jacobians: list[Any] | None = None
) -> Callable[[Any], Any]:
    """Gives each site the image of its unbounded value, and notes the log Jacobian."""

    def fill(site: Any) -> Any:
        if site["name"] not in unbounded:
            return None
        u, bijection = unbounded[site["name"]], transform(site, bijections)
        value = bijection(u)
        if jacobians is not None:
            jacobians.append(jnp.sum(bijection.log_abs_det_jacobian(u, value)))
        return value

    return fill


def log_parts(
    model: Model, args: Any, kwargs: Any, unbounded: Any, bijections: Mapping[str, Any] = OWN
) -> tuple[Any, Any]:
    """The log prior with the log Jacobian, and the log likelihood."""
    jacobians: list[Any] = []
    fill = filler(unbounded, bijections, jacobians)
    filled = handlers.substitute(handlers.seed(model, jax.random.key(0)), substitute_fn=fill)
    # Off: a site outside its support should give −∞, and not an error.
    with numpyro.validation_enabled(False):
        log_probs, _ = compute_log_probs(filled, *in_force(args, kwargs), {})
    prior = sum(value for name, value in log_probs.items() if name in unbounded)
    rest = [value for name, value in log_probs.items() if name not in unbounded]
    return prior + sum(jacobians), sum(rest, start=jnp.zeros(()))


def names(initial: Mapping[str, Any]) -> tuple[str, ...]:
    """What each entry of the flat vector is called."""
    # In the order in which ravel_pytree lays a dictionary out.
    indices = [(k, index) for k in sorted(initial) for index in np.ndindex(jnp.shape(initial[k]))]
    return tuple(k + (f"[{', '.join(map(str, index))}]" if index else "") for k, index in indices)
