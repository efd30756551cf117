r"""Laplace's approximation of a network, predicting with the network made linear at its mode.

.. math:: q(\theta) = N(\hat\theta, (G + \delta P)^{-1}),\quad
          G = \sum_i J_i^\top H_i J_i,\quad f(x) \approx f_{\hat\theta}(x)
          + J_{\hat\theta}(x) (\theta - \hat\theta)

G is the generalised Gauss-Newton matrix: J holds the derivatives of the outputs by the weights, H
is the Fisher information of the outputs, and P is the curvature of the log prior. It is the exact
curvature of the *linearised* network, and so that network must predict (Immer, Korzepa and Bauer
2021); the same draws of weights put into the network itself can be far off, which ``sampled``
shows (Ritter, Botev and Barber 2018 draw so). The log evidence (MacKay 1992) picks the noise, and
the prior's precision δ where asked; mode and picking take turns until neither changes. Of the last
layer alone, everything else held at its mode, it is cheap for any network (Daxberger et al. 2021).
Chapter "Approximate posteriors, scored" introduces it.

Derivatives are taken in the precision in force, matrices are summed and factored in float64.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from scipy import linalg, optimize

from bnnbook import checks
from bnnbook.bnn import train
from bnnbook.bnn.fitted import DRAWS_AT_ONCE, Drawn, Fitted, check_fit, check_start
from bnnbook.models.bayesian_network import Data, Network, Params
from bnnbook.models.likelihoods import (
    Categorical,
    Gaussian,
    HeteroscedasticGaussian,
    log_prior_of_log,
)
from bnnbook.models.networks import is_layer
from bnnbook.variational.fit import FitError, FitWarning

LOG_TWO_PI = float(np.log(2 * np.pi))
SUBSETS = ("all", "last layer")
MAX_PARAMETERS = 6000
"""More, and the matrix and its factors take gigabytes and hours."""
CHUNK_ENTRIES, CHUNK_ROWS = 2**22, 256
"""At most so many entries of the Jacobian, and so many rows of data, are held at once."""
FARTHEST = 15.0
"""Logs of the prior's precision and of the noise that are searched: so far from the start."""
SETTLED = 1e-4
"""Mode and picking have settled when the logs of what is picked change by less."""
LEAST_DAMPING, MOST_DAMPING = 1e-10, 1e12
"""Of a Gauss-Newton step, as a share of the curvature's diagonal."""
UNDONE = 0.1
"""Nats by which the mode may still be below the top, as the curvature tells, without a warning."""


class Settings(NamedTuple):
    """How the mode is found, and what is approximated around it."""

    subset: str = "all"
    """Which weights are random: "all", or those of the "last layer"."""
    tune_prior: bool = False
    """Whether the log evidence picks a factor of the prior's precision; it is 1 otherwise. A noise
    sd that has a prior is always picked by evidence and prior."""
    num_draws: int = 1000
    """Draws that make a prediction."""
    map_steps: int = 2000
    """Steps of Adam from a draw of the prior towards the mode; with 0 Gauss-Newton starts there."""
    learning_rate: float = 0.02
    """Their size at first; it falls as a cosine, to a hundredth."""
    batch_size: int | None = None
    """Rows a step of Adam; all of them where it is None."""
    newton_steps: int = 100
    """The most damped Gauss-Newton steps after them, of the random weights."""
    num_rounds: int = 20
    """The most turns of finding the mode and of picking prior precision and noise."""


DEFAULTS = Settings()


class Moments(NamedTuple):
    """The normal distribution of the linearised network's outputs."""

    mean: Float[np.ndarray, "point output"]
    """What the network gives at its mode."""
    covariance: Float[np.ndarray, "point output output"]
    """Of the outputs at one point, in closed form."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Laplace(Fitted):
    """A normal distribution of weights around the mode."""

    mode: Params
    """The mode, the noise as picked."""
    subset: str
    """Which weights are random."""
    root: Float[np.ndarray, "unknown unknown"]
    """C, with C Cᵀ their covariance."""
    log_evidence: float
    """In nats. With a noise sd that is inferred it is averaged out, as if its log were normal. Of
    the last layer: the evidence of a model whose other layers are known."""
    prior_precision: float
    """δ: by how much the prior's precision is multiplied."""
    log_noise_error: float | None
    """The sd of the log of the noise sd; None where that is known."""
    undone: float
    """Nats by which the mode is below the top, as the curvature tells: 0 but for rounding."""
    rounds: int
    """Turns that mode and picking took."""
    deviations: Float[np.ndarray, "draw unknown"]
    """Draws of the random weights, less the mode."""
    log_noise_sds: Float[np.ndarray, " draw"] | None
    """Draws of the log of the noise sd, independent of those of the weights."""

    @property
    def noise_sd(self) -> float | None:
        """The noise sd that was picked; None where there was nothing to pick."""
        u = self.mode.log_noise_sd
        return None if u is None else float(np.exp(u))

    def moments(self, x: Any) -> Moments:
        """The outputs' mean and covariance at each point, without drawing."""
        with self._precision():
            means, covariances = [], []
            for chunk in _chunks(self.network, self.subset, self.mode, self.network.inputs(x)):
                outputs, jacobian = _jacobian(self.network, self.subset, self.mode, chunk)
                spread = np.asarray(jacobian, np.float64) @ self.root
                means.append(np.asarray(outputs))
                covariances.append(spread @ spread.transpose(0, 2, 1))
        return Moments(np.concatenate(means), np.concatenate(covariances))

    def sampled(self) -> Drawn:
        """The same draws of weights in the network itself: what not to predict with."""
        with self._precision():
            vector, rebuild = _part(self.subset, self.mode)
            moved = jax.vmap(rebuild)(vector[None] + jnp.asarray(self.deviations))
            noise = None if self.log_noise_sds is None else jnp.asarray(self.log_noise_sds)
            params = Params(moved.weights, noise, moved.log_scales)
            params = jax.tree.map(lambda leaf: leaf[None], params)
        return Drawn(
            network=self.network,
            method=f"{self.method}, sampled weights",
            seconds=self.seconds,
            params=params,
        )

    def _parameters(self, x: Any) -> Any:
        with self._precision():
            x = self.network.inputs(x)
            noise = None if self.log_noise_sds is None else jnp.asarray(self.log_noise_sds)
            arguments = (self.mode, x, jnp.asarray(self.deviations), noise)
            return np.asarray(_linearised(self.network, self.subset, *arguments))[None]

    def _precision(self) -> Any:
        return jax.enable_x64(self.deviations.dtype == np.float64)


def fit(
    rng_key: Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    start: Params | None = None,
) -> Laplace:
    """Laplace's approximation of a network's posterior, in the precision in force.

    Args:
        rng_key: a JAX key.
        network: the network, of one of the three likelihoods of ``models.likelihoods``.
        data: what ``network.data(x, y)`` gives.
        settings: how it is found.
        start: unknowns at which the search starts, such as a MAP estimate; Adam is left out then.

    Raises:
        ValueError: where a setting makes no sense, the data or the start are bad, or there are too
            many random weights for their matrix.
        FitError: where the search breaks down, or the data leave the noise or the prior's precision
            without a best value. Constant targets do where the noise's prior does not vanish at
            nought, as a half normal's; under a log-normal prior they find one.

    Warns:
        FitWarning: where the mode was not reached, the noise or the prior's precision had not
            settled after ``num_rounds``, or the noise sd has run off towards nought.
    """
    began = time.perf_counter()
    data = check_fit(network, data)
    _check(network, settings)
    for_start, for_draws = jax.random.split(rng_key)
    if start is None:
        start = _ascend(for_start, network, data, settings)
    else:
        start = check_start(network, start)
    top = _settle(network, data, start, settings)
    deviations, noises = _draws(for_draws, top, settings.num_draws)
    if top.undone > UNDONE:
        message = (
            f"the mode is still {top.undone:.2g} nats below the top after {settings.newton_steps} "
            "Gauss-Newton steps: raise map_steps or newton_steps"
        )
        warnings.warn(message, FitWarning, stacklevel=2)
    one = jax.tree.map(lambda leaf: leaf[None], top.mode)
    train.warn_of_collapse(one, network, _name(settings), data)
    if top.change >= SETTLED:
        message = (
            f"noise and prior precision have not settled: in the last of {top.rounds} rounds the "
            f"log of one still changed by {top.change:.2g}: raise num_rounds"
        )
        warnings.warn(message, FitWarning, stacklevel=2)
    return Laplace(
        network=network,
        method=_name(settings),
        seconds=time.perf_counter() - began,
        mode=top.mode,
        subset=settings.subset,
        root=top.root,
        log_evidence=top.log_evidence,
        prior_precision=float(np.exp(top.log_precision)),
        log_noise_error=top.log_noise_error,
        undone=top.undone,
        rounds=top.rounds,
        deviations=deviations,
        log_noise_sds=noises,
    )


def gauss_newton(
    network: Network, params: Params, data: Data, subset: str = "all"
) -> Float[np.ndarray, "unknown unknown"]:
    """The generalised Gauss-Newton matrix G of the likelihood, in the order of ``network.ravel``.

    Args:
        network: the network.
        params: where.
        data: what ``network.data(x, y)`` gives.
        subset: of which weights; a noise sd is not among them.
    """
    checks.one_of("subset", subset, SUBSETS)
    return _pass(network, subset, params, check_fit(network, data)).matrix


def _check(network: Network, settings: Settings) -> None:
    checks.one_of("subset", settings.subset, SUBSETS)
    for name in ("num_draws", "newton_steps", "num_rounds"):
        checks.at_least(name, getattr(settings, name), 1)
    checks.at_least("map_steps", settings.map_steps, 0)
    checks.positive("learning_rate", settings.learning_rate)
    if settings.batch_size is not None:
        checks.at_least("batch_size", settings.batch_size, 1)
    if settings.tune_prior and network.scale_prior is not None:
        raise checks.fail("tune_prior", "False where a scale_prior has the scales inferred", True)
    shapes = jax.eval_shape(network.draw_prior, jax.random.key(0))
    chosen = eqx.partition(shapes, _spec(settings.subset, shapes))[0]
    count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(chosen))
    if count > MAX_PARAMETERS:
        remedy = "" if settings.subset == "last layer" else '; take subset="last layer"'
        expected = f"of at most {MAX_PARAMETERS} random weights, for their matrix{remedy}"
        raise checks.fail("network", expected, count)


def _spec(subset: str, params: Params) -> Params:
    """Which leaves are random, as a tree of truth values."""
    nodes, plan = jax.tree.flatten(params.weights, is_leaf=is_layer)
    last = max(i for i, node in enumerate(nodes) if is_layer(node))
    every = subset == "all"
    chosen = [jax.tree.map(lambda _, i=i: every or i == last, node) for i, node in enumerate(nodes)]
    return Params(
        jax.tree.unflatten(plan, chosen),
        None if params.log_noise_sd is None else False,
        None if params.log_scales is None else every,
    )


def _part(subset: str, params: Params) -> tuple[Any, Callable[[Any], Params]]:
    """The random unknowns as a vector, and all unknowns with another such vector in place."""
    chosen, rest = eqx.partition(params, _spec(subset, params))
    vector, unravel = ravel_pytree(chosen)
    return vector, lambda v: eqx.combine(unravel(v), rest)


@eqx.filter_jit
def _jacobian(network: Network, subset: str, params: Params, x: Any) -> tuple[Any, Any]:
    """Outputs (point, output) and their derivatives (point, output, unknown)."""
    vector, rebuild = _part(subset, params)

    def at(point: Any) -> Any:
        def outputs(v: Any) -> Any:
            return network.outputs(rebuild(v), point[None])[0]

        return outputs(vector), jax.jacrev(outputs)(vector)

    outputs, jacobian = jax.vmap(at)(x)
    return outputs, jacobian


@eqx.filter_jit
def _linearised(
    network: Network, subset: str, mode: Params, x: Any, deviations: Any, noises: Any
) -> Any:
    """The likelihood's parameters of the linear network, a draw a row, without its Jacobian."""
    vector, rebuild = _part(subset, mode)
    centre, push = jax.linearize(lambda v: network.outputs(rebuild(v), x), vector)

    def one(draw: Any) -> Any:
        deviation, noise = draw
        return network.likelihood.parameters(centre + push(deviation), noise)

    return jax.lax.map(one, (deviations, noises), batch_size=DRAWS_AT_ONCE)


def _chunks(network: Network, subset: str, params: Params, *arrays: Any) -> Iterator[Any]:
    """Rows of the data, so many at once that their Jacobian fits."""
    width = len(_part(subset, params)[0]) * network.likelihood.num_outputs
    rows = max(1, min(CHUNK_ROWS, CHUNK_ENTRIES // width))
    for begin in range(0, len(arrays[0]), rows):
        some = tuple(array[begin : begin + rows] for array in arrays)
        yield some if len(some) > 1 else some[0]


@eqx.filter_jit
def _slopes(network: Network, params: Params, outputs: Any, y: Any) -> tuple[Any, Any, Any]:
    """The log likelihood, its derivatives by the outputs, and a root R of their information."""

    def total(f: Any) -> Any:
        return jnp.sum(network.likelihood.log_prob(f, params.log_noise_sd, y))

    value, slope = jax.value_and_grad(total)(outputs)
    return value, slope, _information_root(network.likelihood, outputs, params.log_noise_sd)


def _information_root(likelihood: Any, outputs: Any, log_noise_sd: Any) -> Any:
    """R with RᵀR = H, the Fisher information of the outputs: (point, output, output)."""
    if isinstance(likelihood, Gaussian):
        sd = likelihood.parameters(outputs, log_noise_sd)[:, 1]
        return (1 / sd)[:, None, None]
    if isinstance(likelihood, HeteroscedasticGaussian):
        sd = likelihood.parameters(outputs)[:, 1]
        diagonal = jnp.stack([1 / sd, jnp.full_like(sd, 2**0.5)], axis=1)
        return jax.vmap(jnp.diag)(diagonal)
    if isinstance(likelihood, Categorical):
        p = jax.nn.softmax(outputs, axis=1)
        return jnp.sqrt(p)[:, :, None] * (jnp.eye(p.shape[1])[None] - p[:, None, :])
    raise checks.fail("likelihood", "Gaussian, HeteroscedasticGaussian or Categorical", likelihood)


class _Summed(NamedTuple):
    log_likelihood: float
    gradient: Float[np.ndarray, " unknown"]
    matrix: Float[np.ndarray, "unknown unknown"]


def _pass(network: Network, subset: str, params: Params, data: Data) -> _Summed:
    """The log likelihood, its gradient and its Gauss-Newton matrix, chunk by chunk."""
    value, gradient, matrix = 0.0, 0.0, 0.0
    for x, y in _chunks(network, subset, params, *data):
        outputs, jacobian = _jacobian(network, subset, params, x)
        term, slope, root = _slopes(network, params, outputs, y)
        j = np.asarray(jacobian, np.float64)
        rows = (np.asarray(root, np.float64) @ j).reshape(-1, j.shape[2])
        value += float(term)
        gradient = gradient + np.einsum("no,nop->p", np.asarray(slope, np.float64), j)
        matrix = matrix + rows.T @ rows
    return _Summed(value, np.asarray(gradient), np.asarray(matrix))


@eqx.filter_jit
def _log_likelihood(network: Network, params: Params, x: Any, y: Any) -> Any:
    return jnp.sum(network.log_likelihood(params, x, y))


@eqx.filter_jit
def _prior(network: Network, subset: str, params: Params, log_precision: Any) -> Any:
    """The log prior of the random unknowns, its gradient, and its curvature at a precision of 1."""
    vector, rebuild = _part(subset, params)

    def weights(v: Any) -> Any:
        z = _part_of_weights(subset, rebuild(v))
        square = jnp.exp(log_precision) * jnp.sum(z**2)
        return -0.5 * (square + z.size * (LOG_TWO_PI - log_precision))

    def scales(log_scales: Any) -> Any:
        return jnp.sum(log_prior_of_log(network.scale_prior, log_scales))

    def total(v: Any) -> Any:
        has_scales = subset == "all" and network.scale_prior is not None
        return weights(v) + (scales(rebuild(v).log_scales) if has_scales else 0.0)

    curvature = jnp.ones_like(vector)
    if subset == "all" and params.log_scales is not None:
        # Each scale has its prior to itself, so the Hessian is diagonal and last in the vector.
        second = jax.grad(lambda u: jnp.sum(jax.grad(scales)(u)))(params.log_scales)
        curvature = curvature.at[-second.size :].set(-second.ravel())
    return *jax.value_and_grad(total)(vector), curvature


def _part_of_weights(subset: str, params: Params) -> Any:
    return _part(subset, Params(params.weights))[0]


def _log_noise_prior(network: Network, u: Any) -> Any:
    prior = network.likelihood.noise_prior
    return 0.0 if prior is None else log_prior_of_log(prior, u)


def _ascend(rng_key: Array, network: Network, data: Data, settings: Settings) -> Params:
    """Towards the mode of the joint density by Adam, from a draw of the prior."""
    if settings.map_steps == 0:
        return network.init(rng_key)
    how = train.Settings(settings.map_steps, settings.learning_rate, settings.batch_size)
    run = train.search(rng_key, network, data, how._replace(num_refinements=0))
    run, _ = train.keep(run, _name(settings), train.tolerance(network))
    found: Params = jax.tree.map(lambda leaf: leaf[0], run.params)
    return found


def _name(settings: Settings) -> str:
    return "Laplace" if settings.subset == "all" else "Laplace, last layer"


class _Top(NamedTuple):
    """A mode with the normal distribution around it."""

    mode: Params
    log_precision: float
    root: Any
    values: Any
    log_evidence: float
    log_noise_error: float | None
    undone: float
    rounds: int
    change: float
    """Of the logs of what is picked, in the last round."""


def _settle(network: Network, data: Data, params: Params, settings: Settings) -> _Top:
    """Find the mode and pick precision and noise in turn, until neither changes."""
    log_precision, picks = 0.0, settings.tune_prior or params.log_noise_sd is not None
    change = 0.0
    for number in range(1, settings.num_rounds + 1):
        params, undone = _climb(network, data, params, log_precision, settings)
        spectrum = _spectrum(network, data, params, log_precision, settings.subset)
        before = _picked(params, log_precision)
        if picks:
            after = _pick(network, spectrum, before, settings.tune_prior)
            change = float(np.abs(after - before).max())
            if change < SETTLED or number == settings.num_rounds:
                break
            log_precision, params = float(after[0]), _with_noise(params, after[1])
        else:
            break
    evidence, error = _evidence(network, spectrum, before)
    total = np.exp(log_precision) + spectrum.values
    root = spectrum.inverse_scale[:, None] * spectrum.vectors / np.sqrt(total)
    return _Top(
        mode=params,
        log_precision=log_precision,
        root=root,
        values=spectrum.values,
        log_evidence=evidence,
        log_noise_error=error,
        undone=undone,
        rounds=number,
        change=change,
    )


def _picked(params: Params, log_precision: float) -> Float[np.ndarray, " two"]:
    u = 0.0 if params.log_noise_sd is None else float(params.log_noise_sd)
    return np.array([log_precision, u])


def _with_noise(params: Params, u: float) -> Params:
    if params.log_noise_sd is None:
        return params
    return eqx.tree_at(lambda p: p.log_noise_sd, params, jnp.full_like(params.log_noise_sd, u))


def _climb(
    network: Network, data: Data, params: Params, log_precision: float, settings: Settings
) -> tuple[Params, float]:
    """The mode of the random weights by Gauss-Newton steps, damped while they fail."""
    subset, damping, undone = settings.subset, 1e-4, np.inf
    vector, rebuild = _part(subset, params)
    eps = float(np.finfo(np.asarray(vector).dtype).eps)
    here = _Point.at(network, data, subset, params, log_precision)
    for _ in range(settings.newton_steps):
        undone = 0.5 * float(here.gradient @ here.step(log_precision, 0.0)[0])
        if undone < 100 * eps * (1 + abs(here.value)) * 0.1:
            break
        while damping < MOST_DAMPING:
            step, damping = here.step(log_precision, damping)
            moved = np.asarray(vector, np.float64) + step
            there = rebuild(jnp.asarray(moved, vector.dtype))
            value = _value(network, data, subset, there, log_precision)
            if value >= here.value - 4 * eps * abs(here.value):
                break
            damping *= 10
        else:
            break
        params, damping = there, max(damping / 10, LEAST_DAMPING)
        vector, rebuild = _part(subset, params)
        here = _Point.at(network, data, subset, params, log_precision)
    return params, undone


class _Point(NamedTuple):
    """What a Gauss-Newton step needs to know of where it starts."""

    value: float
    gradient: Float[np.ndarray, " unknown"]
    matrix: Float[np.ndarray, "unknown unknown"]
    prior_curvature: Float[np.ndarray, " unknown"]

    @classmethod
    def at(cls, network: Network, data: Data, subset: str, params: Params, delta: float) -> Any:
        summed = _pass(network, subset, params, data)
        prior, slope, curvature = _prior(network, subset, params, delta)
        gradient = summed.gradient + np.asarray(slope, np.float64)
        value = summed.log_likelihood + float(prior)
        if not all(np.isfinite(part).all() for part in (value, gradient, summed.matrix)):
            raise FitError(
                "the log density, its slope and its curvature must be finite at the mode, got the "
                f"log density {value}: diverged"
            )
        return cls(value, gradient, summed.matrix, np.asarray(curvature, np.float64))

    def step(
        self, log_precision: float, damping: float
    ) -> tuple[Float[np.ndarray, " unknown"], float]:
        """The step, and its damping: more, where to rounding the matrix is not positive definite.

        Raises:
            FitError: where it is so with any damping.
        """
        added = np.exp(log_precision) * np.maximum(self.prior_curvature, 1e-3)
        while damping < MOST_DAMPING:
            matrix = self.matrix + np.diag(added + damping * (added + np.diag(self.matrix)))
            try:
                factor = linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
            except linalg.LinAlgError:
                damping = max(10 * damping, LEAST_DAMPING)
            else:
                return linalg.cho_solve(factor, self.gradient, check_finite=False), damping
        raise FitError(
            "the curvature must be positive definite at the mode, got a matrix that is not, "
            f"however damped, with a diagonal up to {np.diag(self.matrix).max():.3g}: "
            "do the noise and the scales suit the data?"
        )


def _value(network: Network, data: Data, subset: str, params: Params, delta: float) -> float:
    chunks = _chunks(network, subset, params, *data)
    total = sum(float(_log_likelihood(network, params, x, y)) for x, y in chunks)
    return total + float(_prior(network, subset, params, delta)[0])


class _Spectrum(NamedTuple):
    """P^(-1/2) G P^(-1/2) by eigenvalues, which give the evidence at every precision and noise."""

    values: Float[np.ndarray, " unknown"]
    vectors: Float[np.ndarray, "unknown unknown"]
    inverse_scale: Float[np.ndarray, " unknown"]
    log_likelihood: float
    log_prior: float
    square: float
    """Of the weights: what the precision multiplies in the log prior, −½ δ square."""
    pull: Float[np.ndarray, " unknown"]
    """The gradient of the log prior in the coordinates of the eigenvectors."""
    num_rows: int


def _spectrum(
    network: Network, data: Data, params: Params, log_precision: float, subset: str
) -> _Spectrum:
    summed = _pass(network, subset, params, data)
    prior, slope, curvature = _prior(network, subset, params, log_precision)
    p = np.asarray(curvature, np.float64)
    if not (p > 0).all():
        raise checks.fail("scale_prior", "log-concave in the log of the scale at the mode", p.min())
    scale = 1 / np.sqrt(p)
    values, vectors = linalg.eigh(scale[:, None] * summed.matrix * scale)
    z = np.asarray(_part_of_weights(subset, params), np.float64)
    return _Spectrum(
        values=np.maximum(values, 0.0),
        vectors=vectors,
        inverse_scale=scale,
        log_likelihood=summed.log_likelihood,
        log_prior=float(prior),
        square=float(z @ z),
        pull=vectors.T @ (scale * np.asarray(slope, np.float64)),
        num_rows=data.num_rows,
    )


@eqx.filter_jit
def _log_evidence_of(picked: Any, network: Network, s: Any) -> Any:
    """What of the log evidence changes with log δ and log σ, the mode held."""
    log_delta, u = picked
    # Of the likelihoods only the Gaussian has a noise sd; its G falls as σ^-2.
    ratio = jnp.exp(-2 * (u - s["u"]))
    misfit = s["misfit"] * ratio + s["num_rows"] * u
    shrunk = -0.5 * jnp.exp(log_delta) * s["square"] + 0.5 * s["num_weights"] * log_delta
    volume = 0.5 * jnp.sum(jnp.log(jnp.exp(log_delta) + s["values"] * ratio))
    return shrunk - volume - misfit + _log_noise_prior(network, u)


def _facts(network: Network, s: _Spectrum, at: Float[np.ndarray, " two"]) -> dict[str, Any]:
    has_noise = network.likelihood.noise_prior is not None
    misfit = -s.log_likelihood - s.num_rows * (at[1] + 0.5 * LOG_TWO_PI) if has_noise else 0.0
    facts = {"u": at[1], "misfit": max(misfit, 0.0), "num_rows": s.num_rows if has_noise else 0}
    facts |= {"square": s.square, "num_weights": len(s.values), "values": s.values}
    return {name: jnp.asarray(fact, jnp.float64) for name, fact in facts.items()}


def _pick(
    network: Network, spectrum: _Spectrum, at: Float[np.ndarray, " two"], tune_prior: bool
) -> Float[np.ndarray, " two"]:
    """The precision and the noise with the highest evidence, in logs."""
    free = [tune_prior, network.likelihood.noise_prior is not None]
    with jax.enable_x64(True):
        facts = _facts(network, spectrum, at)

        def negative(part: Any) -> Any:
            picked = at.copy()
            picked[free] = part
            value, slope = _with_slope(jnp.asarray(picked), network, facts)
            return -float(value), -np.asarray(slope)[free]

        middle = np.where([True, False], 0.0, at)
        bounds = optimize.Bounds((middle - FARTHEST)[free], (middle + FARTHEST)[free])
        options = {"ftol": 1e-14, "gtol": 1e-9}
        start = np.clip(at[free], bounds.lb, bounds.ub)
        found = optimize.minimize(
            negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
    names = np.array(["precision of the prior", "noise sd"])[free]
    for name, value, low, high in zip(names, found.x, bounds.lb, bounds.ub, strict=True):
        if not low + 1e-6 < value < high - 1e-6:
            raise FitError(
                f"the evidence must have a maximum in the {name}, got one at "
                f"{np.exp(value):.3g} or beyond: do the targets vary, and are there enough data?"
            )
    picked = at.copy()
    picked[free] = found.x
    return picked


@eqx.filter_jit
def _with_slope(picked: Any, network: Network, facts: Any) -> Any:
    return jax.value_and_grad(_log_evidence_of)(picked, network, facts)


@eqx.filter_jit
def _bend(picked: Any, network: Network, facts: Any) -> Any:
    return jax.hessian(_log_evidence_of)(picked, network, facts)[1, 1]


def _evidence(
    network: Network, s: _Spectrum, at: Float[np.ndarray, " two"]
) -> tuple[float, float | None]:
    """The log evidence, and the sd of the log noise sd."""
    total = np.exp(at[0]) + s.values
    volume = 0.5 * len(total) * LOG_TWO_PI + np.log(s.inverse_scale).sum()
    value = s.log_likelihood + s.log_prior + volume - 0.5 * np.log(total).sum()
    if network.likelihood.noise_prior is None:
        return float(value), None
    with jax.enable_x64(True):
        facts = _facts(network, s, at)
        bend = float(_bend(jnp.asarray(at), network, facts))
        noise_prior = float(_log_noise_prior(network, jnp.asarray(at[1])))
    # The mode moves with the noise: without that the noise would seem better known than it is.
    curvature = -bend - 4 * float(np.sum(s.pull**2 / total))
    if not curvature > 0:
        raise FitError(
            f"the evidence must fall on both sides of the noise sd {np.exp(at[1]):.3g}, got the "
            f"curvature {curvature:.3g}: give it a prior that is less wide"
        )
    noise_volume = 0.5 * (LOG_TWO_PI - np.log(curvature))
    return float(value + noise_prior + noise_volume), float(curvature**-0.5)


def _draws(rng_key: Array, top: _Top, num_draws: int) -> tuple[Any, Any]:
    for_weights, for_noise = jax.random.split(rng_key)
    dtype = jax.tree.leaves(top.mode)[0].dtype
    z = np.asarray(jax.random.normal(for_weights, (num_draws, len(top.root)), dtype))
    deviations = (z @ top.root.T).astype(dtype)
    if top.log_noise_error is None:
        return deviations, None
    noise = np.asarray(jax.random.normal(for_noise, (num_draws,), dtype))
    return deviations, (float(top.mode.log_noise_sd) + top.log_noise_error * noise).astype(dtype)
