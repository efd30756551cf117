r"""Linear regression with the normal–inverse-gamma prior, as a NumPyro model.

.. math:: \sigma^2 \sim \mathrm{InverseGamma}(a, b),\; b \mid \sigma \sim N(m, \sigma^2
          \Lambda^{-1}),\; y \mid b, \sigma \sim N(X b, \sigma^2 I)

with covariance matrices in the second place. Samplers and evidence estimators run on it, and
``bnnbook.exact.normal_inverse_gamma`` has its exact answers. Introduced in the chapter "Bayesian
linear regression".
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from bnnbook import checks
from bnnbook.models import linear

FloatArray = Array | np.ndarray


def conjugate_regression(
    X: Float[FloatArray, "n p"],
    y: Float[FloatArray, " rows_of_y"] | None = None,
    *,
    mean: Float[FloatArray, " p"],
    precision: Float[FloatArray, "p p"],
    shape: float,
    scale: float,
) -> None:
    """A NumPyro model; its sites are ``noise_variance``, ``noise_sd``, ``coefficients`` and ``y``.

    Args:
        X: the design matrix, a row an observation; a column of ones for an intercept.
        y: the outputs, as many as X has rows; None to simulate them.
        mean: the prior mean of b.
        precision: the prior precision of b in units of 1/σ², symmetric and positive definite.
        shape: the shape a of the prior of σ².
        scale: its scale b, in squared units of y.

    Raises:
        ValueError: where lengths disagree, data are not finite, or shape or scale not positive.
    """
    linear.check_data(X, y)
    shape, scale = checks.positive("shape", shape), checks.positive("scale", scale)
    variance = numpyro.sample("noise_variance", dist.InverseGamma(shape, scale))
    sigma = numpyro.deterministic("noise_sd", jnp.sqrt(variance))
    # Factored once, outside what a sampler differentiates.
    root = jnp.linalg.cholesky(jnp.linalg.inv(jnp.asarray(precision)))
    prior = dist.MultivariateNormal(jnp.asarray(mean), scale_tril=sigma * root)
    b = numpyro.sample("coefficients", prior)
    with numpyro.plate("row", X.shape[0]):
        numpyro.sample("y", dist.Normal(jnp.asarray(X) @ b, sigma), obs=y)
