"""Pages that are written from what the project knows of itself: runs, citations, data, package.

Four directives, each of which writes Markdown and has it parsed like the page around it, so that
nothing in the back matter is typed twice:

- ``execution-report``: the record of every page's run, as ``execute.py`` keeps it;
- ``citation-of``: the entry of the ``book`` or the ``package`` in ``CITATION.cff``, or of the
  ``data`` in the package's registry;
- ``api-of``: the modules of one room of the package with their public names, from the docstrings;
- ``changelog``: ``CHANGELOG.md`` without its title.
"""

import ast
import hashlib
import inspect
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import citing
import execute
import page_runs
import searching
from execute import Kept, Project

LENGTH = page_runs.DIGEST_LENGTH
ROOMS = (
    "datasets",
    "models",
    "exact",
    "variational",
    "mcmc",
    "evidence",
    "bnn",
    "evaluation",
    "plotting",
    "certified",
)
"""The rooms of the package; modules at its top are the room ``""``."""
_ROLE = re.compile(r":[\w:]+:`~?([^`]+)`")


# ---- the runs ------------------------------------------------------------------------------------


def digest_of_outputs(nb: NotebookNode) -> str:
    """The digest (SHA-256) of all outputs of a page, in their order."""
    outputs = [cell.get("outputs", []) for cell in nb.cells if cell.cell_type == "code"]
    text = json.dumps(outputs, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def runs(project: Project) -> dict[str, Kept]:
    """The kept run of every page that has one, in the order of the contents."""
    kept = {doc: execute.load_kept(project, doc) for doc in project.pages()}
    return {doc: page for doc, page in kept.items() if page is not None}


def _machine(run: dict[str, Any]) -> str:
    if not run:
        return "not recorded"
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    return f"{run['processor']}, {run['system']}; {versions}"


def report(pages: dict[str, Kept], size: str) -> str:
    """The execution report in Markdown: a paragraph, the machines, a table with a row a page."""
    if not pages:
        return "No page has been run yet."
    places = list(dict.fromkeys(_machine(page.run) for page in pages.values()))
    total = page_runs.duration(sum(page.seconds for page in pages.values()))
    small = "" if size == "full" else " at the small size, whose numbers differ from the book's"
    lines = [f"{len(pages)} pages were run{small}, in {total} of page time altogether.", ""]
    lines += [f"{number}. {place}." for number, place in enumerate(places, 1)]
    columns = "page | finished (UTC) | run time | memory | where | checks | inputs | outputs"
    lines += ["", f"| {columns} |", "|---|---|---:|---:|---:|---|---|---|"]
    for doc, page in pages.items():
        finished = page.run.get("when", "not recorded").replace("T", " ").partition("+")[0]
        finished = finished.replace("-", "\N{NON-BREAKING HYPHEN}")
        took = page_runs.duration(page.seconds).replace(" ", "\N{NO-BREAK SPACE}")
        peak = f"{page.run['peak_mib']}\N{NO-BREAK SPACE}MiB" if "peak_mib" in page.run else ""
        cells = [f"{{doc}}`/{doc}`", finished, took, peak or "not recorded"]
        cells += [str(places.index(_machine(page.run)) + 1), page_runs.held(page.nb) or "none"]
        cells += [f"`{page.key[:LENGTH]}`", f"`{digest_of_outputs(page.nb)[:LENGTH]}`"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# ---- citations -----------------------------------------------------------------------------------


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.strip()}\n```"


def whole_book(book: citing.Book, kind: str = "book") -> str:
    """The entry of the book, or of its package, as a sentence and in BibTeX."""
    package = kind == "package"
    title = f"bnnbook, the package of {book.title}" if package else book.title
    names = "; ".join(author.inverted for author in book.authors)
    sentence = f"{names} ({book.year}). *{title}*, version {book.version}. <{book.url}>"
    who = " and ".join(f"{{{author.inverted}}}" for author in book.authors)
    fields = {"author": who, "title": f"{{{title}}}", "year": book.year}
    fields |= {"version": book.version, "url": book.url} | ({"doi": book.doi} if book.doi else {})
    rows = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    key = f"bnnbook{book.year}" + ("package" if package else "")
    entry = f"@{'software' if package else 'book'}{{{key},\n{rows}\n}}"
    return f"% literal: the version\n{sentence}\n\n{_fenced(entry, 'bibtex')}"


def data_sources() -> str:
    """The data sets of the package's registry with the works to cite and their licences."""
    from bnnbook.datasets import registry

    lines = ["| data | cite | licence |", "|---|---|---|"]
    for name, entry in registry.ENTRIES.items():
        lines.append(f"| {name} | {{cite:t}}`{entry.citation}` | {entry.licence} |")
    return "\n".join(lines)


# ---- the package ---------------------------------------------------------------------------------


def public(path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """The public functions and classes that a module defines; ``main`` is for the command line."""
    for node in ast.parse(path.read_text("utf8")).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name == "main":
            continue
        if not node.name.startswith("_"):
            yield node


def summary(node: ast.AST) -> str:
    """The first paragraph of a docstring on one line, "" where there is none."""
    text = inspect.cleandoc(ast.get_docstring(node) or "")  # type: ignore[arg-type]
    return " ".join(text.partition("\n\n")[0].split())


def markdown(text: str) -> str:
    """A docstring's prose as Markdown: roles and double backquotes become code."""
    plain = _ROLE.sub(r"``\1``", text)
    parts = re.split(r"(``[^`]+``)", plain)
    escaped = [
        part if part.startswith("``") else re.sub(r"([\\*_`\[\]<>{}$|~])", r"\\\1", part)
        for part in parts
    ]
    return "".join(escaped)


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """A name as one calls it, without types and defaults; a class by its name."""
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}"
    named = node.args
    parts = [argument.arg for argument in [*named.posonlyargs, *named.args]]
    if named.vararg:
        parts.append(f"*{named.vararg.arg}")
    elif named.kwonlyargs:
        parts.append("*")
    parts += [argument.arg for argument in named.kwonlyargs]
    parts += [f"**{named.kwarg.arg}"] if named.kwarg else []
    return f"{node.name}({', '.join(parts)})"


def room_of(name: str) -> str:
    """The room of a module by its dotted name, "" for one at the top of the package."""
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or (len(parts) == 2 and parts[1] in ROOMS) else ""


def modules_of(project: Project, room: str) -> dict[str, Path]:
    """The modules of a room by dotted name; private ones and bare ``__init__`` files left out."""
    return {
        name: path
        for name, path in execute.modules(project).items()
        if room_of(name) == room and path.stem != "__init__" and not path.stem.startswith("_")
    }


def room(project: Project, name: str, repository: str) -> str:
    """One room in Markdown: each module's idea, and its public names with their first lines."""
    lines = []
    for module, path in modules_of(project, name).items():
        idea = summary(ast.parse(path.read_text("utf8")))
        source = f"{repository}/blob/main/{path.relative_to(project.root).as_posix()}"
        lines += [f"`{module}` ([source]({source}))", f": {markdown(idea)}", ""]
        for node in public(path):
            place = f"{source}#L{node.lineno}"
            lines += [f"  - [`{signature(node)}`]({place}): {markdown(summary(node))}"]
        lines.append("")
    return "\n".join(lines)


# ---- the directives ------------------------------------------------------------------------------


class _Written(SphinxDirective):
    """A directive whose body is Markdown that is written here."""

    def text(self, project: Project) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        # What is read here does not belong to the page's own file.
        self.env.note_reread()
        project = Project(Path(self.env.app.confdir), os.environ.get("BNNBOOK_SIZE", "full"))
        body = self.text(project).splitlines()
        # A list of every name or run would be an answer to any question that the search is asked.
        box = nodes.container(classes=[searching.NOT_SEARCHED])
        self.state.nested_parse(StringList(body, source=self.env.docname), self.content_offset, box)
        return [box]


class ExecutionReport(_Written):
    """The record of every page's run."""

    def text(self, project: Project) -> str:
        return report(runs(project), project.size)


class CitationOf(_Written):
    """An entry for bibliographies."""

    required_arguments = 1

    def text(self, project: Project) -> str:
        what = self.arguments[0]
        if what == "data":
            return data_sources()
        if what not in ("book", "package"):
            raise self.error(f"citation-of takes book, package or data, got {what!r}")
        return whole_book(citing.read_book(project.root / "CITATION.cff"), what)


class ApiOf(_Written):
    """The modules of a room."""

    optional_arguments = 1

    def text(self, project: Project) -> str:
        name = self.arguments[0] if self.arguments else ""
        if name not in ("", *ROOMS):
            raise self.error(f"api-of takes one of {ROOMS} or nothing, got {name!r}")
        config = self.env.app.config
        return room(project, name, config.html_theme_options.get("repository_url", ""))


class Changelog(_Written):
    """``CHANGELOG.md`` without its title, its headings turned to leads."""

    def text(self, project: Project) -> str:
        return changelog((project.root / "CHANGELOG.md").read_text("utf8"))


def changelog(text: str) -> str:
    """A changelog's versions as paragraphs with their lists below: a page holds one title only."""
    lines: Iterable[str] = text.splitlines()[1:]
    body = [f"*Version {line[3:]}*" if line.startswith("## ") else line for line in lines]
    return "\n".join(body).strip()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    for name, directive in (
        ("execution-report", ExecutionReport),
        ("citation-of", CitationOf),
        ("api-of", ApiOf),
        ("changelog", Changelog),
    ):
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
