"""What the tests of the site share."""

import pytest

import browser
import lean
import node_tools
import server
import small_site


@pytest.fixture(scope="session")
def packages():
    """The npm packages of the site."""
    node_tools.ensure_modules()


@pytest.fixture(scope="module")
def served():
    """A browser, and the address of the small site under a path of its own."""
    path = browser.find_or_install(install=True)
    assert path, "these checks need a Chromium"
    assert small_site.SITE.html.is_dir(), "nox -s tests builds the small site first"
    with (
        server.serving(small_site.SITE.html, prefix="/book-of-bayes/") as address,
        browser.chromium(path) as chromium,
    ):
        yield chromium, address


@pytest.fixture(scope="module")
def soups():
    """The pages of the small site."""
    paths = sorted(small_site.SITE.html.glob("book/*.html"))
    return {path.relative_to(small_site.SITE.html).as_posix(): lean.parsed(path) for path in paths}
