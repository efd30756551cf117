r"""Mean-field variational inference: the best product of normals for all unknowns of a network.

.. math:: q(\theta) = \prod_i N(\theta_i; m_i, s_i^2),\quad \mathrm{ELBO} =
          \mathbb{E}_q\Big[\tfrac{N}{B} \sum_{i \in \text{batch}} \log p(y_i \mid f_\theta(x_i))
          \Big] + \mathbb{E}_q[\log p(\theta)] + H(q)

The ELBO is raised by Adam with reparameterised gradients of minibatches (Graves 2011; Blundell et
al. 2015). What is drawn a step decides how noisy they are. One draw of all weights serves all
rows, so that its luck is theirs. The local reparameterisation (Kingma, Salimans and Welling 2015)
draws what comes out of each layer instead, for each row anew: given what goes in, that is normal,

.. math:: h W + b \sim N\big(h\, m_W + m_b,\; h^2 s_W^2 + s_b^2\big)

Where a layer applies its weights at many places of a row, as a convolution does, outputs at
different places go together, which this would miss; there the weights are drawn, and each row flips
the signs of what was drawn (Flipout; Wen et al. 2018). Every way has the gradient of the same ELBO
on average, and for minibatches the later two are less noisy. Where a step sees all rows, one draw
of the weights can be the quietest near the optimum: what its luck does to rows then cancels. The
prior's part and the entropy are exact. What mean field cannot say is that unknowns go together:
chapter "Approximate posteriors, scored" shows what that costs.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from bnnbook import checks
from bnnbook.bnn import train
from bnnbook.bnn.fitted import Drawn, check_fit, check_start
from bnnbook.bnn.tempering import UNTEMPERED, Powers, powers
from bnnbook.models.bayesian_network import Data, Network, Params
from bnnbook.models.networks import is_layer, layers_of

GRADIENTS = ("local", "flipout", "weights")
ENTROPY = 0.5 * float(np.log(2 * np.pi * np.e))


class Settings(NamedTuple):
    """How the search runs."""

    num_steps: int = 5000
    """Steps of Adam."""
    learning_rate: float = 0.01
    """The first step, in prior standard deviations for means, in e-folds for sds; it falls as a
    cosine, to a hundredth."""
    batch_size: int | None = None
    """Rows a step, drawn with replacement; None (or no fewer than there are): all, each once."""
    initial_sd: float = 0.03
    """Of every unknown at the start, in prior standard deviations: small, for the noise of wide
    weights drowns what data say, and means would be drawn to nought before sds can shrink."""
    gradient: str = "local"
    """What is drawn: "local", outputs of layers, with Flipout where weights are shared over places;
    "flipout" in every layer; "weights", one draw of them for all rows."""
    num_fits: int = 1
    """Independent searches, a chain each: their q's are an equal mixture."""
    num_draws: int = 1000
    """Draws of each q, that make predictions."""
    elbo_draws: int = 100
    """Draws that estimate the ELBO at the end, each with all data."""
    temperature: float = 1.0
    """T; see ``tempering``."""
    tempered: str = "posterior"
    """What the temperature is of: the "posterior" or the "likelihood" alone (then T is the weight
    of the KL divergence from the prior)."""


DEFAULTS = Settings()


class State(NamedTuple):
    """A q: what the search moves."""

    mean: Params
    """m, in the network's own coordinates."""
    log_sd: Params
    """log s."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MeanField(Drawn):
    """Draws of products of normals, and the normals."""

    mean: Params
    """m of each fit, in the network's coordinates; leaves have the axis chain first."""
    sd: Params
    """s of each fit."""
    elbo: Float[np.ndarray, " chain"]
    """The ELBO of each fit in nats, of all data; at another temperature, of the joint density
    raised to its powers."""
    elbo_error: Float[np.ndarray, " chain"]
    """Its Monte Carlo standard error; NaN from one draw alone."""
    trace: Float[np.ndarray, "chain step"]
    """Each step's own estimate of the ELBO: one draw, one minibatch."""
    failed: dict[int, str] = field(default_factory=dict)
    """Of each fit that was left out, why."""


def fit(
    rng_key: Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    start: Params | None = None,
    num_devices: int = 1,
) -> MeanField:
    """The products of normals nearest to a network's posterior, in the precision in force.

    Equal networks with data and settings of one shape compile once, whatever the learning rate,
    the initial sd or the temperature.

    Args:
        rng_key: a JAX key.
        network: the network. Of layers with weights shared over places (what comes out has more
            than two axes), the last axis of what goes in and of what comes out must run over
            channels.
        data: what ``network.data(x, y)`` gives.
        settings: how the search runs.
        start: where the means start, such as a MAP estimate; draws of the prior where None.
        num_devices: the fits are spread over the first of ``jax.devices()``.

    Raises:
        ValueError: where a setting makes no sense or the data are bad.
        FitError: where every fit broke down or diverged, or its ELBO is not finite at the end; the
            message says at which step.

    Warns:
        FitWarning: where some did: they are left out.
    """
    began = time.perf_counter()
    data, settings = check_fit(network, data), check_settings(settings)
    if start is not None:
        start = check_start(network, start)
    keys = train.member_keys(rng_key, settings.num_fits)
    given = train.spread(num_devices, keys, network, data, start)
    numbers = _Numbers(
        jnp.asarray(settings.learning_rate),
        jnp.log(settings.initial_sd),
        jax.tree.map(jnp.asarray, powers(settings.temperature, settings.tempered)),
    )
    plain = settings._replace(learning_rate=0.0, initial_sd=0.0, temperature=1.0, tempered="")
    if settings.batch_size is not None and settings.batch_size >= data.num_rows:
        plain = plain._replace(batch_size=None)
    there = [*given, numbers, plain]
    run = _as_run(*train.gathered(_search(*there)))
    run, failed = train.keep(run, "mean-field VI", train.tolerance(network))
    # Together on one device, wherever they were fitted.
    states = jax.device_put(run.params, jax.local_devices()[0])
    left = _left(failed, settings.num_fits)
    draws, terms = _ends(keys[left], network, data, states, numbers, plain)
    terms = np.asarray(terms, np.float64)
    ended: Any = np.where(np.isfinite(terms).all(axis=1), run.ended, np.nan)
    held: Any = (states, draws, terms)
    judged: Any = run._replace(params=held, ended=ended)
    judged, lost = train.keep(judged, "mean-field VI", train.tolerance(network))
    states, draws, terms = judged.params
    failed |= {int(left[i]): reason for i, reason in lost.items()}
    return MeanField(
        network=network,
        method="mean-field VI",
        seconds=time.perf_counter() - began,
        params=draws,
        attrs={k: -1 if v is None else v for k, v in settings._asdict().items()},
        mean=states.mean,
        sd=jax.tree.map(jnp.exp, states.log_sd),
        elbo=terms.mean(axis=1),
        elbo_error=_standard_errors(terms),
        trace=np.asarray(judged.trace),
        failed=failed,
    )


def check_settings(settings: Settings) -> Settings:
    """The settings, checked."""
    checks.positive("learning_rate", settings.learning_rate)
    checks.positive("initial_sd", settings.initial_sd)
    checks.one_of("gradient", settings.gradient, GRADIENTS)
    powers(settings.temperature, settings.tempered)
    if settings.batch_size is not None:
        checks.at_least("batch_size", settings.batch_size, 1)
    counts = ("num_steps", "num_fits", "num_draws", "elbo_draws")
    checked: dict[str, Any] = {n: checks.at_least(n, getattr(settings, n), 1) for n in counts}
    return settings._replace(**checked)


def elbo_estimate(
    rng_key: Array,
    network: Network,
    state: State,
    rows: Data,
    num_rows: int | None = None,
    *,
    gradient: str = "local",
    powers: Powers = UNTEMPERED,
) -> Any:
    """One draw's unbiased estimate of the ELBO, in nats; its gradient is one of the gradient.

    Args:
        rng_key: a JAX key.
        network: the network.
        state: q.
        rows: the data, or a minibatch of them.
        num_rows: how many rows there are in all; as many as given where None.
        gradient: a setting of ``Settings.gradient``.
        powers: of prior and likelihood.
    """
    for_rows, for_rest = jax.random.split(rng_key)
    scale = 1.0 if num_rows is None else num_rows / rows.num_rows
    likelihood = scale * _log_likelihood(for_rows, network, state, rows, gradient)
    return powers.likelihood_power * likelihood + _prior_and_entropy(
        for_rest, network, state, powers.prior_power
    )


def draw(rng_key: Array, state: State) -> Params:
    """One draw of q."""
    (mean, unravel), (log_sd, _) = ravel_pytree(state.mean), ravel_pytree(state.log_sd)
    drawn: Params = unravel(
        mean + jnp.exp(log_sd) * jax.random.normal(rng_key, mean.shape, mean.dtype)
    )
    return drawn


class _Numbers(NamedTuple):
    """Settings that may change without compiling anew."""

    learning_rate: Any
    initial_log_sd: Any
    powers: Powers


def _log_likelihood(
    rng_key: Array, network: Network, state: State, rows: Data, gradient: str
) -> Any:
    """The log likelihood of some rows, at one draw of q."""
    for_draw, for_layers = jax.random.split(rng_key)
    drawn = draw(for_draw, state)
    if gradient == "weights":
        return jnp.sum(network.log_likelihood(drawn, *rows))
    # Layers are held at their means, and their noise put in by ``apply``; all else is drawn.
    held = _replaced(drawn, state.mean)
    sds = layers_of(network.module(_replaced(drawn, jax.tree.map(jnp.exp, state.log_sd))))

    def apply(index: int, layer: Any, h: Any) -> Any:
        key = jax.random.fold_in(for_layers, index)
        shared = len(jax.eval_shape(layer, h).shape) > 2
        noisy = _flipped if shared or gradient == "flipout" else _local
        return noisy(key, layer, sds[index], h)

    return jnp.sum(network.log_likelihood(held, *rows, apply))


def _replaced(drawn: Params, by: Params) -> Params:
    """The unknowns with other layers."""
    layers = jax.tree.map(
        lambda new, old: new if is_layer(new) else old, by.weights, drawn.weights, is_leaf=is_layer
    )
    return Params(layers, drawn.log_noise_sd, drawn.log_scales)


def _local(rng_key: Array, layer: Any, sd: Any, h: Any) -> Any:
    """A layer's outputs, drawn: for each row and unit anew."""
    mean = layer(h)
    variance = layer.linear(sd.weight**2, h**2) + sd.bias[None] ** 2
    return mean + jnp.sqrt(variance) * jax.random.normal(rng_key, mean.shape, mean.dtype)


def _flipped(rng_key: Array, layer: Any, sd: Any, h: Any) -> Any:
    """A layer's outputs with drawn weights, whose signs each row flips by input and by unit."""
    for_weight, for_bias, for_in, for_out = jax.random.split(rng_key, 4)
    mean = layer(h)
    away = sd.weight * jax.random.normal(for_weight, sd.weight.shape, mean.dtype)
    signs_in, signs_out = (
        jax.random.rademacher(key, _per_channel(a), mean.dtype)
        for key, a in ((for_in, h), (for_out, mean))
    )
    bias = jax.random.normal(for_bias, _per_channel(mean), mean.dtype) * sd.bias.reshape(
        *[1] * (mean.ndim - 1), -1
    )
    return mean + layer.linear(away, h * signs_in) * signs_out + bias


def _per_channel(array: Any) -> tuple[int, ...]:
    """The shape of one number a row and channel."""
    return (array.shape[0], *[1] * (array.ndim - 2), array.shape[-1])


def _prior_and_entropy(rng_key: Array, network: Network, state: State, prior_power: Any) -> Any:
    """The prior's expectation, exact but for noise and scales, which are drawn; and the entropy."""
    drawn = draw(rng_key, state)
    at = Params(state.mean.weights, drawn.log_noise_sd, drawn.log_scales)
    # Standard normal weights: E log p(w) is log p(m) less half the sum of the variances.
    spread = sum(jnp.sum(jnp.exp(2 * s)) for s in jax.tree.leaves(state.log_sd.weights))
    entropy = sum(jnp.sum(s) + s.size * ENTROPY for s in jax.tree.leaves(state.log_sd))
    return prior_power * (network.log_prior(at) - 0.5 * spread) + entropy


@eqx.filter_jit
def _search(
    keys: Array,
    network: Network,
    data: Data,
    start: Params | None,
    numbers: _Numbers,
    settings: Settings,
) -> tuple[State, Any, Any]:
    return jax.vmap(lambda key: _one(key, network, data, start, numbers, settings))(keys)


def _one(
    rng_key: Array,
    network: Network,
    data: Data,
    start: Params | None,
    numbers: _Numbers,
    settings: Settings,
) -> tuple[State, Any, Any]:
    for_start, for_steps = jax.random.split(rng_key)
    mean = network.init(for_start) if start is None else start
    log_sd = jax.tree.map(lambda m: jnp.full_like(m, numbers.initial_log_sd), mean)
    falling = optax.cosine_decay_schedule(
        numbers.learning_rate, settings.num_steps, alpha=train.FLOOR
    )
    optimizer, count = optax.adam(falling), data.num_rows

    start_at, state_of = ravel_pytree(State(mean, log_sd))

    def loss(at: Any, rng_key: Any, rows: Data) -> Any:
        options: dict[str, Any] = {"gradient": settings.gradient, "powers": numbers.powers}
        return -elbo_estimate(rng_key, network, state_of(at), rows, count, **options) / count

    step = partial(train.step, loss, optimizer, for_steps, data, settings.batch_size)
    carry = train.Carry(start_at, optimizer.init(start_at), jnp.array(-1))
    carry, losses = jax.lax.scan(step, carry, jnp.arange(settings.num_steps))
    return state_of(carry.params), -count * losses, carry.failed_at


@eqx.filter_jit
def _ends(
    keys: Array, network: Network, data: Data, states: State, numbers: _Numbers, settings: Settings
) -> tuple[Params, Any]:
    """Draws of each q, and terms whose mean is its ELBO."""

    def one(key: Any, state: State) -> Any:
        for_draws, for_terms = jax.random.split(jax.random.fold_in(key, 1))
        draws = jax.vmap(partial(draw, state=state))(
            jax.random.split(for_draws, settings.num_draws)
        )
        terms = jax.lax.map(
            lambda k: _of_all_rows(k, network, state, data, numbers.powers, settings.gradient),
            jax.random.split(for_terms, settings.elbo_draws),
        )
        return draws, terms

    return jax.vmap(one)(keys, states)


def _of_all_rows(
    rng_key: Array, network: Network, state: State, data: Data, powers: Powers, gradient: str
) -> Any:
    """An estimate of the ELBO from all rows, some at a time."""
    for_rest, for_rows = jax.random.split(rng_key)

    def of_rows(rows: Data) -> Any:
        return _log_likelihood(for_rows, network, state, rows, gradient)

    total = train.over_rows(of_rows, data)
    prior = _prior_and_entropy(for_rest, network, state, powers.prior_power)
    return powers.likelihood_power * total + prior


def _as_run(states: Any, trace: Any, failed_at: Any) -> train.Run:
    """What the search came to as ``train.keep`` judges it: by tenths of the trace."""
    trace = np.asarray(trace)
    tenth = max(1, trace.shape[1] // 10)
    begun, ended = trace[:, :tenth].mean(axis=1), trace[:, -tenth:].mean(axis=1)
    steps = np.full(len(trace), trace.shape[1])
    columns: list[Any] = [trace, np.asarray(failed_at), begun, ended, steps]
    return train.Run(states, *columns)


def _left(failed: dict[int, str], num_fits: int) -> np.ndarray:
    return np.array([i for i in range(num_fits) if i not in failed])


def _standard_errors(terms: Float[np.ndarray, "chain draw"]) -> Float[np.ndarray, " chain"]:
    if terms.shape[1] == 1:
        return np.full(len(terms), np.nan)
    return terms.std(axis=1, ddof=1) / terms.shape[1] ** 0.5
