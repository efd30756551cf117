"""Numbers in prose keep their error's digits; guards have a known false-alarm rate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnbook import glue
from bnnbook.references import Reference


@pytest.fixture
def shown(monkeypatch):
    """What a page would have bound, by name."""
    bound = {}

    def display(data, *, raw, metadata):
        assert raw
        (content,) = data.values()
        bound[metadata["scrapbook"]["name"]] = eval(content)

    monkeypatch.setattr("IPython.display.display", display)
    return bound


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        (9.83127, {"error": 0.0214}, "9.831 ± 0.021"),
        (-9.83127, {"error": 0.0996}, "−9.83 ± 0.10"),
        (1234.5678, {"error": 12.3}, "1235 ± 12"),
        (12345.678, {"error": 123.0}, "12,346 ± 123"),
        (0.5, {"error": 0.0}, "0.500"),
        (2.5e-9, {"error": 1.3e-10}, "(2.50 ± 0.13) × 10⁻⁹"),
        (0.0, {}, "0.00"),
        (-0.0001, {"decimals": 2}, "0.00"),
        (2042321.4, {"digits": 7}, "2,042,321"),
        (3.0e-7, {"digits": 2}, "3.0 × 10⁻⁷"),
        (9.999, {"digits": 2}, "10"),
        (1600, {"decimals": 0}, "1600"),
        (-3482258.63459582, {"decimals": 2}, "−3,482,258.63"),
    ],
)
def test_format(value, options, expected):
    assert glue.format_number(value, **options) == expected


@given(
    st.floats(-1e8, 1e8, allow_subnormal=False).filter(lambda v: v == 0 or abs(v) > 1e-3),
    st.floats(1e-3, 1e3),
)
def test_shown_value_is_within_a_tenth_of_its_error(value, error):
    body, shown_error = glue.format_number(value, error=error).replace("−", "-").split(" ± ")
    assert abs(float(body.replace(",", "")) - value) <= 0.06 * error or error >= 100
    assert float(shown_error.replace(",", "")) == pytest.approx(error, rel=0.06)


def test_bound_text_is_what_is_returned(shown):
    assert glue.number("slope", np.float64(9.83127), mcse=0.0214, unit="cm") == shown["slope"]
    assert shown["slope"] == "9.831 ± 0.021\N{NO-BREAK SPACE}cm"
    assert (
        glue.number("cover", 0.9532, mcse=0.0041, percent=True) == "95.32 ± 0.41\N{NO-BREAK SPACE}%"
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, "much", None, [1.0, 2.0]])
def test_a_number_that_is_none_is_refused(shown, bad):
    with pytest.raises(
        glue.GlueError, match="'slope' cannot be shown: value must be a finite number"
    ):
        glue.number("slope", bad)
    assert not shown


def test_contradicting_options_are_refused(shown):
    with pytest.raises(ValueError, match="only one of mcse, digits and decimals"):
        glue.number("slope", 1.0, mcse=0.1, digits=3)
    with pytest.raises(ValueError, match="needs a positive mcse or an rtol"):
        glue.number("slope", 1.0, reference=Reference(1.0, "exact"))
    with pytest.raises(ValueError, match="mcse must be at least 0"):
        glue.number("slope", 1.0, mcse=-0.1)


def test_a_value_off_its_reference_is_refused(shown):
    reference = Reference(10.0, "exact: by hand")
    glue.number("near", 10.0 + 0.99 * glue.GUARD_Z * 0.1, mcse=0.1, reference=reference)
    with pytest.raises(glue.GlueError, match=r"off its reference 10\.0 .exact: by hand"):
        glue.number("far", 10.0 + 1.01 * glue.GUARD_Z * 0.1, mcse=0.1, reference=reference)
    glue.number("exact", 10.0 * (1 + 0.9e-8), digits=9, reference=reference, rtol=1e-8)
    with pytest.raises(glue.GlueError):
        glue.number("inexact", 10.0 * (1 + 1.1e-8), digits=9, reference=reference, rtol=1e-8)


def test_the_references_own_error_widens_the_guard(shown):
    published = Reference(10.0, "paper", standard_error=1.0)
    glue.number("near", 14.0, mcse=0.1, reference=published)
    with pytest.raises(glue.GlueError):
        glue.number("near", 14.0, mcse=0.1, reference=Reference(10.0, "paper"))


def test_all_guards_together_fail_by_chance_less_than_once_in_a_thousand_builds():
    per_guard = math.erfc(glue.GUARD_Z / math.sqrt(2))
    assert glue.GUARD_BUDGET * per_guard == pytest.approx(glue.FALSE_ALARM_RATE, rel=1e-9)
    # Mutation: the customary 1.96 would let a correct book of that many guards fail every time.
    assert glue.GUARD_BUDGET * math.erfc(1.96 / math.sqrt(2)) > 1


def test_a_value_for_which_its_sentence_is_false_is_refused(shown):
    glue.number("rhat", 1.004, decimals=3, bounds=(1, 1.02))
    with pytest.raises(glue.GlueError, match=r"'rhat' is 1\.2, but its sentence holds only within"):
        glue.number("rhat", 1.2, decimals=3, bounds=(1, 1.02))
