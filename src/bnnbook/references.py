"""Published and certified values, with their sources, read by pages and tests alike.

They live in ``references.toml``, a table a data set or paper, and nowhere else, so that a page that
compares itself with a paper and the test that holds it there cannot drift apart.
"""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple


class Reference(NamedTuple):
    """A value that our own computation is held against."""

    value: float
    """The value, in the units that the note states."""
    source: str
    """A citation key of ``book/references.bib``, or ``exact: `` or ``measured: `` and how."""
    standard_error: float | None = None
    """The source's own error, where it states one."""
    note: str = ""
    """Units, definitions, anything needed to compare like with like."""


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("bnnbook").joinpath("references.toml").read_text("utf8"))


def reference(name: str) -> Reference:
    """One reference value by its dotted name, for example ``"longley.GNPDEFL"``.

    Raises:
        ValueError: where the table or the entry does not exist; the message lists what does.
    """
    tables = _tables()
    table_name, _, entry = name.partition(".")
    if table_name not in tables:
        raise ValueError(f"name must begin with one of {sorted(tables)}, got {name!r}")
    table = tables[table_name]
    entries = {key: value for key, value in table.items() if isinstance(value, dict)}
    if entry not in entries:
        raise ValueError(f"name must be {table_name}.X with X in {sorted(entries)}, got {name!r}")
    return Reference(**{"source": table.get("source", ""), **entries[entry]})
