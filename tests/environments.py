"""Environments of their own, for tools that can't live with the book's: ``environments.py LOCK``
makes one with the book's package in it and prints its Python.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def made(lock: str) -> Path:
    """The Python of an environment that holds what a lock names; made once a lock, by uv."""
    digest = hashlib.sha256((ROOT / lock).read_bytes() + sys.version.encode()).hexdigest()
    folder = ROOT / "_build" / "environments" / digest[:16]
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "installed"
    if stamp.is_file():
        return python
    uv = [sys.executable, "-m", "uv"]
    subprocess.run(
        [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True
    )
    subprocess.run(
        [*uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, ROOT / lock],
        check=True,
    )
    stamp.touch()
    return python


def main(lock: str) -> None:
    python = made(lock)
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT]
    subprocess.run([sys.executable, "-m", "uv", "pip", *install, "--python", python], check=True)
    print(python)


if __name__ == "__main__":
    main(*sys.argv[1:])
