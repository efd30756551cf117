"""Lighthouse's verdict is read right, and is what the book wants for every page."""

import pytest

import browser
import lighthouse
from small_site import DOCS, SITE


def report(performance, audit=1):
    """What Lighthouse says of a page, with one audit a category."""
    scores = dict.fromkeys(lighthouse.CATEGORIES, 1) | {"performance": performance, "seo": audit}
    return {
        "categories": {
            name: {"score": score, "auditRefs": [{"id": name, "weight": 1}]}
            for name, score in scores.items()
        },
        "audits": {name: {"score": score, "title": f"Of {name}"} for name, score in scores.items()},
    }


def test_the_median_of_the_runs_counts():
    reports = [report(score) for score in (0.99, 0.60, 0.96, 0.97, 0.94)]
    scores = lighthouse.summary("p", reports)
    assert scores.scores["performance"] == 96
    assert scores.failures() == []


def test_a_page_that_falls_short_is_named_with_what_cost_it():
    slow = lighthouse.summary("p", [report(0.94)])
    assert slow.failures() == ["p: performance 94, at least 95 wanted"]
    (failure,) = lighthouse.summary("p", [report(1, audit=0.9)]).failures()
    assert failure == "p: seo 90, at least 100 wanted (seo: Of seo)"


@pytest.mark.site
@pytest.mark.slow
@pytest.mark.parametrize("page", DOCS)
def test_a_page_is_perfect_where_perfection_is_due(page):
    """On a phone's settings. Speed is measured by ``nox -s lighthouse``, bytes by a gate."""
    executable = browser.find_or_install(install=True)
    (scores,) = lighthouse.measure(SITE.html, [page], executable, 1, lighthouse.CATEGORIES[1:])
    assert scores.failures() == []
