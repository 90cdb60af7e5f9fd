"""Models are ranked by one measure, and one that is better at every epsilon always comes first."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palpate.core.errors import InputError
from palpate.statistics.intervals import balanced_accuracy_interval
from palpate.statistics.leaderboard import Accuracy, Entry, dominates, leaderboard, rank
from palpate.statistics.radius import MedianRadius

EPSILONS = (1 / 255, 2 / 255, 4 / 255)


def model(make_rows, counts, majority=0.5, n=200, **more) -> pl.DataFrame:
    """At each epsilon so many images are correct, spread over both classes."""
    rng = np.random.default_rng(0)
    labels = (np.arange(n) >= majority * n).astype(int)
    place = rng.permutation(n)
    return make_rows(np.stack([place < count for count in counts]), labels, epsilons=EPSILONS, **more)


def names(found) -> list[str]:
    return [entry.name for entry in found.entries]


@pytest.mark.parametrize("majority", [0.5, 0.8])
@pytest.mark.parametrize("better", [(190, 150, 100, 60), (170, 110, 50, 20), (150, 120, 90, 70)])
def test_a_model_better_at_every_epsilon_ranks_first(make_rows, better, majority):
    """Also where one clean accuracy lies above the majority rate and the other below, and against the larger median radius."""
    worse = tuple(count - 9 for count in better)
    robust = (
        better[0] - 60,
        better[1] - 10,
        better[2] - 5,
        better[3] - 2,
    )  # a larger median radius of fewer correct images
    for other in (worse, robust):
        for order in itertools.permutations([("a", better), ("b", other)]):
            tables = [model(make_rows, counts, majority, backbone=name) for name, counts in order]
            found = leaderboard(pl.concat(tables), {"a#0": True, "b#0": True})
            assert names(found) == ["a", "b"]
            assert [entry.rank for entry in found.entries] == [1, 2]


def test_where_curves_cross_the_larger_median_radius_is_first(make_rows):
    steep = model(make_rows, (190, 180, 60, 5), backbone="steep")
    flat = model(make_rows, (180, 150, 120, 100), backbone="flat")
    found = leaderboard(pl.concat([steep, flat]))
    assert names(found) == ["flat", "steep"]
    radii = [entry.median_radius for entry in found.entries]
    assert radii[0] is not None
    assert (radii[0].value, radii[1].value if radii[1] else 0) == (None, 2 / 255)


def test_numbers_are_counts_of_the_attacked_images(make_rows):
    table = model(make_rows, (180, 120, 60, 20), groups=np.arange(200) // 2)
    (entry,) = leaderboard(table).entries
    assert [point.value for point in entry.accuracy] == [0.9, 0.6, 0.3, 0.1]
    assert [point.epsilon for point in entry.accuracy] == [0.0, *EPSILONS]
    assert (entry.images, entry.groups, entry.failed, entry.majority_rate) == (200, 100, 0, 0.5)
    clean = table.filter(epsilon_index=0)
    expected = balanced_accuracy_interval(clean["label"], clean["prediction"], clean["group_id"])
    assert entry.balanced_accuracy is not None
    assert (entry.balanced_accuracy.value, entry.balanced_accuracy.low) == pytest.approx(expected[:2])


def test_failed_images_count_as_incorrect_at_every_epsilon(make_rows):
    table = make_rows(
        np.ones((4, 40), bool), np.arange(40) % 2, epsilons=EPSILONS, failed={(1, 0), (2, 0), (3, 0), (3, 1)}
    )
    (entry,) = leaderboard(table).entries
    assert entry.failed == 2
    assert [point.value for point in entry.accuracy] == [1.0, 39 / 40, 39 / 40, 38 / 40]


def test_seeds_are_folded_and_those_without_signal_left_out_and_counted(make_rows):
    counts = [(180, 120, 60, 20), (176, 110, 64, 16), (180, 180, 180, 180)]
    table = pl.concat([model(make_rows, one, seed=seed) for seed, one in enumerate(counts)])
    (entry,) = leaderboard(table, {"resnet18#2": False}).entries
    assert (entry.runs, entry.left_out) == (("resnet18#0", "resnet18#1"), ("resnet18#2",))
    assert entry.accuracy[1].value == pytest.approx(115 / 200)
    assert entry.accuracy[1].high - entry.accuracy[1].low > 0.1
    assert entry.balanced_accuracy is not None
    assert entry.balanced_accuracy.low < entry.balanced_accuracy.value < entry.balanced_accuracy.high
    alone = leaderboard(table, {f"resnet18#{seed}": False for seed in range(3)}).entries[0]
    assert (alone.rank, alone.signal, len(alone.runs)) == (None, False, 3)


def test_models_without_signal_come_last_without_a_rank(make_rows):
    blind = make_rows(np.tile(np.arange(200) % 2 == 0, (4, 1)), np.arange(200) % 2, epsilons=EPSILONS, backbone="blind")
    found = leaderboard(pl.concat([blind, model(make_rows, (180, 20, 5, 0))]))
    assert [(entry.name, entry.rank) for entry in found.entries] == [("resnet18", 1), ("blind", None)]


def test_radii_between_the_epsilons_are_kept(make_rows):
    table = model(make_rows, (180, 120, 60, 20))
    assert not leaderboard(table).continuous
    between = leaderboard(table.with_columns(radius=0.9 * pl.col("radius")))
    assert between.continuous
    assert between.entries[0].median_radius is not None
    assert between.entries[0].median_radius.value == pytest.approx(0.9 * 2 / 255)


def test_tables_of_two_attacks_or_without_one_are_refused(make_rows):
    table = model(make_rows, (180, 120, 60, 20))
    other = table.filter(pl.col("epsilon_index") > 0).with_columns(attack_id=pl.lit("other"))
    for wrong in (pl.concat([table, other]), table.filter(epsilon_index=0)):
        with pytest.raises(InputError, match="one task, finding, split and attack"):
            leaderboard(wrong)


shares = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=3, max_size=3)


@given(st.lists(st.tuples(shares, st.one_of(st.none(), st.integers(0, 5))), min_size=1, max_size=8))
def test_no_model_is_placed_above_one_that_is_nowhere_worse(models):
    entries = [
        Entry(
            rank=None, rank_low=None, rank_high=None, radii=None, name=f"m{place}",
            backbone="m", attention="none", training="t", runs=(), left_out=(), signal=True,
            images=20, groups=20, failed=0, no_gradient=0, majority_rate=0.5, balanced_accuracy=None,
            accuracy=tuple(Accuracy(index, index / 255, value, 0, 1) for index, value in enumerate(values)),
            median_radius=MedianRadius(radius, None, None, 1),
        )
        for place, (values, radius) in enumerate(models)
    ]  # fmt: skip
    ordered = rank(entries)
    assert [entry.rank for entry in ordered] == list(range(1, len(entries) + 1))
    assert not any(dominates(later, sooner) for sooner, later in itertools.combinations(ordered, 2))


def test_variants_of_an_architecture_are_not_folded_as_seeds(make_rows):
    plain = model(make_rows, (180, 120, 60, 20), attention="full")
    gamma = plain.with_columns(model_id=pl.lit("resnet18+full+gamma-fixed#0"))
    assert names(leaderboard(pl.concat([plain, gamma]))) == ["resnet18+full", "resnet18+full+gamma-fixed"]


def test_images_and_models_without_a_gradient_are_left_out_of_the_ranking(make_rows):
    labels = np.arange(12) % 2
    part, whole = (make_rows(np.ones((3, 12), bool), labels, backbone=name) for name in ("part", "whole"))
    beyond = pl.col("epsilon_index") > 0
    part = part.with_columns(
        status=pl.when(beyond & (pl.col("image_id") < "i0004")).then(pl.lit("no gradient")).otherwise("status")
    )
    whole = whole.with_columns(status=pl.when(beyond).then(pl.lit("no gradient")).otherwise("status"))
    (entry,) = leaderboard(pl.concat([part, whole])).entries
    assert (entry.name, entry.images, entry.no_gradient) == ("part", 8, 4)
    with pytest.raises(InputError, match="could be attacked by gradients"):
        leaderboard(whole)
