"""Pages made light before they are parsed.

Two of three elements of a page are spans of highlighted code and of the layout of formulas. Nothing
that is mended, checked or indexed looks into them, and a parsed page is searched dozens of times.
"""

import re
from collections.abc import Callable
from pathlib import Path

from bs4 import BeautifulSoup

_CODE = re.compile(r"(?P<open><pre\b[^>]*>)(?P<inside>.*?)(?P<close></pre>)", re.S)
_FORMULA = re.compile(r'<span\b[^>]*\bclass="katex"[^>]*>')
_LAYOUT = re.compile(r'<span\b[^>]*\bclass="katex-html"[^>]*>')
_ANNOTATION = re.compile(r"<annotation\b.*?</annotation>", re.S)
_SPAN = re.compile(r"<(/?)span\b[^>]*>")
#: Stands for what was set aside: characters for private use, which no text holds.
_MARK = re.compile("\ue000([0-9]+)\ue001")


def set_aside(page: str) -> tuple[str, list[str]]:
    """The page with a mark in each formula and each block of code, and what the marks stand for.

    The elements themselves, ``span.katex`` and ``pre``, stay. :func:`put_back` undoes it.

    Raises:
        ValueError: If the page holds such a mark already.
    """
    if _MARK.search(page):
        raise ValueError("the page holds a mark of its own, \\ue000 number \\ue001")
    aside: list[str] = []

    def mark(inside: str) -> str:
        aside.append(inside)
        return f"\ue000{len(aside) - 1}\ue001"

    return _insides_of_code(_insides(_FORMULA, page, mark), mark), aside


def put_back(page: str, aside: list[str]) -> str:
    """The page with what :func:`set_aside` took out."""
    return _MARK.sub(lambda found: aside[int(found[1])], page)


def read_aloud(page: str) -> str:
    """The page without the layout of formulas, their TeX and the colours of code.

    What a screen reader would say of it is all there.
    """
    page = _insides(_LAYOUT, _ANNOTATION.sub("", page), lambda inside: "")
    return _insides_of_code(page, lambda inside: _SPAN.sub("", inside))


def parsed(path: Path) -> BeautifulSoup:
    """A file of the site as it is read aloud. What is printed or written again needs all of it."""
    return BeautifulSoup(read_aloud(path.read_text("utf8")), "html.parser")


def _insides_of_code(page: str, change: Callable[[str], str]) -> str:
    return _CODE.sub(lambda block: block["open"] + change(block["inside"]) + block["close"], page)


def _insides(opening: re.Pattern[str], page: str, change: Callable[[str], str]) -> str:
    """The page with what is inside each span that opens thus, spans in it included, changed."""
    pieces, at = [], 0
    while start := opening.search(page, at):
        depth = 1
        for tag in _SPAN.finditer(page, start.end()):
            depth += -1 if tag[1] else 1
            if depth == 0:
                break
        else:
            raise ValueError(f"{start[0]} is never closed")
        pieces += [page[at : start.end()], change(page[start.end() : tag.start()])]
        at = tag.start()
    return "".join([*pieces, page[at:]])
