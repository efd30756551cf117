"""Citations agree with CITATION.cff, and real readers of the formats can read them."""

import itertools
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from pybtex.database import parse_file, parse_string

import citing
import environments
import node_tools
from small_site import CHAPTERS, SITE

CHECKS = node_tools.JS / "checks"
CFF = Path(__file__).parents[2] / "CITATION.cff"
PERSON = citing.Author("Årstad", "Ada", "https://orcid.org/0000-0002-1825-0097")


@pytest.fixture
def book():
    return citing.read_book(CFF)


@pytest.fixture
def chapter(book):
    book = replace(book, date="2026-03-05")
    return citing.Chapter(
        book, "Priors & 100 % of {it}", "2", "priors", f"{book.url}book/priors.html", "About it."
    )


def test_the_book_is_what_the_file_says(book):
    entry = yaml.safe_load(CFF.read_text("utf8"))
    assert entry["cff-version"] == "1.2.0"
    assert (book.title, book.version) == (entry["title"], entry["version"])
    assert [author.family for author in book.authors] == [entry["authors"][0]["name"]]
    assert book.date == entry["date-released"].isoformat()
    assert book.licence == "CC-BY-4.0", "the text's licence, not the code's"


def test_persons_and_groups_are_read(tmp_path):
    entry = yaml.safe_load(CFF.read_text("utf8"))
    entry["preferred-citation"]["authors"] = [
        {"family-names": "Bayes", "name-particle": "van", "given-names": "T."},
        {"name": "A Group"},
    ]
    (tmp_path / "CITATION.cff").write_text(yaml.safe_dump(entry), "utf8")
    person, group = citing.read_book(tmp_path / "CITATION.cff").authors
    assert (person.inverted, group.inverted) == ("van Bayes, T.", "A Group")
    assert (person.schema["@type"], group.schema["@type"]) == ("Person", "Organization")


def test_a_missing_field_is_named(tmp_path):
    (tmp_path / "CITATION.cff").write_text("title: A book\n", "utf8")
    with pytest.raises(citing.CitationError, match=r"CITATION\.cff has no 'authors'"):
        citing.read_book(tmp_path / "CITATION.cff")


@pytest.mark.parametrize("authors", [None, (PERSON, citing.Author("A & B group"))])
def test_pybtex_reads_the_entry_back(chapter, authors):
    if authors:
        chapter = replace(chapter, book=replace(chapter.book, authors=authors, doi="10.5072/x_1"))
    (key, entry) = next(iter(parse_string(citing.bibtex(chapter), "bibtex").entries.items()))
    assert key == chapter.key
    assert key.isalnum()
    assert entry.type == "incollection"
    plain = lambda text: re.sub(r"\\([&%{}_])", r"\1", text.removeprefix("{").removesuffix("}"))  # noqa: E731
    assert plain(entry.fields["title"]) == chapter.title
    assert plain(entry.fields["booktitle"]) == chapter.book.title
    assert entry.fields["year"] == chapter.book.year
    assert entry.fields["url"] == chapter.url
    assert entry.fields["month"] == "March"
    assert entry.fields.get("doi", "") == chapter.book.doi
    people = entry.persons["author"]
    assert len(people) == len(chapter.book.authors)
    for person, author in zip(people, chapter.book.authors, strict=True):
        assert plain(" ".join(person.last_names)) == author.family
        assert " ".join(person.first_names) == author.given


def test_ris_and_csl_say_the_same(chapter):
    rows = [line.split("  - ", 1) for line in citing.ris(chapter).splitlines()]
    tags = dict(rows)
    assert rows[0] == ["TY", "CHAP"]
    assert rows[-1] == ["ER", ""]
    (entry,) = citing.csl(chapter)
    assert (tags["TI"], tags["T2"]) == (entry["title"], entry["container-title"])
    assert (tags["UR"], tags["PY"]) == (entry["URL"], str(entry["issued"]["date-parts"][0][0]))
    assert entry["author"] == [{"literal": tags["AU"]}]


def test_the_lines_of_ris_end_as_the_format_wants(chapter, tmp_path):
    citing.write_files(chapter, tmp_path)
    written = (tmp_path / f"{chapter.slug}.ris").read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n") == len(citing.ris(chapter).splitlines())


def test_the_sentence_names_version_and_day(chapter):
    assert f"version {chapter.book.version} of 5 March 2026. http" in citing.plain_text(chapter)


def test_the_first_page_is_known_by_one_address(book):
    first = book.url + "book/index.html"
    soup = BeautifulSoup(citing.metadata(book, first=first), "html.parser")
    assert soup.select_one("meta[property='og:url']")["content"] == first
    assert soup.select_one("meta[name=citation_public_url]")["content"] == first


def test_crawlers_see_a_chapter_of_a_book(chapter):
    soup = BeautifulSoup(citing.metadata(chapter.book, chapter, "About it."), "html.parser")
    tags = {meta["name"]: meta["content"] for meta in soup.select("meta[name]")}
    assert tags["citation_title"] == chapter.title
    assert tags["citation_book_title"] == chapter.book.title
    assert tags["citation_public_url"] == chapter.url
    data = json.loads(soup.select_one("script").string)
    assert (data["@type"], data["isPartOf"]["@type"]) == ("Chapter", "Book")
    assert data["isPartOf"]["name"] == chapter.book.title


def test_a_title_cannot_close_the_block_of_data(chapter):
    evil = replace(chapter, title="</script><script>alert(1)</script>")
    text = citing.metadata(evil.book, evil)
    assert text.count("<script") == 1 + text.split("</script>")[0].count("<script>alert")
    soup = BeautifulSoup(text, "html.parser")
    assert len(soup.select("script")) == 1
    assert "<script" not in citing.block(evil, "cite/x")


def test_a_title_loses_its_number_and_markup():
    title = '<span class="section-number">2. </span>Bayes’ <em>theorem</em> &amp; 3 coins'
    assert citing.plain_title(title) == "Bayes’ theorem & 3 coins"


@pytest.mark.slow
def test_citation_js_reads_every_format_alike(chapter, tmp_path):
    node_tools.ensure_modules(CHECKS)
    people = (PERSON, citing.Author("A & B group"))
    both = [chapter, replace(chapter, slug="two", book=replace(chapter.book, authors=people))]
    for one in both:
        citing.write_files(one, tmp_path)
        files = [str(tmp_path / f"{one.slug}.{kind}") for kind in ("bib", "ris", "json")]
        read = json.loads(node_tools.run("read-citations.js", *files, directory=CHECKS))
        for (entry,) in read:
            assert entry["type"] == "chapter"
            assert entry["title"] == one.title
            assert entry["container-title"] == one.book.title
            assert entry["URL"] == one.url
            assert str(entry["issued"]["date-parts"][0][0]) == one.book.year
            assert len(entry["author"]) == len(one.book.authors)


@pytest.mark.slow
@pytest.mark.site
def test_every_chapters_files_are_read_alike():
    node_tools.ensure_modules(CHECKS)
    found = sorted((SITE.html / "cite").glob("*.bib"))
    assert [path.stem for path in found] == sorted(doc.partition("/")[2] for doc in CHAPTERS)
    kinds = (".bib", ".ris", ".json")
    files = [str(path.with_suffix(kind)) for path in found for kind in kinds]
    read = [
        entry
        for (entry,) in json.loads(node_tools.run("read-citations.js", *files, directory=CHECKS))
    ]
    for path, three in zip(found, itertools.batched(read, len(kinds)), strict=True):
        for field in ("type", "title", "container-title", "URL"):
            assert len({entry[field] for entry in three}) == 1, (path, field)
        (entry,) = parse_file(path).entries.values()
        assert entry.fields["url"] == three[0]["URL"]


def test_zenodo_is_told_what_the_citation_file_says(book):
    entry = json.loads((CFF.parent / ".zenodo.json").read_text("utf8"))
    assert entry["title"] == book.title
    assert [creator["name"] for creator in entry["creators"]] == [a.inverted for a in book.authors]
    assert (entry["version"], entry["license"]) == (book.version, book.licence)
    assert (entry["upload_type"], entry["publication_type"]) == ("publication", "book")
    assert book.url in [other["identifier"] for other in entry["related_identifiers"]]


@pytest.mark.slow
@pytest.mark.site
def test_cffconvert_accepts_the_citation_file():
    """In an environment of its own, as it wants an older jsonschema than the book's tools."""
    python = environments.made("requirements/citation.txt")
    done = subprocess.run(
        [python.with_name("cffconvert"), "--validate", "--infile", CFF],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
