"""The addresses that readers may have cited: ``python book/_ext/addresses.py`` adds the new ones.

``tests/book/addresses.txt`` lists every page, every labelled place of it (sections, exercises,
named figures, numbered equations) and the files by which a chapter is cited. The list only grows: a
test fails where a listed address is gone, and where one is not listed. Labels are promised, not the
anchors that Sphinx makes of headings, so that a heading can be reworded.
"""

import re
from pathlib import Path

import yaml

import citing
from execute import Project

ROOT = Path(__file__).resolve().parents[2]
LIST = "tests/book/addresses.txt"
#: Labels as they are written, and the anchors that they become.
LABELS = {
    re.compile(r"^\(([\w.-]+)\)=\s*$", re.M): "{}",
    re.compile(r"^:label: (ex-[\w-]+)\s*$", re.M): "{}",
    re.compile(r"\bname: (fig-[\w-]+)"): "{}",
    re.compile(r"^\$\$ \((eq-[\w-]+)\)\s*$", re.M): "equation-{}",
}


def current(project: Project) -> list[str]:
    """Every page of the book, every labelled place and every citation, as they stand now."""
    found = []
    for doc in project.pages():
        text = (project.root / f"{doc}.md").read_text("utf8")
        anchors = [form.format(x) for label, form in LABELS.items() for x in label.findall(text)]
        found += [f"{doc}.html", *(f"{doc}.html#{anchor}" for anchor in anchors)]
    return found + [
        f"cite/{name}.{kind}" for name in chapters(project) for kind in citing.FORMATS.values()
    ]


def chapters(project: Project) -> list[str]:
    """The names of the pages in the numbered parts of the contents."""
    contents = yaml.safe_load((project.root / "_toc.yml").read_text("utf8"))
    usual = contents.get("defaults", {}).get("numbered", False)
    parts = [part for part in contents.get("parts", ()) if part.get("numbered", usual)]
    return [Path(entry["file"]).name for part in parts for entry in part["chapters"]]


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
