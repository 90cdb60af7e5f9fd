"""Means over maps that are not empty, and a count of those that are."""

import numpy as np
import polars as pl
import pytest

from palpate.report.sections.map_similarity import between_models, recorded, shrink


def test_models_are_compared_pairwise_per_epsilon_and_target():
    rng = np.random.default_rng(0)
    one = rng.random((3, 2, 5, 8, 8)).astype(np.float32)
    opposite = one.copy()
    opposite[1] = one[1].max() - one[1]
    opposite[2, 0, :4] = 0
    lines = between_models({"a": one, "b": opposite, "c": one**2})
    assert list(lines) == [
        (pair, target) for pair in ("a and b", "a and c", "b and c") for target in ("true", "predicted")
    ]
    first = lines["a and b", "true"]
    assert [mean.value for mean in first] == pytest.approx([1, -1, 1], abs=1e-6)
    assert [(mean.n, mean.empty) for mean in first] == [(5, 0), (5, 0), (1, 4)]
    assert [mean.value for mean in lines["a and c", "true"]] == pytest.approx([1, 1, 1], abs=1e-6)


def test_large_maps_are_compared_on_a_smaller_grid_with_the_same_answer():
    rng = np.random.default_rng(1)
    coarse, other = rng.random((2, 1, 1, 4, 7, 7))
    small = between_models({"a": coarse, "b": other})
    large = between_models(
        {name: shrink(maps.repeat(32, -1).repeat(32, -2)) for name, maps in (("a", coarse), ("b", other))}
    )
    assert large["a and b", "true"][0].value == pytest.approx(small["a and b", "true"][0].value, abs=1e-6)


def test_models_with_other_samples_are_not_compared():
    maps = np.zeros((2, 1, 3, 4, 4))
    assert between_models({"a": maps, "b": maps[:, :, :2]}) == {}


def table(**columns) -> pl.DataFrame:
    n = len(columns["value"])
    base = {"model_id": ["m"] * n, "target": ["true"] * n, "epsilon_index": [1, 1, 2, 2][:n]}
    return pl.DataFrame(base | columns)


def test_recorded_values_are_averaged_without_the_empty():
    means = recorded(table(value=[0.2, 0.4, None, None]), "value", 1)["m", "true"]
    assert [(mean.value, mean.n, mean.empty) for mean in means] == [(pytest.approx(0.3), 2, 0), (None, 0, 2)]


def test_recorded_values_have_their_chance_and_start_where_asked():
    found = recorded(table(value=[0.2, 0.4, 0.5, 0.7], even=[0.1, 0.3, 0.1, 0.1]), "value", 2, "even")
    (mean,) = found["m", "true"]
    assert mean.chance == pytest.approx(0.1)


def test_what_was_never_recorded_is_no_table():
    assert recorded(table(value=[None, None, None, None]), "value", 1) == {}
    assert recorded(table(value=[1.0]), "other", 1) == {}
