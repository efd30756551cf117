"""What readers have cited stays where it was."""

from pathlib import Path

import pytest

import addresses
import build
from execute import Project

ROOT = Path(__file__).parents[2]


def test_no_promised_address_is_gone():
    gone = set(addresses.promised(Project(ROOT))) - set(addresses.current(Project(ROOT)))
    assert gone == set(), "keep the label, or the page's name, that readers have cited"


def test_pages_and_labels_are_found(tmp_path):
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book/index.md").write_text("(sec-a)=\n# A\n\n(fig.b)=\n\nIn (c)= the text.\n")
    found = addresses.current(Project(tmp_path))
    assert found == ["book/index.html", "book/index.html#sec-a", "book/index.html#fig.b"]


@pytest.mark.site
def test_every_promised_address_is_in_the_site():
    site = build.site_of(Project(ROOT, "smoke"))
    built = {
        f"{doc}.html": {tag["id"] for tag in page.select("[id]")} for doc, page in site.built()
    }
    for address in addresses.promised(site.project):
        page, _, anchor = address.partition("#")
        assert page in built, address
        assert not anchor or anchor.lower().replace("_", "-") in built[page], address
