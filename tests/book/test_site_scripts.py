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
    ("query", "marked", "expected"),
    [
        ("regression", ["regression"], True),
        ("regressing", ["regression,"], True),
        ("trasport plan", ["plan"], True),
        ("xxxxxxxxxx", ["x"], False),
        ("zzzz", [], False),
        ("p", ["(p)"], True),
        ("<b>", ["markup"], False),
    ],
)
def test_only_what_resembles_the_query_is_an_answer(query, marked, expected):
    assert in_node("M.resembles(M.telling(v0), v1)", query, marked) is expected


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("How wide should my proposal be?", ["wide", "proposal"]),
        ("n_eff", ["n_eff"]),
        ("Lindley’s paradox", ["lindley's", "paradox"]),
        ("leave-one-out", ["leave-one-out"]),
        ("what is it", ["what", "is", "it"]),
        ("<script>alert(1)</script>", ["script", "alert", "1"]),
        ("prior prior", ["prior"]),
        ("?!", []),
    ],
)
def test_a_question_is_asked_by_the_words_that_tell(query, words):
    assert in_node("M.telling(v0)", query) == words


KNOWN = ["collinearity", "multicollinearity", "posterior", "proposal", "regression"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("multicolinearity", "multicollinearity"),
        ("posteroir", "posterior"),  # two letters swapped
        ("propsal", "proposal"),
        ("prior", "prior"),
        ("qqqqzzzz", "qqqqzzzz"),
        ("n_eff", "n_eff"),
    ],
)
def test_a_misspelt_word_is_set_right_and_no_other(word, meant):
    assert in_node("M.mended(v0, v1)", word, KNOWN) == meant


def test_a_long_query_is_cut():
    assert len(in_node("M.telling(v0)", " ".join(map(str, range(5000))))) == 12


def test_a_section_with_all_words_comes_before_one_with_a_better_half():
    answers = [
        [{"id": "half", "score": 10.0}, {"id": "whole", "score": 8.0}],
        [{"id": "whole", "score": 3.0}],
    ]
    assert [len(s["results"]) for s in in_node("M.ranked(v0)", answers)] == [2, 1]


def test_a_rare_word_counts_more_than_a_common_one():
    common = [{"id": f"c{i}", "score": 5.0} for i in range(30)]
    answers = [common, [{"id": "rare", "score": 1.0}]]
    assert in_node("M.ranked(v0)", answers)[0]["results"][0]["id"] == "rare"


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("regularisation", "regularization"),
        ("optimise", "optimizing"),
        ("centre", "centered"),
        ("behaviour", "behavior"),
        ("priors", "prior's"),
    ],
)
def test_spellings_and_forms_of_a_word_are_one(word, other):
    assert in_node("M.stem(v0) === M.stem(v1)", word, other)


TEXTS = {
    "short": "Thinning. non-centred",
    "long": "thinning, " + "other words, " * 30,
    "no": "prior",
}


def test_readers_words_count_by_their_share_of_a_section_and_a_hyphen_does_not():
    scores = dict(in_node("[...M.named(v0, M.counted(v1))]", ["thinning"], TEXTS))
    assert scores["short"] > scores["long"] > scores["no"] == 0
    for word in ("noncentred", "non-centered"):
        scores = dict(in_node("[...M.named([v0], M.counted(v1))]", word, TEXTS))
        assert scores["short"] > scores["long"] == 0


def test_readers_words_decide_between_equals():
    answers = [[{"id": "a", "score": 5.0}, {"id": "b", "score": 5.0}]]
    best = in_node("M.ranked(v0, new Map([['b', 0.1]]))[0]", answers)
    assert best["results"][0]["id"] == "b"


def test_who_asks_for_a_name_gets_the_section_that_has_it():
    names = [["a", ["Bayes factor"]], ["b", ["Savage–Dickey ratio", "Bayes factors"]], ["c", []]]
    answers = [[{"id": "c", "score": 9.0}, {"id": "b", "score": 1.0}]]
    first = "M.ranked(v1, new Map([['c', 2]]), M.calledBy(v0).get(v2))[0].results[0].id"
    assert in_node(first, names, answers, in_node("M.key(v0)", "what is a Bayes factor")) == "b"
    assert in_node(first, names, answers, in_node("M.key(v0)", "factor")) == "c"


LIBRARY = {
    "known": ["thinning"],
    "sections": [
        {
            "title": "Thinning",
            "asked": "Thinning. keep every tenth draw",
            "text": "Of ten draws every last one.",
        },
        {"title": "Other", "asked": "Other", "text": "Thinning is named here once, by the way."},
        {"title": "Summary", "asked": "", "text": "Thinning. Thinning.", "weight": 0.2},
    ],
}


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("why thin the chain, thinning", ["Thinning", "Other", "Summary"]),
        ("thining", ["Thinning", "Other", "Summary"]),
        ("every tenth", ["Thinning"]),
        ("zzzz", []),
        ("", []),
    ],
)
def test_without_pagefind_sections_are_ranked_by_their_own_texts(query, titles):
    sections = [{"weight": 1, "names": [], **section} for section in LIBRARY["sections"]]
    library = (
        "{known: v0, sections: v1, names: M.counted(v1.map((s) => s.asked)),"
        " prose: M.counted(v1.map((s) => s.text)), called: new Map()}"
    )
    found = in_node(f"M.answerFrom({library}, v2)", LIBRARY["known"], sections, query)
    assert [section["title"] for section in found] == titles
    assert not found or any(asked for _, asked in found[-1]["words"])


def test_the_excerpt_shows_where_the_words_weigh_most():
    text = " ".join(f"w{i}" for i in range(100))
    places = [{"location": 3, "balanced_score": 1}, {"location": 60, "balanced_score": 5}]
    places.append({"location": 62, "balanced_score": 1})
    shown = in_node("M.stretch(v0, v1, 10)", text.split(), places)
    assert [word for word, _ in shown] == [f"w{i}" for i in range(56, 66)]
    assert [word for word, asked in shown if asked] == ["w60", "w62"]
    assert in_node("M.stretch(v0, [], 10)", ["few", "words"]) == [["few", False], ["words", False]]
