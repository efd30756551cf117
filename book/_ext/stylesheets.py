"""One stylesheet a page in place of a dozen, and of the theme's only the rules that can apply.

A phone's browser asks for six files at a time and paints nothing before the last style is there,
so a dozen small files cost more than their bytes. What a page links is joined in its order; the
link names its parts, so that a later build joins them anew on pages that it does not write anew.
Rules of the theme that neither a page nor a script can meet are taken out by PurgeCSS.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import node_tools

PURGE = "node_modules/purgecss/bin/purgecss.js"
LINK = re.compile(r'<link\b[^>]*\brel="stylesheet"[^>]*>\n?')
HREF = re.compile(r'\bhref="([^"?]+)[^"]*"')
PARTS = re.compile(r'\bdata-parts="([^"]+)"')
IMPORT = re.compile(r'@import\s+"([^"]+)"\s*;')
URL = re.compile(r"""url\(\s*(["']?)(?!data:|https?:|/|#)([^"')]+)\1\s*\)""")
JOINED = "_static/joined"


def join(site: Path, pages: Iterable[Path]) -> None:
    """Give each page one stylesheet, which holds those that it links."""
    groups: dict[tuple[str, ...], list[tuple[Path, str]]] = defaultdict(list)
    for page in pages:
        text = page.read_text("utf8")
        if parts := _parts(site, page, text):
            groups[parts].append((page, text))
    folder = site / JOINED
    folder.mkdir(parents=True, exist_ok=True)
    made = set()
    for parts, members in groups.items():
        style = "\n".join(read(site / part, folder) for part in parts)
        target = folder / f"{hashlib.sha256(style.encode()).hexdigest()[:12]}.css"
        target.write_text(style, "utf8")
        made.add(target)
        for page, text in members:
            address = _from(page.parent, target)
            link = f'<link data-parts="{" ".join(parts)}" href="{address}" rel="stylesheet"/>\n'
            first, *_ = LINK.findall(text)
            page.write_text(LINK.sub("", text.replace(first, "\0", 1)).replace("\0", link), "utf8")
    for old in set(folder.glob("*.css")) - made:
        old.unlink()


def _parts(site: Path, page: Path, text: str) -> tuple[str, ...]:
    """The stylesheets of a page from the site's root, also those that were joined before."""
    found: list[str] = []
    for link in LINK.findall(text):
        if joined := PARTS.search(link):
            found += joined[1].split()
        elif address := HREF.search(link):
            found.append(_from(site, page.parent / address[1]))
    return tuple(dict.fromkeys(found))


def _from(folder: Path, file: Path) -> str:
    """The address of a file as seen from a folder."""
    return Path(os.path.relpath(file, folder)).as_posix()


def read(style: Path, folder: Path) -> str:
    """A stylesheet with what it imports, and with addresses that are right from another folder."""

    def imported(match: re.Match[str]) -> str:
        return read(style.parent / match[1], folder)

    def moved(match: re.Match[str]) -> str:
        path, mark, anchor = re.split(r"([?#]|$)", match[2], maxsplit=1)
        return f'url("{_from(folder, style.parent / path)}{mark}{anchor}")'

    # Addresses first: what is imported has its own folder.
    return IMPORT.sub(imported, URL.sub(moved, style.read_text("utf8")))


def purge(style: Path, site: Path) -> None:
    """Take out of a stylesheet the rules whose names no page and no script of the site has."""
    content = [f"{site}/**/*.html", f"{site}/_static/**/*.js"]
    arguments = ["--css", str(style), "--content", *content, "--output", str(style)]
    node_tools.run(PURGE, *arguments)
