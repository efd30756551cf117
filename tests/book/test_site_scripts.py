"""How the search finds and shows sections, run in Node."""

import json

import pytest

import node_tools
import searching

pytestmark = pytest.mark.usefixtures("packages")

FINDER = (node_tools.JS / "search/finder.js").as_uri()
WORDS = (node_tools.JS / "search/words.js").as_uri()


def in_node(expression, *values):
    names = ", ".join(f"v{i}" for i in range(len(values)))
    script = (
        f"import * as F from {json.dumps(FINDER)}; import * as W from {json.dumps(WORDS)};"
        f"const [{names}] = {json.dumps(values)}; console.log(JSON.stringify({expression}));"
    )
    return json.loads(node_tools.run("--input-type=module", "-e", script))


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("regularisation", "regularization"),
        ("optimise", "optimizing"),
        ("centre", "centered"),
        ("behaviour", "behavior"),
        ("priors", "prior's"),
        ("Lindley’s", "lindley"),
    ],
)
def test_spellings_and_forms_of_a_word_are_one(word, other):
    assert in_node("W.stems(v0)[0] === W.stems(v1)[0]", word, other)


def test_a_word_with_a_hyphen_is_its_parts_too_and_written_without_it():
    assert in_node("W.tokenize(v0)", "non-centred n_eff") == [
        *("non-centred", "noncentred", "non", "centred"),
        *("n_eff", "neff", "n", "eff"),
    ]


def test_greek_letters_hats_and_squares_are_spelt_out():
    assert in_node("W.stems(v0)", "χ² R^2 R̂ σ µ") == in_node(
        "W.stems(v0)", "chi squared R squared Rhat sigma mu"
    )


def test_words_that_are_everywhere_do_not_count():
    assert in_node("W.stems(v0)", "the slope of a line") == ["slope", "line"]


def record(title, text, asked="", **more):
    words = f"{title}. {asked}"
    return searching.Record(f"{title}.html", title, "Page", text, asked=words, **more)


LONG = "thinning. " + " ".join(f"word{i}" for i in range(30))
SECTIONS = [
    record("Thinning", "Of ten every last one.", "keep every tenth draw", names=("Thinning",)),
    record("Other", "Thinning, posterior, num_samples."),
    record("Long", "", LONG),
    record("Code", "It is called by its name.", code="run_chains posterior"),
    record(
        *("Savage–Dickey ratio", "A ratio of heights.", "Bayes factor"),
        names=("Savage–Dickey ratio", "Bayes factor"),
    ),
    record("Gamma", "", "Bayes factor. Bayes factors. what a Bayes factor is"),
    record("Summary", "Posterior. Posterior.", repeats=True)._replace(asked=""),
    record("pear", "pear: A fruit.", repeats=True, names=("pear",))._replace(asked=""),
    record("Fruit", "", "pear, apple. a fruit such as a pear"),
    record("The coefficient R̂", "", "the proposal distribution"),
    *(record(f"Many {i}", "", "proposal distribution conditional estimation") for i in range(14)),
]


@pytest.fixture(scope="module")
def find(tmp_path_factory):
    """The sections that answer a query, best first."""
    target = tmp_path_factory.mktemp("index") / "finder.mjs"
    searching.write(SECTIONS, target)

    def ask(query):
        script = f"await import({json.dumps(target.as_uri())});"
        script += f"console.log(JSON.stringify(bnnFind({json.dumps(query)})));"
        return json.loads(node_tools.run("--input-type=module", "-e", script))

    return ask


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("thinning", ["Thinning", "Long", "Other"]),  # who is called so, readers' words, the text
        ("every tenth", ["Thinning"]),
        ("posterior", ["Other", "Summary", "Code"]),  # code and what repeats come last
        ("run_chains", ["Code"]),
        ("what is a Bayes factor", ["Savage–Dickey ratio", "Gamma"]),  # taught before mentioned
        ("a pear", ["pear", "Fruit"]),
        ("coeﬃcient r̂", ["The coefficient R̂"]),
        ("rhat", ["The coefficient R̂"]),
        ("nun_samplez", []),  # the name of an option is not set right
        ("zzzz", []),
        ("", []),
        ("?!", []),
        ("of", []),
        ("constructor __proto__", []),
    ],
)
def test_sections_are_ranked(find, query, titles):
    assert [section["title"] for section in find(query)] == titles


@pytest.mark.parametrize(
    "query",
    ["distribution", "distribtuion", "distributon", "distri", "propsal", "conditiona", "estimati"],
)
def test_slips_are_set_right_and_the_last_word_is_completed(find, query):
    found = find(query)
    assert len(found) == 12  # of 14 or 15, and no more
    assert all(section["title"].startswith(("Many", "The")) for section in found)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("posteroir", "posterior"),  # two letters swapped
        ("propsal", "proposal"),
        ("multicolineariti", "multicollinearity"),
        ("prior", "prior"),
        ("qqqqzzzz", "qqqqzzzz"),
        ("prposl", "prposl"),  # two slips in a short word
        ("n_efff", "n_efff"),
    ],
)
def test_a_misspelt_word_is_set_right_and_no_other(word, meant):
    known = ["collinearity", "multicollinearity", "posterior", "proposal", "regression", "n_eff"]
    assert in_node("F.mended(v0, v1)", word, known) == meant


def test_what_was_asked_is_marked_and_not_the_words_that_ask(find):
    words = find("what is every last one")[0]["words"]
    assert [word for word, asked in words if asked] == ["every", "last"]


def test_the_excerpt_shows_where_most_of_the_words_are():
    text = " ".join(f"w{i}" for i in range(100))
    shown = in_node("F.stretch(v0, new Set(v1), 10)", text, ["w3", "w60", "w65"])
    assert [word for word, _ in shown] == [f"w{i}" for i in range(56, 66)]
    assert [word for word, asked in shown if asked] == ["w60", "w65"]
    often = "a1 a1 a1 b b b b b b b b a1 b2 b b"
    shown = in_node("F.stretch(v0, new Set(v1), 8)", often, ["a1", "b2"])
    assert ["b2", True] in shown  # another word is worth more than the same again
    short = in_node("F.stretch(v0, new Set(), 10)", "few words")
    assert short == [["few", False], ["words", False]]
