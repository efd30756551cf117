"""Figures that follow the theme: each computed SVG gets a dark partner, and a page shows one.

A figure is drawn once, in the light colours of :mod:`bnnbook.plotting.palette`. Its partner has
each colour replaced by the palette's dark one. A colour that the palette does not know would stay
as it is on a dark page, so it is a warning that names the figure and the page.
"""

import re
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from xml.etree import ElementTree

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString

from bnnbook.plotting import palette
from html_pages import add_class

#: Attributes and style properties that hold a colour.
PAINTS = ("fill", "stroke", "stop-color", "flood-color", "color")
NEUTRAL = {"none", "transparent", "currentcolor", "inherit"}
PAINT = re.compile(
    rf"(?P<before>(?<![\w-])(?:{'|'.join(PAINTS)})\s*(?::|=\s*[\"'])\s*)(?P<colour>[^;\"'}}]+)"
)
#: A style that says what fills a shape: a colour, or that nothing is seen of it.
OWN_FILL = re.compile(r"(?<![\w-])(?:fill\s*:|fill-opacity\s*:\s*0(?:\.0*)?(?:;|$))")
#: Attributes that hold coordinates; scales and opacities stand elsewhere and keep their digits.
COORDINATES = re.compile(r'\s(?:d|x|y|points)="[^"]*"')
LONG = re.compile(r"-?\d+\.\d{3,}")
SHAPES = {"circle", "ellipse", "line", "path", "polygon", "polyline", "rect", "text", "use"}
#: Elements that are drawn only where something refers to them.
UNDRAWN = {"defs", "clipPath", "metadata", "style"}
UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4}
DARK_SUFFIX = "-dark.svg"
#: So many words may stand before a figure that a phone shows at first.
FIRST_SCREEN = 280


def compact(svg: str) -> str:
    """The figure without what nobody sees: metadata, indents, digits below 1/100 of a point."""
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = COORDINATES.sub(lambda attribute: LONG.sub(_rounded, attribute[0]), svg)
    return re.sub(r">\s+<", "><", svg)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def darken(svg: str, dark: Mapping[str, str]) -> str:
    """The figure with every colour of ``dark`` replaced by its partner."""
    partner = {light.lower(): colour for light, colour in dark.items()}

    def swap(paint: re.Match[str]) -> str:
        colour = paint["colour"].strip()
        return paint["before"] + partner.get(colour.lower(), colour)

    return PAINT.sub(swap, svg)


def foreign_paints(svg: str, dark: Mapping[str, str]) -> list[str]:
    """What in a figure could not be swapped: colours outside the palette, and raster images.

    A shape without any fill is black, which is no colour of the palette either. A raster image
    whose id begins with the palette's ``PICTURE`` stays as it is.
    """
    known = {colour.lower() for colour in dark} | NEUTRAL
    found = {p["colour"].strip().lower() for p in PAINT.finditer(svg)}
    bad = {colour for colour in found - known if not colour.startswith("url(")}
    root = ElementTree.fromstring(svg)
    rasters = (element for element in root.iter() if element.tag.endswith("}image"))
    if any(not raster.get("id", "").startswith(palette.PICTURE) for raster in rasters):
        bad.add("a raster image")
    if _has_default_fill(root, inherited=False):
        bad.add("black (a shape or text with no fill set)")
    return sorted(bad)


def _has_default_fill(element: ElementTree.Element, inherited: bool) -> bool:
    """Whether a drawn shape under ``element`` has no fill of its own or from above."""
    tag = element.tag.rpartition("}")[2]
    if tag in UNDRAWN:
        return False
    style = element.get("style", "")
    filled = inherited or "fill" in element.attrib or bool(OWN_FILL.search(style))
    if tag in SHAPES and not filled:
        return True
    return any(_has_default_fill(child, filled) for child in element)


def size(svg: str) -> tuple[int, int] | None:
    """Width and height in CSS pixels, or none where the figure does not say."""
    root = ElementTree.fromstring(svg)
    lengths = [
        re.fullmatch(r"([\d.]+)([a-z]*)", root.get(side, "")) for side in ("width", "height")
    ]
    if not all(length and length[2] in UNITS for length in lengths):
        return None
    width, height = (round(float(length[1]) * UNITS[length[2]]) for length in lengths if length)
    return width, height


def is_figure(path: Path) -> bool:
    """Whether a file of ``_images`` is a figure in light colours."""
    return path.suffix == ".svg" and not path.name.endswith(DARK_SUFFIX)


def write_dark_partners(images: Path, dark: Mapping[str, str]) -> dict[str, list[str]]:
    """Compact every figure in a folder and write its dark partner.

    Returns:
        By the figure's file name, what in it has no partner.
    """
    problems = {}
    for path in sorted(filter(is_figure, images.glob("*.svg"))):
        svg = compact(path.read_text("utf8"))
        path.write_text(svg, "utf8")
        path.with_name(path.stem + DARK_SUFFIX).write_text(darken(svg, dark), "utf8")
        if bad := foreign_paints(svg, dark):
            problems[path.name] = bad
    return problems


def pair_images(soup: BeautifulSoup, page: Path) -> None:
    """Put the dark partner beside every figure of a page, each with its size.

    The browser fetches only the one that is shown, since both load lazily. The theme's own classes
    for such pairs are of no use: they hide the caption too. Its ``dark-light`` says: do not dim.
    """
    for image in soup.select("img[src*='_images/']"):
        path = page.parent / str(image["src"])
        if not is_figure(path) or "bnn-light" in image.get_attribute_list("class"):
            continue
        _set_size(image, path.read_text("utf8"))
        image["loading"] = "lazy"
        dark = copy(image)
        dark["src"] = _partner(image)
        for tag, name in ((image, "bnn-light"), (dark, "bnn-dark")):
            add_class(tag, "dark-light", name)
        image.insert_after(dark)


def preload_first(soup: BeautifulSoup) -> None:
    """Let the browser fetch a figure of the first screen before it has laid out the page.

    In the colours that the reader's system asks for; the other partner is not fetched.
    """
    article = soup.select_one("article")
    first = article.select_one("img.bnn-light") if article is not None else None
    if article is None or first is None or soup.head is None:
        return
    words = 0
    for part in article.descendants:
        if part is first:
            break
        words += len(part.split()) if isinstance(part, NavigableString) else 0
    if words > FIRST_SCREEN:
        return
    for address, scheme in ((str(first["src"]), "light"), (_partner(first), "dark")):
        link = soup.new_tag(
            "link", rel="preload", href=address, media=f"(prefers-color-scheme: {scheme})"
        )
        link["as"], link["fetchpriority"] = "image", "high"
        soup.head.append(link)


def _partner(image: Tag) -> str:
    """The address of a figure's dark partner."""
    return str(image["src"]).removesuffix(".svg") + DARK_SUFFIX


def _set_size(image: Tag, svg: str) -> None:
    pixels = size(svg)
    if pixels and not image.get("width") and "width" not in str(image.get("style", "")):
        image["width"], image["height"] = str(pixels[0]), str(pixels[1])
