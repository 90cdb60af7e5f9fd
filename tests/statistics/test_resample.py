"""The bootstrap against closed forms, and what it draws."""

import numpy as np
import pytest

from palpate.core.errors import InputError
from palpate.statistics import resample
from palpate.statistics.differences import paired_difference
from palpate.statistics.resample import bootstrap, bootstrap_weights


def test_whole_groups_are_drawn_within_their_class():
    labels = np.repeat([0, 1], [30, 6])
    groups = np.arange(36) // 3
    weights = np.concatenate(list(bootstrap_weights(labels, groups, repetitions=200)))
    assert weights.shape == (200, 36)
    assert (weights[:, :30].sum(1) == 30).all()  # ten patients of three, drawn ten times
    assert (weights[:, 30:].sum(1) == 6).all()
    assert (weights.reshape(200, 12, 3).std(2) == 0).all()
    assert weights.max() > 1


def test_a_stratum_of_one_group_is_drawn_with_the_others_of_its_kind():
    labels = np.array([0, 1, 2, 3])
    weights = np.concatenate(list(bootstrap_weights(labels, repetitions=100)))
    assert (weights.sum(1) == 4).all()
    assert weights.std() > 0.5


def test_large_sets_are_drawn_in_chunks(monkeypatch):
    monkeypatch.setattr(resample, "CHUNK", 30)
    assert [weights.shape for weights in bootstrap_weights(np.zeros(10), repetitions=4)] == [(3, 10), (1, 10)]


def test_paired_clustered_bootstrap_of_a_difference_agrees_with_the_closed_form():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(150), 3)
    luck = np.repeat(rng.normal(size=150), 3) + rng.normal(size=450)
    a, b = luck > 0.2, luck + 0.5 * np.repeat(rng.normal(size=150), 3) > 0.1
    change = b.astype(float) - a
    value, low, high = bootstrap(lambda weights: weights @ change / weights.sum(1), np.zeros(450), groups)
    closed = paired_difference(a, b, groups)
    assert value == pytest.approx(closed.value)
    assert (low, high) == pytest.approx((closed.low, closed.high), abs=0.006)


def test_one_group_is_refused():
    with pytest.raises(InputError, match="one was given"):
        bootstrap(lambda weights: weights.sum(1), [0, 1], ["x", "x"])
