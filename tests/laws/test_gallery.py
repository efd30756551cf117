"""The failures of chapter 12's gallery are no accidents of their keys: other keys show them too."""

import warnings
from pathlib import Path

import jax
import matplotlib as mpl
import pytest

import execute

PROJECT = execute.Project(Path(__file__).parents[2])
PAGE = "book/what-to-trust"
LAST = "fig-trust-gallery"
DEVICES = 'jax.config.update("jax_num_cpu_devices", 2)'  # of no use once JAX has begun
LEAST = 0.8
"""The share of keys that must show a failure: the page says so."""
NUM_KEYS = {
    "too_flexible": 20,
    "ruled_by_prior": 20,
    "too_sure": 20,
    "harmonic": 20,
    "sure_between": 20,
    "at_home": 20,
    "one_mode": 20,
    "funnel": 20,
    "lopsided": 3,
    "too_narrow": 3,
    "copies": 3,
    "wrong_question": 3,
    "wrong_target": 3,
    "noisy": 2,
}
"""How many keys each is given; those that compile for every key get few."""


def _tags(cell):
    return cell.metadata.get("tags", [])


@pytest.fixture(scope="module")
def gallery():
    """What the page's cells define, up to the figure of the gallery; nothing is hung in it."""
    nb = execute.notebook(PROJECT, PAGE)
    first, *cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    assert DEVICES in first.source
    end = next(i for i, cell in enumerate(cells) if LAST in str(cell.metadata))
    shown = [cell.source for cell in cells[:end] if "remove-cell" not in _tags(cell)]
    defined = {}
    with (
        pytest.MonkeyPatch.context() as patch,
        mpl.rc_context(),
        warnings.catch_warnings(),
        jax.numpy_rank_promotion("allow"),
    ):
        patch.setenv("BNNBOOK_SIZE", "smoke")
        for source in (first.source.replace(DEVICES, ""), *shown):
            exec(compile(source, PAGE, "exec"), defined)
    return defined


def test_every_failure_with_a_key_is_tried(gallery):
    """Whoever adds one to the page adds it to the table above."""
    codes = {name: getattr(found, "__code__", None) for name, found in gallery.items()}
    here = {name: code for name, code in codes.items() if code and code.co_filename == PAGE}
    assert {n for n, code in here.items() if code.co_varnames[:1] == ("rng_key",)} == set(NUM_KEYS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bnnbook.mcmc.nuts.SamplerWarning")
@pytest.mark.parametrize("name", NUM_KEYS)
def test_a_failure_shows_under_other_keys(gallery, name):
    shown = []
    with jax.numpy_rank_promotion("allow"):
        for seed in range(1000, 1000 + NUM_KEYS[name]):
            silent, tells, *_ = gallery[name](jax.random.key(seed))
            shown.append((0 <= silent.ratio < 1 < tells.ratio, silent.value, tells.value))
    assert sum(ok for ok, *_ in shown) >= LEAST * len(shown), shown
