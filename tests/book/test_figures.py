"""The arithmetic of the interactive figures, run in Node on the inputs of the Python package."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from bnnbook.exact import beta_binomial, conjugate_linear, normal_inverse_gamma
from bnnbook.exact.beta_binomial import Beta
from bnnbook.exact.conjugate_linear import NormalCoefficients
from bnnbook.exact.normal_inverse_gamma import NormalInverseGamma
from bnnbook.exact.student_t import StudentT
from bnnbook.plotting import interactive, palette
from javascript import in_node, numbers

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "book" / "_js" / "figures"
CSS = ROOT / "book" / "_static" / "figures.css"

# Ordinary, skewed, U-shaped, J-shaped, tiny and huge.
SHAPES = [
    (1.0, 1.0), (2.0, 2.0), (0.5, 0.5), (0.05, 0.95), (1.0, 7.0), (7.0, 1.0), (9.99, 10.01),
    (3.0, 800.0), (1402.0, 602.0), (0.3, 2500.0), (12.0, 0.4), (50_000.0, 70_000.0), (1e-2, 1e-2),
]  # fmt: skip
POINTS = [0.0, 1e-12, 1e-4, 0.03, 0.25, 0.4166, 0.5, 0.7, 0.999, 1.0 - 1e-9, 1.0]
LEVELS = [1e-6, 0.025, 0.3, 0.5, 0.975, 1 - 1e-6]


def test_log_beta_and_log_gamma_agree_with_scipy():
    ours = in_node("stats.js", "shapes.map(([a, b]) => M.logBeta(a, b))", shapes=SHAPES)
    np.testing.assert_allclose(ours, special.betaln(*np.array(SHAPES).T), rtol=1e-10, atol=1e-12)
    x = [1e-8, 0.3, 1.0, 2.0, 2.5, 9.999, 10.0, 123.4, 1e6]
    ours = in_node("stats.js", "x.map(M.logGamma)", x=x)
    np.testing.assert_allclose(ours, special.gammaln(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_beta_density_and_cdf_agree_with_the_package(shape):
    beta = Beta(*shape)
    call = "[x.map((t) => M.betaDensity(t, ...shape)), x.map((t) => M.betaCdf(t, ...shape))]"
    density, cdf = in_node("stats.js", call, x=POINTS, shape=shape)
    expected = stats.beta(*shape).pdf(POINTS)
    # The terms of the log density grow with the shapes, and their rounding with them.
    rtol = 1e-10 + 1e-15 * sum(shape)
    np.testing.assert_allclose(numbers(density), expected, rtol=rtol, atol=1e-300)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(numbers(density), beta.density(POINTS), rtol=1e-8, atol=1e-300)
    np.testing.assert_allclose(cdf, beta.cdf(POINTS), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_beta_summary_agrees_with_the_package(shape):
    beta = Beta(*shape)
    call = "[M.betaSummary(...shape), levels.map((p) => M.betaQuantile(p, ...shape))]"
    summary, quantiles = in_node("stats.js", call, shape=shape, levels=LEVELS)
    lower, upper = beta.central_interval(0.95)
    expected = [beta.mean, beta.sd, lower, upper]
    ours = [summary[k] for k in ("mean", "sd", "lower", "upper")]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(quantiles, [beta.quantile(p) for p in LEVELS], rtol=0, atol=1e-10)


def mulberry32(seed, count):
    """The generator once more, in whole numbers of Python."""
    mask, out = 0xFFFFFFFF, []
    for _ in range(count):
        seed = (seed + 0x6D2B79F5) & mask
        t = ((seed ^ seed >> 15) * (seed | 1)) & mask
        t = ((t + ((t ^ t >> 7) * (t | 61) & mask)) & mask) ^ t
        out.append((t ^ t >> 14) / 2**32)
    return np.array(out)


def test_generator_is_the_documented_one_and_looks_uniform():
    for seed in (0, 1, 7, 2**32 - 1):
        ours = in_node("stats.js", "[...M.uniforms(seed, 20000)]", seed=seed)
        np.testing.assert_array_equal(ours, mulberry32(seed, 20_000))
        assert stats.kstest(ours, "uniform").pvalue > 1e-4
        # Neighbours are independent: their correlation is within four of its standard errors.
        assert abs(np.corrcoef(ours[:-1], ours[1:])[0, 1]) < 4 / np.sqrt(20_000)


SETTINGS = [
    {"prior_mean": 0.5, "prior_strength": 4, "truth": 0.7, "seed": 1, "max_flips": 2000},
    {"prior_mean": 0.05, "prior_strength": 1, "truth": 0.0, "seed": 2, "max_flips": 2000},
    {"prior_mean": 0.95, "prior_strength": 1000, "truth": 1.0, "seed": 9999, "max_flips": 2000},
    {"prior_mean": 0.2, "prior_strength": 50, "truth": 0.8, "seed": 0, "max_flips": 2000},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("count", [0, 1, 13, 2000])
def test_state_is_the_conjugate_posterior_of_the_flips(settings, count):
    call = "[M.state(settings, count), M.flips(settings, count)]"
    state, flips = in_node("beta-updating-math.js", call, settings=settings, count=count)
    prior = Beta.from_mean(settings["prior_mean"], settings["prior_strength"])
    assert flips == (mulberry32(settings["seed"], count) < settings["truth"]).tolist()
    exact = beta_binomial.update(prior, sum(flips), count)
    lower, upper = exact.central_interval(0.95)
    ours = [state["posterior"][k] for k in ("a", "b", "mean", "sd", "lower", "upper")]
    expected = [exact.a, exact.b, exact.mean, exact.sd, lower, upper]
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-10)
    # Mutation: one flip miscounted is seen.
    if sum(flips) > 0:
        wrong = beta_binomial.update(prior, sum(flips) - 1, count)
        assert abs(wrong.a - state["posterior"]["a"]) > 0.5
    if count:
        weight, share = state["prior_weight"], sum(flips) / count
        assert state["posterior"]["mean"] == pytest.approx(
            weight * prior.mean + (1 - weight) * share, abs=1e-12
        )


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("count", [0, 10, 2000])
def test_curves_are_densities_on_an_increasing_grid(settings, count):
    call = "M.curves(M.state(settings, count))"
    curves = in_node("beta-updating-math.js", call, settings=settings, count=count)
    x = np.array(curves["x"])
    assert (np.diff(x) >= 0).all()
    state = in_node(
        "beta-updating-math.js", "M.state(settings, count)", settings=settings, count=count
    )
    likelihood = Beta(state["heads"] + 1, count - state["heads"] + 1)
    for name, beta in [
        ("prior", Beta(state["prior"]["a"], state["prior"]["b"])),
        ("posterior", Beta(state["posterior"]["a"], state["posterior"]["b"])),
        ("likelihood", likelihood),
    ]:
        np.testing.assert_allclose(curves[name], beta.density(x), rtol=1e-8, atol=1e-10)
    # The grid is fine enough for the curve that matters to have area one.
    if min(state["posterior"]["a"], state["posterior"]["b"]) >= 1:
        assert np.trapezoid(curves["posterior"], x) == pytest.approx(1, abs=2e-3)


DOFS = [1.0, 2.0, 3.5, 4.0, 5.0, 29.0, 304.0, 1e4, 1e6]
TAIL_LEVELS = [1e-6, 0.001, 0.025, 0.4, 0.5, 0.5001, 0.75, 0.975, 0.999, 1 - 1e-6]


@pytest.mark.parametrize("dof", DOFS)
def test_student_quantile_and_tail_agree_with_the_package(dof):
    student = StudentT(0.0, 1.0, dof)
    t = [0.0, 0.01, 0.7, 1.5, 4.0, 60.0]
    call = (
        "[levels.map((p) => M.studentQuantile(p, dof)), t.map((t) => M.studentUpper(t, dof)),"
        " t.map((t) => M.studentDensity(t, dof))]"
    )
    quantiles, tails, densities = in_node("stats.js", call, levels=TAIL_LEVELS, dof=dof, t=t)
    expected = np.array([student.quantile(p) for p in TAIL_LEVELS])
    np.testing.assert_allclose(quantiles, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(tails, student.cdf(-np.array(t)), rtol=1e-10, atol=1e-200)
    # SciPy's beta function loses digits where one shape is huge.
    rtol = 1e-10 + 3e-16 * dof
    np.testing.assert_allclose(densities, student.density(t), rtol=rtol, atol=1e-200)
    # Nearer the centre than SciPy's own tail keeps its digits: a straight line.
    near = in_node("stats.js", "M.studentUpper(1e-9, dof)", dof=dof)
    assert near == pytest.approx(0.5 - 1e-9 * densities[0], rel=1e-15)
    if dof < 1e6:  # Mutation: half a degree of freedom more is seen.
        wrong = StudentT(0.0, 1.0, dof + 0.5).quantile(0.975)
        assert abs(wrong - quantiles[TAIL_LEVELS.index(0.975)]) > 1e-10 * wrong


PLANE = {
    "prior_sd": 1, "noise_sd": 1, "noise_worth": 4, "truth_intercept": 0.5, "truth_slope": 1,
    "truth_noise_sd": 1, "x_low": -3, "x_high": 3, "y_low": -6, "y_high": 6, "seed": 1,
    "max_points": 300, "num_draws": 12,
}  # fmt: skip
FIVE = [[-2.0, -1.5], [-0.4, 0.3], [0.7, 0.2], [1.9, 3.5], [2.6, 2.2]]
POINT_SETS = {
    "none": [],
    "one": [[2.0, 3.0]],
    "two at one x": [[1.5, -1.0], [1.5, 4.0]],
    "the same twice": [[1.5, 4.0], [1.5, 4.0]],
    "five": FIVE,
    "on a line": [[float(x), 0.5 + x] for x in range(-3, 4)],
    "large": [[1e6, -1e6], [-3e5, 1e6], [0.0, 7e5]],
    "tiny": [[1e-9, 2e-9], [-1e-9, 1e-9]],
}
SCALE_PAIRS = [(1, 1), (0.1, 10), (10, 0.1), (10, 10), (0.1, 0.1)]
LEVEL = 0.95


def design(x):
    return np.column_stack([np.ones(len(x)), x])


def exact_line(settings, points, unknown, at):
    """The package's marginals, line, predictive distribution and noise for the same settings."""
    X, y = (
        design([p[0] for p in points]).reshape(-1, 2),
        np.array([p[1] for p in points], dtype=float),
    )
    ratio, known = (settings["noise_sd"] / settings["prior_sd"]) ** 2, settings["noise_sd"]
    if unknown:
        shape = settings["noise_worth"] / 2
        state = NormalInverseGamma.from_precision([0, 0], [ratio] * 2, shape, shape * known**2)
        state = normal_inverse_gamma.update(state, X, y) if points else state
        line = normal_inverse_gamma.regression_line(state, design(at))
        return state.marginals, line, normal_inverse_gamma.predictive(state, design(at)), state
    state = NormalCoefficients.from_precision([0, 0], [1 / settings["prior_sd"] ** 2] * 2)
    state = conjugate_linear.update(state, X, y, known) if points else state
    line = conjugate_linear.regression_line(state, design(at))
    return state.marginals, line, conjugate_linear.predictive(state, design(at), known), state


def ends(distribution):
    return np.array([distribution.mean, *distribution.central_interval(LEVEL)])


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("name", POINT_SETS)
def test_line_s_posterior_is_the_package_s(name, unknown):
    at, cases = [-3.0, 0.0, 0.4, 3.0], []
    for prior_sd, noise_sd in SCALE_PAIRS:
        cases.append({**PLANE, "prior_sd": prior_sd, "noise_sd": noise_sd})
    call = (
        "cases.map((s) => { const line = M.posterior(s, points, unknown);"
        " return { line, summary: M.summary(line), at: at.map((x) => M.at(line, x)) }; })"
    )
    inputs = {"cases": cases, "points": POINT_SETS[name], "unknown": unknown, "at": at}
    found = in_node("regression-lines-math.js", call, **inputs)
    for settings, ours in zip(cases, found, strict=True):
        marginals, line, new, state = exact_line(settings, POINT_SETS[name], unknown, at)
        size = np.abs(POINT_SETS[name]).max(initial=1.0)
        tolerance = {"rtol": 1e-10, "atol": 1e-10 * size * settings["prior_sd"]}
        table = [[s[k] for s in ours["summary"]] for k in ("mean", "lower", "upper")]
        np.testing.assert_allclose(table, ends(marginals), **tolerance)
        centre, inner, outer = (
            np.array([a[k] for a in ours["at"]]) for k in ("centre", "line", "point")
        )
        np.testing.assert_allclose(
            np.add(centre, [0 * inner, -inner, inner]), ends(line), **tolerance
        )
        np.testing.assert_allclose(
            np.add(centre, [0 * outer, -outer, outer]), ends(new), **tolerance
        )
        noise = state.variance.mean_sd if unknown else settings["noise_sd"]
        assert ours["line"]["noise"] == pytest.approx(noise, rel=1e-10)
        # Mutation: of the first point's y, a millionth more is seen.
        if name == "five":
            wrong = [[FIVE[0][0], FIVE[0][1] * (1 + 1e-6)], *FIVE[1:]]
            marginals = exact_line(settings, wrong, unknown, at)[0]
            assert np.abs(ends(marginals) - table).max() > 1e-9 * settings["prior_sd"]


@pytest.mark.parametrize("unknown", [False, True])
def test_contours_and_draws_follow_the_joint_posterior(unknown):
    count, share = 20_000, 0.5
    settings = {**PLANE, "num_draws": count}
    call = (
        "(() => { const line = M.posterior(settings, points, unknown); return ["
        "M.draws(settings, line), M.contour(line, share), M.contour(line, 0.95)]; })()"
    )
    inputs = {"settings": settings, "points": FIVE, "unknown": unknown, "share": share}
    draws, half, most = map(np.array, in_node("regression-lines-math.js", call, **inputs))
    marginals, _, _, state = exact_line(settings, FIVE, unknown, [0.0])
    unit = state.unit_scale if unknown else 1.0

    def distance(b):  # half of its square is exponential, or a beta-prime with a power tail
        return (((b - state.mean) @ state.precision_root.T / unit) ** 2).sum(axis=1) / 2

    law, wrong = stats.f(2, state.dof) if unknown else stats.expon(), stats.f(2, 9)
    wrong = stats.expon() if unknown else wrong
    for contour, p in ((half, share), (most, LEVEL)):
        np.testing.assert_allclose(distance(contour), law.ppf(p), rtol=1e-10)
    assert stats.kstest(distance(draws), law.cdf).pvalue > 1e-4
    assert len(draws) == count
    for i in (0, 1):  # the marginals too, which know of the ellipse's tilt
        scale = marginals.scale[i] if unknown else marginals.sd[i]
        z = (draws[:, i] - marginals.mean[i]) / scale
        reference = stats.t(state.dof) if unknown else stats.norm()
        assert stats.kstest(z, reference.cdf).pvalue > 1e-4
    # Mutation: the other noise model's law is refused.
    assert stats.kstest(distance(draws), wrong.cdf).pvalue < 1e-8


def test_random_points_follow_their_line_and_stay_in_the_plane():
    settings = {**PLANE, "seed": 3}
    call = "[M.truePoints(settings, 20000), M.truePoints(settings, 7)]"
    many, few = in_node("regression-lines-math.js", call, settings=settings)
    assert few == many[:7]
    x, y = np.array(many).T
    noise = y - settings["truth_intercept"] - settings["truth_slope"] * x
    assert stats.kstest(noise, "norm").pvalue > 1e-4
    assert stats.kstest((x / 3 + 0.92) / 1.84, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(x, noise)[0, 1]) < 4 / np.sqrt(len(x))
    # Mutation: noise of a sd 10 % too large is refused.
    assert stats.kstest(noise, stats.norm(scale=1.1).cdf).pvalue < 1e-4
    # What the page offers, at its own seed: nothing falls outside the plane.
    ours = in_node("regression-lines-math.js", "M.truePoints(settings, 300)", settings=PLANE)
    assert (np.abs(ours).max(axis=0) < [3, 6]).all()


@pytest.mark.parametrize("unknown", [False, True])
def test_picture_is_finite_whatever_is_asked(unknown):
    sets = [*POINT_SETS.values(), [[1e100, -1e100], [2.0, 1e100]], [[0.0, 1e6]] * 300]
    cases = [
        {**PLANE, "prior_sd": p, "noise_sd": s, "noise_worth": w}
        for p, s, w in [(0.1, 10, 2), (10, 0.1, 1e6), (1e6, 1e-3, 2), (1e-3, 1e6, 4)]
    ]
    call = (
        "cases.flatMap((s) => sets.map((points) => JSON.stringify([M.picture(s, points, unknown),"
        " M.summary(M.posterior(s, points, unknown))], (k, v) =>"
        " typeof v === 'number' && !Number.isFinite(v) ? 'bad' : v).includes('bad')))"
    )
    found = in_node("regression-lines-math.js", call, cases=cases, sets=sets, unknown=unknown)
    assert found == [False] * (len(sets) * len(cases))


def test_picture_holds_both_distributions_and_mixes_by_shares():
    call = (
        "(() => { const [a, b] = [M.picture(s, [], true), M.picture(s, points, true)];"
        " return [a, b, M.mix(a, b, 0.25), M.mix(a, b, 1)]; })()"
    )
    start, end, part, all_of_it = in_node("regression-lines-math.js", call, s=PLANE, points=FIVE)
    for name in ("bands", "before", "after", "draws", "mean", "half"):
        a, b = np.array(start[name]), np.array(end[name])
        np.testing.assert_allclose(part[name], 0.75 * a + 0.25 * b, rtol=0, atol=1e-12)
        np.testing.assert_allclose(all_of_it[name], b, rtol=0, atol=1e-12)
    for shown in (start, end):
        assert np.log2(shown["half"]) % 1 == 0
        furthest = np.abs([shown["before"], shown["after"]]).max()
        assert furthest <= shown["half"] <= 2.1 * furthest
    rows = np.array(end["bands"])
    assert (np.diff(rows[:, 1:]) > 0).all(), "the line's band lies inside that of a new point"


def page_settings():
    """The settings of the figure on the page."""
    page = (ROOT / "book" / "bayesian-regression.md").read_text("utf8")
    return ast.literal_eval(re.search(r'"regression-lines",\s+(\{.*?\}),', page, re.S)[1])


def test_what_the_page_tells_readers_to_see_is_there_to_be_seen():
    settings = page_settings()
    assert settings == PLANE
    far = [0.0, -5.0]
    call = (
        "(() => { const ten = M.truePoints(settings, 10), half = (points, unknown) =>"
        " M.at(M.posterior(settings, points, unknown), 0).line;"
        " const tilt = (x) => { const { b } = M.posterior(settings, x.map((x) => [x, 1])).root;"
        " return b; };"
        " return [[false, true].map((u) => half([...ten, far], u) / half(ten, u)),"
        " half([], true) / half([], false),"
        " [tilt([1, 2]), tilt([-1, -2]), tilt([-2, 2])]]; })()"
    )
    (known, learnt), doubt, (right, left, both) = in_node(
        "regression-lines-math.js", call, settings=settings, far=far
    )
    assert known < 1, "with known noise an outlier narrows the band"
    assert learnt > 1.2, "with the noise learnt it widens the band"
    assert doubt > 1.2, "doubt about the noise widens the prior"
    # The covariance of intercept and slope has the sign opposite to that of the root's corner.
    assert right > 0 > left
    assert both == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [("prior_sd", 0), ("noise_sd", -1), ("noise_worth", None), ("x_low", "a"), ("y_high", -6)],
)
def test_bad_settings_of_the_plane_are_named(name, value):
    call = "(() => { try { M.checked(settings); } catch (e) { return e.message; } })()"
    message = in_node("regression-lines-math.js", call, settings={**PLANE, name: value})
    assert re.fullmatch(rf"{name} must be (between .* and|above) .*, got .*", message)


@pytest.mark.parametrize(
    ("name", "value"),
    [("prior_mean", 0), ("prior_strength", -1), ("truth", 1.5), ("seed", "x"), ("max_flips", None)],
)
def test_bad_settings_are_named(name, value):
    call = "(() => { try { M.checked(settings); } catch (e) { return e.message; } })()"
    message = in_node("beta-updating-math.js", call, settings={**SETTINGS[0], name: value})
    assert re.fullmatch(rf"{name} must be between .* and .*, got .*", message)


def test_every_kind_has_its_module_and_every_module_its_kind():
    mounts = "export function mount("
    modules = {path.stem for path in FIGURES.glob("*.js") if mounts in path.read_text("utf8")}
    assert modules == set(interactive.KINDS)


def css_variables(selector):
    body = re.search(rf"^{re.escape(selector)} {{(.*?)}}", CSS.read_text("utf8"), re.S | re.M)
    return dict(re.findall(r"--bnn-(\w+): (#\w{6});", body[1]))


def test_colours_are_those_of_the_palette_light_and_dark():
    light, dark = css_variables(".bnn-figure"), css_variables('html[data-theme="dark"] .bnn-figure')
    assert light == {name: getattr(palette, name.upper()) for name in light}
    assert dark == {name: palette.DARK[colour] for name, colour in light.items()}


def test_scripts_hold_no_colour_no_eval_no_inline_handler_no_address():
    forbidden = (
        r"#[0-9a-fA-F]{3,8}\b|rgb\(|\beval\(|new Function|innerHTML|\.on\w+ =|https?://(?!www\.w3)"
    )
    for module in FIGURES.glob("*.js"):
        assert not re.findall(forbidden, module.read_text("utf8")), module.name


def test_arithmetic_modules_touch_no_page():
    for name in ("stats.js", *(f"{kind}-math.js" for kind in interactive.KINDS)):
        assert not re.search(r"\b(document|window)\b", (FIGURES / name).read_text("utf8"))
