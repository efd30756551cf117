"""The back matter says what the project knows of itself, and nothing in it is typed twice."""

import ast
from pathlib import Path

import nbformat
import pytest

import back_matter
import citing
import execute
from execute import Kept, Project

ROOT = Path(__file__).parents[2]
BOOK = Project(ROOT)
RUN = {
    "when": "2026-11-28T05:06:07+00:00",
    "processor": "A processor",
    "system": "Linux x86_64",
    "versions": {"Python": "3.13.1", "JAX": "0.12.0"},
}


def notebook(shown: str):
    output = nbformat.v4.new_output("execute_result", {"text/plain": shown}, execution_count=1)
    cell = nbformat.v4.new_code_cell("assert 2 + 2 == 4", outputs=[output])
    return nbformat.v4.new_notebook(cells=[cell])


@pytest.fixture
def project(tmp_path):
    """A book of three pages, of which two have been run, in two places."""
    (tmp_path / "book").mkdir()
    for name in ("one", "two", "prose"):
        (tmp_path / f"book/{name}.md").write_text("# A page\n")
    chapters = "chapters: [{file: book/two}, {file: book/prose}]"
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/one\n{chapters}\n")
    project = Project(tmp_path, package="toy")
    elsewhere = RUN | {"processor": "Another processor", "peak_mib": 640}
    execute.save_kept(project, "book/one", Kept(notebook("4"), "ab" * 32, 1.6, RUN))
    execute.save_kept(project, "book/two", Kept(notebook("5"), "cd" * 32, 240.0, elsewhere))
    return project


def test_the_report_has_a_row_for_each_page_that_was_run_and_names_each_machine_once(project):
    text = back_matter.report(back_matter.runs(project), "full")
    rows = [line for line in text.splitlines() if line.startswith("| {doc}")]
    one, two = (row.replace("\u2011", "-").replace("\xa0", " ") for row in rows)
    assert "{doc}`/book/one` | 2026-11-28 05:06:07 | 2 s | not recorded | 1 | 1 asserted" in one
    assert f"`{'ab' * 6}`" in one
    assert "| 4 min | 640 MiB | 2 |" in two
    assert text.count("1. A processor, Linux x86_64; Python 3.13.1, JAX 0.12.0.") == 1
    assert text.count("2. Another processor") == 1
    assert "2 pages were run, in 4 min" in text
    assert "small size" in back_matter.report(back_matter.runs(project), "smoke")


def test_a_page_whose_circumstances_are_unknown_and_a_book_that_was_not_run_are_said_so(project):
    execute.save_kept(project, "book/one", Kept(notebook("4"), "ab" * 32, 1.6))
    assert "not recorded" in back_matter.report(back_matter.runs(project), "full")
    assert back_matter.report({}, "full") == "No page has been run yet."


def test_the_digest_of_outputs_changes_with_any_output_and_not_with_prose():
    first, same, other = notebook("4"), notebook("4"), notebook("5")
    same.cells.insert(0, nbformat.v4.new_markdown_cell("prose"))
    assert back_matter.digest_of_outputs(same) == back_matter.digest_of_outputs(first)
    assert back_matter.digest_of_outputs(other) != back_matter.digest_of_outputs(first)


@pytest.mark.parametrize("kind", ["book", "package"])
def test_an_entry_holds_what_the_citation_file_says(kind):
    book = citing.read_book(ROOT / "CITATION.cff")
    text = back_matter.whole_book(book, kind)
    assert "@book{" in text or kind == "package"
    assert "@software{" in text or kind == "book"
    for value in (book.title, book.version, book.year, book.url):
        assert text.count(value) >= 2


def test_the_citation_file_has_what_the_format_requires():
    """CFF 1.2 wants these; cffconvert, in an environment of its own, checks the rest."""
    import yaml

    held = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf8"))
    assert held["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= held.keys()
    assert {"type", "title", "authors"} <= held["preferred-citation"].keys()
    assert str(held["version"]) == str(held["preferred-citation"]["version"])


def test_every_data_set_is_named_with_a_work_to_cite():
    from bnnbook.datasets.registry import ENTRIES

    rows = back_matter.data_sources().splitlines()[2:]
    assert len(rows) == len(ENTRIES)
    assert all("{cite:t}`" in row for row in rows)


def test_every_module_and_every_public_name_of_the_package_is_in_the_reference():
    listed, bare = 0, []
    for room in ("", *back_matter.ROOMS):
        text = back_matter.room(BOOK, room, "https://example.org")
        for module, path in back_matter.modules_of(BOOK, room).items():
            assert f"`{module}`" in text
            if not back_matter.summary(ast.parse(path.read_text("utf8"))):
                bare.append(module)
            for node in back_matter.public(path):
                assert f"[`{back_matter.signature(node)}`](" in text
                listed += 1
                if not back_matter.summary(node):
                    bare.append(f"{module}.{node.name}")
    assert bare == []
    assert listed > 200
    inner = {name for name in execute.modules(BOOK) if not name.endswith("__init__")}
    known = {
        name for room in ("", *back_matter.ROOMS) for name in back_matter.modules_of(BOOK, room)
    }
    packages = {name for name, path in execute.modules(BOOK).items() if path.stem == "__init__"}
    private = {name for name in inner if any(part.startswith("_") for part in name.split("."))}
    assert inner - packages - private == known


def test_the_page_of_the_reference_asks_for_every_room():
    text = (ROOT / "book/api.md").read_text("utf8")
    for room in back_matter.ROOMS:
        assert f"```{{api-of}} {room}\n" in text
    assert "```{api-of}\n" in text


def test_a_docstrings_roles_and_marks_become_markdown():
    shown = back_matter.markdown("See :func:`~bnnbook.glue.number`; ``a_b`` is p*q_r $x$ [E].")
    assert shown == r"See ``bnnbook.glue.number``; ``a_b`` is p\*q\_r \$x\$ \[E\]."


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("def f(a: int, b=2): ...", "f(a, b)"),
        ("def f(a, *, key=None, **rest): ...", "f(a, *, key, **rest)"),
        ("def f(*all, last): ...", "f(*all, last)"),
        ("class A(B): ...", "class A"),
    ],
)
def test_a_signature_shows_what_a_caller_writes(code, shown):
    assert back_matter.signature(ast.parse(code).body[0]) == shown


def test_the_changelog_is_shown_without_headings():
    text = back_matter.changelog("# Changelog\n\nIntro.\n\n## 1.0 (2027-01-01)\n\n- One.\n")
    assert text == "Intro.\n\n*Version 1.0 (2027-01-01)*\n\n- One."
