"""Build the book: run its pages, make the site beside the published one, check it, swap it in.

Run as ``python book/_ext/build.py [--size full|smoke] [--jobs N] [--force] [--no-browser]``; the
``nox`` sessions ``build`` and ``tests`` call it. The full size is published to ``_build/html``,
the smoke size never is. Nothing is published where a page fails, Sphinx warns or a gate objects.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import along
import gates
import node_tools
from execute import PageError, Project, execute

ROOT = Path(__file__).resolve().parents[2]
#: All that decides what the site looks like, besides the outputs of the pages.
INPUTS = ("book", "src", "_config.yml", "_toc.yml", "CITATION.cff", "CHANGELOG.md", "requirements")
_NOT_INPUT = {"node_modules", "__pycache__"}
_NOISE = re.compile(r"^(?:\x1b\[[\d;]*m)*(?:reading sources|writing output|copying images)")


class BuildError(Exception):
    """The site could not be built; the message says why, in a form for people."""


def site_of(project: Project) -> gates.Site:
    return gates.Site(project, project.output / "_build" / "html")


def published(project: Project) -> Path:
    return project.root / "_build" / "html"


# ---- is there anything to do? --------------------------------------------------------------------


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.is_file())
            yield from (p for p in inside if not _NOT_INPUT.intersection(p.parts))


def digest(root: Path, paths: Iterable[Path]) -> str:
    """One digest of the names and contents of files and of all files in folders."""
    whole = hashlib.sha256()
    for path in _files(paths):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def state(project: Project, html: Path) -> str:
    """What a finished build looks like: its inputs, the kept outputs and the site itself."""
    inputs = [project.root / name for name in INPUTS] + [project.kept]
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{python} {digest(project.root, inputs)} {digest(html, [html])}"


def _stamp(project: Project) -> Path:
    return project.output / "built-from"


def is_current(project: Project, html: Path) -> bool:
    stamp = _stamp(project)
    return html.is_dir() and stamp.is_file() and stamp.read_text("utf8") == state(project, html)


# ---- the steps -----------------------------------------------------------------------------------


def fetch_data(project: Project) -> None:
    """Have the large data sets in the cache before a page needs them, with progress to be seen."""
    if not (project.source / "datasets" / "images.py").is_file():
        return
    done = subprocess.run([sys.executable, "-m", "bnnbook.datasets.images"], check=False)
    if done.returncode:
        raise BuildError("the pictures of the chapter on images could not be fetched: see above")


def run_sphinx(project: Project) -> None:
    """Build the site with Jupyter Book; a warning or a page that Sphinx runs itself is an error."""
    html = site_of(project).html
    shutil.rmtree(html, ignore_errors=True)
    command = [gates.tool("jupyter-book"), "build", str(project.root)]
    command += ["--path-output", str(project.output), "--all", "-W", "-n", "--keep-going"]
    environment = {**os.environ, "BNNBOOK_SIZE": project.size}
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    log = "\n".join(line for line in done.stdout.splitlines() if not _NOISE.match(line))
    (project.output / "sphinx.log").write_text(log, "utf8")
    if done.returncode:
        raise BuildError(f"Sphinx did not accept the pages:\n\n{_complaints(log)}")
    if "Executing notebook" in log:
        raise BuildError("Sphinx ran a page itself, so its outputs were not taken from the cache")


def _complaints(log: str) -> str:
    wanted = re.compile(r"WARNING|ERROR|Error|Traceback|Exception")
    lines = [line for line in log.splitlines() if wanted.search(line)]
    return "\n".join(lines) if lines else log[-4000:]


def publish(project: Project) -> Path:
    """Swap the checked site in for the published one."""
    target, fresh = published(project), site_of(project).html
    old = target.with_name("html.old")
    shutil.rmtree(old, ignore_errors=True)
    copy = target.with_name("html.new")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(fresh, copy)
    if target.exists():
        target.replace(old)
    copy.replace(target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def recover(project: Project) -> None:
    """Put the published site back where a build was killed in the middle of the swap."""
    target = published(project)
    old = target.with_name("html.old")
    if old.is_dir() and not target.exists():
        old.replace(target)


def build(
    project: Project,
    *,
    jobs: int = 2,
    force: bool = False,
    checked: bool = True,
    install_browser: bool = False,
) -> Path:
    """Build the site, check it, publish it where it is the full one, and say where it is.

    Unchecked, for an author who is writing, it is built and neither checked nor published.

    Raises:
        PageError: where a page's code fails.
        BuildError: where Sphinx warns or a gate objects.
    """
    started = time.perf_counter()
    recover(project)
    full = project.size == "full"
    html = published(project) if full else site_of(project).html
    if not force and is_current(project, html):
        print("Nothing has changed since the last build.")
        return html
    _stamp(project).unlink(missing_ok=True)
    node_tools.ensure_modules()
    fetch_data(project)
    execute(project, jobs, force)
    ran = time.perf_counter()
    run_sphinx(project)
    built = time.perf_counter()
    if not checked:
        return site_of(project).html
    if found := gates.check(site_of(project), install_browser):
        raise BuildError(f"The site is not fit to be read:\n\n{gates.report(found)}")
    if full:
        along.zip_site(project, publish(project))
    _stamp(project).write_text(state(project, html), "utf8")
    done = time.perf_counter()
    print(
        f"Pages {ran - started:.0f} s, site {built - ran:.0f} s, checks {done - built:.0f} s, "
        f"in all {done - started:.0f} s."
    )
    return html


def main(argv: list[str] | None = None) -> int | str:
    parser = argparse.ArgumentParser(description="Build the book and check it.")
    parser.add_argument("--size", choices=("full", "smoke"), default="full")
    parser.add_argument("--jobs", type=int, default=2, help="pages run at the same time")
    parser.add_argument("--force", action="store_true", help="run every page, build everything")
    parser.add_argument(
        "--install-browser", action="store_true", help="install a Chromium where there is none"
    )
    options = parser.parse_args(argv)
    project = Project(ROOT, options.size)
    try:
        html = build(
            project,
            jobs=options.jobs,
            force=options.force,
            install_browser=options.install_browser or bool(os.environ.get("CI")),
        )
    except (PageError, BuildError, node_tools.NodeError) as error:
        kept = (
            "; the site of the last good build still stands" if published(project).exists() else ""
        )
        return f"\nNothing was published{kept}.\n\n{error}"
    what = "The book" if project.size == "full" else "The small site"
    print(f"{what}: {(html / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
