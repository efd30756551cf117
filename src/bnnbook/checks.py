"""Checks of arguments, so that bad input meets one clear error instead of a silent NaN.

Every function returns the value that it has checked, and raises a ``ValueError`` that names the
argument, the value it got and what was expected. All modules of the package use them.
"""

import math
from collections.abc import Collection, Sized
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

MAX_SHOWN = 60


def _shown(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def fail(name: str, expected: str, value: Any) -> ValueError:
    """The error that every check raises: ``name must be expected, got value``."""
    return ValueError(f"{name} must be {expected}, got {_shown(value)}")


def finite(name: str, value: Any) -> float:
    """A real number, neither infinite nor NaN."""
    return _number(name, value, "a finite number", lambda v: True)


def positive(name: str, value: Any) -> float:
    """A scale, a variance, a shape: finite and above zero."""
    return _number(name, value, "positive and finite", lambda v: v > 0)


def probability(name: str, value: Any) -> float:
    """A number in the closed interval from 0 to 1."""
    return _number(name, value, "a probability between 0 and 1", lambda v: 0 <= v <= 1)


def fraction(name: str, value: Any) -> float:
    """A number strictly between 0 and 1."""
    return _number(name, value, "strictly between 0 and 1", lambda v: 0 < v < 1)


def _number(name: str, value: Any, expected: str, holds: Any) -> float:
    if isinstance(value, (bool, str, bytes)) or np.ndim(value) != 0:
        raise fail(name, expected, value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise fail(name, expected, value) from None
    if not math.isfinite(number) or not holds(number):
        raise fail(name, expected, value)
    return number


def at_least(name: str, value: Any, minimum: int) -> int:
    """A whole number that is not below ``minimum``."""
    expected = f"a whole number of at least {minimum}"
    number = _number(name, value, expected, lambda v: v == int(v) and v >= minimum)
    return int(number)


def one_of(name: str, value: Any, allowed: Collection[Any]) -> Any:
    """One of a few admitted values."""
    if value not in allowed:
        raise fail(name, "one of " + ", ".join(map(repr, allowed)), value)
    return value


def finite_array(
    name: str, value: ArrayLike, *, ndim: int | None = None, min_size: int = 1, remedy: str = ""
) -> Float[np.ndarray, "..."]:
    """A float64 copy of an array of finite real numbers.

    Args:
        name: what the caller calls the argument.
        value: anything that NumPy turns into an array of numbers.
        ndim: the number of axes that it must have; any, where it is None.
        min_size: the fewest elements admitted.
        remedy: what to do with text or objects, which the error ends with.

    Raises:
        ValueError: where it holds text, complex numbers, NaN or infinities, has another number of
            axes, or is too short. A bad element is named by its index.
    """
    try:
        raw = np.asarray(value)
    except ValueError:
        raise fail(name, "an array of numbers, all rows of one length", value) from None
    if raw.dtype.kind not in "fiub":
        error = fail(name, "an array of real numbers", value)
        raise ValueError(f"{error}: {remedy}") if remedy else error
    array = raw.astype(np.float64)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")
    if array.size < min_size:
        raise ValueError(f"{name} must have at least {min_size} elements, got {array.size}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):  # for a single number each index is empty, so its size would not do
        where = tuple(int(i) for i in bad[0])
        index = ", ".join(map(str, where))
        raise ValueError(f"{name} must be finite everywhere, got {array[where]} at index [{index}]")
    return array


def same_length(**arrays: Sized) -> int:
    """The common length of several arrays, given by keyword."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"{' and '.join(lengths)} must have the same length, but {listed}")
    return next(iter(lengths.values()))
