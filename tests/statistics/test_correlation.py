"""Rank correlation: SciPy's value, ties and infinities, intervals that cover, patients that count once."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from palpate.core.errors import InputError
from palpate.statistics.correlation import rank_correlation


def test_the_value_is_scipys_with_ties_and_infinities():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 12, 80).astype(float)
    y = x + rng.normal(0, 4, 80)
    y[y > 9] = np.inf
    known = rng.random(80) < 0.8
    found = rank_correlation(x, y, known, repetitions=200)
    assert found is not None
    assert found.value == pytest.approx(spearmanr(x[known], y[known]).statistic)
    assert found.images == known.sum()
    assert found.low < found.value < found.high


def test_a_draw_counts_an_image_as_often_as_it_is_drawn():
    """Whole weights are the same as repeated images."""
    from palpate.statistics.correlation import _spearman

    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 9, (2, 30)).astype(float)
    weights = rng.integers(0, 4, (5, 30))
    expected = [spearmanr(np.repeat(x, w), np.repeat(y, w)).statistic for w in weights]
    assert _spearman(x, y, weights.astype(float)) == pytest.approx(np.array(expected))


def test_intervals_cover_and_patients_count_once():
    """With each image four times under one patient the interval is that of the patients, twice as wide as that of as many images."""
    rng, hits, widths = np.random.default_rng(2), 0, []
    for _ in range(60):
        x = rng.normal(size=60)
        y = 0.6 * x + 0.8 * rng.normal(size=60)
        found = rank_correlation(x, y, x < 9, repetitions=300)
        assert found is not None
        hits += (
            found.low <= 6 / np.pi * np.arcsin(0.3) <= found.high
        )  # ρ of Spearman for a normal pair of correlation .6
        four = [np.tile(each, 4) for each in (x, y)]
        groups = np.tile(np.arange(60), 4)
        whole = rank_correlation(*four, four[0] < 9, groups, repetitions=300)
        apart = rank_correlation(*four, four[0] < 9, repetitions=300)
        assert whole is not None
        assert apart is not None
        widths.append((whole.high - whole.low) / (apart.high - apart.low))
    assert hits >= 51
    assert np.mean(widths) == pytest.approx(2, abs=0.2)


def test_models_are_averaged_and_those_without_spread_left_out():
    x = np.stack([np.arange(40.0)] * 3)
    y = np.stack([np.arange(40.0), -np.arange(40.0), np.zeros(40)])
    found = rank_correlation(x, y, np.ones_like(x), repetitions=100)
    assert found is not None
    assert found.value == pytest.approx(0, abs=1e-12)
    assert rank_correlation(x[0], y[2], x[0] >= 0) is None
    assert rank_correlation(x[0, :9], y[0, :9], x[0, :9] >= 0) is None
    assert rank_correlation(x[0], y[0], x[0] >= 0, np.zeros(40)) is None
    with pytest.raises(InputError, match="same shape"):
        rank_correlation(x, y[0], x >= 0)
