"""Formulas are rendered while building: macros, environments, errors, and a process that ends."""

from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

import katex_math
import node_tools

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "_config.yml").read_text("utf8"))
MACROS = CONFIG["sphinx"]["config"]["katex_macros"]


@pytest.fixture(scope="module")
def renderer():
    node_tools.ensure_modules()
    renderer = katex_math.Renderer(MACROS)
    yield renderer
    renderer.close()


def spoken(html: str) -> str:
    """What a screen reader is given: the MathML's text without its TeX source."""
    soup = BeautifulSoup(html, "html.parser")
    for annotation in soup.select("annotation"):
        annotation.decompose()
    math = soup.select_one("math")
    assert math is not None
    return math.get_text()


def test_a_formula_is_mathml_for_ears_and_layout_for_eyes(renderer):
    html = renderer.html("x^2", display=False)
    assert spoken(html) == "x2"
    assert 'class="katex-html" aria-hidden="true"' in html


@pytest.mark.parametrize("macro", sorted(MACROS))
def test_every_macro_of_the_book_renders(renderer, macro):
    assert spoken(renderer.html(rf"p({macro} x)_{{{macro}}}", display=True))


def test_our_macros_stand_before_those_of_katex(renderer):
    # KaTeX's own \N is the natural numbers.
    calligraphic = renderer.html(r"\mathcal{N}(0, 1)", display=False)
    assert spoken(renderer.html(r"\N(0, 1)", display=False)) == spoken(calligraphic)


@pytest.mark.parametrize("bad", [r"\frac{1}{", r"\nosuchmacro", r"x & y", r"\E[x", "x_1_2"])
def test_a_bad_formula_is_an_error(renderer, bad):
    if bad == r"\E[x":
        assert renderer.html(bad, display=False), "an open bracket is no mistake of TeX"
        return
    with pytest.raises(katex_math.FormulaError, match="KaTeX"):
        renderer.html(bad, display=False)


def test_a_macro_defined_in_a_formula_does_not_leak(renderer):
    renderer.html(r"\gdef\leak{1}\leak", display=False)
    with pytest.raises(katex_math.FormulaError):
        renderer.html(r"\leak", display=False)


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\begin{align}a&=b\\c&=d\end{align}", r"\begin{aligned}a&=b\\c&=d\end{aligned}"),
        (r"\begin{equation*} x \end{equation*}", "x"),
        (r"\label{eq-x} x \nonumber", "x"),
        (r"a \\ b", r"\begin{aligned}a \\ b\end{aligned}"),
        (r"\begin{cases}a\\b\end{cases}", r"\begin{cases}a\\b\end{cases}"),
    ],
)
def test_numbering_is_left_to_sphinx(renderer, tex, expected):
    assert katex_math.display_source(tex) == expected
    html = renderer.html(expected, display=True)
    assert 'class="tag"' not in html, "KaTeX would number it too"


def test_the_process_ends_with_the_build_and_may_start_again():
    renderer = katex_math.Renderer(MACROS)
    renderer.html("x", display=False)
    process = renderer.process
    assert process is not None
    renderer.close()
    assert process.returncode == 0
    renderer.close()
    assert renderer.html("y", display=False)
    renderer.close()


def test_a_process_that_dies_is_an_error(tmp_path):
    (tmp_path / "katex-server.js").write_text("process.exit(3)", "utf8")
    renderer = katex_math.Renderer({}, directory=tmp_path)
    with pytest.raises(node_tools.NodeError, match="before it answered"):
        renderer.html("x", display=False)


def test_only_modern_fonts_are_shipped(tmp_path):
    katex_math.copy_stylesheet(node_tools.ensure_modules(), tmp_path)
    css = (tmp_path / "katex.css").read_text("utf8")
    assert "format(" in css
    assert ".ttf" not in css
    assert ".woff)" not in css
    named = {part.partition(")")[0] for part in css.split("url(fonts/")[1:]}
    assert named == {font.name for font in (tmp_path / "fonts").iterdir()}
