"""Make a reference: long chains in blocks, a checkpoint after each, then what is stored.

    nox -s references -- motorcycle

Stopped, by Ctrl+C or a closed lid, and started again, it goes on from its last block. Progress is a
line a block. With ``--minutes M`` it stops after the block that ends later than that, and stores
what it has, with the diagnostics that it has reached; started again it goes on.
"""

import argparse
import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bnnbook import checks
from bnnbook.bnn import nuts
from bnnbook.certified.recipes import RECIPES, Task, plain, task
from bnnbook.evaluation.function_space import Diagnosis, Mixing, diagnose

BLOCK = 125
"""Steps of each chain between two checkpoints."""
CHECKPOINTS = Path("_build/references")
STORE = Path(__file__).parent / "data"
SCALARS = ("log_density", "noise_sd")
PACKAGES = ("bnnbook", "jax", "numpyro", "numpy", "equinox", "arviz")


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s references --", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(RECIPES)}; all if none")
    parser.add_argument("--minutes", type=float, default=np.inf, help="store what there is then")
    given = parser.parse_args()
    for name in given.names or RECIPES:
        make(task(name), given.minutes)


def make(what: Task, minutes: float = np.inf, store: Path = STORE) -> None:
    """Run a task's chains as far as its recipe or the clock says, and store the reference."""
    run, seconds, done = sample(what, CHECKPOINTS, minutes)
    if not done:
        print(f"{what.recipe.name}: still warming up, nothing to store", flush=True)
        return
    write(what, run, seconds, store)


def sample(what: Task, folder: Path, minutes: float = np.inf) -> tuple[nuts.Run, float, int]:
    """All draws after warm-up, the seconds that they and warm-up took, and how many draws."""
    settings = what.recipe.settings
    folder = folder / f"{what.recipe.name}-{what.digest[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    total = settings.num_warmup + settings.num_samples
    began, data = time.perf_counter(), what.data
    state = nuts.start(jax.random.key(what.recipe.seed), what.network, data, settings)
    blocks = sorted(folder.glob("block-*.npz"))
    if blocks:
        state = _restored(state, np.load(blocks[-1]))
        print(f"{what.recipe.name}: going on after {len(blocks)} blocks", flush=True)
    while len(blocks) * BLOCK < total:
        clock = time.perf_counter()
        state, run = nuts.advance(what.network, data, state, settings, BLOCK)
        path = folder / f"block-{len(blocks):04d}.npz"
        arrays = {"vectors": run.vectors, "seconds": time.perf_counter() - clock}
        _save(path, arrays | dict(run.stats) | _leaves(state))
        blocks.append(path)
        print(_progress(what, len(blocks) * BLOCK, total, run, arrays["seconds"]), flush=True)
        if time.perf_counter() - began > 60 * minutes:
            break
    return _gathered(blocks, settings.num_warmup)


def _progress(what: Task, reached: int, total: int, run: nuts.Run, seconds: Any) -> str:
    stats = run.stats
    return (
        f"{what.recipe.name}: {reached} of {total} steps, {seconds:.0f} s a block, "
        f"{stats['num_steps'].mean():.0f} gradients a draw, acceptance "
        f"{stats['accept_prob'].mean():.2f}, {int(stats['diverging'].sum())} divergences"
    )


def _gathered(blocks: list[Path], num_warmup: int) -> tuple[nuts.Run, float, int]:
    if not blocks:
        return nuts.Run(np.empty(0), {}), 0.0, 0
    loaded = [np.load(path) for path in blocks]
    names = [name for name in loaded[0].files if not name.startswith("state")]
    arrays = {
        name: np.concatenate([block[name] for block in loaded], axis=1)[:, num_warmup:]
        for name in names
        if name != "seconds"
    }
    vectors = arrays.pop("vectors")
    seconds = sum(float(block["seconds"]) for block in loaded)
    return nuts.Run(vectors, arrays), seconds, vectors.shape[1]


def _leaves(state: Any) -> dict[str, np.ndarray]:
    return {f"state{i}": np.asarray(_bare(x)) for i, x in enumerate(jax.tree.leaves(state))}


def _bare(leaf: Any) -> Any:
    is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _restored(example: Any, saved: Any) -> Any:
    leaves, plan = jax.tree.flatten(example)
    new = []
    for i, leaf in enumerate(leaves):
        array = jax.numpy.asarray(saved[f"state{i}"])
        new.append(jax.random.wrap_key_data(array) if _bare(leaf) is not leaf else array)
    return jax.tree.unflatten(plan, new)


def _save(path: Path, arrays: dict[str, Any], *, compress: bool = False) -> None:
    """Whole or not at all: beside, then moved."""
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        (np.savez_compressed if compress else np.savez)(file, **arrays)
    os.replace(beside, path)


def write(what: Task, run: nuts.Run, seconds: float, store: Path) -> None:
    """Diagnose all draws, store some of them, and beside them how they came about.

    Raises:
        ValueError: where an output is too large for half precision.
    """
    recipe, network = what.recipe, what.network
    found = nuts.fitted(network, run, None, recipe.settings, seconds)
    outputs, density = found.outputs(what.points), found.log_density(what.data)
    scalars = {"log_density": density}
    if found.params.log_noise_sd is not None:
        scalars["noise_sd"] = np.exp(np.asarray(found.params.log_noise_sd))
    diagnosis = diagnose(outputs, scalars, run.vectors)
    chosen = thinned(run.vectors.shape[1], recipe.draws_kept)
    arrays = {"outputs": halved(outputs[:, chosen])}
    arrays |= {name: array[:, chosen].astype(np.float32) for name, array in scalars.items()}
    if recipe.weights_kept:
        some = thinned(len(chosen), recipe.weights_kept)
        arrays["weights"] = run.vectors[:, chosen[some]]
        arrays["weights_at"] = some
    path = store / f"{recipe.name}.npz"
    _save(path, arrays, compress=True)
    record = {
        "name": recipe.name,
        "digest": what.digest,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "recipe": plain(recipe),
        "dtype": run.vectors.dtype.name,
        "versions": {name: version(name) for name in PACKAGES},
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
        "num_chains": len(run.vectors),
        "num_draws": run.vectors.shape[1],
        "num_draws_stored": len(chosen),
        "seconds": round(seconds, 1),
        "gradients_per_draw": round(float(run.stats["num_steps"].mean()), 1),
        "divergences": int(run.stats["diverging"].sum()),
        "accept_prob": round(float(run.stats["accept_prob"].mean()), 3),
        "step_size": [float(f"{s:.4g}") for s in run.stats["step_size"][:, -1]],
        "complaints": nuts.complaints(run.stats, recipe.settings),
        **_verdict(diagnosis),
        "stored": rediagnosed(arrays),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    path.with_suffix(".json").write_text(text, "utf8")
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB; certified: {record['certified']}")
    print("\n".join(record["shortfalls"]), json.dumps(record["diagnostics"], indent=1), flush=True)


def thinned(num_draws: int, kept: int) -> np.ndarray:
    """Numbers of draws, spaced as evenly as whole numbers can be; the last one among them."""
    kept = min(kept, num_draws)
    return np.rint(np.linspace(0, num_draws, kept + 1)[1:]).astype(int) - 1


def rediagnosed(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The diagnostics and the verdict of what is stored, which is less than the run.

    Args:
        arrays: those of a reference's file, by name.
    """
    names = [name for name in SCALARS if name in arrays]
    scalars = {name: np.asarray(arrays[name], np.float64) for name in names}
    return _verdict(diagnose(np.asarray(arrays["outputs"], np.float64), scalars))


def _verdict(diagnosis: Diagnosis) -> dict[str, Any]:
    required = tuple(diagnosis.scalars)
    return {
        "certified": diagnosis.certified(required),
        "shortfalls": list(diagnosis.shortfalls(required)),
        "diagnostics": _numbers(diagnosis),
    }


def halved(outputs: np.ndarray) -> np.ndarray:
    """In half precision.

    Raises:
        ValueError: where a number is too large for it.
    """
    most, limit = float(np.abs(outputs).max()), float(np.finfo(np.float16).max)
    if not most <= limit:
        expected = f"at most {limit:g} by size, to be stored in half precision"
        raise checks.fail("outputs", expected, most)
    return outputs.astype(np.float16)


def _numbers(diagnosis: Diagnosis) -> dict[str, dict[str, float]]:
    parts: dict[str, Mixing] = {"f": diagnosis.f, **diagnosis.scalars}
    if diagnosis.weights is not None:
        parts["weights"] = diagnosis.weights
    return {
        name: {
            "r_hat_median": round(part.r_hat_quantile(0.5), 4),
            "r_hat_95": round(part.r_hat_quantile(0.95), 4),
            "r_hat_max": round(part.worst.r_hat, 4),
            "bulk_ess_min": round(part.worst.bulk_ess),
            "tail_ess_min": round(part.worst.tail_ess),
            "bulk_ess_median": round(float(np.median(part.bulk_ess))),
        }
        for name, part in parts.items()
    }


if __name__ == "__main__":
    main()
