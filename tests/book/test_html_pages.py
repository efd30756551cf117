"""What is mended in each page, one thing a test."""

from bs4 import BeautifulSoup

import html_pages
import icons
import searching


def mended(body, step, *arguments):
    soup = BeautifulSoup(body, "html.parser")
    step(soup, *arguments)
    return soup


HEAD = """
<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>
<script src="../_static/katex/other.js"></script>
<script src="../searchindex.js"></script><script src="../_static/doctools.js?v=1"></script>
<script>const THEBE_JS_URL = "https://unpkg.com/thebe"</script>
<script>DOCUMENTATION_OPTIONS.pagename = 'x';</script>
<script type="text/x-thebe-config">{}</script>
<script>myOwn()</script>
<link rel="stylesheet" href="../_static/katex/katex.css?v=1">
<script src="../_static/figures/kl-drag.js"></script>
<script src="../_static/figures/beta-updating.js"></script>
"""


def test_what_no_page_uses_goes_and_the_rest_stays():
    soup = mended(HEAD, html_pages.drop_unused, "page.html")
    assert [html_pages.asset(tag) for tag in soup.select("script, link")] == [
        "../_static/katex/other.js",
        "",
    ]
    assert soup.find(string="myOwn()")


def test_what_a_page_uses_stays():
    body = HEAD + '<span class="katex"></span><div class="bnn-figure" data-figure="kl-drag"></div>'
    kept = [
        html_pages.asset(tag)
        for tag in mended(body, html_pages.drop_unused, "search.html").select("script, link")
    ]
    for name in ("searchindex.js", "doctools.js", "katex/katex.css", "figures/kl-drag.js"):
        assert any(address.endswith(name) for address in kept)
    assert not any("beta-updating" in address for address in kept)


def test_doubles_go():
    body = '<meta name="viewport" content="a"><meta name="viewport" content="b">' + (
        '<script src="a.js?v=1"></script>' * 2
    )
    soup = mended(body, html_pages.drop_doubles)
    assert len(soup.select("meta")) == len(soup.select("script")) == 1


def test_scripts_are_deferred_in_their_order():
    soup = mended(
        '<script async="async" src="a.js"></script><script>1</script>', html_pages.defer_scripts
    )
    outside, inline = soup.select("script")
    assert outside.has_attr("defer")
    assert not outside.has_attr("async")
    assert not inline.has_attr("defer")


def test_the_theme_s_inline_handlers_become_names_and_others_are_left_for_the_policy_to_refuse():
    soup = mended(
        '<button onclick="window.print()"></button><i onclick="evil()"></i>',
        html_pages.name_actions,
    )
    assert soup.button["data-bnn-action"] == "print"
    assert not soup.button.has_attr("onclick")
    assert soup.i.has_attr("onclick")


def test_buttons_have_one_name():
    soup = mended(
        '<button title="Fold"><i class="fa-solid"></i></button>'
        '<button aria-label="Go">Search</button>',
        html_pages.name_regions,
    )
    icon, words = soup.select("button")
    assert icon["aria-label"] == "Fold"
    assert not words.has_attr("aria-label")
    assert soup.i["aria-hidden"] == "true"


def test_rules_of_accessible_html_are_kept():
    soup = mended(
        '<div role="list"><div role="doc-biblioentry"></div></div>'
        '<table border="1"><tr><th> </th><th>a</th></tr></table>'
        "<style scoped></style><details><summary><p>More</p></summary></details>",
        html_pages.mend_roles,
    )
    assert soup.select_one("[role=list] > [role=listitem]")
    assert [cell.name for cell in soup.select("tr > *")] == ["td", "th"]
    assert not soup.select("style, summary p, table[border]")


def test_an_id_names_one_element():
    soup = mended(
        '<p id="a">1</p><p id="content">2</p><p id="content">3</p><p id="content">4</p>',
        html_pages.drop_repeated_ids,
    )
    assert [tag.get("id") for tag in soup.select("p")] == ["a", "content", None, None]


def test_a_solution_folds_without_a_script():
    soup = mended(
        '<div class="solution dropdown admonition" id="sol"><p class="admonition-title">'
        '<a href="#ex">Solution to Exercise 1</a></p><section>Text</section></div>',
        html_pages.fold_admonitions,
    )
    assert soup.details["id"] == "sol"
    assert (
        soup.select_one("details.solution > summary.admonition-title").get_text()
        == "Solution to Exercise 1"
    )
    assert not soup.select("summary a")
    assert not soup.details.has_attr("open")


CELLS = """
<div class="cell"><div class="cell_input">shown</div><div class="cell_output">1</div></div>
<div class="cell"><details class="admonition hide above-input"><summary aria-label="x"></summary>
<div class="cell_input">hidden</div></details></div>
<div class="cell"><div class="cell_input">b</div>
<details class="hide below-input"><summary></summary></details></div>
"""


def test_every_source_is_a_disclosure_with_its_own_summary():
    soup = mended(CELLS, html_pages.fold_code)
    boxes = soup.select("details.bnn-code")
    assert [box.has_attr("open") for box in boxes] == [True, False, True]
    for box in soup.select("details"):
        names = (
            ["Show code", "Hide code"]
            if "bnn-code" in box["class"]
            else ["Show output", "Hide output"]
        )
        assert [span.get_text() for span in box.select("summary > span")] == names
        assert not box.summary.attrs
    assert len(soup.select("details:not(.bnn-code)")) == 1


def test_downloads_are_saved():
    soup = mended(
        '<a href="../_sources/book/a.ipynb" target="_blank">x</a>', html_pages.link_downloads
    )
    assert soup.a.has_attr("download")
    assert not soup.a.has_attr("target")


def test_generated_pages_are_not_searched():
    article = '<article class="bd-article"></article>'
    assert mended(article, html_pages.mark_searchable, "a.html").select(f"[{searching.SEARCHABLE}]")
    assert not mended(article, html_pages.mark_searchable, "genindex.html").select(
        f"[{searching.SEARCHABLE}]"
    )


def test_a_heading_s_own_link_names_the_label():
    page = (
        '<section id="a-b"><span id="sec-a"></span><h2>A B<a class="headerlink" href="#a-b">#</a>'
        '</h2><section id="c"><h3>C<a class="headerlink" href="#c">#</a></h3></section></section>'
    )
    links = mended(page, html_pages.lasting_links).select("a.headerlink")
    assert [link["href"] for link in links] == ["#sec-a", "#c"]


def test_a_table_scrolls_in_its_own_box_once():
    boxed = "<div class='pst-scrollable-table-container'><table></table></div>"
    body = f"<article><table></table>{boxed}</article>"
    assert len(mended(body, html_pages.wrap_tables).select("div > table")) == 2


# ---- the icons, the index ------------------------------------------------------------------------

ICONS = (
    r'.fa-sun:before{content:"\f185"}'
    r'.fa-moon:before,.fa-night:before{content:"\f186"}'
    r'.x:after{content:"\f303"}'
)


def test_icons_that_a_class_or_a_rule_shows_are_wanted():
    assert icons.wanted([ICONS], ['<i class="fa-solid fa-night">'], []) == {0xF186, 0xF303}
    assert icons.wanted([ICONS], [], ['add("fa-sun")']) == {0xF185, 0xF303}
    assert icons.trim(ICONS, {0xF186, 0xF303}) == ICONS.replace(
        r'.fa-sun:before{content:"\f185"}', ""
    )


def test_a_subset_font_holds_the_wanted_icons_only(tmp_path):
    from fontTools.ttLib import TTFont

    source = icons.THEME / icons.FONTS / "fa-solid-900.woff2"
    for name in ("a", "b"):
        icons.subset_font(source, tmp_path / name, {0xF185, 0xF186})
    assert set(TTFont(tmp_path / "a").getBestCmap()) == {0xF185, 0xF186}
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 5000
