r"""What every variational method returns: a distribution to draw from, and how good it is.

Whatever found q, it can be asked the same: draws in the model's own parameters, the ELBO with its
error, and the Pareto k̂ of the weights p/q, which tells whether q's tails reach where the posterior
does (Yao, Vehtari, Simpson and Gelman 2018). Chapter "Variational inference" introduces it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from bnnbook import checks, pareto
from bnnbook.datatree import from_draws
from bnnbook.models.flat import FlatTarget

Sampler = Callable[[Array, int], tuple[Any, Any]]
MIN_DRAWS = 100
"""Fewer have no tail from which to tell k̂."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Approximation:
    """A distribution q over a target's unbounded parameters."""

    target: FlatTarget
    """What it approximates."""
    method: str
    """What made it, for records."""
    sampler: Sampler
    """From a key and a number n: draws of shape (n, d) and the log density of q at each."""
    elbo: float
    """The evidence lower bound of q, in nats, from draws that the search did not use."""
    elbo_error: float
    """Its Monte Carlo standard error."""
    trace: Float[np.ndarray, " step"]
    """The ELBO's estimate at each step of the search, in nats."""
    seconds: float
    """Wall time, compilation included where it was needed."""
    dtype: str
    """The precision in which it was found, and in which draws are made."""

    @property
    def num_steps(self) -> int:
        """How many steps the search took."""
        return len(self.trace)

    def flat_draws(self, rng_key: Array, num_draws: int) -> Float[np.ndarray, "draw d"]:
        """Independent draws of the unbounded parameters."""
        return self._drawn(rng_key, checks.at_least("num_draws", num_draws, 1))[0]

    def log_weights(self, rng_key: Array, num_draws: int) -> Float[np.ndarray, " draw"]:
        """log p(D, x) − log q(x) at draws from q; −∞ where p is zero."""
        return self._drawn(rng_key, checks.at_least("num_draws", num_draws, 1))[1]

    def pareto_k(self, rng_key: Array, num_draws: int = 2000) -> float:
        """k̂ of the weights p/q: above 0.7 q is not to be trusted, nor mended by weighting.

        Weights that are equal but for rounding have no tail, and k̂ is −∞: q is the posterior. It
        cannot tell of a mode that no draw of q comes near.

        Args:
            rng_key: a JAX key.
            num_draws: draws from q, at least 100.

        Raises:
            ValueError: where there are too few draws, or p is zero at all of them.
        """
        num_draws = checks.at_least("num_draws", num_draws, MIN_DRAWS)
        weights = self.log_weights(rng_key, num_draws)
        if not np.isfinite(weights).any():
            raise checks.fail("target", "positive at some draw of the approximation", weights)
        rounding = 1e3 * float(np.finfo(self.dtype).eps) * (1 + abs(self.elbo))
        return -np.inf if np.ptp(weights) < rounding else pareto.pareto_k(weights)

    def draws(self, rng_key: Array, num_draws: int = 1000, num_chains: int = 4) -> xr.DataTree:
        """Draws of the model's own parameters, and of what it computes from them.

        They are independent; "chains" only let the usual diagnostics read them, and R̂ can say
        nothing of how near q is to the posterior.

        Args:
            rng_key: a JAX key.
            num_draws: draws a chain.
            num_chains: chains.

        Returns:
            A tree with the groups ``posterior`` and ``sample_stats`` (``log_weight``, log p − log
            q), and the method, the ELBO and the precision as attributes.
        """
        shape = tuple(
            checks.at_least(name, value, 1)
            for name, value in (("num_chains", num_chains), ("num_draws", num_draws))
        )
        x, log_weights = self._drawn(rng_key, shape[0] * shape[1])
        with jax.enable_x64(self.dtype == "float64"):
            named = self._named(jnp.asarray(x))
        posterior = {k: np.asarray(v).reshape(*shape, *v.shape[1:]) for k, v in named.items()}
        return from_draws(
            posterior=posterior,
            sample_stats={"log_weight": log_weights.reshape(shape)},
            attrs={"method": self.method, "elbo": self.elbo, "dtype": self.dtype},
        )

    def replaced(self, **changes: Any) -> "Approximation":
        """A copy with some fields changed."""
        return replace(self, **changes)

    def _named(self, x: Any) -> dict[str, Any]:
        if self.target.constrain is not None:
            return _each(x, function=self.target.constrain)
        return {name: x[:, i] for i, name in enumerate(self.target.names)}

    def _drawn(
        self, rng_key: Array, num_draws: int
    ) -> tuple[Float[np.ndarray, "draw d"], Float[np.ndarray, " draw"]]:
        with jax.enable_x64(self.dtype == "float64"):
            x, log_q = self.sampler(rng_key, num_draws)
            log_p = _each(x, function=self.target.log_density)
        return np.asarray(x), np.asarray(log_p, dtype=np.float64) - np.asarray(log_q)


@partial(jax.jit, static_argnames="function")
def _each(x: Float[Array, "draw d"], *, function: Callable[[Any], Any]) -> Any:
    """A function of each draw, compiled once for a target, whoever asks and how often."""
    return jax.vmap(function)(x)


def mean_and_error(terms: Float[np.ndarray, " draw"]) -> tuple[float, float]:
    """The mean of independent terms and its standard error."""
    return float(np.mean(terms)), float(np.std(terms, ddof=1) / np.sqrt(len(terms)))
