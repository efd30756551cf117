"""The block that an interactive figure is before any script runs."""

import json
import math

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from bnnbook.plotting import interactive

TEXTS = {
    "label": "Coin",
    "alt": "A curve narrows.",
    "static": "fig-x",
    "static_text": "The figure above",
}


def parsed(data, **texts):
    block = interactive.figure("beta-updating", data, **{**TEXTS, **texts})
    return BeautifulSoup(block._repr_html_(), "html.parser").div


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_data_come_back_as_they_went_in(data):
    assert json.loads(parsed(data).script.string) == data


def test_data_and_texts_cannot_break_out_of_their_place():
    evil = '</script><script>alert("1")</script>'
    block = parsed({"text": evil}, label=f'"{evil}', alt=evil, static_text=evil)
    assert len(block.find_all("script")) == 1
    assert block.script["type"] == "application/json"
    assert block["aria-label"] == f'"{evil}'
    assert block.find(class_="bnn-alt").string == evil


def test_without_javascript_the_static_figure_is_pointed_to():
    block = parsed({})
    assert block.find(class_="bnn-stage").a["href"] == "#fig-x"
    assert block["data-figure"] == "beta-updating"
    assert block["role"] == "group"


def test_there_is_no_inline_handler_nor_code():
    for tag in parsed({"a": 1}).find_all(True):
        assert not [name for name in tag.attrs if name.startswith("on") or name == "style"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, {1, 2}])
def test_data_must_be_finite_json(bad):
    with pytest.raises(ValueError, match="data must be JSON with finite numbers"):
        parsed({"x": bad})


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_texts_must_not_be_empty(name):
    with pytest.raises(ValueError, match=f"{name} must be a text that is not empty, got ' '"):
        parsed({}, **{name: " "})


def test_kind_must_be_known():
    with pytest.raises(ValueError, match=r"kind must be one of 'beta-updating', .*, got 'gamma'"):
        interactive.figure("gamma", {}, **TEXTS)
