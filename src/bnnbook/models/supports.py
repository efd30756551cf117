r"""Whether one set of values holds another: what a guide or a transform must reach.

Variational inference with a q that is zero where the posterior is not cannot find the rest, and
with a q that reaches farther than the prior has an ELBO of −∞. Constraints with one meaning come
under several names, so that bounds are compared by value, and sets of other kinds by probes.
Chapter "Variational inference" introduces it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

NUM_PROBES = 8
"""Points from the middle of a set without simple bounds."""


def lacks(outer: Any, inner: Any, shape: tuple[int, ...]) -> bool:
    """Whether a constraint leaves out values that another admits, but for single points.

    Args:
        outer: the one that should hold the other.
        inner: the other.
        shape: of a value.
    """
    if outer == inner:
        return False
    if outer.is_discrete != inner.is_discrete:
        return True
    ours, theirs = _bounds(outer), _bounds(inner)
    if ours is not None and theirs is not None:
        (low, high), (least, most) = ours, theirs
        return bool(np.any(low > least) or np.any(high < most))
    with numpyro.validation_enabled(False):
        return not all(_holds(outer, value) for value in _probes(inner, shape))


def _bounds(constraint: Any) -> tuple[Any, Any] | None:
    """Between which numbers each entry lies, where that is all that is asked."""
    while isinstance(constraint, type(constraints.real_vector)):
        constraint = constraint.base_constraint
    if isinstance(constraint, type(constraints.real)):
        return -np.inf, np.inf
    low, high = (getattr(constraint, f"{side}_bound", None) for side in ("lower", "upper"))
    if low is None and high is None:
        return None
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def _probes(constraint: Any, shape: tuple[int, ...]) -> Any:
    try:
        transform = dist.biject_to(constraint)
        free = transform.inverse_shape(shape)
    except NotImplementedError:
        return
    for key in jax.random.split(jax.random.key(0), NUM_PROBES):
        yield transform(2.0 * jax.random.normal(key, free))


def _holds(constraint: Any, value: Any) -> bool:
    try:
        return bool(jnp.all(constraint(value)))
    except (ValueError, TypeError, IndexError):
        return False  # of too few axes
