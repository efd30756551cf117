"""Numbers that cannot go stale: computed values bound to names that the prose refers to.

A page computes a value, glues it (``glue.number("slope", fit.slope, mcse=error)``) and writes
``{glue:text}`slope` `` where the text needs it; the built page shows the value with its Monte Carlo
error. A value that comes with a reference is *guarded*: where it is further from the reference than
chance allows, the cell fails, and with it the build. Guards are sized so that a correct book fails
by chance less than once in a thousand builds.
"""

import math
from decimal import Decimal
from typing import Any

from scipy import stats

from bnnbook import checks
from bnnbook.references import Reference

#: The chance that a build of a correct book fails because of some guard.
FALSE_ALARM_RATE = 1e-3
#: The most guards that the book may have (a test counts them), among which the rate is shared.
GUARD_BUDGET = 500
#: A guarded value may be this many standard errors from its reference, by Bonferroni's bound.
GUARD_Z = float(stats.norm.isf(FALSE_ALARM_RATE / GUARD_BUDGET / 2))

_PREFIX = "application/papermill.record/"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class GlueError(ValueError):
    """A value that must not be shown: not finite, or off its reference."""


def number(
    name: str,
    value: Any,
    *,
    mcse: Any = None,
    digits: int | None = None,
    decimals: int | None = None,
    percent: bool = False,
    unit: str = "",
    reference: Reference | None = None,
    rtol: float | None = None,
    bounds: tuple[float, float] | None = None,
) -> str:
    """Bind a number, formatted for the prose, to a name.

    With a Monte Carlo standard error the text reads ``9.831 ± 0.021``: the error has two
    significant digits and the value stops at the same decimal place. Without one, ``digits``
    significant digits (three by default) or a fixed number of ``decimals`` are kept.

    Args:
        name: what the prose calls it; unique in the page.
        value: the number.
        mcse: its Monte Carlo standard error, in the value's own units.
        digits: significant digits to show; not together with ``mcse`` or ``decimals``.
        decimals: decimal places to show.
        percent: show the value (and its error) times 100 and with a per cent sign.
        unit: put behind the number, with a no-break space.
        reference: what the value is guarded against.
        rtol: for a value without Monte Carlo error, the relative distance from the reference that
            is admitted.
        bounds: the least and the greatest value for which the sentence around the number is true.

    Returns:
        The text that the prose will show.

    Raises:
        GlueError: where the value or its error is not finite, or the value is off its reference
            or out of its bounds.
        ValueError: where the arguments contradict each other.
    """
    value = _finite(name, "value", value)
    error = None if mcse is None else _finite(name, "mcse", mcse)
    if error is not None and error < 0:
        raise checks.fail("mcse", "at least 0", mcse)
    if sum(option is not None for option in (mcse, digits, decimals)) > 1:
        raise ValueError(f"only one of mcse, digits and decimals may be given for {name!r}")
    if reference is not None:
        _guard(name, value, error, reference, rtol)
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise GlueError(f"{name!r} is {value!r}, but its sentence holds only within {bounds}")
    scale = 100 if percent else 1
    shown = format_number(
        value * scale,
        error=None if error is None else error * scale,
        digits=digits,
        decimals=decimals,
    )
    suffix = "\N{NO-BREAK SPACE}%" if percent else ""
    shown += suffix + (f"\N{NO-BREAK SPACE}{unit}" if unit else "")
    return text(name, shown)


def text(name: str, shown: str) -> str:
    """Bind a string to a name: a computed word, a list, a date."""
    # MyST-NB's own convention for glued values, written out so that a notebook on Binder or at
    # home needs no Sphinx to run.
    from IPython.display import display

    display(
        {_PREFIX + "text/plain": repr(shown)},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": _PREFIX}},
    )
    return shown


def format_number(
    value: float,
    *,
    error: float | None = None,
    digits: int | None = None,
    decimals: int | None = None,
) -> str:
    """A number as prose shows it: real minus sign, thousands separated, powers of ten written out.

    >>> format_number(-9.83127, error=0.0214)
    '−9.831 ± 0.021'
    >>> format_number(2042321.4, digits=7)
    '2,042,321'
    """
    if error:
        magnitude = max(abs(value), error)
        power = _power(magnitude)
        places = _places(error / 10.0**power, 2)
        body = f"{_fixed(value / 10.0**power, places)} ± {_fixed(error / 10.0**power, places)}"
        return _with_power(f"({body})" if power else body, power)
    if decimals is not None:
        return _fixed(value, decimals)
    power = _power(abs(value))
    scaled = value / 10.0**power
    return _with_power(_fixed(scaled, _places(scaled, digits or 3)), power)


def _power(magnitude: float) -> int:
    """The power of ten to write out, 0 where plain decimals read well."""
    if magnitude == 0 or 1e-4 <= magnitude < 1e9:
        return 0
    return math.floor(math.log10(magnitude))


def _places(value: float, digits: int) -> int:
    """Decimal places that leave ``value`` with so many significant digits."""
    if value == 0:
        return digits - 1
    # Rounding can carry into the next place (0.0999 to two digits is 0.10), so round first.
    rounded = Decimal(f"{abs(value):.{digits - 1}e}")
    return max(0, digits - 1 - rounded.adjusted())


def _fixed(value: float, places: int) -> str:
    shown = f"{value:,.{places}f}"
    if float(shown.replace(",", "")) == 0:
        shown = shown.lstrip("-")
    # Four digits stand together; from five on, groups of three are told apart.
    if abs(value) < 9999.5:
        shown = shown.replace(",", "")
    return shown.replace("-", "−")


def _with_power(body: str, power: int) -> str:
    return body if power == 0 else f"{body} × 10{str(power).translate(_SUPERSCRIPTS)}"


def _finite(name: str, what: str, value: Any) -> float:
    try:
        return checks.finite(what, value)
    except ValueError as error:
        raise GlueError(f"{name!r} cannot be shown: {error}") from None


def _guard(
    name: str, value: float, error: float | None, reference: Reference, rtol: float | None
) -> None:
    distance = abs(value - reference.value)
    if rtol is not None:
        allowed = checks.positive("rtol", rtol) * abs(reference.value)
        rule = f"a relative {rtol:g}"
    elif error:
        allowed = GUARD_Z * math.hypot(error, reference.standard_error or 0.0)
        rule = f"{GUARD_Z:.2f} standard errors"
    else:
        raise ValueError(f"a guarded number needs a positive mcse or an rtol, {name!r} has neither")
    if distance > allowed:
        raise GlueError(
            f"{name!r} is {value!r}, off its reference {reference.value!r} ({reference.source}) "
            f"by {distance:.3g}, where {rule} allow {allowed:.3g}"
        )
