"""Intervals of ranks: certain where models differ on every image, wide where they do not differ, and right as often as stated."""

import numpy as np
import pytest

from palpate.statistics.ranking import Member, rank_intervals


def member(radius, groups=None, correct=None) -> Member:
    radius = np.atleast_2d(np.asarray(radius, float))
    n = radius.shape[1]
    groups = np.arange(n) if groups is None else np.asarray(groups)
    correct = np.ones(radius.shape, bool) if correct is None else np.atleast_2d(correct)
    return Member(np.array([f"i{i:04d}" for i in range(n)]), np.arange(n) % 2, groups.astype(str), radius, correct)


def test_models_that_differ_on_every_image_have_certain_ranks():
    radius = np.random.default_rng(0).random(60)
    found = rank_intervals({"b": member(radius), "a": member(radius + 2), "c": member(radius - 2)})
    assert found == {"a": (1, 1), "b": (2, 2), "c": (3, 3)}


def test_equal_models_share_a_rank_and_similar_ones_swap():
    rng = np.random.default_rng(1)
    radius = rng.random(60)
    assert rank_intervals({"a": member(radius), "b": member(radius)}) == {"a": (1, 1), "b": (1, 1)}
    found = rank_intervals({"a": member(radius), "b": member(rng.permutation(radius))})
    assert found == {"a": (1, 2), "b": (1, 2)}


def test_images_of_one_patient_count_once():
    rng = np.random.default_rng(2)
    groups = np.arange(200) // 50  # four patients
    better = 1 + 0.02 * rng.random(200) + np.where(groups == 0, 0.5, -0.01)
    worse = 1 + 0.02 * rng.random(200)
    assert rank_intervals({"a": member(better, groups), "b": member(worse, groups)})["a"] == (1, 2)


def test_only_shared_images_and_correct_ones_count():
    radius = np.arange(40.0)
    one, other = member(radius), member(radius + 1)
    part = Member(
        *(values[..., :20] for values in (other.images, other.labels, other.groups, other.radius, other.correct))
    )
    assert rank_intervals({"a": one, "b": part})["b"][0] == 1
    none = member(radius, correct=np.zeros(40, bool))
    assert rank_intervals({"a": one, "none": none})["none"] == (2, 2)
    assert rank_intervals({"a": one}) == {}


def test_one_patient_has_no_interval():
    assert rank_intervals({name: member(np.arange(9.0), np.zeros(9)) for name in "ab"}) == {}


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_interval_holds_the_true_rank_as_often_as_stated(shift):
    """Medians of lognormal radii: with a shift the second model is truly better, without one both share rank 1."""
    rng, held = np.random.default_rng(3), []
    for _ in range(120):
        a, b = (np.exp(rng.normal(mean, 1, 80)) for mean in (0, shift))
        found = rank_intervals({"a": member(a), "b": member(b)}, draws=120)
        true = {"a": 2 if shift else 1, "b": 1}
        held += [low <= true[name] <= high for name, (low, high) in found.items()]
    assert np.mean(held) > 0.93


def test_runs_are_drawn_too():
    """One of two trainings is much better: which model is first depends on the training that is drawn."""
    rng = np.random.default_rng(4)
    low, high = rng.random(100), 10 + rng.random(100)
    found = rank_intervals({"mixed": member(np.stack([low, high])), "fixed": member(1 + rng.random((2, 100)))})
    assert found["mixed"] == (1, 2)


def test_draws_repeat():
    rng = np.random.default_rng(5)
    members = {name: member(rng.random(30)) for name in "abcd"}
    first, second = (rank_intervals(members) for _ in range(2))
    assert first == second
    assert all(1 <= low <= high <= 4 for low, high in first.values())
