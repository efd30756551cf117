"""The addresses that readers may have cited: ``python book/_ext/addresses.py`` adds the new ones.

``tests/book/addresses.txt`` lists every page and every labelled place of it. The list only grows: a
test fails where a listed address is gone. Labels are promised, not the anchors that Sphinx makes of
headings, so that a heading can be reworded.
"""

import re
from pathlib import Path

from execute import Project

ROOT = Path(__file__).resolve().parents[2]
LIST = "tests/book/addresses.txt"
LABEL = re.compile(r"^\(([\w.-]+)\)=\s*$", re.M)


def current(project: Project) -> list[str]:
    """Every page of the book and every labelled place, as they stand now."""
    found = []
    for doc in project.pages():
        labels = LABEL.findall((project.root / f"{doc}.md").read_text("utf8"))
        found += [f"{doc}.html", *(f"{doc}.html#{label}" for label in labels)]
    return found


def promised(project: Project) -> list[str]:
    """The addresses that must stay."""
    return (project.root / LIST).read_text("utf8").split()


def main() -> None:
    project = Project(ROOT)
    path = project.root / LIST
    known = promised(project) if path.is_file() else []
    added = sorted(set(current(project)) - set(known))
    path.write_text("\n".join(sorted({*known, *added})) + "\n", "utf8")
    print(f"{len(added)} new addresses, {len(known) + len(added)} in all")


if __name__ == "__main__":
    main()
