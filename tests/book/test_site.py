"""The book's own small site, built by the session before: what its readers rely on.

The build has passed every gate already (it fails otherwise); here are the things that a gate for
any site can't know.
"""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from pybtex.database import parse_file

import citing
import downloads
import gates
import page_runs
from execute import code_cells, load_kept, notebook
from small_site import CHAPTERS, DOCS, EXECUTED, SITE

pytestmark = pytest.mark.site

RUN_NOTEBOOK = """
import sys, nbclient, nbformat
nbclient.NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=300).execute()
"""
BOOK = citing.read_book(SITE.project.root / "CITATION.cff")


@pytest.fixture(scope="module")
def pages():
    assert SITE.html.is_dir(), "nox -s tests builds the small site first"
    return dict(SITE.built())


@pytest.fixture(scope="module")
def opened(served):
    """A browser page and the address of the served site."""
    chromium, address = served
    return chromium.new_page(), address


def test_every_static_gate_passes():
    assert [finding for gate in gates.STATIC for finding in gate(SITE)] == []


@pytest.mark.parametrize("doc", CHAPTERS)
def test_a_chapter_has_all_its_parts(pages, doc):
    page = pages[doc]
    text = page.get_text()
    headings = " / ".join(tag.get_text() for tag in page.select("h2, h3, .rubric"))
    assert "What you will learn" in text
    assert "Reading time" in text or "reading time" in text
    for part in ("Diagnostics", "Summary", "Exercises", "What comes next", "Cite this chapter"):
        assert part.lower() in headings.lower(), part
    for level in ("Easy", "Medium", "Hard"):
        assert level.lower() in text.lower(), level
    exercises, solutions = page.select("div.exercise"), page.select("details.solution")
    assert len(exercises) == len(solutions) >= 3


@pytest.mark.parametrize("doc", EXECUTED)
def test_a_page_is_downloaded_as_a_notebook_that_holds_its_code(pages, doc):
    link = pages[doc].select_one("a[href$='.ipynb']")
    assert link is not None
    path = (SITE.html / f"{doc}.html").parent / link["href"]
    nb = nbformat.read(path, as_version=4)
    nbformat.validate(nb)
    assert code_cells(nb) == code_cells(notebook(SITE.project, doc))
    assert all(not cell.get("outputs") for cell in nb.cells)
    assert f"{doc}.html" in nb.cells[0].source


@pytest.mark.parametrize("doc", EXECUTED)
def test_a_page_is_downloaded_as_a_script_that_holds_its_code(pages, doc):
    link = pages[doc].select_one("a[href$='.py']")
    assert link is not None
    text = ((SITE.html / f"{doc}.html").parent / link["href"]).read_text("utf8")
    compile(text, doc, "exec")
    for cell in code_cells(notebook(SITE.project, doc)):
        assert downloads.MAGIC.sub(r"\1# \2", cell) in text


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_a_downloaded_page_runs_anywhere(tmp_path, suffix):
    """In an empty folder, with nothing of the book but its package."""
    source = SITE.html / f"_sources/book/bayes-theorem{suffix}"
    path = shutil.copy(source, tmp_path)
    run = [sys.executable, path]
    if suffix == ".ipynb":
        run = [sys.executable, "-c", RUN_NOTEBOOK, path]
    environment = {**os.environ, "BNNBOOK_SIZE": "smoke", "MPLBACKEND": "agg"}
    done = subprocess.run(
        run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("doc", EXECUTED)
def test_the_rocket_the_pencil_and_the_bug_lead_to_the_right_places(pages, doc):
    links = " ".join(a["href"] for a in pages[doc].select("a[href^=https]"))
    notebook = f"https://mybinder.org/v2/gh/bnnbook/bnnbook/main?urlpath=lab/tree/{doc}.md"
    # In the menu under the rocket, and at the page's end by one click.
    assert [a["href"] for a in pages[doc].select("a[href*='mybinder.org']")] == [notebook] * 2
    assert f"github.com/bnnbook/bnnbook/edit/main/{doc}.md" in links
    assert "github.com/bnnbook/bnnbook/issues/new" in links


@pytest.mark.parametrize("doc", EXECUTED)
def test_a_page_says_when_where_and_with_what_it_was_run(pages, doc):
    kept = load_kept(SITE.project, doc)
    digest = kept.key[: page_runs.DIGEST_LENGTH]
    line = pages[doc].select_one("article h1 + .bnn-run-line a")
    for said in (page_runs.when(kept.run), page_runs.duration(kept.seconds), digest):
        assert said in line.get_text()
    whole = pages[doc].select_one(line["href"])
    text = " ".join(whole.get_text().split())
    assert " ".join(kept.run["processor"].split()) in text
    for name, version in kept.run["versions"].items():
        assert f"{name} {version}" in text
    assert doc not in CHAPTERS or "held" in line.get_text()
    report = whole.select_one("a[href*='/issues/new']")["href"]
    (body,) = parse_qs(urlsplit(report).query)["body"]
    for said in (f"{BOOK.url}{doc}.html", f"Version: {BOOK.version}", digest):
        assert said in body


@pytest.mark.parametrize("doc", DOCS)
def test_every_page_takes_reports_with_its_address_and_version(pages, doc):
    links = [a["href"] for a in pages[doc].select("a.bnn-report, a.btn-source-issues-button")]
    assert len(links) == 2
    assert len(set(links)) == 1
    (body,) = parse_qs(urlsplit(links[0]).query)["body"]
    assert f"Page: {BOOK.url}{doc}.html\nVersion: {BOOK.version}\n" in body


@pytest.mark.parametrize("doc", CHAPTERS)
def test_a_chapter_is_cited_by_its_title_address_and_version(pages, doc):
    page, name, address = pages[doc], Path(doc).name, f"{BOOK.url}{doc}.html"
    title = page.select_one("meta[name=citation_title]")["content"]
    assert title in page.select_one("article h1").get_text()
    block = page.select_one(".bnn-cite")
    for said in (title, BOOK.title, BOOK.version, BOOK.year, address):
        assert said in block.get_text()
    files = [(SITE.html / "book" / a["href"]).resolve() for a in block.select("a[download]")]
    assert [path.name for path in files] == [f"{name}.{kind}" for kind in ("bib", "ris", "json")]
    bibtex, ris, csl = files
    (entry,) = parse_file(str(bibtex)).entries.values()
    assert (entry.fields["url"], entry.fields["version"]) == (address, BOOK.version)
    assert f"UR  - {address}" in ris.read_text("utf8")
    (item,) = json.loads(csl.read_text("utf8"))
    assert (item["title"], item["URL"], item["version"]) == (title, address, BOOK.version)
    data = json.loads(page.select_one("script[type='application/ld+json']").string)
    assert (data["@type"], data["name"], data["@id"]) == ("Chapter", title, address)
    assert page.select_one("link[rel=canonical]")["href"] == address
    assert page.select_one("meta[name=description]")["content"]


def test_pages_are_chained_by_previous_and_next(pages):
    docs = SITE.project.pages()
    for before, after in pairwise(docs):
        assert pages[before].select_one("a.right-next")["href"] == f"{Path(after).name}.html"
        assert pages[after].select_one("a.left-prev")["href"] == f"{Path(before).name}.html"


def test_code_is_hidden_and_shown_at_the_readers_wish(opened):
    page, address = opened
    page.goto(f"{address}book/linear-regression.html")
    shown = page.locator(".cell_input pre:visible").count()
    assert shown > 5
    page.get_by_role("button", name="Hide code").first.click()
    assert page.locator(".cell_input pre:visible").count() == 0
    page.reload()
    assert page.locator(".cell_input pre:visible").count() == 0
    page.get_by_role("button", name="Hide code").first.click()
    assert page.locator(".cell_input pre:visible").count() >= shown


def test_a_paragraph_that_glues_a_number_shows_it():
    """No glue role is left as text, no number is missing."""
    for doc, page in SITE.built():
        assert "glue:text" not in page.select_one("article").get_text(), doc
