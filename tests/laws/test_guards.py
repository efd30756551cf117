"""What the book as a whole promises of its guarded numbers."""

from pathlib import Path

import execute
from bnnbook import glue

PROJECT = execute.Project(Path(__file__).parents[2])


def test_the_book_has_no_more_guards_than_its_false_alarm_rate_is_shared_among():
    """A guard in a loop counts once here, so the pages may use half of the budget."""
    cells = [
        cell
        for doc in PROJECT.pages()
        if (nb := execute.notebook(PROJECT, doc)) is not None
        for cell in execute.code_cells(nb)
    ]
    guards = sum(cell.count("reference=") for cell in cells)
    assert guards <= glue.GUARD_BUDGET / 2
