"""Every task of the book: ``python -m nox -s NAME``, ``python -m nox --list`` for their names.

Each session makes its own environment from the hashed locks in ``requirements``, once, and again
only when a lock has changed.
"""

import hashlib
import os
import sys
from pathlib import Path

OLDEST = (3, 12)
if sys.version_info < OLDEST:
    sys.exit(
        "This book needs Python 3.12 or newer (3.13 is best), but nox runs on {}.{}.{}; pyenv and "
        "uv choose a right one by themselves from .python-version.".format(*sys.version_info[:3])
    )

import nox  # noqa: E402

nox.options.sessions = ["build"]
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
LOCKS = {
    "requirements/build.txt": ["--group", "build"],
    "requirements/tests.txt": ["--group", "tests", "--constraint", "requirements/build.txt"],
    "requirements/benchmarks.txt": [
        *("--group", "benchmarks", "--constraint", "requirements/build.txt")
    ],
    "binder/requirements.txt": ["--group", "binder", "--constraint", "requirements/build.txt"],
    "requirements/jupyterlab.txt": [
        *("--group", "jupyterlab", "--constraint", "binder/requirements.txt")
    ],
    "requirements/citation.txt": ["--group", "pyproject.toml:citation"],
    "requirements/repo2docker.txt": ["--group", "pyproject.toml:repo2docker"],
    "requirements/uv.txt": None,
}


def install(session, lock):
    """Make the session's environment hold what the lock names and the package; once a lock."""
    content = (ROOT / lock).read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    wanted = hashlib.sha256(content + sys.version.encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed-from"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    session.log("installing %s: a minute the first time", lock)
    if not list(Path(session.virtualenv.location).rglob("uv/__init__.py")):
        session.install("--require-hashes", "-r", "requirements/uv.txt", silent=True)
    uv = ["python", "-m", "uv", "pip"]
    session.run_install(*uv, "sync", "--quiet", "--compile-bytecode", "--require-hashes", lock)
    session.run_install(*uv, "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", ".")
    stamp.write_text(wanted)


@nox.session
def build(session):
    """Build the book into _build/html. Options after --: --force, --jobs N, --size smoke."""
    install(session, "requirements/build.txt")
    session.run("python", "book/_ext/build.py", *session.posargs)


@nox.session
def tests(session):
    """Lint, types, unit tests and laws, every page at its small size as on Binder, the site.

    Options after -- go to pytest; with any, only pytest runs.
    """
    install(session, "requirements/tests.txt")
    # As in a page's own process: more threads than one fight over few cores.
    session.env.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    # The compiled programs of pages and tests, kept: much of the suite's time is compilation.
    session.env.update(
        JAX_COMPILATION_CACHE_DIR=str(ROOT / "_build" / "jax"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
    )
    # Before the tests, of which several need the npm packages and run at the same time.
    session.run("python", "book/_ext/node_tools.py")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    lint_commands(session)
    session.run("pytest", "-q", "-m", "not site", "-n", "2", "--dist", "worksteal")
    # The pages at their small size are what Binder runs, so they run in its environment.
    python = session.run(
        "python", "tests/environments.py", "requirements/jupyterlab.txt", silent=True
    )
    small = ["python", "book/_ext/build.py", "--size", "smoke", "--install-browser"]
    session.run(*small, env={"BNNBOOK_KERNEL": python.splitlines()[-1]})
    session.run("pytest", "-q", "-m", "site", "-n", "2", "--dist", "loadfile")


@nox.session
def lint(session):
    """Ruff and mypy."""
    install(session, "requirements/tests.txt")
    lint_commands(session)


def lint_commands(session):
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def benchmarks(session):
    """Time this package beside other libraries: nox -s benchmarks -- samplers. Not part of CI."""
    install(session, "requirements/benchmarks.txt")
    names = [argument for argument in session.posargs if not argument.startswith("-")]
    for name in names or sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")):
        session.run("python", f"benchmarks/{name}.py", silent=False)


@nox.session
def references(session):
    """Make the stored references anew, for hours if need be: nox -s references -- motorcycle.

    It goes on where it was stopped. Options after --: names of tasks, --minutes M.
    """
    install(session, "requirements/build.txt")
    session.env.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    # A device a core: chains are spread over them.
    devices = f"--xla_force_host_platform_device_count={min(4, os.cpu_count() or 1)}"
    session.env["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {devices}"
    session.run("python", "-m", "bnnbook.certified.run", *session.posargs)


@nox.session
def serve(session):
    """For authors: build, serve on this machine, build again and reload at every change."""
    install(session, "requirements/build.txt")
    session.run("python", "book/_ext/serve.py", *session.posargs)


@nox.session
def epub(session):
    """The whole book as an EPUB, checked by EPUBCheck where there is a Java."""
    install(session, "requirements/tests.txt")
    session.run("python", "book/_ext/epub_book.py", *session.posargs)


@nox.session
def pdf(session):
    """The whole book as one PDF, printed from the last build (nox -s build comes first)."""
    install(session, "requirements/build.txt")
    session.run("python", "book/_ext/pdf_book.py", *session.posargs)


@nox.session
def lighthouse(session):
    """Measure every page of the last build on phone settings, for half an hour; names after --."""
    install(session, "requirements/build.txt")
    session.run("python", "book/_ext/lighthouse.py", *session.posargs)


@nox.session
def addresses(session):
    """Add the book's new pages and labels to the list of addresses that must stay."""
    install(session, "requirements/build.txt")
    session.run("python", "book/_ext/addresses.py")


@nox.session
def readme(session):
    """Take the README's figure from the last build's preface."""
    install(session, "requirements/build.txt")
    session.run("python", "book/_ext/readme_figure.py")


@nox.session
def links(session):
    """Check the links to other sites (needs a network; the weekly workflow runs it)."""
    install(session, "requirements/build.txt")
    session.run("lychee", "--no-progress", "_build/html/**/*.html", *session.posargs)


@nox.session
def lock(session):
    """Resolve the dependencies of pyproject.toml anew and write the hashed locks.

    Options after -- go to uv, for example --upgrade.
    """
    session.install("-r", "requirements/uv.in")
    compile_ = ["python", "-m", "uv", "pip", "compile", "--quiet", "--universal", "--no-header"]
    compile_ += ["--python-version", "{}.{}".format(*OLDEST), "--generate-hashes", "--no-annotate"]
    compile_ += ["--no-emit-index-url", "--no-emit-find-links", *session.posargs]
    for path, options in LOCKS.items():
        source = options if options else ["requirements/uv.in"]
        if options and not any(option.startswith("pyproject.toml:") for option in options):
            source = ["pyproject.toml", *source]
        session.run(*compile_, *source, "--output-file", path)
