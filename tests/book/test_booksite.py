"""A book of three pages, built with the book's own settings, is the site that readers get."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup
from pybtex.database import parse_file

import browser
import citing
import gates
import node_tools
import server
from bnnbook.plotting import palette

ROOT = Path(__file__).parents[2]
FRONT = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
myst:
  html_meta:
    description: "What it says."
---
"""
CHAPTER = (
    FRONT
    + r"""
(sec-one)=
# A chapter & its sum

Inline $\E[x] = \int x\,p(x)\,\mathrm{d}x$ and by {cite:p}`bayes1763`

$$
p(\theta \given \data) = \frac{p(\data \given \theta)\, p(\theta)}{p(\data)}
$$ (eq-one)

## Shrinkage towards the mean

See {eq}`eq-one`. A hidden source:

```{code-cell} ipython3
:tags: [hide-input]
secret = 1
```

A shown source:

```{code-cell} ipython3
shown = 2
```

```{figure} line.svg
:name: fig-line
:alt: A line that falls from left to right.

A line.
```

```{exercise}
:label: ex-one
What?
```

```{solution} ex-one
:class: dropdown
That.
```
"""
)
LINE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt">'
    '<path d="M0 0L72 36" style="fill: none; stroke: {}"/></svg>'
)
INDEX = "# Preface\n\nWords without mathematics.\n"
GLOSSARY = (
    FRONT + "# Glossary\n\n```{glossary}\nshrinkage\n  A pull.\n```\n\n```{bibliography}\n```\n"
)
TOC = """
format: jb-book
root: book/index
defaults: {numbered: true}
parts:
  - caption: Part
    chapters: [{file: book/chapter}]
  - caption: Back
    numbered: false
    chapters: [{file: book/glossary}]
"""


def write_book(folder: Path, chapter: str = CHAPTER, stroke: str = palette.PRIMARY) -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))
    config["execute"]["execute_notebooks"] = "off"
    sphinx = config["sphinx"]
    sphinx["local_extensions"] = {"booksite": str(ROOT / "book/_ext")}
    sphinx["config"]["html_static_path"] = [str(ROOT / "book/_static")]
    sphinx["config"]["html_favicon"] = str(ROOT / "book/_static/favicon.svg")
    book = folder / "book"
    book.mkdir(parents=True)
    (folder / "_config.yml").write_text(yaml.safe_dump(config), "utf8")
    (folder / "_toc.yml").write_text(TOC, "utf8")
    shutil.copy(ROOT / "CITATION.cff", folder)
    shutil.copy(ROOT / "book/references.bib", book)
    pages = {"index": INDEX, "chapter": chapter, "glossary": GLOSSARY}
    for name, text in pages.items():
        (book / f"{name}.md").write_text(text, "utf8")
    (book / "line.svg").write_text(LINE.format(stroke), "utf8")


def run_build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [gates.tool("jupyter-book"), "build", ".", "-W", "-n", "--keep-going"]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=quiet
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    node_tools.ensure_modules()
    folder = tmp_path_factory.mktemp("tiny")
    write_book(folder)
    done = run_build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def site(folder):
    return folder / "_build/html"


@pytest.fixture(scope="module")
def chapter(site):
    return BeautifulSoup((site / "book/chapter.html").read_text("utf8"), "html.parser")


def pages(site: Path) -> list[Path]:
    return [path for path in site.rglob("*.html") if path.relative_to(site).parts[0][0] != "_"]


def loads(page: str) -> list[str]:
    """The addresses that a page loads by itself."""
    soup = BeautifulSoup(page, "html.parser")
    found = [tag["src"] for tag in soup.select("[src]")]
    found += [tag["href"] for tag in soup.select("link:not([rel=canonical])[href]")]
    return [address for address in found if not address.startswith("#")]


def foreign(page: str) -> list[str]:
    return [address for address in loads(page) if re.match(r"(?:[a-z]+:)?//", address)]


def test_mathematics_is_rendered_with_its_number_and_reference(chapter):
    assert len(chapter.select(".katex")) == 2
    assert len(chapter.select("math annotation")) == 2
    block = chapter.select_one("#equation-eq-one")
    assert block.select_one(".eqno").get_text().startswith("(1.1)")
    assert chapter.select_one("a[href='#equation-eq-one'].reference").get_text() == "(1.1)"
    assert chapter.select_one("link[data-parts*='katex/katex.css']")


def test_a_page_loads_nothing_that_it_does_not_use(site):
    text = (site / "book/index.html").read_text("utf8")
    addresses = " ".join([*loads(text), *re.findall(r'data-parts="([^"]+)"', text)])
    assert "basic.css" in addresses or "theme.css" in addresses
    for name in ("katex", "fontawesome", "searchindex", "thebe", "togglebutton", "figures"):
        assert name not in addresses
    assert "searchindex.js" in (site / "search.html").read_text("utf8")


def test_everything_that_a_page_loads_is_in_the_site(site):
    for path in pages(site):
        text = path.read_text("utf8")
        assert foreign(text) == []
        missing = [a for a in loads(text) if not (path.parent / a.partition("?")[0]).exists()]
        assert missing == [], path.name


def test_a_planted_third_party_script_would_be_seen(site):
    page = (site / "book/chapter.html").read_text("utf8")
    for planted in (
        '<script src="https://cdn.example/a.js">',
        '<link href="//fonts.example/a.css">',
    ):
        assert len(foreign(page.replace("</body>", planted + "</body>"))) == 1


def test_the_policy_of_each_page_covers_its_inline_scripts_and_styles(site):
    for path in pages(site):
        page = BeautifulSoup(path.read_text("utf8"), "html.parser")
        content = page.select_one("meta[http-equiv=Content-Security-Policy]")["content"]
        bodies = [
            tag.string
            for tag in page.select("script:not([src])")
            if tag.get("type", "text/javascript") == "text/javascript"
        ]
        styles = [tag.string for tag in page.select("style")]
        for kind, inline in (("script-src", bodies), ("style-src-elem", styles)):
            (allowed,) = re.findall(rf"{kind} ([^;]*)", content)
            hashes = {
                base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in inline
            }
            assert set(re.findall(r"'sha256-([^']+)'", allowed)) == hashes, path.name
        # Ours before the first paint; the theme's that focuses the field of the search page.
        assert len(bodies) <= (2 if path.name == "search.html" else 1)
        assert not re.search(r"<[^>]+\son[a-z]+=", re.sub(r"<script.*?</script>", "", str(page)))


def test_the_front_door_leads_to_the_book(site):
    door = BeautifulSoup((site / "index.html").read_text("utf8"), "html.parser")
    assert door.html["lang"] == "en-GB"
    assert door.title.string
    assert door.select_one("meta[http-equiv=refresh]")["content"] == "0; url=book/index.html"
    assert door.a["href"] == "book/index.html"


def test_a_figure_has_its_dark_form(site, chapter):
    light, dark = chapter.select("figure img")
    assert light["alt"] == dark["alt"] == "A line that falls from left to right."
    assert palette.PRIMARY in (site / "book" / light["src"]).read_text("utf8")
    drawn = (site / "book" / dark["src"]).read_text("utf8")
    assert palette.DARK[palette.PRIMARY] in drawn
    assert palette.PRIMARY not in drawn
    assert chapter.select_one("figure figcaption")


def test_code_and_solutions_fold_without_a_script(chapter):
    assert [box.has_attr("open") for box in chapter.select("details.bnn-code")] == [False, True]
    assert chapter.select_one("#bnn-code-button")["aria-pressed"] == "false"
    assert chapter.select_one("details.solution > summary").get_text(strip=True)


def test_a_page_without_code_has_no_button_for_it(site):
    assert "bnn-code-button" not in (site / "book/index.html").read_text("utf8")


def test_the_chapter_s_entry_agrees_with_the_books(site, chapter):
    book = citing.read_book(ROOT / "CITATION.cff")
    (entry,) = parse_file(str(site / "cite/chapter.bib")).entries.values()
    assert entry.fields["title"] == r"{A chapter \& its sum}"
    assert entry.fields["booktitle"] == f"{{{book.title}}}"
    assert entry.fields["version"] == book.version
    assert entry.fields["chapter"] == "1"
    url = chapter.select_one("link[rel=canonical]")["href"]
    assert entry.fields["url"] == url
    assert chapter.select_one("meta[name=citation_public_url]")["content"] == url
    assert chapter.select_one("#cite-bibtex").get_text() == (site / "cite/chapter.bib").read_text()
    for link in chapter.select(".bnn-cite a[download]"):
        assert (site / "book" / link["href"]).is_file()
    data = json.loads(chapter.select_one("script[type='application/ld+json']").string)
    assert (data["name"], data["description"]) == ("A chapter & its sum", "What it says.")


def test_only_chapters_are_cited_alone(site):
    index = (site / "book/index.html").read_text("utf8")
    assert '"@type": "Book"' in index
    assert "bnn-cite" not in index + (site / "book/glossary.html").read_text("utf8")


def test_the_links_of_the_header_lead_where_they_say(site, chapter):
    source = chapter.select_one("a.btn-download-notebook-button")["href"]
    notebook = json.loads((site / "book" / source).read_text("utf8"))
    assert any("shown = 2" in "".join(cell["source"]) for cell in notebook["cells"])
    links = " ".join(a["href"] for a in chapter.select(".article-header-buttons a"))
    repository = "https://github.com/bnnbook/bnnbook"
    assert f"{repository}/edit/main/book/chapter.md" in links
    assert f"{repository}/issues/new" in links
    assert "mybinder.org/v2/gh/bnnbook/bnnbook/main?urlpath=lab/tree/book/chapter.md" in links
    assert chapter.select_one("a.left-prev")["href"] == "index.html"
    assert chapter.select_one("a.right-next")["href"] == "glossary.html"


def test_icons_and_litter_are_gone(site):
    fonts = list((site / "_static/vendor/fontawesome/webfonts").iterdir())
    assert sum(font.stat().st_size for font in fonts) < 12_000
    litter = ("*.map", "fontawesome.js*", "thebe*", "*.ttf")
    assert [path for pattern in litter for path in site.rglob(pattern)] == []


def test_a_second_build_changes_no_finished_page(folder, site):
    before = {path: path.read_bytes() for path in pages(site)}
    assert run_build(folder).returncode == 0
    assert {path: path.read_bytes() for path in pages(site)} == before


def test_a_bad_formula_and_a_foreign_colour_fail_the_build_where_they_stand(tmp_path):
    bad = CHAPTER.replace("A shown source:", r"Line with $\nosuchmacro$.")
    write_book(tmp_path, bad, stroke="#ff00ff")
    done = run_build(tmp_path)
    assert done.returncode == 1
    line = bad.splitlines().index(r"Line with $\nosuchmacro$.") + 1
    assert re.search(rf"chapter\.md:{line}: WARNING: KaTeX.*\\nosuchmacro", done.stderr)
    assert re.search(r"figure line\.svg on book/chapter\.html .*#ff00ff", done.stderr)


# ---- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(site):
    """The chapter, opened in Chromium at a phone's width, and what the console said."""
    executable = browser.find()
    if executable is None:
        pytest.skip("no Chromium found")
    said: list[str] = []
    with (
        server.serving(site, prefix="/a/sub/path/") as address,
        browser.chromium(executable) as chromium,
    ):
        page = chromium.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
        page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        yield SimpleNamespace(page=page, address=address, said=said)


def test_a_dark_page_fetches_the_dark_figure_only(opened):
    asked: list[str] = []
    opened.page.on("request", lambda request: asked.append(request.url))
    opened.page.goto(opened.address + "book/chapter.html")
    opened.page.locator("figure").scroll_into_view_if_needed()
    opened.page.wait_for_load_state("networkidle")
    assert [url.rpartition("/")[2] for url in asked if "_images" in url] == ["line-dark.svg"]
    assert opened.said == []


def test_the_button_folds_every_source_and_is_remembered(opened):
    page = opened.page
    page.goto(opened.address + "book/chapter.html")
    unfolded = "document.querySelectorAll('details.bnn-code[open]').length"
    assert page.evaluate(unfolded) == 1
    page.click("#bnn-code-button")
    assert page.get_attribute("#bnn-code-button", "aria-pressed") == "true"
    page.reload()
    assert page.evaluate(unfolded) == 0
    page.click("#bnn-code-button")
    assert page.evaluate(unfolded) == 2
    page.reload()
    assert page.evaluate(unfolded) == 1


def test_paper_is_light_and_hides_nothing(opened):
    page = opened.page
    page.goto(opened.address + "book/chapter.html")
    closed = "document.querySelectorAll('article details:not([open])').length"
    theme = "document.documentElement.dataset.theme"
    before = page.evaluate(closed), page.evaluate(theme)
    assert before == (2, "dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert (page.evaluate(closed), page.evaluate(theme)) == (0, "light")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert (page.evaluate(closed), page.evaluate(theme)) == before


def test_the_narrowest_phone_scrolls_down_only(opened):
    page = opened.page
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(opened.address + "book/chapter.html")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) == 0
    page.set_viewport_size({"width": 390, "height": 800})


@pytest.mark.parametrize(
    ("query", "first", "status"),
    [
        ("shrinkage towards", "book/chapter.html#shrinkage-towards-the-mean", "section"),
        ("zzzqqq <img onerror=alert()>", None, "Nothing found"),
        ("x" * 10_000, None, "Nothing found"),
    ],
)
def test_search_leads_to_the_section_or_says_that_there_is_none(opened, query, first, status):
    page = opened.page
    page.goto(opened.address + "book/index.html")
    page.keyboard.press("/")
    page.fill("#pst-search-dialog input", query)
    page.locator(".bnn-search-status:not(:empty)").wait_for()
    assert status in page.inner_text(".bnn-search-status")
    found = page.eval_on_selector_all(".bnn-search-results a", "links => links.map(a => a.href)")
    assert found[:1] == ([opened.address + first] if first else [])
    if first:
        page.keyboard.press("Enter")
        page.wait_for_url("**#shrinkage-towards-the-mean")
    assert opened.said == []


def test_a_planted_script_is_refused_by_the_policy(site, opened):
    text = (site / "book/chapter.html").read_text("utf8")
    planted = site / "book/planted.html"
    bad = "<script>document.title = 'hacked'</script><style>h1 { display: none }</style></body>"
    planted.write_text(text.replace("</body>", bad))
    try:
        opened.page.goto(opened.address + "book/planted.html")
        assert opened.page.title() != "hacked"
        assert opened.page.locator("h1:visible").count() == 1
        assert any("Content Security Policy" in line for line in opened.said)
    finally:
        planted.unlink()
        opened.said.clear()
