"""What readers have cited stays where it was."""

import pytest

import addresses
from execute import Project
from small_site import PROJECT, SITE


def test_no_promised_address_is_gone():
    gone = set(addresses.promised(PROJECT)) - set(addresses.current(PROJECT))
    assert gone == set(), "keep the label, or the page's name, that readers have cited"


def test_pages_and_labels_are_found(tmp_path):
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book/index.md").write_text("(sec-a)=\n# A\n\n(fig.b)=\n\nIn (c)= the text.\n")
    found = addresses.current(Project(tmp_path))
    assert found == ["book/index.html", "book/index.html#sec-a", "book/index.html#fig.b"]


@pytest.mark.site
def test_every_promised_address_is_in_the_site():
    built = {
        f"{doc}.html": {tag["id"] for tag in page.select("[id]")} for doc, page in SITE.built()
    }
    for address in addresses.promised(PROJECT):
        page, _, anchor = address.partition("#")
        assert page in built, address
        assert not anchor or anchor.lower().replace("_", "-") in built[page], address
