"""Each target in the plane is normalised, and its draws have its law."""

import jax
import numpy as np
import pytest
from scipy import stats

from bnnbook.models import targets_2d

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(0)
CONTINUOUS = [
    targets_2d.correlated_normal(),
    targets_2d.banana(0.7),
    targets_2d.funnel(1.0),
    targets_2d.two_bumps(),
    targets_2d.wedge(),
    targets_2d.unbounded_wedge(),
    targets_2d.student_t(5.0),
]
WIDE = {"banana": (-6, 15), "funnel": (-80, 80), "Student t": (-60, 60), "wedge": (0, 30)}


def cells(target, num):
    """Midpoints of a fine grid, their densities times the area of a cell."""
    first = WIDE.get(target.name if target.name != "funnel" else "", (-12, 12))
    if target.name == "banana":
        first = (-6, 6)
    if target.name == "funnel":
        first = (-5, 5)
    second = WIDE.get(target.name, (-12, 12))
    if target.name == "wedge, unbounded":
        first = second = (-14, 5)
    edges = [np.linspace(*limits, num + 1) for limits in (first, second)]
    mid = np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in edges], indexing="ij")
    points = np.stack(mid, axis=-1).reshape(-1, 2)
    area = np.prod([e[1] - e[0] for e in edges])
    return points, np.exp(jax.jit(jax.vmap(target.log_density))(points)) * area


@pytest.mark.parametrize("target", CONTINUOUS, ids=lambda target: target.name)
def test_densities_integrate_to_one_with_the_moments_that_they_state(target):
    points, mass = cells(target, 1500)
    rough = 2e-2 if target.name in ("wedge", "funnel") else 2e-3  # a jump; a long tail
    assert mass.sum() == pytest.approx(1, abs=rough)
    mean = mass @ points
    np.testing.assert_allclose(mean, target.mean, atol=2 * rough)
    if target.name != "funnel":  # whose second moment is in the tail
        sd = np.sqrt(mass @ (points - mean) ** 2)
        np.testing.assert_allclose(sd, target.sd, rtol=2 * rough)


CENTRES = {
    "correlated normal": [(0.0, 0.0), (1.5, 1.5), (0.5, -0.5)],
    "banana": [(0.0, -0.7), (1.5, 1.0), (-2.0, 2.0)],
    "funnel": [(0.0, 0.0), (1.0, 2.0), (-1.0, 0.3)],
    "two bumps": [(-3.0, 0.0), (3.0, 1.0), (-4.0, -1.5)],
    "wedge": [(2.0, 1.0), (4.0, 0.8), (4.0, 3.2)],
    "wedge, unbounded": [(0.0, 0.0), (-1.0, 1.0), (-2.0, 0.5)],
    "Student t": [(0.0, 0.0), (2.0, 1.0), (-3.0, 0.0)],
}


@pytest.mark.parametrize("target", CONTINUOUS, ids=lambda target: target.name)
def test_draws_have_the_density(target):
    """The mean of q(x) / p(x) over draws from p is one for any narrow density q inside."""

    def z_scores(draws):
        log_p = np.asarray(jax.jit(jax.vmap(target.log_density))(draws))
        log_q = [stats.norm.logpdf(draws, c, 0.15).sum(axis=1) for c in CENTRES[target.name]]
        ratios = [np.exp(q - np.where(np.isfinite(log_p), log_p, np.inf)) for q in log_q]
        return [(r.mean() - 1) / (r.std() / np.sqrt(len(r))) for r in ratios]

    draws = np.asarray(target.draws(KEY, 100_000))
    assert np.abs(z_scores(draws)).max() < 4.5
    assert np.abs(z_scores(1.2 * draws)).max() > 4.5  # mutation: draws that are a fifth too wide


def test_the_lattice_is_normalised_and_drawn_right():
    target = targets_2d.lattice()
    table = targets_2d.lattice_probabilities()
    points = np.indices(table.shape).reshape(2, -1).T
    np.testing.assert_allclose(np.exp(jax.vmap(target.log_density)(points)), table.ravel())
    assert table.sum() == pytest.approx(1)
    assert target.log_density(np.array([0, -1])) == -np.inf
    assert target.log_density(np.array([6, 0])) == -np.inf
    draws = np.asarray(target.draws(KEY, 20_000))
    counts = np.bincount(np.ravel_multi_index(draws.T, table.shape), minlength=table.size)
    assert stats.chisquare(counts, 20_000 * table.ravel()).pvalue > 1e-5
    assert abs(draws.mean(axis=0) - target.mean).max() < 0.06
    assert abs(draws.std(axis=0) - target.sd).max() < 0.06


def test_a_density_has_no_holes_where_its_scale_underflows():
    assert np.isfinite(targets_2d.funnel().log_density(np.array([-30.0, 1e-14])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: targets_2d.correlated_normal(1.0),
            "correlation must be strictly between",
        ),
        (lambda: targets_2d.banana(np.nan), "curvature must be a finite number"),
        (lambda: targets_2d.funnel(0.0), "sd must be positive"),
        (lambda: targets_2d.two_bumps(-1.0), "distance must be positive"),
        (lambda: targets_2d.two_bumps(1.0, 1.0), "weight must be strictly between 0 and 1"),
        (lambda: targets_2d.student_t(2.0), "dof must be above 2"),
        (lambda: targets_2d.wedge().draws(KEY, 0), "num_samples must be"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_four_are_shown():
    names = [target.name for target in targets_2d.showcase()]
    assert names == ["correlated normal", "banana", "funnel", "two bumps"]
