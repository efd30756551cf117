"""What a page may load, and how much of it: the budget of a reader on a slow line.

Counted are the compressed bytes that a browser has fetched when the page is loaded, and when it has
been scrolled to its end. Figures count by their bytes only, as a page has as many as it needs. What
keeps a phone busy is the layout of boxes, so those that are laid out at first are counted too: a
chapter has some 30,000, of which a script that measures them all would have every one laid out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

#: What a page may fetch, from the site's root; another file needs a line here, and a reason.
MAY_LOAD = re.compile(
    r"""(?:index|search|genindex|404)\.html | book/[\w-]+\.html | searchindex\.js
      | _images/[\w.-]+\.(?:svg|png|webp)
      | _static/[\w./-]+\.(?:css|js|svg|woff2) | search/finder\.js
    """,
    re.X,
)
FIGURE = re.compile(r"/_images/[^/]+$")
MOST_REQUESTS = 32
"""Besides the figures: the page, styles, scripts, fonts."""
MOST_KIB_AT_FIRST = 450
"""Of what is fetched before anybody scrolls."""
MOST_KIB = 1000
"""Of all that is fetched, figures included."""
MOST_BOXES = 15_000
"""Laid out before anybody scrolls (most today: 11,300, a small chapter nearly whole)."""

#: Scrolls through a page, so that what loads lazily is loaded, and a little back, which shows the
#: theme's button for the way to the top.
SCROLL = """async () => {
  for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
    scrollTo({ top: y, behavior: "instant" });
    await new Promise(requestAnimationFrame);
  }
  scrollBy({ top: -innerHeight, behavior: "instant" });
  await new Promise(requestAnimationFrame);
}"""
#: What the page in a browser has fetched: pairs of an address and its compressed bytes.
LOADED = """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
  .map((entry) => [entry.name, entry.encodedBodySize])"""


def boxes(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence where too much of a page is laid out.

    Args:
        metrics: What the browser's ``Performance.getMetrics`` gives.
    """
    count = next(entry["value"] for entry in metrics if entry["name"] == "LayoutObjects")
    return [f"lays out {count} boxes, at most {MOST_BOXES}"] if count > MOST_BOXES else []


def foreign(url: str, root: str) -> list[str]:
    """A sentence where a page asks for something that it may not load.

    Args:
        url: What it asks for.
        root: The address of the site.
    """
    if url.startswith(("data:", "blob:")) or url == root:
        return []
    own = url.startswith(root)
    plain = re.split(r"[?#]", url.removeprefix(root))[0]
    return [] if own and MAY_LOAD.fullmatch(plain) else [f"asks for {url}"]


def too_much(loaded: Sequence[tuple[str, int]], most_kib: float) -> list[str]:
    """Sentences where a page asks for too many files or for too much.

    Args:
        loaded: What ``LOADED`` gives.
        most_kib: How much they may be together.
    """
    urls = {url for url, _ in loaded}
    others = [url for url in urls if not FIGURE.search(url)]
    kib = sum(size for _, size in loaded) / 1024
    found = []
    if len(others) > MOST_REQUESTS:
        found.append(f"fetches {len(others)} files besides its figures, at most {MOST_REQUESTS}")
    if kib > most_kib:
        found.append(f"fetches {kib:.0f} KiB, at most {most_kib}")
    return found
