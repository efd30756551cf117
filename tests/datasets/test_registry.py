"""Every data set is the one that the registry describes, and a changed one is refused."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from bnnbook.datasets import registry

FILES = [name for name in registry.ENTRIES if name.endswith(".csv")]
KEYS = set(
    re.findall(
        r"^@\w+\{([^,]+),",
        (Path(__file__).parents[2] / "book" / "references.bib").read_text("utf8"),
        re.MULTILINE,
    )
)


def test_every_file_is_registered_and_every_entry_has_its_file() -> None:
    on_disk = {entry.name for entry in registry.data_folder().iterdir()}
    assert on_disk == {*FILES, "README.md"}


def test_the_readme_names_every_file() -> None:
    text = registry.data_folder().joinpath("README.md").read_text("utf8")
    assert all(name in text for name in FILES)


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_every_citation_is_in_the_bibliography(name: str) -> None:
    assert registry.ENTRIES[name].citation in KEYS


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused_with_both_digests(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(registry.data_folder().joinpath(name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(registry, "data_folder", lambda: tmp_path)
    with pytest.raises(registry.DataIntegrityError) as caught:
        registry.read_csv(name)
    message = str(caught.value)
    assert name in message
    assert registry.ENTRIES[name].sha256 in message
    assert hashlib.sha256(content).hexdigest() in message


def test_a_file_cut_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kidiq.csv").write_bytes(b"")
    monkeypatch.setattr(registry, "data_folder", lambda: tmp_path)
    with pytest.raises(registry.DataIntegrityError, match=r"kidiq\.csv must have .*\(0 bytes\)"):
        registry.read_csv("kidiq.csv")


def test_a_missing_file_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "data_folder", lambda: tmp_path)
    with pytest.raises(registry.DataIntegrityError, match=r"kidiq\.csv .* found no readable file"):
        registry.read_csv("kidiq.csv")


def test_values_of_another_library_that_differ_in_one_digit_are_refused() -> None:
    with pytest.raises(registry.DataIntegrityError, match="longley must have SHA-256"):
        registry.verified_values("longley", np.ones((16, 7)))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"name must be one of 'concrete\.csv'"):
        registry.read_csv("iris.csv")
