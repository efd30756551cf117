"""The interactive figures in a real browser: from a file, under a strict policy, by keyboard."""

import os
import re

import pytest
from playwright.sync_api import expect

import browser
import bundles
import node_tools
from bnnbook.exact import beta_binomial
from bnnbook.exact.beta_binomial import Beta
from bnnbook.plotting import interactive

PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<title>t</title><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'">
<link rel="stylesheet" href="figures.css"><style>body {{ margin: 1rem }}
  html[data-theme=dark] {{ background: #121212 }}</style>
<script defer src="figures.js"></script></head>
<body><main><h1>t</h1>{block}<p id="after">after</p></main></body></html>"""
SETTINGS = {"prior_mean": 0.5, "prior_strength": 4, "truth": 0.7, "seed": 1, "max_flips": 2000}
SHIFT = """() => new Promise((done) => { let sum = 0;
  new PerformanceObserver((list) => { for (const e of list.getEntries()) sum += e.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 300); })"""
SMALL = """() => [...document.querySelectorAll(".bnn-figure :is(button, input)")]
  .map((e) => [e.textContent || e.type, e.getBoundingClientRect()])
  .filter(([, box]) => box.width < 44 || box.height < 44).map(([name]) => name)"""
AXE = node_tools.JS / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    node_tools.ensure_modules()
    folder = tmp_path_factory.mktemp("figures")
    bundles.bundle("figures/index.js", folder / "figures.js")
    css = node_tools.JS.parent / "_static" / "figures.css"
    (folder / "figures.css").write_text(css.read_text("utf8"), "utf8")
    return folder


@pytest.fixture(scope="module")
def chromium():
    path = browser.find_or_install(bool(os.environ.get("CI")))
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium can be had, so the interactive figures were not tried")
        pytest.skip("no Chromium can be had, so the interactive figures were not tried")
    with browser.chromium(path) as running:
        yield running


@pytest.fixture
def opened(folder, chromium):
    """A function that opens a page with one figure; no page may complain by the end."""
    complaints, contexts = [], []

    def open_page(data=SETTINGS, width=1000, markup=None, **options):
        block = interactive.figure(
            "beta-updating", data, label="Coin", alt="A curve.", static="x", static_text="That"
        ).markup
        (folder / "page.html").write_text(PAGE.format(block=markup or block), "utf8")
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: r.url.startswith("file:") or complaints.append(r.url))
        page.goto((folder / "page.html").as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector(".bnn-figure[data-state]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def readout(page):
    return [cell.inner_text() for cell in page.query_selector_all(".bnn-readout dd")]


def test_buttons_and_keys_give_the_package_s_posterior(opened):
    page = opened()
    page.get_by_role("button", name="Flip 10 more").press("Enter")
    page.get_by_role("button", name="Flip 1 more", exact=True).click()
    page.get_by_role("slider", name="Prior mean").press("ArrowRight")
    heads, flips = map(int, readout(page)[0].split(" / "))
    assert flips == 11
    exact = beta_binomial.update(Beta.from_mean(0.51, 4), heads, flips)
    lower, upper = exact.central_interval(0.95)
    expected = [f"{exact.mean:.3f}", f"{exact.sd:.3f}", f"{lower:.3f} to {upper:.3f}"]
    assert readout(page)[1:4] == expected
    expect(page.get_by_role("status")).to_contain_text(f"posterior mean {exact.mean:.3f}")
    page.get_by_role("button", name="Reset").click()
    assert readout(page)[0] == "0 / 0"


def test_the_same_seed_gives_the_same_flips_and_another_gives_others(opened):
    page = opened()
    page.get_by_role("button", name="Flip 100 more").click()
    first = readout(page)
    page.get_by_label("Seed").fill("2")
    page.get_by_label("Seed").press("Tab")
    assert readout(page) != first
    page.get_by_label("Seed").fill("1")
    page.get_by_label("Seed").press("Tab")
    assert readout(page) == first
    page.get_by_label("Seed").fill("-3")
    page.get_by_label("Seed").press("Tab")
    assert page.get_by_label("Seed").input_value() == "1"


def test_play_runs_and_pauses(opened):
    page = opened(reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".bnn-readout dd").first).not_to_have_text("0 / 0")
    page.get_by_role("button", name="Pause").click()
    assert int(readout(page)[0].split("/")[1]) >= 5
    assert page.get_by_role("button", name="Play").is_visible()


@pytest.mark.parametrize("width", [320, 390, 1000])
def test_nothing_moves_overflows_or_is_too_small_to_touch(opened, width):
    page = opened(width=width)
    assert page.evaluate(SHIFT) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SMALL) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(opened, theme):
    page = opened(bypass_csp=True)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.evaluate(AXE.read_text("utf8"))
    violations = page.evaluate(
        "axe.run('.bnn-figure', { preload: false }).then((r) => r.violations)"
    )
    assert [v["id"] for v in violations] == []


def test_a_failure_is_said_and_the_fallback_stays(opened):
    page = opened({**SETTINGS, "truth": 7})
    text = page.inner_text(".bnn-stage")
    assert re.search(r"could not start: truth must be between 0 and 1, got 7", text)
    assert "That shows the same without it." in text


def test_without_javascript_the_fallback_is_there(opened):
    page = opened(java_script_enabled=False)
    assert "This figure needs JavaScript. That shows" in page.inner_text(".bnn-stage")
