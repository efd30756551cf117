r"""A model's log density over a flat vector of real numbers, and the way back to its parameters.

Each parameter θ with bounds becomes T(u) of an unbounded u, and the density gains the Jacobian,

.. math:: \log p(u, \mathcal{D}) = \log p(\mathcal{D} \mid T(u)) + \log p(T(u)) + \log |T'(u)|

so that methods for vectors without bounds work on every model (Kucukelbir et al. 2017). The data
can be exchanged for other data of the same shape, or for a few of their rows. It runs in the
precision in force. Chapter "Variational inference" introduces it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from numpyro.distributions.transforms import Transform
from numpyro.infer import init_to_uniform

from bnnbook import checks
from bnnbook.models import sites
from bnnbook.models.sites import Model

Vector = Float[Array | np.ndarray, " dimension"]
NUM_SCOUTS = 200
"""Draws from the prior that tell its spread."""
PROBES = (-6.0, -2.0, -0.5, 0.0, 0.5, 2.0, 6.0)
"""Unbounded values whose images in a prior's support any transform of the user's must reach."""


@dataclass(frozen=True, eq=False)
class FlatTarget:
    """A log density over vectors of real numbers, with what a method needs to start and to end."""

    log_density: Callable[[Any], Any]
    """A JAX function of one vector: the log of the joint density, up to a constant at least."""
    dimension: int
    """The number of unbounded parameters."""
    names: tuple[str, ...]
    """What each is called."""
    start: Float[np.ndarray, " dimension"]
    """Where searches start."""
    scale: Float[np.ndarray, " dimension"]
    """The prior's spread in each coordinate, or what plays its part: the unit for first steps."""
    constrain: Callable[[Any], dict[str, Any]] | None = None
    """A JAX function from one vector to the model's parameters and what it computes from them."""
    log_density_given: Callable[[Any, Sequence[Any]], Any] | None = None
    """The log density of a vector with other arguments of the model: other data."""
    log_density_of_rows: Callable[[Any, Any], Any] | None = None
    """With the likelihood of some rows alone, scaled up by N/B: unbiased over random rows."""
    num_rows: int | None = None
    """The number N of rows of data, where they can be taken apart."""

    def __post_init__(self) -> None:
        checks.at_least("dimension", self.dimension, 1)
        if len(self.names) != self.dimension:
            raise checks.fail("names", f"of length {self.dimension}", self.names)
        for name in ("start", "scale"):
            value = checks.finite_array(name, getattr(self, name), ndim=1)
            if len(value) != self.dimension:
                raise checks.fail(name, f"of length {self.dimension}", value)
        if not (np.asarray(self.scale) > 0).all():
            raise checks.fail("scale", "positive everywhere", self.scale)


def from_log_density(
    log_density: Callable[[Any], Any],
    dimension: int,
    *,
    names: Sequence[str] | None = None,
    start: Any = None,
    scale: Any = None,
) -> FlatTarget:
    """A target from any JAX function of a vector.

    Args:
        log_density: from a vector of shape (dimension,) to a number; need not be normalised.
        dimension: the vector's length.
        names: what to call its entries; x[0], x[1], ... where it is None.
        start: where searches start; zeros where it is None.
        scale: how far each entry can be expected to lie from there; ones where it is None.

    Raises:
        ValueError: where lengths disagree, or a scale is not positive.
    """
    d = checks.at_least("dimension", dimension, 1)
    return FlatTarget(
        log_density=log_density,
        dimension=d,
        names=tuple(names) if names is not None else tuple(f"x[{i}]" for i in range(d)),
        start=np.zeros(d) if start is None else checks.finite_array("start", start, ndim=1),
        scale=np.ones(d) if scale is None else checks.finite_array("scale", scale, ndim=1),
    )


def from_model(
    model: Model,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    rows: Sequence[int] = (),
    transforms: Mapping[str, Transform] | None = None,
) -> FlatTarget:
    """The target of a NumPyro model.

    Args:
        model: the model; its observed sites are the likelihood, the others the prior.
        model_args: its positional arguments, data among them.
        model_kwargs: its arguments by keyword, such as priors.
        rows: the positions, among ``model_args``, of arrays with a row a datum. With them the
            likelihood can be had of a few rows alone, which is right where the data are
            independent given the parameters and no parameter belongs to a single row.
        transforms: by site, the map from unbounded values to be used in place of NumPyro's own
            (exp for positive numbers, the logistic function for an interval).

    Raises:
        ValueError: where nothing is unknown, an unknown is discrete, a transform does not reach all
            of the prior's support or leaves it, data are outside the support of their likelihood,
            or the arrays of ``rows`` differ in length.
    """
    kwargs = dict(model_kwargs or {})
    args = tuple(model_args)
    unknown = _unknown_sites(model, args, kwargs)
    bijections = _bijections(unknown, transforms or {})
    scouted = _scouted(model, args, kwargs, bijections)
    _, unravel = ravel_pytree(scouted.example)

    def parts(x: Any, given: Sequence[Any]) -> tuple[Any, Any]:
        return sites.log_parts(model, given, kwargs, unravel(x), bijections)

    def constrain(x: Any) -> dict[str, Any]:
        fill = sites.filler(unravel(x), bijections)
        trace = sites.run(model, args, kwargs, fill)
        return {name: site["value"] for name, site in trace.items() if sites.is_answer(site)}

    def of_rows(x: Any, chosen: Any) -> Any:
        few = [jnp.asarray(a)[chosen] if i in rows else a for i, a in enumerate(args)]
        prior, likelihood = parts(x, few)
        return prior + likelihood * (num_rows / chosen.shape[0])

    num_rows = _num_rows(args, rows)
    return FlatTarget(
        log_density=lambda x: sum(parts(x, args)),
        dimension=len(scouted.start),
        names=sites.names(scouted.example),
        start=scouted.start,
        scale=scouted.scale,
        constrain=constrain,
        log_density_given=lambda x, given: sum(parts(x, given)),
        log_density_of_rows=of_rows if rows else None,
        num_rows=num_rows if rows else None,
    )


def simulator(
    model: Model,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
) -> Callable[[Any], tuple[Any, dict[str, Any]]]:
    """Parameters from the prior, and data from the model with those parameters.

    Args:
        model: a NumPyro model.
        model_args: its positional arguments, the data left out (None) so that they are drawn.
        model_kwargs: its arguments by keyword.
        outputs: the sites that are data.

    Returns:
        A JAX function from a key to the unbounded parameters, in the order of the target that
        :func:`from_model` makes of the same model with data, and the data by site.

    Raises:
        ValueError: where the model has no such site, or does not draw it.
    """
    kwargs = dict(model_kwargs or {})
    unknown = _unknown_sites(model, model_args, kwargs, outputs)
    missing = [name for name in outputs if name not in unknown]
    if missing:
        raise checks.fail("outputs", f"sites that the model draws ({', '.join(unknown)})", missing)

    def simulate(rng_key: Any) -> tuple[Any, dict[str, Any]]:
        trace = sites.run(model, model_args, kwargs, lambda site: None, rng_key)
        parameters = {name: site for name, site in trace.items() if name not in outputs}
        x, _ = ravel_pytree(sites.unbounded_values(parameters))
        return x, {name: trace[name]["value"] for name in outputs}

    return simulate


def _unknown_sites(
    model: Model, args: Any, kwargs: Any, drawn: Sequence[str] = ()
) -> dict[str, Any]:
    # Improper priors cannot be drawn from; values near zero can always be had.
    trace = sites.run(model, args, kwargs, init_to_uniform())
    sites.check_observed(model, args, kwargs, trace)
    unknown = {name: site for name, site in trace.items() if sites.is_unknown(site)}
    if not unknown:
        raise checks.fail("model", "a model with at least one site that is not observed", [*trace])
    for name, site in unknown.items():
        if site["fn"].support.is_discrete and name not in drawn:
            expected = f"a model whose unknowns are continuous (site {name!r})"
            raise checks.fail("model", expected, type(site["fn"]).__name__)
    return unknown


def _bijections(unknown: Mapping[str, Any], given: Mapping[str, Transform]) -> dict[str, Any]:
    strangers = [name for name in given if name not in unknown]
    if strangers:
        raise checks.fail("transforms", f"for the sites {', '.join(unknown)}", strangers)
    for name, transform in given.items():
        _check_support(name, transform, unknown[name])
    return dict(given)


def _check_support(name: str, transform: Transform, site: Mapping[str, Any]) -> None:
    """Probe both ways: constraints with one meaning come under several names."""
    support, shape = site["fn"].support, jnp.shape(site["value"])
    own = dist.biject_to(support)
    with numpyro.validation_enabled(False):
        for probe in PROBES:
            value = own(jnp.full(jnp.shape(own.inv(site["value"])), probe))
            if not bool(jnp.all(transform.codomain(value))):
                raise ValueError(
                    f"transforms[{name!r}] must reach all of the prior's support, {support}, "
                    f"but {type(transform).__name__} ends in {transform.codomain}, which lacks "
                    f"{float(jnp.ravel(value)[0]):.4g}: the guide could never cover it"
                )
            image = transform(jnp.full(transform.inverse_shape(shape), probe))
            if not bool(jnp.all(support(image))):
                raise ValueError(
                    f"transforms[{name!r}] must stay within the prior's support, {support}, "
                    f"but {type(transform).__name__} gives {float(jnp.ravel(image)[0]):.4g}: the "
                    "guide would put probability where the model has none"
                )


class _Scouted(NamedTuple):
    """What a few draws from the prior tell."""

    start: Float[np.ndarray, " dimension"]
    scale: Float[np.ndarray, " dimension"]
    example: dict[str, Any]


def _scouted(model: Model, args: Any, kwargs: Any, bijections: Any) -> _Scouted:
    """The prior's medians, and half the width that holds two thirds: an sd for a normal prior."""

    def scout(key: Any) -> Any:
        trace = sites.run(model, args, kwargs, _drawn_or_near_zero, key)
        return sites.unbounded_values(trace, bijections)

    # Priors over vectors broadcast over the stack of draws.
    with jax.numpy_rank_promotion("allow"):
        draws = jax.jit(jax.vmap(scout))(jax.random.split(jax.random.key(0), NUM_SCOUTS))
    flat = np.hstack([np.reshape(draws[k], (NUM_SCOUTS, -1)) for k in sorted(draws)]).astype(float)
    lower, start, upper = np.nanquantile(flat, [1 / 6, 1 / 2, 5 / 6], axis=0)
    width = (upper - lower) / 1.935  # a normal distribution's own
    scale = np.where(np.isfinite(width) & (width > 0), width, 1.0)
    return _Scouted(start, scale, jax.tree.map(lambda leaf: leaf[0], draws))


def _drawn_or_near_zero(site: Mapping[str, Any]) -> Any:
    improper = site["type"] == "sample" and isinstance(sites.base(site["fn"]), dist.ImproperUniform)
    return init_to_uniform()(site) if improper else None


def _num_rows(args: Sequence[Any], rows: Sequence[int]) -> int:
    for position in rows:
        checks.one_of("rows", position, range(len(args)))
    if not rows:
        return 0
    number = checks.same_length(**{f"model_args[{i}]": args[i] for i in rows})
    return checks.at_least(f"the length of model_args[{rows[0]}]", number, 1)
