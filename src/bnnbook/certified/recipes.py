"""Of which data and which network each stored reference is, and how its chains ran.

One network a task, with one hidden layer of 50 tanh units, as in the published comparisons
(Hernández-Lobato and Adams 2015), and the first of the splits that they share. Inputs and outputs
are standardised by the training rows. Chapter "Approximate posteriors, scored" tells of them.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpyro  # noqa: F401 (before its parts: ArviZ registers it lazily)
import numpyro.distributions as dist
from jaxtyping import Float

from bnnbook import checks
from bnnbook.bnn.nuts import Settings
from bnnbook.datasets import concrete, diabetes, motorcycle
from bnnbook.datasets.scaling import Scaling
from bnnbook.datasets.splits import HeldOut, published_splits
from bnnbook.datasets.table import Table
from bnnbook.models.bayesian_network import Data, Network
from bnnbook.models.likelihoods import Gaussian, HeteroscedasticGaussian, Likelihood
from bnnbook.models.networks import FullyConnected


@dataclass(frozen=True)
class Recipe:
    """How one reference is made: plain values, so that they can be stored and compared."""

    name: str
    """The task's name."""
    output: str
    """The column that is predicted; all others are inputs."""
    noise_sd: float
    """The prior median of the noise's standard deviation, in standardised units."""
    noise_spread: float | None
    """The sd of the noise's logarithm under its log-normal prior; None for noise that changes
    with x, out of the network."""
    weight_scale: tuple[float, ...]
    """See ``Network``."""
    bias_scale: tuple[float, ...]
    """See ``Network``."""
    settings: Settings
    """Of the sampler."""
    seed: int = 1
    """Of the key."""
    grid: int = 0
    """Points of a grid over the one input, reaching a tenth of its range beyond the data."""
    draws_kept: int = 500
    """Draws a chain of f that are stored."""
    weights_kept: int = 0
    """Draws a chain of the weights that are stored, among those of f."""

    def network(self, num_inputs: int) -> Network:
        """The Bayesian network."""
        plan = FullyConnected(num_inputs, (50,), "tanh")
        if self.noise_spread is None:
            likelihood: Likelihood = HeteroscedasticGaussian(self.noise_sd)
        else:
            prior = dist.LogNormal(float(np.log(self.noise_sd)), self.noise_spread)
            likelihood = Gaussian(prior)
        return Network(plan, likelihood, self.weight_scale, self.bias_scale)


LOADERS: dict[str, Callable[[], Table]] = {
    "motorcycle": motorcycle.load,
    "diabetes": diabetes.load,
    "concrete": concrete.load,
}
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="motorcycle",
            output="accel",
            noise_sd=0.3,
            noise_spread=None,
            weight_scale=(4.0, 2.0),
            bias_scale=(4.0, 1.0),
            settings=Settings(500, 2000, 4, 0.95, 12),
            grid=120,
            weights_kept=125,
        ),
        Recipe(
            name="diabetes",
            output="progression",
            noise_sd=0.5,
            noise_spread=0.7,
            weight_scale=(1.0, 1.0),
            bias_scale=(1.0, 1.0),
            settings=Settings(500, 2000, 4),
            draws_kept=1000,
        ),
        Recipe(
            name="concrete",
            output="compressive_strength",
            noise_sd=0.3,
            noise_spread=0.7,
            weight_scale=(2.0, 2.0),
            bias_scale=(2.0, 1.0),
            settings=Settings(500, 10_000, 4, max_tree_depth=11),
            draws_kept=1000,
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Task:
    """Data and network of a reference; x and y are standardised by the training rows."""

    recipe: Recipe
    """How the reference is made."""
    network: Network
    """The Bayesian network."""
    x_train: Float[np.ndarray, "train input"]
    """Inputs to train on."""
    y_train: Float[np.ndarray, " train"]
    """Outputs to train on."""
    x_test: Float[np.ndarray, "test input"]
    """Inputs of the test rows."""
    y_test: HeldOut
    """Outputs of the test rows, standardised; sealed, for one reading."""
    x_grid: Float[np.ndarray, "grid input"]
    """The grid; no row where there is none."""
    x_scaling: Scaling
    """How inputs were standardised."""
    y_scaling: Scaling
    """How outputs were standardised."""
    digest: str
    """SHA-256 of the recipe and of the rows, test inputs included, test outputs too."""

    @property
    def points(self) -> Float[np.ndarray, "point input"]:
        """Where f is stored: the test inputs, then the grid."""
        return np.concatenate([self.x_test, self.x_grid])

    @property
    def data(self) -> Data:
        """The training rows, checked."""
        return self.network.data(self.x_train, self.y_train)


def task(name: str) -> Task:
    """The data and the network of a reference, by name.

    Raises:
        ValueError: where there is none of that name.
    """
    recipe = RECIPES[checks.one_of("name", name, RECIPES)]
    table = LOADERS[name]()
    raw_x = np.column_stack([table[c] for c in table.columns if c != recipe.output])
    raw_y = table[recipe.output]
    train, test = published_splits(len(raw_y), 1)[0]
    of_x, of_y = Scaling.of(raw_x[train]), Scaling.of(raw_y[train])
    x, y = of_x.scaled(raw_x), of_y.scaled(raw_y)
    return Task(
        recipe=recipe,
        network=recipe.network(raw_x.shape[1]),
        x_train=x[train],
        y_train=y[train],
        x_test=x[test],
        y_test=HeldOut(y[test], f"y_test of {name}"),
        x_grid=_grid(x, recipe.grid),
        x_scaling=of_x,
        y_scaling=of_y,
        digest=_digest(recipe, raw_x, raw_y, train, test),
    )


def plain(recipe: Recipe) -> dict[str, object]:
    """A recipe in what JSON knows."""
    return json.loads(json.dumps(asdict(recipe) | {"settings": recipe.settings._asdict()}))


def _grid(x: np.ndarray, num_points: int) -> np.ndarray:
    if not num_points:
        return np.empty((0, x.shape[1]))
    low, high = x.min(), x.max()
    margin = (high - low) / 10
    return np.linspace(low - margin, high + margin, num_points)[:, None]


def _digest(recipe: Recipe, *arrays: np.ndarray) -> str:
    described = plain(recipe)
    for free in ("num_samples", "chain_method"):  # a longer run is of the same chains
        del described["settings"][free]  # type: ignore[attr-defined]
    found = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()
