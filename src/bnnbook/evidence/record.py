"""What every estimator of the evidence returns, so that they can stand side by side in one table.

Log evidences are compared between models of the same data, so an estimate without its error says
little: the record carries the standard error, or None where the method has none to offer, together
with what the estimate cost and what the method's own diagnostics say. Introduced in the chapter
"Model evidence".
"""

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import arviz as az
import numpy as np
from jaxtyping import Float

from bnnbook import checks
from bnnbook.pareto import GREATEST_PARETO_K, pareto_k


class Sample(NamedTuple):
    """Weighted points of the posterior, by which one sees where a method has been."""

    points: Float[np.ndarray, "crowd point dimension"]
    """Where they are; crowds know nothing of each other."""
    weights: Float[np.ndarray, "crowd point"]
    """What each stands for; all together they sum to one."""


@dataclass(frozen=True)
class Evidence:
    """An estimate of log p(data), in nats, computed in float64."""

    log_evidence: float
    """The estimate."""
    standard_error: float | None
    """Its standard error on the log scale; None where the method has none, or no finite one."""
    num_evaluations: int
    """Points at which the log density was evaluated, with or without its derivatives."""
    seconds: float = 0.0
    """Wall time, compilation included where the target was new; :func:`timed` fills it in."""
    diagnostics: Mapping[str, float | str] = field(default_factory=dict)
    """What the method says of itself, such as ``pareto_k``, ``error`` or a ``note``."""
    sample: Sample | None = field(default=None, compare=False, repr=False)
    """Where the method ended, or passed; of SMC and nested sampling."""

    def __post_init__(self) -> None:
        checks.finite("log_evidence", self.log_evidence)
        if self.standard_error is not None:
            checks.finite("standard_error", self.standard_error)
        object.__setattr__(self, "diagnostics", MappingProxyType(dict(self.diagnostics)))

    @property
    def flagged(self) -> bool:
        """Whether the method's own Pareto k̂ says not to trust it."""
        return not float(self.diagnostics.get("pareto_k", -math.inf)) <= GREATEST_PARETO_K


def timed[**P](estimator: Callable[P, Evidence]) -> Callable[P, Evidence]:
    """Adds an estimator's wall time to the seconds of the record that it returns."""

    @functools.wraps(estimator)
    def with_seconds(*args: P.args, **kwargs: P.kwargs) -> Evidence:
        begin = time.perf_counter()
        found = estimator(*args, **kwargs)
        return replace(found, seconds=found.seconds + time.perf_counter() - begin)

    return with_seconds


TAIL_WEIGHTS = 30
"""Of fewer weights the largest fifth has no shape to fit: ArviZ answers NaN, or refuses."""


def tail_shape(log_weights: Float[np.ndarray, "..."]) -> float:
    """The Pareto k̂ of weights: −∞ where none is above twice their mean, +∞ of too few weights.

    The fit looks at the shape of the tail, not at its size, and sees one in weights that are all
    but alike; their average is safe whatever it says.
    """
    size = np.ravel(log_weights) - np.max(log_weights)
    if np.exp(size).mean() > 0.5:
        return -math.inf
    return pareto_k(log_weights) if size.size >= TAIL_WEIGHTS else math.inf


def effective_size(values: Float[np.ndarray, "chain draw"]) -> float:
    """How many independent draws would give the average of these the same error."""
    return float(az.ess(values, method="mean"))
