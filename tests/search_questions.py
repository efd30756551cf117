"""Readers' questions with the sections that answer them, and the search dialog that is asked."""

import tomllib
from pathlib import Path

import searching

QUESTIONS = tomllib.loads(
    (Path(__file__).parent / "book/search_questions.toml").read_text("utf8"),
)["question"]
ODD = ["qqqqzzzz", "?!…", "<img src=x onerror=alert(1)>", "a b " * 2500, "posterior " * 1000]


def right(soups, targets):
    """The addresses that answer a question: sections, their parts, or (``@page``) whole pages."""
    found = set()
    for target in targets:
        if target.startswith("@"):
            name = f"{target[1:]}.html"
            found |= {name} | {f"{name}#{tag['id']}" for tag in soups[name](id=True)}
    labels = {target for target in targets if not target.startswith("@")}
    for name, soup in soups.items():
        for section in soup.find_all("section", id=True):
            anchors = set(searching._anchors(section))
            if section.h1 in section.find_all("h1", recursive=False):
                found |= {name} if labels & anchors else set()
            elif labels & anchors:
                found |= {f"{name}#{tag['id']}" for tag in section(id=True)}
                found |= {f"{name}#{anchor}" for anchor in anchors}
        exercises = {str(tag["id"]) for tag in soup.select("div.exercise[id]")}
        found |= {f"{name}#{label}" for label in labels & exercises}
    return found


def ask(page, query, key="Control+k"):
    """What the dialog says of a query, and the links that it shows."""
    if not page.locator("dialog[open]").count():
        page.keyboard.press(key)
    page.locator("dialog input").fill("")
    page.wait_for_function("() => !document.querySelector('.bnn-search-status').textContent")
    page.locator("dialog input").fill(query)
    page.wait_for_function("() => document.querySelector('.bnn-search-status').textContent")
    links = page.locator(".bnn-search-results a").evaluate_all("as => as.map(a => a.href)")
    return page.inner_text(".bnn-search-status"), links
