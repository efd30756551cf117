r"""A posterior density over a flat vector of real numbers: what the estimators integrate.

.. math:: p(\mathcal{D}) = \int p(\mathcal{D} \mid \theta)\, p(\theta)\, \mathrm{d}\theta

Prior and likelihood are given apart and normalised, for the evidence needs their constants.
A parameter with bounds is replaced by an unbounded one u, and the log prior includes the log of the
Jacobian, log p(θ(u)) + log |dθ/du|, so that the integral stays the same. Introduced in the chapter
"Model evidence".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401 (before its parts: ArviZ registers it lazily)
import numpyro.distributions as dist
from jax.flatten_util import ravel_pytree
from jaxtyping import Float
from numpy.typing import ArrayLike
from numpyro.infer import init_to_median, init_to_uniform

from bnnbook import checks
from bnnbook.models import sites
from bnnbook.models.bayesian_network import Data, Network

BLOCK = 256
"""Points evaluated at once. Every call is padded to whole blocks, so nothing compiles twice."""

TRIED = 500
"""Draws of a network's prior, of which the best is where searches start."""

LogDensity = Callable[[Any], Any]


class Parts(NamedTuple):
    """The two parts of the log density at each point."""

    log_prior: Float[np.ndarray, " point"]
    """Normalised, with the Jacobian; −∞ where the prior is zero."""
    log_likelihood: Float[np.ndarray, " point"]
    """Normalised as a density of the data; −∞ where they are impossible."""

    @property
    def log_joint(self) -> Float[np.ndarray, " point"]:
        """Their sum: the log of the posterior density, up to the evidence."""
        return self.log_prior + self.log_likelihood


@dataclass(frozen=True, eq=False)
class Target:
    """A model with its data. Compiled once, at the first use of each function.

    Raises:
        ValueError: where names and dimension disagree, the log density is not finite at the start,
            or the log prior is flat, so improper, in a parameter or a combination. Whether it
            is normalised cannot be checked, and every estimate is off by what it lacks.
    """

    log_prior: LogDensity
    """A JAX function of a vector: the normalised log prior, Jacobian included."""
    log_likelihood: LogDensity
    """A JAX function of a vector: the log density of all data."""
    dimension: int
    """The number of parameters."""
    names: tuple[str, ...]
    """What each is called."""
    start: Float[np.ndarray, " dimension"]
    """Where searches start; the log density must be finite there."""
    flatten: Callable[[Mapping[str, Any]], Float[np.ndarray, "..."]] | None = None
    """From named draws, shapes (chain, draw, ...), to vectors, shape (chain, draw, dimension)."""
    unflatten: Callable[[Float[np.ndarray, "..."]], dict[str, np.ndarray]] | None = None
    """The way back: to each site that is not observed, computed ones too, within its bounds."""
    sample_prior: Callable[[jax.Array], Any] | None = None
    """A JAX function of a key: one draw from the prior, a vector. Methods that start at the prior
    (thermodynamic integration, SMC, nested sampling) need it."""

    def __post_init__(self) -> None:
        checks.at_least("dimension", self.dimension, 1)
        start = checks.finite_array("start", self.start, ndim=1)
        if not len(start) == len(self.names) == self.dimension:
            raise checks.fail("names and start", f"of length {self.dimension}", self.names)
        far = 1e3 * (1 + np.abs(start).max()) * np.eye(self.dimension)
        parts = self.evaluate(np.concatenate([start[None], start + far, start - far]), nan=True)
        at_start = Parts(parts.log_prior[:1], parts.log_likelihood[:1])
        for name, value in at_start._asdict().items():
            if not np.isfinite(value[0]):
                raise ValueError(f"target must have a finite {name} at its start, got {value[0]}")
        moved = parts.log_prior[1:].reshape(2, -1) != at_start.log_prior[0]
        if not moved.any(axis=0).all():
            raise _improper(self.names[int(np.argmin(moved.any(axis=0)))])
        # A prior that can be drawn from is proper; any other may be flat along a slanted line.
        if self.sample_prior is None and self.dimension > 1:
            self._check_slopes(start)

    def _check_slopes(self, start: Float[np.ndarray, " dimension"]) -> None:
        """Refuse a log prior whose gradients all lie in fewer dimensions than there are."""
        scales = np.repeat([0.1, 1.0, 10.0, 100.0], 4 + self.dimension)[:, None]
        away = np.random.default_rng(0).normal(size=(len(scales), self.dimension))
        with jax.enable_x64(True):
            gradient = jax.jit(jax.vmap(jax.grad(self.log_prior)))
            slopes = np.asarray(gradient(start + scales * (1 + np.abs(start)) * away))
        slopes = slopes[np.isfinite(slopes).all(axis=1)]
        largest = np.abs(slopes).max(axis=0, initial=0.0)
        if len(slopes) < self.dimension or not (largest > 0).all():
            return
        direction = np.linalg.svd(slopes / largest)[2][-1]
        direction = np.where(np.abs(direction) > 1e-10, direction / largest, 0.0)
        steps = np.outer([-1e6, -1e3, 1e3, 1e6], direction / np.abs(direction).max())
        along = self.evaluate(np.concatenate([start[None], start + steps]), nan=True).log_prior
        if np.allclose(along, along[0], rtol=1e-9, atol=1e-9):
            used = np.abs(direction) > 1e-6 * np.abs(direction).max()
            names = [name for name, part in zip(self.names, used, strict=True) if part]
            raise _improper("a combination of " + ", ".join(names))

    @cached_property
    def _parts(self) -> Callable[[Any], Any]:
        return jax.jit(jax.vmap(lambda x: (self.log_prior(x), self.log_likelihood(x))))

    @cached_property
    def _curves(self) -> dict[str, Callable[[Any], Any]]:
        def joint(x: Any) -> Any:
            return self.log_prior(x) + self.log_likelihood(x)

        def with_derivatives(f: LogDensity) -> Callable[[Any], Any]:
            return jax.jit(lambda x: (f(x), jax.grad(f)(x), jax.hessian(f)(x)))

        return {
            "log_joint": with_derivatives(joint),
            "log_likelihood": with_derivatives(self.log_likelihood),
        }

    @cached_property
    def _programs(self) -> dict[Any, Callable[..., Any]]:
        return {}

    def compiled(self, key: Any, build: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """A function of JAX arrays that is compiled for this target at its first use only.

        Args:
            key: what tells it from this target's other programs: the method's name and its sizes.
            build: makes the function, where it was not made before.
        """
        if key not in self._programs:
            self._programs[key] = jax.jit(build())
        return self._programs[key]

    def inside(self, x: Any) -> tuple[Any, ...]:
        """Log prior and log likelihood at one point, traceable, where the data are possible.

        Where they are impossible the log prior is −∞ and the log likelihood 0: so a power of the
        likelihood is no NaN there. A NaN of the model's becomes +∞, which no method overlooks.
        """
        prior, likelihood = self.log_prior(x), self.log_likelihood(x)
        prior = jnp.where((likelihood == -jnp.inf) & (prior < jnp.inf), -jnp.inf, prior)
        likelihood = jnp.where(prior == -jnp.inf, 0.0, likelihood)
        return tuple(jnp.where(jnp.isnan(part), jnp.inf, part) for part in (prior, likelihood))

    def evaluate(self, points: ArrayLike, *, nan: bool = False) -> Parts:
        """Log prior and log likelihood at points, shape (point, dimension).

        Raises:
            ValueError: where the shape is wrong, or a value is NaN (unless admitted) or +∞.
        """
        x = np.asarray(points, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise checks.fail("points", f"of shape (point, {self.dimension})", x.shape)
        padded = np.concatenate([x, np.repeat(x[-1:], -len(x) % BLOCK, axis=0)])
        with jax.enable_x64(True):
            blocks = [self._parts(padded[i : i + BLOCK]) for i in range(0, len(padded), BLOCK)]
        prior, likelihood = (np.concatenate(p)[: len(x)] for p in zip(*blocks, strict=True))
        # Where the prior is zero the likelihood does not matter, and may be anything.
        likelihood = np.where(prior == -np.inf, -np.inf, likelihood)
        total = prior + likelihood
        if not nan and (np.isnan(total) | (total == np.inf)).any():
            where = x[np.isnan(total) | (total == np.inf)][0]
            raise ValueError(f"target must have a log density below +∞, got NaN or +∞ at {where}")
        return Parts(prior, likelihood)

    def check_estimate(self, value: Any) -> float:
        """An estimate that a compiled walk made, unless the density was NaN or +∞ on its way."""
        if not np.isfinite(value):
            raise ValueError(f"target must have a log density below +∞, got an estimate of {value}")
        return float(value)

    def derivatives(
        self, point: Float[np.ndarray, " dimension"], of: str = "log_joint"
    ) -> tuple[float, Float[np.ndarray, " dimension"], Float[np.ndarray, "dimension dimension"]]:
        """Value, gradient and Hessian of ``log_joint`` or ``log_likelihood`` at one point."""
        with jax.enable_x64(True):
            value, gradient, hessian = self._curves[of](np.asarray(point, dtype=np.float64))
        return float(value), np.asarray(gradient), np.asarray(hessian)

    def check_draws(
        self, draws: ArrayLike, min_samples: int
    ) -> Float[np.ndarray, "chain draw dimension"]:
        """Draws of the right shape, as many a chain as a method needs."""
        draws = checks.finite_array("draws", draws, ndim=3)
        if draws.shape[1] < min_samples or draws.shape[2] != self.dimension:
            expected = f"of shape (chain, {min_samples} or more draws, {self.dimension})"
            raise checks.fail("draws", expected, draws.shape)
        return draws


def _improper(name: str) -> ValueError:
    return ValueError(
        f"target must have a proper prior, got a flat one of {name}: its constant is arbitrary, "
        "and so would be the evidence"
    )


def transformed(
    target: Target, forward: Callable[[Any], Any], inverse: Callable[[Any], Any]
) -> Target:
    """The same model in other parameters u = inverse(θ), with the Jacobian of θ = forward(u).

    The evidence stays what it is; what changes is the shape that approximations have to cope with.

    Args:
        target: the model.
        forward: a JAX function, from the new vector to the old; NaN or infinite where the new
            parameters are out of bounds, and there the density becomes zero.
        inverse: the JAX function back.
    """

    def log_prior(u: Any) -> Any:
        x, (_, log_volume) = forward(u), jnp.linalg.slogdet(jax.jacfwd(forward)(u))
        return jnp.where(jnp.isfinite(x).all(), target.log_prior(x) + log_volume, -jnp.inf)

    def log_likelihood(u: Any) -> Any:
        x = forward(u)
        return jnp.where(jnp.isfinite(x).all(), target.log_likelihood(x), -jnp.inf)

    def over_draws(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        compiled = jax.jit(jax.vmap(jax.vmap(function)))

        def apply(draws: Any) -> Float[np.ndarray, "..."]:
            with jax.enable_x64(True):
                return np.asarray(compiled(np.asarray(draws, dtype=np.float64)))

        return apply

    with jax.enable_x64(True):
        start = np.asarray(inverse(jnp.asarray(target.start)), dtype=np.float64)
    return Target(
        log_prior,
        log_likelihood,
        target.dimension,
        target.names,
        start,
        flatten=_chain(target.flatten, over_draws(inverse)),
        unflatten=_chain(over_draws(forward), target.unflatten),
        sample_prior=_chain(target.sample_prior, inverse),
    )


def _chain(
    first: Callable[[Any], Any] | None, then: Callable[[Any], Any] | None
) -> Callable[[Any], Any] | None:
    """One after the other, or None where one of them is not there."""
    if first is None or then is None:
        return None
    return lambda x: then(first(x))


def from_model(
    model: Callable[..., Any],
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    start: Mapping[str, ArrayLike] | None = None,
) -> Target:
    """The target of a NumPyro model, through unbounded parameters with the Jacobian.

    Args:
        model: a NumPyro model; its observed sites are the likelihood, the others the prior.
        model_args: its positional arguments, data among them.
        model_kwargs: its arguments by keyword, such as priors.
        start: values of the sites to start from; medians of a few prior draws where it is None.

    Raises:
        ValueError: where a prior is improper, or a site discrete or fixed, or nothing is unknown,
            or data are outside the support of their likelihood.
    """
    with jax.enable_x64(True):
        args, kwargs = sites.in_force(model_args, model_kwargs or {})
        initial = _initial(model, args, kwargs, start)
        flat, unravel = ravel_pytree(initial)

    def parts(x: Any) -> tuple[Any, Any]:
        return sites.log_parts(model, args, kwargs, unravel(x))

    @jax.jit
    def to_flat(values: Any) -> Any:
        trace = sites.run(model, args, kwargs, _given(values))
        return ravel_pytree(sites.unbounded_values(trace))[0]

    def flatten(posterior: Mapping[str, Any]) -> Float[np.ndarray, "..."]:
        with jax.enable_x64(True):
            values = {name: jnp.asarray(np.asarray(posterior[name], float)) for name in initial}
            return np.asarray(jax.vmap(jax.vmap(to_flat))(values))

    @jax.jit
    def to_named(x: Any) -> Any:
        # Sites with bounds are filled in by their transforms, which know the values above them.
        trace = sites.run(model, args, kwargs, sites.filler(unravel(x)))
        return {name: site["value"] for name, site in trace.items() if sites.is_answer(site)}

    def unflatten(draws: Float[np.ndarray, "..."]) -> dict[str, np.ndarray]:
        with jax.enable_x64(True):
            named = jax.vmap(jax.vmap(to_named))(np.asarray(draws, dtype=np.float64))
            return {name: np.asarray(value) for name, value in named.items()}

    def sample_prior(rng_key: jax.Array) -> Any:
        trace = sites.run(model, args, kwargs, lambda site: None, rng_key)
        return ravel_pytree(sites.unbounded_values(trace))[0]

    return Target(
        log_prior=lambda x: parts(x)[0],
        log_likelihood=lambda x: parts(x)[1],
        dimension=len(flat),
        names=sites.names(initial),
        start=np.asarray(flat),
        flatten=flatten,
        unflatten=unflatten,
        sample_prior=sample_prior,
    )


def from_network(network: Network, data: Data) -> Target:
    """The target of a Bayesian network, whose vector is that of ``network.ravel``.

    Searches start at the best of 500 draws of the prior: from a poor one they more often end at a
    lesser mode.

    Args:
        network: the network.
        data: what ``network.data(x, y)`` gives.
    """

    def sample_prior(rng_key: jax.Array) -> Any:
        return network.ravel(network.draw_prior(rng_key))

    def log_prior(x: Any) -> Any:
        return network.log_prior(network.unravel(x))

    def log_likelihood(x: Any) -> Any:
        return jnp.sum(network.log_likelihood(network.unravel(x), *data))

    with jax.enable_x64(True):
        data = network.data(*data)
        drawn = jax.vmap(sample_prior)(jax.random.split(jax.random.key(0), TRIED))
        best = jnp.argmax(jax.lax.map(lambda x: log_prior(x) + log_likelihood(x), drawn))
    return Target(
        log_prior=log_prior,
        log_likelihood=log_likelihood,
        dimension=network.num_parameters,
        names=network.names(),
        start=np.asarray(drawn[best], dtype=np.float64),
        sample_prior=sample_prior,
    )


def _initial(model: Any, args: Any, kwargs: Any, start: Any) -> dict[str, Any]:
    """Unbounded values of the unknown sites, after a look at their priors."""
    # Improper priors cannot be drawn from; values near zero can always be had.
    trace = sites.run(model, args, kwargs, init_to_uniform())
    sites.check_observed(model, args, kwargs, trace)
    unknown = {k: site for k, site in trace.items() if sites.is_unknown(site)}
    if not unknown:
        raise checks.fail("model", "a model with at least one site that is not observed", [*trace])
    for name, site in unknown.items():
        _check_prior(name, site["fn"])
    if start is not None:
        values = {name: jnp.asarray(value, float) for name, value in start.items()}
        return sites.unbounded_values(sites.run(model, args, kwargs, _given(values)))
    # NumPyro draws the few in one stack, and multivariate normals then broadcast over it.
    with jax.numpy_rank_promotion("allow"):
        medians = sites.run(model, args, kwargs, init_to_median(num_samples=15))
    return sites.unbounded_values(medians)


def _given(values: Mapping[str, Any]) -> Callable[[Any], Any]:
    return lambda site: values.get(site["name"])


def _check_prior(name: str, prior: Any) -> None:
    prior = sites.base(prior)
    if isinstance(prior, dist.ImproperUniform):
        raise _improper(name)
    if prior.support.is_discrete or isinstance(prior, dist.Delta):
        expected = f"a model whose unknowns are continuous (site {name!r})"
        raise checks.fail("model", expected, type(prior).__name__)
