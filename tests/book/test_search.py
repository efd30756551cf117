"""Readers' questions, put to the search dialog of the book's own small site in a browser."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import searching
from search_questions import ODD, QUESTIONS, addresses, ask, place, right, shares
from small_site import ROOT

WORDS = searching.words_of(ROOT / "book/search")
#: What must be reached, frozen and open: a guard some questions below what is
#: (docs/decisions/0008-search.md).
FIRST, THREE = {True: 0.93, False: 0.94}, {True: 0.975, False: 0.985}
#: What a reader types, and the page that answers it.
QUERIES = {
    "least squares as maximum likelihood": "linear-regression",
    "float32 wrong sign longley": "linear-regression",
    "what does a standard error mean": "linear-regression",
    "overfitting polynomial degree": "linear-regression",
    "normal equations": "linear-regression",
    "conjugate prior beta binomial": "bayes-theorem",
    "medical test false positive": "bayes-theorem",
    "prior predictive check": "bayes-theorem",
    "credible interval or confidence interval": "bayes-theorem",
    "Lindley's paradox Bayes factor": "model-evidence",
    "bridge sampling harmonic mean": "model-evidence",
    "how to cite this book": "how-to-cite",
    "normal distribution second argument standard deviation": "notation",
}


def test_questions_name_sections_that_are_there():
    text = "".join(path.read_text("utf8") for path in (ROOT / "book").glob("*.md"))
    there = set(re.findall(r"^\(([\w-]+)\)=$|^:label: ([\w-]+)$", text, re.M))
    labels = {label for pair in there for label in pair if label}
    for question in QUESTIONS:
        for target in [*question["sections"], *question.get("also", [])]:
            page = target.removeprefix("@")
            assert target in labels or (ROOT / f"{page}.md").is_file(), question
    assert {*WORDS} - labels <= {"glossary", "bibliography"}


def test_each_term_of_the_glossary_leads_to_the_section_that_teaches_it():
    entries = (ROOT / "book/glossary.md").read_text("utf8").partition("```{glossary}\n")[2]
    meanings = re.findall(r"^  .+$", entries, re.M)
    assert len(meanings) > 150
    assert [meaning for meaning in meanings if "{ref}`sec-" not in meaning] == []


def test_half_of_the_questions_are_frozen_and_none_is_asked_twice():
    assert len({question["text"].lower() for question in QUESTIONS}) == len(QUESTIONS) >= 90
    assert abs(sum(2 * q["frozen"] - 1 for q in QUESTIONS)) <= 2


def test_a_part_of_a_section_is_right_and_its_neighbour_is_not():
    page = (
        '<section id="c"><h1>C</h1><section id="a"><span id="sec-a"></span><h2>A</h2>'
        '<section id="part"><h3>P</h3></section></section><section id="b"><h2>B</h2>'
        '<div class="exercise" id="ex-b"></div></section></section>'
    )
    soups = {"p.html": BeautifulSoup(page, "html.parser")}
    there = addresses(soups)
    assert right(there, ["sec-a"]) == {"p.html#sec-a", "p.html#a", "p.html#part"}
    assert right(there, ["ex-b"]) == {"p.html#ex-b"}
    assert right(there, ["c", "ex-b"]) == {"p.html", "p.html#ex-b"}
    assert "p.html#b" in right(there, ["@p"])
    with pytest.raises(KeyError):
        right(there, ["sec-gone"])


#: Words that make no question another one.
FILLERS = {"a", "an", "do", "does", "how", "i", "in", "is", "my", "of", "the", "to", "what", "why"}


def words_in(text):
    return frozenset(re.findall(r"\w+", text.lower())) - FILLERS


def test_no_frozen_question_is_among_the_words():
    known = {words_in(text) for texts in WORDS.values() for text in texts}
    asked = [question["text"] for question in QUESTIONS if question["frozen"]]
    assert [text for text in asked if words_in(text) in known] == []


@pytest.fixture(scope="module")
def opened(served):
    """A page of the site under a subpath, and what it asked of others or complained of."""
    chromium, address = served
    page, bad = chromium.new_page(), []
    page.on("request", lambda r: None if r.url.startswith(address) else bad.append(r.url))
    page.on("pageerror", lambda error: bad.append(str(error)))
    page.on("dialog", lambda dialog: (bad.append(dialog.message), dialog.dismiss()))
    page.goto(f"{address}book/index.html")
    return page, address, bad


@pytest.fixture(scope="module")
def there(soups):
    return addresses(soups)


@pytest.mark.site
@pytest.mark.parametrize("frozen", [True, False])
def test_questions_lead_to_their_sections(opened, there, frozen, record_property):
    """By all that is right; what they are by the sections of who asked is said beside it."""
    page, address, bad = opened
    places, strictly, missed = [], [], []
    for question in (q for q in QUESTIONS if q["frozen"] is frozen):
        _, links = ask(page, question["text"])
        own = right(there, question["sections"])
        wanted = own | right(there, question.get("also", []))
        for kept, among in ((places, wanted), (strictly, own)):
            kept.append(place(links, address, among))
        if places[-1] and not frozen:
            missed.append((places[-1], question["text"], links[:3]))
    first, three = shares(places)
    which = "frozen" if frozen else "open"
    said = f"search, {which}: first {first:.1%}, in three {three:.1%} of {len(places)}"
    own_first, own_three = shares(strictly)
    record_property("said", f"{said}; by who asked {own_first:.1%}, {own_three:.1%}")
    assert first >= FIRST[frozen], missed
    assert three >= THREE[frozen], missed
    assert bad == []


@pytest.mark.site
def test_who_asks_what_a_term_is_gets_the_section_that_teaches_it(opened, soups, there):
    """For every term of the glossary that says where; a section's own heading may come before."""
    page, address, _ = opened
    terms = [(term, label) for label, names in searching._taught(soups).items() for term in names]
    assert len(terms) > 100
    places = {}
    for term, label in terms:
        _, links = ask(page, f"what is {term}")
        places[term] = place(links, address, there[label])
    assert [term for term, found in places.items() if found > 2] == []
    assert shares(places.values())[0] > 0.95


@pytest.mark.site
def test_the_first_search_has_a_budget(served):
    """In KiB as they come over the line; all comes at once."""
    chromium, address = served
    page, sizes = chromium.new_context().new_page(), []
    page.goto(f"{address}book/index.html", wait_until="networkidle")
    page.on("requestfinished", lambda r: sizes.append(r.sizes()["responseBodySize"]))
    assert ask(page, "hat matrix")[1]
    page.wait_for_load_state("networkidle")
    assert 50 < sum(sizes) / 1024 < 450
    page.context.close()


@pytest.mark.site
@pytest.mark.parametrize("query", QUERIES)
def test_a_query_leads_to_its_page(opened, query):
    page, _, _ = opened
    _, links = ask(page, query)
    names = [Path(link.partition("#")[0]).name for link in links[:3]]
    assert f"{QUERIES[query]}.html" in names


@pytest.mark.site
def test_what_an_answer_shows_is_the_books_and_not_its_keywords(opened):
    page, _, _ = opened
    ask(page, "why minimise squared errors")
    shown = page.locator(".bnn-search-excerpt").all_inner_texts()
    assert shown
    assert not any("minimize, why squares" in text for text in shown)


@pytest.mark.site
@pytest.mark.parametrize("query", ODD)
def test_odd_queries_get_a_calm_answer(opened, query):
    page, _, bad = opened
    status, links = ask(page, query)
    assert len(status) < 300
    assert len(links) <= 12
    assert not page.locator("dialog[open] img, dialog[open] script").count()
    assert bad == []


@pytest.mark.site
def test_enter_leads_to_what_is_asked_now_not_to_what_was_found_before(opened):
    page, address, bad = opened
    page.goto(f"{address}book/index.html")
    ask(page, "hat matrix")
    page.locator("dialog input").fill("how wide should my proposal be")
    page.locator("dialog input").press("Enter")
    page.wait_for_url(f"{address}book/markov-chain-monte-carlo.html#sec-mc-step")
    assert bad == []


@pytest.mark.site
@pytest.mark.parametrize("way", ["click", "enter"])
def test_an_answer_on_the_same_page_is_seen(opened, way):
    page, address, _ = opened
    page.goto(f"{address}book/markov-chain-monte-carlo.html")
    ask(page, "how wide should my proposal be")
    if way == "click":
        page.locator(".bnn-search-results a").first.click()
    else:
        page.locator("dialog input").press("Enter")
    page.wait_for_url("**#sec-mc-step")
    assert page.locator("dialog[open]").count() == 0
    page.wait_for_timeout(700)
    assert -5 <= page.locator("#sec-mc-step").evaluate("e => e.getBoundingClientRect().top") < 150


@pytest.mark.site
def test_an_index_that_did_not_load_is_asked_for_again(opened):
    page, address, _ = opened
    broken = f"**/{searching.FINDER}"
    page.route(broken, lambda route: route.abort())
    page.goto(f"{address}book/index.html")
    status, links = ask(page, "hat matrix")
    assert "did not load" in status
    assert links == []
    page.unroute(broken)
    status, links = ask(page, "hat matrix.")
    assert links


@pytest.mark.site
def test_an_address_that_cannot_be_read_stops_nothing(opened):
    page, address, bad = opened
    page.goto("about:blank")
    page.goto(f"{address}book/index.html#100%")
    assert ask(page, "hat matrix")[1]
    assert bad == []


@pytest.mark.site
@pytest.mark.parametrize("key", ["/", "Control+k"])
def test_answers_show_where_they_lead_and_mark_what_was_asked(opened, key):
    page, address, bad = opened
    page.goto(f"{address}book/index.html")
    status, links = ask(page, "how wide should my proposal be", key)
    assert "“how wide should my proposal be”" in status
    assert links[0] == f"{address}book/markov-chain-monte-carlo.html#sec-mc-step"
    assert page.locator(".bnn-search-results li").first.locator("mark").count() > 0
    page.locator("dialog input").press("Enter")
    page.wait_for_url(f"{address}book/markov-chain-monte-carlo.html#sec-mc-step")
    assert bad == []


@pytest.mark.site
def test_an_enter_leads_nowhere_once_the_dialog_is_closed(opened):
    page, address, bad = opened
    held = []
    page.route(f"**/{searching.FINDER}", lambda route: held.append(route))
    page.goto(f"{address}book/index.html")
    page.keyboard.press("Control+k")
    page.locator("dialog input").fill("hat matrix")
    page.locator("dialog input").press("Enter")
    page.wait_for_function(
        "() => document.querySelector('.bnn-search-status').textContent.startsWith('Loading')"
    )
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('dialog[open]')")
    for route in held:
        route.continue_()
    page.wait_for_function("() => globalThis.bnnFind")
    page.wait_for_timeout(300)
    assert page.url == f"{address}book/index.html"
    page.unroute(f"**/{searching.FINDER}")
    assert bad == []
