r"""Deep ensembles: the same network trained several times, each from a draw of the prior.

.. math:: p(y \mid x) \approx \frac1M \sum_{m=1}^{M} p(y \mid f_{\hat\theta_m}(x))

Members differ by their starts and minibatches alone (Lakshminarayanan, Pritzel and Blundell 2017,
without their adversarial examples); all see all data. Each is a mode of the posterior where the
search gets there, but an equal mixture of modes targets no stated posterior: modes are not weighted
by their mass, and the spread around each is left out. So a linear network, which has one mode, gets
no spread at all. Weight decay is the prior. Chapter "Approximate posteriors, scored" introduces it.
"""

import time
from typing import NamedTuple

from jaxtyping import Array

from bnnbook.bnn import train
from bnnbook.bnn.fitted import Drawn
from bnnbook.bnn.map import drawn
from bnnbook.models.bayesian_network import Data, Network


class Settings(NamedTuple):
    """How many members, and how each is trained."""

    num_members: int = 5
    """How many networks are trained."""
    search: train.Settings = train.DEFAULTS
    """How."""


DEFAULTS = Settings()


def fit(
    rng_key: Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    validation: Data | None = None,
    num_devices: int = 1,
) -> Drawn:
    """A deep ensemble, a chain of one draw a member, in the precision in force.

    Args:
        rng_key: a JAX key. With it a larger ensemble begins with the members of a smaller one.
        network: the network.
        data: what ``network.data(x, y)`` gives.
        settings: how many members, and how each is trained.
        validation: data to choose each member's number of steps by.
        num_devices: the members are spread over the first of ``jax.devices()``.

    Raises:
        ValueError: where a setting makes no sense, or the data are bad.
        FitError: where every member failed; it names steps and reasons.

    Warns:
        FitWarning: where some members failed and are left out, or a noise sd has run off towards
            nought.
    """
    began = time.perf_counter()
    run = train.search(
        rng_key,
        network,
        data,
        settings.search,
        settings.num_members,
        validation=validation,
        num_devices=num_devices,
    )
    return drawn(run, network, data, "deep ensemble", began)
