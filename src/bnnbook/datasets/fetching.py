"""Large files: fetched once from the first source that answers, held to a digest, kept in a cache.

A file is what its SHA-256 says, wherever it came from. Bytes are written beside the cache, flushed,
checked and only then moved into it in one step, so what is in the cache is whole, whether the line
was cut, the disk ran full or the process was killed; what was damaged later is noticed when it is
read, and fetched again. The cache's folder is ``BNNBOOK_CACHE`` where that is set, else the user's
usual one. Chapter "Images: a convolutional network on MNIST" needs it.
"""

import errno
import gzip
import hashlib
import http.client
import io
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from bnnbook.datasets.registry import DataIntegrityError

VARIABLE = "BNNBOOK_CACHE"
TIMEOUT = 10.0
"""Seconds without a byte after which a line counts as cut."""
CHUNK = 2**18

Report = Callable[[str], None]


class File(NamedTuple):
    """A file as it must be, uncompressed."""

    name: str
    """Its name, and its name in the cache."""
    sha256: str
    """The digest of its bytes, in hexadecimal."""
    size: int
    """How many bytes it has."""


class UnreachableError(RuntimeError):
    """No source could give a file; the message says of each why."""


class SourceError(Exception):
    """One source could not give a file, or gave another one."""


@runtime_checkable
class Source(Protocol):
    """A place that files can be had from."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def get(self, files: Sequence[File], folder: Path, report: Report) -> Mapping[str, bytes]:
        """The bytes of some or all of the files, by name, uncompressed.

        Args:
            files: those that are wanted.
            folder: an empty one to work in, removed afterwards.
            report: to be told of progress, a line at a time.

        Raises:
            SourceError: where the source cannot be reached or does not hold what was looked for.
        """


def say(line: str) -> None:
    """Report progress on standard output."""
    print(line, flush=True)


def cache_folder() -> Path:
    """Where fetched files are kept: ``BNNBOOK_CACHE``, or the user's cache."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    if sys.platform == "win32":
        usual = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        usual = Path.home() / "Library" / "Caches"
    else:
        usual = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(usual) / "bnnbook"


def ensure(
    files: Sequence[File], sources: Sequence[Source], folder: Path, report: Report = say
) -> dict[str, Path]:
    """The files in the cache, fetched where they are missing or damaged.

    Args:
        files: which.
        sources: where to look, in this order; each is asked for what is still missing.
        folder: the cache, made where it is not there.
        report: to be told of progress; nothing is said where all is there already.

    Returns:
        The path of each file by name; each has the digest that it must have.

    Raises:
        UnreachableError: where no source gave what is missing.
        OSError: where the cache cannot be written, for instance because the disk is full.
    """
    missing = [file for file in files if not is_whole(folder / file.name, file, report)]
    reasons: list[str] = []
    for source in sources:
        if not missing:
            break
        try:
            _from_source(source, missing, folder, report)
        except SourceError as error:
            reasons.append(f"{source.name}: {error}")
            report(f"  {source.name}: {error}")
        missing = [file for file in missing if not is_whole(folder / file.name, file, report)]
    if missing:
        names = ", ".join(file.name for file in missing)
        raise UnreachableError(
            f"no source gave {names}, which are fetched once and then kept in {folder}: "
            + "; ".join(reasons or ["there is none"])
            + f". With a network, run it again; without one, put files of these names, unpacked, "
            f"into that folder, or set {VARIABLE} to a folder that has them"
        )
    return {file.name: folder / file.name for file in files}


def is_whole(path: Path, file: File, report: Report = say) -> bool:
    """Whether a cached file is there and has its digest; one that was damaged is reported."""
    try:
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return False
    if found != file.sha256:
        report(f"{path} is damaged (SHA-256 {found[:12]}…): it will be fetched again")
        return False
    return True


def _from_source(source: Source, files: Sequence[File], folder: Path, report: Report) -> None:
    report(f"fetching {', '.join(file.name for file in files)} from {source.name}")
    with _full_disk_explained(folder, files):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder) as work:
            got = source.get(files, Path(work), report)
            wrong = []
            for file in files:
                if file.name not in got:
                    continue
                found = hashlib.sha256(got[file.name]).hexdigest()
                if found == file.sha256:
                    _store(folder / file.name, got[file.name])
                else:
                    size = len(got[file.name])
                    wrong.append(f"{file.name} must have SHA-256 {file.sha256} and {file.size} "
                                 f"bytes, got {found} and {size} bytes")  # fmt: skip
    if wrong:
        raise SourceError("; ".join(wrong))


def _store(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def _full_disk_explained(folder: Path, files: Sequence[File]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        need = sum(file.size for file in files) / 1e6
        message = (
            f"no space left while fetching into {folder}: the files take {need:.0f} MB, and as "
            f"much again while they are fetched; nothing was kept. Make room, or set {VARIABLE} "
            "to a folder on another disk"
        )
        raise OSError(error.errno, message) from error


@dataclass(frozen=True)
class Web:
    """Gzipped files on a web server, each under the address ``base`` + name + ".gz"."""

    base: str
    """The address of their folder, with its last slash."""
    timeout: float = TIMEOUT
    """Seconds without a byte after which the server is given up."""

    @property
    def name(self) -> str:
        """Its address."""
        return self.base

    def get(self, files: Sequence[File], folder: Path, report: Report) -> Mapping[str, bytes]:
        """The files, one after the other; the first that fails ends it."""
        return {file.name: self._one(file, report) for file in files}

    def _one(self, file: File, report: Report) -> bytes:
        try:
            with urllib.request.urlopen(f"{self.base}{file.name}.gz", timeout=self.timeout) as sent:
                packed = _received(sent, file, report)
        except urllib.error.HTTPError as error:
            error.close()
            raise SourceError(f"{file.name}.gz: answer {error.code} {error.reason}") from error
        except (urllib.error.URLError, http.client.HTTPException) as error:
            raise SourceError(f"no answer: {getattr(error, 'reason', error)}") from error
        except OSError as error:
            raise SourceError(f"{file.name}.gz: the line was cut: {error}") from error
        return unzip(packed, file)


def _received(sent: Any, file: File, report: Report) -> bytes:
    announced = int(sent.headers.get("Content-Length") or 0)
    most = 2 * file.size + 2**16
    packed, told = bytearray(), 0
    while piece := sent.read(CHUNK):
        packed += piece
        if len(packed) > most:
            raise SourceError(f"{file.name}.gz is far longer than it can be: over {most} bytes")
        if announced and len(packed) * 4 // announced > told:
            told = len(packed) * 4 // announced
            report(f"  {file.name}.gz {25 * told} % of {announced / 1e6:.1f} MB")
    if len(packed) < announced:
        told_of = f"{len(packed)} of {announced} bytes came"
        raise SourceError(f"{file.name}.gz: the line was cut: {told_of}")
    return bytes(packed)


def unzip(packed: bytes, file: File) -> bytes:
    """The bytes of a gzipped file, of which no more is unpacked than it may have.

    Raises:
        SourceError: where it is no whole gzipped file, or longer than the file may be.
    """
    try:
        with gzip.open(io.BytesIO(packed)) as opened:
            content = opened.read(file.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{file.name}.gz is damaged or cut short: {error}") from error
    if len(content) > file.size:
        raise SourceError(f"{file.name}.gz holds more than {file.size} bytes")
    return content


@dataclass(frozen=True)
class Folder:
    """Files in a folder of this machine, gzipped or not."""

    path: Path
    """The folder."""

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.path)

    def get(self, files: Sequence[File], folder: Path, report: Report) -> Mapping[str, bytes]:
        """Those of the files that are there."""
        found = {}
        for file in files:
            plain, packed = self.path / file.name, self.path / f"{file.name}.gz"
            if plain.is_file():
                found[file.name] = plain.read_bytes()
            elif packed.is_file():
                found[file.name] = unzip(packed.read_bytes(), file)
        if not found:
            raise SourceError("holds none of them")
        return found


def read(file: File, folder: Path) -> bytes:
    """A cached file's bytes, checked once more as they are used.

    Raises:
        DataIntegrityError: where the file was changed since it was fetched.
    """
    content = (folder / file.name).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        told = f"{folder / file.name} must have SHA-256 {file.sha256}, found {found}"
        raise DataIntegrityError(f"{told}: it was changed while it was in use; run it again")
    return content


def tool(name: str) -> str | None:
    """A program on the path, or None."""
    return shutil.which(name)
