r"""The evidence in closed form, in the record of the estimators, so that they stand in one table.

.. math:: p(\mathcal{D}) = \frac{p(\mathcal{D} \mid \theta)\, p(\theta)}{p(\theta \mid
          \mathcal{D})} \quad\text{at any } \theta

Where the prior is conjugate all three densities on the right have names, and so has the evidence:
of linear regression with a normal prior and known noise, or a normal–inverse-gamma prior. The
formulae are in ``bnnbook.exact``. It fails for any other pair of prior and likelihood. Introduced
in the chapter "Model evidence".
"""

from numpy.typing import ArrayLike

from bnnbook import checks
from bnnbook.evidence.record import Evidence, timed
from bnnbook.exact import conjugate_linear, normal_inverse_gamma
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma

NOTE = "exact but for rounding, so the standard error is 0"


@timed
def estimate(
    prior: NormalCoefficients | NormalInverseGamma | None,
    X: ArrayLike,
    y: ArrayLike,
    *,
    noise_sd: float | None = None,
) -> Evidence:
    """The exact evidence of Bayesian linear regression.

    Args:
        prior: the proper prior of the coefficients, and of the noise where that is unknown.
        X: the design matrix, shape (n, p).
        y: the outputs, shape (n,).
        noise_sd: the known standard deviation of the noise, for a prior of coefficients alone.

    Returns:
        The record, with a standard error of 0 and no evaluation of the density.

    Raises:
        ValueError: where the prior is improper (None), the noise is given twice or not at all, or
            the data do not fit the prior or are not finite.
    """
    if isinstance(prior, NormalInverseGamma):
        if noise_sd is not None:
            raise checks.fail("noise_sd", "None where the prior has the noise unknown", noise_sd)
        value = normal_inverse_gamma.log_evidence(prior, X, y)
    else:
        noise = checks.positive("noise_sd", noise_sd)
        value = conjugate_linear.log_evidence(prior, X, y, noise)
    return Evidence(value, 0.0, 0, diagnostics={"note": NOTE})
