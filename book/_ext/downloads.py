"""Every executed page as a notebook and as a script, to run at home.

Both hold the page's text and code as the book has them and no outputs: who downloads a page wants
to run it. A first cell says where the page comes from and what it needs. The script is in the
percent format, so that editors show its cells; what the book folds is folded in the notebook too.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from sphinx.config import Config
from sphinx.directives.code import LiteralIncludeReader

import macros

#: Tags of cells whose source the book hides.
HIDDEN = {"remove-cell", "remove-input", "hide-input", "hide-cell"}
#: Code of the package that a page shows.
INCLUDE = re.compile(
    r"^```\{literalinclude\} +(?P<path>\S+)\n(?P<options>(?::[\w-]+:.*\n)*)```$", re.M
)
OPTION = re.compile(r"^:([\w-]+): *['\"]?(.*?)['\"]?$", re.M)
#: Lines that only IPython understands.
MAGIC = re.compile(r"^(\s*)([%!].*)$", re.M)


@dataclass(frozen=True)
class Origin:
    """Where a page comes from.

    Attributes:
        title: the book's title.
        version: the book's version.
        address: the page's public address.
        repository: the address of the repository that holds the package.
    """

    title: str
    version: str
    address: str
    repository: str

    @property
    def note(self) -> str:
        """The first cell: source, licence, needs."""
        return (
            f"This page is from *{self.title}*, version {self.version}: <{self.address}>.\n"
            "Text CC BY 4.0, code BSD 3-Clause.\n\n"
            "It needs Python 3.12 or newer and the book's package:\n\n"
            f"    pip install git+{self.repository}\n\n"
            "With the environment variable `BNNBOOK_SIZE` set to `smoke` it runs in a minute or "
            "two, on less data and with fewer draws, so its numbers differ from the book's. "
            "References and computed numbers in the text stand as the book's source has them; "
            "JupyterLab with `jupyterlab-myst` sets them like the book."
        )


def readable(text: str, folder: Path, meanings: Mapping[str, str]) -> str:
    """A page's Markdown as Jupyter can show it: with the code that it includes, and no macros.

    Args:
        text: Of a cell.
        folder: From which the page names the files that it includes.
        meanings: Of KaTeX's macros.
    """

    def included(match: re.Match[str]) -> str:
        options: dict[str, Any] = dict(OPTION.findall(match["options"]))
        if "dedent" in options:
            options["dedent"] = int(options["dedent"]) if options["dedent"] else None
        reader = LiteralIncludeReader(str(folder / match["path"]), options, Config())
        return f"```python\n{reader.read()[0].rstrip()}\n```"

    return macros.spelt_out(INCLUDE.sub(included, text), meanings)


def _cell(cell: NotebookNode) -> NotebookNode:
    if cell.cell_type != "code":
        return nbformat.v4.new_markdown_cell(cell.source)
    tags = list(cell.metadata.get("tags", []))
    metadata: dict[str, Any] = {"tags": tags} if tags else {}
    if HIDDEN.intersection(tags):
        metadata["jupyter"] = {"source_hidden": True}
    return nbformat.v4.new_code_cell(cell.source, metadata=metadata)


def notebook(page: NotebookNode, origin: Origin) -> NotebookNode:
    """A page as a notebook without outputs, with a first cell that says where it comes from."""
    note = nbformat.v4.new_markdown_cell(origin.note)
    cells = [note, *map(_cell, page.cells)]
    # Cells are named by their place, so that the same page gives the same file.
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
    )


def _comment(text: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())


def _blocks(nb: NotebookNode) -> Iterator[str]:
    for cell in nb.cells:
        if cell.cell_type == "code":
            yield "# %%\n" + MAGIC.sub(r"\1# \2", cell.source)
        else:
            yield "# %% [markdown]\n" + _comment(cell.source)
    if any("pyplot" in cell.source for cell in nb.cells if cell.cell_type == "code"):
        yield "# %%\nplt.show()"


def script(nb: NotebookNode) -> str:
    """A notebook as a Python script in the percent format; figures are shown at its end."""
    return "\n\n".join(_blocks(nb)) + "\n"


def write(page: NotebookNode, origin: Origin, stem: Path) -> None:
    """Write ``stem.ipynb`` and ``stem.py``."""
    nb = notebook(page, origin)
    nbformat.validate(nb)
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".ipynb").write_text(nbformat.writes(nb) + "\n", "utf8")
    stem.with_suffix(".py").write_text(script(nb), "utf8")


def write_all(sources: Path, origin: Origin, root: Path, meanings: Mapping[str, str]) -> list[str]:
    """Replace the notebooks that MyST-NB left among a site's sources by ours.

    Args:
        sources: the site's folder ``_sources``.
        origin: of the book; ``address`` is the address of the site.
        root: the folder in which the pages were written.
        meanings: of KaTeX's macros.

    Returns:
        The pages that can be downloaded.
    """
    docs = []
    for path in sorted(sources.rglob("*.ipynb")):
        doc = path.relative_to(sources).with_suffix("").as_posix()
        own = Origin(origin.title, origin.version, f"{origin.address}{doc}.html", origin.repository)
        page = nbformat.read(path, as_version=4)
        if page.cells and page.cells[0].source.startswith("This page is from *"):
            page.cells = page.cells[1:]
        for cell in page.cells:
            if cell.cell_type == "markdown":
                cell.source = readable(cell.source, (root / doc).parent, meanings)
        write(page, own, path.with_suffix(""))
        docs.append(doc)
    return docs
