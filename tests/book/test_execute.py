"""A page is run exactly when something that its code can see has changed."""

import json
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

import execute
from execute import PageError, Project

HEADER = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# A page

"""


def page(*cells: str) -> str:
    return HEADER + "\n\n".join(f"```{{code-cell}} ipython3\n{cell}\n```" for cell in cells)


FILES = {
    "_toc.yml": "format: jb-book\nroot: book/one\nchapters: [{file: book/two}]\n",
    "requirements/build.txt": "nothing==1\n",
    "src/toy/__init__.py": "",
    "src/toy/base.py": '"""Base."""\n\n\ndef double(x):\n    """Twice."""\n    return 2 * x\n',
    "src/toy/one.py": "from .base import double\n\n\ndef f(x):\n    return double(x) + 1\n",
    "src/toy/two.py": "from pathlib import Path\nimport tomllib\n\n\ndef g(key):\n"
    "    path = Path(__file__).parent / 'values.toml'\n"
    "    return tomllib.loads(path.read_text())[key]['value']\n",
    "src/toy/values.toml": "[seen]\nvalue = 1\n[unseen]\nvalue = 2\n",
    "book/one.md": page("from toy import one\none.f(3)"),
    "book/two.md": page("from toy.two import g\ng('seen')"),
}


def make_project(root, monkeypatch) -> Project:
    """A book of two pages over a package of three modules, one of which reads a data file."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    return Project(root, package="toy")


@pytest.fixture
def project(tmp_path, monkeypatch):
    return make_project(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of one run of both pages, made once."""
    root = tmp_path_factory.mktemp("executed")
    with pytest.MonkeyPatch.context() as patch:
        assert set(execute.execute(make_project(root, patch))) == {"book/one", "book/two"}
    return root / "_build"


@pytest.fixture
def executed(project, outputs):
    """The same book with its pages run."""
    shutil.copytree(outputs, project.root / "_build")
    return project


def edit(project: Project, name: str, old: str, new: str) -> None:
    path = project.root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def keys(project: Project) -> dict[str, str]:
    return {d: execute.page_key(project, execute.notebook(project, d))[0] for d in project.pages()}


def output(project: Project, doc: str) -> str:
    """What Sphinx would show: the output in jupyter-cache, not our own store."""
    from jupyter_cache import get_cache

    cache = get_cache(str(project.jupyter_cache))
    _, merged = cache.merge_match_into_notebook(execute.notebook(project, doc))
    cache.db.dispose()
    outputs = [out for cell in merged.cells for out in cell.get("outputs", [])]
    return outputs[-1]["data"]["text/plain"]


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("src/toy/one.py", "+ 1", "+ 10", {"book/one"}),
        ("src/toy/base.py", "2 * x", "3 * x", {"book/one"}),
        ("src/toy/two.py", "['value']", "['value'] * 1", {"book/two"}),
        ("src/toy/__init__.py", "", "VERSION = 2\n", {"book/one", "book/two"}),
        ("src/toy/base.py", "Twice.", "Two times.", set()),
        ("src/toy/one.py", "return", "# why\n    return", set()),
        ("src/toy/values.toml", "value = 1", "value = 7", {"book/two"}),
        ("src/toy/values.toml", "value = 2", "value = 7", set()),
        ("requirements/build.txt", "==1", "==2", {"book/one", "book/two"}),
        ("book/one.md", "f(3)", "f(4)", {"book/one"}),
        ("book/one.md", "# A page", "# A better page", set()),
    ],
)
def test_a_key_changes_exactly_for_the_pages_that_can_see_a_change(
    project, name, old, new, changed
):
    before = keys(project)
    edit(project, name, old, new)
    after = keys(project)
    assert {doc for doc in before if before[doc] != after[doc]} == changed


def test_the_size_and_an_indirect_import_are_part_of_the_key(project):
    small = Project(project.root, "smoke", project.package)
    assert keys(project).keys() == keys(small).keys()
    assert not set(keys(project).values()) & set(keys(small).values())
    nb = execute.notebook(project, "book/one")
    assert execute.page_key(project, nb)[1] == ["toy", "toy.base", "toy.one"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells no child's peak memory")
def test_each_page_s_own_peak_memory_is_kept(project):
    """The first page takes a quarter of a GiB more than the second, which runs after it."""
    edit(project, "book/one.md", "one.f(3)", "len(b'x' * 2**28) and one.f(3)")
    execute.execute(project, jobs=1)
    one, two = (execute.load_kept(project, doc).run["peak_mib"] for doc in ("book/one", "book/two"))
    assert 20 < two < 250
    assert 256 - 20 < one - two < 256 + 20


@pytest.mark.slow
def test_no_stale_output_survives(executed):
    project = executed
    assert execute.execute(project) == []
    assert (output(project, "book/one"), output(project, "book/two")) == ("7", "1")
    edit(project, "src/toy/base.py", "2 * x", "5 * x")
    assert execute.execute(project) == ["book/one"]
    assert (output(project, "book/one"), output(project, "book/two")) == ("16", "1")
    # Going back is a change too: the first run's output was not kept beside the second's.
    edit(project, "src/toy/base.py", "5 * x", "2 * x")
    assert execute.execute(project) == ["book/one"]
    assert output(project, "book/one") == "7"
    # Mutation: with a key that is blind to the package, the stale output would be shown.
    kept = execute.load_kept(project, "book/one")
    edit(project, "src/toy/base.py", "2 * x", "9 * x")
    blind = execute.Kept(kept.nb, keys(project)["book/one"], kept.seconds)
    execute.save_kept(project, "book/one", blind)
    assert execute.execute(project) == []
    assert output(project, "book/one") == "7"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["half", "not json", "missing", "cache gone"])
def test_a_build_recovers_from_a_kill(executed, damage):
    project = executed
    kept = project.kept / "book/one.json"
    whole = kept.read_text()
    if damage == "half":
        kept.write_text(whole[: len(whole) // 2])
    elif damage == "not json":
        kept.write_bytes(b"\x00\xff")
    elif damage == "missing":
        kept.unlink()
    else:
        shutil.rmtree(project.jupyter_cache)
    again = execute.execute(project)
    assert again == ([] if damage == "cache gone" else ["book/one"])
    assert output(project, "book/one") == "7"


@pytest.mark.slow
def test_a_failing_cell_is_named_and_the_other_pages_are_kept(project):
    edit(project, "src/toy/one.py", "double(x) + 1", "double(x) / 0")
    with pytest.raises(PageError) as failure:
        execute.execute(project)
    message = str(failure.value)
    assert "book/one.md, code cell 1 of 1" in message
    assert "one.f(3)" in message
    assert "ZeroDivisionError" in message
    assert execute.load_kept(project, "book/one") is None
    assert output(project, "book/two") == "1"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the other Python is a shell script")
def test_a_page_runs_in_the_environment_that_is_named(project, tmp_path, monkeypatch):
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nMARK=other exec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv(execute.KERNEL, str(other))
    (project.root / "_toc.yml").write_text("format: jb-book\nroot: book/one\n")
    (project.root / "book/one.md").write_text(page("import os\nos.environ['MARK']"))
    execute.execute(project)
    assert output(project, "book/one") == "'other'"


def test_a_page_that_writes_to_standard_error_fails(project):
    path = project.root / "book/one.md"
    (project.root / "_toc.yml").write_text("format: jb-book\nroot: book/one\n")
    path.write_text(page("1 + 1", "import warnings\nwarnings.warn('beware')"))
    with pytest.raises(PageError, match=r"book/one\.md, code cell 2 of 2") as failure:
        execute.execute(project)
    assert "wrote to standard error" in str(failure.value)
    assert "beware" in str(failure.value)


@pytest.mark.slow
def test_a_kept_program_that_was_cut_short_is_compiled_again(project):
    (project.root / "_toc.yml").write_text("format: jb-book\nroot: book/one\n")
    triple = page("import jax\nfloat(jax.jit(lambda x: 3 * x)(2))")
    (project.root / "book/one.md").write_text(triple)
    execute.execute(project)
    programs = list((project.root / "_build/jax").glob("*-cache"))
    assert programs
    for path in programs:
        path.write_bytes(path.read_bytes()[:-9])
    execute.execute(project, force=True)
    assert output(project, "book/one") == "6.0"


def test_the_longest_page_starts_first(project, monkeypatch):
    started = []

    class Pool:
        def __init__(self, jobs, **options):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return False

        def submit(self, run, project, doc, nb):
            from concurrent.futures import Future

            started.append(doc)
            future = Future()
            future.set_result((nb, 1.0, 300))
            return future

    monkeypatch.setattr(execute, "ProcessPoolExecutor", Pool)
    nb = nbformat.v4.new_notebook()
    new = (nb, "k", float("inf"))
    stale = {"short": (nb, "k", 1.0), "new": new, "long": (nb, "k", 9.0), "newer": new}
    execute._run_all(project, stale, 2)
    assert started == ["newer", "new", "long", "short"]


def test_a_page_is_expected_to_take_as_long_as_last_time_or_at_the_other_size(project):
    small, nb = Project(project.root, "smoke", "toy"), nbformat.v4.new_notebook()
    assert execute._expected_seconds(project, "book/one") == float("inf")
    execute.save_kept(small, "book/one", execute.Kept(nb, "k", 3.0, {}))
    assert execute._expected_seconds(project, "book/one") == 3.0
    execute.save_kept(project, "book/one", execute.Kept(nb, "k", 7.0, {}))
    assert execute._expected_seconds(project, "book/one") == 7.0
    assert execute._expected_seconds(small, "book/one") == 3.0


def test_every_data_file_of_the_package_is_named_by_a_module():
    """A file that no module names would not be part of any page's key."""
    project = Project(Path(__file__).parents[2])
    trees = [execute._parse(p.read_text("utf8")) for p in execute.modules(project).values()]
    named = set(execute.data_digests(project, trees))
    present = {
        path.relative_to(project.source).as_posix()
        for path in project.source.rglob("*")
        if path.is_file() and path.suffix not in execute.NOT_DATA
    }
    assert present == named


def test_the_package_imports_nothing_by_name_at_run_time():
    """The keys follow import statements; a module imported by a string would escape them."""
    project = Project(Path(__file__).parents[2])
    for name, path in execute.modules(project).items():
        text = path.read_text("utf8")
        assert "import_module" not in text, name
        assert "__import__" not in text, name


def test_kept_pages_are_plain_json(project):
    nb = execute.notebook(project, "book/one")
    execute.save_kept(project, "book/one", execute.Kept(nb, "key", 1.5))
    record = json.loads((project.kept / "book/one.json").read_text())
    assert (record["key"], record["seconds"]) == ("key", 1.5)
    assert execute.load_kept(project, "book/one").nb == nb
