"""The arithmetic of the figure "kl-drag", run in Node, against SciPy and the package."""

import re

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from bnnbook.variational import divergences
from javascript import in_node, numbers

MODULE = "kl-drag-math.js"
LOG_EVIDENCE = -3.0
BUMPS = {"kind": "mixture", "weights": [0.65, 0.35], "means": [-2.5, 2.5], "sds": [0.5, 0.8]}
THREE = {"kind": "mixture", "weights": [0.25, 0.5, 0.25], "means": [-4, 0, 1], "sds": [0.3, 1, 2.5]}
NORMAL = {"kind": "mixture", "weights": [1.0], "means": [1.0], "sds": [1.5]}
SKEWED = {"kind": "log-gamma", "shape": 0.5, "rate": 0.25}
HEAVY = {"kind": "student", "dof": 3, "location": 0.5, "scale": 1.2}
CAUCHY = {"kind": "student", "dof": 1, "location": 0, "scale": 1}
TARGETS = {
    "bumps": BUMPS, "three": THREE, "normal": NORMAL, "skewed": SKEWED, "heavy": HEAVY,
    "cauchy": CAUCHY,
}  # fmt: skip
WITH_VARIANCE = [name for name in TARGETS if name != "cauchy"]
# Near and far, narrow and wide; the last four are extreme.
PLACES = [
    (0.0, 1.0), (-2.5, 0.5), (1.0, 1.5), (3.3, 0.1), (-0.75, 2.5), (6.0, 6.0), (-20.0, 0.7),
    (2.0, 1e-4), (0.3, 12.0), (40.0, 300.0), (-1e3, 1e4),
]  # fmt: skip
SETTINGS = {
    "targets": [BUMPS], "log_evidence": LOG_EVIDENCE, "mean": 0, "sd": 1, "mean_low": -7,
    "mean_high": 7, "sd_low": 0.1, "sd_high": 8,
}  # fmt: skip


def log_normal(x, m, s):
    return -0.5 * ((x - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi)


def log_density(target, x):
    if target["kind"] == "mixture":
        weights = np.array(target["weights"]) / np.sum(target["weights"])
        means, sds = np.array(target["means"]), np.array(target["sds"])
        logs = np.log(weights) + log_normal(np.asarray(x)[..., None], means, sds)
        return np.logaddexp.reduce(logs, axis=-1)
    if target["kind"] == "student":
        return stats.t.logpdf(x, target["dof"], target["location"], target["scale"])
    a, b = target["shape"], target["rate"]
    with np.errstate(over="ignore"):
        return a * np.log(b) - special.gammaln(a) + a * x - b * np.exp(x)


def centres(target):
    return target.get("means") or [target.get("location", 0.0)]


def integral(f, edges):
    """By SciPy's adaptive rule in all panels at once."""
    start, width = edges[:-1], np.diff(edges)
    total, _ = integrate.quad_vec(
        lambda u: width * f(start + width * u), 0, 1, epsabs=1e-13, epsrel=1e-11, norm="max"
    )
    return float(np.sum(total))


def average_log(target, m, s):
    """q's average of log p, in panels about q and about the bumps of p."""
    steps = [0.3 * 3**k for k in range(24)]
    near = [c + sign * step for c in centres(target) for step in [0, *steps] for sign in (-1, 1)]
    # Under q the exponential of the skewed target is a normal weight shifted by s.
    top = 12 + (s if target["kind"] == "log-gamma" else 0)
    edges = np.unique([*np.arange(-12, top + 1), *((np.array(near) - m) / s)])
    edges = edges[(edges >= -12) & (edges <= top)]
    if target["kind"] == "log-gamma":
        a, b = target["shape"], target["rate"]
        plain = a * np.log(b) - special.gammaln(a) + a * m
        return plain - integral(
            lambda z: b * np.exp(m + s * z - z**2 / 2) / np.sqrt(2 * np.pi), edges
        )
    return integral(lambda z: np.exp(log_normal(z, 0, 1)) * log_density(target, m + s * z), edges)


def average_under_p(target, f):
    """p's average of f(x), on a scale that also reaches the end of heavy tails."""

    def integrand(t):
        log = log_density(target, np.sinh(t))
        holds = log > -700
        x, log = np.where(holds, np.sinh(t), 0.0), np.where(holds, log, 0.0)
        return np.where(holds, np.exp(log) * f(x) * np.cosh(t), 0.0)

    return integral(integrand, np.concatenate([[-60, -30], np.linspace(-12, 12, 241), [30, 60]]))


def kl_from_q(target, m, s):
    return -stats.norm(m, s).entropy() - average_log(target, m, s)


def kl_from_p(target, m, s):
    return average_under_p(target, lambda x: log_density(target, x) - log_normal(x, m, s))


def states(target, places=PLACES, log_evidence=LOG_EVIDENCE):
    call = "places.map(([m, s]) => M.state(M.target(target), z, m, s))"
    found = in_node(MODULE, call, target=target, places=places, z=log_evidence)
    return {name: numbers([f[name] for f in found]) for name in ("seeking", "covering", "elbo")}


def in_range(target, places):
    """Without what overflows: the skewed target under a wide q."""
    return [(m, s) for m, s in places if target["kind"] != "log-gamma" or s < 30]


@pytest.mark.parametrize("name", TARGETS)
def test_divergence_from_q_and_elbo_agree_with_scipy(name):
    target = TARGETS[name]
    places = in_range(target, PLACES)
    found = states(target, places)
    average = np.array([average_log(target, m, s) for m, s in places])
    entropy = np.array([stats.norm(m, s).entropy() for m, s in places])
    np.testing.assert_allclose(found["seeking"], -entropy - average, rtol=1e-8, atol=1e-8)
    joint = average + LOG_EVIDENCE
    np.testing.assert_allclose(found["elbo"], joint + entropy, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", WITH_VARIANCE)
def test_divergence_from_p_agrees_with_scipy(name):
    target = TARGETS[name]
    found = states(target)["covering"]
    for ours, (m, s) in zip(found, PLACES, strict=True):
        assert ours == pytest.approx(kl_from_p(target, m, s), rel=1e-8, abs=1e-8)


def test_both_agree_with_the_package_s_grid_and_closed_form():
    grid = np.linspace(-40, 40, 40_001)
    for name in ("bumps", "normal", "heavy"):
        target = TARGETS[name]
        # The grid cuts the heavy tails off, so KL(p‖q) is left out there.
        senses = ("seeking",) if name == "heavy" else ("seeking", "covering")
        found, log_p = states(target, PLACES[:4]), log_density(target, grid)
        for i, (m, s) in enumerate(PLACES[:4]):
            log_q = log_normal(grid, m, s)
            pairs = {"seeking": (log_q, log_p), "covering": (log_p, log_q)}
            for sense in senses:
                tolerance = 1e-4 if name == "heavy" else 1e-8
                expected = divergences.kl_grid(grid, *pairs[sense])
                assert found[sense][i] == pytest.approx(expected, rel=tolerance, abs=tolerance)
    found = states(NORMAL)
    for i, (m, s) in enumerate(PLACES):
        exact = divergences.kl_normal(m, s**2, 1.0, 1.5**2)
        assert found["seeking"][i] == pytest.approx(exact, rel=1e-10, abs=1e-10)
        exact = divergences.kl_normal(1.0, 1.5**2, m, s**2)
        assert found["covering"][i] == pytest.approx(exact, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", TARGETS)
def test_elbo_and_divergence_from_q_make_the_log_evidence(name):
    target = TARGETS[name]
    # The evidence is the integral of what is not normalised.
    unnormalised = average_under_p(target, lambda x: np.exp(LOG_EVIDENCE))
    assert np.log(unnormalised) == pytest.approx(LOG_EVIDENCE, abs=1e-8)
    places = in_range(target, PLACES)
    found = states(target, places)
    rounding = 1e-8 + 1e-12 * found["seeking"]
    assert (np.abs(found["elbo"] + found["seeking"] - np.log(unnormalised)) <= rounding).all()
    assert (found["elbo"] <= LOG_EVIDENCE + 1e-12).all()
    # Mutation: the other divergence does not fill the gap.
    wrong = found["elbo"] + found["covering"] - np.log(unnormalised)
    away = [i for i, place in enumerate(places) if name != "normal" or place != (1.0, 1.5)]
    assert (np.abs(wrong[away]) > 1e-3).all()


@pytest.mark.parametrize("name", TARGETS)
def test_divergences_are_nowhere_negative(name):
    rng = np.random.default_rng(1)
    places = np.column_stack([rng.normal(0, 4, 60), np.exp(rng.normal(0, 1, 60))]).tolist()
    found = states(TARGETS[name], places)
    assert (found["seeking"] > 0).all()
    assert (found["covering"] > 0).all()
    # They vanish where q is p, and there only.
    at_p = states(NORMAL, [(1.0, 1.5)])
    assert at_p["seeking"] == pytest.approx(0, abs=1e-12)
    assert at_p["covering"] == pytest.approx(0, abs=1e-12)
    # Mutation: against a density of mass e^0.5 "KL" is negative somewhere.
    mutant = -states(NORMAL, [(1.0, 1.5)], log_evidence=0.5)["elbo"]
    assert mutant < -0.4


@pytest.mark.parametrize("name", WITH_VARIANCE)
def test_matching_moments_minimises_the_divergence_from_p(name):
    target = TARGETS[name]
    mean, sd = in_node(MODULE, "M.momentMatch(M.target(target))", target=target)
    first = average_under_p(target, lambda x: x)
    second = average_under_p(target, lambda x: (x - first) ** 2)
    np.testing.assert_allclose([mean, sd], [first, np.sqrt(second)], rtol=1e-8, atol=1e-8)
    best = kl_from_p(target, mean, sd)
    sides = [(mean + 0.01, sd), (mean - 0.01, sd), (mean, 1.01 * sd), (mean, 0.99 * sd)]
    for place in sides:
        # Near the minimum, KL grows by shift²/2 and by the square of log sd.
        assert kl_from_p(target, *place) > best + 4e-6 / sd**2
    # Mutation: the best q in the other sense is not the best in this one.
    other = in_node(MODULE, "M.minima(M.target(target))[0]", target=target)
    if name != "normal":
        assert kl_from_p(target, *other) > best + 1e-3


@pytest.mark.parametrize("name", TARGETS)
def test_descent_goes_down_to_where_scipy_finds_no_lower(name):
    target = TARGETS[name]
    for start in [(0.1, 1.0), (-5.0, 0.2), (4.0, 5.0)]:
        call = "M.descend(M.target(target), start)"
        path = in_node(MODULE, call, target=target, start=start)
        assert path[0] == list(start)
        heights = states(target, path)["seeking"]
        assert (np.diff(heights) <= 1e-12).all()
        # Mutation: stopped a little early, it is not where the derivatives vanish.
        for (m, s), flat in ((path[-1], True), ((path[-1][0], 1.001 * path[-1][1]), False)):
            sides = np.array([(m + 1e-3 * s, s), (m - 1e-3 * s, s), (m, 1.001 * s), (m, s / 1.001)])
            up = states(target, sides.tolist())["seeking"] - states(target, [(m, s)])["seeking"]
            assert (up > 0).all() == flat
            slopes = np.array([up[0] - up[1], up[2] - up[3]]) / 2e-3
            assert (np.abs(slopes) < 2e-5).all() == flat


def test_descent_has_the_closed_form_of_a_skewed_target():
    mean, sd = in_node(MODULE, "M.descend(M.target(target), [3, 0.3]).at(-1)", target=SKEWED)
    a, b = SKEWED["shape"], SKEWED["rate"]
    assert sd == pytest.approx(1 / np.sqrt(a), abs=1e-9)
    assert mean == pytest.approx(np.log(a / b) - 1 / (2 * a), abs=1e-9)


def test_two_starts_end_on_two_bumps_and_the_package_agrees():
    call = (
        "[M.minima(M.target(target)), ...starts.map((q) => M.descend(M.target(target), q).at(-1))]"
    )
    starts = [(-2.0, 1.0), (2.0, 1.0)]
    lowest, left, right = in_node(MODULE, call, target=BUMPS, starts=starts)
    np.testing.assert_allclose(lowest, [left, right], atol=1e-8)
    grid = np.linspace(-25, 25, 20_001)
    fits = divergences.mode_seeking(grid, log_density(BUMPS, grid))
    np.testing.assert_allclose(lowest, [(f.mean, f.sd) for f in fits], atol=1e-5)
    cover = divergences.mass_covering(grid, log_density(BUMPS, grid))
    match = in_node(MODULE, "M.momentMatch(M.target(target))", target=BUMPS)
    np.testing.assert_allclose(match, [cover.mean, cover.sd], atol=1e-8)


def test_descent_leaves_a_saddle():
    # Exactly between two close bumps, narrow in scale, the mean has no slope.
    bumps = {"kind": "mixture", "weights": [0.5, 0.5], "means": [-3, 3], "sds": [0.5, 0.5]}
    mean, _ = in_node(MODULE, "M.descend(M.target(target), [0, 0.2]).at(-1)", target=bumps)
    height = kl_from_q(bumps, mean, _)
    found = optimize.minimize(
        lambda u: kl_from_q(bumps, mean + u[0], _ * np.exp(u[1])), [0.01, 0.01],
        method="Nelder-Mead", options={"maxiter": 60},
    )  # fmt: skip
    assert height <= found.fun + 1e-6


def test_what_is_infinite_and_what_is_out_of_range_are_told_apart():
    call = "[1, 100].map((s) => M.state(M.target(target), z, 0, s))"
    near, far = in_node(MODULE, call, target=CAUCHY, z=LOG_EVIDENCE)
    for found in (near, far):
        assert found["covering"] == "Infinity"
        assert found["no_variance"] is True
        assert found["seeking"] > 0
    near, far = in_node(MODULE, call, target=SKEWED, z=LOG_EVIDENCE)
    assert far["seeking"] == "Infinity"
    assert far["elbo"] == "-Infinity"
    assert far["no_variance"] is False
    assert far["covering"] > 0
    assert in_node(MODULE, "M.momentMatch(M.target(target))", target=CAUCHY) is None


def test_digamma_and_trigamma_agree_with_scipy():
    x = [0.1, 0.5, 1.0, 2.5, 7.3, 12.0, 500.0]
    zero, one = in_node(MODULE, "[0, 1].map((k) => x.map((v) => M.polygamma(k, v)))", x=x)
    np.testing.assert_allclose(zero, special.digamma(x), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(one, special.polygamma(1, x), rtol=1e-12)


@pytest.mark.parametrize("name", TARGETS)
def test_contours_lie_at_their_level(name):
    call = (
        "(() => { const map = M.landscape(M.target(target), s); const n = map.means.length;"
        " return { ...map, lines: [0.5, 2].map((level) => M.contour(map.seeking, n, level)) }; })()"
    )
    found = in_node(MODULE, call, target=TARGETS[name], s=SETTINGS)
    means, logs = np.array(found["means"]), np.array(found["logs"])
    assert means[[0, -1]] == pytest.approx([-7, 7])
    assert np.exp(logs[[0, -1]]) == pytest.approx([0.1, 8])
    for level, segments in zip([0.5, 2.0], found["lines"], strict=True):
        i, j = np.array(segments).reshape(-1, 2).T
        steps = [np.interp(v, np.arange(len(axis)), axis) for v, axis in ((i, means), (j, logs))]
        places = np.column_stack([steps[0], np.exp(steps[1])])[:: max(1, len(i) // 40)]
        heights = states(TARGETS[name], places.tolist())["seeking"]
        # Between the nodes of the grid, heights are interpolated.
        np.testing.assert_allclose(heights, level, rtol=0.08)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sd": 0}, "sd must be between 0.0001 and 10000, got 0"),
        ({"sd": 9}, "sd must be between 0.1 and 8, got 9"),
        ({"mean": None}, "mean must be between .*, got null"),
        ({"mean_high": -8}, "mean_high must be above -7, got -8"),
        ({"log_evidence": "x"}, "log_evidence must be between .*, got x"),
        ({"targets": []}, "targets must hold at least one target"),
        ({"targets": [{"kind": "gamma"}]}, "kind must be one of mixture, .*, got gamma"),
        ({"targets": [{**BUMPS, "sds": [1.0]}]}, "weights, means and sds must have the same .*"),
        ({"targets": [{**BUMPS, "sds": [1, -1]}]}, "sd must be between .*, got -1"),
        ({"targets": [{**HEAVY, "dof": 0}]}, "dof must be between .*, got 0"),
        ({"targets": [{**SKEWED, "rate": 0}]}, "rate must be between .*, got 0"),
    ],
)
def test_bad_settings_are_named(change, message):
    call = "(() => { try { M.checked(s); } catch (e) { return e.message; } })()"
    found = in_node(MODULE, call, s={**SETTINGS, **change})
    assert re.fullmatch(message, found), found
