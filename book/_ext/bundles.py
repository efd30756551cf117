"""The browser code of the site, bundled by esbuild.

The bundles are classic scripts, not ES modules: a browser loads no module from ``file://``, and the
book is to be read offline too.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

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


def bundle_figure(kind: str, target: Path, directory: Path = node_tools.JS) -> None:
    """Bundle one kind of interactive figure with what starts it.

    Args:
        kind: One of :data:`bnnbook.plotting.interactive.KINDS`.
        target: The file to write.
        directory: Where the sources and ``node_modules`` are.

    Raises:
        NodeError: If esbuild finds a mistake; its message names file and line.
    """
    figures = (directory / "figures").as_posix()
    with TemporaryDirectory() as folder:
        entry = Path(folder) / f"{kind}.js"
        entry.write_text(
            f'import {{ start }} from "{figures}/start.js";\n'
            f'import {{ mount }} from "{figures}/{kind}.js";\n'
            f'start("{kind}", mount);\n',
            "utf8",
        )
        bundle(str(entry), target, directory)


def bundle(source: str, target: Path, directory: Path = node_tools.JS) -> None:
    """Bundle one entry point.

    Args:
        source: The entry, relative to ``directory``.
        target: The file to write.
        directory: Where the sources and ``node_modules`` are.

    Raises:
        NodeError: If esbuild finds a mistake or no such entry; its message names file and line.
    """
    node_tools.run(ESBUILD, source, *OPTIONS, f"--outfile={target}", directory=directory)
