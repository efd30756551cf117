r"""Laplace's approximation: as if the posterior were normal around its mode.

.. math:: \log p(\mathcal{D}) \approx \log p(\mathcal{D} \mid \hat\theta) + \log p(\hat\theta)
          + \tfrac{d}{2} \log 2\pi - \tfrac12 \log |H|

with H the negative Hessian of the log posterior at its mode θ̂ (Laplace 1774; Tierney and Kadane
1986). The relative error falls as 1/n. It is exact for a normal posterior. It fails for skewed,
bounded, heavy-tailed or many-humped ones, it changes with the parameterisation, and nothing in it
tells: it has no standard error. Introduced in the chapter "Model evidence".
"""

import time

import numpy as np

from bnnbook.evidence import mode
from bnnbook.evidence.record import Evidence
from bnnbook.evidence.target import Target

NOTE = "no standard error: the error is a bias that depends on the parameterisation"


def estimate(target: Target) -> Evidence:
    """The evidence of the normal approximation at the mode.

    Raises:
        ValueError: where there is no mode or its Hessian is singular.
    """
    begin = time.perf_counter()
    top = mode.find(target)
    log_volume = 0.5 * target.dimension * np.log(2 * np.pi) + np.log(np.diag(top.root)).sum()
    seconds = time.perf_counter() - begin
    value = float(top.log_density + log_volume)
    return Evidence(value, None, top.num_evaluations, seconds, {"note": NOTE})
