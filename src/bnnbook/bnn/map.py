r"""The MAP estimate: the one setting of all unknowns with the highest posterior density.

.. math:: \hat\theta = \operatorname*{arg\,max}_\theta\; \log p(\theta) + \log p(\mathcal{D} \mid
          \theta)

What most people call training with weight decay: the decay is the prior. A mode depends on the
coordinates, which are those of ``Params`` here (noise by its logarithm), and one mode is found of
many. As a prediction it knows the noise, but no doubt about f. Chapter "Approximate posteriors,
scored" introduces it.
"""

import time

import jax
import numpy as np
from jaxtyping import Array

from bnnbook.bnn import train
from bnnbook.bnn.fitted import Drawn
from bnnbook.bnn.train import DEFAULTS, Run, Settings
from bnnbook.models.bayesian_network import Data, Network

__all__ = ["DEFAULTS", "Settings", "drawn", "fit"]


def fit(
    rng_key: Array,
    network: Network,
    data: Data,
    settings: Settings = DEFAULTS,
    *,
    validation: Data | None = None,
) -> Drawn:
    """The MAP estimate of a network, as one draw, in the precision in force.

    Args:
        rng_key: a JAX key: the start is a draw of the prior, minibatches are random.
        network: the network.
        data: what ``network.data(x, y)`` gives.
        settings: how it is searched for.
        validation: data to choose the number of steps by. What is found is then no mode, but where
            the search was when it predicted these data best.

    Raises:
        ValueError: where a setting makes no sense, or the data are bad.
        FitError: where the search breaks down; it names the step and the reason.

    Warns:
        FitWarning: where the noise sd has run off towards nought.
    """
    began = time.perf_counter()
    run = train.search(rng_key, network, data, settings, validation=validation)
    return drawn(run, network, data, "MAP", began)


def drawn(run: Run, network: Network, data: Data, method: str, began: float) -> Drawn:
    """What a search came to as what predicts: a chain a member that did not fail, of one draw.

    Args:
        run: the search, failures and all.
        network: the network.
        data: those that were fitted.
        method: a name for tables.
        began: when the fit did, by ``time.perf_counter``.
    """
    run, failed = train.keep(run, method, train.tolerance(network))
    # Together on one device, wherever they were trained.
    params = jax.device_put(run.params, jax.local_devices()[0])
    train.warn_of_collapse(params, network, method, data)
    return Drawn(
        network=network,
        method=method,
        params=jax.tree.map(lambda leaf: leaf[:, None], params),
        stats={"num_steps": np.asarray(run.chosen_at)[:, None]},
        attrs={"num_failed": len(failed)},
        seconds=time.perf_counter() - began,
    )
