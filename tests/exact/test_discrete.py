"""Laws of Bayes' theorem over finitely many hypotheses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bnnbook.exact import discrete
from bnnbook.references import reference

NUM_HYPOTHESES = 5


@st.composite
def problems(draw):
    weights = draw(hnp.arrays(float, NUM_HYPOTHESES, elements=st.floats(0.01, 1.0)))
    rows = draw(st.integers(1, 8))
    log_likelihoods = draw(
        hnp.arrays(float, (rows, NUM_HYPOTHESES), elements=st.floats(-300.0, 5.0))
    )
    return weights / weights.sum(), log_likelihoods


@given(problems())
def test_posterior_is_the_normalised_product(problem):
    prior, rows = problem
    posterior = discrete.update(prior, rows[0] / 10)
    joint = prior * np.exp(rows[0] / 10)
    np.testing.assert_allclose(posterior.probabilities, joint / joint.sum(), rtol=1e-10)
    assert posterior.log_evidence == pytest.approx(np.log(joint.sum()), abs=1e-10)


@given(problems())
def test_sequential_updating_equals_batch(problem):
    prior, rows = problem
    steps = discrete.update_sequentially(prior, rows)
    batch = discrete.update(prior, rows.sum(axis=0))
    # Likely hypotheses agree closely; one that a datum drove below 1e-300 may underflow on the way.
    np.testing.assert_allclose(
        np.exp(steps.log_probabilities[-1]), batch.probabilities, rtol=1e-9, atol=1e-12
    )


@given(problems(), st.randoms(use_true_random=False))
def test_order_of_the_data_is_irrelevant(problem, random):
    prior, rows = problem
    shuffled = rows[random.sample(range(len(rows)), len(rows))]
    one, other = (discrete.update(prior, r.sum(axis=0)).probabilities for r in (rows, shuffled))
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-300)


def test_evidence_is_the_product_of_one_step_ahead_predictives():
    rng = np.random.default_rng(1)
    prior, rows = np.full(4, 0.25), rng.normal(-2.0, 1.0, (12, 4))
    evidence = discrete.update(prior, rows.sum(axis=0)).log_evidence
    steps = discrete.update_sequentially(prior, rows)
    assert steps.log_predictives.sum() == pytest.approx(evidence, abs=1e-10)
    # Mutation: predicting every datum from the prior alone gives another number.
    unlearnt = sum(discrete.update(prior, row).log_evidence for row in rows)
    assert abs(unlearnt - evidence) > 0.1


def test_medical_test_gives_the_published_answer():
    inputs = {k: reference(f"mammography.{k}").value for k in ("prevalence", "hit", "false_alarm")}
    prior = [inputs["prevalence"], 1 - inputs["prevalence"]]
    posterior = discrete.update(prior, np.log([inputs["hit"], inputs["false_alarm"]]))
    published = reference("mammography.posterior").value
    assert posterior.probabilities[0] == pytest.approx(published, abs=5e-4)
    # Mutation: the reversed conditional, which most physicians answered.
    assert abs(inputs["hit"] - published) > 0.5


def test_thousands_of_data_do_not_underflow():
    log_likelihood = np.array([-1e5, -1e5 - 2.0])
    posterior = discrete.update([0.5, 0.5], log_likelihood)
    expected = 1 / (1 + np.exp(-2.0))
    assert posterior.probabilities[0] == pytest.approx(expected, abs=1e-10)
    # Mutation: without logarithms nothing is left.
    assert np.exp(log_likelihood).sum() == 0.0


def test_no_data_can_revive_a_hypothesis_of_prior_zero():
    posterior = discrete.update([0.0, 1.0], [0.0, -1e4])
    assert posterior.probabilities.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("prior", "log_likelihood", "message"),
    [
        ([], [], "prior must have at least 1"),
        ([0.5, 0.6], [0.0, 0.0], r"prior must be probabilities .* sum 1\.1"),
        ([1.5, -0.5], [0.0, 0.0], "prior must be probabilities"),
        ([0.5, np.nan], [0.0, 0.0], r"prior must be finite everywhere, got nan at index \[1\]"),
        ([0.5, 0.5], [0.0, np.nan], r"log_likelihood must be finite everywhere, got nan"),
        ([0.5, 0.5], [0.0, np.inf], r"log_likelihood must be finite everywhere, got inf"),
        ([0.5, 0.5], [0.0], "prior and log_likelihood must have the same length"),
        ([0.5, 0.5], [-np.inf, -np.inf], "got likelihood zero for all 2 of them"),
        ([0.0, 1.0], [0.0, -np.inf], "got likelihood zero for all 1 of them"),
        ([0.5, 0.5], ["a", "b"], "log_likelihood must be an array of real numbers"),
    ],
)
def test_bad_input_is_named(prior, log_likelihood, message):
    with pytest.raises(ValueError, match=message):
        discrete.update(prior, log_likelihood)


def test_sequential_needs_data():
    with pytest.raises(ValueError, match="log_likelihoods must have"):
        discrete.update_sequentially([0.5, 0.5], np.empty((0, 2)))
