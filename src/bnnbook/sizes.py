"""The two sizes of every experiment, in one place.

``full`` is what is published. ``smoke`` cuts draws and data so that every page runs in a couple of
minutes under test; it is never published. The environment variable ``BNNBOOK_SIZE`` chooses. The
numbers are in ``sizes.toml``, a table a chapter; a page reads its own::

    S = sizes("bayes-theorem")
    S.coverage_replications
"""

import os
import tomllib
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, Literal, cast

from bnnbook import checks

SIZES = ("full", "smoke")
VARIABLE = "BNNBOOK_SIZE"

Size = Literal["full", "smoke"]


def current_size() -> Size:
    """The size in force: the value of ``BNNBOOK_SIZE``, ``full`` where it is not set.

    Raises:
        ValueError: where the variable holds anything else.
    """
    return cast(Size, checks.one_of(VARIABLE, os.environ.get(VARIABLE, "full"), SIZES))


@cache
def _tables() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(files("bnnbook").joinpath("sizes.toml").read_text("utf8"))


def sizes(chapter: str) -> SimpleNamespace:
    """The sizes of one chapter's experiments, as attributes.

    Args:
        chapter: the name of a table in ``sizes.toml``, for example ``"bayes-theorem"``.

    Raises:
        ValueError: where no such table exists.
    """
    tables = _tables()
    table = tables[checks.one_of("chapter", chapter, tuple(tables))]
    size = current_size()
    return SimpleNamespace(**{name: both[size] for name, both in table.items()})
