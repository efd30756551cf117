"""Find a Chromium for the checks that need a real browser, or install one.

Looked for, in this order: the path in ``BNNBOOK_CHROMIUM``, the usual names on the path, the one
that Playwright has downloaded. Installed, where that is asked for: Playwright's own, else Debian's
package, where the user is root on such a system.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VARIABLE = "BNNBOOK_CHROMIUM"

#: No sandbox where root runs it (a container); nothing that looks for the network by itself.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _playwright_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if os.path.exists(path) else None


def find() -> str | None:
    """The path of a Chromium on this machine, or None."""
    named = os.environ.get(VARIABLE)
    if named:
        return named if os.path.exists(named) else None
    on_path = next((path for name in NAMES if (path := shutil.which(name))), None)
    return on_path or _playwright_own()


def _install() -> None:
    """Try Playwright's own build, then Debian's package; failing is no error here."""
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        attempts += [["apt-get", "update"], ["apt-get", "install", "--yes", "chromium"]]
    for command in attempts:
        print("no Chromium found, trying:", " ".join(command), flush=True)
        try:
            done = subprocess.run(command, capture_output=True, timeout=600, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0 and find():
            return


@cache
def find_or_install(install: bool) -> str | None:
    """A Chromium's path, installed if need be and if ``install`` allows it."""
    path = find()
    if path is None and install:
        _install()
        path = find()
    return path


#: Adds rules to a page in the browser whose policy allows no style element.
ADD_RULES = """rules => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(rules);
  document.adoptedStyleSheets.push(sheet);
}"""


@contextmanager
def chromium(path: str) -> Iterator[Any]:
    """A headless Chromium, as a Playwright browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
