"""Every figure gets a dark partner, and a colour that has none is told."""

import re
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup

import figures
from bnnbook.plotting import palette, style

mpl.use("agg")
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt">{}</svg>'


def drawn(path, **line):
    """A real figure in the book's style."""
    with plt.rc_context(style.settings()):
        fig, ax = plt.subplots()
        ax.plot([0, 1], [1, 0], label="a line", **line)
        ax.fill_between([0, 1], [0, 1], alpha=0.3)
        ax.set(xlabel="x", ylabel="y")
        ax.legend()
        fig.savefig(path)
        plt.close(fig)
    return path.read_text("utf8")


def test_a_figure_in_the_books_style_has_a_dark_form_of_each_colour(tmp_path):
    svg = drawn(tmp_path / "a.svg")
    assert figures.foreign_paints(svg, palette.DARK) == []
    dark = figures.darken(svg, palette.DARK)
    for light, partner in palette.DARK.items():
        assert light not in dark.lower()
        assert (light in svg) == (partner in dark)
    # What is no colour stays: ids, references, shapes.
    assert figures.darken(dark, {b: a for a, b in palette.DARK.items()}) == svg


def test_a_compact_figure_keeps_every_shape_and_place(tmp_path):
    svg = drawn(tmp_path / "a.svg")
    small = figures.compact(svg)
    assert len(small) < 0.9 * len(svg)
    assert figures.compact(small) == small
    before, after = (list(ElementTree.fromstring(text).iter()) for text in (svg, small))
    kept = [element for element in before if "metadata" not in element.tag]
    paths = [[e.get("d", "") for e in tree if e.tag.endswith("}path")] for tree in (kept, after)]
    for old, new in zip(*paths, strict=True):
        places = [np.array(re.findall(r"-?[\d.]+", d), float) for d in (old, new)]
        np.testing.assert_allclose(places[0], places[1], atol=0.00501, rtol=0)
    assert re.findall(r"scale\([^)]*\)", svg) == re.findall(r"scale\([^)]*\)", small)


def test_ids_that_look_like_colours_stay():
    svg = SVG.format('<use xlink:href="#0b62c4" style="fill: #0b62c4"/>')
    assert figures.darken(svg, palette.DARK) == SVG.format(
        f'<use xlink:href="#0b62c4" style="fill: {palette.DARK["#0b62c4"]}"/>'
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<path style="fill: #ff00ff"/>', "#ff00ff"),
        ('<path style="fill: none; stroke: Red"/>', "red"),
        ('<path fill="none" stroke="#123456"/>', "#123456"),
        ("<path d='M0 0'/>", "black (a shape or text with no fill set)"),
        ("<g><text>words</text></g>", "black (a shape or text with no fill set)"),
        ('<image style="fill: none"/>', "a raster image"),
    ],
)
def test_what_has_no_dark_form_is_found(body, expected):
    assert figures.foreign_paints(SVG.format(body), palette.DARK) == [expected]


@pytest.mark.parametrize(
    "body",
    [
        '<g style="fill: #1f2328"><path/></g>',
        "<defs><path/></defs><clipPath><rect/></clipPath>",
        '<use style="fill-opacity: 0; stroke: #0b62c4"/>',
        '<path style="fill: url(#hatch); stroke: none"/>',
    ],
)
def test_what_has_a_dark_form_is_not_found(body):
    assert figures.foreign_paints(SVG.format(body), palette.DARK) == []


def test_a_planted_colour_is_found_in_a_real_figure(tmp_path):
    assert figures.foreign_paints(drawn(tmp_path / "a.svg", color="#ff7f0e"), palette.DARK) == [
        "#ff7f0e"
    ]


def test_a_page_shows_both_forms_with_one_size_and_one_text(tmp_path):
    (tmp_path / "_images").mkdir()
    svg = SVG.format('<path style="fill: #ffffff"/>')
    (tmp_path / "_images/a.svg").write_text(svg, "utf8")
    assert figures.write_dark_partners(tmp_path / "_images", palette.DARK) == {}
    assert (tmp_path / "_images/a-dark.svg").is_file()
    page = tmp_path / "book.html"
    soup = BeautifulSoup('<img class="mid" alt="A line." src="_images/a.svg">', "html.parser")
    figures.pair_images(soup, page)
    figures.pair_images(soup, page)
    light, dark = soup.select("img")
    assert (light["src"], dark["src"]) == ("_images/a.svg", "_images/a-dark.svg")
    for image, name in ((light, "bnn-light"), (dark, "bnn-dark")):
        assert image["class"] == ["mid", "dark-light", name]
        assert (image["width"], image["height"]) == ("96", "48")
        assert (image["alt"], image["loading"]) == ("A line.", "lazy")


def test_partners_of_partners_are_not_made(tmp_path):
    (tmp_path / "a.svg").write_text(SVG.format(""), "utf8")
    figures.write_dark_partners(tmp_path, palette.DARK)
    figures.write_dark_partners(tmp_path, palette.DARK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-dark.svg", "a.svg"]


@pytest.mark.parametrize(("words", "schemes"), [(100, ["light", "dark"]), (1000, [])])
def test_a_figure_of_the_first_screen_is_fetched_at_once(words, schemes):
    image = '<img class="bnn-light" src="../_images/a.svg">'
    text = f"<article><p>{'word ' * words}</p>{image}{image}</article>"
    soup = BeautifulSoup(f"<html><head></head><body>{text}</body></html>", "html.parser")
    figures.preload_first(soup)
    links = soup.head.select("link[rel=preload][as=image]")
    assert [link["media"] for link in links] == [f"(prefers-color-scheme: {s})" for s in schemes]
    assert [link["href"] for link in links] == ["../_images/a.svg", "../_images/a-dark.svg"][
        : len(schemes)
    ]


def test_a_page_without_a_figure_asks_for_none():
    soup = BeautifulSoup("<html><head></head><body></body></html>", "html.parser")
    figures.preload_first(soup)
    assert not soup.select("link")
