"""The search index of the finished site, made by Pagefind.

``book/_js/site/search.js`` reads it in the theme's own dialog.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: Layout that repeats what the MathML beside it says, and marks that are no words of the text.
SKIPPED = (
    "a.headerlink",
    ".katex-html",
    ".katex-mathml annotation",
    ".cell_output .text_plain, .cell_output .stream, .cell_output table",
    ".bnn-cite",
    ".bnn-fold > summary",
)
#: The attribute of the part of a page that is indexed (``html_pages.mark_searchable``).
SEARCHABLE = "data-pagefind-body"
SECTION = re.compile(
    r'<section\b[^>]*\bid="([^"]+)"[^>]*>\s*(?:<span id="[^"]*"></span>\s*)*<h[1-6](?=[ >])'
)
#: Pagefind's ready-made interfaces; ours is another.
INTERFACES = (
    "pagefind-ui*",
    "pagefind-modular-ui*",
    "pagefind-component-ui*",
    "pagefind-highlight*",
)


class SearchError(RuntimeError):
    """Pagefind failed."""


def with_heading_ids(page: str) -> str:
    """The page with each section's id on its heading too, where Pagefind looks for it."""
    return SECTION.sub(r'\g<0> id="\1"', page)


def with_light_code(page: str) -> str:
    """The page with its code weighing less than its prose."""
    return page.replace(
        '<div class="cell_input', '<div data-pagefind-weight="0.2" class="cell_input'
    )


def index(site: Path) -> None:
    """Index the site's pages into ``site/pagefind``.

    Raises:
        SearchError: With what Pagefind said, if it failed.
    """
    shutil.rmtree(site / "pagefind", ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        for path in site.rglob("*.html"):
            if SEARCHABLE in (page := path.read_text("utf8")):
                copy = Path(scratch) / path.relative_to(site)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(with_light_code(with_heading_ids(page)), "utf8")
        _run(Path(scratch), site / "pagefind")
    for pattern in INTERFACES:
        for file in (site / "pagefind").glob(pattern):
            file.unlink()


def _run(pages: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pagefind", "--site", str(pages), "--output-path", str(target)]
    command += ["--keep-index-url", "--silent"]
    for selector in SKIPPED:
        command += ["--exclude-selectors", selector]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SearchError(f"pagefind failed: {done.stderr.strip() or done.stdout.strip()}")
