"""The extension that turns Sphinx's pages into the site; ``_config.yml`` names only this.

Each step is a module of its own; this one says in which order they run. What the browser is to get
is laid ready before Sphinx copies its static files (:func:`stage`), and the written pages are
finished after Sphinx has done (:func:`finish`), so ``jupyter-book build`` alone gives the whole
site.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util import logging

import bundles
import citing
import doors
import downloads
import figures
import heights
import html_pages
import icons
import katex_math
import lean
import node_tools
import policy
import searching
import stylesheets
import theme_script
from bnnbook.plotting import interactive, palette

log = logging.getLogger(__name__)
TEMPLATES = Path(__file__).resolve().parents[1] / "_templates"
WORDS = "book/search"
CITATION = "CITATION.cff"
EARLY = Path("site/early.js")
NOT_FOUND = "404.html"
#: What the theme and Sphinx copy that no page loads.
LITTER = (
    "_static/**/*.map",
    "_static/scripts/fontawesome.js*",
    "_static/sphinx-thebe.*",
    "_static/togglebutton.*",
    "_static/webpack-macros.html",
    "_static/sbt-webpack-macros.html",
    "_static/site/early.js",
)


def staging_folder(app: Sphinx) -> Path:
    """Where the build's own static files wait to be copied."""
    return Path(app.doctreedir).parent / ".site-assets"


def stage(app: Sphinx) -> None:
    """Lay ready what the build makes for ``_static``, so that Sphinx copies it like the rest."""
    if app.builder.name != "html":
        return
    folder = staging_folder(app)
    shutil.rmtree(folder, ignore_errors=True)
    modules = node_tools.ensure_modules()
    katex_math.copy_stylesheet(modules, folder / "katex")
    bundles.bundle("site/early.js", folder / EARLY)
    bundles.bundle("site/index.js", folder / "site/index.js")
    app.config.html_static_path.append(str(folder))
    app.add_js_file("site/index.js", priority=900)
    for style in ("katex/katex.css", "booksite.css"):
        app.add_css_file(style, priority=900)
    for kind in interactive.KINDS:
        bundles.bundle_figure(kind, folder / f"figures/{kind}.js")
        app.add_js_file(f"figures/{kind}.js", priority=900)
    app.add_css_file("figures.css", priority=900)


def pages(site: Path) -> Iterator[Path]:
    """The HTML pages of a built site."""
    for path in sorted(site.rglob("*.html")):
        if not path.relative_to(site).parts[0].startswith("_"):
            yield path


def finish_page(path: Path, early: str) -> None:
    """Mend one page and give it its policy, unless an earlier build has done so."""
    text = path.read_text("utf8")
    if policy.is_protected(text):
        return
    page, aside = lean.set_aside(text)
    soup = BeautifulSoup(page, "html.parser")
    html_pages.clean(soup, path.name, early)
    figures.pair_images(soup, path)
    figures.preload_first(soup)
    heights.reserve(soup, aside)
    path.write_text(policy.protect(lean.put_back(str(soup), aside)), "utf8")


def write_doors(app: Sphinx, site: Path) -> None:
    """Write the front door, the page for addresses that are not there, and the map of the site."""
    title, address = app.config.html_title, app.config.html_baseurl
    icon = f"_static/{Path(app.config.html_favicon).name}" if app.config.html_favicon else ""
    first = app.builder.get_target_uri(app.config.root_doc)
    if first != "index.html":
        (site / "index.html").write_text(doors.front_door(title, first, address), "utf8")
    (site / NOT_FOUND).write_text(doors.not_found(title, first, address, icon), "utf8")
    aside = {"index.html", NOT_FOUND, *html_pages.SPHINX_PAGES} - {first}
    names = [path.relative_to(site).as_posix() for path in pages(site)]
    listed = [name for name in names if name not in aside]
    (site / "sitemap.xml").write_text(doors.sitemap(listed, address), "utf8")


def _warn_of_foreign_colours(problems: dict[str, list[str]], texts: dict[str, str]) -> None:
    for figure, paints in problems.items():
        where = [name for name, text in texts.items() if figure in text] or ["no page"]
        log.warning(
            "figure %s on %s has no dark form: %s is not in bnnbook.plotting.palette",
            figure,
            ", ".join(where),
            ", ".join(paints),
            type="figures",
        )


def _origin(app: Sphinx) -> downloads.Origin:
    book = citing.read_book(Path(app.confdir) / CITATION)
    repository = app.config.html_theme_options.get("repository_url", book.url)
    return downloads.Origin(book.title, book.version, app.config.html_baseurl, repository)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Finish a written site: figures, doors, downloads, pages, icons, styles, search index."""
    if exception is not None or app.builder.name != "html":
        return
    site = Path(app.outdir)
    early = (staging_folder(app) / EARLY).read_text("utf8").strip()
    problems = figures.write_dark_partners(site / "_images", palette.DARK)
    write_doors(app, site)
    if (Path(app.confdir) / CITATION).is_file():
        root, meanings = Path(app.srcdir), app.config.katex_macros
        downloads.write_all(site / "_sources", _origin(app), root, meanings)
    for path in pages(site):
        finish_page(path, early)
    texts = {str(path.relative_to(site)): path.read_text("utf8") for path in pages(site)}
    _warn_of_foreign_colours(problems, texts)
    for pattern in LITTER:
        for file in site.glob(pattern):
            file.unlink()
    icons.shrink(site)
    script = site / "_static" / theme_script.SCRIPT
    if script.is_file():
        theme_script.calm(script)
    theme = site / "_static" / icons.STYLE
    if theme.is_file():
        stylesheets.purge(theme, site)
    stylesheets.join(site, pages(site))
    searching.index(site, searching.words_of(Path(app.srcdir) / WORDS))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register every part of the site with Sphinx."""
    app.setup_extension("katex_math")
    app.setup_extension("citing")
    app.setup_extension("back_matter")
    app.setup_extension("page_runs")
    app.config.templates_path.append(str(TEMPLATES))
    app.connect("builder-inited", stage, priority=100)
    # Late: sphinx-external-toc writes a root page of its own when the build has finished.
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
