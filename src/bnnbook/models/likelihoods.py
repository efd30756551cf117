r"""How a network's outputs become a distribution of data.

Each likelihood turns what comes out of a network at a point into the parameters of a distribution
there, and gives the log density of a datum. The scores need those parameters alone: a mean and a
standard deviation, or the log probabilities of classes. Chapter "A network is a prior over
functions" introduces them.
"""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401 (before its parts: ArviZ registers it lazily)
from jaxtyping import Array
from numpy.typing import ArrayLike
from numpyro.distributions import Distribution

from bnnbook import checks

LOG_TWO_PI = float(np.log(2 * np.pi))
NUMBERED = "number them by np.unique(y, return_inverse=True)[1]"
FLOATS = "turn it into numbers by np.asarray({}, float)"
"""What to do with outputs that are no numbers, or not those of classes."""
NUM_SCOUTS = 1001
"""Draws from a prior that tell its median."""
PROBES = (1e-3, 1.0, 1e3)
"""Values that the support of a positive parameter's prior must hold."""


@runtime_checkable
class Likelihood(Protocol):
    """What a Bayesian network asks of its likelihood."""

    @property
    def num_outputs(self) -> int:
        """How many outputs the network must have."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """What the parameters at a point are called."""

    @property
    def noise_prior(self) -> Distribution | None:
        """The prior of a noise standard deviation that is inferred, or None."""

    def check_outputs(self, y: ArrayLike) -> Any:
        """Checked data, in the precision in force."""

    def parameters(self, outputs: Any, log_noise_sd: Any) -> Any:
        """From outputs of shape (point, output) to parameters of shape (point, parameter)."""

    def log_prob(self, outputs: Any, log_noise_sd: Any, y: Any) -> Any:
        """The log density of each datum, shape (datum,)."""


class Gaussian(eqx.Module):
    """Noise of one standard deviation everywhere: y ~ N(f(x), σ²)."""

    noise_sd: float | Distribution
    """σ in units of y, or the prior of σ: a NumPyro distribution over all positive numbers."""

    def __check_init__(self) -> None:
        if isinstance(self.noise_sd, Distribution):
            check_positive_prior("noise_sd", self.noise_sd)
        else:
            checks.positive("noise_sd", self.noise_sd)

    @property
    def num_outputs(self) -> int:
        """One: f."""
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Mean and standard deviation."""
        return ("mean", "sd")

    @property
    def noise_prior(self) -> Distribution | None:
        """The prior of σ, or None where σ is known."""
        return self.noise_sd if isinstance(self.noise_sd, Distribution) else None

    def check_outputs(self, y: ArrayLike) -> Any:
        """Finite numbers, one a datum; and σ, which the precision in force must hold."""
        if not isinstance(self.noise_sd, Distribution):
            in_precision("noise_sd", self.noise_sd, positive=True)
        return _real_outputs(y)

    def parameters(self, outputs: Any, log_noise_sd: Any) -> Any:
        """f(x) and σ."""
        f = outputs[:, 0]
        return jnp.stack([f, jnp.full_like(f, self._sd(log_noise_sd))], axis=1)

    def log_prob(self, outputs: Any, log_noise_sd: Any, y: Any) -> Any:
        """log N(y; f(x), σ²)."""
        log_sd = jnp.log(self._sd(log_noise_sd)) if log_noise_sd is None else log_noise_sd
        return _log_normal(outputs[:, 0], log_sd, y)

    def _sd(self, log_noise_sd: Any) -> Any:
        return self.noise_sd if log_noise_sd is None else jnp.exp(log_noise_sd)


class HeteroscedasticGaussian(eqx.Module):
    """Noise that changes with x: the network has two outputs, y ~ N(f(x), (s exp g(x))²)."""

    typical_sd: float = 1.0
    """s, the noise's prior median in units of y."""

    def __check_init__(self) -> None:
        checks.positive("typical_sd", self.typical_sd)

    @property
    def num_outputs(self) -> int:
        """Two: f and g."""
        return 2

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Mean and standard deviation."""
        return ("mean", "sd")

    @property
    def noise_prior(self) -> None:
        """None: the noise comes out of the network."""

    def check_outputs(self, y: ArrayLike) -> Any:
        """Finite numbers, one a datum; and s, which the precision in force must hold."""
        in_precision("typical_sd", self.typical_sd, positive=True)
        return _real_outputs(y)

    def parameters(self, outputs: Any, log_noise_sd: Any = None) -> Any:
        """f(x) and s exp g(x)."""
        sd = self.typical_sd * jnp.exp(outputs[:, 1])
        return jnp.stack([outputs[:, 0], sd], axis=1)

    def log_prob(self, outputs: Any, log_noise_sd: Any, y: Any) -> Any:
        """log N(y; f(x), (s exp g(x))²)."""
        return _log_normal(outputs[:, 0], outputs[:, 1] + np.log(self.typical_sd), y)


class Categorical(eqx.Module):
    """One of several classes, numbered from 0: p(y = k) in proportion to exp f_k(x)."""

    num_classes: int
    """How many classes there are."""

    def __check_init__(self) -> None:
        checks.at_least("num_classes", self.num_classes, 2)

    @property
    def num_outputs(self) -> int:
        """One a class."""
        return self.num_classes

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The log probability of each class."""
        return tuple(f"log_p[{k}]" for k in range(self.num_classes))

    @property
    def noise_prior(self) -> None:
        """None: there is no noise to infer."""

    def check_outputs(self, y: ArrayLike) -> Any:
        """Whole numbers from 0 to one below the number of classes."""
        array = _one_axis(y, NUMBERED)
        if ((array != np.round(array)) | (array < 0) | (array >= self.num_classes)).any():
            expected = f"whole numbers from 0 to {self.num_classes - 1}"
            raise ValueError(f"{checks.fail('y', expected, array)}: {NUMBERED}")
        return jnp.asarray(array, int)

    def parameters(self, outputs: Any, log_noise_sd: Any = None) -> Any:
        """The log probabilities of the classes."""
        return jax.nn.log_softmax(outputs, axis=1)

    def log_prob(self, outputs: Any, log_noise_sd: Any, y: Any) -> Any:
        """log p(y)."""
        logs = jax.nn.log_softmax(outputs, axis=1)
        return jnp.take_along_axis(logs, y[:, None], axis=1)[:, 0]


def check_positive_prior(name: str, prior: Distribution) -> None:
    """Refuse a prior that is not of one number, or does not cover all positive numbers."""
    covers = not prior.support.is_discrete and prior.batch_shape == prior.event_shape == ()
    if not covers or not all(bool(prior.support(jnp.asarray(probe))) for probe in PROBES):
        raise checks.fail(name, "a distribution of one positive number, however large", prior)
    if bool(prior.support(jnp.asarray(-1.0))):
        raise checks.fail(name, "a distribution of positive numbers alone", prior)


def log_prior_of_log(prior: Distribution, log_value: Any) -> Any:
    """The log density of the log of a positive number: the Jacobian is the number itself."""
    return prior.log_prob(jnp.exp(log_value)) + log_value


def log_median(prior: Distribution) -> Array:
    """The log of a positive prior's median, from draws."""
    return jnp.log(jnp.median(prior.sample(jax.random.key(0), (NUM_SCOUTS,))))


def in_precision(name: str, value: ArrayLike, *, positive: bool = False) -> Array:
    """Finite numbers in the precision in force, which must hold them.

    Args:
        name: what the caller calls them.
        value: finite numbers.
        positive: whether they must not vanish either.
    """
    array = np.asarray(value)
    limits = jnp.finfo(jnp.result_type(float))  # type: ignore[no-untyped-call]
    least, most = float(limits.tiny) if positive else 0.0, float(limits.max)
    size = np.abs(array)
    if (beyond := (size < least) | (size > most)).any():
        expected = f"between {least:.2g} and {most:.2g} in size, as {limits.dtype} holds no other"
        raise checks.fail(name, expected, float(array[beyond].flat[0]))
    return jnp.asarray(array, limits.dtype)


def _one_axis(y: ArrayLike, remedy: str) -> Any:
    array = checks.finite_array("y", y, remedy=remedy)
    if array.ndim != 1:
        expected = "of shape (n,), one number a datum (np.ravel(y), if it is one column)"
        raise checks.fail("y", expected, array.shape)
    return array


def _real_outputs(y: ArrayLike) -> Any:
    return in_precision("y", _one_axis(y, FLOATS.format("y")))


def _log_normal(mean: Any, log_sd: Any, y: Any) -> Any:
    z = (y - mean) * jnp.exp(-log_sd)
    return -0.5 * (z**2 + LOG_TWO_PI) - log_sd
