"""JupyterLab in Binder's environment opens the pages as notebooks and runs one, in a browser."""

import json
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager

import jupytext
import pytest
import yaml

import browser
import environments
from execute import code_cells, notebook
from small_site import DOCS, EXECUTED, PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.site]

LOCK = "requirements/jupyterlab.txt"
USED = ("_config.yml", "README.md", "pyproject.toml", "LICENSE", "LICENSE-TEXT")
USED += ("binder", "book", "src")
FOREIGN = ("JUPYTER", "IPYTHON", "XDG_", "BNNBOOK", "PYTHON", "MPL", "PIP_")

IDLE = "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
DONE = f"""() => {{
    const cells = [...jupyterapp.shell.currentWidget.content.model.cells];
    const failed = ({{outputs: o}}) => o?.length && o.get(o.length - 1).type === "error";
    const ran = cell => cell.type !== "code" || cell.executionCount;
    return {IDLE} && (cells.some(failed) || cells.every(ran));
}}"""
FACTORIES = "docs => docs.map(doc => jupyterapp.docRegistry.defaultWidgetFactory(`${doc}.md`).name)"


@pytest.fixture(scope="module")
def binder(tmp_path_factory):
    """A copy of the repository in a home of its own after the build's step, and what it sees."""
    home = tmp_path_factory.mktemp("binder")
    for name in USED:
        source, copy = PROJECT.root / name, home / "repository" / name
        copy.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("node_modules"))
        else:
            shutil.copy(source, copy)
    programs = environments.made(LOCK).parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    environment |= {"HOME": str(home), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    # What builds the package is in the lock: nothing is fetched.
    environment |= {"PIP_NO_INDEX": "1"}
    subprocess.run(["binder/postBuild"], cwd=home / "repository", env=environment, check=True)
    return home / "repository", environment


def test_no_macro_is_left_in_a_formula_and_no_code_is_changed(binder):
    repository, _ = binder
    config = yaml.safe_load((PROJECT.root / "_config.yml").read_text("utf8"))
    macros = "|".join(map(re.escape, config["sphinx"]["config"]["katex_macros"]))
    for doc in DOCS:
        before, after = (
            jupytext.read(root / f"{doc}.md").cells for root in (PROJECT.root, repository)
        )
        assert len(before) == len(after)
        for cell, other in zip(before, after, strict=True):
            if cell.cell_type == "code":
                assert cell.source == other.source
            else:
                assert not re.findall(rf"(?:{macros})(?![a-zA-Z])", other.source), doc


@contextmanager
def serving(repository, environment, folder):
    """JupyterLab started as on Binder, at the address that it gives."""
    command = ["binder/start", "jupyter", "lab", "--no-browser", "--allow-root", "--port=0"]
    command += ["--IdentityProvider.token=secret", "--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    environment = {**environment, "JUPYTER_RUNTIME_DIR": str(folder)}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            command, cwd=repository, env=environment, stdout=said, stderr=said
        )
    try:
        deadline = time.monotonic() + 60
        while not (records := list(folder.glob("jpserver-*.json"))):
            assert process.poll() is None, (folder / "said").read_text("utf8")
            assert time.monotonic() < deadline, (folder / "said").read_text("utf8")
            time.sleep(0.1)
        yield json.loads(records[0].read_text("utf8"))["url"]
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def opened(address, doc="book/bayes-theorem"):
    """A browser's page in which JupyterLab shows a page of the book, as the rocket opens it."""
    path = browser.find_or_install(install=True)
    assert path, "these checks need a Chromium"
    with browser.chromium(path) as chromium:
        page = chromium.new_page()
        page.set_default_timeout(90_000)
        page.goto(f"{address}lab/tree/{doc}.md?token=secret")
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context?.isReady")
        yield page


def pins(lock):
    """The packages and versions that a lock names."""
    text = (PROJECT.root / lock).read_text("utf8")
    return set(re.findall(r"^[\w.-]+==\S+", text, re.MULTILINE))


def test_the_lock_is_binder_s_with_jupyterlab_added():
    assert pins("binder/requirements.txt") <= pins(LOCK)


def test_every_page_opens_as_a_notebook_and_one_is_run_top_to_bottom(binder, tmp_path):
    with serving(*binder, tmp_path) as address, opened(address) as page:
        assert set(page.evaluate(FACTORIES, EXECUTED)) == {"Jupytext Notebook"}
        for doc in EXECUTED:
            answer = page.request.get(f"{address}api/contents/{doc}.md?type=notebook&token=secret")
            nb = answer.json()["content"]
            assert nb["metadata"]["kernelspec"]["name"] == "python3", doc
            sources = [cell["source"] for cell in nb["cells"] if cell["cell_type"] == "code"]
            assert len(sources) == len(code_cells(notebook(PROJECT, doc))), doc

        assert page.locator(".jp-NotebookPanel .jp-CodeCell").count() > 0
        # Two runs that were asked for before the kernel was idle never ended.
        page.wait_for_function(f"() => {IDLE}")
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
        page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
        page.wait_for_function(DONE, polling=500, timeout=240_000)
        nb = page.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON()")
        cells = [cell for cell in nb["cells"] if cell["cell_type"] == "code"]
        outputs = [output for cell in cells for output in cell["outputs"]]
        assert [output for output in outputs if output["output_type"] == "error"] == []
        assert all(cell["execution_count"] for cell in cells)
        assert "numbers differ" in str(cells[0]["outputs"])
        assert page.locator(".jp-OutputArea-output img:visible").count() > 0


def test_without_the_step_s_setting_a_page_opens_as_plain_text(binder, tmp_path):
    """The mutation: a configuration into which the build's step has written nothing."""
    repository, environment = binder
    environment = {**environment, "JUPYTER_CONFIG_DIR": str(tmp_path / "empty")}
    with serving(repository, environment, tmp_path) as address, opened(address) as page:
        assert set(page.evaluate(FACTORIES, EXECUTED)) == {"Editor"}
        assert page.locator(".jp-NotebookPanel").count() == 0
