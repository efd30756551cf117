"""The arithmetic of the figure "sampler-steps", run in Node, against the package's densities."""

import re

import jax
import numpy as np
import pytest
from scipy import stats

from bnnbook.models import targets_2d
from javascript import FIGURES, in_node, numbers

MODULE = "sampler-steps-math.js"
TARGETS = [
    targets_2d.correlated_normal(), targets_2d.correlated_normal(-0.99), targets_2d.banana(),
    targets_2d.banana(-0.4), targets_2d.funnel(), targets_2d.funnel(0.7), targets_2d.two_bumps(),
    targets_2d.two_bumps(3.0, 0.2),
]  # fmt: skip
SAMPLERS = {
    "walk": {"sampler": "walk", "step": 0.8, "leaps": 1, "seed": 1},
    "slice": {"sampler": "slice", "step": 1.0, "leaps": 1, "seed": 2},
    "mala": {"sampler": "mala", "step": 0.45, "leaps": 1, "seed": 3},
    "hmc": {"sampler": "hmc", "step": 0.4, "leaps": 5, "seed": 4},
}
NORMAL, BANANA = targets_2d.correlated_normal(), targets_2d.banana()
DRAWS, BATCHES = 200_000, 100
# |t| of 99 degrees of freedom above 6 has probability 3e-8; some fifty are looked at.
LIMIT = 6.0


def described(target, start=None):
    """As the page's cell writes it."""
    start = [float(v) for v in start or target.draws(jax.random.key(1), 1)[0]]
    parameters = list(target.log_density.args)
    return {
        "name": target.name, "parameters": parameters, "limits": target.window, "start": start,
    }  # fmt: skip


SETTINGS = {
    "targets": [described(t) for t in targets_2d.showcase()], "step": 0.4, "step_low": 0.02,
    "step_high": 8, "leaps": 10, "max_leaps": 40, "seed": 1, "max_steps": 10_000,
}  # fmt: skip


def grid(target):
    axes = [np.linspace(low, high, 15) for low, high in target.window]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.name}{t.log_density.args}")
def test_densities_and_gradients_are_those_of_the_package(target):
    points = grid(target)
    call = "(() => { const p = M.target(t); return x.map((v) => [p.log(v), ...p.gradient(v)]); })()"
    ours = np.array(in_node(MODULE, call, t=described(target), x=points.tolist()))
    with jax.enable_x64(True):
        value = jax.vmap(jax.value_and_grad(target.log_density))
        log, gradient = (np.asarray(a) for a in value(jax.numpy.asarray(points)))
    exact = np.column_stack([log, gradient])
    assert (np.abs(ours - exact) <= 1e-6 * np.maximum(1, np.abs(exact))).all()
    # Mutation: one parameter a thousandth off is seen.
    wrong = described(target)
    wrong["parameters"][0] *= 1.001
    other = np.array(in_node(MODULE, call, t=wrong, x=points.tolist()))
    assert (np.abs(other - exact) > 1e-6 * np.maximum(1, np.abs(exact))).any()


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.name}{t.log_density.args}")
def test_marginals_are_the_integrals_of_the_densities(target):
    x = np.linspace(*target.window[0], 21)
    # In the funnel, the second coordinate's scale is from 1/90 to 90.
    y = (
        np.sinh(np.linspace(-9, 9, 20_001))
        if target.name == "funnel"
        else np.linspace(-20, 40, 6001)
    )
    call = "(() => { const p = M.target(t); return [x.map(p.marginal), p.mean]; })()"
    marginal, mean = in_node(MODULE, call, t=described(target), x=x.tolist())
    with jax.enable_x64(True):
        points = jax.numpy.stack(jax.numpy.meshgrid(x, y, indexing="ij"), axis=-1)
        logs = jax.vmap(jax.vmap(target.log_density))(points)
    integral = np.trapezoid(np.exp(np.asarray(logs)), y, axis=1)
    np.testing.assert_allclose(marginal, integral, rtol=1e-6, atol=1e-12)
    assert mean == pytest.approx(target.mean[0], abs=1e-12)


MOMENTS = """(() => { const p = M.target(t), chain = M.begin(p, s), n = draws / batches;
  for (let i = 0; i < 500; i++) chain.advance();
  return Array.from({ length: batches }, () => {
    const sums = [0, 0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      chain.advance();
      const [x, y] = chain.x;
      [x, y, x * x, y * y, x * y].forEach((v, k) => { sums[k] += v / n; });
    }
    return sums; }); })()"""


def scores(module, target, settings):
    """t statistics of five moments, by batch means, against the exact ones."""
    batches = np.array(in_node(
        module, MOMENTS, t=described(target), s=settings, draws=DRAWS, batches=BATCHES
    ))  # fmt: skip
    covariance = 0.9 if target is NORMAL else 0.0  # the banana's is E[x³ − x] = 0
    exact = [*target.mean, *np.square(target.sd), covariance]
    mcse = batches.std(axis=0, ddof=1) / np.sqrt(BATCHES)
    # Batches are long enough to be nearly independent.
    lagged = [np.corrcoef(b[:-1], b[1:])[0, 1] for b in batches.T]
    assert np.max(lagged) < 0.5
    return (batches.mean(axis=0) - exact) / mcse


@pytest.mark.parametrize("target", [NORMAL, BANANA], ids=lambda t: t.name)
@pytest.mark.parametrize("name", SAMPLERS)
def test_each_sampler_keeps_the_moments(name, target):
    settings = SAMPLERS[name]
    if target is BANANA and settings["sampler"] in ("hmc", "mala"):
        settings = {**settings, "step": settings["step"] / 2}
    assert np.abs(scores(MODULE, target, settings)).max() < LIMIT


MUTANTS = {
    "walk accepts too much": ("walk", "accepts(log - state.log, random), dens",
                              "accepts(0.5 * (log - state.log), random), dens"),
    "MALA without Hastings' correction": ("mala", "log - state.log + hastings", "log - state.log"),
    "HMC forgets the kinetic energy": ("hmc", "+ kinetic - square(momentum) / 2", ""),
    "slice draws its height too high": (
        "slice", "log + Math.log1p(-random())", "log + 0.8 * Math.log1p(-random())"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_moments_tell_broken_samplers(mutant, tmp_path):
    name, old, new = MUTANTS[mutant]
    source = (FIGURES / MODULE).read_text("utf8")
    assert source.count(old) == 1
    (tmp_path / MODULE).write_text(source.replace(old, new), "utf8")
    (tmp_path / "stats.js").write_text((FIGURES / "stats.js").read_text("utf8"), "utf8")
    (tmp_path / "package.json").write_text('{"type": "module"}', "utf8")
    assert np.abs(scores(tmp_path / MODULE, NORMAL, SAMPLERS[name])).max() > 1.5 * LIMIT


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_decides_everything_and_costs_are_those_incurred(name):
    call = """(() => { const counted = () => { const p = M.target(t); let logs = 0, gradients = 0;
        const q = { ...p, log: (x) => { logs++; return p.log(x); },
          gradient: (x) => { gradients++; return p.gradient(x); } };
        const { draws, chain } = M.run(q, s, 50);
        return { draws, chain: [chain.densities, chain.gradients], true: [logs, gradients],
          accepted: chain.accepted, mean: chain.sum / chain.steps }; };
      return [counted(), counted(), M.run(M.target(t), { ...s, seed: 99 }, 50).draws]; })()"""
    first, again, other = in_node(MODULE, call, t=described(BANANA), s=SAMPLERS[name])
    assert first == again
    assert first["draws"] != other
    assert first["chain"] == first["true"]
    draws = np.array(first["draws"])
    assert first["mean"] == pytest.approx(draws[:, 0].mean(), abs=1e-12)
    start = described(BANANA)["start"]
    moved = (np.diff(np.vstack([start, draws]), axis=0) != 0).any(axis=1)
    assert first["accepted"] == moved.sum()
    gradient_calls = {"walk": 0, "slice": 0, "mala": 51, "hmc": 251}
    assert first["chain"][1] == gradient_calls[name]


def test_acceptance_rate_of_the_walk_is_the_known_one():
    # By simple Monte Carlo from exact draws of a round normal.
    flat = targets_2d.correlated_normal(0.0)
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 10**6, 2))
    ratio = ((x**2).sum(1) - ((x + 1.5 * z) ** 2).sum(1)) / 2
    exact = np.minimum(1, np.exp(ratio)).mean()
    call = "(() => { const r = M.run(M.target(t), s, n); return r.chain.accepted / n; })()"
    settings = {**SAMPLERS["walk"], "step": 1.5}
    found = in_node(MODULE, call, t=described(flat), s=settings, n=100_000)
    # The share's error is at most some four times that of independent trials.
    assert found == pytest.approx(exact, abs=6 * 2 * np.sqrt(0.25 / 100_000))


def test_leapfrog_keeps_the_energy_and_a_wild_step_is_a_divergence():
    small = {"sampler": "hmc", "step": 0.001, "leaps": 20, "seed": 1}
    tried = in_node(MODULE, "M.begin(M.target(t), s).advance()", t=described(BANANA), s=small)
    assert tried["accepted"] is True
    assert len(tried["path"]) == 21
    wild = {**small, "step": 8, "leaps": 40}
    tried = in_node(MODULE, "M.begin(M.target(t), s).advance()", t=described(BANANA), s=wild)
    assert tried["accepted"] is False
    assert tried["diverged"] is True


def test_normals_are_normal():
    script = (
        "Array.from({ length: 50 }, (_, k) => M.run(M.target(t), { ...s, seed: k }, 1).draws[0])"
    )
    flat = described(targets_2d.correlated_normal(0.0), start=[0.0, 0.0])
    draws = np.array(
        in_node(MODULE, script, t=flat, s={"sampler": "walk", "step": 0.001, "leaps": 1})
    )
    # From the mode, tiny moves are all but always accepted: draws are the normal moves themselves,
    # one for each seed.
    moved = draws[(draws != 0).any(axis=1)] / 0.001
    assert len(moved) >= 48
    assert stats.kstest(moved.ravel(), "norm").pvalue > 1e-4


def test_histogram_has_area_one_where_all_is_inside():
    values = np.random.default_rng(1).uniform(-1, 1, 500)
    heights = in_node(MODULE, "[...M.histogram(v, -1, 1, 20)]", v=values.tolist())
    expected, _ = np.histogram(values, bins=20, range=(-1, 1), density=True)
    np.testing.assert_allclose(heights, expected, rtol=1e-12)
    half = in_node(MODULE, "[...M.histogram(v, -3, 0, 20)]", v=values.tolist())
    assert np.sum(half) * 3 / 20 == pytest.approx((values < 0).mean(), abs=1e-12)


def test_surface_spans_the_window_relative_to_its_top():
    call = "M.surface(M.target(t), 21)"
    for target in (BANANA, targets_2d.funnel()):
        found = in_node(MODULE, call, t=described(target))
        assert [[found[k][0], found[k][-1]] for k in ("xs", "ys")] == [
            list(w) for w in target.window
        ]
        values = numbers(found["values"])
        assert values.max() == pytest.approx(1)
        points = np.stack(np.meshgrid(found["xs"], found["ys"]), axis=-1).reshape(-1, 2)
        logs = np.asarray(jax.vmap(target.log_density)(points))
        np.testing.assert_allclose(values, np.exp(logs - logs.max()), rtol=1e-3, atol=1e-30)


FIRST = SETTINGS["targets"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": []}, "targets must hold at least one target"),
        ({"targets": [{**FIRST, "name": "doughnut"}]}, "name must be one of .*, got doughnut"),
        ({"targets": [{**FIRST, "parameters": [1]}]}, "correlation must be between .*, got 1"),
        ({"targets": [{**FIRST, "start": [9, 0]}]}, "start must be between -3.5 and 3.5, got 9"),
        (
            {"targets": [{**FIRST, "limits": [[1, 1], [0, 1]]}]},
            "limits must go upwards, got 1 to 1",
        ),
        ({"step": 0}, "step must be between 0.02 and 8, got 0"),
        ({"step_low": None}, "step_low must be between .*, got null"),
        ({"step_high": 0.01}, "step_high must be between .*, got 0.01"),
        ({"leaps": 41}, "leaps must be between 1 and 40, got 41"),
        ({"leaps": 1.5}, "leaps must be a whole number, got 1.5"),
        ({"seed": -1}, "seed must be between 0 and 9999, got -1"),
        ({"max_steps": 0}, "max_steps must be between .*, got 0"),
    ],
)
def test_bad_settings_are_named(change, message):
    call = "(() => { try { M.checked(s); } catch (e) { return e.message; } })()"
    found = in_node(MODULE, call, s={**SETTINGS, **change})
    assert re.fullmatch(message, found), found
    assert (
        in_node(MODULE, call.replace("M.checked(s);", "M.checked(s); return 1;"), s=SETTINGS) == 1
    )
