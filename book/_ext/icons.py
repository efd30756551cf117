"""Font Awesome cut down to the icons that the site shows.

The theme brings three fonts of some 300 kB and a script of 1.5 MB that draws the same icons. The
script goes (``html_pages``), and of the fonts and of the stylesheet only what a page or another
rule names stays.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pydata_sphinx_theme
from fontTools import subset, ttLib

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
STYLE = Path("styles/pydata-sphinx-theme.css")
FONTS = Path("vendor/fontawesome/webfonts")
RULE = re.compile(r'((?:\.fa-[a-z0-9-]+:{1,2}before,?)+)\{content:"\\([0-9a-f]+)"\}')
NAMED = re.compile(r"\bfa-([a-z0-9-]+)")
CODE = re.compile(r"\\([ef][0-9a-f]{3})\b")
PRIVATE = range(0xE000, 0xF900)


def codes(stylesheet: str) -> dict[str, int]:
    """The code point of every icon that a stylesheet defines, by the icon's name."""
    return {
        name: int(rule[2], 16)
        for rule in RULE.finditer(stylesheet)
        for name in re.findall(r"\.fa-([a-z0-9-]+):", rule[1])
    }


def wanted(stylesheets: Iterable[str], pages: Iterable[str], scripts: Iterable[str]) -> set[int]:
    """The code points that the site can show.

    Args:
        stylesheets: Their texts; an icon that a rule shows without a class (``content``) counts.
        pages: HTML; an icon that a class names counts.
        scripts: JavaScript; likewise.
    """
    styles = list(stylesheets)
    known: dict[str, int] = {}
    for style in styles:
        known |= codes(style)
    named = {name for text in (*pages, *scripts) for name in NAMED.findall(text)}
    points = {known[name] for name in named & known.keys()}
    for style in styles:
        points |= {int(code, 16) for code in CODE.findall(RULE.sub("", style))}
        points |= {ord(character) for character in style if ord(character) in PRIVATE}
    return points


def subset_font(source: Path, target: Path, points: set[int]) -> None:
    """Write ``source`` with the glyphs of ``points`` alone, as woff2."""
    # A fixed timestamp, so that the same icons give the same bytes.
    font = ttLib.TTFont(source, recalcTimestamp=False)
    cutter = subset.Subsetter(subset.Options())
    cutter.populate(unicodes=points)
    cutter.subset(font)
    font.flavor = "woff2"
    font.save(target)


def trim(stylesheet: str, points: set[int]) -> str:
    """A stylesheet without the rules of icons that are not shown."""
    return RULE.sub(lambda rule: rule[0] if int(rule[2], 16) in points else "", stylesheet)


def _texts(folder: Path, pattern: str) -> list[str]:
    return [path.read_text("utf8", "ignore") for path in folder.rglob(pattern)]


def shrink(site: Path) -> None:
    """Replace the theme's icon fonts and icon rules in a built site by what it shows."""
    static = site / "_static"
    if not (static / FONTS).is_dir():
        return
    whole = (THEME / STYLE).read_text("utf8")
    styles = [whole, *_texts(static, "*.css")]
    points = wanted(styles, _texts(site, "*.html"), _texts(static, "*.js"))
    (static / STYLE).write_text(trim(whole, points), "utf8")
    for font in (static / FONTS).glob("*.woff2"):
        subset_font(THEME / FONTS / font.name, font, points)
    for old in (static / FONTS).glob("*.ttf"):
        old.unlink()
