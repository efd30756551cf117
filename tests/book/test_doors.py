"""Ways into the site lead somewhere, wherever they are opened."""

from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup

import doors
import policy
from small_site import DOCS, SITE

ADDRESS = "https://example.org/a/book/"


def test_an_address_that_is_not_there_leads_back_from_any_depth():
    page = doors.not_found("Fish & chips", "book/index.html", ADDRESS)
    soup = BeautifulSoup(page, "html.parser")
    links = [tag.get("href") or tag.get("action") for tag in soup.select("body [href], form")]
    assert all(link.startswith(ADDRESS) for link in links)
    assert f"{ADDRESS}book/index.html" in links
    assert f"{ADDRESS}search.html" in links
    assert "Fish &amp; chips" in page
    assert policy.is_protected(page)
    assert soup.select_one("meta[name=robots]")["content"] == "noindex"


def test_the_front_door_names_the_first_page_as_the_true_one():
    soup = BeautifulSoup(doors.front_door("B", "book/index.html", ADDRESS), "html.parser")
    assert soup.select_one("link[rel=canonical]")["href"] == f"{ADDRESS}book/index.html"


def test_a_map_is_xml_and_names_whole_addresses():
    root = ElementTree.fromstring(doors.sitemap(["book/a.html", "book/b&c.html"], ADDRESS).encode())
    assert [place.text for place in root.iter() if place.tag.endswith("loc")] == [
        f"{ADDRESS}book/a.html",
        f"{ADDRESS}book/b&c.html",
    ]


@pytest.mark.site
def test_the_map_of_the_site_is_the_book():
    root = ElementTree.parse(SITE.html / "sitemap.xml").getroot()
    places = [place.text for place in root.iter() if place.tag.endswith("loc")]
    assert sorted(place.rpartition("/book/")[2] for place in places) == sorted(
        f"{doc.partition('/')[2]}.html" for doc in DOCS
    )
