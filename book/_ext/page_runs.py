"""Trust at a glance: on each executed page, when, where and with what it was run, and what held.

One line under the title, and a block at the end with the downloads and the way to report a
mistake. What is said comes from the record that ``execute.py`` keeps beside the page's outputs
and from the page's own code: every guarded number (``glue.number`` with ``reference`` or
``bounds``) and every ``assert`` held, as the page would have failed otherwise. A page may name the
diagnostics of its chains in its front matter, as a sentence with names of glued values in braces::

    diagnostics: "worst R̂ {nuts_rhat}, smallest ESS {nuts_ess}"
"""

import ast
import html
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from nbformat import NotebookNode
from sphinx.application import Sphinx

import citing
import execute
import searching
from html_pages import REPORT

GUARDS = {"reference", "bounds"}
DIGEST_LENGTH = 12


class DiagnosticsError(ValueError):
    """A page's diagnostics name a value that the page does not glue."""


def guards(cells: Iterable[str]) -> tuple[int, int]:
    """How many numbers the code guards, and how many claims it asserts."""
    numbers = claims = 0
    for cell in cells:
        plain = "\n".join("" if re.match(r"\s*[%!]", line) else line for line in cell.splitlines())
        for node in ast.walk(ast.parse(plain)):
            claims += isinstance(node, ast.Assert)
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "number":
                numbers += bool(GUARDS & {keyword.arg for keyword in node.keywords if keyword.arg})
    return numbers, claims


def glued(nb: NotebookNode) -> dict[str, str]:
    """The values that a page glued, by name, as the prose shows them."""
    found = {}
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            for kind, value in output.get("data", {}).items() if name else ():
                if kind.endswith("text/plain"):
                    found[name] = str(ast.literal_eval(value))
    return found


def diagnostics(sentence: str, values: dict[str, str]) -> str:
    """The sentence of a page's front matter with the glued values in it.

    Raises:
        DiagnosticsError: where it names a value that the page does not glue.
    """
    try:
        return sentence.format_map(values)
    except KeyError as error:
        raise DiagnosticsError(
            f"the page's diagnostics name {error.args[0]!r}, which no cell glues"
        ) from None


def when(run: dict[str, Any]) -> str:
    """The day of a run, as a reader writes it."""
    return citing.written_date(run["when"])


def duration(seconds: float) -> str:
    """A time for people: seconds up to two minutes, then minutes."""
    return f"{seconds:.0f} s" if seconds < 119.5 else f"{seconds / 60:.0f} min"


def memory(run: dict[str, Any]) -> list[str]:
    """The most memory that a run held, in a list that is empty where nobody measured it."""
    return [f"at most {run['peak_mib']} MiB of memory"] if "peak_mib" in run else []


def held(nb: NotebookNode) -> str:
    """What the page checked of itself."""
    numbers, claims = guards(execute.code_cells(nb))
    parts = []
    if numbers:
        parts.append(f"{numbers} guarded number{'s' * (numbers != 1)}")
    if claims:
        parts.append(f"{claims} asserted claim{'s' * (claims != 1)}")
    return f"{' and '.join(parts)} held" if parts else ""


def line(page: execute.Kept, size: str) -> str:
    """The line under a page's title."""
    ran = f"Run on {when(page.run)} in" if page.run else "Run in"
    parts = [f"{ran} {duration(page.seconds)}"]
    if size != "full":
        parts[0] += " at the small size, so its numbers differ from the book's"
    parts += filter(None, [held(page.nb), f"digest {page.key[:DIGEST_LENGTH]}"])
    text = html.escape("; ".join(parts))
    return (
        f'<p class="bnn-run-line {searching.NOT_SEARCHED}">'
        f'<a href="#how-this-page-was-run">{text}</a></p>'
    )


def report_address(repository: str, title: str, address: str, version: str, digest: str) -> str:
    """Where a reader reports a mistake, with page and version filled in."""
    body = (
        "What is wrong, and what should stand there?\n\n\n"
        f"Page: {address}\nVersion: {version}\nDigest of the run: {digest or 'not run'}\n"
    )
    query = urlencode({"title": f"Mistake in “{title}”", "body": body})
    return f"{repository.rstrip('/')}/issues/new?{query}"


def report_link(address: str) -> str:
    """The link by which a reader reports a mistake; the theme's own button takes its address."""
    return f'<a class="{REPORT}" href="{html.escape(address)}">Report a mistake on this page</a>'


def _rows(page: execute.Kept, sentence: str) -> list[tuple[str, str]]:
    run = page.run
    took = [*([when(run)] if run else []), duration(page.seconds), *memory(run)]
    rows = [("Run", ", ".join(took))]
    if run:
        versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
        rows += [("Where", f"{run['processor']}, {run['system']}"), ("With", versions)]
    checks = [held(page.nb), diagnostics(sentence, glued(page.nb)) if sentence else ""]
    return [
        *rows,
        ("Checks", "; ".join(filter(None, checks)) or "none in this page"),
        ("Digest", f"{page.key[:DIGEST_LENGTH]} (of code, package, data, versions and size)"),
    ]


def binder_address(options: Mapping[str, Any], pagename: str) -> str:
    """Where Binder opens a page as a notebook, by the theme's options; "" where they name none."""
    hub = options.get("launch_buttons", {}).get("binderhub_url")
    if not hub:
        return ""
    place = options["repository_url"].removeprefix("https://github.com/").strip("/")
    branch = options.get("repository_branch") or "main"
    return f"{hub.rstrip('/')}/v2/gh/{place}/{branch}?urlpath=lab/tree/{pagename}.md"


def block(
    page: execute.Kept | None, sentence: str, files: str, report: str, binder: str = ""
) -> str:
    """The block at a page's end: the run in full, downloads, a way to report a mistake."""
    there = f'<a href="{html.escape(binder)}">on Binder</a> ·\n' if binder else ""
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in (_rows(page, sentence) if page else ())
    )
    facts = f"<dl>{rows}</dl>" if rows else ""
    return f"""
<section class="bnn-run {searching.NOT_SEARCHED}" id="how-this-page-was-run"
 aria-labelledby="run-heading">
<h2 id="run-heading">How this page was run</h2>
{facts}
<p>Run it yourself: {there}<a href="{files}.ipynb" download>notebook</a> ·
<a href="{files}.py" download>Python script</a>. On Binder pages run at their small size, so their
numbers differ. {report_link(report)}</p>
</section>
"""


def _add(app: Sphinx, pagename: str, templatename: str, context: Any, doctree: Any) -> None:
    if doctree is None or app.builder.name != "html":
        return
    project = execute.Project(Path(app.confdir), os.environ.get("BNNBOOK_SIZE", "full"))
    nb = execute.notebook(project, pagename)
    page = execute.load_kept(project, pagename) if nb else None
    book = citing.read_book(project.root / "CITATION.cff")
    report = report_address(
        app.config.html_theme_options.get("repository_url", book.url),
        citing.plain_title(context["title"]),
        book.url + app.builder.get_target_uri(pagename),
        book.version,
        page.key[:DIGEST_LENGTH] if page else "",
    )
    if nb is None:
        context["body"] += (
            f'<p class="bnn-report-line {searching.NOT_SEARCHED}">{report_link(report)}</p>'
        )
        return
    if page:
        context["body"] = context["body"].replace("</h1>", f"</h1>{line(page, project.size)}", 1)
    files = context["pathto"](f"_sources/{pagename}", 1)
    binder = binder_address(app.config.html_theme_options, pagename)
    context["body"] += block(page, nb.metadata.get("diagnostics", ""), files, report, binder)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hook; before the citation, so that the run stands above it."""
    app.connect("html-page-context", _add, priority=590)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
