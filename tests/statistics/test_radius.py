"""The median radius against order statistics, and the coverage of its interval."""

import numpy as np
import pytest
from scipy import stats

from palpate.core.errors import InputError
from palpate.statistics.radius import median_radius


def test_it_is_the_median_of_the_correct_images_alone():
    radius = np.array([0.0, 0.5, 1.0, 2.0, np.inf])
    found = median_radius(radius, radius > 0)
    assert found is not None
    assert (found.value, found.images) == (1.0, 4)
    failed = median_radius(
        np.array([0.0, 0.0, 1.0, 2.0]), [False, True, True, True]
    )  # a failed attack counts as radius 0
    assert failed is not None
    assert (failed.value, failed.images) == (1.0, 3)


def test_more_than_half_never_fooled_has_no_value_and_no_image_no_result():
    found = median_radius([0.1, 0.2, np.inf, np.inf, np.inf], np.ones(5, bool))
    assert found is not None
    assert (found.value, found.high) == (None, None)
    assert found.low == 0.1
    assert median_radius([0.0, 0.0], [False, False]) is None


def test_shapes_must_agree():
    with pytest.raises(InputError, match="same shape"):
        median_radius([0.1, 0.2], [True])


def test_the_interval_of_one_run_is_that_of_order_statistics():
    radius = np.arange(1.0, 401.0)
    found = median_radius(radius, np.ones(400, bool))
    assert found is not None
    ranks = stats.binom.ppf([0.025, 0.975], 400, 0.5)  # the exact interval of a median
    assert [found.low, found.high] == pytest.approx(ranks, abs=1.5)


@pytest.mark.parametrize(("runs", "spread"), [(1, 0.0), (3, 0.0), (3, 0.1)])
def test_it_covers(runs, spread):
    """Lognormal radii of patients with 2 images each; the median of the runs' common distribution is 1."""
    rng = np.random.default_rng(0)
    groups, hits, repetitions = np.arange(200) // 2, 0, 300
    for _ in range(repetitions):
        image = rng.normal(size=100)[groups] + 0.5 * rng.normal(size=200)
        radius = np.exp(image + 0.3 * rng.normal(size=(runs, 200)) + spread * rng.normal(size=(runs, 1)))
        found = median_radius(radius, rng.random((runs, 200)) < 0.8, groups)
        assert found is not None
        hits += (found.low or np.inf) <= 1 <= (found.high or np.inf)
    assert 0.92 <= hits / repetitions <= 0.995


def test_images_of_one_patient_widen_it():
    rng = np.random.default_rng(1)
    groups = np.arange(300) // 10
    radius = np.exp(rng.normal(size=30)[groups])
    alone, together = median_radius(radius, radius > 0), median_radius(radius, radius > 0, groups)
    assert alone is not None
    assert together is not None
    assert (together.high or 0) - (together.low or 0) > 1.5 * ((alone.high or 0) - (alone.low or 0))
