"""How high a section will be, roughly, before a browser has laid it out.

``booksite.css`` lets a browser lay a section out only when it comes near; until then it keeps as
much room as is said here, so that the scrollbar tells how long a page is. The numbers are a least
squares fit to the book's 190 sections at 390 and at 1,280 pixels, which it meets within a fifth for
five in six of them.
"""

import numpy as np
from bs4 import BeautifulSoup, Tag

import lean

#: The parts of a page that lay themselves out, and where they say how high they may be.
SECTIONS = ".bd-article > section > section"
NARROW, WIDE = "--bnn-narrow", "--bnn-wide"
#: Pixels that one letter of text, one line of code and one of each part take, narrow and wide.
LETTER = (0.6, 0.35)
LINE = (16.4, 16.1)
PARTS = {
    "p, li, h2, h3, summary": (20, 12),
    ".admonition": (75, 70),
    "div.math": (116, 123),
    "figure": (120, 308),
    ".bnn-figure": (765, 107),
    "tr": (76, 54),
}
LEAST = 100
#: What is no running text.
NOT_TEXT = "pre, table, .bnn-figure"
FOLDED = "details.admonition"


def reserve(soup: BeautifulSoup, aside: list[str]) -> None:
    """Write into each section of a page how high it will be on a phone and on a wide screen.

    Args:
        soup: The page without what :func:`lean.set_aside` took out.
        aside: What that was.
    """
    # Pages without code are short, and Lighthouse misjudges what is not laid out there.
    for section in soup.select(SECTIONS) if soup.select_one("div.cell") else ():
        room = _height(section, aside)
        for box in section.select(FOLDED):
            room -= _height(box, aside)
        narrow, wide = np.maximum(room, LEAST)
        section["style"] = f"{NARROW}:{narrow:.0f}px;{WIDE}:{wide:.0f}px"


def _height(tag: Tag, aside: list[str]) -> np.ndarray:
    """How high what is in an element will be, narrow and wide."""
    letters = len(tag.get_text()) - sum(len(part.get_text()) for part in tag.select(NOT_TEXT))
    lines = sum(lean.put_back(pre.get_text(), aside).count("\n") for pre in tag.select("pre"))
    counts = [max(letters, 0), lines, *(len(tag.select(css)) for css in PARTS)]
    return np.array(counts, float) @ np.array([LETTER, LINE, *PARTS.values()])
