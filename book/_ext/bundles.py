"""The browser code of the site, bundled by esbuild.

The bundles are classic scripts, not ES modules: a browser loads no module from ``file://``, and the
book is to be read offline too.
"""

from pathlib import Path

import node_tools

ESBUILD = "node_modules/esbuild/bin/esbuild"
OPTIONS = (
    "--bundle",
    "--minify",
    "--format=iife",
    "--target=es2022",
    "--legal-comments=none",
    "--log-level=warning",
)


def bundle(source: str, target: Path, directory: Path = node_tools.JS) -> bool:
    """Bundle one entry point.

    Args:
        source: The entry, relative to ``directory``.
        target: The file to write.
        directory: Where the sources and ``node_modules`` are.

    Returns:
        Whether there was such an entry.

    Raises:
        NodeError: If esbuild finds a mistake; its message names file and line.
    """
    if not (directory / source).is_file():
        return False
    node_tools.run(ESBUILD, source, *OPTIONS, f"--outfile={target}", directory=directory)
    return True
