"""The arithmetic of the search dialog, run in Node."""

import json

import pytest

import node_tools

SEARCH = (node_tools.JS / "site/search.js").as_uri()


def in_node(expression, *values):
    names = ", ".join(f"v{i}" for i in range(len(values)))
    script = (
        f"import * as M from {json.dumps(SEARCH)}; const [{names}] = {json.dumps(values)};"
        f"console.log(JSON.stringify({expression}));"
    )
    return json.loads(node_tools.run("--input-type=module", "-e", script))


@pytest.mark.parametrize(
    ("query", "excerpt", "expected"),
    [
        ("regression", "a <mark>regression</mark> line", True),
        ("regressing", "a <mark>regression</mark> line", True),
        ("trasport plan", "optimal <mark>plan</mark>", True),
        ("xxxxxxxxxx", "the <mark>x</mark> axis", False),
        ("zzzz", "nothing marked", False),
        ("p", "the <mark>p</mark> value", True),
        ("<b>", "markup", False),
    ],
)
def test_only_what_resembles_the_query_is_an_answer(query, excerpt, expected):
    assert in_node("M.resembles(v0, v1)", query, excerpt) is expected


def test_sections_share_their_page_s_score():
    places = lambda *scores: [{"balanced_score": score} for score in scores]  # noqa: E731
    page = {
        "meta": {"title": "Page"},
        "sub_results": [
            {"title": "A", "url": "p#a", "excerpt": "", "weighted_locations": places(1)},
            {"title": "B", "url": "p#b", "excerpt": "", "weighted_locations": places(3, 1)},
        ],
    }
    first, second = in_node("M.sections(v0, v1)", 8.0, page)
    assert (first["score"], second["score"]) == (2.0, 8.0)
    assert (second["url"], second["page"]) == ("p#b", "Page")


def test_a_page_without_sections_stands_for_itself():
    page = {"meta": {"title": "Page"}, "url": "p", "excerpt": "x", "sub_results": []}
    (only,) = in_node("M.sections(v0, v1)", 2.0, page)
    assert (only["title"], only["url"], only["score"]) == ("Page", "p", 2.0)
