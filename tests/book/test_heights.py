"""Sections keep about as much room as they will take, before a browser has laid them out."""

import re

import numpy as np
import pytest
from bs4 import BeautifulSoup

import heights
import lean
from small_site import DOCS, SITE

PAGE = """<div class="bd-article"><section><h1>C</h1><div class="cell"></div>
<section id="a"><h2>A</h2><p>{words}</p>{}</section></section></div>"""


def room(content):
    """What is kept for a section that holds this, narrow and wide."""
    text, aside = lean.set_aside(PAGE.format(content, words="Some words. " * 40))
    soup = BeautifulSoup(text, "html.parser")
    heights.reserve(soup, aside)
    narrow, wide = re.findall(r":(\d+)px", soup.select_one("#a")["style"])
    return np.array([int(narrow), int(wide)])


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        ("x" * 1000, (600, 350)),
        ("<pre><span>a</span>" + "\n" * 50 + "</pre>", (820, 805)),
        ("<figure></figure>", (120, 308)),
        ('<div class="math"><span class="katex"><b>1</b></span></div>' * 10, (1160, 1230)),
    ],
)
def test_what_a_section_holds_makes_room(content, pixels):
    # The marks that stand for what was set aside count as a few letters each.
    assert room(content) - room("") == pytest.approx(pixels, abs=25)


def test_what_is_folded_away_needs_the_room_of_its_title_only():
    folded = '<details class="admonition"><summary>S</summary>{}</details>'
    assert room(folded.format("<p>long</p>" * 100)) == pytest.approx(room(folded.format("")), abs=1)


def test_no_section_has_less_room_than_a_heading():
    inside = '<section><div class="cell"></div><section></section></section>'
    empty = BeautifulSoup(f'<div class="bd-article">{inside}</div>', "html.parser")
    heights.reserve(empty, [])
    assert empty.select_one("[style]")["style"] == "--bnn-narrow:100px;--bnn-wide:100px"


@pytest.mark.site
@pytest.mark.parametrize(("width", "index"), [(390, 0), (1280, 1)])
def test_the_room_is_about_right(served, width, index):
    """Within a fifth for three in four sections (the fit has five in six, at full size)."""
    chromium, address = served
    page = chromium.new_page(viewport={"width": width, "height": 900}, java_script_enabled=False)
    shares = []
    for doc in DOCS:
        page.goto(f"{address}{doc}.html")
        for section in page.locator(f"{heights.SECTIONS}[style]").all():
            kept = re.findall(r":(\d+)px", section.get_attribute("style"))[index]
            shares.append(int(kept) / section.bounding_box()["height"])
    assert SITE.html.is_dir()
    assert len(shares) > 100
    assert np.mean(np.abs(np.array(shares) - 1) < 0.2) > 0.7
    assert 0.8 < np.median(shares) < 1.25
