"""Points of a curve against counts by hand, and every table that cannot be read as one."""

import numpy as np
import polars as pl
import pytest
from tests.statistics.reference import wilson

from palpate.core import rows
from palpate.core.errors import InputError
from palpate.statistics.curves import POINT, curve
from palpate.statistics.intervals import balanced_accuracy_interval, clustered_wilson

LABELS = np.repeat([0, 1], [30, 10])


def falling(labels=LABELS, shares=(0.9, 0.6, 0.2)) -> np.ndarray:
    """Every class loses the same share of images."""
    rank = np.concatenate([np.arange(n) / n for n in np.bincount(labels)])
    return np.stack([rank < share for share in shares])


def test_points_are_counts_by_hand(make_rows):
    points = curve(make_rows(falling(), LABELS))
    assert dict(points.schema) == POINT
    assert points["n"].to_list() == [40, 40, 40]
    assert points["accuracy"].to_list() == pytest.approx([0.9, 0.6, 0.2])
    assert (points["low"][1], points["high"][1]) == pytest.approx(wilson(24, 40))
    assert points["balanced_accuracy"].to_list() == pytest.approx([0.9, 0.6, 0.2])
    assert points["majority_rate"].to_list() == [0.75] * 3
    assert points["chance"].to_list() == [0.5] * 3
    assert points["signal"].to_list() == [True, False, False]
    assert points["note"].to_list() == [""] * 3
    assert points.filter(pl.col("epsilon_index") == 1)["epsilon"].item() == 1 / 255


def test_the_majority_answer_is_no_signal_however_accurate(make_rows):
    labels = np.repeat([0, 1], [190, 10])
    point = curve(make_rows(np.tile(labels == 0, (3, 1)), labels))
    assert point["accuracy"].to_list() == [0.95] * 3
    assert not point["signal"].any()


def test_groups_widen_the_interval(make_rows):
    groups = np.repeat(np.arange(10), 4)
    correct = np.tile(np.repeat(np.arange(10) < 6, 4), (3, 1))
    point = curve(make_rows(correct, LABELS, groups=groups)).row(0, named=True)
    assert point["groups"] == 10
    assert (point["low"], point["high"]) == clustered_wilson(correct[0], groups)
    expected = balanced_accuracy_interval(LABELS, np.where(correct[0], LABELS, 1 - LABELS), groups)
    assert (point["balanced_accuracy"], point["balanced_low"], point["balanced_high"]) == pytest.approx(expected)


def test_several_models_and_splits_stay_apart(make_rows):
    table = pl.concat(
        [
            make_rows(falling(), LABELS, seed=seed, split=split, attention=attention)
            for seed in (0, 1)
            for split in ("val", "test")
            for attention in ("none", "full")
        ]
    )
    points = curve(table)
    assert len(points) == 8 * 3
    assert points.equals(curve(table.sample(fraction=1.0, shuffle=True, seed=3)))


def test_a_failed_image_is_not_robust(make_rows):
    points = curve(make_rows(falling(), LABELS, failed={(1, 0), (1, 1)}))
    assert points["failed"].to_list() == [0, 2, 0]
    assert points["n"].to_list() == [40] * 3
    assert points["accuracy"][1] == pytest.approx(22 / 40)
    assert points["note"][1] == "the attack failed on 2 of 40 images: counted as not correct"


def test_all_failed_is_no_result(make_rows):
    points = curve(make_rows(falling(), LABELS, failed={(2, i) for i in range(40)}))
    assert points["accuracy"][2] is None
    assert points["note"][2] == "the attack failed on all 40 images: no result"


@pytest.mark.parametrize(
    ("labels", "groups", "note"),
    [
        ([0] * 8, None, "one class: balanced accuracy and signal do not apply"),
        ([0, 1] * 4, [0] * 8, "one patient or lesion: the interval takes its images as one"),
        ([0, 1], None, ""),
    ],
)
@pytest.mark.parametrize("right", [True, False])
def test_poor_tables_say_what_does_not_apply_and_hold_no_nan(make_rows, labels, groups, note, right):
    points = curve(make_rows(np.full((3, len(labels)), right), labels, groups=groups))
    assert points["note"].to_list() == [note] * 3
    assert points["accuracy"].to_list() == [float(right)] * 3
    floats = points.select(pl.selectors.float())
    assert not any(floats[name].is_nan().any() for name in floats.columns)
    if len(set(labels)) == 1:
        assert points["signal"].null_count() == points["balanced_accuracy"].null_count() == 3
    else:
        assert not points["signal"].any()  # two images or one patient never show a signal


def test_clean_rows_given_twice_count_once(make_rows):
    table = make_rows(falling(), LABELS)
    assert curve(pl.concat([table, table.filter(epsilon_index=0)])).equals(curve(table))


def test_no_rows_no_points():
    assert dict(curve(pl.DataFrame(schema=rows.SCHEMA)).schema) == POINT


def test_tables_that_cannot_be_counted(make_rows):
    table = make_rows(falling(), LABELS)
    with pytest.raises(InputError, match="'i0000' has several for 'resnet18#0'"):
        curve(pl.concat([table, table.with_columns(correct=~pl.col("correct"))]))
    with pytest.raises(InputError, match="missing"):
        curve(table.drop("status"))
    with pytest.raises(InputError, match="none"):
        curve(table.with_columns(label=pl.lit(None, pl.Int32)))


def test_images_without_a_gradient_are_right_when_clean_and_left_out_beyond(make_rows):
    table = make_rows(np.ones((3, 8), bool), np.arange(8) % 2)
    unseen = (pl.col("epsilon_index") > 0) & (pl.col("image_id") < "i0003")
    status = {"status": pl.when(unseen).then(pl.lit("no gradient")).otherwise("status")}
    clean, *points = curve(table.with_columns(**status)).iter_rows(named=True)
    assert (clean["n"], clean["no_gradient"], clean["accuracy"]) == (8, 0, 1)
    for point in points:
        assert (point["n"], point["no_gradient"], point["failed"], point["accuracy"]) == (5, 3, 0, 1)
        assert point["note"] == "no gradient on 3 of 8 images: left out"
    every = curve(
        table.with_columns(status=pl.when(pl.col("epsilon_index") > 0).then(pl.lit("no gradient")).otherwise("status"))
    )
    assert every["accuracy"].to_list() == [1, None, None]
    assert every["note"][1] == "no gradient on any of 8 images: no result"
