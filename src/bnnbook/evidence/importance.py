r"""Importance sampling: draw from a density that is known, and weigh by what the target says.

.. math:: p(\mathcal{D}) = \int \frac{p(\mathcal{D}, \theta)}{g(\theta)}\, g(\theta)\,
          \mathrm{d}\theta \approx \frac1S \sum_s w_s,\quad
          w_s = \frac{p(\mathcal{D}, \theta_s)}{g(\theta_s)},\; \theta_s \sim g

The average is unbiased, its relative standard error is sd(w) / (mean(w) √S) (Geweke 1989; Owen
2013, chapter 9). It fails where the proposal's tails are lighter than the posterior's or it
misses a mode, and in high dimension: few draws then carry all the weight. The Pareto k̂ of the
weights tells the first and the last (Vehtari et al. 2024), nothing tells of a missed mode.
Introduced in the chapter "Model evidence".
"""

import jax
import numpy as np
from scipy.special import logsumexp

from bnnbook import checks
from bnnbook.evidence import mode, proposal
from bnnbook.evidence.harmonic_mean import relative_error
from bnnbook.evidence.proposal import Proposal
from bnnbook.evidence.record import Evidence, timed
from bnnbook.evidence.target import Target
from bnnbook.pareto import pareto_k

MIN_SAMPLES = 100


@timed
def estimate(
    rng_key: jax.Array,
    target: Target,
    *,
    num_samples: int = 4096,
    proposed: Proposal | None = None,
) -> Evidence:
    """The log of the average weight, with its standard error and k̂.

    Args:
        rng_key: a JAX key.
        target: the model.
        num_samples: draws from the proposal, at least 100.
        proposed: the proposal; a t with 5 degrees of freedom at the mode where it is None.

    Raises:
        ValueError: where there are too few draws, no mode, or all weights are zero.
    """
    num_samples = checks.at_least("num_samples", num_samples, MIN_SAMPLES)
    used = num_samples
    if proposed is None:
        top = mode.find(target)
        proposed, used = proposal.from_mode(top), used + top.num_evaluations
    points = proposed.sample(rng_key, num_samples)
    log_weights = target.evaluate(points).log_joint - proposed.log_density(points)
    if not np.isfinite(log_weights).any():
        raise checks.fail("proposed", "a proposal that overlaps the target", proposed.centre)
    value = float(logsumexp(log_weights) - np.log(num_samples))
    diagnostics = {"pareto_k": pareto_k(log_weights)}
    return Evidence(value, relative_error(log_weights), used, diagnostics=diagnostics)
