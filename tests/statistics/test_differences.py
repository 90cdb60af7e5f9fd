"""Tests and intervals for differences, against scipy, enumeration, hand-worked cases and simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from palpate.core.errors import InputError
from palpate.statistics.differences import holm, mean_interval, paired_difference, sign_flip
from palpate.statistics.intervals import clustered_wilson


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact, from the images that only one of two models gets right."""
    return stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0


@given(st.integers(0, 120), st.integers(0, 120))
def test_sign_flip_of_single_images_is_mcnemar(only_a, only_b):
    flipped = sign_flip([-1] * only_a + [1] * only_b + [0] * 5)
    assert flipped == pytest.approx(max(mcnemar(only_a, only_b), 1e-12), abs=1e-12)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=10))
def test_sign_flip_counts_every_sign(totals):
    sums = [abs(np.dot(signs, totals)) for signs in itertools.product([-1, 1], repeat=len(totals))]
    assert sign_flip(totals) == pytest.approx(np.mean(np.array(sums) >= abs(sum(totals))), abs=1e-12)


def test_sign_flip_never_gives_less_than_its_rounding_allows():
    assert sign_flip([1] * 100) == 1e-12  # truly 2⁻⁹⁹
    assert sign_flip([1] * 30) == pytest.approx(2.0**-29, rel=1e-4)


def test_holm_equals_a_hand_worked_case():
    # Holm 1979 by hand: .005·4, .01·3, .03·2, .04·1 → running maximum .02, .03, .06, .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p):
    rejected, order = set(), np.argsort(p, kind="stable")
    for rank, place in enumerate(order):
        if p[place] * (len(p) - rank) >= 0.05:
            break
        rejected.add(int(place))
    assert set(np.flatnonzero(holm(p) < 0.05).tolist()) == rejected


def test_one_run_each_is_bonett_and_price_with_exact_mcnemar():
    a = np.array([1] * 60 + [0] * 40)
    b = a.copy()
    b[:3], b[60:75] = 0, 1  # only a: 3, only b: 15
    found = paired_difference(a, b)
    p12, p21 = 16 / 102, 4 / 102
    half = 1.959964 * np.sqrt((p12 + p21 - (p12 - p21) ** 2) / 102)
    assert (found.value, found.p, found.architectures) == (0.12, pytest.approx(mcnemar(3, 15)), False)
    assert (found.low, found.high) == pytest.approx((p12 - p21 - half, p12 - p21 + half))


def test_models_that_agree_everywhere_keep_a_width():
    found = paired_difference(np.ones(20), np.ones(20))
    assert (found.value, found.p) == (0.0, 1.0)
    assert found.low < -0.05
    assert found.high > 0.05


def test_one_patient_of_many_images_shows_nothing():
    a, b = np.zeros(30), np.ones(30)
    found = paired_difference(a, b, ["x"] * 30)
    assert found.p == 1.0
    assert found.low <= 0 <= found.high
    assert paired_difference(a, b).p < 1e-6


def test_groups_widen_the_interval_and_raise_p():
    rng = np.random.default_rng(0)
    change = np.repeat(rng.choice([-1, 0, 0, 1, 1], 50), 6)
    a, b = (change < 0).astype(int), (change > 0).astype(int)
    groups = np.repeat(np.arange(50), 6)
    apart, together = paired_difference(a, b), paired_difference(a, b, groups)
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(np.sqrt(6), rel=0.05)
    assert together.p > apart.p


def test_without_images_noise_seeds_give_welch():
    """Every image right or wrong by a fine grid makes the seed means what they are; images add almost nothing at N large."""
    n = 200_000
    rank = (np.arange(n) + 0.5) / n
    means = [np.array([0.60, 0.63, 0.66]), np.array([0.68, 0.70, 0.76])]
    a, b = (rank < mean[:, None] for mean in means)
    found = paired_difference(a, b)
    welch = stats.ttest_ind(means[1], means[0], equal_var=False)
    limits = welch.confidence_interval()
    assert found.architectures
    assert found.value == pytest.approx(0.08333, abs=1e-4)
    assert found.p == pytest.approx(welch.pvalue, rel=0.02)
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), abs=2e-3)


def test_seeds_never_make_an_interval_narrower_than_the_images_alone():
    rng = np.random.default_rng(3)
    for _ in range(50):
        a, b = rng.random((2, 3, 40)) < 0.5
        two_level = paired_difference(a, b)
        images = paired_difference(a.mean(0), b.mean(0))
        assert two_level.high - two_level.low >= images.high - images.low - 1e-12


def test_one_run_on_a_side_is_no_claim_about_architectures():
    rng = np.random.default_rng(4)
    assert not paired_difference(rng.random(50) < 0.5, rng.random((3, 50)) < 0.5).architectures


def test_different_numbers_of_images_are_refused():
    with pytest.raises(InputError, match="align"):
        paired_difference(np.ones(3), np.ones(4))
    with pytest.raises(InputError, match="a, b"):
        paired_difference(np.ones(0), np.ones(0))


def test_mean_interval_of_one_run_is_clustered_wilson():
    correct, groups = np.arange(60) % 3 > 0, np.repeat(np.arange(20), 3)
    assert mean_interval(correct, groups) == clustered_wilson(correct, groups)


def test_mean_interval_of_runs_is_student_on_their_means():
    n = 100_000
    means = np.array([0.5, 0.54, 0.55])
    low, high = mean_interval((np.arange(n) + 0.5) / n < means[:, None])
    expected = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    assert (low, high) == pytest.approx(expected, abs=3e-3)
