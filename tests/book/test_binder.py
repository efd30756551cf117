"""On Binder a page opens as a notebook, runs small, and says so."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import nbclient
import nbformat
import pytest

import environments
from execute import KERNEL_ENVIRONMENT

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


def outputs(folder, monkeypatch, size):
    """What two cells print in a kernel that starts as on Binder."""
    startup = folder / "profile_default/startup"
    startup.mkdir(parents=True)
    shutil.copy(BINDER / "small-size.py", startup)
    monkeypatch.setenv("IPYTHONDIR", str(folder))
    monkeypatch.setenv("BNNBOOK_SIZE", size)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    cells = [nbformat.v4.new_code_cell("print(1)"), nbformat.v4.new_code_cell("print(2)")]
    nb = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(nb, timeout=60, extra_arguments=["--log-level=40"]).execute()
    return ["".join(str(output) for output in cell.outputs) for cell in nb.cells]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("size", "said"), [("smoke", True), ("full", False)])
def test_the_first_output_alone_says_that_numbers_differ(tmp_path, monkeypatch, size, said):
    first, second = outputs(tmp_path, monkeypatch, size)
    assert ("numbers differ" in first) == said
    assert "numbers differ" not in second


@pytest.mark.parametrize(("given", "size"), [(None, "smoke"), ("full", "full")])
def test_the_size_is_small_unless_the_reader_says_otherwise(given, size):
    environment = {k: v for k, v in os.environ.items() if k != "BNNBOOK_SIZE"}
    environment |= {"BNNBOOK_SIZE": given} if given else {}
    command = ["bash", str(BINDER / "start"), "printenv", "BNNBOOK_SIZE"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == size


def test_a_page_s_kernel_frees_memory_as_on_binder():
    """So that the peaks which the build measures are those of a public machine's kernel."""
    names = ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    command = ["bash", str(BINDER / "start"), "printenv", *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [KERNEL_ENVIRONMENT[name] for name in names]


def test_the_start_and_the_build_step_can_be_executed():
    assert all(os.access(BINDER / name, os.X_OK) for name in ("start", "postBuild"))
    assert "set-default-viewer markdown myst" in (BINDER / "postBuild").read_text()


# ---- repo2docker --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.site
def test_repo2docker_finds_the_python_the_lock_and_the_steps():
    """Its own detection, without an engine: the image is the lock and nothing else."""
    python = environments.made("requirements/repo2docker.txt")
    command = [python.with_name("jupyter-repo2docker"), "--no-build", "--debug", ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-2000:]
    assert "Building conda environment for python=3.13" in said
    assert re.findall(r"pip install .*", said) == [
        'pip install --no-cache-dir -r "binder/requirements.txt"'
    ]
    assert "RUN ./binder/postBuild" in said
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in said
    base = list(python.parents[1].rglob("repo2docker/buildpacks/conda/environment.py-3.13*.lock"))
    assert base
    for lock in base:
        assert re.search(r"/jupyterlab-4\.", lock.read_text("utf8")), lock.name
