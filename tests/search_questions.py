"""Readers' questions with the sections that answer them, and the search dialog that is asked."""

import tomllib
from pathlib import Path

import searching

QUESTIONS = tomllib.loads(
    (Path(__file__).parent / "book/search_questions.toml").read_text("utf8"),
)["question"]
ODD = ["qqqqzzzz", "?!…", "<img src=x onerror=alert(1)>", "a b " * 2500, "posterior " * 1000]


def addresses(soups):
    """For each label, the addresses that are right: a section's and those of its parts."""
    found = {}
    for name, soup in soups.items():
        ids = {str(tag["id"]) for tag in soup(id=True)}
        found[f"@{name.removesuffix('.html')}"] = {name} | {f"{name}#{anchor}" for anchor in ids}
        for section in soup.find_all("section", id=True):
            anchors = searching.anchors(section)
            if section.h1 in section.find_all("h1", recursive=False):
                right = {name}
            else:
                right = {f"{name}#{tag['id']}" for tag in section(id=True)}
                right |= {f"{name}#{anchor}" for anchor in anchors}
            for anchor in anchors:
                found.setdefault(anchor, set()).update(right)
        for exercise in soup.select("div.exercise[id]"):
            found[str(exercise["id"])] = {f"{name}#{exercise['id']}"}
    return found


def right(there, targets):
    """Those of some labels, of :func:`addresses`; an address that is none fails."""
    return set().union(*(there[target] for target in targets))


def place(links, root, wanted):
    """At which place the first right one of some links stands; 99 where none is right."""
    found = (i for i, link in enumerate(links) if link.removeprefix(root) in wanted)
    return next(found, 99)


def shares(places):
    """How many come first, and how many among three."""
    return [sum(each < most for each in places) / len(places) for most in (1, 3)]


def ask(page, query, key="Control+k"):
    """What the dialog says of a query, and the links that it shows."""
    if not page.locator("dialog[open]").count():
        page.keyboard.press(key)
    page.locator("dialog input").fill("")
    page.wait_for_function("() => !document.querySelector('.bnn-search-status').textContent")
    page.locator("dialog input").fill(query)
    page.wait_for_function(
        "() => /^(?!Loading)./.test(document.querySelector('.bnn-search-status').textContent)"
    )
    links = page.locator(".bnn-search-results a").evaluate_all("as => as.map(a => a.href)")
    return page.inner_text(".bnn-search-status"), links
