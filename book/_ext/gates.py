"""What a site must hold before anybody sees it.

The same functions check the small site that the tests build and the full one before it is
published. Each gate takes the built site or the sources and returns its findings, a sentence each
that names the page; no findings, no objection.
"""

import ast
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from markdown_it.token import Token

import browser
import lean
import node_tools
import server
import weight
from execute import Project, code_cells, notebook

#: Alternative text shorter than this says what a figure is, not what one sees in it.
SHORTEST_ALT = 30
#: Directives whose body is not prose.
NOT_PROSE = {
    "code-cell",
    "code",
    "code-block",
    "literalinclude",
    "math",
    "bibliography",
    "raw",
    "glue",
    "glue:math",
    "glue:figure",
    "toctree",
}
_DECIMAL = re.compile(r"(?<![\w.§-])[−-]?\d+\.\d+(?![\w.]*\w)")
_OPTIONS = re.compile(r"\A(?:---\n.*?\n---\n|(?::[\w-]+:[^\n]*\n)*)", re.S)
_SHOWS_SOURCE = {"getsource", "getdoc", "help", "__doc__"}


@dataclass(frozen=True)
class Site:
    """A built site and the project that it was built from."""

    project: Project
    html: Path

    def pages(self) -> list[tuple[str, Path]]:
        """Every page of the table of contents with the file it should have become."""
        return [(doc, self.html / f"{doc}.html") for doc in self.project.pages()]

    def built(self) -> Iterator[tuple[str, BeautifulSoup]]:
        """Every page that there is, as it is read aloud."""
        for doc, path in self.pages():
            if path.is_file():
                yield doc, lean.parsed(path)


def tool(name: str) -> str:
    """The path of a program of this environment."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not in this environment; nox makes one that has it")
    return path


# ---- the built pages -----------------------------------------------------------------------------


def missing_pages(site: Site) -> list[str]:
    """Every page of the contents is there, and the site has a front door."""
    found = [f"{doc}: no page was built" for doc, path in site.pages() if not path.is_file()]
    if not (site.html / "index.html").is_file():
        found.append("the site has no index.html")
    return found


def tracebacks(site: Site) -> list[str]:
    """No output of an error or of standard error, no reference that Sphinx could not resolve."""
    found = []
    for doc, page in site.built():
        for kind in (".output.traceback", ".output.stderr", ".system-message", ".problematic"):
            found += [f"{doc}: shows {tag.get_text()[:200]!r}" for tag in page.select(kind)]
    return found


def figures(site: Site) -> list[str]:
    """Every computed figure has a caption and an alternative text that says what one sees."""
    found = []
    for doc, page in site.built():
        for image in page.select("article img"):
            source, alt = str(image.get("src", "")), str(image.get("alt", "")).strip()
            if "_images/" not in source:
                continue
            name = Path(source).name
            if len(alt) < SHORTEST_ALT or name.partition(".")[0].partition("-")[0] in alt:
                found.append(f"{doc}: figure {name} has the alternative text {alt!r}")
            figure = image.find_parent("figure")
            if figure is None or not figure.select_one("figcaption .caption-text"):
                found.append(f"{doc}: figure {name} has no caption")
    return found


def links(site: Site) -> list[str]:
    """Every internal link and anchor leads somewhere (checked by lychee, offline)."""
    lychee = tool("lychee")
    options = ["--offline", "--include-fragments", "--no-progress", "--format", "detailed"]
    pages = [str(path) for path in sorted(site.html.rglob("*.html")) if "_static" not in path.parts]
    done = subprocess.run(
        [lychee, *options, "--root-dir", str(site.html.resolve()), *pages],
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line.strip() for line in done.stdout.splitlines() if "[ERROR]" in line]
    if done.returncode and not errors:
        errors = [done.stdout + done.stderr]
    return [f"broken link: {line}".replace(str(site.html.resolve()), "") for line in errors]


# ---- the sources ---------------------------------------------------------------------------------


def _parser() -> Any:
    from markdown_it.renderer import RendererHTML
    from myst_parser.config.main import MdParserConfig
    from myst_parser.parsers.mdit import create_md_parser

    extensions = {"amsmath", "colon_fence", "deflist", "dollarmath", "substitution", "tasklist"}
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


@dataclass(frozen=True)
class Prose:
    """A run of prose: where it stands, its text without code, mathematics and roles, its terms."""

    line: int
    text: str
    bold: tuple[str, ...]
    literal: bool


def prose(markdown: str, first_line: int = 1) -> Iterator[Prose]:
    """The prose of a page, directives' bodies and captions included."""
    comment_ends: set[int] = set()
    for token in _parser().parse(markdown):
        start = (token.map[0] if token.map else 0) + first_line
        if token.type == "myst_line_comment" and token.content.strip().startswith("literal:"):
            comment_ends.add((token.map[1] if token.map else 0) + first_line)
        elif token.type == "inline":
            text, bold = _inline(token.children or [])
            yield Prose(start, text, bold, start in comment_ends)
        elif token.type in ("fence", "colon_fence"):
            yield from _directive(token, start)


def _inline(children: list[Token]) -> tuple[str, tuple[str, ...]]:
    text, bold, depth = "", [], 0
    for child in children:
        if child.type in ("strong_open", "strong_close"):
            depth += 1 if child.type == "strong_open" else -1
            if child.type == "strong_open":
                bold.append("")
        elif child.type in ("text", "softbreak", "hardbreak"):
            piece = child.content if child.type == "text" else " "
            text += piece
            if depth:
                bold[-1] += piece
        elif child.type == "image":
            text += f" {child.content} "
        else:
            text += " "
    return text, tuple(bold)


def _directive(token: Token, start: int) -> Iterator[Prose]:
    match = re.match(r"\{([\w:.-]+)\}\s*(.*)", token.info.strip())
    if match is None:
        return
    name, argument = match.groups()
    if name == "code-cell":
        yield from _captions(token.content, start)
    elif name not in NOT_PROSE:
        if argument:
            yield from prose(argument, start)
        yield from prose(_OPTIONS.sub(_blank, token.content), start + 1)


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _captions(cell: str, start: int) -> Iterator[Prose]:
    """Captions and alternative texts stand in a cell's metadata."""
    header = re.match(r"---\n(.*?)\n---\n", cell, re.S)
    if header:
        for text in re.findall(
            r"(?:caption|alt):\s*(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^,}\n]*)", header[1]
        ):
            yield from prose(text.strip("\"'"), start)


def _sources(project: Project) -> Iterator[tuple[str, str]]:
    for doc in project.pages():
        text = (project.root / f"{doc}.md").read_text("utf8")
        yield doc, re.sub(r"\A---\n.*?\n---\n", _blank, text, flags=re.S)


def typed_decimals(site: Site) -> list[str]:
    """No numeral with a decimal point is typed into prose: computed ones are glued.

    Mathematics, code, citations and glued values are no prose; a block under a comment line
    ``% literal: reason`` is exempt.
    """
    return [
        f"{doc}.md, line {run.line}: {number} is typed; glue it, or say why with % literal: …"
        for doc, text in _sources(site.project)
        for run in prose(text)
        if not run.literal
        for number in _DECIMAL.findall(run.text)
    ]


def undefined_terms(site: Site) -> list[str]:
    """Bold marks a term where it is defined, and each has its entry in the glossary."""
    known = glossary_terms(site.project)
    return [
        f"{doc}.md, line {run.line}: {term!r} is bold but not in the glossary"
        for doc, text in _sources(site.project)
        for run in prose(text)
        for term in run.bold
        if not _is_known(term, known)
    ]


def glossary_terms(project: Project) -> set[str]:
    text = (project.root / "book" / "glossary.md").read_text("utf8")
    entries = re.findall(r"^`{3,}\{glossary\}\n(.*?)^`{3,}", text, re.S | re.M)
    lines = [line for entry in entries for line in entry.splitlines()]
    return {_plain(line) for line in lines if line and not line[0].isspace() and line[0] != ":"}


def _plain(term: str) -> str:
    return re.sub(r"\s+", " ", term.replace("’", "'").replace("-", "–")).strip(" .,:;").casefold()


def _is_known(term: str, known: set[str]) -> bool:
    plain = _plain(term)
    singulars = {plain, plain.removesuffix("s"), plain.removesuffix("es")}
    if plain.endswith("ies"):
        singulars.add(plain[:-3] + "y")
    return not plain or bool(singulars & known)


def shown_source(site: Site) -> list[str]:
    """A page shows source by ``literalinclude``: what it printed itself could go stale.

    The cache of outputs takes no notice of docstrings and comments.
    """
    found = []
    for doc in site.project.pages():
        nb = notebook(site.project, doc)
        for number, cell in enumerate(code_cells(nb) if nb else [], 1):
            plain = "\n".join("" if re.match(r"\s*[%!]", x) else x for x in cell.splitlines())
            for node in ast.walk(ast.parse(plain)):
                name = getattr(node, "attr", None) or getattr(node, "id", None)
                if name in _SHOWS_SOURCE:
                    found.append(f"{doc}.md, code cell {number}: {name} shows source")
    return found


# ---- a real browser ------------------------------------------------------------------------------

#: Every page is opened at each width, and seen in both colour schemes.
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")


def in_browser(site: Site, executable: str) -> list[str]:
    """Opened in headless Chromium, no page asks for what it may not load or weighs too much,
    reports an error, is wider than a phone, or violates a rule of accessibility (checked by
    axe-core)."""
    if len(WIDTHS) == 1:
        return _at_width(site, executable, *WIDTHS)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(WIDTHS), mp_context=spawn) as pool:
        views = [pool.submit(_at_width, site, executable, width) for width in WIDTHS]
        return [finding for view in views for finding in view.result()]


def _at_width(site: Site, executable: str, width: int) -> list[str]:
    """All pages at one width."""
    node_tools.ensure_modules()
    names = [path.relative_to(site.html).as_posix() for _, path in site.pages() if path.is_file()]
    others = ("search.html", "genindex.html", "404.html")
    names += [name for name in others if (site.html / name).is_file()]
    with (
        server.serving(site.html, prefix="/a/sub/path/") as address,
        browser.chromium(executable) as chromium,
    ):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=SCHEMES[0]
        )
        found = _front_door(context, address)
        for name in names:
            found += [f"{name} ({width} px{what}" for what in _open(context, address, name)]
    return found


def _front_door(context: Any, address: str) -> list[str]:
    """The site's address leads to the book's first page."""
    page = context.new_page()
    page.goto(address)
    try:
        page.wait_for_url("**/book/index.html", timeout=5000)
    except Exception:
        return [f"the site's address leads to {page.url}, not to the book's first page"]
    finally:
        page.close()
    return []


def _open(context: Any, address: str, name: str) -> list[str]:
    """What is wrong with one page, each finding after the rest of its view's description."""
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(f"script error: {error}"))
    page.on("requestfailed", lambda request: said.append(f"could not load {request.url}"))
    page.on("request", lambda request: said.extend(weight.foreign(request.url, address)))
    probe = context.new_cdp_session(page)
    probe.send("Performance.enable")
    page.goto(address + name, wait_until="load")
    said += weight.boxes(probe.send("Performance.getMetrics")["metrics"])
    said += weight.too_much(page.evaluate(weight.LOADED), weight.MOST_KIB_AT_FIRST)
    page.evaluate(weight.SCROLL)
    page.wait_for_load_state("networkidle")
    said += weight.too_much(page.evaluate(weight.LOADED), weight.MOST_KIB)
    page.evaluate(browser.ADD_RULES, _ALL_LAID_OUT)
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    if overflow > 1:
        said.append(f"is {overflow} px wider than the window")
    found = [f"): {what}" for what in said]
    page.evaluate(AXE.read_text("utf8"))
    found += _accessibility(page, "")
    for layer in LAYERS if Path(name).stem in WITH_LAYERS else ():
        with _opened(page, layer) as there:
            found += _accessibility(page, f", {layer}") if there else []
    page.close()
    return list(dict.fromkeys(found))


#: What a section that lays itself out alone cuts off would otherwise widen the page.
_ALL_LAID_OUT = "section { content-visibility: visible !important; }"
AXE = node_tools.JS / "node_modules/axe-core/axe.min.js"
#: The violations that axe-core finds, up to three places each.
_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.flatMap(
  (rule) => rule.nodes.slice(0, 3).map(
    (node) => `${rule.id} (${rule.impact}): ${node.html.slice(0, 160)}`))"""
#: What is folded is laid open, so that it is looked at too; the page's scripts hear of it with the
#: next frame.
_UNFOLD = """async () => {
  document.querySelectorAll("details").forEach((details) => (details.open = true));
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
}"""
#: Whether the page has followed a scheme; one that knows none is left alone.
_SHOWN_IN = "scheme => [undefined, scheme].includes(document.documentElement.dataset.theme)"
#: What the theme lays over a page or beside it, by what opens it; the same on all pages.
LAYERS = {
    "search": "button.search-button__button",
    "contents of the book": "button.primary-toggle",
    "contents of the page": "button.secondary-toggle",
    "downloads": ".dropdown-download-buttons > button",
    "launch": ".dropdown-launch-buttons > button",
    "source": ".dropdown-source-buttons > button",
}
#: The pages that are looked at with those: one without code, one with.
WITH_LAYERS = ("index", "bayes-theorem")
QUERY = "prior"


def _accessibility(page: Any, what: str) -> list[str]:
    """What axe says of a page as it stands, all folds open, in light and dark."""
    from playwright.sync_api import TimeoutError as TooLateError

    found = []
    page.evaluate(_UNFOLD)
    for scheme in SCHEMES:
        # Without motion no colour is looked at on its way into another.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        try:
            page.wait_for_function(_SHOWN_IN, arg=scheme, timeout=2000)
        except TooLateError:
            found.append(f"{what}, {scheme}): shows itself in other colours than it was asked for")
        found += [f"{what}, {scheme}): axe: {said}" for said in page.evaluate(_AXE)]
    return found


@contextmanager
def _opened(page: Any, layer: str) -> Iterator[bool]:
    """The page with one of its layers open, and whether it has that layer at this width."""
    button = page.locator(LAYERS[layer]).locator("visible=true")
    if not button.count():
        yield False
        return
    button.first.click()
    if layer == "search":
        page.locator("dialog[open] input").fill(QUERY)
        page.locator("dialog[open] a").first.wait_for()
    yield True
    page.keyboard.press("Escape")


# ---- all of them ---------------------------------------------------------------------------------

STATIC: tuple[Callable[[Site], list[str]], ...] = (
    missing_pages,
    tracebacks,
    figures,
    links,
    typed_decimals,
    undefined_terms,
    shown_source,
)


def check(site: Site, install_browser: bool = False) -> list[str]:
    """All gates; prints a line where there is no browser, which in CI is a finding itself."""
    found = [finding for gate in STATIC for finding in gate(site)]
    executable = browser.find_or_install(install_browser)
    if executable is not None:
        return found + in_browser(site, executable)
    missing = "no Chromium found: requests, console errors and accessibility were not checked"
    if os.environ.get("CI"):
        return [*found, missing]
    print(missing, flush=True)
    return found


def report(found: Iterable[str]) -> str:
    return "\n".join(f"  - {finding}" for finding in found)
