"""Lighthouse on phone settings: ``python book/_ext/lighthouse.py [PAGE ...] [--runs N]``.

Accessibility, best practices and findability must be perfect; performance, the median of the runs,
at least 95. ``nox -s lighthouse`` measures every page of the last build; the tests measure the
small site's, without performance, which depends on what else the machine does.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import browser
import build
import node_tools
import server
from execute import Project

ROOT = Path(__file__).resolve().parents[2]
CHECKS = node_tools.JS / "checks"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
LEAST = {"performance": 95, "accessibility": 100, "best-practices": 100, "seo": 100}
RUNS = 5


@dataclass(frozen=True)
class Scores:
    """A page's scores, the median of the runs each, and what cost it points."""

    page: str
    scores: dict[str, int]
    findings: tuple[str, ...]

    def failures(self) -> list[str]:
        """The measured categories in which the page falls short, a sentence each."""
        return [
            f"{self.page}: {name} {self.scores[name]}, at least {LEAST[name]} wanted"
            + (f" ({'; '.join(self.findings)})" if self.findings else "")
            for name in self.scores
            if self.scores[name] < LEAST[name]
        ]


def _run(address: str, executable: str, categories: Sequence[str]) -> dict[str, Any]:
    flags = " ".join(["--headless=new", *browser.ARGUMENTS])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "report.json"
        command = [node_tools.node(), "node_modules/lighthouse/cli/index.js", address, "--quiet"]
        command += [f"--chrome-flags={flags}", f"--only-categories={','.join(categories)}"]
        command += ["--output=json", f"--output-path={output}"]
        environment = {**node_tools.environment(), "CHROME_PATH": executable}
        done = subprocess.run(
            command, cwd=CHECKS, env=environment, capture_output=True, text=True, check=False
        )
        if not output.is_file():
            raise node_tools.NodeError(f"Lighthouse failed: {done.stderr[-1000:]}")
        report: dict[str, Any] = json.loads(output.read_text("utf8"))
    return report


def summary(page: str, reports: Sequence[dict[str, Any]]) -> Scores:
    """The median score of each category, and the audits that failed where perfection is due."""
    measured = [name for name in CATEGORIES if name in reports[0]["categories"]]
    scores = {
        name: round(
            100 * statistics.median(report["categories"][name]["score"] or 0 for report in reports)
        )
        for name in measured
    }
    last = reports[-1]
    failed = [
        f"{reference['id']}: {last['audits'][reference['id']]['title']}"
        for name in measured
        if name != "performance"
        for reference in last["categories"][name]["auditRefs"]
        if reference["weight"] and last["audits"][reference["id"]]["score"] not in (1, None)
    ]
    return Scores(page, scores, tuple(dict.fromkeys(failed)))


def measure(
    html: Path,
    pages: Sequence[str],
    executable: str,
    runs: int = RUNS,
    categories: Sequence[str] = CATEGORIES,
) -> list[Scores]:
    """The scores of pages of a site, by their names without suffix."""
    node_tools.ensure_modules(CHECKS)
    found = []
    with server.serving(html) as address:
        for page in pages:
            reports = [_run(f"{address}{page}.html", executable, categories) for _ in range(runs)]
            found.append(summary(page, reports))
            shown = "  ".join(f"{name} {score}" for name, score in found[-1].scores.items())
            print(f"{page}: {shown}", flush=True)
    return found


def main(argv: list[str] | None = None) -> int | str:
    parser = argparse.ArgumentParser(description="Measure pages with Lighthouse.")
    parser.add_argument("pages", nargs="*", help="for example book/index; all where none is named")
    parser.add_argument("--size", choices=("full", "smoke"), default="full")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args(argv)
    project = Project(ROOT, options.size)
    full = project.size == "full"
    html = build.published(project) if full else build.site_of(project).html
    executable = browser.find_or_install(install=bool(os.environ.get("CI")))
    if executable is None:
        return "no Chromium found to measure with"
    pages = options.pages or project.pages()
    failures = [
        failure
        for scores in measure(html, pages, executable, options.runs)
        for failure in scores.failures()
    ]
    return "\n".join(failures) if failures else 0


if __name__ == "__main__":
    sys.exit(main())
