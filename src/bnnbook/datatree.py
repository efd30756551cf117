"""Draws in the one container that every diagnostic reads: an ArviZ ``DataTree``.

ArviZ 1.x keeps results in an xarray ``DataTree`` with the groups ``posterior``, ``sample_stats``,
``observed_data`` and so on. Every variable of a group of draws has the axes chain and draw first.
Exact, variational and Markov-chain draws all go through here, so that one set of diagnostics and
plots serves them all.
"""

from collections.abc import Mapping
from typing import Any

import arviz as az
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bnnbook import checks

DRAW_GROUPS = (
    "posterior",
    "prior",
    "posterior_predictive",
    "prior_predictive",
    "predictions",
    "log_likelihood",
    "sample_stats",
)


def from_draws(
    *,
    posterior: Mapping[str, ArrayLike] | None = None,
    prior: Mapping[str, ArrayLike] | None = None,
    posterior_predictive: Mapping[str, ArrayLike] | None = None,
    prior_predictive: Mapping[str, ArrayLike] | None = None,
    predictions: Mapping[str, ArrayLike] | None = None,
    log_likelihood: Mapping[str, ArrayLike] | None = None,
    sample_stats: Mapping[str, ArrayLike] | None = None,
    observed_data: Mapping[str, ArrayLike] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Draws as a ``DataTree``.

    Args:
        posterior: name to array of shape (chain, draw, ...).
        prior: the same, for draws from the prior.
        posterior_predictive: the same, for replicated data.
        prior_predictive: the same, for data replicated from the prior.
        predictions: the same, for data at inputs that were not fitted.
        log_likelihood: the same, for the log density of each datum given each draw.
        sample_stats: the same, for what a sampler tells of itself.
        observed_data: name to array of the data's own shape.
        attrs: what a reader must know of the run (method, settings, seed), put on the root.

    Returns:
        The tree, with the groups that were given.

    Raises:
        ValueError: where no group is given, draws lack the axes chain and draw, two variables of a
            group disagree about them, or a draw of the parameters or a log density is NaN.
    """
    draws = (
        posterior,
        prior,
        posterior_predictive,
        prior_predictive,
        predictions,
        log_likelihood,
        sample_stats,
    )
    groups = {g: d for g, d in zip(DRAW_GROUPS, draws, strict=True) if d is not None}
    if not groups:
        raise ValueError(f"at least one of {', '.join(DRAW_GROUPS)} must be given, got none")
    arrays = {g: {k: np.asarray(v) for k, v in d.items()} for g, d in groups.items()}
    for group, variables in arrays.items():
        _check_draws(group, variables)
    if observed_data is not None:
        arrays["observed_data"] = {k: np.asarray(v) for k, v in observed_data.items()}
    tree = az.from_dict(arrays)
    tree.attrs.update(attrs or {})
    return tree


def joined(tree: xr.DataTree, more: xr.DataTree) -> xr.DataTree:
    """A copy of a tree with the groups of another one added, or put in the place of its own.

    Raises:
        ValueError: where the two do not have the same number of chains and draws.
    """
    shapes = {
        tuple(group.sizes[axis] for axis in ("chain", "draw"))
        for group in (*tree.children.values(), *more.children.values())
        if "draw" in group.sizes
    }
    if len(shapes) > 1:
        raise checks.fail("more", "of the tree's number of chains and draws", sorted(shapes))
    both = tree.copy()
    for name, group in more.children.items():
        both[name] = group.copy()
    return both


def _check_draws(group: str, variables: Mapping[str, np.ndarray]) -> None:
    shapes = {}
    for name, array in variables.items():
        if array.ndim < 2 or 0 in array.shape[:2]:
            raise checks.fail(f"{group}[{name!r}]", "of shape (chain, draw, ...)", array.shape)
        if group in ("posterior", "prior", "log_likelihood") and np.isnan(array).any():
            raise ValueError(f"{group}[{name!r}] must not hold NaN, got {np.isnan(array).sum()}")
        shapes[name] = array.shape[:2]
    if len(set(shapes.values())) > 1:
        raise checks.fail(f"{group}'s chain and draw axes", "the same for all", shapes)
