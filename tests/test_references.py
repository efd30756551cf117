"""Reference values are read from one file, and each names a source that exists."""

import re
from pathlib import Path

import pytest

from bnnbook import references

BIBLIOGRAPHY = Path(__file__).parents[1] / "book" / "references.bib"


def entries():
    for table, content in references._tables().items():
        for name, entry in content.items():
            if isinstance(entry, dict):
                yield f"{table}.{name}"


def test_a_value_comes_with_its_source():
    found = references.reference("longley.GNPDEFL")
    assert found.value == 15.0618722713733
    assert found.source == "nist-longley"


@pytest.mark.parametrize("name", ["longley.GDP", "longley", "", "nowhere.x"])
def test_an_unknown_name_is_refused_and_the_known_ones_listed(name):
    with pytest.raises(ValueError, match="name must b"):
        references.reference(name)


@pytest.mark.parametrize("name", sorted(entries()))
def test_every_source_is_in_the_bibliography_or_says_how_it_was_obtained(name):
    source = references.reference(name).source
    keys = set(re.findall(r"^@\w+\{([^,]+),", BIBLIOGRAPHY.read_text("utf8"), re.M))
    assert source.startswith(("exact: ", "measured: ")) or source in keys
