r"""What a sampler's draws cost: effective draws by evaluation and by second.

.. math:: \text{efficiency} = \frac{\text{least ESS of all quantities}}{\text{what the draws cost}}

Draws are no measure, since one may cost one evaluation of the density or a thousand; seconds are
those of one machine. Evaluations belong to the sampler alone. What warm-up cost is told beside the
cost of the draws, since it is paid once. ESS judges a chain by the chain itself: one that never
saw half of the target may look efficient, so compare its means with known ones, or its R̂, as well.
Chapter "Markov chain Monte Carlo" introduces it.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import arviz as az
import numpy as np
import xarray as xr

from bnnbook import checks

KINDS = ("bulk", "tail", "mean", "sd")
DENSITY, GRADIENT = "num_density_evaluations", "num_gradient_evaluations"


class Efficiency(NamedTuple):
    """Effective draws, and what was paid for them."""

    ess: float
    """The least effective sample size of all quantities, over all chains."""
    quantity: str
    """The quantity that has it, such as ``x[1]``."""
    num_draws: int
    """Draws of all chains."""
    density_evaluations: int
    """Evaluations of the log density alone that the draws took, of all chains."""
    gradient_evaluations: int
    """Evaluations of the log density with its gradient, likewise."""
    warmup_density_evaluations: int | None
    """The first of the two, in warm-up; None where the sampler did not count."""
    warmup_gradient_evaluations: int | None
    """The second of the two, likewise."""
    seconds: float | None
    """How long the run took, warm-up included; None where that was not measured."""

    @property
    def per_draw(self) -> float:
        """ESS by draw: 1 for independent draws."""
        return self.ess / self.num_draws

    @property
    def per_density_evaluation(self) -> float | None:
        """ESS by evaluation of the density alone; None for a sampler that needs none."""
        return self.ess / self.density_evaluations if self.density_evaluations else None

    @property
    def per_gradient_evaluation(self) -> float | None:
        """ESS by evaluation of density and gradient; None for a sampler that needs none."""
        return self.ess / self.gradient_evaluations if self.gradient_evaluations else None

    @property
    def per_second(self) -> float | None:
        """ESS by second, warm-up included; None where the time was not measured."""
        return None if self.seconds is None else self.ess / self.seconds


def efficiency(
    tree: xr.DataTree,
    *,
    seconds: float | None = None,
    kind: str = "bulk",
    var_names: Sequence[str] | None = None,
) -> Efficiency:
    """The efficiency of a run of ``bnnbook.mcmc.driver`` or ``bnnbook.mcmc.nuts``.

    A leapfrog step of NUTS, which NumPyro counts as ``num_steps``, is one gradient.

    Args:
        tree: draws with the groups ``posterior`` and ``sample_stats``.
        seconds: how long the run took, compilation apart: see :func:`timed`.
        kind: which ESS: ``bulk`` (of ranks), ``tail`` (of the 5 % and 95 % quantiles, the lesser),
            ``mean`` or ``sd``.
        var_names: the variables that count; all where it is None.

    Raises:
        ValueError: where a group or a variable is missing, the run did not count its evaluations,
            there are fewer than four draws a chain, or a quantity never changes.
    """
    kind = checks.one_of("kind", kind, KINDS)
    if seconds is not None:
        seconds = checks.positive("seconds", seconds)
    for group in ("posterior", "sample_stats"):
        if group not in tree.children:
            raise checks.fail("tree", f"a DataTree with the group {group!r}", [*tree.children])
    posterior, stats = tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset()
    names = [*posterior.data_vars] if var_names is None else list(var_names)
    checks.at_least("number of var_names", len(names), 1)
    for name in names:
        checks.one_of("var_names", name, [*posterior.data_vars])
    quantity, ess = _least_ess(posterior[names], kind)
    density, gradient = _evaluations(stats)
    return Efficiency(
        ess,
        quantity,
        posterior.sizes["chain"] * posterior.sizes["draw"],
        density,
        gradient,
        tree.attrs.get("warmup_density_evaluations"),
        tree.attrs.get("warmup_gradient_evaluations"),
        seconds,
    )


def timed[Result](run: Callable[[], Result], repeats: int = 3) -> tuple[Result, float]:
    """A run's result and the least of its times in seconds, after one run that may compile.

    The least, since other work on the machine can only make a run longer.

    Args:
        run: a function without arguments that returns finished arrays, such as a call of
            ``sample``.
        repeats: how often it is timed.
    """
    repeats = checks.at_least("repeats", repeats, 1)
    result, times = run(), []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return result, min(times)


def _least_ess(posterior: xr.Dataset, kind: str) -> tuple[str, float]:
    if posterior.sizes["draw"] < 4:
        expected = "of at least 4 draws a chain, for an ESS"
        raise checks.fail("tree", expected, posterior.sizes["draw"])
    found = {}
    for name, draws in posterior.data_vars.items():
        columns = draws.values.reshape(*draws.shape[:2], -1)
        for index, at in enumerate(np.ndindex(draws.shape[2:])):
            label = f"{name}[{', '.join(map(str, at))}]" if at else str(name)
            found[label] = _ess(label, columns[:, :, index], kind)
    quantity = min(found, key=lambda label: found[label])
    return quantity, found[quantity]


def _ess(label: str, draws: np.ndarray, kind: str) -> float:
    # ArviZ takes draws that are all the same for independent ones.
    if np.ptp(draws) == 0:
        raise ValueError(
            f"tree must have draws that differ, got {draws[0, 0]} from every draw of {label!r}: "
            "make step_size smaller, or name other variables by var_names"
        )
    settings = {"prob": (0.05, 0.95)} if kind == "tail" else {}
    return float(az.ess(draws.astype(float), method=kind, **settings))


def _evaluations(stats: xr.Dataset) -> tuple[int, int]:
    if DENSITY in stats and GRADIENT in stats:
        return int(stats[DENSITY].sum()), int(stats[GRADIENT].sum())
    if "num_steps" in stats:
        return 0, int(stats["num_steps"].sum())
    expected = f"a DataTree whose sample_stats count evaluations ({DENSITY}, {GRADIENT})"
    raise checks.fail("tree", expected, [*stats.data_vars])
