"""An immutable table of numbers that knows its units and where it came from.

A column of figures without a unit or a source is a trap: what is it, and who says so? Every data
set of the book is a ``Table``, whose arrays cannot be written to, so that no page can change the
data of another. Introduced in the chapter "Linear regression".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bnnbook import checks

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Column:
    """One variable: its values, its unit and what it is."""

    values: Float[np.ndarray, " rows"]
    """The values, one a row, float64; the array cannot be made writeable."""
    unit: str
    """The unit of measurement; how it is coded, for a variable without one."""
    description: str
    """What was measured, in a few words."""

    def __post_init__(self) -> None:
        values = checks.finite_array("values", self.values, ndim=1)
        # An array over immutable bytes: not even `setflags(write=True)` opens it again.
        object.__setattr__(self, "values", np.frombuffer(values.tobytes(), dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Table:
    """A data set: named columns of one length, with provenance, licence and citation."""

    name: str
    """The data set's short name."""
    columns: Mapping[str, Column]
    """The columns by name, in order; cannot be changed."""
    description: str
    """What the rows are, and what was asked of them."""
    provenance: str
    """Where this copy was taken from."""
    licence: str
    """The terms under which it may be copied."""
    citation: str
    """A key of ``book/references.bib``; empty for simulated data."""

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("columns must hold at least one column, got none")
        checks.same_length(**{name: column.values for name, column in self.columns.items()})
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def __getitem__(self, name: str) -> Float[np.ndarray, " rows"]:
        """The values of one column."""
        return self.columns[checks.one_of("name", name, tuple(self.columns))].values

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())).values)

    def matrix(self, names: Iterable[str] | None = None) -> Float[np.ndarray, "rows columns"]:
        """Some columns side by side; all of them, where no names are given."""
        return np.column_stack([self[name] for name in (self.columns if names is None else names)])

    def to_frame(self) -> "pd.DataFrame":
        """A copy as a pandas frame, for a page to show."""
        import pandas as pd

        return pd.DataFrame({name: column.values for name, column in self.columns.items()})

    def dictionary(self) -> "pd.DataFrame":
        """What each column is: a frame of units and descriptions, a row a column."""
        import pandas as pd

        rows = [(name, c.unit, c.description) for name, c in self.columns.items()]
        return pd.DataFrame(rows, columns=["column", "unit", "description"]).set_index("column")
