"""The stored references: draws of f and the noise by long NUTS runs, with their diagnostics.

Certified means that chains agreed (``evaluation.function_space``), never that all modes were found.
Whether a reference is certified, and what it falls short of, is in its record. The numbers are of
one network under one prior: another prior has another posterior. Chapter "Approximate posteriors,
scored" loads them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from bnnbook.bnn.fitted import DIMENSIONS, Drawn
from bnnbook.certified.recipes import Task, task

FOLDER = Path(__file__).parent / "data"


class StaleReferenceError(RuntimeError):
    """What is stored is not of the recipe and the data as they are now, or was changed."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A stored reference; everything is in standardised units, see ``task.y_scaling``."""

    task: Task
    """The data, the network and how the chains ran."""
    outputs: Float[np.ndarray, "chain draw point output"]
    """What comes out of the network at ``task.points``; stored in half precision."""
    log_density: Float[np.ndarray, "chain draw"]
    """The log of the joint density of unknowns and data."""
    noise_sd: Float[np.ndarray, "chain draw"] | None
    """The noise's standard deviation; None where it changes with x, out of the network."""
    weights: Float[np.ndarray, "chain kept unknown"] | None
    """All unknowns as ``network.ravel`` lays them out, of the draws ``weights_at``, if stored."""
    weights_at: np.ndarray | None
    """Which of the draws the weights are of."""
    record: Mapping[str, Any]
    """Settings, versions, seconds, diagnostics: what the run wrote down of itself."""

    @property
    def certified(self) -> bool:
        """Whether all draws of the run met every bound of ``evaluation.function_space``."""
        return bool(self.record["certified"])

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What keeps it from being certified."""
        return tuple(self.record["shortfalls"])

    @property
    def complaints(self) -> tuple[str, ...]:
        """What the sampler complained of, which no verdict about its chains' agreement says."""
        return tuple(self.record["complaints"])

    @property
    def of_stored(self) -> Mapping[str, Any]:
        """Of the draws that are stored, fewer than the run's: ``diagnostics`` as in the record,
        whether they alone would be ``certified``, and their ``shortfalls``."""
        found: Mapping[str, Any] = self.record["stored"]
        return found

    @property
    def at_test(self) -> xr.DataArray:
        """The likelihood's parameters at the test inputs, (chain, draw, point, parameter)."""
        return self._parameters(slice(None, len(self.task.x_test)))

    @property
    def at_grid(self) -> xr.DataArray:
        """The same at the grid; no point where there is no grid."""
        return self._parameters(slice(len(self.task.x_test), None))

    @property
    def drawn(self) -> Drawn:
        """The draws whose weights are stored, as what a method returns.

        Raises:
            ValueError: where no weights are stored.
        """
        name = self.task.recipe.name
        if self.weights is None:
            raise ValueError(f"the reference {name} holds f and the noise, but no weights")
        params = jax.vmap(jax.vmap(self.task.network.unravel))(self.weights)
        return Drawn(
            network=self.task.network,
            method="reference",
            seconds=self.record["seconds"],
            params=params,
        )

    def _parameters(self, points: slice) -> xr.DataArray:
        likelihood = self.task.network.likelihood
        outputs = self.outputs[:, :, points].astype(np.float32)
        logs = None if self.noise_sd is None else np.log(self.noise_sd)
        axes = (0, None if logs is None else 0)
        found = jax.vmap(jax.vmap(likelihood.parameters, axes), axes)(outputs, logs)
        names = {"parameter": list(likelihood.parameter_names)}
        return xr.DataArray(np.asarray(found), names, DIMENSIONS, "prediction")


def load(name: str, folder: Path = FOLDER) -> Stored:
    """A stored reference by its task's name: motorcycle, diabetes or concrete.

    Raises:
        ValueError: where there is no such task.
        StaleReferenceError: where it was never made, its file was changed, or recipe or data are no
            longer those that it was made of.
    """
    what = task(name)
    path = folder / f"{name}.npz"
    again = f"make it anew: nox -s references -- {name}"
    for part in (path, path.with_suffix(".json")):
        if not part.is_file():
            raise StaleReferenceError(
                f"the reference {name} is not stored, no {part.name}: {again}"
            )
    record = json.loads(path.with_suffix(".json").read_text("utf8"))
    if record["digest"] != what.digest:
        raise StaleReferenceError(f"recipe or data of {name} have changed since its run: {again}")
    if record["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
        raise StaleReferenceError(f"{path.name} is not the file that its run wrote: {again}")
    with np.load(path) as arrays:
        held = {key: arrays[key] for key in arrays.files}
    return Stored(
        task=what,
        outputs=held["outputs"],
        log_density=held["log_density"],
        noise_sd=held.get("noise_sd"),
        weights=held.get("weights"),
        weights_at=held.get("weights_at"),
        record=record,
    )
