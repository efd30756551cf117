"""Stylesheets are joined in their order, and lose only rules that nothing can meet."""

import pytest

import node_tools
import stylesheets

PAGE = """<head><link href="../_static/a.css?v=1" rel="stylesheet" type="text/css"/>
<title>t</title>
<link href="../_static/sub/b.css" rel="stylesheet"/>
</head><body class="used"></body>"""


@pytest.fixture
def site(tmp_path):
    for folder in ("book", "_static/sub"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_static/a.css").write_text('@import "sub/c.css";\np{background:url(i.svg#x)}')
    (tmp_path / "_static/sub/b.css").write_text("p{src:url('fonts/f.woff2?#i');c:url(data:,)}")
    (tmp_path / "_static/sub/c.css").write_text('q{src:url("g.png")}')
    (tmp_path / "book/p.html").write_text(PAGE)
    return tmp_path


def joined(site):
    stylesheets.join(site, [site / "book/p.html"])
    (path,) = (site / stylesheets.JOINED).glob("*.css")
    assert f'href="../{stylesheets.JOINED}/{path.name}"' in (site / "book/p.html").read_text()
    return path.read_text()


def test_a_page_has_one_stylesheet_with_all_rules_in_their_order(site):
    rules = 'q{src:url("../sub/g.png")}\np{background:url("../i.svg#x")}\n'
    rules += 'p{src:url("../sub/fonts/f.woff2?#i");c:url(data:,)}'
    assert joined(site) == rules
    text = (site / "book/p.html").read_text()
    assert text.count("<link") == 1
    assert text.index("<link") < text.index("<title>")


def test_a_page_that_was_joined_before_has_the_styles_of_now(site):
    joined(site)
    (site / "_static/sub/c.css").write_text("new{}")
    assert joined(site).startswith("new{}")


def test_rules_that_nothing_can_meet_go_and_others_stay(tmp_path):
    node_tools.ensure_modules()
    (tmp_path / "_static").mkdir()
    (tmp_path / "p.html").write_text('<html data-theme="light"><p class="on-page">x</p></html>')
    (tmp_path / "_static/s.js").write_text("e.classList.add('by-script')")
    style = tmp_path / "s.css"
    kept = [".on-page{a:b}", ".by-script{a:b}", "p:hover{a:b}", "@media print{.on-page{a:b}}"]
    style.write_text("".join([*kept, ".gone{a:b}", "table.gone td{a:b}"]))
    stylesheets.purge(style, tmp_path)
    assert "".join(style.read_text().split()) == "".join("".join(kept).split())
