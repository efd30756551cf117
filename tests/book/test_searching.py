"""What the search index is made of."""

import json

import pytest
from bs4 import BeautifulSoup

import searching

pytestmark = pytest.mark.usefixtures("packages")

PAGE = """<article data-bnn-searchable><section id="least-squares">
<h1>Least squares<a class="headerlink">#</a></h1><p>Opening.</p>
<section id="what-it-means"><span id="sec-reg-se"></span><h2>What it means</h2><p>Repeat it.</p>
<div class="cell"><div class="cell_input">code</div>
<div class="cell_output"><div class="stream">printed</div></div></div>
<section id="deeper"><h3>Deeper</h3><p>Still more.</p>
<div><section id="exercise-content"><p>Try.</p></section></div></section></section>
<section id="summary"><h2>Summary</h2><p>All again.</p></section></section>
<dl class="glossary"><dt id="term-se">standard error</dt>
<dd><p>Its sd. See <a href="page.html#sec-reg-se">there</a>.</p></dd>
<dt id="term-a">apple</dt><dt id="term-b">pear</dt><dd><p>Fruit.</p></dd></dl></article>"""


def records(asked=None, page=PAGE, terms=None):
    soup = BeautifulSoup(page, "html.parser")
    found = searching.records("book/page.html", soup, asked or {}, terms or {})
    return {record.title: record for record in found}


def test_each_section_is_one_record_under_its_most_lasting_anchor():
    urls = {title: record.url for title, record in records().items()}
    assert urls == {
        "Least squares": "book/page.html",
        "What it means": "book/page.html#sec-reg-se",
        "Deeper": "book/page.html#deeper",
        "Summary": "book/page.html#summary",
    }
    assert {record.page for record in records().values()} == {"Least squares"}


def test_a_record_says_what_its_section_says_before_its_subsections():
    assert records()["What it means"].text == "Repeat it."
    assert records()["Deeper"].text == "Still more. Try."


def test_repetitions_are_known_and_names_in_code_stand_apart():
    repeating = {title for title, record in records().items() if record.repeats}
    assert repeating == {"Least squares", "Summary"}
    page = PAGE.replace(">code<", ">from jax import random\nrandom.split(key)  # split<")
    assert records(page=page)["What it means"].code == "from import random split"


def test_what_is_not_to_be_searched_is_left_out():
    box = (
        f'<div class="{searching.NOT_SEARCHED}"><p>A list of <a class="headerlink">#</a></p></div>'
    )
    assert records(page=PAGE.replace("<p>Repeat it.</p>", box))["What it means"].text == ""


def test_the_opening_of_a_chapter_repeats_unless_readers_ask_for_it():
    assert records()["Least squares"].asked == ""
    page = PAGE.replace("<h1>", '<span id="reg"></span><h1>')
    opening = records({"reg": ["where to begin"]}, page)["Least squares"]
    assert not opening.repeats
    assert opening.asked == "Least squares. where to begin"


def test_an_exercise_is_found_with_its_solution_and_not_where_it_stands():
    exercise = (
        '<div class="exercise" id="ex-a"><p class="admonition-title">Twice</p><p>Try it.</p></div>'
        '<details id="sol-a"><summary class="admonition-title">Solution to Twice</summary>'
        "<p>Done.</p></details><p>All again."
    )
    found = records({"ex-a": ["two times"]}, PAGE.replace("<p>All again.", exercise))
    assert found["Twice"].url == "book/page.html#ex-a"
    assert found["Twice"].asked == "Twice. two times"
    assert found["Twice"].text == "Try it. Done."
    assert found["Summary"].text == "All again."


def test_a_numbered_summary_is_still_a_repetition():
    page = PAGE.replace("<h2>Summary", '<h2><span class="section-number">1.2. </span>Summary')
    assert records(page=page)["1.2. Summary"].repeats


def test_what_readers_ask_is_not_in_the_sections_own_text():
    record = records({"sec-reg-se": ["is <it> wide?", "why"]})["What it means"]
    assert record.asked == "What it means. is <it> wide?. why"
    assert record.text == "Repeat it."


def test_the_glossary_lends_its_terms_to_the_section_that_teaches_them():
    soups = {"book/page.html": BeautifulSoup(PAGE, "html.parser")}
    assert searching._taught(soups) == {"sec-reg-se": ["standard error"]}


def test_a_section_is_called_by_its_heading_and_the_terms_that_it_teaches():
    page = PAGE.replace("<h2>What", '<h2><span class="section-number">1.1. </span>What')
    found = records(page=page, terms={"sec-reg-se": ["standard error", "SE"]})
    assert found["1.1. What it means"].names == ("What it means", "standard error", "SE")
    assert found["Deeper"].names == ("Deeper",)
    assert found["Summary"].names == ()


def test_a_summary_is_asked_for_by_what_readers_call_it():
    record = records()["Summary"]
    assert record.repeats
    assert "recap" in record.asked
    assert record.asked.endswith("Least squares")


def test_a_failing_index_says_so(tmp_path):
    with pytest.raises(searching.SearchError, match="marked to be searched"):
        searching.index(tmp_path)


def test_words_for_a_section_that_is_gone_fail(tmp_path):
    (tmp_path / "page.html").write_text(PAGE, "utf8")
    with pytest.raises(searching.SearchError, match="not there: sec-gone"):
        searching.index(tmp_path, {"sec-gone": ["where?"]})


def test_words_stand_in_a_file_a_page_and_no_section_in_two(tmp_path):
    (tmp_path / "a.toml").write_text('sec-a = ["why"]\n')
    (tmp_path / "b.toml").write_text('sec-b = ["how", "what"]\n')
    assert searching.words_of(tmp_path) == {"sec-a": ["why"], "sec-b": ["how", "what"]}
    (tmp_path / "c.toml").write_text('sec-a = ["when"]\n')
    with pytest.raises(searching.SearchError, match=r"c\.toml speaks of sec-a"):
        searching.words_of(tmp_path)
    (tmp_path / "c.toml").write_text('sec-c = "when"\n')
    with pytest.raises(searching.SearchError, match=r"c\.toml: sec-c must be a list.*'when'"):
        searching.words_of(tmp_path)
    (tmp_path / "c.toml").write_text("sec-c = [when]\n")
    with pytest.raises(searching.SearchError, match=r"c\.toml: .*line 1"):
        searching.words_of(tmp_path)


def test_an_index_is_written(tmp_path):
    (tmp_path / "page.html").write_text(
        PAGE.replace("Repeat it.", "Repeat </script> “it”."), "utf8"
    )
    searching.index(tmp_path, {"sec-reg-se": ["where?"]})
    script = (tmp_path / searching.FINDER).read_text("utf8")
    data = json.loads(script.rpartition("bnnFinder(")[2].removesuffix(");"))
    assert [section["title"] for section in data["sections"]] == list(records())
    (there,) = [s for s in data["sections"] if s["title"] == "What it means"]
    assert (there["url"], there["text"]) == ("page.html#sec-reg-se", "Repeat “it”.")
    assert there["names"] == ["What it means", "standard error"]
    assert {"where", "standard"} <= {term for term, _ in data["index"]["index"]}
