"""What the search index is made of."""

import asyncio
import json
import threading

import pytest
from bs4 import BeautifulSoup

import searching

PAGE = """<article data-pagefind-body><section id="least-squares">
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


def records(asked=None, page=PAGE, queries=None, terms=None):
    soup = BeautifulSoup(page, "html.parser")
    found = searching.records("book/page.html", soup, asked or {}, queries or {}, terms or {})
    return {record.title: record for record in found}


def test_each_section_is_one_record_under_its_most_lasting_anchor():
    urls = {title: record.url for title, record in records().items()}
    assert urls == {
        "apple, pear": "book/page.html#term-a",
        "Least squares": "book/page.html",
        "What it means": "book/page.html#sec-reg-se",
        "Deeper": "book/page.html#deeper",
        "Summary": "book/page.html#summary",
    }
    assert {record.page for record in records().values()} == {"Least squares"}


def test_a_record_says_what_its_section_says_before_its_subsections():
    meaning = BeautifulSoup(records()["What it means"].html, "html.parser").get_text()
    assert "Repeat it." in meaning
    assert "Still more." not in meaning
    assert "printed" not in meaning
    assert "Try." in records()["Deeper"].html


def test_repetitions_weigh_less_and_code_too():
    asides = {title for title, record in records().items() if record.aside}
    assert asides == {"apple, pear", "Least squares", "Summary"}
    assert f'data-pagefind-weight="{searching.CODE}"' in records()["What it means"].html


def test_an_exercise_is_found_with_its_solution_and_not_where_it_stands():
    exercise = (
        '<div class="exercise" id="ex-a"><p class="admonition-title">Twice</p><p>Try it.</p></div>'
        '<details id="sol-a"><summary class="admonition-title">Solution to Twice</summary>'
        "<p>Done.</p></details><p>All again."
    )
    found = records(page=PAGE.replace("<p>All again.", exercise), queries={"ex-a": ["two times"]})
    assert found["Twice"].url == "book/page.html#ex-a"
    assert found["Twice"].asked == "two times"
    text = BeautifulSoup(found["Twice"].html, "html.parser").get_text()
    assert "Try it." in text
    assert "Done." in text
    assert "Solution" not in text
    assert "Try it." not in found["Summary"].html
    assert "Done." not in found["Summary"].html


def test_a_query_counts_for_our_score_and_is_not_in_what_pagefind_sees():
    found = records({"sec-reg-se": ["why"]}, queries={"sec-reg-se": ["wherefore"]})
    record = found["What it means"]
    assert record.asked == "why. wherefore"
    assert "why" in record.html
    assert "wherefore" not in record.html


def test_readers_words_stand_behind_a_mark():
    html = records({"sec-reg-se": ["why"]})["What it means"].html
    assert html.index("Repeat it.") < html.index(searching.END) < html.index("why")


def test_a_numbered_summary_is_still_a_repetition():
    page = PAGE.replace("<h2>Summary", '<h2><span class="section-number">1.2. </span>Summary')
    assert records(page=page)["1.2. Summary"].aside


def test_a_question_leads_to_the_section_that_it_names():
    found = records({"sec-reg-se": ["is <it> wide?"]})["What it means"]
    assert "is &lt;it&gt; wide?" in found.html


def test_the_glossary_lends_its_terms_to_the_section_that_teaches_them(tmp_path):
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
    assert record.aside
    assert "recap" in record.asked
    assert record.asked.endswith("Least squares")


def test_markup_in_titles_stays_text():
    record = searching.Record("u", "a < b", 'p"q', "", aside=False)
    assert "a &lt; b" in searching.document(record)
    assert 'content="p&quot;q"' in searching.document(record)


def test_a_failing_index_says_so(tmp_path):
    with pytest.raises(searching.SearchError, match="marked to be searched"):
        searching.index(tmp_path)


@pytest.mark.parametrize("table", ["questions", "queries"])
def test_a_question_for_a_section_that_is_gone_fails(tmp_path, table):
    (tmp_path / "page.html").write_text(PAGE, "utf8")
    with pytest.raises(searching.SearchError, match="not there: sec-gone"):
        searching.index(tmp_path, **{table: {"sec-gone": ["where?"]}})


def test_an_index_is_written(tmp_path):
    (tmp_path / "page.html").write_text(PAGE, "utf8")
    searching.index(tmp_path, {"sec-reg-se": ["where?"]})
    assert (tmp_path / "pagefind/pagefind.js").exists()
    assert len(list((tmp_path / "pagefind/fragment").iterdir())) == len(records())
    words = json.loads((tmp_path / "pagefind/words.json").read_text("utf8"))
    assert "repeat" not in words["known"]
    named = words["asked"]
    summary = f"Summary. {searching.CALLED['Summary']}. Least squares"
    assert sorted(named.values()) == ["Deeper. ", summary, "What it means. where?. standard error"]
    assert ["What it means", "standard error"] in words["names"].values()
    texts = (tmp_path / "pagefind" / searching.TEXTS).read_text("utf8")
    plain = json.loads(texts.removeprefix("globalThis.bnnTexts=").removesuffix(";"))
    assert plain["known"] == words["known"]
    assert len(plain["sections"]) == len(records())
    (there,) = [s for s in plain["sections"] if s["title"] == "What it means"]
    assert (there["url"], there["text"]) == ("page.html#sec-reg-se", "Repeat it.")
    assert set(named) < {path.stem for path in (tmp_path / "pagefind/fragment").iterdir()}


def test_no_file_of_an_index_is_left_empty(tmp_path):
    """Pagefind answers before it has written, and was ended with its first file empty."""
    (tmp_path / "entry.json").touch()
    writing = threading.Timer(0.4, (tmp_path / "entry.json").write_text, ("{}",))
    writing.start()
    asyncio.run(searching._on_disk(tmp_path, seconds=30))
    assert (tmp_path / "entry.json").read_text() == "{}"
    # Mutation: one that nobody writes.
    (tmp_path / "other.json").touch()
    with pytest.raises(searching.SearchError, match=r"stayed empty: other\.json"):
        asyncio.run(searching._on_disk(tmp_path, seconds=0.2))


def test_misspelt_words_are_set_right_by_words_of_five_letters_and_more():
    assert searching.known_words(["The ELBO’s Hessian, n_effective"]) == ["effective", "hessian"]
