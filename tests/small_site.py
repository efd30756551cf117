"""The book's own small site, which ``nox -s tests`` builds before the tests that read it."""

from pathlib import Path

import build
from execute import Project, notebook

ROOT = Path(__file__).parents[1]
PROJECT = Project(ROOT, "smoke")
SITE = build.site_of(PROJECT)
DOCS = PROJECT.pages()
EXECUTED = [doc for doc in DOCS if notebook(PROJECT, doc) is not None]
CHAPTERS = [doc for doc in EXECUTED if doc not in ("book/index", "book/from-the-edward-tutorial")]
