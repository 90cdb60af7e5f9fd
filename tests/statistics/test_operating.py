"""Operating points and calibration against scikit-learn, DeLong by hand, and simulated data of known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from tests.statistics.reference import wilson

from palpate.core.errors import InputError
from palpate.statistics.intervals import clustered_wilson
from palpate.statistics.operating import (
    auroc,
    brier,
    calibration_error,
    choose_threshold,
    probabilities,
    sensitivity_specificity,
)
from palpate.statistics.resample import bootstrap


def binormal(seed: int, n: int = 300, shift: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(int)
    return labels, rng.normal(shift * labels, 1)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=40))
def test_auroc_equals_scikit_learn_ties_included(rows):
    labels, scores = np.array(rows).T
    if len(set(labels.tolist())) < 2:
        with pytest.raises(InputError, match="one class"):
            auroc(labels, scores)
        return
    value, low, high = auroc(labels, scores)
    assert value == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0.05  # forty images leave it open


def test_auroc_interval_holds_exactly_the_areas_newcombe_does_not_reject():
    labels, scores = binormal(0)
    value, *limits = auroc(labels, scores)
    m, n = labels.sum(), (1 - labels).sum()
    half = (m + n) / 2 - 1
    for theta in limits:
        variance = theta * (1 - theta) * (1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)) / (m * n)
        assert abs(value - theta) == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)


def test_auroc_agrees_with_a_bootstrap_stratified_by_class():
    labels, scores = binormal(1)
    value, low, high = auroc(labels, scores)
    above = scores[labels == 1][:, None] > scores[labels == 0]

    def area(weights: np.ndarray) -> np.ndarray:
        first, second = weights[:, labels == 1], weights[:, labels == 0]
        return np.einsum("rp,pn,rn->r", first, above, second) / (first.sum(1) * second.sum(1))

    again, lower, upper = bootstrap(area, labels)
    assert again == pytest.approx(value)
    assert (low, high) == pytest.approx((lower, upper), abs=0.012)


def test_auroc_counts_patients_not_images():
    labels, scores = binormal(2, 100)
    fourfold = [np.repeat(x, 4) for x in (labels, scores, np.arange(100))]
    once, counted = auroc(labels, scores), auroc(*fourfold)
    assert counted[0] == pytest.approx(once[0])
    assert (counted[2] - counted[1]) / (once[2] - once[1]) == pytest.approx(1.0, abs=0.06)
    images = auroc(*fourfold[:2])
    assert (images[2] - images[1]) / (once[2] - once[1]) == pytest.approx(0.5, abs=0.05)


def test_perfect_separation_keeps_a_width_and_groups_widen_it():
    labels, scores = np.repeat([0, 1], 20), np.arange(40)
    alone, grouped = auroc(labels, scores), auroc(labels, scores, np.arange(40) // 4)
    assert alone[0] == alone[2] == 1.0
    assert grouped[1] < alone[1] < 0.95
    assert auroc(labels, -scores)[:2] == (0.0, 0.0)
    assert auroc(labels, scores, ["one"] * 40)[1] < 0.3


def test_threshold_is_youdens_and_the_same_as_on_the_roc_curve():
    labels, scores = binormal(3)
    threshold = choose_threshold(labels, scores)
    false_alarm, hit, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    (sensitivity, *_), (specificity, *_) = sensitivity_specificity(labels, scores, threshold)
    assert sensitivity + specificity - 1 == pytest.approx((hit - false_alarm).max())


def test_threshold_lies_between_two_scores():
    assert choose_threshold([0, 0, 1, 1], [0.0, 1.0, 3.0, 4.0]) == 2.0
    assert choose_threshold([1, 0], [0.0, 1.0]) == 0.0  # useless scores: everything is called disease


def test_sensitivity_and_specificity_are_counts_with_clustered_wilson():
    labels, scores = np.repeat([1, 0], [10, 30]), np.r_[np.arange(10), np.arange(30) - 25]
    sensitivity, specificity = sensitivity_specificity(labels, scores, 2)
    assert sensitivity == pytest.approx((0.8, *wilson(8, 10)))
    assert specificity == pytest.approx((0.9, *wilson(27, 30)))
    groups = np.arange(40) // 2
    assert sensitivity_specificity(labels, scores, 2, groups)[0][1:] == clustered_wilson(
        np.arange(10) >= 2, groups[:10]
    )


def test_brier_equals_scikit_learn():
    rng = np.random.default_rng(4)
    p, labels = rng.random(200), rng.integers(0, 2, 200)
    value, low, high = brier(labels, np.stack([1 - p, p], 1))
    assert value == pytest.approx(metrics.brier_score_loss(labels, p))
    error = (p - labels) ** 2
    assert (high - low) / 2 == pytest.approx(1.972 * error.std(ddof=1) / np.sqrt(200), rel=1e-3)


def test_brier_of_several_classes_sums_over_them():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    assert brier([0, 0], p)[0] == pytest.approx((0.25 + 0.09 + 0.04 + 0.81 + 0.01 + 0.64) / 2)


def test_brier_of_one_patient_leaves_everything_possible():
    assert brier([0, 1], [[0.5, 0.5]] * 2, ["x", "x"]) == (0.25, 0.0, 1.0)


def test_calibration_error_by_hand():
    # Confidence .9 with 3 of 4 right, .6 with 1 of 4 right: (4·.15 + 4·.35) / 8
    p = np.repeat([0.9, 0.6], 4)
    labels = np.array([1, 1, 1, 0, 1, 0, 0, 0])
    assert calibration_error(labels, np.stack([1 - p, p], 1))[0] == pytest.approx(0.25)


def test_calibrated_and_distorted_models_are_told_apart():
    rng = np.random.default_rng(5)
    p = rng.random(2000)
    said = np.stack([1 - p, p], 1)
    value, low, high = calibration_error((rng.random(2000) < p).astype(int), said)
    assert value > 0.005  # never 0 on a sample, however well calibrated
    assert low == 0.0
    assert high < 0.05
    _, low, high = calibration_error((rng.random(2000) < p + 0.4 * (0.5 - p)).astype(int), said)
    assert 0.05 < low < 0.1 < high  # truly .1


def test_certain_and_right_keeps_a_width():
    value, low, high = calibration_error([1] * 10, [[0.0, 1.0]] * 10)
    assert (value, low) == (0.0, 0.0)
    assert high == pytest.approx(1 - wilson(10, 10)[0])


def test_intervals_repeat_with_the_seed():
    rng = np.random.default_rng(6)
    p = rng.random(60)
    said, labels = np.stack([1 - p, p], 1), rng.integers(0, 2, 60)
    assert calibration_error(labels, said, seed=1) == calibration_error(labels, said, seed=1)
    assert calibration_error(labels, said, seed=1) != calibration_error(labels, said, seed=2)


@given(st.lists(st.floats(-800, 800), min_size=1, max_size=5))
def test_probabilities_of_any_logits_sum_to_one(logits):
    p = probabilities([logits])
    assert p.shape == (1, max(len(logits), 2))
    assert p.sum() == pytest.approx(1)
    if len(logits) == 1:
        assert p[0, 1] == pytest.approx(probabilities([[0.0, logits[0]]])[0, 1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: auroc([0, 1], [0.0, np.nan]), "finite"),
        (lambda: auroc([0, 2], [0.0, 1.0]), "0 and 1"),
        (lambda: auroc([0, 1], [0.0]), "one per label"),
        (lambda: choose_threshold([1, 1], [0.0, 1.0]), "one class"),
        (lambda: brier([0, 1], [[2.0, 1.0]] * 2), "softmax"),
        (lambda: brier([0, 5], [[0.5, 0.5]] * 2), "labels from 0"),
        (lambda: brier([0], [0.5]), "N, K"),
        (lambda: calibration_error([0, 1], [[0.5, 0.5]] * 2, ["x", "x"]), "two patients"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
