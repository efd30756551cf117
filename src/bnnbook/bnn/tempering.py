r"""Posteriors of other temperatures: warmer ones doubt more, colder ones less.

.. math:: p_T(\theta) \propto p(\theta \mid \mathcal{D})^{1/T} \quad\text{or}\quad
          p_T(\theta) \propto p(\theta)\, p(\mathcal{D} \mid \theta)^{1/T}

Two things are called a posterior of temperature T. Raising the whole of it to 1/T (Wenzel et al.
2020) also narrows the prior when it is cold; raising the likelihood alone, as if each datum had
been seen 1/T times, leaves the prior as it was. Either must be said with every temperature. And
the coordinates: a density raised to a power is not the same in others. Here they are those of
``Params``, so with log σ among the unknowns its Jacobian is raised to 1/T with the prior.
Chapter "Approximate posteriors, scored" compares them.
"""

from typing import Any, NamedTuple

from bnnbook import checks

TEMPERED = ("posterior", "likelihood")


class Powers(NamedTuple):
    """To what prior and likelihood are raised: the names are those of ``network.log_density``."""

    prior_power: Any = 1.0
    """The prior's power."""
    likelihood_power: Any = 1.0
    """The likelihood's."""


UNTEMPERED = Powers()


def powers(temperature: float, tempered: str = "posterior") -> Powers:
    """What a temperature raises prior and likelihood to.

    Args:
        temperature: T; 1 is Bayes' theorem, less is cold.
        tempered: "posterior", prior and likelihood both, or the "likelihood" alone.

    Raises:
        ValueError: where T is not positive, or what is tempered is neither.
    """
    inverse = 1 / checks.positive("temperature", temperature)
    checks.one_of("tempered", tempered, TEMPERED)
    return Powers(inverse if tempered == "posterior" else 1.0, inverse)
