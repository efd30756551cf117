"""What is set aside while a page is mended comes back, and what is read aloud stays."""

import pytest
from bs4 import BeautifulSoup

import lean

FORMULA = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mi>x</mi>'
    '<annotation encoding="application/x-tex">\\hat x</annotation></semantics></math></span>'
    '<span aria-hidden="true" class="katex-html"><span class="base"><span>x</span></span></span>'
    "</span>"
)
PAGE = f"""<h2 id="a">The {FORMULA} of</h2><span class="katex-display">{FORMULA}</span>
<div class="highlight"><pre><span class="k">def</span> <span>f</span>(): 1 &lt; 2</pre></div>
<pre class="literal">plain</pre><span class="other">after</span>"""


def test_what_was_set_aside_comes_back():
    page, aside = lean.set_aside(PAGE)
    assert len(aside) == 4
    assert len(BeautifulSoup(page, "html.parser")(True)) == 8
    assert lean.put_back(page, aside) == PAGE


def test_a_parsed_page_is_the_same_either_way():
    page, aside = lean.set_aside(PAGE)
    written = lean.put_back(str(BeautifulSoup(page, "html.parser")), aside)
    assert BeautifulSoup(written, "html.parser") == BeautifulSoup(PAGE, "html.parser")


def test_selectors_still_find_formulas_and_code():
    soup = BeautifulSoup(lean.set_aside(PAGE)[0], "html.parser")
    assert len(soup.select(".katex")) == 2
    assert soup.select_one("div.highlight pre")


def test_what_is_read_aloud_stays():
    soup = BeautifulSoup(lean.read_aloud(PAGE), "html.parser")
    assert soup.get_text() == "The x ofx\ndef f(): 1 < 2\nplainafter"
    assert len(soup.select("math")) == 2


@pytest.mark.parametrize("function", [lean.set_aside, lean.read_aloud])
def test_a_formula_that_is_not_closed_is_an_error(function):
    with pytest.raises(ValueError, match=r"katex.* is never closed"):
        function(PAGE.replace("</span>", ""))


def test_a_mark_in_the_page_is_an_error():
    with pytest.raises(ValueError, match="mark of its own"):
        lean.set_aside("\ue0000\ue001")
