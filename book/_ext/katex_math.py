"""Mathematics rendered while the book is built: no script in the page, and a bad formula is a
warning with its file and line.

Every formula goes to one Node process that holds KaTeX (``book/_js/katex-server.js``) and comes
back as layout for the eye and MathML for a screen reader. Sphinx keeps numbering the equations.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

import node_tools

log = logging.getLogger(__name__)

#: Numbered display environments, and the inner ones that leave the number to Sphinx.
INNER = {
    "align": "aligned",
    "alignat": "alignedat",
    "eqnarray": "aligned",
    "equation": "",
    "flalign": "aligned",
    "gather": "gathered",
    "multline": "gathered",
}
ENVIRONMENT = re.compile(rf"\\begin\{{({'|'.join(INNER)})\*?\}}(.*)\\end\{{\1\*?\}}", re.S)
NUMBERING = re.compile(r"\\(?:nonumber|notag)\b|\\label\{[^}]*\}")


class FormulaError(ValueError):
    """KaTeX could not read a formula."""


def display_source(tex: str) -> str:
    """A display formula as KaTeX is to read it: unlabelled, unnumbered, several lines aligned."""
    tex = NUMBERING.sub("", tex).strip()
    if whole := ENVIRONMENT.fullmatch(tex):
        name = INNER[whole[1]]
        return rf"\begin{{{name}}}{whole[2]}\end{{{name}}}" if name else whole[2].strip()
    if r"\\" in tex and r"\begin{" not in tex:
        return rf"\begin{{aligned}}{tex}\end{{aligned}}"
    return tex


class Renderer:
    """KaTeX in one long-lived Node process, which remembers what it has rendered."""

    def __init__(
        self,
        macros: dict[str, str],
        directory: Path = node_tools.JS,
        output: str = "htmlAndMathml",
    ) -> None:
        """Args:
        macros: KaTeX macros, with their backslash.
        directory: Where the server and its ``node_modules`` are.
        output: What KaTeX writes; ``mathml`` for e-readers, which set formulas themselves.
        """
        self.command = [node_tools.node(), "katex-server.js", json.dumps(macros), output]
        self.directory = directory
        self.process: subprocess.Popen[str] | None = None
        self.known: dict[tuple[str, bool], dict[str, str]] = {}

    def html(self, tex: str, *, display: bool) -> str:
        """The HTML of a formula.

        Raises:
            FormulaError: If KaTeX cannot read it.
        """
        key = (tex, display)
        if key not in self.known:
            self.known[key] = self._ask({"tex": tex, "display": display})
        answer = self.known[key]
        if "error" in answer:
            raise FormulaError(answer["error"])
        return answer["html"]

    def _ask(self, question: dict[str, Any]) -> dict[str, str]:
        if self.process is None:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(
                self.command, cwd=self.directory, stdin=pipe, stdout=pipe, encoding="utf8"
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise node_tools.NodeError("the KaTeX process ended before it answered")
        answer: dict[str, str] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process; the next formula would start another."""
        if self.process is not None:
            self.process.communicate(timeout=10)
            self.process = None


def _append(translator: Any, node: nodes.Node, tex: str, display: bool) -> None:
    """Write a formula into the page, or its source and a warning."""
    try:
        renderer: Renderer = translator.builder.app.katex
        translator.body.append(renderer.html(tex, display=display))
    except FormulaError as error:
        log.warning("%s", error, location=node, type="katex")
        translator.body.append(f"<code>{translator.encode(tex)}</code>")


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write an inline formula."""
    translator.body.append(
        translator.starttag(node, "span", "", CLASS="math notranslate nohighlight")
    )
    _append(translator, node, node.astext(), False)
    translator.body.append("</span>")
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write a display formula with Sphinx's number."""
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, _("Link to this equation"))
        translator.body.append("</span>")
    _append(translator, node, display_source(node.astext()), True)
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def _start(app: Sphinx) -> None:
    output = "mathml" if app.builder.name == "epub" else "htmlAndMathml"
    app.katex = Renderer(app.config.katex_macros, output=output)  # type: ignore[attr-defined]


def _stop(app: Sphinx, exception: Exception | None) -> None:
    app.katex.close()  # type: ignore[attr-defined]


def copy_stylesheet(modules: Path, target: Path) -> None:
    """Copy KaTeX's stylesheet and its woff2 fonts; the formats of old browsers stay behind."""
    source = modules / "katex" / "dist"
    (target / "fonts").mkdir(parents=True, exist_ok=True)
    css = (source / "katex.min.css").read_text("utf8")
    css = re.sub(r',url\([^)]*\.(?:woff|ttf)\) format\("[a-z]+"\)', "", css)
    (target / "katex.css").write_text(css, "utf8")
    for font in (source / "fonts").glob("*.woff2"):
        (target / "fonts" / font.name).write_bytes(font.read_bytes())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer with Sphinx."""
    app.add_config_value("katex_macros", {}, "env")
    app.add_html_math_renderer(
        "katex", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None)
    )
    app.connect("builder-inited", _start)
    app.connect("build-finished", _stop)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
