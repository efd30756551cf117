"""At its small size every page fits into the memory of a public machine."""

import os
import subprocess
import sys

import nbformat
import pytest

import execute
from execute import Kept, Project
from small_site import PROJECT, ROOT

BOUND = 1228  # 1.2 GiB in MiB
HUNGRY = "book/bayesian-regression"
UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
import execute
bytes_ = int(sys.argv[4]) * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (bytes_, bytes_))
project = execute.Project(Path(sys.argv[1]), sys.argv[2])
execute.run_page(project, sys.argv[3], execute.notebook(project, sys.argv[3]))
"""


def too_big(project):
    """The pages whose last run held more than the bound, in MiB; unmeasured ones as None."""
    kept = {doc: execute.load_kept(project, doc) for doc in project.pages()}
    peaks = {doc: page.run.get("peak_mib") for doc, page in kept.items() if page is not None}
    return {doc: peak for doc, peak in peaks.items() if peak is None or peak >= BOUND}


@pytest.mark.site
@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells no child's peak memory")
def test_every_page_s_peak_is_under_1_2_gib():
    """What the small build measured: the most memory that was resident at once, page by page."""
    assert execute.load_kept(PROJECT, HUNGRY), "nox -s tests builds the small site first"
    assert too_big(PROJECT) == {}


def test_a_page_over_the_bound_is_named_with_its_peak(tmp_path):
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: big\nchapters: [{file: small}]\n")
    project = Project(tmp_path, "smoke")
    for doc, peak in (("big", BOUND), ("small", BOUND - 1)):
        (tmp_path / f"{doc}.md").touch()
        page = Kept(nbformat.v4.new_notebook(), "key", 1.0, {"peak_mib": peak})
        execute.save_kept(project, doc, page)
    assert too_big(project) == {"big": BOUND}


@pytest.mark.slow
@pytest.mark.site
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this limit counts other things")
@pytest.mark.parametrize(("limit", "runs"), [(BOUND, True), (400, False)])
def test_a_hungry_page_runs_where_it_can_take_no_more(limit, runs):
    """A kernel that may not have more private memory than the bound runs the page; mutation: less.

    The limit is RLIMIT_DATA, which since Linux 4.7 counts all private writable memory, mapped too,
    touched or not: more than what a container counts, except the code of libraries, which it may
    drop and read again. RLIMIT_AS would count the large reserves that XLA and malloc never touch,
    RLIMIT_RSS does nothing, and a control group is not for everybody to make.
    """
    command = [sys.executable, "-c", UNDER_A_LIMIT, ROOT, "smoke", HUNGRY, str(limit)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/book/_ext{os.pathsep}{ROOT}/src"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == runs, done.stderr[-2000:]
