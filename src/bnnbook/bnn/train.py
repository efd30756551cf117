r"""The search that trains networks: minibatch gradients, a falling step, then a polish.

.. math:: \min_\theta\; -\tfrac{1}{N} \Big[\log p(\theta)
          + \tfrac{N}{B} \sum_{i \in \text{batch}} \log p(y_i \mid f_\theta(x_i))\Big]

Steps are Adam's (Kingma and Ba 2015) and run in one compiled scan; members of an ensemble share one
copy of the data. Where every step sees all rows, L-BFGS (Liu and Nocedal 1989) then takes the
members to their modes, which Adam alone only nears. The weights' prior is the usual weight decay:
no second one is added. Chapter "Approximate posteriors, scored" introduces it.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from bnnbook import checks
from bnnbook.bnn.fitted import check_fit
from bnnbook.models.bayesian_network import Data, Network, Params
from bnnbook.models.likelihoods import HeteroscedasticGaussian, log_median
from bnnbook.variational.fit import FitError, FitWarning

Objective = Callable[[Array, Network, Params, Data, int], Any]
"""From a key, the network, unknowns, some rows and the number of all rows to a log density, of
which the rows' part is scaled up to all. Equal objectives compile once."""

FLOOR = 0.01
"""Adam's last step, as a share of its first."""
ROWS_AT_ONCE = 1024
"""Where all data are looked at, so many rows are at a time: images would fill the memory."""
REFINEMENTS = 100
"""Steps of L-BFGS, where nothing else is said."""
COLLAPSED = 1e-3
"""A noise sd below this share of its prior's median has run off towards nought."""
ADVICE = "take a smaller learning rate, or look for bad numbers in the data or the prior"


class Settings(NamedTuple):
    """How to search. What differs in the learning rate alone is compiled once."""

    num_steps: int = 2000
    """Steps of the optimiser."""
    learning_rate: float = 0.02
    """The first step, in units of the weights' prior standard deviations; it falls as a cosine."""
    batch_size: int | None = None
    """Rows a step, drawn with replacement; None (or no fewer than there are): all, each once."""
    optimizer: optax.GradientTransformation | None = None
    """Any Optax optimiser instead of Adam, made once and used again (a new one compiles anew);
    ``learning_rate`` is then of no effect."""
    num_refinements: int | None = None
    """Steps of L-BFGS at the end, each on all the data. None: 100 where every step sees all rows,
    and none with smaller batches. There are none after early stopping."""
    check_every: int = 20
    """With validation data, after so many steps each their log likelihood is looked at."""


DEFAULTS = Settings()


class Run(NamedTuple):
    """What a search came to, a row a member."""

    params: Params
    """Where each member ended, the member as first axis."""
    trace: Float[Array, "member step"]
    """The objective before each step; of a minibatch, an unbiased estimate of it."""
    failed_at: Int[Array, " member"]
    """The step at which a member met a number that is not finite, or -1."""
    begun: Float[Array, " member"]
    """The first of the trace."""
    ended: Float[Array, " member"]
    """The objective on all the data at the end."""
    chosen_at: Int[Array, " member"]
    """The number of steps after which the validation data were predicted best; or all of them."""

    @property
    def met(self) -> Float[np.ndarray, " member"]:
        """The objective at the step of ``failed_at``; where that is -1, the last of the trace."""
        trace = np.asarray(self.trace)
        return trace[np.arange(len(trace)), np.asarray(self.failed_at)]


@runtime_checkable
class Ended(Protocol):
    """What :func:`keep` asks of a run, whose leaves all have the axis member first: see ``Run``."""

    @property
    def failed_at(self) -> Any: ...
    @property
    def met(self) -> Any: ...
    @property
    def begun(self) -> Any: ...
    @property
    def ended(self) -> Any: ...
    @property
    def chosen_at(self) -> Any: ...


def log_density(rng_key: Array, network: Network, params: Params, rows: Data, count: int) -> Any:
    """The objective whose maximum is the posterior's mode."""
    return network.log_density(params, rows, num_rows=count)


def search(
    rng_key: Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    num_members: int = 1,
    *,
    objective: Objective = log_density,
    refine: bool = True,
    validation: Data | None = None,
    num_devices: int = 1,
) -> Run:
    """Train members from draws of the prior, in the precision in force.

    The first members of a larger ensemble are those of a smaller one. Nothing is raised where a
    member fails: :func:`keep` sorts those out.

    Args:
        rng_key: a JAX key.
        network: the network.
        data: what ``network.data(x, y)`` gives.
        settings: how to search.
        num_members: how many.
        objective: what is maximised.
        refine: whether L-BFGS may follow: not where the objective has noise of its own.
        validation: data to choose the number of steps by (early stopping): those unknowns are kept
            under which their log likelihood was highest. What is tested on later is no business of
            a search and has no place here.
        num_devices: the members are spread over the first of ``jax.devices()``.

    Raises:
        ValueError: where a setting makes no sense, the data are bad, there are fewer devices or
            they do not divide the members, or of several processes some would have no part.
    """
    settings, data = check_settings(settings), check_fit(network, data)
    if validation is not None:
        validation = check_fit(network, validation, "validation")
    keys = member_keys(rng_key, checks.at_least("num_members", num_members, 1))
    keys, network, data, validation = spread(num_devices, keys, network, data, validation)
    plan = _Plan(settings._replace(learning_rate=1.0), objective, refine)
    rate = jnp.asarray(settings.learning_rate, data.x.dtype)
    return gathered(_search(keys, _starts(keys, network), network, data, validation, plan, rate))


def check_settings(settings: Settings) -> Settings:
    """The settings, checked."""
    checks.at_least("num_steps", settings.num_steps, 1)
    checks.positive("learning_rate", settings.learning_rate)
    checks.at_least("check_every", settings.check_every, 1)
    if settings.batch_size is not None:
        checks.at_least("batch_size", settings.batch_size, 1)
    if settings.num_refinements is not None:
        checks.at_least("num_refinements", settings.num_refinements, 0)
    return settings


def member_keys(rng_key: Array, num_members: int) -> Array:
    """A key a member; the first members of a larger ensemble are those of a smaller one."""
    return jax.vmap(partial(jax.random.fold_in, rng_key))(jnp.arange(num_members))


def spread(num_devices: int, keys: Array, *rest: Any) -> tuple[Any, ...]:
    """Put the axis of ``keys`` over devices, and a copy of the rest on each.

    Raises:
        ValueError: where there are fewer devices, they do not divide the axis, or some of several
            processes would have no part.
    """
    found, processes = jax.device_count(), jax.process_count()
    if checks.at_least("num_devices", num_devices, 1) > found:
        raise checks.fail("num_devices", f"at most {found}, as many as there are", num_devices)
    if processes > 1 and num_devices not in (1, found):
        expected = f"1, or the {found} of all {processes} processes"
        raise checks.fail("num_devices", expected, num_devices)
    if len(keys) % num_devices:
        raise checks.fail("num_devices", f"a divisor of the {len(keys)} members", num_devices)
    if num_devices == 1:
        return (keys, *rest)
    mesh = Mesh(np.array(jax.devices()[:num_devices]), ("member",))
    each, copies = (NamedSharding(mesh, spec) for spec in (_spec("member"), _spec()))
    # Keys go by their numbers: as keys they cannot be put on another process's devices.
    numbers = jax.device_put(np.asarray(jax.random.key_data(keys)), each)
    wrap = partial(jax.random.wrap_key_data, impl=jax.random.key_impl(keys))
    return (jax.jit(wrap)(numbers), *(eqx.filter_shard(part, copies) for part in rest))


def _spec(*names: str) -> Any:
    return PartitionSpec(*names)  # type: ignore[no-untyped-call]


def tolerance(network: Network) -> float:
    """How far a log density may end below its start before that counts as diverged, in nats."""
    return float(network.num_parameters)


def gathered(tree: Any) -> Any:
    """What was computed over several processes, whole in each; what each has whole, as it is.

    All processes must call it, with the same tree.
    """
    return jax.tree.map(_whole, tree)


def _whole(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(leaf, tiled=True)


def keep[R: Ended](
    run: R, method: str, tolerance: float, word: str = "member"
) -> tuple[R, dict[int, str]]:
    """The members that did not fail, and what became of the others.

    A member has failed where it met a number that is not finite, ended below its start by more than
    the tolerance, or never predicted validation data better than at its start.

    Args:
        run: what was found, failures and all.
        method: a name for messages.
        tolerance: in nats.
        word: what messages call a member.

    Raises:
        FitError: where none is left; it names the step and the reason.

    Warns:
        FitWarning: where some are left out, each with its reason.
    """
    total = len(run.failed_at)
    reasons = {i: why for i in range(total) if (why := _reason(run, i, tolerance))}
    told = "; ".join(f"{word} {i} {why}" if total > 1 else why for i, why in reasons.items())
    if len(reasons) == total:
        raise FitError(f"{method} failed: {told}: {ADVICE}")
    if reasons:
        message = f"{method} keeps {total - len(reasons)} of {total} {word}s: {told}: {ADVICE}"
        warnings.warn(message, FitWarning, stacklevel=3)
        left = np.array([i for i in range(total) if i not in reasons])
        run = jax.tree.map(lambda leaf: leaf[left], run)
    return run, reasons


def _reason(run: Ended, i: int, tolerance: float) -> str:
    if (step := int(run.failed_at[i])) >= 0:
        met = float(run.met[i])
        what = "its gradient is not" if np.isfinite(met) else f"it is {met}"
        return f"broke down at step {step}, where the log density must be finite, but {what}"
    if (steps := int(run.chosen_at[i])) == 0:
        return "predicted the validation data worse at every look than at its start"
    begun, ended = float(run.begun[i]), float(run.ended[i])
    if not ended >= begun - tolerance:
        return f"diverged: its log density went from {begun:.4g} to {ended:.4g} in {steps} steps"
    return ""


def warn_of_collapse(params: Params, network: Network, method: str, data: Data) -> None:
    """Warn where a noise sd has run off towards nought, as the mode's does where a network can pass
    through all data.

    Args:
        params: unknowns, with one axis at the front.
        network: the network.
        method: a name for the message.
        data: those that were fitted, at which noise that changes is looked at.
    """
    likelihood = network.likelihood
    if likelihood.noise_prior is not None:
        share = float(np.exp(np.min(params.log_noise_sd) - log_median(likelihood.noise_prior)))
        passes, remedy = "all data", "give noise_sd as a number"
    elif isinstance(likelihood, HeteroscedasticGaussian):
        share = float(_least_sd(params, network, data.x)) / likelihood.typical_sd
        passes, remedy = "data", "take a likelihood whose noise is the same everywhere"
    else:
        return
    if share < COLLAPSED:
        message = (
            f"the noise sd by {method} is {share:.2g} of its prior's median: the network passes "
            f"through {passes}, as it does where targets are constant, and a mode says nothing of "
            f"the noise there: {remedy}, or stop early with validation data"
        )
        warnings.warn(message, FitWarning, stacklevel=3)


@eqx.filter_jit
def _least_sd(params: Params, network: Network, x: Any) -> Any:
    """The least sd that any of some unknowns predicts at any point."""
    return jnp.min(jax.lax.map(lambda one: jnp.min(network.predict(one, x)[:, 1]), params))


class _Plan(NamedTuple):
    """What is fixed when the program is compiled."""

    settings: Settings
    objective: Objective
    refine: bool


class Carry(NamedTuple):
    """Where a search is."""

    params: Any
    """What is moved: the unknowns, or numbers that tell their distribution."""
    optimizer_state: Any
    """What the optimiser remembers."""
    failed_at: Any
    """The step at which it met a number that is not finite, or -1."""


@eqx.filter_jit
def _starts(keys: Array, network: Network) -> Params:
    """Where each member starts: a program of its own, which data of other shapes share."""
    return jax.vmap(lambda key: network.init(jax.random.split(key, 3)[0]))(keys)


@eqx.filter_jit
def _search(
    keys: Array,
    starts: Params,
    network: Network,
    data: Data,
    validation: Data | None,
    plan: _Plan,
    rate: Any,
) -> Run:
    def one(rng_key: Array, start: Params) -> Run:
        return _one(rng_key, start, network, data, validation, plan, rate)

    return jax.vmap(one)(keys, starts)


def _one(
    rng_key: Array,
    start: Params,
    network: Network,
    data: Data,
    validation: Data | None,
    plan: _Plan,
    rate: Any,
) -> Run:
    _, for_steps, for_end = jax.random.split(rng_key, 3)
    settings, count = plan.settings, data.num_rows
    optimizer = settings.optimizer or _adam(rate, settings.num_steps)
    # Adam moves a vector: leaf by leaf it would compile for twice as long. Other optimisers may
    # need to see the leaves.
    at, tree_of = ravel_pytree(start) if settings.optimizer is None else (start, lambda tree: tree)

    def loss(at: Any, for_noise: Array, rows: Data) -> Any:
        return -plan.objective(for_noise, network, tree_of(at), rows, count) / count

    def whole_loss(at: Any) -> Any:
        def share(rows: Data) -> Any:
            return loss(at, for_end, rows) * (rows.num_rows / count)

        return over_rows(share, data)

    taken = partial(step, loss, optimizer, for_steps, data, settings.batch_size)
    carry = Carry(at, optimizer.init(at), jnp.array(-1))
    if validation is None:
        carry, losses = jax.lax.scan(taken, carry, jnp.arange(settings.num_steps))
        end, chosen_at = carry.params, jnp.array(settings.num_steps)
        end = _refined(whole_loss, end, _refinements(plan, count))
    else:
        held = lambda at: held_out(network, validation, tree_of(at))  # noqa: E731
        carry, losses, end, chosen_at = _stopped(taken, carry, held, settings)
    trace, ended = -count * losses, -count * whole_loss(end)
    return Run(tree_of(end), trace, carry.failed_at, trace[0], ended, chosen_at)


def _adam(rate: Any, num_steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(rate, num_steps, alpha=FLOOR))


def _refinements(plan: _Plan, count: int) -> int:
    if not plan.refine:
        return 0
    if plan.settings.num_refinements is not None:
        return plan.settings.num_refinements
    return REFINEMENTS if (plan.settings.batch_size or count) >= count else 0


def step(
    loss: Any,
    optimizer: optax.GradientTransformation,
    rng_key: Array,
    data: Data,
    batch_size: int | None,
    carry: Carry,
    i: Any,
) -> tuple[Carry, Any]:
    """One step of a search; after a number that is not finite, none. Returns the loss before it.

    Args:
        loss: from what is moved, a key and some rows to the loss.
        optimizer: what takes the step.
        rng_key: a key for all steps of this search.
        data: all rows.
        batch_size: rows a step; None for all.
        carry: where the search is.
        i: the number of the step.
    """
    for_rows, for_noise = jax.random.split(jax.random.fold_in(rng_key, i))
    rows = batch(for_rows, data, batch_size)
    value, gradient = jax.value_and_grad(loss)(carry.params, for_noise, rows)
    move, state = optimizer.update(gradient, carry.optimizer_state, carry.params)
    moved = optax.apply_updates(carry.params, move)
    going = carry.failed_at < 0
    fine = finite((value, moved)) & going
    params, state = select(fine, (moved, state), (carry.params, carry.optimizer_state))
    return Carry(params, state, jnp.where(going & ~fine, i, carry.failed_at)), value


def batch(rng_key: Array, data: Data, batch_size: int | None) -> Data:
    """Some rows, drawn with replacement; all of them where there are no more than asked for."""
    if batch_size is None or batch_size >= data.num_rows:
        return data
    rows = jax.random.randint(rng_key, (batch_size,), 0, data.num_rows)
    return Data(data.x[rows], data.y[rows])


def over_rows(function: Callable[[Data], Any], data: Data, rows: int | None = None) -> Any:
    """The sum of a function over blocks of rows, of which one at a time is held."""
    rows = rows or ROWS_AT_ONCE
    whole, rest = divmod(data.num_rows, rows)
    if whole == 0 or data.num_rows == rows:
        return function(data)

    @jax.checkpoint  # else a gradient would hold what is inside the blocks, all of them
    def add(total: Any, i: Any) -> tuple[Any, None]:
        block = [jax.lax.dynamic_slice_in_dim(part, i * rows, rows) for part in data]
        return total + function(Data(*block)), None

    total = jax.lax.scan(add, jnp.zeros((), data.x.dtype), jnp.arange(whole))[0]
    return total if rest == 0 else total + function(Data(data.x[-rest:], data.y[-rest:]))


def finite(tree: Any) -> Any:
    """Whether all numbers of a pytree are finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def select(condition: Any, new: Any, old: Any) -> Any:
    """One pytree or the other."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def held_out(network: Network, validation: Data, params: Params) -> Any:
    """The log likelihood of validation data, -inf where it is no number."""

    def total(rows: Data) -> Any:
        return jnp.sum(network.log_likelihood(params, *rows))

    value = over_rows(total, validation)
    return jnp.where(jnp.isnan(value), -jnp.inf, value)


def _stopped(taken: Any, carry: Carry, held: Any, settings: Settings) -> Any:
    """Take all steps, and keep of each look at the validation data the best so far.

    What is kept is what stopping with endless patience would keep.
    """

    def block(state: Any, indices: Any) -> Any:
        carry, best = state
        carry, losses = jax.lax.scan(taken, carry, indices)
        now = (held(carry.params), carry.params, indices[-1] + 1)
        return (carry, select(now[0] > best[0], now, best)), losses

    size = min(settings.check_every, settings.num_steps)
    whole = settings.num_steps - settings.num_steps % size
    state = (carry, (held(carry.params), carry.params, jnp.array(0)))
    state, losses = jax.lax.scan(block, state, jnp.arange(whole).reshape(-1, size))
    losses = losses.reshape(-1)
    if whole < settings.num_steps:
        state, rest = block(state, jnp.arange(whole, settings.num_steps))
        losses = jnp.concatenate([losses, rest])
    carry, (_, params, chosen_at) = state
    return carry, losses, params, chosen_at


def _refined(loss: Any, params: Any, num_steps: int) -> Any:
    """Steps of L-BFGS, each kept only where it helps."""
    if not num_steps:
        return params
    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry: Any, _: Any) -> Any:
        params, state, best = carry
        value, gradient = value_and_grad(params, state=state)
        move, after = solver.update(
            gradient, state, params, value=value, grad=gradient, value_fn=loss
        )
        moved = optax.apply_updates(params, move)
        reached = loss(moved)
        better = finite((moved, reached)) & (reached < best)
        return select(better, (moved, after, reached), carry), None

    carry = (params, solver.init(params), loss(params))
    return jax.lax.scan(step, carry, None, length=num_steps)[0][0]
