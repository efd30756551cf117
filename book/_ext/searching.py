"""The search index of the finished site: one record a section, or an exercise.

MiniSearch makes it, in ``book/_js/search/write.js``; ``finder.js`` beside it answers a query, and
``book/_js/site/search.js`` is the theme's own dialog. What readers call a section, and ask of it,
stands in ``book/search``, a file a page.
"""

import copy
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bs4 import BeautifulSoup, Tag

import bundles
import lean
import node_tools

#: The class of what the search leaves out of a page.
NOT_SEARCHED = "bnn-not-searched"
#: What is no text of a section: marks, outputs and lists.
SKIPPED = (
    f".{NOT_SEARCHED}",
    "a.headerlink",
    ".cell_output .text_plain, .cell_output .stream, .cell_output table",
    ".bnn-cite",
    ".bnn-fold > summary",
)
CODE = ".cell_input"
IDENTIFIER = re.compile(r"[^\W\d_]\w{3,}")
#: The attribute of the part of a page that is indexed (``html_pages.mark_searchable``).
SEARCHABLE = "data-bnn-searchable"
#: Sections that repeat what others teach, by the beginning of their headings, after a number.
REPEATING = re.compile(r"(\d[\d.]* )?(Summary|Exercises|What comes next|What you will learn)")
#: What readers call such sections; each says the chapter's title too.
CALLED = {
    "Summary": "summary, recap, takeaways, key points, key messages, lessons, conclusions, "
    "in short, cheat sheet, essentials, one page",
    "Exercises": "exercises, problems, problem set, homework, assignments, tasks, practice, "
    "questions to practise",
    "What comes next": "what comes next, what follows",
}
#: Pages of which each section repeats what others teach.
LOOKED_UP = ("api", "bibliography", "glossary")
#: What the dialog loads, from the site's root, and the sources of its two parts. It stands outside
#: ``_static``, whose scripts say which style rules are kept: it holds all words.
FINDER = "search/finder.js"
SOURCE, WRITER = "search/finder.js", "search/write.js"
#: What a formula's hat is as text.
HAT = re.compile(r"(\w)\^")
NUMBER = re.compile(r"^\d[\d.]*\s+")
HEADING = re.compile("^h[1-6]$")
#: A glossary's link to the section that teaches the term.
TAUGHT = "a[href*='#sec-']"


class SearchError(RuntimeError):
    """There is nothing to search, or readers' words name a section that is not there."""


class Record(NamedTuple):
    """What one answer of the search leads to."""

    url: str
    """From the site's root, with the anchor."""
    title: str
    page: str
    text: str
    """Its own text, without that of its subsections."""
    code: str = ""
    """The names in the code of its cells, each once."""
    repeats: bool = False
    """Whether it repeats what other sections teach."""
    asked: str = ""
    """Its heading and what readers ask of it in other words."""
    names: tuple[str, ...] = ()
    """Its heading, and the glossary's terms that it teaches: who asks for one of them gets it."""


def index(site: Path, words: Mapping[str, Iterable[str]] | None = None) -> None:
    """Write what the dialog loads to find something in the site's pages.

    Args:
        site: The folder of the finished pages.
        words: For the label of a section or an exercise, readers' words and questions.

    Raises:
        SearchError: Where there is nothing to index, or where the section of some words is missing.
        NodeError: With what the writer said, if it failed.
    """
    soups = {path.relative_to(site).as_posix(): lean.parsed(path) for path in _pages(site)}
    asked = words or {}
    there = {tag["id"] for soup in soups.values() for tag in soup(id=True)}
    if missing := sorted(asked.keys() - there):
        raise SearchError(f"words for sections that are not there: {', '.join(missing)}")
    terms = _taught(soups)
    found = [record for name in soups for record in records(name, soups[name], asked, terms)]
    if not found:
        raise SearchError(f"no page of {site} is marked to be searched")
    write(found, site / FINDER)


def write(found: Iterable[Record], target: Path) -> None:
    """Write the script that finds some records."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        sections, finder = Path(folder) / "sections.json", Path(folder) / "finder.js"
        sections.write_text(json.dumps([record._asdict() for record in found]), "utf8")
        bundles.bundle(SOURCE, finder)
        node_tools.run(WRITER, str(sections), str(finder), str(target))


def words_of(folder: Path) -> dict[str, list[str]]:
    """Readers' words for each label, of all files of ``book/search``.

    Raises:
        SearchError: Where two files speak of one label, or one is no TOML or gives no list.
    """
    found: dict[str, list[str]] = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            words = tomllib.loads(file.read_text("utf8"))
        except tomllib.TOMLDecodeError as error:
            raise SearchError(f"{file.name}: {error}") from error
        for label, texts in words.items():
            if not isinstance(texts, list):
                raise SearchError(f"{file.name}: {label} must be a list of texts, not {texts!r}")
        if twice := sorted(found.keys() & words.keys()):
            raise SearchError(f"{file.name} speaks of {', '.join(twice)}, as another file does")
        found |= words
    return found


def records(
    name: str,
    soup: BeautifulSoup,
    asked: Mapping[str, Iterable[str]],
    terms: Mapping[str, Iterable[str]],
) -> Iterator[Record]:
    """A page's sections and exercises.

    Args:
        name: The page's path from the site's root.
        soup: The page.
        asked: For an anchor, what readers ask that leads there.
        terms: For an anchor, the glossary's terms that are taught there.
    """
    article = soup.select_one(f"[{SEARCHABLE}]")
    if article is None:
        return
    for tag in article.select(", ".join(SKIPPED)):
        tag.decompose()
    page = _text(article.find("h1")) or Path(name).stem
    yield from _exercises(name, page, article, asked)
    for section in article.find_all("section", id=True):
        if (heading := heading_of(section)) is not None:
            ids = anchors(section)
            title = _text(heading)
            first = section.parent is article and heading.name == "h1"
            repeating = REPEATING.match(title)
            again = repeating is not None or Path(name).stem in LOOKED_UP
            called = [term for anchor in ids for term in terms.get(anchor, ())]
            words = [text for anchor in ids for text in asked.get(anchor, ())]
            if repeating and repeating[2] in CALLED:
                words += [CALLED[repeating[2]], page]
            told = bool(words or called)
            # The opening of a chapter says what its sections teach, unless it has words.
            repeats = again or (first and not told)
            own = _own(section)
            code = _code(own)
            yield Record(
                name if first else f"{name}#{ids[0]}",
                title,
                page,
                _text(own),
                code,
                repeats,
                ". ".join([title, *words, *called]) if told or not repeats else "",
                (*([] if again else [NUMBER.sub("", title)]), *called),
            )


def _pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if SEARCHABLE in path.read_text("utf8"))


def _text(tag: Any) -> str:
    text = " ".join(tag.get_text().split()).removesuffix("#").strip() if tag is not None else ""
    return HAT.sub("\\1\u0302", text)


def heading_of(section: Tag) -> Any:
    """A section's own heading, not one of its parts'."""
    return section.find(HEADING, recursive=False)


def anchors(section: Tag) -> list[str]:
    """The ids of a section: the labels, which outlive a change of the heading, first."""
    labels = [str(span["id"]) for span in section.find_all("span", id=True, recursive=False)]
    before = section.find_previous_sibling()
    if before is not None and before.name == "span" and before.get("id") and not _text(before):
        labels.insert(0, str(before["id"]))
    return [*labels, str(section["id"])]


def _own(section: Tag) -> Tag:
    """What a section says before its subsections do."""
    own = copy.copy(section)
    for part in own.find_all("section"):
        if not part.decomposed and heading_of(part) is not None:
            part.decompose()
    for part in [heading_of(own), *own.select("dl.glossary")]:
        part.decompose()
    return own


def _code(own: Tag) -> str:
    """The names in a section's code, which is taken out of what it says."""
    cells = own.select(CODE)
    text = " ".join(_text(cell) for cell in cells)
    for cell in cells:
        cell.decompose()
    return " ".join(sorted(set(IDENTIFIER.findall(text))))


def _exercises(
    name: str, page: str, article: Tag, asked: Mapping[str, Iterable[str]]
) -> Iterator[Record]:
    """Each exercise with its solution, which are taken out of the article."""
    for exercise in article.select("div.exercise[id]"):
        anchor = str(exercise["id"])
        solution = article.find(id=anchor.replace("ex-", "sol-", 1))
        parts = [exercise, *([solution] if isinstance(solution, Tag) else [])]
        title = _text(exercise.select_one(".admonition-title"))
        for part in parts:
            if (caption := part.select_one(".admonition-title")) is not None:
                caption.decompose()
        code = " ".join(_code(part) for part in parts)
        text = " ".join(_text(part) for part in parts)
        for part in parts:
            part.decompose()
        words = ". ".join([title, *asked.get(anchor, ())])
        yield Record(f"{name}#{anchor}", title, page, text, code, asked=words)


def _names(meaning: Tag) -> list[Tag]:
    """The terms that share an entry of a glossary."""
    names: list[Tag] = []
    for before in meaning.find_previous_siblings():
        if before.name != "dt":
            break
        names.insert(0, before)
    return names


def _taught(soups: Mapping[str, BeautifulSoup]) -> dict[str, list[str]]:
    """Each anchor to which the glossary sends the reader, with the terms that are taught there."""
    found: dict[str, list[str]] = {}
    for soup in soups.values():
        for meaning in soup.select("dl.glossary > dd"):
            for link in meaning.select(TAUGHT):
                terms = found.setdefault(str(link["href"]).partition("#")[2], [])
                terms += [_text(term) for term in _names(meaning)]
    return found
