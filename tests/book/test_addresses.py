"""What readers have cited stays where it was."""

import pytest

import addresses
from execute import Project
from small_site import CHAPTERS, PROJECT, SITE

MORE = """
:label: ex-d
  figure: {name: fig-e, caption: "A."}
$$ (eq-f)
"""


def test_no_promised_address_is_gone():
    gone = set(addresses.promised(PROJECT)) - set(addresses.current(PROJECT))
    assert gone == set(), "keep the label, or the page's name, that readers have cited"


def test_every_address_is_promised():
    new = set(addresses.current(PROJECT)) - set(addresses.promised(PROJECT))
    assert new == set(), "nox -s addresses adds them to the list"


def test_pages_and_labels_are_found(tmp_path):
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book/index.md").write_text(
        "(sec-a)=\n# A\n\n(fig.b)=\n\nIn (c)= the text.\n" + MORE
    )
    found = addresses.current(Project(tmp_path))
    anchors = ["sec-a", "fig.b", "ex-d", "fig-e", "equation-eq-f"]
    assert found == ["book/index.html", *(f"book/index.html#{anchor}" for anchor in anchors)]


def test_the_chapters_are_those_of_the_numbered_parts():
    assert [f"book/{name}" for name in addresses.chapters(PROJECT)] == CHAPTERS


@pytest.mark.site
def test_every_promised_address_is_in_the_site():
    built = {
        f"{doc}.html": {tag["id"] for tag in page.select("[id]")} for doc, page in SITE.built()
    }
    for address in addresses.promised(PROJECT):
        if address.startswith("cite/"):
            assert (SITE.html / address).is_file(), address
            continue
        page, _, anchor = address.partition("#")
        assert page in built, address
        assert not anchor or anchor.lower().replace("_", "-") in built[page], address
