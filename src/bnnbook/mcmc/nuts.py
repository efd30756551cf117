"""The no-U-turn sampler, NumPyro's, behind one function that ends in a ``DataTree``.

NUTS follows the gradient of the log density along trajectories that stop by themselves when they
turn back (Hoffman and Gelman 2014). Its warm-up sets the step size and a mass matrix; chains run
side by side, vectorised. It tells when it fails, by divergences, and here those are not left to be
looked for. Chapter "Bayesian linear regression" uses it; "Hamiltonian Monte Carlo" explains it.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import numpyro
import xarray as xr
from numpyro.infer import MCMC, NUTS

from bnnbook import checks
from bnnbook.datatree import from_draws
from bnnbook.mcmc.kernel import check_key
from bnnbook.models.sites import check_observed, in_force

Model = Callable[..., Any]

STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "num_steps",
    "accept_prob": "accept_prob",
    "adapt_state.step_size": "step_size",
}
"""What NumPyro calls a statistic, and what the group ``sample_stats`` calls it."""


class SamplerWarning(UserWarning):
    """The draws are not to be trusted as they are; the message names the remedy."""


class Settings(NamedTuple):
    """How the sampler ran; all of it ends in the tree's attributes."""

    num_warmup: int = 1000
    """Steps a chain that adapt the sampler and are thrown away."""
    num_samples: int = 1000
    """Draws a chain that are kept."""
    num_chains: int = 4
    """Chains side by side, from starts of their own."""
    dense_mass: bool = False
    """Whether the mass matrix has entries off its diagonal."""
    target_accept_prob: float = 0.8
    """The acceptance rate that the step size is tuned to."""
    max_tree_depth: int = 10
    """Trajectories have at most two to this power steps, less one."""
    adapt_mass_matrix: bool = True
    """Whether the mass matrix is learnt, or stays the identity."""


DEFAULTS = Settings()
DISCRETE = "sum them out, or sample with Gibbs or MetropolisHastings of bnnbook.mcmc"
NO_START = (
    "model must have a finite log density and gradient where chains start (each unconstrained "
    "parameter between -2 and 2), got none in its tries: look for data outside the support, or "
    "rescale the inputs"
)


def sample(
    rng_key: jax.Array,
    model: Model,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    dense_mass: bool = False,
    target_accept_prob: float = 0.8,
    max_tree_depth: int = 10,
    adapt_mass_matrix: bool = True,
) -> xr.DataTree:
    """Draws from the posterior of a NumPyro model.

    It runs in the precision in force: wrap the call in ``jax.enable_x64(True)`` for float64. Each
    call compiles anew, which takes longer than sampling does for a small model: for many data sets
    of one shape see :func:`compiled`.

    Args:
        rng_key: a JAX key.
        model: a NumPyro model.
        model_args: its positional arguments, data among them.
        model_kwargs: its arguments by keyword, such as priors.
        num_warmup: steps a chain that adapt the sampler and are thrown away.
        num_samples: draws a chain that are kept.
        num_chains: chains, from dispersed starts; R̂ compares them, so take at least two.
        dense_mass: learn the correlations of the parameters too: pays up to some thirty of them.
        target_accept_prob: raise it towards 1 for smaller steps where draws diverge.
        max_tree_depth: trajectories have at most two to this power steps, less one.
        adapt_mass_matrix: learn scales in warm-up; without it all parameters have mass one.

    Returns:
        A tree with the groups ``posterior`` (each site of the model that is not observed, of shape
        (chain, draw, ...)), ``sample_stats`` (diverging, energy, num_steps, accept_prob,
        step_size), ``observed_data`` where the model has some, and the settings as attributes.

    Raises:
        ValueError: where a setting makes no sense, the model has nothing to sample or discrete
            unknowns, data are outside the support of their likelihood, or the density is not
            finite at any start.

    Warns:
        SamplerWarning: where draws diverged, trajectories were cut short at the greatest tree
            depth, or there is but one chain.
    """
    settings = _checked(
        Settings(
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=num_chains,
            dense_mass=dense_mass,
            target_accept_prob=target_accept_prob,
            max_tree_depth=max_tree_depth,
            adapt_mass_matrix=adapt_mass_matrix,
        )
    )
    check_key(rng_key)
    args, kwargs = in_force(model_args, model_kwargs or {})
    observed = observed_values(model, args, kwargs)
    tree = _tree(_run(rng_key, model, args, kwargs, settings), observed, settings)
    _warn(tree, settings)
    return tree


def compiled(
    model: Model, model_kwargs: Mapping[str, Any] | None = None, settings: Settings = DEFAULTS
) -> Callable[[jax.Array, Sequence[Any]], xr.DataTree]:
    """A sampler that is compiled once and then run on many data sets of one shape.

    What :func:`sample` does, for simulations that call it again and again: a run on a small model
    then takes milliseconds.

    Args:
        model: a NumPyro model.
        model_kwargs: its arguments by keyword, such as priors: the same in every run.
        settings: how the sampler runs.

    Returns:
        A function of a JAX key and the model's positional arguments that returns the tree of
        :func:`sample`. Arguments of a new shape or precision make it compile again. Models
        that look at their data must let traced arrays pass, as those of ``bnnbook.models`` do.

    Raises:
        ValueError: for the reasons that :func:`sample` has.
    """
    settings = _checked(settings)
    given = dict(model_kwargs or {})

    @jax.jit
    def draw(rng_key: jax.Array, args: Sequence[Any]) -> tuple[Any, Any]:
        _, kwargs = in_force((), given)
        return _run(rng_key, model, args, kwargs, settings)

    def run(rng_key: jax.Array, model_args: Sequence[Any] = ()) -> xr.DataTree:
        check_key(rng_key)
        args, kwargs = in_force(model_args, given)
        observed = observed_values(model, args, kwargs)
        draws = draw(rng_key, args)
        # Inside a compiled function NumPyro cannot complain of a start that is not finite.
        if not np.isfinite(draws[1]["energy"]).all():
            raise ValueError(NO_START)
        tree = _tree(draws, observed, settings)
        _warn(tree, settings)
        return tree

    return run


def _checked(settings: Settings) -> Settings:
    checks.fraction("target_accept_prob", settings.target_accept_prob)
    return settings._replace(
        num_warmup=checks.at_least("num_warmup", settings.num_warmup, 1),
        num_samples=checks.at_least("num_samples", settings.num_samples, 1),
        num_chains=checks.at_least("num_chains", settings.num_chains, 1),
        max_tree_depth=checks.at_least("max_tree_depth", settings.max_tree_depth, 1),
    )


def _tree(
    draws: tuple[Any, Any], observed: Mapping[str, np.ndarray], settings: Settings
) -> xr.DataTree:
    samples, fields = draws
    return from_draws(
        posterior={name: np.asarray(value) for name, value in samples.items()},
        sample_stats={ours: np.asarray(fields[theirs]) for theirs, ours in STATISTICS.items()},
        observed_data=dict(observed) or None,
        attrs={"method": "NUTS", "dtype": _precision(), **_plain(settings)},
    )


def observed_values(
    model: Model, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The observed sites of one run of the model; errors of its own arguments come up here.

    Raises:
        ValueError: where the model is none that a sampler with gradients can take, or data are
            outside the support of their likelihood.
    """
    if not callable(model):
        raise checks.fail("model", "a NumPyro model, a function", model)
    seeded = numpyro.handlers.seed(model, jax.random.key(0))
    with numpyro.handlers.block():
        trace = numpyro.handlers.trace(_starting(seeded)).get_trace(*args, **kwargs)
        check_observed(model, args, kwargs, trace)
    sites = {k: site for k, site in trace.items() if site["type"] == "sample"}
    if all(site["is_observed"] for site in sites.values()):
        raise checks.fail("model", "a model with at least one site that is not observed", [*sites])
    unknown = {k: site for k, site in sites.items() if not site["is_observed"]}
    discrete = [k for k, site in unknown.items() if site["fn"].support.is_discrete]
    if discrete:
        raise checks.fail("model", f"without discrete unknowns ({DISCRETE})", discrete)
    return {k: np.asarray(site["value"]) for k, site in sites.items() if site["is_observed"]}


def _starting(model: Model) -> Model:
    """Improper priors cannot be drawn from; a start of the sampler's kind can."""
    return numpyro.handlers.substitute(model, substitute_fn=numpyro.infer.init_to_uniform())


def _run(
    rng_key: jax.Array,
    model: Model,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    settings: Settings,
) -> tuple[Any, Any]:
    """Draws and statistics, each of shape (chain, draw, ...)."""
    of_kernel = ("dense_mass", "target_accept_prob", "max_tree_depth", "adapt_mass_matrix")
    given = settings._asdict()
    kernel = NUTS(model, **{name: given.pop(name) for name in of_kernel})
    sampler = MCMC(kernel, **given, chain_method="vectorized", progress_bar=False)
    try:
        sampler.run(rng_key, *args, extra_fields=tuple(STATISTICS), **kwargs)
    except RuntimeError as error:
        if "initial parameters" not in str(error):
            raise
        raise ValueError(NO_START) from error
    return sampler.get_samples(True), sampler.get_extra_fields(True)


def _precision() -> str:
    return jax.numpy.result_type(float).name


def _plain(settings: Settings) -> dict[str, int | float]:
    """Truth values as 0 and 1, for a file format that has none."""
    return {k: int(v) if isinstance(v, bool) else v for k, v in settings._asdict().items()}


def _warn(tree: xr.DataTree, settings: Settings) -> None:
    for message in _complaints(tree, settings):
        warnings.warn(message, SamplerWarning, stacklevel=3)


def _complaints(tree: xr.DataTree, settings: Settings) -> list[str]:
    """What is wrong with the draws, each with what helps."""
    total = settings.num_chains * settings.num_samples
    diverging = int(tree["sample_stats"]["diverging"].sum())
    cut = int((tree["sample_stats"]["num_steps"] >= 2**settings.max_tree_depth - 1).sum())
    found = []
    if settings.num_chains == 1:
        found.append("num_chains is 1, so R̂ has nothing to compare: take at least 4 chains")
    if diverging:
        found.append(
            f"{diverging} of {total} draws diverged, so part of the posterior is missed: raise "
            f"target_accept_prob above {settings.target_accept_prob:g}, and if that does not help, "
            "write the model in other parameters (a hierarchical one: not centred)"
        )
    if cut:
        found.append(
            f"{cut} of {total} trajectories stopped at max_tree_depth = {settings.max_tree_depth}, "
            "so draws are more alike than they need be: standardise the inputs, set "
            "dense_mass=True, warm up for longer, or raise max_tree_depth"
        )
    return found
