"""The README's figure, taken from the preface's last run: ``nox -s readme``.

A repository's front page can't compute, so the figure is committed, light and dark, with the key of
the cells that drew it. A test compares that key with the preface as it is, so that the two can't
drift apart unnoticed.
"""

import hashlib
import sys
from pathlib import Path

import figures
from bnnbook.plotting import palette
from execute import Project, code_cells, load_kept, notebook

PAGE = "book/index"
NAMES = ("preface.svg", "preface-dark.svg")


def key(project: Project) -> str:
    """The digest of the preface's code."""
    nb = notebook(project, PAGE)
    return hashlib.sha256("\0".join(code_cells(nb) if nb else []).encode()).hexdigest()


def committed_key(folder: Path) -> str:
    """The key that the committed figure carries in its last line."""
    last = (folder / NAMES[0]).read_text("utf8").rstrip().splitlines()[-1]
    return last.removeprefix("<!-- from ").removesuffix(" -->")


def main() -> str | int:
    project = Project(Path(__file__).resolve().parents[2])
    kept = load_kept(project, PAGE)
    outputs = [out for cell in kept.nb.cells for out in cell.get("outputs", [])] if kept else []
    drawn = [out["data"] for out in outputs if "image/svg+xml" in out.get("data", {})]
    if not drawn:
        return "The preface has not been run yet: nox -s build does it."
    light = drawn[0]["image/svg+xml"]
    folder = project.root / "docs"
    for name, svg in zip(NAMES, (light, figures.darken(light, palette.DARK)), strict=True):
        (folder / name).write_text(f"{svg.rstrip()}\n<!-- from {key(project)} -->\n", "utf8")
    print("wrote", *(f"docs/{name}" for name in NAMES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
