r"""Schwarz's criterion as a log evidence: the likelihood's maximum less a price per parameter.

.. math:: \log p(\mathcal{D}) \approx \log p(\mathcal{D} \mid \hat\theta_{\mathrm{ML}})
          - \tfrac{d}{2} \log n

It keeps those terms of Laplace's approximation that grow with n (Schwarz 1978). What it drops does
not vanish: the error stays of order one at any n, unless the prior is worth one observation (Kass
and Wasserman 1995). It never sees the prior, so it cannot tell a vague one from a sharp one, and
it has no standard error. What n counts is unclear in hierarchical models. Introduced in the chapter
"Model evidence".
"""

import numpy as np

from bnnbook import checks
from bnnbook.evidence import mode
from bnnbook.evidence.record import Evidence, timed
from bnnbook.evidence.target import Target

NOTE = "no standard error: an error of order one, which ignores the prior, stays at any n"


@timed
def estimate(target: Target, num_observations: int) -> Evidence:
    """Minus half of the criterion that is usually called BIC.

    Args:
        target: the model; only its likelihood is used.
        num_observations: n, the number of independent observations.

    Raises:
        ValueError: where the likelihood has no maximum (separable data, a singular design).
    """
    n = checks.at_least("num_observations", num_observations, 1)
    top = mode.find(target, of="log_likelihood")
    value = float(top.log_density - 0.5 * target.dimension * np.log(n))
    return Evidence(value, None, top.num_evaluations, diagnostics={"note": NOTE})
