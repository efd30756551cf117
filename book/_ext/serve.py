"""For authors: build the book, serve it on this machine, build again and reload at every change.

Run as ``python book/_ext/serve.py [--port N] [--size full|smoke]``. Pages that did not change are
not run again; the checks that need a browser wait for ``nox -s build``.
"""

import argparse
import threading
import time
from pathlib import Path

import build
import node_tools
import server
from execute import PageError, Project

POLL_SECONDS = 0.5
_RELOADER = "/__changes.js"
_EVENTS = "/__changes"
_SCRIPT = f"new EventSource('{_EVENTS}').onmessage = () => location.reload();"


class ReloadingHandler(server.Handler):
    """Adds a script to every page that reloads it when the site was built anew."""

    rebuilt = threading.Condition()

    def transform(self, path: Path, body: bytes) -> bytes:
        if path.suffix != ".html":
            return body
        return body.replace(b"</body>", f'<script src="{_RELOADER}"></script></body>'.encode())

    def do_GET(self) -> None:  # noqa: N802
        if self.path == _RELOADER:
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(_SCRIPT)))
            self.end_headers()
            self.wfile.write(_SCRIPT.encode())
        elif self.path == _EVENTS:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            with self.rebuilt:
                self.rebuilt.wait()
            self.wfile.write(b"data: rebuilt\n\n")
        else:
            super().do_GET()


def inputs_digest(project: Project) -> str:
    return build.digest(project.root, [project.root / name for name in build.INPUTS])


def rebuild(project: Project) -> None:
    """Build without the browser's checks; what is wrong is printed, the old site stays."""
    try:
        build.build(project, checked=False)
    except (PageError, build.BuildError, node_tools.NodeError) as error:
        print(f"\n{error}\n\nWaiting for a change.", flush=True)
    else:
        print("Built; open pages reload.", flush=True)
        with ReloadingHandler.rebuilt:
            ReloadingHandler.rebuilt.notify_all()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the book while it is written.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--size", choices=("full", "smoke"), default="smoke")
    options = parser.parse_args()
    project = Project(build.ROOT, options.size)
    html = build.site_of(project).html
    html.mkdir(parents=True, exist_ok=True)
    with server.serving(html, port=options.port, handler=ReloadingHandler) as address:
        print(f"The book ({options.size} size): {address}  (Ctrl+C ends)", flush=True)
        seen = ""
        while True:
            if (now := inputs_digest(project)) != seen:
                seen = now
                rebuild(project)
            time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print()
