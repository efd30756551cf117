"""A split is a partition of the rows, and every row is as likely as any other to be held out."""

import copy
import pickle

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bnnbook.datasets import concrete
from bnnbook.datasets.splits import AlreadyReadError, HeldOut, published_splits, train_test_split
from bnnbook.exact import least_squares
from bnnbook.references import reference


@given(st.integers(0, 2**31), st.sampled_from([2, 3, 10, 434]), st.floats(0.3, 0.7))
def test_a_split_is_a_partition(seed: int, num_rows: int, test_fraction: float) -> None:
    train, test = train_test_split(jax.random.key(seed), num_rows, test_fraction)
    assert sorted([*train, *test]) == list(range(num_rows))
    assert len(test) == round(num_rows * test_fraction)


def held_out_p_value(first_rows_only: bool) -> float:
    """Chi-squared p value of 'each of 10 rows is held out equally often', 400 splits."""
    tests = [train_test_split(jax.random.key(k), 10, 0.3)[1] for k in range(400)]
    counts = np.bincount(np.concatenate(tests), minlength=10)
    if first_rows_only:  # the mutation: a split that never shuffles
        counts = np.where(np.arange(10) < 3, 400, 0)
    # Each count has variance 400 · 0.3 · 0.7, and any two have correlation −1/9, because rows of
    # one split exclude each other: on contrasts the covariance is 10/9 of that variance.
    statistic = ((counts - 120) ** 2).sum() / (400 * 0.3 * 0.7 * 10 / 9)
    return float(stats.chi2(9).sf(statistic))


def test_every_row_is_held_out_equally_often() -> None:
    assert held_out_p_value(first_rows_only=False) > 1e-4


def test_an_unshuffled_split_is_seen() -> None:
    assert held_out_p_value(first_rows_only=True) < 1e-4


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, float("nan")])
def test_bad_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match="test_fraction must be strictly between 0 and 1"):
        train_test_split(jax.random.key(0), 10, fraction)


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ValueError, match="test_fraction must be such that both parts of 10 rows"):
        train_test_split(jax.random.key(0), 10, 0.01)


def test_too_few_rows() -> None:
    with pytest.raises(ValueError, match="num_rows must be a whole number of at least 2, got 1"):
        train_test_split(jax.random.key(0), 1, 0.5)


def test_published_splits_are_those_of_the_papers() -> None:
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    try:
        for train, test in published_splits(1030, 20):
            order = np.random.choice(range(1030), 1030, replace=False)  # noqa: NPY002
            assert (np.concatenate([train, test]) == order).all()
            assert len(train) == round(0.9 * 1030)
    finally:
        np.random.set_state(before)  # noqa: NPY002


def test_published_splits_leave_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = published_splits(50, 2)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    for one, other in zip(first, published_splits(50, 5), strict=False):
        assert (one[0] == other[0]).all()
    assert (published_splits(50, 1, seed=2)[0][0] != first[0][0]).any()


def linear_on_concrete(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Test RMSE and log likelihood, by least squares with its residual sd, of each split."""
    table = concrete.load()
    data = np.column_stack([np.ones(table.num_rows), table.matrix()])
    found = []
    for train, test in published_splits(table.num_rows, seed=seed):
        fit = least_squares.fit(data[train, :-1], data[train, -1])
        error = data[test, -1] - least_squares.predict(fit.coefficients, data[test, :-1])
        log_density = stats.norm.logpdf(error, 0, fit.residual_sd).mean()
        found.append((np.sqrt(np.mean(error**2)), log_density))
    return tuple(np.array(found).T)


def test_linear_regression_on_the_published_splits_of_concrete() -> None:
    rmse, log_likelihood = linear_on_concrete(seed=1)
    published = reference("concrete-linear.rmse")
    assert rmse.mean() == pytest.approx(published.value, abs=5e-4)
    assert rmse.std() / np.sqrt(20) == pytest.approx(published.standard_error, abs=5e-4)
    mean = reference("concrete-linear.log_likelihood").value
    assert log_likelihood.mean() == pytest.approx(mean, abs=6e-4)


def test_other_splits_give_other_numbers() -> None:
    """Mutation: twenty splits of another seed."""
    assert (
        abs(linear_on_concrete(seed=2)[0].mean() - reference("concrete-linear.rmse").value) > 0.01
    )


def test_held_out_values_are_read_once() -> None:
    sealed = HeldOut([1.0, 2.0, 3.0], name="y_test")
    assert len(sealed) == 3
    assert "2.0" not in repr(sealed)
    for copied in (sealed, copy.copy(sealed), copy.deepcopy(sealed)):
        assert copied.opened_by is None
    assert sealed.unseal("scores").tolist() == [1.0, 2.0, 3.0]
    for again in (sealed, copy.copy(sealed), copy.deepcopy(sealed)):
        with pytest.raises(AlreadyReadError, match="y_test may be read once, which scores did"):
            again.unseal("a second look")
    assert "read by scores" in repr(sealed)


def test_held_out_values_cannot_be_had_by_the_back_door() -> None:
    sealed = HeldOut(np.arange(3), name="labels")
    for attempt in (np.asarray, np.mean, pickle.dumps, lambda h: np.asarray([h]) + 1.0):
        with pytest.raises(TypeError, match=r"sealed|unsupported"):
            attempt(sealed)
    assert sealed.opened_by is None
    with pytest.raises(ValueError, match="read-only"):
        sealed.unseal("scores")[0] = 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: published_splits(1), "num_rows must be a whole number of at least 2, got 1"),
        (lambda: published_splits(9, 0), "num_splits must be a whole number of at least 1"),
        (lambda: published_splits(9, 1, 1.0), "train_fraction must be strictly between 0 and 1"),
        (lambda: published_splits(9, 1, 0.99), "both parts of 9 rows have a row"),
        (lambda: published_splits(9, 1, 0.9, -1), "seed must be a whole number of at least 0"),
        (lambda: HeldOut([]), "held_out must be an array with at least one value"),
        (lambda: HeldOut([1.0, np.nan], "y_test"), r"y_test must be finite .* got nan at index"),
        (lambda: HeldOut([1.0]).unseal(""), "reader must be the name of who reads"),
    ],
)
def test_bad_input_is_named(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
