"""The whole book as one PDF: ``python book/_ext/pdf_book.py [--size full|smoke]``.

The pages of the built site are put together into one document, which Chromium prints once. So
links between pages lead to pages of the PDF, the outline has every heading, and the tags for screen
readers stay whole, which they would not if a PDF a page were joined.
"""

import argparse
import copy
import html
import posixpath
import sys
from pathlib import Path

from bs4 import BeautifulSoup, Tag

import along
import browser
import build
import citing
import gates
import lean
import server
from execute import Project

ROOT = Path(__file__).resolve().parents[2]
PRINTED = "book/printed.html"
NOT_PRINTED = "script, button, .headerlink, .bnn-js-only, .bnn-cite, .bnn-run-line, .bnn-dark"
#: Attributes that name other elements of the page.
REFERENCES = ("id", "for", "aria-labelledby", "aria-describedby", "aria-controls")
STYLE = """
@page { size: A4; margin: 20mm 18mm 22mm; }
body { font-size: 10.5pt; }
.printed-chapter { break-before: page; }
.printed-title { font-size: 28pt; margin-top: 60mm; line-height: 1.2; }
.printed-contents { break-before: page; }
.printed-contents ol { list-style: none; padding: 0; line-height: 2; }
article img { max-width: 100%; height: auto; }
details.bnn-code > summary { display: none; }
figure, .admonition, .math { break-inside: avoid; }
"""
FOOTER = (
    '<div style="width: 100%; font-size: 8px; text-align: center"><span class="pageNumber"></span>'
    "</div>"
)


class PdfError(Exception):
    """The PDF could not be printed."""


def _slug(doc: str) -> str:
    return doc.rsplit("/", 1)[-1]


def _inside(address: str, page: str, slugs: dict[str, str], site: str) -> str:
    """A link of the site as one within the printed book, or to the site."""
    if address.startswith(("http:", "https:", "mailto:", "data:")):
        return address
    path, _, anchor = address.partition("#")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    if target not in slugs:
        return site + target + (f"#{anchor}" if anchor else "")
    return f"#{slugs[target]}--{anchor}" if anchor else f"#{slugs[target]}"


def chapter(page: str, article: Tag, slugs: dict[str, str], site: str) -> Tag:
    """A page's article, ready to stand among the others: anchors of its own, all unfolded."""
    article = copy.copy(article)
    for tag in article.select(NOT_PRINTED):
        tag.decompose()
    for source in article.select("details.bnn-code:not([open])"):
        source.decompose()
    for details in article.select("details"):
        details["open"] = ""
    for image in article.select("img"):
        image.attrs.pop("loading", None)
    for tag in article.find_all(True):
        for name in REFERENCES:
            if name in tag.attrs:
                words = str(tag[name]).split()
                tag[name] = " ".join(f"{slugs[page]}--{word}" for word in words)
        if tag.name == "a" and "href" in tag.attrs:
            tag["href"] = _inside(str(tag["href"]), page, slugs, site)
    article["id"] = slugs[page]
    article["class"] = "bd-article printed-chapter"
    return article


def _styles(pages: list[BeautifulSoup]) -> list[str]:
    """The style sheets of all pages, each once, in their order."""
    found = [str(tag["href"]) for page in pages for tag in page.select("link[rel=stylesheet]")]
    return list(dict.fromkeys(found))


def document(site: gates.Site, book: citing.Book) -> str:
    """The whole book as one HTML document."""
    built = [(doc, path) for doc, path in site.pages() if path.is_file()]
    slugs = {f"{doc}.html": _slug(doc) for doc, _ in built}
    chapters, entries, pages = [], [], []
    for doc, path in built:
        text, aside = lean.set_aside(path.read_text("utf8"))
        page = BeautifulSoup(text, "html.parser")
        article = page.select_one("article.bd-article")
        if article is None:
            raise PdfError(f"{doc}: has no article")
        printed = str(chapter(f"{doc}.html", article, slugs, book.url))
        chapters.append(lean.put_back(printed, aside))
        heading = article.select_one("h1")
        for link in heading.select(".headerlink") if heading else ():
            link.decompose()
        title = html.escape((heading.get_text() if heading else doc).strip())
        entries.append(f'<li><a href="#{_slug(doc)}">{lean.put_back(title, aside)}</a></li>')
        pages.append(page)
    styles = "".join(f'<link rel="stylesheet" href="{x}"/>' for x in _styles(pages))
    who = html.escape(", ".join(author.inverted for author in book.authors))
    return f"""<!DOCTYPE html>
<html lang="en-GB" data-theme="light" data-mode="light">
<head><meta charset="utf-8"/><title>{html.escape(book.title)}</title>{styles}
<style>{STYLE}</style></head>
<body><main>
<header><p class="printed-title">{html.escape(book.title)}</p><p>{who}</p>
<p>Version {book.version}, {book.date}. The book that runs: <a href="{book.url}">{book.url}</a></p>
<p>Text CC BY 4.0, code BSD 3-Clause.</p></header>
<nav class="printed-contents" aria-label="Contents"><ol>{"".join(entries)}</ol></nav>
{"".join(chapters)}
</main></body></html>
"""


def write(text: str, folder: Path, path: Path, executable: str) -> None:
    """Print a document that stands in a site's folder."""
    with server.serving(folder) as address, browser.chromium(executable) as chromium:
        page = chromium.new_page()
        page.set_default_timeout(300_000)
        missing: list[str] = []
        page.on("requestfailed", lambda request: missing.append(request.url))
        page.on("response", lambda got: missing.append(got.url) if got.status >= 400 else None)
        page.route(
            f"**/{PRINTED}",
            lambda route: route.fulfill(body=text, content_type="text/html; charset=utf-8"),
        )
        # Not "networkidle": half a second of parsing looks like it, and half a book is printed.
        page.goto(address + PRINTED, wait_until="load")
        page.evaluate("document.fonts.ready.then(() => true)")
        if missing:
            raise PdfError(f"could not load {missing[0]}")
        page.pdf(
            path=str(path), outline=True, tagged=True, print_background=True,
            prefer_css_page_size=True, display_header_footer=True,
            header_template="<span></span>", footer_template=FOOTER,
        )  # fmt: skip


def make(project: Project, html_folder: Path) -> Path:
    """Print the built site and say where the PDF is."""
    executable = browser.find_or_install(install=True)
    if executable is None:
        raise PdfError("no Chromium found to print with")
    book = citing.read_book(project.root / "CITATION.cff")
    path = along.target(project, ".pdf")
    text = document(gates.Site(project, html_folder), book)
    write(text, html_folder, path, executable)
    return path


def main(argv: list[str] | None = None) -> int | str:
    parser = argparse.ArgumentParser(description="Print the built site as one PDF.")
    parser.add_argument("--size", choices=("full", "smoke"), default="full")
    options = parser.parse_args(argv)
    project = Project(ROOT, options.size)
    full = project.size == "full"
    folder = build.published(project) if full else build.site_of(project).html
    if not (folder / "index.html").is_file():
        return "There is no built site to print: nox -s build makes it."
    try:
        path = make(project, folder)
    except PdfError as error:
        return str(error)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
