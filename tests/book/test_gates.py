"""Every gate finds what it is there to find: each test plants one violation in a good site."""

import re

import pytest

import browser
import gates
import weight
from execute import Project

PAGE = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# One

The **likelihood** is {glue:text}`value` and $p = 0.5$, as {cite:t}`bayes1763` says in 2.1.3.

% literal: the year's own version
Version 3.5 of it.

```{code-cell} ipython3
---
mystnb:
  figure: {name: fig-one, caption: "A sine over one period."}
  image: {alt: "The curve rises, falls below zero and comes back."}
---
x = 1.5
```

```{note}
:class: dropdown
Prose in a box, with a [link](#one).
```
"""
ALT = "The curve rises, falls below zero and comes back."
HTML = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>One</title><link rel="icon" href="data:,">
</head><body><main><article><h1 id="one">One</h1><p><a href="#one">Up</a></p>
<figure><img src="../_images/abc.png" alt="{ALT}" width="1" height="1">
<figcaption><p><span class="caption-text">A sine.</span></p></figcaption></figure>
</article></main></body></html>
"""
SOURCE = "book/index.md"
BUILT = "html/book/index.html"
FRONT = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Book</title>
<meta http-equiv="refresh" content="0; url=book/index.html"></head><body></body></html>"""
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)


@pytest.fixture
def site(tmp_path):
    """A site of one page with nothing wrong."""
    files = {
        "_toc.yml": "format: jb-book\nroot: book/index\n",
        "book/index.md": PAGE,
        "book/glossary.md": "# Glossary\n\n```{glossary}\nlikelihood\n  What it is.\n```\n",
        "html/index.html": FRONT,
        "html/book/index.html": HTML,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "html/_images").mkdir()
    (tmp_path / "html/_images/abc.png").write_bytes(PIXEL)
    return gates.Site(Project(tmp_path), tmp_path / "html")


def plant(site: gates.Site, name: str, old: str, new: str) -> None:
    path = site.project.root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_good_site_passes_every_gate(site):
    assert [finding for gate in gates.STATIC for finding in gate(site)] == []


@pytest.mark.parametrize(
    ("gate", "name", "old", "new", "finding"),
    [
        (
            "tracebacks",
            BUILT,
            "<figure>",
            '<div class="output stderr">x</div><figure>',
            "shows 'x'",
        ),
        (
            "tracebacks",
            BUILT,
            "<figure>",
            '<div class="output traceback">x</div><figure>',
            "shows 'x'",
        ),
        ("figures", BUILT, f'alt="{ALT}"', "", "alternative text ''"),
        (
            "figures",
            BUILT,
            ALT,
            "_images/abc.png and some more text to be long",
            "alternative text",
        ),
        ("figures", BUILT, ALT, "Figure 1", "alternative text 'Figure 1'"),
        ("figures", BUILT, '<span class="caption-text">A sine.</span>', "", "no caption"),
        ("links", BUILT, 'href="#one"', 'href="#two"', "broken link"),
        ("links", BUILT, 'href="#one"', 'href="missing.html"', "broken link"),
        ("typed_decimals", SOURCE, "Prose in a box", "Prose of 0.81 in a box", "0.81 is typed"),
        ("typed_decimals", SOURCE, "The **like", "It is -1.5 here. The **like", "-1.5 is typed"),
        ("typed_decimals", SOURCE, "over one period", "over 6.28", "6.28 is typed"),
        ("typed_decimals", SOURCE, "% literal: the year's own version\n", "", "3.5 is typed"),
        ("undefined_terms", SOURCE, "**likelihood**", "**evidence**", "'evidence' is bold"),
        ("undefined_terms", SOURCE, "Prose in a box", "**Prose** in a box", "'Prose' is bold"),
        ("shown_source", SOURCE, "x = 1.5", "import inspect\ninspect.getsource(f)", "getsource"),
    ],
)
def test_a_planted_violation_is_found(site, gate, name, old, new, finding):
    check = getattr(gates, gate)
    assert check(site) == []
    plant(site, name, old, new)
    (found,) = check(site)
    assert finding in found


def test_a_missing_page_is_found(site):
    (site.html / "book/index.html").unlink()
    (site.html / "index.html").unlink()
    assert len(gates.missing_pages(site)) == 2


@pytest.mark.parametrize("plural", ["**likelihoods**", "**Likelihood**", "**likelihood**,"])
def test_a_term_is_known_in_the_plural_and_at_the_start_of_a_sentence(site, plural):
    plant(site, "book/index.md", "**likelihood**", plural)
    assert gates.undefined_terms(site) == []


@pytest.fixture
def one_width(monkeypatch):
    """One width is enough to find what is planted."""
    monkeypatch.setattr(gates, "WIDTHS", gates.WIDTHS[-1:])


@pytest.fixture(scope="module")
def executable():
    path = browser.find_or_install(install=True)
    assert path, "these checks need a Chromium"
    return path


def test_a_good_site_passes_in_the_browser(site, executable):
    assert gates.in_browser(site, executable) == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("</body>", "<script>throw new Error('planted')</script></body>", "script error: planted"),
        ("</body>", "<script>console.error('planted')</script></body>", "planted"),
        ("</body>", '<img src="https://example.org/x.png" alt=""></body>', "asks for https://example.org"),
        ("</body>", '<img src="gone.png" alt=""></body>', "404"),
        ("</body>", '<img src="../book/index.md" alt=""></body>', "asks for http"),
        ("</body>", '<div style="width: 3000px">wide</div></body>', "px wider than the window"),
    ],
)  # fmt: skip
def test_a_violation_in_the_browser_is_found(site, executable, one_width, old, new, finding):
    plant(site, "html/book/index.html", old, new)
    assert finding in "\n".join(gates.in_browser(site, executable))


def test_a_page_over_its_budget_is_found(site, executable, one_width, monkeypatch):
    monkeypatch.setattr(weight, "MOST_KIB", 0.1)
    assert "KiB, at most 0.1" in "\n".join(gates.in_browser(site, executable))


def test_a_script_that_lays_out_all_of_a_long_page_is_found(site, executable, one_width):
    section = (
        '<section style="content-visibility: auto; contain-intrinsic-height: 2000px">{}</section>'
    )
    long = "".join(section.format("<p>word</p>" * 800) for _ in range(15))
    plant(site, "html/book/index.html", "</article>", f"</article>{long}")
    assert gates.in_browser(site, executable) == []
    measure = "<script>document.querySelectorAll('p').forEach((p) => p.scrollWidth)</script>"
    plant(site, "html/book/index.html", "</body>", f"{measure}</body>")
    (found,) = gates.in_browser(site, executable)
    assert re.search(r"lays out \d+ boxes, at most 15000", found)


def test_an_accessibility_violation_is_found(site, executable, one_width):
    plant(site, "html/book/index.html", f' alt="{ALT}"', "")
    assert any("axe: image-alt" in finding for finding in gates.in_browser(site, executable))


def test_a_violation_in_the_dark_alone_is_found(site, executable, one_width):
    dim = "<style>@media (prefers-color-scheme: dark) { body { background: #000; color: #222 } }"
    plant(site, "html/book/index.html", "</head>", f"{dim}</style></head>")
    found = gates.in_browser(site, executable)
    assert found
    assert all(", dark): axe: color-contrast" in finding for finding in found)


FAINT = '<p style="color: #ccc; background: #fff">faint</p>'


@pytest.mark.parametrize(
    ("planted", "finding"),
    [
        (f"<details><summary>More</summary>{FAINT}</details>", "axe: color-contrast"),
        (
            '<button class="primary-toggle" onclick="this.nextElementSibling.showModal()">Contents'
            f"</button><dialog aria-label='Contents'>{FAINT}</dialog>",
            ", contents of the book, light): axe: color-contrast",
        ),
    ],
)
def test_a_violation_that_is_folded_away_is_found(site, executable, one_width, planted, finding):
    plant(site, "html/book/index.html", "</article>", f"{planted}</article>")
    assert finding in "\n".join(gates.in_browser(site, executable))


def test_a_page_that_stays_light_in_the_dark_is_found(site, executable, one_width):
    plant(site, "html/book/index.html", '<html lang="en">', '<html lang="en" data-theme="light">')
    found = gates.in_browser(site, executable)
    assert found == [
        "book/index.html (390 px, dark): shows itself in other colours than it was asked for"
    ]


def test_what_is_cut_off_by_a_section_that_lays_itself_out_is_found(site, executable, one_width):
    wide = '<section style="content-visibility: auto"><div style="width: 3000px">w</div></section>'
    plant(site, "html/book/index.html", "</article>", f"</article>{wide}")
    assert "px wider than the window" in "\n".join(gates.in_browser(site, executable))


def test_a_front_door_that_leads_nowhere_is_found(site, executable, one_width):
    plant(site, "html/index.html", "url=book/index.html", "url=index.html#")
    assert "leads to" in gates.in_browser(site, executable)[0]


def test_without_a_browser_ci_fails_and_others_are_told(site, monkeypatch, capsys):
    monkeypatch.setattr(browser, "find_or_install", lambda install: None)
    monkeypatch.delenv("CI", raising=False)
    assert gates.check(site) == []
    assert "were not checked" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert re.search("no Chromium found", "".join(gates.check(site)))
