"""Bad input gets one error that names the argument, the value and what was expected."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnbook import checks


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_admitted_exactly_where_it_should_be(value):
    laws = [
        (checks.finite, True),
        (checks.positive, value > 0),
        (checks.probability, 0 <= value <= 1),
        (checks.fraction, 0 < value < 1),
    ]
    for check, admitted in laws:
        if admitted:
            assert check("scale", value) == value
        else:
            with pytest.raises(ValueError, match=r"scale must be .*, got"):
                check("scale", value)


@pytest.mark.parametrize("check", [checks.finite, checks.positive, checks.probability])
@pytest.mark.parametrize("bad", [math.nan, math.inf, "1", None, [1.0], True, 1j])
def test_what_is_no_number_is_refused(check, bad):
    with pytest.raises(ValueError, match="scale must be"):
        check("scale", bad)


def test_whole_numbers():
    assert checks.at_least("n", np.int64(3), 3) == 3
    for bad in (2, 3.5, math.nan, "3"):
        with pytest.raises(ValueError, match="n must be a whole number of at least 3, got"):
            checks.at_least("n", bad, 3)


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        ([], {}, "x must have at least 1 elements, got 0"),
        ([1.0, math.nan], {}, r"x must be finite everywhere, got nan at index \[1\]"),
        ([[1.0], [math.inf]], {}, r"got inf at index \[1, 0\]"),
        ([1.0], {"ndim": 2}, r"x must have 2 axes, got shape \(1,\)"),
        (["a"], {}, r"x must be an array of real numbers, got \['a'\]"),
        ([1j], {}, "x must be an array of real numbers"),
        (["a"], {"remedy": "number it"}, r"real numbers, got \['a'\]: number it$"),
        ([[1], [1, 2]], {}, "all rows of one length"),
        (math.nan, {}, r"x must be finite everywhere, got nan at index \[\]"),
    ],
)
def test_bad_arrays(value, options, message):
    with pytest.raises(ValueError, match=message):
        checks.finite_array("x", value, **options)


def test_an_array_is_copied_to_float64():
    given_array = np.arange(3)
    checked = checks.finite_array("x", given_array)
    checked[0] = 9
    assert checked.dtype == np.float64
    assert given_array[0] == 0


def test_lengths_are_compared_by_name():
    assert checks.same_length(x=[1, 2], y=(3, 4)) == 2
    with pytest.raises(ValueError, match="x and y must have the same length, but x has 2, y has 3"):
        checks.same_length(x=[1, 2], y=[1, 2, 3])


def test_one_of_lists_what_is_allowed():
    assert checks.one_of("size", "full", ("full", "smoke")) == "full"
    with pytest.raises(ValueError, match="size must be one of 'full', 'smoke', got 'huge'"):
        checks.one_of("size", "huge", ("full", "smoke"))


def test_long_values_are_shortened():
    with pytest.raises(ValueError, match="…") as failure:
        checks.finite("scale", "x" * 500)
    assert len(str(failure.value)) < 120
