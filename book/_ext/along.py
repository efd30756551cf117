"""Files to take along: what they are called, where they lie, and the zip of the whole site."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from execute import Project

NAME = "from-least-squares-to-bayesian-neural-networks"
#: Zip files know no time before 1980; one fixed time makes the same files the same archive.
EPOCH = (1980, 1, 1, 0, 0, 0)


def target(project: Project, suffix: str) -> Path:
    """Where a file to take along lies; the folder is made."""
    folder = (
        project.root / "_build" / "along" if project.size == "full" else project.output / "along"
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{NAME}{suffix}"


def pack(path: Path, files: Iterable[tuple[str, bytes]], stored: Iterable[str] = ()) -> None:
    """Write an archive that depends on names and contents only, whole or not at all."""
    plain, whole = set(stored), path.with_suffix(".tmp")
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files:
            kind = zipfile.ZIP_STORED if name in plain else zipfile.ZIP_DEFLATED
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, compress_type=kind)
    whole.replace(path)


def zip_site(project: Project, html: Path) -> Path:
    """The site as an archive with one folder in it, to be read offline."""
    path = target(project, ".zip")
    files = (file for file in sorted(html.rglob("*")) if file.is_file())
    pack(
        path, ((f"{NAME}/{file.relative_to(html).as_posix()}", file.read_bytes()) for file in files)
    )
    return path
