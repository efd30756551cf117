"""How to cite a chapter: a block for readers, files for their tools, metadata for crawlers.

All of it comes from ``CITATION.cff`` at the top of the repository and from the page's own title,
so that no entry can disagree with another. Authors may be persons or groups, as in CFF 1.2.
"""

import datetime
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx

LICENCES = {"CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/"}
BIBTEX_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
#: BibTeX's own names of the months, which each style writes in its way.
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
BIBTEX_SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"}
#: The formats of a chapter's files, and their suffixes.
FORMATS = {"BibTeX": "bib", "RIS": "ris", "CSL-JSON": "json"}


class CitationError(ValueError):
    """``CITATION.cff`` lacks something, or holds something unreadable."""


@dataclass(frozen=True)
class Author:
    """A person (``family`` and ``given``) or a group (``family`` alone)."""

    family: str
    given: str = ""
    orcid: str = ""

    @property
    def is_group(self) -> bool:
        """Whether the name belongs to a group."""
        return not self.given

    @property
    def inverted(self) -> str:
        """The name as bibliographies sort it: "Family, Given", or the group's name."""
        return self.family if self.is_group else f"{self.family}, {self.given}"

    @property
    def schema(self) -> dict[str, str]:
        """The author for schema.org."""
        if self.is_group:
            return {"@type": "Organization", "name": self.family}
        person = {"@type": "Person", "name": f"{self.given} {self.family}"}
        return person | ({"@id": self.orcid} if self.orcid else {})

    @property
    def csl(self) -> dict[str, str]:
        """The author for CSL-JSON."""
        if self.is_group:
            return {"literal": self.family}
        return {"family": self.family, "given": self.given}


@dataclass(frozen=True)
class Book:
    """What ``CITATION.cff`` says of the book."""

    title: str
    authors: tuple[Author, ...]
    version: str
    date: str
    licence: str
    url: str
    doi: str = ""

    @property
    def year(self) -> str:
        """The year of the release."""
        return self.date[:4]


@dataclass(frozen=True)
class Chapter:
    """One chapter of a book, as a bibliography sees it."""

    book: Book
    title: str
    number: str
    slug: str
    url: str
    description: str = ""

    @property
    def key(self) -> str:
        """The entry's key: first author, year and page, as in ``smith2026bayestheorem``."""
        first = re.sub(r"^the ", "", self.book.authors[0].family.lower())
        return (
            re.sub(r"[^a-z0-9]", "", first) + self.book.year + re.sub(r"[^a-z0-9]", "", self.slug)
        )


def _author(entry: dict[str, Any]) -> Author:
    if "name" in entry:
        return Author(family=entry["name"])
    names = (entry.get("name-particle", ""), entry["family-names"])
    return Author(" ".join(filter(None, names)), entry["given-names"], entry.get("orcid", ""))


def read_book(path: Path) -> Book:
    """Read ``CITATION.cff``; its ``preferred-citation`` stands before the entry of the software.

    Raises:
        CitationError: If a field is missing; the message names it.
    """
    top = yaml.safe_load(path.read_text("utf8"))
    entry = top | top.get("preferred-citation", {})
    try:
        return Book(
            title=entry["title"],
            authors=tuple(_author(author) for author in entry["authors"]),
            version=str(entry["version"]),
            date=str(entry["date-released"]),
            licence=entry["license"],
            url=entry["url"].rstrip("/") + "/",
            doi=entry.get("doi", ""),
        )
    except KeyError as error:
        raise CitationError(f"{path.name} has no {error.args[0]!r}") from error


def plain_title(title: str) -> str:
    """A page's title without markup and chapter number."""
    text = html.unescape(re.sub(r"<[^>]+>", "", title)).strip()
    return re.sub(r"^\d+(\.\d+)*\.?\s+", "", text)


def written_date(date: str) -> str:
    """The day of a date or time in ISO's form as people write it: 5 March 2026."""
    day = datetime.datetime.fromisoformat(date)
    return f"{day.day} {day:%B %Y}"


def plain_text(chapter: Chapter) -> str:
    """The citation as a sentence."""
    book = chapter.book
    names = [author.inverted for author in book.authors]
    who = " and ".join(filter(None, ["; ".join(names[:-1]), names[-1]]))
    return (
        f"{who} ({book.year}). {chapter.title}. Chapter {chapter.number} of {book.title}, "
        f"version {book.version} of {written_date(book.date)}. {chapter.url}"
    )


def _escaped(text: str) -> str:
    return "".join(BIBTEX_SPECIAL.get(character, character) for character in text)


def bibtex(chapter: Chapter) -> str:
    """The chapter's BibTeX entry."""
    book = chapter.book
    who = [
        f"{{{_escaped(a.family)}}}" if a.is_group else _escaped(a.inverted) for a in book.authors
    ]
    fields = {
        "author": " and ".join(who),
        "title": f"{{{_escaped(chapter.title)}}}",
        "booktitle": f"{{{_escaped(book.title)}}}",
        "chapter": chapter.number,
        "publisher": " and ".join(who),
        "year": book.year,
        "month": MONTHS[int(book.date[5:7]) - 1],
        "version": book.version,
        "url": chapter.url,
    } | ({"doi": book.doi} if book.doi else {})
    lines = ",\n".join(
        f"  {name} = {value if name == 'month' else f'{{{value}}}'}"
        for name, value in fields.items()
    )
    return f"@incollection{{{chapter.key},\n{lines}\n}}\n"


def ris(chapter: Chapter) -> str:
    """The chapter's RIS entry."""
    book = chapter.book
    rows = [("TY", "CHAP"), *(("AU", author.inverted) for author in book.authors)]
    rows += [("TI", chapter.title), ("T2", book.title), ("SE", chapter.number)]
    rows += [("PY", book.year), ("DA", book.date.replace("-", "/")), ("ET", book.version)]
    rows += [("PB", author.inverted) for author in book.authors[:1]]
    rows += [
        ("UR", chapter.url),
        ("LA", "en"),
        *([("DO", book.doi)] if book.doi else []),
        ("ER", ""),
    ]
    # The format wants both characters at a line's end.
    return "".join(f"{tag}  - {value}\r\n" for tag, value in rows)


def csl(chapter: Chapter) -> list[dict[str, Any]]:
    """The chapter's CSL-JSON entry."""
    book = chapter.book
    entry = {
        "id": chapter.key,
        "type": "chapter",
        "title": chapter.title,
        "container-title": book.title,
        "chapter-number": chapter.number,
        "author": [author.csl for author in book.authors],
        "issued": {"date-parts": [[int(part) for part in book.date.split("-")]]},
        "publisher": " and ".join(author.inverted for author in book.authors),
        "version": book.version,
        "URL": chapter.url,
        "language": "en-GB",
    }
    return [entry | ({"DOI": book.doi} if book.doi else {})]


def _licence_url(book: Book) -> str:
    return LICENCES.get(book.licence, f"https://spdx.org/licenses/{book.licence}.html")


def book_schema(book: Book) -> dict[str, Any]:
    """The book for schema.org."""
    return {
        "@type": "Book",
        "@id": book.url,
        "name": book.title,
        "url": book.url,
        "inLanguage": "en-GB",
        "datePublished": book.date,
        "version": book.version,
        "author": [author.schema for author in book.authors],
        "license": _licence_url(book),
    }


def chapter_schema(chapter: Chapter) -> dict[str, Any]:
    """A chapter for schema.org."""
    whole = book_schema(chapter.book)
    shared = {key: whole[key] for key in ("inLanguage", "datePublished", "author", "license")}
    own = {"@type": "Chapter", "@id": chapter.url, "name": chapter.title, "url": chapter.url}
    return own | shared | {"description": chapter.description, "isPartOf": whole}


def _highwire(book: Book, chapter: Chapter | None, url: str) -> list[tuple[str, str]]:
    titles = [("citation_title", chapter.title if chapter else book.title)]
    if chapter:
        titles += [("citation_inbook_title", book.title), ("citation_book_title", book.title)]
    rows = titles + [("citation_author", author.inverted) for author in book.authors]
    rows += [
        ("citation_publication_date", book.date.replace("-", "/")),
        ("citation_language", "en"),
    ]
    rows += [("citation_public_url", url), ("citation_fulltext_html_url", url)]
    return rows + ([("citation_doi", book.doi)] if book.doi else [])


def metadata(
    book: Book, chapter: Chapter | None = None, description: str = "", first: str = ""
) -> str:
    """Tags for the head of a chapter, or of the book's first page.

    Args:
        book: The book.
        chapter: The chapter; none for the first page.
        description: What the page is about.
        first: The address of the first page, where there is no chapter.
    """
    url = chapter.url if chapter else first or book.url
    title = chapter.title if chapter else book.title
    graph = [("og:type", "article" if chapter else "book"), ("og:title", title), ("og:url", url)]
    graph += [("og:site_name", book.title), ("og:description", description)]
    rows = [
        f'<meta name="{name}" content="{html.escape(value)}" />'
        for name, value in _highwire(book, chapter, url)
    ] + [
        f'<meta property="{name}" content="{html.escape(value)}" />'
        for name, value in graph
        if value
    ]
    schema = chapter_schema(chapter) if chapter else book_schema(book)
    data = json.dumps({"@context": "https://schema.org", **schema}, ensure_ascii=False)
    data = data.replace("</", "<\\/")
    return "\n".join([*rows, f'<script type="application/ld+json">{data}</script>', ""])


def block(chapter: Chapter, files: str) -> str:
    """The block at a chapter's end.

    Args:
        chapter: The chapter.
        files: Address of the chapter's citation files, without their suffix.
    """
    sentence = html.escape(plain_text(chapter)).replace(
        html.escape(chapter.url),
        f'<a href="{html.escape(chapter.url)}">{html.escape(chapter.url)}</a>',
    )
    links = " · ".join(
        f'<a href="{files}.{end}" download>{name}</a>' for name, end in FORMATS.items()
    )
    return f"""
<section class="bnn-cite" id="cite-this-chapter" aria-labelledby="cite-heading">
<h2 id="cite-heading">Cite this chapter</h2>
<p>{sentence}</p>
<div class="bnn-cite-entry"><pre id="cite-bibtex">{html.escape(bibtex(chapter))}</pre></div>
<p class="bnn-cite-links">
<button type="button" class="btn btn-sm bnn-js-only" data-bnn-copy="cite-bibtex">Copy
BibTeX</button>
<span>Download: {links}</span></p>
</section>
"""


def write_files(chapter: Chapter, directory: Path) -> None:
    """Write the chapter's entries for bibliography tools."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{chapter.slug}.bib").write_text(bibtex(chapter), "utf8")
    (directory / f"{chapter.slug}.ris").write_bytes(ris(chapter).encode())
    text = json.dumps(csl(chapter), ensure_ascii=False, indent=1) + "\n"
    (directory / f"{chapter.slug}.json").write_text(text, "utf8")


def _description(context: dict[str, Any]) -> str:
    found = re.search(r'<meta content="([^"]*)" name="description"', context.get("metatags", ""))
    return html.unescape(found[1]) if found else ""


def _chapter(app: Sphinx, docname: str, book: Book, context: dict[str, Any]) -> Chapter | None:
    """The chapter that a page is; a page outside the numbered parts is none."""
    numbers = app.builder.env.toc_secnumbers.get(docname)
    if not numbers or not (number := numbers.get("", ())):
        return None
    return Chapter(
        book,
        title=plain_title(context["title"]),
        number=".".join(str(part) for part in number),
        slug=docname.rsplit("/", 1)[-1],
        url=book.url + app.builder.get_target_uri(docname),
        description=_description(context),
    )


def _cite(app: Sphinx, pagename: str, templatename: str, context: Any, doctree: Any) -> None:
    if doctree is None:
        return
    book = read_book(Path(app.confdir) / "CITATION.cff")
    if chapter := _chapter(app, pagename, book, context):
        write_files(chapter, Path(app.outdir) / "cite")
        context["body"] += block(chapter, context["pathto"](f"cite/{chapter.slug}", 1))
        context["metatags"] += metadata(book, chapter, chapter.description)
    elif pagename == app.config.root_doc:
        first = book.url + app.builder.get_target_uri(pagename)
        context["metatags"] += metadata(book, None, _description(context), first)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hook that writes into every page."""
    app.connect("html-page-context", _cite, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
