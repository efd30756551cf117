"""A page becomes a notebook and a script that hold its code, its text and nothing else."""

import re

import nbformat
import pytest
import yaml

import downloads
from small_site import EXECUTED, ROOT, SITE

ORIGIN = downloads.Origin("A Book", "1.2", "https://example.org/b/", "https://example.org/r")


@pytest.fixture
def page():
    new = nbformat.v4
    code = new.new_code_cell(
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nx = 7 % 4",
        metadata={"tags": ["remove-cell"], "mystnb": {"figure": {"name": "f"}}},
        outputs=[new.new_output("stream", text="3")],
    )
    plain = new.new_code_cell("if x:\n    !ls\n    print(x)")
    return new.new_notebook(
        cells=[new.new_markdown_cell("# One\n\nText."), code, plain], metadata={"source_map": [1]}
    )


def test_the_notebook_holds_source_and_text_and_no_outputs(page):
    nb = downloads.notebook(page, ORIGIN)
    nbformat.validate(nb)
    assert "A Book" in nb.cells[0].source
    assert [cell.source for cell in nb.cells[1:]] == [cell.source for cell in page.cells]
    assert nb.cells[2].outputs == []
    assert nb.cells[2].metadata == {"tags": ["remove-cell"], "jupyter": {"source_hidden": True}}
    assert nb.cells[3].metadata == {}
    assert nb.metadata.kernelspec.name == "python3"


def test_the_same_page_gives_the_same_file(page):
    once, again = (nbformat.writes(downloads.notebook(page, ORIGIN)) for _ in range(2))
    assert once == again


def test_the_script_is_python_with_text_as_comments(page):
    text = downloads.script(downloads.notebook(page, ORIGIN))
    compile(text, "page", "exec")
    assert "# %% [markdown]\n# # One\n#\n# Text." in text
    assert "# %matplotlib inline\nimport matplotlib.pyplot as plt\nx = 7 % 4" in text
    assert "    # !ls" in text
    assert text.endswith("# %%\nplt.show()\n")


def test_a_page_without_figures_shows_none(page):
    del page.cells[1]
    assert "plt.show" not in downloads.script(downloads.notebook(page, ORIGIN))


def test_all_notebooks_of_a_site_are_replaced_and_a_second_time_changes_nothing(page, tmp_path):
    path = tmp_path / "book/one.ipynb"
    path.parent.mkdir()
    nbformat.write(page, path)
    assert downloads.write_all(tmp_path, ORIGIN, tmp_path, {}) == ["book/one"]
    first = path.read_text(), path.with_suffix(".py").read_text()
    assert "https://example.org/b/book/one.html" in first[0]
    downloads.write_all(tmp_path, ORIGIN, tmp_path, {})
    assert (path.read_text(), path.with_suffix(".py").read_text()) == first


def test_what_a_page_includes_stands_in_its_notebook_and_no_macro_is_left(tmp_path):
    (tmp_path / "walk.py").write_text(
        "import os\n\n\nclass Walk:\n    def step(self):\n        return 1\n\n\ndef rest(): ...\n"
    )
    text = (
        r"Let $\E f$ be $\Expected$, given \data."
        "\n\n"
        "```{literalinclude} walk.py\n:pyobject: Walk.step\n:dedent:\n```\n\n"
        "```{literalinclude} walk.py\n:start-at: 'class'\n:end-at: step\n```\n"
    )
    shown = downloads.readable(text, tmp_path, {r"\E": r"\mathbb{E}", r"\data": r"\mathcal{D}"})
    assert shown == (
        r"Let $\mathbb{E} f$ be $\Expected$, given \mathcal{D}."
        "\n\n"
        "```python\ndef step(self):\n    return 1\n```\n\n"
        "```python\nclass Walk:\n    def step(self):\n```\n"
    )


@pytest.mark.site
def test_the_book_s_notebooks_show_all_code_and_formulas():
    macros = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))["sphinx"]["config"]
    macro = "|".join(re.escape(name) for name in macros["katex_macros"])
    found = sorted((SITE.html / "_sources").rglob("*.ipynb"))
    assert len(found) == len(EXECUTED)
    for path in found:
        text = "\n".join(
            cell.source
            for cell in nbformat.read(path, as_version=4).cells
            if cell.cell_type == "markdown"
        )
        assert not re.findall(rf"(?:{macro})(?![a-zA-Z])|literalinclude", text), path.name
