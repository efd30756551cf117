"""Test sets are read once, by a scoring function, and by nothing else that the book runs."""

import ast
from pathlib import Path

import pytest

import execute

PROJECT = execute.Project(Path(__file__).parents[2])
READERS = {"evaluation/predictive.py", "evaluation/classification.py"}


def readings(source: str) -> list[int]:
    """The lines in which something held out is opened."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "open"
        and call.args
        # Paths are opened by a mode of few letters, or by none.
        and not (isinstance(call.args[0], ast.Constant) and len(str(call.args[0].value)) < 4)
    ]


def test_a_reading_is_seen():
    source = 'y = task.y_test.open("somebody")\nwith path.open("rb") as file:\n    pass'
    assert readings(source) == [1]


@pytest.mark.parametrize("doc", PROJECT.pages())
def test_no_page_opens_a_test_set_by_itself(doc):
    nb = execute.notebook(PROJECT, doc)
    for cell in execute.code_cells(nb) if nb is not None else []:
        plain = "\n".join(line for line in cell.splitlines() if line[:1] not in ("%", "!"))
        assert not readings(plain), cell


def test_in_the_package_scoring_functions_alone_open_them():
    package = PROJECT.root / "src" / "bnnbook"
    found = {
        path.relative_to(package).as_posix(): lines
        for path in package.rglob("*.py")
        if "HeldOut" in (source := path.read_text("utf8")) and (lines := readings(source))
    }
    assert set(found) == READERS, found
    assert all(len(lines) == 1 for lines in found.values())
