"""The search index of the finished site, made by Pagefind: one record a section, or an exercise.

``book/_js/site/search.js`` reads it in the theme's own dialog. A section's other names stand in
``book/search.toml``, in a table for Pagefind, and whole queries that it answers, in one that counts
for the score by headings and readers' words alone.
"""

import asyncio
import copy
import gzip
import json
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from bs4 import BeautifulSoup, Tag
from pagefind.index import IndexConfig
from pagefind.service import PagefindService

import lean

#: Marks that are no words of the text.
SKIPPED = (
    "a.headerlink",
    ".cell_output .text_plain, .cell_output .stream, .cell_output table",
    ".bnn-cite",
    ".bnn-fold > summary",
)
#: The attribute of the part of a page that is indexed (``html_pages.mark_searchable``).
SEARCHABLE = "data-pagefind-body"
#: How much the words of a text count, the prose of a section being one.
QUESTION, CODE, ASIDE, EXERCISE = 10, 0.2, 0.2, 0.5
#: Where a section's own words end in what is indexed (``search.js`` shows none beyond).
END = "¶"
#: Sections that repeat what others teach, by the beginning of their headings, after a number.
REPEATING = re.compile(
    r"(\d[\d.]* )?(Summary|Exercises|What comes next|What you will learn|How this page was run)"
)
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
#: The file, beside the index, of the words by which misspelt ones are set right, and of what the
#: headings and the readers' words of the sections are.
WORDS = "words.json"
#: The file of the same words and of the sections' own texts, for who reads the site from files.
TEXTS = "texts.js"
WORD = re.compile(r"[^\W\d_]{5,}")
NUMBER = re.compile(r"^\d[\d.]*\s+")
HEADING = re.compile("^h[1-6]$")
#: A glossary's link to the section that teaches the term.
TAUGHT = "a[href*='#sec-']"

#: Pagefind's ready-made interfaces; ours is another.
INTERFACES = (
    "pagefind-ui*",
    "pagefind-modular-ui*",
    "pagefind-component-ui*",
    "pagefind-highlight*",
)


class SearchError(RuntimeError):
    """Pagefind failed, or the questions name a section that is not there."""


class Record(NamedTuple):
    """What one answer of the search leads to."""

    url: str
    """From the site's root, with the anchor."""
    title: str
    page: str
    html: str
    """What is indexed beside the title."""
    aside: bool = False
    """Whether it repeats what other sections teach."""
    asked: str = ""
    """What readers ask of it in other words, queries too that Pagefind does not see."""
    names: tuple[str, ...] = ()
    """Its heading, and the glossary's terms that it teaches: who asks for one of them gets it."""


def index(
    site: Path,
    questions: Mapping[str, Iterable[str]] | None = None,
    queries: Mapping[str, Iterable[str]] | None = None,
) -> None:
    """Index the site's pages into ``site/pagefind``.

    Args:
        site: The folder of the finished pages.
        questions: For the label of a section, what a reader may ask that it answers.
        queries: The same, but not told to Pagefind, which many words confuse.

    Raises:
        SearchError: Where there is nothing to index, where a question's section is missing, or with
            what Pagefind said, if it failed.
    """
    soups = {path.relative_to(site).as_posix(): lean.parsed(path) for path in _pages(site)}
    asked = {label: list(lines) for label, lines in (questions or {}).items()}
    more = {label: list(lines) for label, lines in (queries or {}).items()}
    there = {tag["id"] for soup in soups.values() for tag in soup(id=True)}
    if missing := sorted({*asked, *more} - there):
        raise SearchError(f"questions for sections that are not there: {', '.join(missing)}")
    terms = _taught(soups)
    for target, names in terms.items():
        asked.setdefault(target, []).append(", ".join(names))
    found = [r for name in soups for r in records(name, soups[name], asked, more, terms)]
    if not found:
        raise SearchError(f"no page of {site} is marked to be searched")
    shutil.rmtree(site / "pagefind", ignore_errors=True)
    try:
        asyncio.run(_write(found, site / "pagefind"))
    except Exception as error:
        raise SearchError(f"pagefind failed: {error}") from error
    named = _by_id(found, site / "pagefind")
    words = {
        "known": known_words([text for record in found for text in (record.title, record.asked)]),
        "asked": {id_: _names_of(record) for id_, record in named.items() if _names_of(record)},
        "names": {id_: record.names for id_, record in named.items() if record.names},
    }
    (site / "pagefind" / WORDS).write_text(_json(words), "utf8")
    texts = {"known": words["known"], "sections": [_plain(record) for record in found]}
    (site / "pagefind" / TEXTS).write_text(f"globalThis.bnnTexts={_json(texts)};", "utf8")
    for pattern in INTERFACES:
        for file in (site / "pagefind").glob(pattern):
            file.unlink()


def words_of(file: Path) -> dict[str, dict[str, list[str]]]:
    """``book/search.toml``: under "questions" and "queries", for a section's label, texts."""
    return tomllib.loads(file.read_text("utf8"))


def known_words(texts: Iterable[str]) -> list[str]:
    """The words by which the dialog sets misspelt ones right: those of five letters and more."""
    return sorted({word for text in texts for word in WORD.findall(text.lower())})


def records(
    name: str,
    soup: BeautifulSoup,
    asked: Mapping[str, Iterable[str]],
    queries: Mapping[str, Iterable[str]],
    terms: Mapping[str, Iterable[str]],
) -> Iterator[Record]:
    """A page's sections and exercises, and the entries of a glossary.

    Args:
        name: The page's path from the site's root.
        soup: The page.
        asked: For an anchor, the questions and terms that lead there.
        queries: For an anchor, more of them, which are not in what is indexed.
        terms: For an anchor, the glossary's terms that are taught there.
    """
    article = soup.select_one(f"[{SEARCHABLE}]")
    if article is None:
        return
    for tag in article.select(", ".join(SKIPPED)):
        tag.decompose()
    for cell in article.select(".cell_input"):
        cell["data-pagefind-weight"] = str(CODE)
    page = _text(article.find("h1")) or Path(name).stem
    yield from _glossary(name, page, article)
    yield from _exercises(name, page, article, queries)
    for section in article.find_all("section", id=True):
        if (heading := _heading(section)) is not None:
            anchors = _anchors(section)
            own = _own(section)
            texts = [text for anchor in anchors for text in asked.get(anchor, ())]
            own += f"<p>{END}</p>"
            own += f'<p data-pagefind-weight="{QUESTION}">{escape(". ".join(texts))}</p>'
            title = _text(heading)
            first = section.parent is article and heading.name == "h1"
            repeating = REPEATING.match(title)
            repeats = repeating is not None or Path(name).stem in LOOKED_UP
            url = name if first else f"{name}#{anchors[0]}"
            aside = repeats or (first and not texts)
            more = [text for anchor in anchors for text in queries.get(anchor, ())]
            if repeating and repeating[2] in CALLED:
                more += [CALLED[repeating[2]], page]
            names = [] if repeats else [NUMBER.sub("", title)]
            names += [term for anchor in anchors for term in terms.get(anchor, ())]
            yield Record(url, title, page, own, aside, ". ".join([*texts, *more]), tuple(names))


def document(record: Record) -> str:
    """The record as the page that Pagefind reads."""
    heading = f'<h1 data-pagefind-meta="title">{escape(record.title)}</h1>'
    if record.aside:
        weight = f' data-pagefind-weight="{ASIDE}"'
        # Pagefind lets titles weigh more, so that of an aside is called otherwise.
        heading = f'<p data-pagefind-meta="heading">{escape(record.title)}</p>'
    else:
        weight = ""
    return (
        f'<html lang="en"><head><meta data-pagefind-meta="page[content]" '
        f'content="{escape(record.page)}"></head><body {SEARCHABLE}{weight}>'
        f"{heading}{record.html}</body></html>"
    )


def _pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if SEARCHABLE in path.read_text("utf8"))


def _text(tag: Any) -> str:
    return " ".join(tag.get_text().split()).removesuffix("#").strip() if tag is not None else ""


def _heading(section: Tag) -> Any:
    return section.find(HEADING, recursive=False)


def _anchors(section: Tag) -> list[str]:
    """The ids of a section: the labels, which outlive a change of the heading, first."""
    labels = [str(span["id"]) for span in section.find_all("span", id=True, recursive=False)]
    before = section.find_previous_sibling()
    if before is not None and before.name == "span" and before.get("id") and not _text(before):
        labels.insert(0, str(before["id"]))
    return [*labels, str(section["id"])]


def _own(section: Tag) -> str:
    """What a section says before its subsections do."""
    own = copy.copy(section)
    for part in own.find_all("section"):
        if not part.decomposed and _heading(part) is not None:
            part.decompose()
    for part in [_heading(own), *own.select("dl.glossary")]:
        part.decompose()
    # The record's title is its only heading.
    for part in own.find_all(HEADING):
        part.name = "p"
    return str(own)


def _glossary(name: str, page: str, article: Tag) -> Iterator[Record]:
    for meaning in article.select("dl.glossary > dd"):
        if meaning.select_one(TAUGHT) is not None:
            continue  # its words lead to the section that teaches it
        names = _names(meaning)
        title = ", ".join(_text(term) for term in names)
        yield Record(f"{name}#{names[0].get('id')}", title, page, str(meaning), aside=True)


def _exercises(
    name: str, page: str, article: Tag, queries: Mapping[str, Iterable[str]]
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
        html = "".join(f'<div data-pagefind-weight="{EXERCISE}">{part}</div>' for part in parts)
        for part in parts:
            part.decompose()
        yield Record(
            f"{name}#{anchor}", title, page, html, asked=". ".join(queries.get(anchor, ()))
        )


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


def _by_id(found: Iterable[Record], target: Path) -> dict[str, Record]:
    """The records under Pagefind's names of them."""
    known = {f"/{record.url}": record for record in found}
    named = {}
    for path in sorted((target / "fragment").iterdir()):
        packed = gzip.decompress(path.read_bytes())
        url = json.loads(packed[packed.index(b"{") :])["url"]
        if url in known:
            named[path.stem] = known[url]
    return named


def _names_of(record: Record) -> str:
    """What a section is called; nothing where it repeats others and no reader asks for it."""
    return f"{record.title}. {record.asked}" if record.asked or not record.aside else ""


def _plain(record: Record) -> dict[str, Any]:
    """A record without Pagefind: its address, names, own text and how much that text counts."""
    soup = BeautifulSoup(record.html, "html.parser")
    for part in soup.select(".cell_input"):
        part.decompose()
    return {
        "url": record.url,
        "title": record.title,
        "page": record.page,
        "asked": _names_of(record),
        "names": record.names,
        "text": _text(soup).partition(END)[0].strip(),
        "weight": ASIDE if record.aside else 1,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def _write(found: Iterable[Record], target: Path) -> None:
    async with PagefindService() as service:
        made = await service.create_index(config=IndexConfig(output_path=str(target)))
        for record in found:
            await made.add_html_file(content=document(record), url=f"/{record.url}")
        await made.write_files()
        await _on_disk(target)


async def _on_disk(target: Path, seconds: float = 60) -> None:
    """Wait until no file is empty: Pagefind answers before it has written, and is ended then."""
    for _ in range(int(10 * seconds)):
        empty = sorted(p.name for p in target.rglob("*") if p.is_file() and not p.stat().st_size)
        if not empty:
            return
        await asyncio.sleep(0.1)
    raise SearchError(f"these of its files stayed empty: {', '.join(empty)}")
