"""The interactive figures in a real browser: from a file, under a strict policy, by keyboard."""

import os
import re

import numpy as np
import pytest
from playwright.sync_api import expect

import browser
import bundles
import gates
import node_tools
from bnnbook.exact import beta_binomial, conjugate_linear, normal_inverse_gamma
from bnnbook.exact.beta_binomial import Beta
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma
from bnnbook.models import targets_2d
from bnnbook.plotting import interactive
from bnnbook.variational import divergences
from javascript import in_node

PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<title>t</title><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'">
<link rel="stylesheet" href="figures.css"><style>body {{ margin: 1rem }}
  html[data-theme=dark] {{ background: #121212 }}</style>
<script defer src="{kind}.js"></script></head>
<body><main><h1>t</h1>{block}<p id="after">after</p></main></body></html>"""
SETTINGS = {"prior_mean": 0.5, "prior_strength": 4, "truth": 0.7, "seed": 1, "max_flips": 2000}
PLANE = {
    "prior_sd": 1, "noise_sd": 1, "noise_worth": 4, "truth_intercept": 0.5, "truth_slope": 1,
    "truth_noise_sd": 1, "x_low": -3, "x_high": 3, "y_low": -6, "y_high": 6, "seed": 1,
    "max_points": 300, "num_draws": 12,
}  # fmt: skip
BUMPS = {
    "kind": "mixture", "name": "two bumps", "weights": [0.65, 0.35], "means": [-2.5, 2.5],
    "sds": [0.5, 0.8],
}  # fmt: skip
CAUCHY = {"kind": "student", "name": "Cauchy", "dof": 1, "location": 0, "scale": 1}
DRAG = {
    "targets": [BUMPS, CAUCHY], "log_evidence": -3, "mean": 0, "sd": 1, "mean_low": -7,
    "mean_high": 7, "sd_low": 0.1, "sd_high": 8,
}  # fmt: skip
STEPS = {
    "targets": [
        {"name": t.name, "parameters": list(t.log_density.args), "limits": t.window, "start": start}
        for t, start in zip(
            targets_2d.showcase(), [(1, 0.5), (-1, 0.5), (1, 2), (-3, 1)], strict=True
        )
    ],
    "step": 0.4, "step_low": 0.02, "step_high": 8, "leaps": 10, "max_leaps": 40, "seed": 1,
    "max_steps": 500,
}  # fmt: skip
NETWORK = {
    "width": 5, "inner_scale": 3, "output_scale": 1.5, "output_bias": 0.5, "noise_sd": 0.1,
    "activation": "tanh", "seed": 1, "x": [-1.8, -1.4, -1.0, 1.0, 1.5, 1.9],
    "y": [0.2, 0.1, -0.5, 0.9, 0.6, -0.2], "x_low": -3, "x_high": 3, "y_low": -3, "y_high": 3,
}  # fmt: skip
KINDS = [
    ("beta-updating", SETTINGS), ("regression-lines", PLANE), ("kl-drag", DRAG),
    ("network-prior", NETWORK), ("sampler-steps", STEPS),
]  # fmt: skip
SHIFT = """() => new Promise((done) => { let sum = 0;
  new PerformanceObserver((list) => { for (const e of list.getEntries()) sum += e.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 300); })"""
SMALL = """() => [...document.querySelectorAll(".bnn-figure :is(button, input, select)")]
  .map((e) => [e.textContent || e.type, e.getBoundingClientRect()])
  .filter(([, box]) => box.width < 44 || box.height < 44).map(([name]) => name)"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    node_tools.ensure_modules()
    folder = tmp_path_factory.mktemp("figures")
    for kind in interactive.KINDS:
        bundles.bundle_figure(kind, folder / f"{kind}.js")
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

    def open_page(data=SETTINGS, width=1000, kind="beta-updating", **options):
        block = interactive.figure(
            kind, data, label="Figure", alt="A curve.", static="x", static_text="That"
        ).markup
        (folder / "page.html").write_text(PAGE.format(block=block, kind=kind), "utf8")
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


def test_a_figure_far_below_starts_when_the_reader_comes_near(opened, folder):
    page = opened()
    text = (folder / "page.html").read_text("utf8")
    far = text.replace("<body>", '<body><div style="height: 9000px"></div>')
    assert far != text
    (folder / "page.html").write_text(far, "utf8")
    page.reload()
    page.wait_for_load_state("networkidle")
    assert page.locator(".bnn-figure[data-state]").count() == 0
    page.evaluate("scrollTo(0, 7500)")
    page.wait_for_selector(".bnn-figure[data-state=ready]")


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
@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_nothing_moves_overflows_or_is_too_small_to_touch(opened, width, kind, data):
    page = opened(data, width, kind)
    assert page.evaluate(SHIFT) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SMALL) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_axe_finds_nothing(opened, theme, kind, data):
    page = opened(data, kind=kind, bypass_csp=True)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.evaluate(gates.AXE.read_text("utf8"))
    violations = page.evaluate(
        "axe.run('.bnn-figure', { preload: false }).then((r) => r.violations)"
    )
    assert [v["id"] for v in violations] == []


def test_a_failure_is_said_and_the_fallback_stays(opened):
    page = opened({**SETTINGS, "truth": 7})
    text = page.inner_text(".bnn-stage")
    assert re.search(r"could not start: truth must be between 0 and 1, got 7", text)
    assert "That shows the same without it." in text


@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_without_javascript_the_fallback_is_there(opened, kind, data):
    page = opened(data, kind=kind, java_script_enabled=False)
    assert "This figure needs JavaScript. That shows" in page.inner_text(".bnn-stage")


def opened_plane(opened, **options):
    return opened(PLANE, kind="regression-lines", **options)


def add(page, x, y):
    """By keyboard: type both numbers, Enter."""
    for name, value in (("x", x), ("y", y)):
        page.get_by_role("spinbutton", name=name, exact=True).fill(str(value))
    page.keyboard.press("Enter")


def tap(page, x, y):
    """By mouse, at a place of the plane; its margins are those of the module."""
    box = page.locator(".bnn-plane").bounding_box()
    left, right, top, bottom = 34, box["width"] - 10, 28, box["height"] - 44
    across, down = (x + 3) / 6, (6 - y) / 12
    page.mouse.click(
        box["x"] + left + across * (right - left), box["y"] + top + down * (bottom - top)
    )


def said(distribution):
    """The cells of intercept and slope, as the package would have them."""
    values = np.array([distribution.mean, *distribution.central_interval(0.95)]).T
    return [
        f"{m:.2f}, {low:.2f} to {high:.2f}".replace("-", "\N{MINUS SIGN}")
        for m, low, high in values
    ]


def test_points_typed_and_noise_learnt_give_the_package_s_posterior(opened):
    page = opened_plane(opened)
    assert readout(page)[0] == "0"
    points = np.array([[-2, -1.5], [0.5, 0.25], [2.25, 3.5]])
    for point in points:
        add(page, *point)
    X, y = np.column_stack([np.ones(3), points[:, 0]]), points[:, 1]
    prior = NormalCoefficients.from_covariance([0, 0], [1, 1])
    intercept, slope = said(conjugate_linear.update(prior, X, y, 1.0).marginals)
    assert readout(page) == ["3", slope, intercept, "1, known"]
    sentence = slope.replace(", ", ", with the 95 % interval ")
    expect(page.get_by_role("status")).to_contain_text(
        f"After 3 points, the posterior mean of the slope is {sentence}"
    )
    toggle = page.get_by_role("button", name="Learn the noise")
    toggle.press("Space")
    assert toggle.get_attribute("aria-pressed") == "true"
    prior = NormalInverseGamma.from_covariance([0, 0], [1, 1], 2.0, 2.0)
    state = normal_inverse_gamma.update(prior, X, y)
    intercept, slope = said(state.marginals)
    assert readout(page) == ["3", slope, intercept, f"mean {state.variance.mean_sd:.2f}"]
    page.get_by_role("slider", name="Prior sd").press("ArrowRight")
    assert readout(page)[1] != slope


def test_a_tap_adds_the_point_under_it_and_two_quick_taps_add_two(opened):
    page = opened_plane(opened)
    tap(page, 1.5, 3)
    tap(page, -2, -3)  # while the picture still moves
    assert readout(page)[0] == "2"
    expect(page.locator(".bnn-point")).to_have_count(2)
    prior = NormalCoefficients.from_covariance([0, 0], [1, 1])
    state = conjugate_linear.update(prior, [[1, 1.5], [1, -2]], [3, -3], 1.0)
    # A tap is good to half a pixel, a hundredth of the plane's units or two.
    mean = float(readout(page)[1].partition(",")[0])
    assert mean == pytest.approx(state.mean[1], abs=0.03)
    # Mutation: the plane upside down would be seen.
    assert abs(mean + state.mean[1]) > 0.5
    box = page.locator(".bnn-plane").bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 60)  # on the axis' numbers: no place in the plane
    assert readout(page)[0] == "2"


def test_a_touch_adds_a_point(opened):
    page = opened_plane(opened, has_touch=True)
    page.locator(".bnn-plane").tap()
    assert readout(page)[0] == "1"


def test_undo_clear_reset_and_the_seed(opened):
    page = opened_plane(opened)
    press = lambda name: page.get_by_role("button", name=name, exact=True).press("Enter")  # noqa: E731
    press("Undo")
    expect(page.get_by_role("status")).to_have_text("There is nothing to undo.")
    press("+10 random points")
    first = readout(page)
    press("+1 random point")
    press("Clear all points")
    assert readout(page)[0] == "0"
    press("Undo")
    assert readout(page)[0] == "11"
    press("Undo")
    assert readout(page) == first
    page.get_by_label("Seed").fill("2")
    page.get_by_label("Seed").press("Tab")
    assert readout(page)[0] == "10"
    assert readout(page) != first
    press("Reset points and settings")
    press("+10 random points")
    assert readout(page) == first


def test_bad_and_extreme_entries_leave_the_figure_sound(opened):
    page = opened_plane(opened)
    add(page, 99, 2)  # outside: put back to the last good number
    assert page.get_by_role("spinbutton", name="x", exact=True).input_value() == "0"
    add(page, 0, "")
    for _ in range(32):
        page.get_by_role("button", name="+10 random").click()
    assert readout(page)[0] == "300"
    add(page, 3, -6)
    assert readout(page)[0] == "300"
    for name in ("Prior sd", "Noise sd"):
        for key in ("Home", "End"):
            page.get_by_role("slider", name=name).press(key)
            assert not re.search("NaN|Infinity", page.inner_html(".bnn-stage"))


def test_keyboard_shows_where_the_point_will_go(opened):
    page = opened_plane(opened)
    assert page.locator(".bnn-cursor").count() == 0
    page.get_by_role("spinbutton", name="x", exact=True).focus()
    before = page.locator(".bnn-cursor").get_attribute("d")
    page.keyboard.press("ArrowUp")
    assert page.locator(".bnn-cursor").get_attribute("d") != before
    page.keyboard.press("Enter")
    assert readout(page)[0] == "1"


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_the_picture_glides_only_where_motion_is_welcome(opened, motion):
    page = opened_plane(opened, reduced_motion=motion)
    frames = page.evaluate("""() => new Promise((done) => {
      const area = document.querySelector(".bnn-plane"), seen = new Set();
      const note = () => seen.add(area.querySelector(".bnn-line.bnn-posterior").getAttribute("y2"));
      new MutationObserver(note).observe(area, { childList: true });
      document.querySelector('[aria-label="+10 random points"]').click();
      setTimeout(() => done(seen.size), 800); })""")
    assert (frames == 1) == (motion == "reduce")


def opened_drag(opened, **options):
    return opened(DRAG, kind="kl-drag", **options)


def places(page):
    """Mean and standard deviation of q, as the sliders say them."""
    return [
        float(
            page.get_by_role("slider", name=name).get_attribute("aria-valuetext").replace("−", "-")
        )
        for name in ("Mean", "Standard deviation")
    ]


def divergences_of(mean, sd):
    """Both divergences of q from the two bumps, by the package."""
    x = np.linspace(-40, 40, 16_001)
    logs = -0.5 * ((x[:, None] - BUMPS["means"]) / BUMPS["sds"]) ** 2
    log_p = np.log(np.exp(logs) @ (np.array(BUMPS["weights"]) / BUMPS["sds"]) + 1e-300)
    far = np.logaddexp(logs[:, 0], logs[:, 1])  # where the density itself would underflow
    log_p = np.where(log_p < -600, far, log_p)
    log_q = -0.5 * ((x - mean) / sd) ** 2
    return divergences.kl_grid(x, log_q, log_p), divergences.kl_grid(x, log_p, log_q)


def shown(page):
    return [float(text.replace("−", "-")) for text in readout(page)]


def hold(page, shape, index=0):
    """The middle of a handle, on the screen."""
    box = page.locator(shape).nth(index).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, start, dx, dy=0):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + dx / 2, start[1] + dy / 2)
    page.mouse.move(start[0] + dx, start[1] + dy)
    page.mouse.up()


def test_keys_change_q_and_all_numbers_with_it(opened):
    page = opened_drag(opened)
    for _ in range(30):
        page.get_by_role("slider", name="Mean").press("ArrowRight")
    mean, sd = places(page)
    assert (mean, sd) == (1.5, 1.0)
    from_q, from_p = divergences_of(mean, sd)
    assert shown(page) == pytest.approx([from_q, from_p, -3 - from_q, -3], abs=6e-4)
    # Mutation: the two divergences exchanged would be seen.
    assert abs(from_q - from_p) > 0.1
    said = page.get_by_role("status")
    expect(said).to_contain_text("q has mean 1.50 and standard deviation 1.00.")
    expect(said).to_contain_text(f"KL(q‖p), the average over q, is {from_q:.3f} nats")
    page.get_by_role("slider", name="Standard deviation").press("Home")
    assert places(page) == [1.5, 0.1]
    page.get_by_role("button", name="Reset").press("Enter")
    assert places(page) == [0.0, 1.0]


def test_handles_follow_the_mouse(opened):
    page = opened_drag(opened)
    unit = (page.locator(".bnn-densities").bounding_box()["width"] - 44) / 14
    drag(page, hold(page, ".bnn-densities circle.bnn-knob"), 2 * unit)
    assert places(page) == pytest.approx([2, 1], abs=1.5 / unit)
    drag(page, hold(page, ".bnn-densities rect.bnn-knob"), unit)
    mean, sd = places(page)
    assert (mean, sd) == pytest.approx((2, 2), abs=1.5 / unit)
    assert shown(page)[0] == pytest.approx(divergences_of(mean, sd)[0], rel=0.02)
    # Far outside: as far as the sliders go.
    drag(page, hold(page, ".bnn-densities circle.bnn-knob"), 30 * unit)
    assert places(page)[0] == 7
    assert not re.search("NaN|Infinity", page.inner_html(".bnn-stage"))


def test_a_map_moves_mean_and_scale_at_once(opened):
    page = opened_drag(opened)
    for index in (0, 1):
        page.get_by_role("button", name="Reset").click()
        start = hold(page, ".bnn-map .bnn-knob", index)
        drag(page, start, -40, 30)
        mean, sd = places(page)
        assert mean < -0.5
        assert sd < 0.8
        assert hold(page, ".bnn-map .bnn-knob", index) == pytest.approx(
            (start[0] - 40, start[1] + 30), abs=1.5
        )


def test_a_finger_drags_handles_and_taps_maps(opened):
    page = opened_drag(opened, has_touch=True)
    x, y = hold(page, ".bnn-densities circle.bnn-knob")
    before = page.evaluate("scrollY")
    touch = page.context.new_cdp_session(page)
    for kind, points in (
        ("touchStart", [(x, y)]), ("touchMove", [(x + 30, y)]), ("touchMove", [(x + 60, y + 90)]),
        ("touchEnd", []),
    ):  # fmt: skip
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]},
        )
    unit = (page.locator(".bnn-densities").bounding_box()["width"] - 44) / 14
    # Were the touch taken for scrolling, the last move would never arrive.
    expect(page.locator(".bnn-value").first).to_have_text(f"{60 / unit:.2f}")
    assert page.evaluate("scrollY") == before
    page.locator(".bnn-map").first.tap(position={"x": 80, "y": 60})
    assert places(page)[0] < 0


def test_two_starts_go_down_to_two_minima_and_the_other_has_one(opened):
    page = opened_drag(opened, reduced_motion="reduce")
    ends = []
    for side in ("Home", "End"):
        page.get_by_role("slider", name="Mean").press(side)
        page.get_by_role("button", name="Down to a minimum of KL(q‖p)").press("Enter")
        ends.append((places(page), shown(page)[0]))
        page.get_by_role("button", name="To the minimum of KL(p‖q)").click()
        covering = places(page)
        assert covering == pytest.approx([-0.75, 2.46], abs=0.006)
    assert [end[0][0] for end in ends] == [-2.5, 2.5]
    # On a bump, q leaves out the other: the divergence is that bump's −log weight, nearly.
    assert [end[1] for end in ends] == pytest.approx(-np.log(BUMPS["weights"]), abs=1e-3)


def test_what_is_infinite_is_said(opened):
    page = opened_drag(opened)
    page.get_by_label("Target p").select_option("Cauchy")
    assert readout(page)[1] == "infinite"
    expect(page.get_by_role("status")).to_contain_text("infinite because p has no variance")
    page.get_by_role("button", name="To the minimum of KL(p‖q)").click()
    expect(page.get_by_role("status")).to_contain_text("infinite for every normal q")
    assert places(page) == [0.0, 1.0]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_q_walks_only_where_motion_is_welcome(opened, motion):
    page = opened_drag(opened, reduced_motion=motion)
    page.evaluate("""() => { window.seen = new Set();
      new MutationObserver(() => seen.add(document.querySelector(".bnn-value").textContent))
        .observe(document.querySelector(".bnn-value"), { childList: true }); }""")
    page.get_by_role("button", name="To the minimum of KL(p‖q)").click()
    expect(page.locator(".bnn-value").first).to_have_text("−0.75")
    assert (page.evaluate("seen.size") > 2) == (motion == "no-preference")


def opened_steps(opened, **options):
    return opened(STEPS, kind="sampler-steps", **options)


def choose(page, sampler, target="correlated normal"):
    page.get_by_label("Sampler").select_option(sampler)
    page.get_by_label("Target").select_option(target)


def press(page, name):
    page.get_by_role("button", name=name, exact=True).press("Enter")


@pytest.mark.parametrize("sampler", ["walk", "slice", "mala", "hmc"])
def test_steps_by_keyboard_are_those_of_the_arithmetic(opened, sampler):
    names = in_node("sampler-steps-math.js", "M.SAMPLERS")
    page = opened_steps(opened)
    choose(page, names[sampler]["name"], "banana")
    press(page, "100 steps at once")
    press(page, "Step")
    settings = {"sampler": sampler, "step": 0.4, "leaps": 10, "seed": 1}
    call = "(() => { const { chain } = M.run(M.target(t), s, 101); return chain; })()"
    chain = in_node("sampler-steps-math.js", call, t=STEPS["targets"][1], s=settings)
    mean = f"{chain['sum'] / 101:.2f}".replace("-", "\N{MINUS SIGN}")
    share = f"{100 * chain['accepted'] / 101:.0f} %"
    calls = [str(chain["densities"]), str(chain["gradients"])]
    assert readout(page) == ["101", share, *calls, f"{mean} / 0.00"]
    said = page.get_by_role("status")
    expect(said).to_contain_text(
        f"on the banana, 101 steps: {'a draw' if sampler == 'slice' else ''}"
    )
    expect(said).to_contain_text(f"{chain['accepted']} of 101 accepted, {share}")
    # What was accepted and what was not differ in shape, in the trace too.
    rejected = page.locator(".bnn-trace path.bnn-rejected").count()
    accepted = page.locator(".bnn-trace circle.bnn-accepted").count()
    assert rejected + accepted == 100
    assert (rejected == 0) == (chain["accepted"] == 101)


def test_hmc_shows_its_path_and_slice_its_brackets(opened):
    page = opened_steps(opened)
    leaps = page.get_by_role("slider", name="Leapfrog steps")
    assert leaps.is_disabled()
    choose(page, "HMC")
    leaps.press("Home")
    for _ in range(4):
        leaps.press("ArrowRight")
    press(page, "Step")
    assert readout(page)[2:4] == ["2", "6"]
    assert page.locator(".bnn-walk circle.bnn-leap").count() == 4
    choose(page, "slice, by coordinate")
    assert page.get_by_role("slider", name="Bracket width").is_visible()
    press(page, "Step")
    assert page.locator(".bnn-walk .bnn-bracket").count() == 2
    assert page.locator(".bnn-walk .bnn-rejected").count() == 0


def test_reset_and_the_seed_bring_a_chain_back(opened):
    page = opened_steps(opened)
    press(page, "100 steps at once")
    first, trace = readout(page), page.locator(".bnn-chain").get_attribute("d")
    press(page, "Reset")
    assert readout(page)[:2] == ["0", "–"]
    press(page, "100 steps at once")
    assert (readout(page), page.locator(".bnn-chain").get_attribute("d")) == (first, trace)
    page.get_by_label("Seed").fill("2")
    page.get_by_label("Seed").press("Tab")
    press(page, "100 steps at once")
    assert page.locator(".bnn-chain").get_attribute("d") != trace
    for _ in range(4):
        press(page, "100 steps at once")
    assert readout(page)[0] == "500"
    assert page.get_by_role("button", name="Step", exact=True).is_disabled()
    press(page, "Reset")
    assert page.get_by_role("button", name="Step", exact=True).is_enabled()


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_run_moves_only_where_motion_is_welcome(opened, motion):
    page = opened_steps(opened, reduced_motion=motion)
    page.evaluate("""() => { window.firstSteps = new Promise((done) => {
      const count = () => document.querySelector(".bnn-readout dd").textContent, seen = [count()];
      new MutationObserver(() => {
        if (count() !== seen.at(-1) && seen.push(count()) > 3) done(seen);
      }).observe(document.querySelector(".bnn-stage"),
                 { childList: true, characterData: true, subtree: true });
      setTimeout(() => done(seen), 20_000); }); }""")
    press(page, "Run")
    if motion == "reduce":
        assert readout(page)[0] == "100"
        assert page.get_by_role("button", name="Pause").count() == 0
        page.wait_for_timeout(600)
        assert readout(page)[0] == "100"
    else:
        assert page.evaluate("firstSteps") == ["0", "1", "2", "3"]
        press(page, "Pause")
        stopped = readout(page)[0]
        page.wait_for_timeout(600)
        assert readout(page)[0] == stopped


def test_the_wildest_settings_leave_the_figure_sound(opened):
    page = opened_steps(opened)
    for sampler in ("random-walk Metropolis", "MALA", "HMC", "slice, by coordinate"):
        for target in STEPS["targets"]:
            choose(page, sampler, target["name"])
            for key in ("End", "Home"):
                page.locator(".bnn-slider input").first.press(key)
                if sampler == "HMC":
                    page.get_by_role("slider", name="Leapfrog steps").press(key)
                press(page, "100 steps at once")
                assert readout(page)[0] == "100"
                assert not re.search("NaN|Infinity|undefined", page.inner_html(".bnn-stage"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_a_running_sampler(opened, theme):
    page = opened_steps(opened, bypass_csp=True)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    press(page, "100 steps at once")
    page.evaluate(gates.AXE.read_text("utf8"))
    violations = page.evaluate(
        "axe.run('.bnn-figure', { preload: false }).then((r) => r.violations)"
    )
    assert [v["id"] for v in violations] == []
    # The focus can be seen.
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"


def test_knobs_of_the_network_give_another_posterior(opened):
    page = opened(NETWORK, kind="network-prior")
    cells = page.locator(".bnn-readout dd")
    expect(cells.nth(1)).to_have_text("600", timeout=20_000)
    wide = float(cells.nth(2).inner_text())
    noise = page.get_by_role("slider", name="Noise sd")
    for _ in range(4):
        noise.press("ArrowRight")
    expect(cells.nth(1)).to_have_text("600", timeout=20_000)
    assert noise.get_attribute("aria-valuetext") == "1"
    assert float(cells.nth(2).inner_text()) > wide
    page.get_by_role("combobox", name="Activation").select_option(label="none (a line)")
    page.get_by_role("slider", name="Hidden units").press("ArrowLeft")
    expect(cells.nth(0)).to_have_text("10")
    expect(cells.nth(1)).to_have_text("600", timeout=20_000)
    expect(page.get_by_role("status")).to_contain_text("3 hidden units, none (a line)")
    page.get_by_role("button", name="Reset").click()
    expect(cells.nth(0)).to_have_text("16")
    expect(cells.nth(2)).to_have_text(f"{wide:.2f}", timeout=20_000)
