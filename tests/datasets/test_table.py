"""A table is immutable, rectangular and knows its units."""

import numpy as np
import pytest

from bnnbook.datasets.table import Column, Table


def table(**lengths: int) -> Table:
    columns = {name: Column(np.arange(float(n)), "none", name) for name, n in lengths.items()}
    return Table("t", columns, "rows", "made here", "CC0", "")


def test_values_cannot_be_written_nor_made_writeable() -> None:
    values = table(x=3)["x"]
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        values.setflags(write=True)


def test_later_changes_of_the_source_array_do_not_reach_the_column() -> None:
    source = np.zeros(3)
    column = Column(source, "none", "zeros")
    source[:] = 1.0
    assert not column.values.any()


def test_columns_cannot_be_added() -> None:
    with pytest.raises(TypeError):
        table(x=3).columns["z"] = Column(np.ones(3), "none", "z")  # type: ignore[index]


def test_unknown_column_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="name must be one of 'x', 'y', got 'z'"):
        table(x=3, y=3)["z"]


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="x has 3, y has 2"):
        table(x=3, y=2)


def test_no_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="columns must hold at least one column"):
        table()


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [], [[1.0]], ["a"]])
def test_bad_values_are_refused(bad: list[object]) -> None:
    with pytest.raises((ValueError, TypeError), match="values"):
        Column(np.array(bad), "none", "bad")


def test_matrix_and_frame_keep_the_order_of_columns() -> None:
    t = Table(
        "t",
        {"b": Column(np.ones(2), "m", "b"), "a": Column(np.zeros(2), "s", "a")},
        "rows",
        "made here",
        "CC0",
        "",
    )
    assert t.matrix().tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert t.matrix(["a"]).tolist() == [[0.0], [0.0]]
    assert list(t.to_frame().columns) == ["b", "a"]
    assert t.dictionary().loc["a", "unit"] == "s"
    assert t.num_rows == 2
