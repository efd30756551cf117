r"""What draws of the parameters say of data: replications, predictions, log densities.

.. math:: p(\tilde y \mid \mathcal{D}) = \int p(\tilde y \mid \theta)\, p(\theta \mid \mathcal{D})
          \,\mathrm{d}\theta \approx \frac1S \sum_s p(\tilde y \mid \theta_s)

For each draw of the parameters the model draws one data set; together they are draws from the
posterior predictive, whoever made the draws of the parameters (Gelman et al. 2013, chapter 6).
Chapter "Bayesian linear regression" introduces it; "Model evidence" uses the log densities.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401 (before its parts: ArviZ registers it lazily)
import xarray as xr
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike
from numpyro import handlers
from numpyro.infer import init_to_uniform

from bnnbook import checks
from bnnbook.datatree import from_draws, joined
from bnnbook.models.sites import in_force

Model = Callable[..., Any]
BATCH = 256
"""Draws that are worked on together; more are faster and need more memory."""


def replicate(
    rng_key: PRNGKeyArray,
    tree: xr.DataTree,
    model: Model,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Data sets like the one in hand, one for each draw, and how well each draw explains it.

    Args:
        rng_key: a JAX key.
        tree: draws of the model's parameters in the group ``posterior``.
        model: the NumPyro model.
        model_args: its positional arguments, the observed data among them.
        model_kwargs: its arguments by keyword, such as priors.

    Returns:
        The tree, with the groups ``posterior_predictive``, ``log_likelihood`` (log p(y_i | θ_s),
        natural) and ``observed_data``, each with the model's observed sites.

    Raises:
        ValueError: where the model observes nothing, the tree lacks one of its parameters, or has
            one of another shape, or one that the model computes otherwise.
    """
    trace, samples, args, kwargs = _prepared(tree, model, model_args, model_kwargs, ())
    observed = [name for name, site in trace.items() if _was_observed(site)]
    values, logs = _run(rng_key, samples, model, args, kwargs, observed)
    more = from_draws(
        posterior_predictive=values,
        log_likelihood=logs,
        observed_data={name: np.asarray(trace[name]["infer"]["obs"]) for name in observed},
    )
    return joined(tree, more)


def predict(
    rng_key: PRNGKeyArray,
    tree: xr.DataTree,
    model: Model,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
) -> xr.DataTree:
    """New data at the inputs given, one set for each draw.

    The draws of one set share their parameters, so sums and differences of new data are right too.

    Args:
        rng_key: a JAX key.
        tree: draws of the model's parameters in the group ``posterior``.
        model: the NumPyro model.
        model_args: its positional arguments: the new inputs, and no outputs.
        model_kwargs: its arguments by keyword, such as priors.
        outputs: the model's sites that are to be drawn.

    Returns:
        The tree, with the group ``predictions``.

    Raises:
        ValueError: where the model has no such site, the tree lacks one of its parameters, or has
            one of another shape, or one that the model computes otherwise.
    """
    trace, samples, args, kwargs = _prepared(tree, model, model_args, model_kwargs, outputs)
    absent = [name for name in outputs if name not in trace]
    if absent:
        raise checks.fail("outputs", f"sites of the model ({', '.join(trace)})", absent)
    values, _ = _run(rng_key, samples, model, args, kwargs, outputs)
    return joined(tree, from_draws(predictions=values))


def _run(
    rng_key: PRNGKeyArray,
    samples: Mapping[str, np.ndarray],
    model: Model,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    names: Sequence[str],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A replication and the log density of what was observed, for each draw."""

    def one(key_and_draw: Any) -> Any:
        key, draw = key_and_draw
        trace = _trace(model, _from(draw), key, args, kwargs)
        sites = {name: trace[name] for name in names}
        values = {name: site["value"] for name, site in sites.items()}
        observed = {name: site for name, site in sites.items() if _was_observed(site)}
        return values, {k: s["fn"].log_prob(s["infer"]["obs"]) for k, s in observed.items()}

    chains, draws = next(iter(samples.values())).shape[:2]
    keys = jax.random.split(rng_key, chains * draws)
    flat = {k: jnp.asarray(v).reshape(chains * draws, *v.shape[2:]) for k, v in samples.items()}
    results = jax.jit(lambda k, f: jax.lax.map(one, (k, f), batch_size=BATCH))(keys, flat)
    deal = lambda v: np.asarray(v).reshape(chains, draws, *v.shape[1:])  # noqa: E731
    values, logs = jax.tree.map(deal, results)
    return values, logs


def _prepared(
    tree: xr.DataTree,
    model: Model,
    model_args: Sequence[Any],
    model_kwargs: Mapping[str, Any] | None,
    outputs: Sequence[str],
) -> tuple[dict[str, Any], dict[str, np.ndarray], list[Any], dict[str, Any]]:
    """The model's trace at the first draw, the draws of its parameters, and its arguments."""
    args, kwargs = in_force(model_args, model_kwargs or {})
    if "posterior" not in tree.children:
        raise checks.fail("tree", "a tree with the group posterior", [*tree.children])
    draws = {str(k): np.asarray(v) for k, v in tree["posterior"].data_vars.items()}
    key = jax.random.key(0)
    # Improper priors cannot be drawn from; a start of a sampler's kind can.
    sites = _trace(model, init_to_uniform(), key, args, kwargs)
    if not outputs and not any(_was_observed(site) for site in sites.values()):
        raise checks.fail("model_args", "such that the model has data to replicate", model_args)
    sampled = {k: s for k, s in sites.items() if s["type"] == "sample" and not _was_observed(s)}
    lacking = [name for name in sampled if name not in draws and name not in outputs]
    if lacking:
        raise checks.fail("tree", f"with draws of the model's {' and '.join(sampled)}", [*draws])
    for name, value in draws.items():
        _check_shape(name, value.shape[2:], sites.get(name))
    samples = {name: draws[name] for name in sampled if name in draws and name not in outputs}
    first = _from({k: jnp.asarray(v[0, 0]) for k, v in samples.items()})
    trace = _trace(model, first, key, args, kwargs)
    for name in draws.keys() - samples.keys() - set(outputs):
        _check_computed(name, draws[name][0, 0], trace[name]["value"])
    return trace, samples, args, kwargs


def _check_shape(name: str, shape: tuple[int, ...], site: Any) -> None:
    if site is None:
        raise checks.fail("tree", "with draws of the model's sites alone", name)
    if shape != (expected := jnp.shape(site["value"])):
        raise checks.fail(f"tree's {name}", f"of shape {expected} in each draw", shape)


def _check_computed(name: str, value: ArrayLike, computed: Any) -> None:
    """Draws of what the model computes itself came from the same model, or from another one."""
    if not np.allclose(value, computed, rtol=1e-3):
        raise checks.fail(f"tree's {name}", f"what the model makes of it, {computed}", value)


def _trace(
    model: Model,
    values: Callable[[Any], Any],
    rng_key: PRNGKeyArray,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """One run of the model, with values for some of its sites and everything else drawn."""
    free = handlers.seed(handlers.uncondition(model), rng_key)
    filled = handlers.substitute(free, substitute_fn=values)
    return dict(handlers.trace(filled).get_trace(*args, **kwargs))


def _from(draw: Mapping[str, Any]) -> Callable[[Any], Any]:
    return lambda site: draw.get(site["name"]) if site["type"] == "sample" else None


def _was_observed(site: Mapping[str, Any]) -> bool:
    return bool(site["infer"].get("was_observed", False)) if site["type"] == "sample" else False
