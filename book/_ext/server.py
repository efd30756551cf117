"""A static file server for the built site: for authors while they write, and for the checks."""

import functools
import gzip
import http.server
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMPRESSED = (".html", ".css", ".js", ".json", ".svg", ".txt", ".xml", ".bib")
TYPES = {
    ".js": "text/javascript",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".bib": "text/plain",
    ".ipynb": "application/x-ipynb+json",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder under a prefix, compressed as a public host would, without a log."""

    protocol_version = "HTTP/1.1"
    prefix = "/"
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, **TYPES}  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:
        pass

    def transform(self, path: Path, body: bytes) -> bytes:
        """For servers that add something to what they send."""
        return body

    def do_GET(self) -> None:
        plain = self.path.partition("?")[0]
        if not plain.startswith(self.prefix):
            return self.send_error(404)
        self.path = "/" + plain[len(self.prefix) :]
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path = path / "index.html"
        if not path.is_file():
            return self.send_error(404)
        return self._send(path)

    def _send(self, path: Path) -> None:
        body = self.transform(path, path.read_bytes())
        kind = self.guess_type(str(path))
        text = path.suffix in COMPRESSED
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if text else kind)
        self.send_header("Cache-Control", "no-cache")
        if text and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 6)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    """A threaded server that takes no notice of a browser that hangs up when it has seen enough."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(
    folder: Path, prefix: str = "/", port: int = 0, handler: type[Handler] = Handler
) -> Iterator[str]:
    """Serve a folder on this machine only; yields the address. Port 0 takes any free one."""
    kind = type("PrefixHandler", (handler,), {"prefix": prefix})
    bound = functools.partial(kind, directory=str(folder))
    with Server(("127.0.0.1", port), bound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
        finally:
            server.shutdown()
