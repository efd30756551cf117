"""Test sets are read once, by a scoring function, and by nothing else that the book runs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import execute

PROJECT = execute.Project(Path(__file__).parents[2])
READERS = {"evaluation/predictive.py", "evaluation/classification.py"}
HOME = "datasets/splits.py"
"""Where the seal is made."""
METHOD, SECRET = "unseal", "_HeldOut__values"
HELD = "held"
"""What pages call the test rows of a split."""


def readings(source: str) -> list[int]:
    """The lines in which something held out is opened, by whatever way.

    Any use of the method's name counts, called or not, by attribute or by string, and so does a
    look behind the seal. Outputs of the test rows may be taken from a table to be sealed only.
    """
    tree = ast.parse(source)
    sealed = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args and _name(node.func) == "HeldOut"
    }
    return sorted({line for node in ast.walk(tree) if id(node) not in sealed for line in _at(node)})


def _at(node: ast.AST) -> Iterator[int]:
    told = isinstance(node, ast.Attribute) and node.attr in (METHOD, SECRET, "__values")
    told |= isinstance(node, ast.Constant) and node.value in (METHOD, SECRET)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
        told |= node.slice.id == HELD and "y" in _name(node.value).split("_")
    if told:
        yield node.lineno  # type: ignore[attr-defined]


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize(
    "source",
    [
        'y = task.y_test.unseal("somebody")',
        'y = task.y_test.unseal(reader="me")',
        'y = task.y_test.unseal("me")',
        'op = y_test.unseal\ny = op("x")',
        'y = getattr(y_test, "unseal")("x")',
        "y = y_test._HeldOut__values",
        "rmse = raw_y[held].std()",
        'HeldOut(raw_y[rows], "y")\nscore(prediction, task.y_train[held])',
    ],
)
def test_a_reading_is_seen(source):
    assert readings(source) == [len(source.splitlines())] or readings(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        'with path.open("rb") as file:\n    pass',
        'score_all(predictions, HeldOut(raw_y[held], "split 1"))',
        "x_test = raw_x[held]",
        "y = raw_y[rows]",
        "names = [y_test.name, len(y_test)]",
    ],
)
def test_what_reads_nothing_is_no_reading(source):
    assert readings(source) == []


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
        if (lines := readings(path.read_text("utf8")))
    }
    found.pop(HOME, None)
    assert set(found) == READERS, found
    assert all(len(lines) == 1 for lines in found.values())
