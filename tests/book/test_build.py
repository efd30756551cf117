"""The site is published whole or not at all, and not built again where nothing has changed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import browser
import build
import gates
import readme_figure
from execute import PageError, Project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose steps are quick stand-ins that count how often they run."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book/index.md").write_text("one")
    project = Project(tmp_path)
    project.kept.mkdir(parents=True)
    runs = []

    def sphinx(project):
        runs.append("sphinx")
        html = build.site_of(project).html
        html.mkdir(parents=True, exist_ok=True)
        (html / "index.html").write_text((project.root / "book/index.md").read_text())

    monkeypatch.setattr(build, "run_sphinx", sphinx)
    monkeypatch.setattr(build, "execute", lambda *args: runs.append("execute"))
    monkeypatch.setattr(build.node_tools, "ensure_modules", lambda: None)
    monkeypatch.setattr(gates, "check", lambda site, install: [])
    monkeypatch.setattr(build, "RUNS", runs, raising=False)
    return project


def shown(project):
    return (build.published(project) / "index.html").read_text()


def test_an_unchanged_book_is_not_built_again(project):
    build.build(project)
    assert build.RUNS == ["execute", "sphinx"]
    build.build(project)
    assert build.RUNS == ["execute", "sphinx"]
    build.build(project, force=True)
    assert build.RUNS == ["execute", "sphinx"] * 2


@pytest.mark.parametrize("change", ["a page", "the site", "a kept output", "a file is gone"])
def test_any_change_is_seen(project, change):
    build.build(project)
    if change == "a page":
        (project.root / "book/index.md").write_text("two")
    elif change == "the site":
        (build.published(project) / "index.html").write_text("tampered")
    elif change == "a kept output":
        (project.kept / "page.json").write_text("{}")
    else:
        (build.published(project) / "index.html").unlink()
    build.build(project)
    assert build.RUNS == ["execute", "sphinx"] * 2
    assert shown(project) == (project.root / "book/index.md").read_text()


def test_a_site_that_a_gate_objects_to_is_not_published(project, monkeypatch):
    build.build(project)
    (project.root / "book/index.md").write_text("two")
    monkeypatch.setattr(gates, "check", lambda site, install: ["book/index: no page was built"])
    with pytest.raises(build.BuildError, match="not fit to be read:\n\n  - book/index: no page"):
        build.build(project)
    assert shown(project) == "one"
    with pytest.raises(build.BuildError):
        build.build(project)


def test_a_page_that_fails_leaves_the_published_site(project, monkeypatch):
    build.build(project)
    (project.root / "book/index.md").write_text("two")

    def failing(*args):
        raise PageError("book/index.md, code cell 1 of 1")

    monkeypatch.setattr(build, "execute", failing)
    with pytest.raises(PageError):
        build.build(project)
    assert shown(project) == "one"


def test_a_kill_in_the_middle_of_the_swap_is_recovered_from(project):
    build.build(project)
    target = build.published(project)
    target.rename(target.with_name("html.old"))
    build.recover(project)
    assert shown(project) == "one"
    (target.with_name("html.new")).mkdir()
    (project.root / "book/index.md").write_text("two")
    build.build(project)
    assert shown(project) == "two"
    assert sorted(path.name for path in target.parent.iterdir()) == ["along", "full", "html"]


def test_the_small_site_is_never_published(project):
    small = Project(project.root, "smoke")
    small.kept.mkdir(parents=True)
    assert build.build(small) == build.site_of(small).html
    assert not build.published(project).exists()


def test_while_an_author_writes_nothing_is_published(project):
    assert build.build(project, checked=False) == build.site_of(project).html
    assert not build.published(project).exists()
    assert not build.is_current(project, build.site_of(project).html)


def test_a_warning_of_sphinx_is_an_error_that_quotes_it(tmp_path, monkeypatch):
    said = "reading sources... [50%]\nbook/index.md:7: WARNING: unknown role\n"
    done = subprocess.CompletedProcess([], 1, stdout=said)
    monkeypatch.setattr(build.subprocess, "run", lambda *args, **options: done)
    project = Project(tmp_path)
    project.output.mkdir(parents=True)
    with pytest.raises(build.BuildError, match=r"book/index\.md:7: WARNING: unknown role"):
        build.run_sphinx(project)
    # A page that Sphinx ran itself did not come from the keyed outputs.
    quiet = subprocess.CompletedProcess([], 0, stdout="Executing notebook using local CWD")
    monkeypatch.setattr(build.subprocess, "run", lambda *args, **options: quiet)
    with pytest.raises(build.BuildError, match="ran a page itself"):
        build.run_sphinx(project)


# ---- the machine ---------------------------------------------------------------------------------


def test_a_named_browser_that_is_not_there_is_none(monkeypatch):
    monkeypatch.setenv(browser.VARIABLE, "/nowhere/chromium")
    assert browser.find() is None


def test_an_old_python_gets_one_clear_line():
    probe = "import sys; sys.version_info = (3, 11, 7, 'final', 0); exec(open('noxfile.py').read())"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("This book needs Python 3.12 or newer (3.13 is best)")
    assert "but nox runs on 3.11.7" in line


# ---- the locks -----------------------------------------------------------------------------------


def pins(name):
    text = (ROOT / name).read_text("utf8")
    lines = [line for line in text.splitlines() if line and not line[0].isspace()]
    return {line.partition("==")[0]: line.partition(" \\")[0] for line in lines if "==" in line}


LOCKS = ("requirements/build.txt", "requirements/tests.txt", "binder/requirements.txt")


@pytest.mark.parametrize("name", [*LOCKS, "requirements/jupyterlab.txt", "requirements/uv.txt"])
def test_locks_hold_hashes_and_no_address(name):
    text = (ROOT / name).read_text("utf8")
    assert "://" not in text
    requirements = re.split(r"\n(?=\S)", text.strip())
    for block in requirements:
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("name", LOCKS[1:])
def test_tests_and_binder_run_the_versions_of_the_build(name):
    build_pins, other = pins(LOCKS[0]), pins(name)
    shared = build_pins.keys() & other.keys()
    assert len(shared) > 50
    assert {n: other[n] for n in shared} == {n: build_pins[n] for n in shared}


def test_npm_lock_holds_hashes_and_no_address():
    text = (ROOT / "book/_js/package-lock.json").read_text("utf8")
    assert '"resolved"' not in text
    assert text.count('"integrity"') > 5


# ---- the repository's front page -----------------------------------------------------------------


def test_the_readmes_figure_is_the_prefaces():
    """It is drawn by the preface's cells as they are; where it is not, nox -s readme renews it."""
    assert readme_figure.committed_key(ROOT / "docs") == readme_figure.key(Project(ROOT))
    for name in readme_figure.NAMES:
        assert f"docs/{name}" in (ROOT / "README.md").read_text("utf8")
