r"""A NumPyro model as the log density that our kernels take: over unbounded parameters.

A parameter with bounds is replaced by an unbounded one u, and the log density gains the log of the
Jacobian, log p(θ(u)) + log |dθ/du|, so that draws of u, transformed back, are draws of θ. Chapter
"Hamiltonian Monte Carlo" uses it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro  # noqa: F401 (before its parts: ArviZ registers it lazily)
from numpyro.infer import init_to_uniform
from numpyro.infer.util import initialize_model

from bnnbook import checks
from bnnbook.mcmc.kernel import check_key
from bnnbook.mcmc.nuts import NO_START, observed_values
from bnnbook.models.sites import in_force


class Unbounded(NamedTuple):
    """What the driver needs to sample from a model's posterior."""

    log_density: Callable[[Any], Any]
    """Of a dictionary of unbounded parameters, with the Jacobian; up to the evidence."""
    constrain: Callable[[Any], Any]
    """From those to the model's sites within their bounds, computed ones too."""
    starts: dict[str, Any]
    """One start a chain, each unbounded parameter uniform between −2 and 2, as NUTS starts."""


def posterior(
    rng_key: jax.Array,
    model: Callable[..., Any],
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    num_chains: int = 4,
) -> Unbounded:
    """The posterior of a NumPyro model, for ``bnnbook.mcmc.driver.sample``.

    Args:
        rng_key: a JAX key, for the starts.
        model: a NumPyro model without discrete unknowns.
        model_args: its positional arguments, data among them.
        model_kwargs: its arguments by keyword, such as priors.
        num_chains: how many starts.

    Raises:
        ValueError: where the model has nothing to sample or discrete unknowns, or no start with a
            finite log density and gradient is found.
    """
    check_key(rng_key)
    num_chains = checks.at_least("num_chains", num_chains, 1)
    args, kwargs = in_force(model_args, model_kwargs or {})
    observed_values(model, args, kwargs)
    keys = jax.random.split(rng_key, num_chains)
    of_model = {"model_args": args, "model_kwargs": kwargs, "init_strategy": init_to_uniform()}
    try:
        info = [initialize_model(key, model, **of_model) for key in keys]
    except RuntimeError as error:
        if "initial parameters" not in str(error):
            raise
        raise ValueError(NO_START) from error
    starts = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[i.param_info.z for i in info])
    potential, constrain = info[0].potential_fn, info[0].postprocess_fn
    return Unbounded(lambda u: -potential(u), constrain, starts)
