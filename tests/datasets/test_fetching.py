"""What is in the cache is whole and right, whatever goes wrong; and the next run heals."""

import errno
import gzip
import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from bnnbook.datasets import fetching
from bnnbook.datasets.fetching import File, Folder, SourceError, UnreachableError, Web, ensure
from bnnbook.datasets.registry import DataIntegrityError

CONTENT = bytes(range(256)) * 40
FILE = File("letters", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
LABELS = File("labels", hashlib.sha256(b"01").hexdigest(), 2)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves what its class attribute says, cut short where that says so."""

    packed = gzip.compress(CONTENT)
    announced: int | None = None
    status = 200

    def do_GET(self):
        self.send_response(self.status)
        self.send_header("Content-Length", str(self.announced or len(self.packed)))
        self.end_headers()
        self.wfile.write(self.packed)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    """A loopback server, as its address, that answers with what it is given."""
    started = []

    def start(**attributes):
        handler = type("Handler", (Server,), attributes)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        started.append((server, thread))
        return Web(f"http://127.0.0.1:{server.server_port}/", timeout=5)

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def good(tmp_path):
    """A folder that holds the right file, gzipped."""
    folder = tmp_path / "good"
    folder.mkdir()
    (folder / "letters.gz").write_bytes(gzip.compress(CONTENT))
    return Folder(folder)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once_and_then_kept(serve, tmp_path):
    lines: list[str] = []
    cache = tmp_path / "cache"
    paths = ensure([FILE], [serve()], cache, lines.append)
    assert paths["letters"].read_bytes() == CONTENT
    assert contents(cache) == ["letters"]
    assert any("100 %" in line for line in lines)
    lines.clear()
    assert ensure([FILE], [], cache, lines.append) == paths  # no source, no network, no word
    assert lines == []


BAD = {
    "cut line": ({"announced": 10**6}, "the line was cut|IncompleteRead"),
    "cut archive": ({"packed": gzip.compress(CONTENT)[:-20]}, "damaged or cut short"),
    "other content": ({"packed": gzip.compress(b"0" + CONTENT[1:])}, "must have SHA-256"),
    "no archive": ({"packed": b"<html>sign in to this network</html>"}, "damaged or cut short"),
    "too long": ({"packed": gzip.compress(CONTENT + b"0")}, "holds more than 10240 bytes"),
    "flood": ({"packed": bytes(2**17)}, "far longer than it can be"),
    "no such file": ({"status": 404}, "answer 404"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named_is_not_kept_and_the_next_run_recovers(case, serve, tmp_path, good):
    attributes, message = BAD[case]
    cache, bad = tmp_path / "cache", serve(**attributes)
    with pytest.raises(UnreachableError, match=message) as caught:
        ensure([FILE], [bad], cache, lambda line: None)
    assert "letters" in str(caught.value)
    assert str(cache) in str(caught.value)
    assert contents(cache) == []
    # The next source helps in the same run, and so would the same source in the next one.
    assert ensure([FILE], [bad, good], cache, lambda line: None)["letters"].read_bytes() == CONTENT


def test_nobody_there_fails_fast_and_says_so(tmp_path):
    sources = [Web("http://127.0.0.1:9/", timeout=5), Folder(tmp_path / "empty")]
    with pytest.raises(UnreachableError, match=r"no answer.*holds none of them.*BNNBOOK_CACHE"):
        ensure([FILE], sources, tmp_path / "cache", lambda line: None)


def test_each_source_is_asked_for_what_is_still_missing(tmp_path, good):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "labels").write_bytes(b"01")
    both = ensure(
        [FILE, LABELS], [good, Folder(tmp_path / "other")], tmp_path / "c", lambda _: None
    )
    assert [path.read_bytes() for path in both.values()] == [CONTENT, b"01"]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"X" + b[1:], lambda b: b""])
def test_a_damaged_cache_is_noticed_and_healed(damage, tmp_path, good):
    lines: list[str] = []
    cache = tmp_path / "cache"
    path = ensure([FILE], [good], cache, lines.append)["letters"]
    path.write_bytes(damage(CONTENT))
    lines.clear()
    ensure([FILE], [good], cache, lines.append)
    assert path.read_bytes() == CONTENT
    assert "damaged" in lines[0]
    path.write_bytes(damage(CONTENT))  # mutation: changed after it was looked at
    with pytest.raises(DataIntegrityError, match="it was changed while it was in use"):
        fetching.read(FILE, cache)


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path, good, monkeypatch):
    cache = tmp_path / "cache"

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(OSError, match=r"no space left while fetching.*BNNBOOK_CACHE"):
        ensure([FILE], [good], cache, lambda line: None)
    assert contents(cache) == []
    monkeypatch.undo()
    assert ensure([FILE], [good], cache, lambda line: None)["letters"].read_bytes() == CONTENT


def test_a_killed_run_leaves_nothing_that_counts(tmp_path, good):
    cache = tmp_path / "cache"
    (cache / "fetching-old").mkdir(parents=True)
    (cache / ".letters-abc.part").write_bytes(CONTENT[:100])
    assert ensure([FILE], [good], cache, lambda line: None)["letters"].read_bytes() == CONTENT


def test_the_cache_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("BNNBOOK_CACHE", str(tmp_path))
    assert fetching.cache_folder() == tmp_path
    monkeypatch.delenv("BNNBOOK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    monkeypatch.setattr(fetching.sys, "platform", "linux")
    assert fetching.cache_folder() == tmp_path / "x" / "bnnbook"


def test_unzip_refuses_what_is_no_archive():
    with pytest.raises(SourceError, match=r"letters\.gz is damaged"):
        fetching.unzip(gzip.compress(CONTENT)[:30], FILE)
