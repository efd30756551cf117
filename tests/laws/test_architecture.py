"""The package's floors: a module imports from its own room and from lower floors, and no import
does anything else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import execute

ROOT = Path(__file__).parents[2]
FLOORS = {
    "checks": 0,
    "references": 1,
    "sizes": 1,
    "datatree": 1,
    "pareto": 1,
    "datasets": 1,
    "models": 2,
    "exact": 3,
    "variational": 3,
    "mcmc": 3,
    "evidence": 4,
    "bnn": 5,
    "evaluation": 6,
    "certified": 7,
    "plotting": 7,
    "glue": 7,
}
PROJECT = execute.Project(ROOT)
MODULES = execute.modules(PROJECT)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def breaches(module: str, source: str) -> list[str]:
    """What a module imports from a room beside or above its own."""
    found = execute.imported(ast.parse(source), module, MODULES) - {"bnnbook", module}
    own = room(module)
    return sorted(name for name in found if room(name) != own and FLOORS[room(name)] >= FLOORS[own])


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"bnnbook"}))
def test_imports_go_down(module):
    assert breaches(module, MODULES[module].read_text("utf8")) == []


def test_an_import_that_goes_up_is_found():
    """Mutation: a model that plots, and closed forms that lean on a sampler's room."""
    assert breaches("bnnbook.models.linear", "from bnnbook.plotting import style") == [
        "bnnbook.plotting",
        "bnnbook.plotting.style",
    ]


@pytest.mark.parametrize("module", [m for m, p in MODULES.items() if p.name == "__init__.py"])
def test_init_files_hold_a_docstring_and_nothing_else(module):
    tree = ast.parse(MODULES[module].read_text("utf8"))
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


@pytest.mark.slow
def test_importing_the_package_changes_no_global_setting():
    """No font, no style, no precision, no seed, no download: an import imports."""
    probe = """
import sys, jax, matplotlib, numpy
def state():
    return dict(jax.config.values), dict(matplotlib.rcParams), numpy.random.get_state()[1].tolist()
import numpyro, arviz, sklearn, statsmodels.api
before = state()
import importlib, socket
socket.socket = None
for name in sys.argv[1:]:
    importlib.import_module(name)
assert state() == before
"""
    subprocess.run([sys.executable, "-c", probe, *sorted(MODULES)], check=True, cwd=ROOT)


def loads_numpyro_last(source: str) -> bool:
    """Whether parts of NumPyro are imported before NumPyro itself.

    Importing ArviZ registers NumPyro lazily; its parts, imported first, then lack each other.
    """
    nodes = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = [
        a.name if isinstance(n, ast.Import) else f"{n.module}." for n in nodes for a in n.names
    ]
    parts = [i for i, name in enumerate(names) if name.startswith("numpyro.")]
    return bool(parts) and "numpyro" not in names[: parts[0]]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_numpyro_is_loaded_before_its_parts(module):
    assert not loads_numpyro_last(MODULES[module].read_text("utf8"))


def test_parts_of_numpyro_that_come_first_are_found():
    """Mutation."""
    assert loads_numpyro_last("from numpyro.distributions import Normal\nimport numpyro")
    assert loads_numpyro_last("import numpyro.distributions as dist")
    assert not loads_numpyro_last("import numpyro\nimport numpyro.distributions as dist")
