"""Every experiment has both its sizes, and the environment chooses."""

import math

import pytest

from bnnbook import sizes


def test_full_is_the_size_where_nothing_is_said(monkeypatch):
    monkeypatch.delenv(sizes.VARIABLE, raising=False)
    assert sizes.current_size() == "full"


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv(sizes.VARIABLE, "full")
    full = sizes.sizes("preface").num_samples
    monkeypatch.setenv(sizes.VARIABLE, "smoke")
    assert sizes.sizes("preface").num_samples < full


def test_an_unknown_size_or_chapter_is_refused(monkeypatch):
    monkeypatch.setenv(sizes.VARIABLE, "huge")
    with pytest.raises(ValueError, match="BNNBOOK_SIZE must be one of 'full', 'smoke', got 'huge'"):
        sizes.sizes("preface")
    monkeypatch.setenv(sizes.VARIABLE, "full")
    with pytest.raises(ValueError, match=r"chapter must be one of 'preface'.*, got 'prefaces'"):
        sizes.sizes("prefaces")


def test_every_experiment_has_exactly_both_sizes():
    for chapter, table in sizes._tables().items():
        for name, both in table.items():
            assert set(both) == {"full", "smoke"}, f"{chapter}.{name}"
            values = [value if isinstance(value, list) else [value] for value in both.values()]
            numbers = [x for value in values for x in value if not isinstance(x, str)]
            assert not any(math.isnan(number) for number in numbers)
