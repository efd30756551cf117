"""Environments of their own, for tools that can't live with the book's."""

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
