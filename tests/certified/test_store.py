"""The stored references are of the posterior that their recipe states, and of no other."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from bnnbook.bnn import nuts
from bnnbook.certified import recipes, run, store
from bnnbook.evaluation.agreement import floor_of
from bnnbook.models.bayesian_network import Network

NAMES = sorted(path.stem for path in store.FOLDER.glob("*.json"))
WITH_WEIGHTS = "motorcycle"
HALF = 2**-11
"""Relative rounding of half precision."""


@pytest.fixture(scope="module")
def stored():
    return {name: store.load(name) for name in NAMES}


def test_every_task_has_a_reference():
    assert sorted(recipes.RECIPES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_what_it_is(name, stored):
    found = stored[name]
    chains, draws = found.log_density.shape
    assert (chains, draws) == (found.record["num_chains"], found.record["num_draws_stored"])
    assert found.outputs.shape[:3] == (chains, draws, len(found.task.points))
    assert {"settings", "seed"} <= set(found.record["recipe"])
    assert {"jax", "numpyro"} <= set(found.record["versions"])
    assert found.certified == (not found.shortfalls)
    assert {"f", "log_density", "weights"} <= set(found.record["diagnostics"])
    size = sum(path.stat().st_size for path in store.FOLDER.glob(f"{name}.*"))
    assert size <= 2_000_000


def diagnosed_again(name, shift=0.0):
    """The diagnostics of the stored draws, one chain of f and of the density moved by some sds."""
    with np.load(store.FOLDER / f"{name}.npz") as stored_arrays:
        arrays = {key: stored_arrays[key] for key in stored_arrays.files}
    for part in ("outputs", "log_density"):
        array = arrays[part] = arrays[part].astype(np.float64)
        array[0] += shift * array[0].std(axis=0)
    return run.rediagnosed(arrays)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_diagnoses_what_is_stored(name, stored):
    said, found = stored[name].of_stored, diagnosed_again(name)
    assert (found["certified"], found["shortfalls"]) == (said["certified"], said["shortfalls"])
    assert found["diagnostics"].keys() == said["diagnostics"].keys()
    for part, numbers in said["diagnostics"].items():
        # Counts are rounded to whole ones, R̂ to four decimals.
        assert found["diagnostics"][part] == pytest.approx(numbers, rel=1e-3, abs=1e-4)
    # Mutation: one chain shifted.
    moved = diagnosed_again(name, 0.5)
    assert not moved["certified"]
    for part in ("f", "log_density"):
        assert moved["diagnostics"][part]["r_hat_max"] > said["diagnostics"][part]["r_hat_max"]


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_what_the_sampler_complains_of(name, stored):
    record, told = stored[name].record, " ".join(stored[name].complaints)
    depth = record["recipe"]["settings"]["max_tree_depth"]
    assert ("diverged" in told) == (record["divergences"] > 0)
    if record["gradients_per_draw"] == 2**depth - 1:  # of all, so of each
        total = record["num_chains"] * record["num_draws"]
        assert f"{total} of {total} trajectories stopped" in told


@pytest.mark.parametrize(("num_draws", "kept"), [(875, 500), (1500, 1000), (2000, 1000), (7, 9)])
def test_stored_draws_are_evenly_spaced(num_draws, kept):
    chosen = run.thinned(num_draws, kept)
    kept = min(kept, num_draws)
    assert len(np.unique(chosen)) == kept
    assert chosen[-1] == num_draws - 1
    even = np.arange(1, kept + 1) * num_draws / kept - 1
    assert np.abs(chosen - even).max() <= 0.5
    # Mutation: a whole stride, which keeps the last part of a run where the ratio is not whole.
    stride = num_draws - 1 - np.arange(kept)[::-1] * (num_draws // kept)
    assert (np.abs(stride - even).max() <= 0.5) == (num_draws % kept == 0)


def test_outputs_too_large_for_half_precision_are_refused():
    fine = np.array([1.0, -65504.0])
    np.testing.assert_array_equal(run.halved(fine), fine)
    for bad in (70_000.0, np.nan):
        with pytest.raises(ValueError, match="outputs must be at most 65504 by size"):
            run.halved(np.array([1.0, bad]))


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_those_of_the_likelihood(name, stored):
    found = stored[name]
    at_test, at_grid = found.at_test, found.at_grid
    assert at_test.dims == ("chain", "draw", "point", "parameter")
    assert at_test.shape[2] == len(found.task.x_test) == len(found.task.y_test)
    assert at_grid.shape[2] == found.task.recipe.grid
    assert float(at_test.sel(parameter="sd").min()) > 0
    if found.noise_sd is not None:
        np.testing.assert_allclose(at_test[2, 5, :, 1], found.noise_sd[2, 5], rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_halves_of_a_reference_are_near(name, stored):
    found = stored[name]
    thinned = found.at_test.values[:, ::4]
    assert floor_of(thinned).total_variation.mean() < 0.05


def test_log_density_and_f_come_again_from_stored_weights(stored):
    found = stored[WITH_WEIGHTS]
    at, drawn = found.weights_at, found.drawn
    density = drawn.log_density(found.task.data)
    # float32 sums over a hundred rows on another processor; the density varies by ten.
    np.testing.assert_allclose(density, found.log_density[:, at], atol=0.02)
    outputs = drawn.outputs(found.task.points)
    np.testing.assert_allclose(outputs, found.outputs[:, at], rtol=2 * HALF, atol=1e-3)
    # Mutation: a recipe with another prior.
    other = replace(found.task.recipe, weight_scale=(4.0, 2.1)).network(1)
    changed = replace(found, task=replace(found.task, network=other)).drawn
    assert not np.allclose(changed.log_density(found.task.data), found.log_density[:, at], atol=1)


NUM_CONTINUED = 48


def continued(found: store.Stored, network: Network) -> dict[str, np.ndarray]:
    """Where short chains from some of the stored weights end, by the density of a network."""
    data = network.data(found.task.x_train, found.task.y_train)
    flat = found.weights.reshape(-1, found.weights.shape[-1])
    starts = flat[:: len(flat) // NUM_CONTINUED][:NUM_CONTINUED]
    settings = nuts.Settings(0, 1, NUM_CONTINUED, max_tree_depth=9, chain_method="vectorised")
    step_size = min(found.record["step_size"])
    key = jax.random.key(8)
    state = nuts.start(key, network, data, settings, vectors=starts, step_size=step_size)
    _, ended = nuts.advance(network, data, state, settings, 6)
    last = ended.vectors[:, -1:]
    drawn = nuts.fitted(network, nuts.Run(last, {}), None, settings, 0.0)
    return {
        "log_density": replace(drawn, network=found.task.network).log_density(data)[:, 0],
        "f": drawn.outputs(found.task.points)[:, 0, ::13].reshape(NUM_CONTINUED, -1),
    }


def z_scores(found: store.Stored, ended: dict[str, np.ndarray]) -> np.ndarray:
    """How many standard errors the ends' means are off the reference's, which has many draws."""
    expected = {"log_density": found.log_density, "f": found.outputs[:, :, ::13]}
    scores = []
    for name, values in ended.items():
        draws = expected[name].astype(np.float64).reshape(-1, *values.shape[1:])
        error = draws.std(axis=0) / NUM_CONTINUED**0.5
        scores.append(np.atleast_1d((values.mean(axis=0) - draws.mean(axis=0)) / error))
    return np.abs(np.concatenate(scores))


@pytest.mark.slow
def test_short_chains_from_stored_weights_stay_in_the_posterior(stored):
    found = stored[WITH_WEIGHTS]
    # Starts are draws of the posterior, so ends are, however short the chains: 4 standard errors.
    assert (z_scores(found, continued(found, found.task.network)) < 4).all()
    # Mutation: the prior scale of the output weights, halved.
    other = replace(found.task.recipe, weight_scale=(4.0, 1.0)).network(1)
    assert (z_scores(found, continued(found, other)) > 4).any()


@pytest.fixture
def copied(tmp_path):
    for path in store.FOLDER.glob("diabetes.*"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_a_changed_file_is_refused(copied):
    path = copied / "diabetes.npz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(store.StaleReferenceError, match="is not the file that its run wrote"):
        store.load("diabetes", copied)


def test_a_changed_recipe_is_refused(copied, monkeypatch):
    changed = replace(recipes.RECIPES["diabetes"], weight_scale=(1.0, 1.1))
    monkeypatch.setitem(recipes.RECIPES, "diabetes", changed)
    with pytest.raises(store.StaleReferenceError, match="nox -s references -- diabetes"):
        store.load("diabetes", copied)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(store.StaleReferenceError, match="the reference concrete is not stored"):
        store.load("concrete", tmp_path)
    with pytest.raises(ValueError, match="name must be one of 'motorcycle', 'diabetes'"):
        store.load("boston")


def test_a_reference_without_its_record_is_refused(copied):
    (copied / "diabetes.json").unlink()
    with pytest.raises(store.StaleReferenceError, match="is not stored, no diabetes"):
        store.load("diabetes", copied)


def test_a_longer_run_keeps_the_digest_and_another_seed_does_not(monkeypatch):
    before, recipe = recipes.task("diabetes").digest, recipes.RECIPES["diabetes"]
    longer = replace(recipe, settings=recipe.settings._replace(num_samples=9000))
    for changed, same in ((longer, True), (replace(recipe, seed=2), False)):
        monkeypatch.setitem(recipes.RECIPES, "diabetes", changed)
        assert (recipes.task("diabetes").digest == before) == same


def test_a_run_that_was_stopped_goes_on_and_is_stored(tmp_path, monkeypatch, capsys):
    """Two blocks in one go, and in two: the same draws, down to the last bit."""
    small = nuts.Settings(6, 10, 2, max_tree_depth=3)
    recipe = replace(recipes.RECIPES["diabetes"], settings=small, draws_kept=5, weights_kept=2)
    monkeypatch.setitem(recipes.RECIPES, "diabetes", recipe)
    monkeypatch.setattr(run, "BLOCK", 8)
    what = recipes.task("diabetes")
    whole, _, done = run.sample(what, tmp_path / "whole")
    assert done == 10
    stopped = run.sample(what, tmp_path / "parts", minutes=1e-9)
    assert stopped[2] == 2
    parts, seconds, _ = run.sample(what, tmp_path / "parts")
    assert "going on after 1 blocks" in capsys.readouterr().out
    np.testing.assert_array_equal(parts.vectors, whole.vectors)
    run.write(what, parts, seconds, tmp_path)
    found = store.load("diabetes", tmp_path)
    assert not found.certified
    assert "2 chains, at least 4 are needed" in found.shortfalls
    assert found.weights.shape == (2, 2, what.network.num_parameters)
    np.testing.assert_array_equal(found.weights[:, -1], whole.vectors[:, -1])
    record = json.loads((tmp_path / "diabetes.json").read_text("utf8"))
    assert record["num_draws"] == 10
    assert record["num_draws_stored"] == 5
    assert record["complaints"] == nuts.complaints(parts.stats, small)
    assert found.of_stored["diagnostics"].keys() == {"f", "log_density", "noise_sd"}
