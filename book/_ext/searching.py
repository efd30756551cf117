"""The search index of the finished site, made by Pagefind.

``book/_js/site/search.js`` reads it in the theme's own dialog.
"""

import shutil
import subprocess
import sys
from pathlib import Path

#: Layout that repeats what the MathML beside it says, and marks that are no words of the text.
SKIPPED = ("a.headerlink", ".katex-html", ".katex-mathml annotation", ".bnn-cite", "summary.bnn-summary")
#: Pagefind's ready-made interfaces; ours is another.
INTERFACES = ("pagefind-ui*", "pagefind-modular-ui*", "pagefind-component-ui*", "pagefind-highlight*")


class SearchError(RuntimeError):
    """Pagefind failed."""


def index(site: Path) -> None:
    """Index the site's pages into ``site/pagefind``.

    Raises:
        SearchError: With what Pagefind said, if it failed.
    """
    shutil.rmtree(site / "pagefind", ignore_errors=True)
    command = [sys.executable, "-m", "pagefind", "--site", str(site), "--keep-index-url", "--silent"]
    for selector in SKIPPED:
        command += ["--exclude-selectors", selector]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SearchError(f"pagefind failed: {done.stderr.strip() or done.stdout.strip()}")
    for pattern in INTERFACES:
        for file in (site / "pagefind").glob(pattern):
            file.unlink()
