"""The extension that turns Sphinx's pages into the book's site; `_config.yml` names only this one.

Each step is a module of its own; this one says in which order they run.
"""

from pathlib import Path
from typing import Any

import katex_math
import node_tools
from sphinx.application import Sphinx


def _stage(app: Sphinx) -> None:
    """Lay ready what the build makes for ``_static``, so that Sphinx copies it like the rest."""
    if app.builder.format != "html":
        return
    stage = Path(app.doctreedir).parent / ".site-assets"
    modules = node_tools.ensure_modules()
    katex_math.copy_stylesheet(modules, stage / "katex")
    app.config.html_static_path.append(str(stage))
    app.add_css_file("katex/katex.css")
    app.add_css_file("booksite.css")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register every part of the site with Sphinx."""
    app.connect("builder-inited", _stage, priority=100)
    app.setup_extension("katex_math")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
