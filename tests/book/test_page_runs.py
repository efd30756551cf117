"""What a page says of its run is what was kept of it, and nothing that the page did not do."""

from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

import execute
import page_runs
import provenance

RUN = {
    "when": "2026-11-28T04:05:06+00:00",
    "processor": "A <fast> one",
    "system": "Linux x86_64",
    "versions": {"Python": "3.13.1", "JAX": "0.10.0"},
}
CODE = """%matplotlib inline
glue.number("a", 1, digits=2)
glue.number("b", 1, mcse=0.1, reference=r)
glue.number("c", 1, bounds=(0, 2))
assert True
number(1, reference=2)"""


@pytest.fixture
def kept():
    new = nbformat.v4
    record = new.new_output(
        "display_data",
        data={"application/papermill.record/text/plain": "'1.0\\xa0%'"},
        metadata={"scrapbook": {"name": "rhat"}},
    )
    nb = new.new_notebook(cells=[new.new_code_cell(CODE, outputs=[record])])
    return execute.Kept(nb, "0123456789abcdef", 47.2, RUN)


def test_guards_and_claims_are_counted_in_the_code():
    assert page_runs.guards([CODE]) == (2, 1)
    assert page_runs.guards([]) == (0, 0)


def test_the_line_says_when_how_long_what_held_and_the_digest(kept):
    text = BeautifulSoup(page_runs.line(kept, "full"), "html.parser").get_text()
    assert text == (
        "Run on 28 November 2026 in 47 s; 2 guarded numbers and 1 asserted claim held; "
        "digest 0123456789ab"
    )
    assert "numbers differ" in page_runs.line(kept, "smoke")


def test_a_page_kept_before_runs_were_recorded_says_what_is_known(kept):
    old = execute.Kept(kept.nb, kept.key, kept.seconds)
    assert "Run in 47 s" in page_runs.line(old, "full")
    assert "Where" not in page_runs.block(old, "", "f", "r")


def test_the_block_says_all_and_escapes_it(kept):
    whole = page_runs.block(kept, "worst R̂ {rhat}", "../x", "https://example.org/?a=1&b=2")
    soup = BeautifulSoup(whole, "html.parser")
    facts = {row.dt.get_text(): row.dd.get_text() for row in soup.select("dl > div")}
    assert facts["Run"] == "28 November 2026, 47 s"
    assert facts["Where"] == "A <fast> one, Linux x86_64"
    assert facts["With"] == "Python 3.13.1, JAX 0.10.0"
    assert facts["Checks"].endswith("held; worst R̂ 1.0\N{NO-BREAK SPACE}%")
    assert [a["href"] for a in soup.select("a")][:2] == ["../x.ipynb", "../x.py"]


def test_the_most_memory_is_said_where_it_was_measured(kept):
    measured = execute.Kept(kept.nb, kept.key, kept.seconds, RUN | {"peak_mib": 640})
    assert "28 November 2026, 47 s, at most 640 MiB of memory" in page_runs.block(
        measured, "", "f", "r"
    )


def test_diagnostics_that_nobody_computed_are_refused(kept):
    with pytest.raises(page_runs.DiagnosticsError, match="'ess', which no cell glues"):
        page_runs.block(kept, "ESS {ess}", "f", "r")


def test_a_report_names_page_version_and_run():
    address = page_runs.report_address(
        "https://example.org/r/", "A & B", "https://b/x.html", "0.1", "abc"
    )
    query = parse_qs(urlsplit(address).query)
    assert address.startswith("https://example.org/r/issues/new?")
    assert query["title"] == ["Mistake in “A & B”"]
    for part in ("https://b/x.html", "Version: 0.1", "Digest of the run: abc"):
        assert part in query["body"][0]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (119.4, "119 s"), (119.6, "2 min"), (3600, "60 min")]
)
def test_durations_are_for_people(seconds, shown):
    assert page_runs.duration(seconds) == shown


def test_a_run_here_and_now_is_kept_whole(tmp_path, kept):
    now = provenance.here_and_now()
    assert page_runs.when(now)
    assert now["processor"]
    assert set(now["versions"]) >= {"Python", "JAX", "NumPyro", "ArviZ", "bnnbook"}
    project = execute.Project(tmp_path)
    execute.save_kept(project, "book/one", execute.Kept(kept.nb, "k", 1.0, now))
    assert execute.load_kept(project, "book/one").run == now
