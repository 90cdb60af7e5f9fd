"""Intervals against scipy, scikit-learn and closed forms, and their coverage of a known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score
from tests.statistics.reference import wilson

from palpate.core.errors import InputError
from palpate.statistics.intervals import (
    balanced_accuracy_interval,
    clustered_wilson,
    majority_rate,
)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_clustered_wilson_is_wilson_where_no_group_repeats(counts, level):
    hits, n = counts
    for groups in (None, np.arange(n)):
        low, high = clustered_wilson(np.arange(n) < hits, groups, level)
        assert (low, high) == pytest.approx(wilson(hits, n, level), abs=1e-12)
        assert hits > 0 or low == 0.0
        assert hits < n or high == 1.0


def test_level_must_be_a_share():
    with pytest.raises(InputError, match="level"):
        clustered_wilson([True, False], level=95)


def test_copies_of_an_image_are_no_new_evidence():
    correct = np.arange(100) % 4 > 0
    fourfold = clustered_wilson(np.repeat(correct, 4), np.repeat(np.arange(100), 4))
    once = wilson(75, 100)
    ratio = (fourfold[1] - fourfold[0]) / (once[1] - once[0])
    assert 1 < ratio < 1.06  # Student's quantile, and 8 % more design effect for being seen in 25 groups


def test_all_correct_falls_back_to_the_worst_case():
    assert clustered_wilson([1] * 12, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]) == pytest.approx(wilson(4, 4))
    assert clustered_wilson([1] * 9, ["a"] * 9) == pytest.approx(wilson(1, 1))
    low, high = clustered_wilson([1, 1, 0], ["a"] * 3)  # one patient, mixed: still a proper, wide interval
    assert high - low > 0.7


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=60))
def test_balanced_accuracy_and_interval_on_anything(rows):
    labels, predictions, groups = (np.array(column) for column in zip(*rows, strict=True))
    value, low, high = balanced_accuracy_interval(labels, predictions, groups)
    recalls = [np.mean(predictions[labels == k] == k) for k in np.unique(labels)]
    assert value == pytest.approx(np.mean(recalls))
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0.05


def test_balanced_accuracy_equals_scikit_learn():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 7, (2, 500))
    found = balanced_accuracy_interval(labels, predictions)[0]
    assert found == pytest.approx(balanced_accuracy_score(labels, predictions))


def test_no_error_of_ten_keeps_a_width():
    labels = np.repeat([0, 1], [10, 200])
    _, low, high = balanced_accuracy_interval(labels, labels)
    assert high == 1.0
    assert 1 - low == pytest.approx(np.hypot(1 - wilson(10, 10)[0], 1 - wilson(200, 200)[0]) / 2)


def test_constant_prediction_shows_no_signal():
    labels = np.repeat([0, 1], [900, 100])
    value, low, high = balanced_accuracy_interval(labels, np.zeros(1000, int))
    assert low < value == 0.5 < high


def test_a_patient_with_both_classes_correlates_the_recalls():
    """Right or wrong by patient: both recalls rise and fall together, so the interval is wider than if they did not."""
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(100), 2)
    labels = np.tile([0, 1], 100)
    predictions = np.where(np.repeat(rng.random(100) < 0.7, 2), labels, 1 - labels)
    _, low, high = balanced_accuracy_interval(labels, predictions, patients)
    _, low_apart, high_apart = balanced_accuracy_interval(labels, predictions)
    assert (high - low) / (high_apart - low_apart) == pytest.approx(np.sqrt(2), rel=0.02)


def test_majority_rate():
    assert majority_rate(["a", "b", "a", "a"]) == 0.75


def test_mistakes_are_named():
    with pytest.raises(InputError, match="labels"):
        majority_rate([])
    with pytest.raises(InputError, match="predictions"):
        balanced_accuracy_interval([0, 1], [0])
    with pytest.raises(InputError, match="groups"):
        balanced_accuracy_interval([0, 1], [0, 1], [0])
    with pytest.raises(InputError, match="correct"):
        clustered_wilson([0.5, 1.0])
