"""Run the pages' code before Sphinx builds them: two at a time, longest first, when it has changed.

A page's outputs are kept under a *key*: the digest of everything that its code can see, which is
its own cells, the lock of the environment, the Python version, the size of the experiments, and of
the package the modules that it imports, directly or not (as syntax trees without docstrings and
comments), with the data files that those modules name. A page is run again exactly when its key has
changed. Kept pages are files written whole or not at all, so an interrupted build loses only the
page that was running; jupyter-cache, from which Sphinx takes the outputs, is filled afresh from
them each time and so can hold nothing stale.

Run as ``python book/_ext/execute.py [--size full|smoke] [--jobs N] [--force]``.
"""

import argparse
import ast
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import sys
import time
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import provenance

#: Names the Python of another environment to run the pages in; the tests name Binder's.
KERNEL = "BNNBOOK_KERNEL"
LOCK = "requirements/build.txt"
TIMEOUT = 900
NOT_DATA = {".py", ".pyc", ".md", ".typed"}
TRACEBACK_LINES = 30
_ANSI = re.compile(r"\x1b\[[\d;]*m")
_MAGIC = re.compile(r"^\s*[%!]")

#: What a page's process sees. One thread each, as two JAX processes fight over two cores; compiled
#: programs are kept from run to run; nothing of the user's own Jupyter or IPython settings.
KERNEL_ENVIRONMENT = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # As in binder/start: memory that is freed goes back to the system instead of staying with
    # glibc's malloc.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # Else XLA writes an alarm where a compilation takes minutes, as on a busy machine, and a page
    # that writes to standard error fails. XLA's errors are exceptions all the same.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # tqdm looks for widgets, which no page shows. A kept program that another page is writing, or
    # was killed over, is compiled again.
    "PYTHONWARNINGS": "ignore:IProgress not found,"
    "ignore:Error reading persistent compilation cache entry,"
    "ignore:Error writing persistent compilation cache entry",
}


class PageError(Exception):
    """A page that could not be run, said in a form that names the page and the cell."""


@dataclass(frozen=True)
class Project:
    """Where the book, its package and its outputs are."""

    root: Path
    size: str = "full"
    package: str = "bnnbook"

    @property
    def source(self) -> Path:
        return self.root / "src" / self.package

    @property
    def output(self) -> Path:
        """What Jupyter Book is given as its output path; it makes a folder ``_build`` in it."""
        return self.root / "_build" / self.size

    @property
    def kept(self) -> Path:
        return self.output / "pages"

    @property
    def jupyter_cache(self) -> Path:
        return self.output / "_build" / ".jupyter_cache"

    def pages(self) -> list[str]:
        """The pages of the table of contents that exist as Markdown, in its order."""
        from sphinx_external_toc.parsing import parse_toc_yaml

        toc = parse_toc_yaml(self.root / "_toc.yml")
        return [doc for doc in toc if (self.root / f"{doc}.md").exists()]


# ---- what a page can see -------------------------------------------------------------------------


def notebook(project: Project, doc: str) -> NotebookNode | None:
    """A Markdown page as a notebook, exactly as MyST-NB reads it; None where it has no kernel."""
    from myst_nb.core.config import NbParserConfig
    from myst_nb.core.read import create_nb_reader
    from myst_parser.config.main import MdParserConfig

    path = project.root / f"{doc}.md"
    text = path.read_text("utf8")
    reader = create_nb_reader(str(path), MdParserConfig(), NbParserConfig(), text)
    return None if reader is None else reader.read(text)


def code_cells(nb: NotebookNode) -> list[str]:
    return [cell.source for cell in nb.cells if cell.cell_type == "code"]


def modules(project: Project) -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(project.source.rglob("*.py")):
        parts = path.relative_to(project.source.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _parse(code: str) -> ast.Module:
    plain = "\n".join("" if _MAGIC.match(line) else line for line in code.splitlines())
    return ast.parse(plain)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        node.body = [statement for statement in node.body if not _is_text(statement)] or [
            ast.Pass()
        ]
    return tree


def _is_text(node: ast.stmt) -> bool:
    """A docstring, or a string that documents the field above it."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def imported(tree: ast.Module, module: str, known: dict[str, Path]) -> set[str]:
    """The package's modules that a parsed module (or page, named "") imports, parents included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, known)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {parent for name in names for parent in _parents(name) if parent in known}
    return found


def _absolute(node: ast.ImportFrom, module: str, known: dict[str, Path]) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".")
    if known[module].name != "__init__.py":
        package = package[:-1]
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        yield ".".join(parts[:end])


def reached(trees: Iterable[ast.Module], known: dict[str, Path]) -> dict[str, ast.Module]:
    """The syntax trees of all modules that a page's cells reach, by name."""
    waiting = set().union(*(imported(tree, "", known) for tree in trees))
    done: dict[str, ast.Module] = {}
    while waiting:
        name = waiting.pop()
        done[name] = _without_docstrings(ast.parse(known[name].read_text("utf8")))
        waiting |= imported(done[name], name, known) - done.keys()
    return done


def _strings(trees: Iterable[ast.Module]) -> set[str]:
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def data_digests(project: Project, trees: list[ast.Module]) -> dict[str, str]:
    """The digests of the package's data files that the code names.

    A file counts when a string of the code is its name, with or without its suffix. Of a TOML file
    (sizes, reference values), only the tables count whose names the code holds (alone or before a
    dot), so that a new chapter's table leaves the other chapters' outputs valid.
    """
    strings = _strings(trees)
    words = strings | {string.partition(".")[0] for string in strings}
    found = {}
    for path in sorted(project.source.rglob("*")):
        if not path.is_file() or path.suffix in NOT_DATA:
            continue
        if strings.isdisjoint({path.name, path.stem}):
            continue
        content = path.read_bytes()
        if path.suffix == ".toml":
            tables = tomllib.loads(content.decode("utf8"))
            seen = {name: table for name, table in tables.items() if name in words}
            content = json.dumps(seen, sort_keys=True).encode()
        found[path.relative_to(project.source).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def page_key(project: Project, nb: NotebookNode) -> tuple[str, list[str]]:
    """The digest of all that the page's code can see, and the names of the modules it reaches."""
    cells = code_cells(nb)
    known = modules(project)
    try:
        own = [_parse(cell) for cell in cells]
    except SyntaxError:
        # It will fail when run, and then with a better message than here.
        own = []
    trees = reached(own, known)
    seen = {
        "python": sys.version,
        "lock": hashlib.sha256((project.root / LOCK).read_bytes()).hexdigest(),
        "size": project.size,
        "cells": [(cell.source, cell.metadata) for cell in nb.cells if cell.cell_type == "code"],
        "modules": {name: ast.dump(tree) for name, tree in sorted(trees.items())},
        "data": data_digests(project, [*own, *trees.values()]),
    }
    digest = hashlib.sha256(json.dumps(seen, sort_keys=True, default=str).encode()).hexdigest()
    return digest, sorted(trees)


# ---- running -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A page's outputs with the key under which they hold."""

    nb: NotebookNode
    key: str
    seconds: float
    #: When, where and with what it was run (``provenance.here_and_now``), and the most memory that
    #: its kernel held (``peak_mib``); empty where unknown.
    run: dict[str, Any] = field(default_factory=dict)


def load_kept(project: Project, doc: str) -> Kept | None:
    """What was kept of a page, None where nothing was or the file is not whole."""
    path = project.kept / f"{doc}.json"
    try:
        record = json.loads(path.read_text("utf8"))
        nb, seconds = nbformat.from_dict(record["nb"]), float(record["seconds"])
        return Kept(nb, record["key"], seconds, dict(record.get("run", {})))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_kept(project: Project, doc: str, kept: Kept) -> None:
    path = project.kept / f"{doc}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(f".{os.getpid()}.tmp")
    seconds = round(kept.seconds, 3)
    record = {"key": kept.key, "seconds": seconds, "run": kept.run, "nb": kept.nb}
    whole.write_text(json.dumps(record, ensure_ascii=False), "utf8")
    whole.replace(path)


def peak_mib() -> int | None:
    """The most memory in MiB that a finished child of this process held; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit)


def run_page(
    project: Project, doc: str, nb: NotebookNode
) -> tuple[NotebookNode, float, int | None]:
    """Run one page in a kernel of its own, in the page's folder.

    Returns:
        The page with its outputs, the seconds it took, and the kernel's peak memory in MiB, which
        is right only where this process has run no page before.

    Raises:
        PageError: where a cell fails, takes too long or writes to standard error.
    """
    from jupyter_cache.executors.utils import single_nb_execution

    os.environ.update(KERNEL_ENVIRONMENT)
    os.environ["BNNBOOK_SIZE"] = project.size
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(project.root / "_build" / "jax")
    os.environ["IPYTHONDIR"] = str(project.output / "ipython")
    Path(os.environ["IPYTHONDIR"]).mkdir(parents=True, exist_ok=True)
    folder = (project.root / doc).parent
    # A kernel warns that anybody on the machine could listen to it; nobody else is on a build's.
    quiet = ["--IPKernelApp.log_level=40"]
    try:
        result = single_nb_execution(
            nb, cwd=str(folder), timeout=TIMEOUT, allow_errors=False, extra_arguments=quiet,
            kernel_manager_class=_kernel_manager(),
        )  # fmt: skip
    except Exception as error:
        raise PageError(f"{doc}.md: its kernel failed: {error}") from None
    problem = _problem(doc, nb)
    if problem or result.err is not None:
        raise PageError(problem or f"{doc}.md: {result.exc_string}")
    return nb, result.time, peak_mib()


def _kernel_manager() -> type:
    """A kernel manager whose kernels listen on sockets in files instead of at ports, and are run by
    the Python that the environment variable ``BNNBOOK_KERNEL`` names, if any.

    Of two kernels that start at once, each may find a port free that the other then takes.
    """
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.paths import jupyter_runtime_dir
    from traitlets import default

    class Elsewhere(AsyncKernelManager):
        def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
            python, *rest = super().format_kernel_cmd(extra_arguments)
            return [os.environ.get(KERNEL) or python, *rest]

    if os.name == "nt":
        return Elsewhere

    class OnFiles(Elsewhere):
        @default("transport")
        def _transport(self) -> str:
            return "ipc"

        @default("connection_file")
        def _connection_file(self) -> str:
            folder = Path(jupyter_runtime_dir())
            folder.mkdir(parents=True, exist_ok=True)
            return str(folder / f"{uuid.uuid4().hex[:12]}.json")

    return OnFiles


def _problem(doc: str, nb: NotebookNode) -> str | None:
    """What went wrong, with the page and the cell's number and text."""
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    for index, cell in enumerate(cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                trace = _ANSI.sub("", "\n".join(output.traceback)).splitlines()
                what = "\n".join([f"{output.ename}: {output.evalue}", *trace[-TRACEBACK_LINES:]])
            elif output.get("name") == "stderr":
                what = f"wrote to standard error:\n{output.text}"
            else:
                continue
            source = "\n".join(f"    {line}" for line in cell.source.splitlines())
            return f"{doc}.md, code cell {index} of {len(cells)}:\n{source}\n{what}"
    last = next((i for i, c in enumerate(cells, 1) if c.get("execution_count") is None), None)
    return None if last is None else f"{doc}.md, code cell {last} of {len(cells)}: did not finish"


def fill_jupyter_cache(project: Project, kept: dict[str, Kept]) -> None:
    """A fresh jupyter-cache that holds the kept pages and nothing else."""
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    shutil.rmtree(project.jupyter_cache, ignore_errors=True)
    project.jupyter_cache.mkdir(parents=True)
    cache = get_cache(str(project.jupyter_cache))
    for doc, page in kept.items():
        path = str(project.root / f"{doc}.md")
        bundle = CacheBundleIn(page.nb, path, data={"execution_seconds": page.seconds})
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    cache.db.dispose()


def execute(project: Project, jobs: int = 2, force: bool = False) -> list[str]:
    """Run every page whose key has changed and fill jupyter-cache.

    Returns:
        The pages that were run.

    Raises:
        PageError: where a page failed, after all others were run and kept.
    """
    fresh: dict[str, Kept] = {}
    stale: dict[str, tuple[NotebookNode, str, float]] = {}
    for doc in project.pages():
        nb = notebook(project, doc)
        if nb is None:
            continue
        key, _ = page_key(project, nb)
        kept = load_kept(project, doc)
        if kept is not None and kept.key == key and not force:
            fresh[doc] = kept
        else:
            stale[doc] = (nb, key, _expected_seconds(project, doc))
    ran, failures = _run_all(project, stale, jobs)
    fill_jupyter_cache(project, fresh | ran)
    for doc, page in sorted((fresh | ran).items(), key=lambda item: -item[1].seconds):
        print(f"  {page.seconds:7.1f} s  {doc}{'' if doc in ran else '  (kept)'}", flush=True)
    if failures:
        raise PageError("\n\n".join(failures))
    return list(ran)


def _expected_seconds(project: Project, doc: str) -> float:
    """How long a page took last time, at this size or else at another; infinity for a new page."""
    sizes = (project.size, "full", "smoke")
    runs = (load_kept(replace(project, size=size), doc) for size in sizes)
    return next((kept.seconds for kept in runs if kept is not None), float("inf"))


def _run_all(
    project: Project, stale: dict[str, tuple[NotebookNode, str, float]], jobs: int
) -> tuple[dict[str, Kept], list[str]]:
    started = time.perf_counter()
    ran: dict[str, Kept] = {}
    failures: list[str] = []
    print(f"{len(stale)} pages to run ({project.size}), {jobs} at a time", flush=True)
    if not stale:
        return ran, failures
    # Of pages that are new the later ones first: chapters grow longer.
    place = {doc: i for i, doc in enumerate(stale)}
    longest_first = sorted(stale, key=lambda doc: (stale[doc][2], place[doc]), reverse=True)
    # A forked child of a process that uses JAX can hang, so the workers start afresh; and each runs
    # one page, so that the peak memory of its children is that page's.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(jobs, len(stale)), mp_context=spawn, max_tasks_per_child=1
    ) as pool:
        futures = {pool.submit(run_page, project, doc, stale[doc][0]): doc for doc in longest_first}
        for count, future in enumerate(as_completed(futures), 1):
            doc = futures[future]
            so_far = f"[{count}/{len(stale)}, {time.perf_counter() - started:.0f} s]"
            try:
                nb, seconds, peak = future.result()
            except PageError as error:
                failures.append(str(error))
                print(f"{so_far} {doc}: FAILED", flush=True)
                continue
            run = provenance.here_and_now() | ({} if peak is None else {"peak_mib": peak})
            ran[doc] = Kept(nb, stale[doc][1], seconds, run)
            save_kept(project, doc, ran[doc])
            print(f"{so_far} {doc}: {seconds:.1f} s, {peak or '?'} MiB", flush=True)
    return ran, failures


def main(argv: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(description="Run the pages whose code or inputs changed.")
    parser.add_argument("--size", choices=("full", "smoke"), default="full")
    parser.add_argument("--jobs", type=int, default=2, help="pages run at the same time")
    parser.add_argument("--force", action="store_true", help="run every page")
    options = parser.parse_args(argv)
    project = Project(Path(__file__).resolve().parents[2], options.size)
    try:
        execute(project, options.jobs, options.force)
    except PageError as error:
        return f"\nA page failed; nothing is published.\n\n{error}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
