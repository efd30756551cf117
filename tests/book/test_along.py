"""The book to take along: an EPUB that EPUBCheck accepts, a PDF with outline and tags, a zip."""

import zipfile

import pypdf
import pytest
from bs4 import BeautifulSoup

import along
import browser
import citing
import epub_book
import gates
import pdf_book
from execute import Project
from search_questions import ODD, QUESTIONS, addresses, ask, place, right, shares
from small_site import PROJECT, ROOT, SITE

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml"><head><link rel="stylesheet" href="gone.css"/>
<script>x</script></head><body><section id="one"><p id="one">p</p>
<details><summary><p>S</p></summary></details>
<math><mi>x</mi></math><a href="two.xhtml#there">a</a><a href="two.xhtml#gone">b</a>
<a href="missing.xhtml">c</a><a href="https://example.org/#d">d</a>
<table border="1"><tr><th></th></tr></table></section></body></html>"""
PACKAGE = """<package><metadata><dc:identifier id="book">urn:x</dc:identifier></metadata>
<manifest><item href="book/one.xhtml" id="a" media-type="application/xhtml+xml" />
<item href="book/two.xhtml" id="b" media-type="application/xhtml+xml" /></manifest></package>"""


@pytest.fixture
def mended():
    files = {
        "mimetype": b"application/epub+zip",
        "content.opf": PACKAGE.encode(),
        "toc.ncx": b'<meta name="dtb:uid" content="other"/>',
        "book/one.xhtml": PAGE.encode(),
        "book/two.xhtml": b'<html><body><p id="there">t</p></body></html>',
    }
    return epub_book.mend(files)


def test_a_page_of_the_epub_loses_what_no_reader_has(mended):
    page = mended["book/one.xhtml"].decode()
    assert page.count('id="one"') == 1
    for gone in ("<script", "gone.css", "border=", "<p>S</p>", "missing.xhtml", "#gone"):
        assert gone not in page
    for kept in ('href="two.xhtml#there"', "https://example.org/#d", "1998/Math/MathML", ">b", "c"):
        assert kept in page


def test_the_manifest_says_what_a_page_holds_and_the_contents_agree_on_the_name(mended):
    package = mended["content.opf"].decode()
    assert package.count('properties="mathml"') == 1
    assert b'content="urn:x"' in mended["toc.ncx"]


def test_an_archive_depends_on_names_and_contents_only(tmp_path):
    files = [("mimetype", b"m"), ("a", b"text" * 100)]
    for name in ("one", "two"):
        along.pack(tmp_path / name, files, stored=["mimetype"])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as archive:
        kinds = {info.filename: info.compress_type for info in archive.infolist()}
    assert kinds == {"mimetype": zipfile.ZIP_STORED, "a": zipfile.ZIP_DEFLATED}


def test_links_of_a_printed_page_lead_within_the_book():
    slugs = {"book/one.html": "one", "book/two.html": "two"}
    inside = [
        pdf_book._inside(address, "book/one.html", slugs, "https://b/")
        for address in ("#x", "two.html#y", "two.html", "../cite/one.bib", "https://e.org/#z")
    ]
    assert inside == ["#one--x", "#two--y", "#two", "https://b/cite/one.bib", "https://e.org/#z"]


def test_a_printed_page_is_unfolded_and_has_anchors_of_its_own():
    soup = BeautifulSoup(
        '<article><h1 id="a">A<a class="headerlink" href="#a">#</a></h1><details class="bnn-code">'
        '<summary>Show</summary>hidden</details><details class="solution">shown</details>'
        '<img src="x.svg" loading="lazy"/><p aria-labelledby="a b">p</p></article>',
        "html.parser",
    )
    text = str(
        pdf_book.chapter("book/one.html", soup.article, {"book/one.html": "one"}, "https://b/")
    )
    for gone in ("headerlink", "hidden", "lazy"):
        assert gone not in text
    for kept in ('id="one--a"', 'aria-labelledby="one--a one--b"', 'open=""', 'id="one"'):
        assert kept in text


def test_formulas_and_code_are_printed_as_they_stand(tmp_path):
    formula = (
        '<span class="katex"><span class="katex-mathml"><math><mi>x</mi></math></span>'
        '<span class="katex-html" aria-hidden="true"><span class="mord">x</span></span></span>'
    )
    code = '<pre><span class="k">def</span> <span class="nf">f</span></pre>'
    page = f'<article class="bd-article"><h1>On {formula}</h1>{code}{formula}</article>'
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    for folder in ("book", "html/book"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "book/index.md").write_text("# On\n")
    (tmp_path / "html/book/index.html").write_text(page)
    site = gates.Site(Project(tmp_path), tmp_path / "html")
    printed = pdf_book.document(site, citing.read_book(ROOT / "CITATION.cff"))
    assert printed.count(formula) == 2
    assert code in printed
    assert "On " in BeautifulSoup(printed, "html.parser").select_one(".printed-contents").get_text()


def test_a_book_that_is_slow_to_parse_is_printed_to_its_end(tmp_path):
    if (executable := browser.find()) is None:
        pytest.skip("no Chromium on this machine")
    pause = "<script>for (const t = performance.now(); performance.now() - t < 150; );</script>"
    parts = "".join(f"<h1>Part {i}</h1>" + "<p>word</p>" * 300 + pause for i in range(10))
    text = f'<!DOCTYPE html><html lang="en"><title>Slow</title><body>{parts}</body></html>'
    pdf_book.write(text, tmp_path, tmp_path / "slow.pdf", executable)
    outline = pypdf.PdfReader(tmp_path / "slow.pdf").outline
    assert [entry.title for entry in outline] == [f"Part {i}" for i in range(10)]


@pytest.mark.site
@pytest.mark.slow
def test_the_epub_of_the_small_book_is_valid():
    path = epub_book.make(PROJECT)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert names[0] == "mimetype"
        for doc in PROJECT.pages():
            assert any(name.endswith(f"{doc}.xhtml") for name in names), doc
        chapter = archive.read("book/bayes-theorem.xhtml").decode()
    assert "<math" in chapter
    assert "katex-html" not in chapter
    assert "glue:text" not in chapter
    found = epub_book.objections(path)
    if found is None:
        pytest.skip("EPUBCheck needs a Java, and there is none on this machine")
    assert found == []


@pytest.mark.site
@pytest.mark.slow
def test_the_pdf_of_the_small_book_has_outline_tags_and_links():
    path = pdf_book.make(PROJECT, SITE.html)
    pdf = pypdf.PdfReader(path)
    root = pdf.trailer["/Root"]
    book = citing.read_book(ROOT / "CITATION.cff")
    assert pdf.metadata.title == book.title
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert root["/Lang"] == "en-GB"
    titles = " / ".join(str(entry.title) for entry in flat(pdf.outline))
    for doc, page in SITE.built():
        heading = page.select_one("article h1")
        heading.select_one(".headerlink").decompose()
        assert words(heading.get_text()) in words(titles), doc
    links = [note.get_object() for page in pdf.pages for note in page.get("/Annots") or []]
    inside = [link for link in links if "/Dest" in link or "/D" in link.get("/A", {})]
    assert len(pdf.pages) > 100
    assert len(inside) > 300
    fonts = {
        str(font.get_object()["/BaseFont"])
        for page in pdf.pages
        for font in page["/Resources"].get("/Font", {}).values()
    }
    assert any("KaTeX_Math" in font for font in fonts)


def flat(outline):
    for entry in outline:
        if isinstance(entry, list):
            yield from flat(entry)
        else:
            yield entry


def words(text):
    return "".join(text.split())


def foreign(url):
    return not url.startswith(("file:", "data:"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A browser's page, and the address of the zip's site, unpacked somewhere as files."""
    folder = tmp_path_factory.mktemp("zip")
    with zipfile.ZipFile(along.zip_site(PROJECT, SITE.html)) as archive:
        archive.extractall(folder)
    executable = browser.find_or_install(install=True)
    assert executable, "these checks need a Chromium"
    with browser.chromium(executable) as chromium:
        yield chromium.new_page(), (folder / along.NAME).as_uri() + "/"


@pytest.fixture(scope="module")
def offline(unpacked):
    """The same, with the preface open."""
    page, root = unpacked
    page.goto(f"{root}book/index.html")
    return page, root


@pytest.mark.site
@pytest.mark.slow
def test_the_zip_reads_offline(unpacked):
    """Pages show, and ask for nothing that is not there."""
    page, root = unpacked
    failed = []

    def note(request):
        if request.failure != "net::ERR_ABORTED":  # the next page may come before an icon
            failed.append(request.url)

    page.on("requestfailed", note)
    page.on("request", lambda request: failed.append(request.url) if foreign(request.url) else None)
    for doc in PROJECT.pages():
        page.goto(f"{root}{doc}.html", wait_until="load")
        assert page.locator("article h1:visible").count() == 1
    page.goto(f"{root}index.html")
    page.wait_for_url("**/book/index.html")
    page.wait_for_load_state("networkidle")
    figure = page.locator(".bnn-figure").first
    page.goto(f"{root}book/bayes-theorem.html")
    figure.scroll_into_view_if_needed()
    page.wait_for_function("e => e.dataset.state === 'ready'", arg=figure.element_handle())
    assert failed == []


@pytest.mark.site
@pytest.mark.slow
def test_questions_are_answered_offline(offline, soups):
    """As they are online: every tenth."""
    page, root = offline
    there, places = addresses(soups), []
    for question in QUESTIONS[::10]:
        _, links = ask(page, question["text"])
        wanted = right(there, [*question["sections"], *question.get("also", [])])
        places.append(place(links, root, wanted))
    first, three = shares(places)
    assert first > 0.86
    assert three > 0.94


@pytest.mark.site
@pytest.mark.slow
@pytest.mark.parametrize("query", ODD)
def test_odd_queries_get_a_calm_answer_offline(offline, query):
    page, _ = offline
    status, links = ask(page, query)
    assert len(status) < 300
    assert len(links) <= 12
    assert not page.locator("dialog[open] img, dialog[open] script").count()


@pytest.mark.site
def test_the_book_links_what_can_be_taken_along():
    (preface,) = [page for doc, page in SITE.built() if doc == "book/index"]
    links = {a["href"] for a in preface.select("a[href*='/offline/']")}
    book = citing.read_book(ROOT / "CITATION.cff")
    assert links == {f"{book.url}offline/{along.NAME}{end}" for end in (".epub", ".pdf", ".zip")}
