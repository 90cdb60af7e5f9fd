"""Directed curves and operating points from rows: counts by hand, the fixed threshold, and everything that does not apply."""

import numpy as np
import polars as pl
import pytest
from tests.statistics.reference import wilson

from palpate.statistics.clinical import ERRORS, OPERATING, RADII, directed_curves, directed_radii, operating_points
from palpate.statistics.operating import auroc, choose_threshold, sensitivity_specificity

LABELS = np.repeat([0, 1], [40, 20])


@pytest.fixture
def scored(make_rows):
    """Rows whose logit difference is drawn round ±1; (rows, scores by epsilon)."""

    def make(split: str, seed: int, labels: np.ndarray = LABELS, **more) -> tuple[pl.DataFrame, np.ndarray]:
        rng = np.random.default_rng(seed)
        signed = np.where(labels == 1, 1, -1)
        scores = signed * np.array([[1.0], [0.3], [-0.5]]) + rng.normal(size=(3, len(labels)))
        return make_rows(scores * signed > 0, labels, split=split, margins=scores * signed, **more), scores

    return make


def test_directed_curves_are_counts_by_hand(make_rows):
    rank = np.r_[np.arange(40) / 40, np.arange(20) / 20]
    correct = np.stack(
        [rank < np.where(LABELS == 1, hit, clear) for hit, clear in ((0.9, 0.95), (0.5, 0.9), (0.0, 0.8))]
    )
    table = directed_curves(make_rows(correct, LABELS, failed={(1, 0)}))
    assert dict(table.schema) == ERRORS
    missed, alarms = (table.filter(error=error) for error in ("false negative", "false positive"))
    assert missed["rate"].to_list() == pytest.approx([0.1, 0.5, 1.0])
    assert alarms["rate"].to_list() == pytest.approx([0.05, 5 / 40, 0.2])  # the failed image is an error
    assert alarms["failed"].to_list() == [0, 1, 0]
    assert (missed["low"][1], missed["high"][1]) == pytest.approx(wilson(10, 20))


def test_directed_radii_are_medians_of_the_correct_images_of_a_class(make_rows):
    rng = np.random.default_rng(0)
    table = make_rows(np.ones((3, 60), bool), LABELS)
    radii = rng.uniform(0.001, 0.02, 60)
    wrong, failed, unseen = [1, 45], [2, 50], [3, 55]
    image = pl.col("image_id").str.slice(1).cast(pl.Int64)
    attacked = pl.col("epsilon_index") > 0
    table = table.with_columns(
        radius=pl.when(image.is_in(wrong)).then(0.0).otherwise(image.replace_strict(list(range(60)), radii.tolist())),
        correct=~image.is_in(wrong),
        status=pl.when(attacked & image.is_in(failed)).then(pl.lit("failed"))
        .when(attacked & image.is_in(unseen)).then(pl.lit("no gradient")).otherwise(pl.lit("ok")),
    )  # fmt: skip
    found = directed_radii(table)
    assert dict(found.schema) == RADII
    assert found["direction"].to_list() == ["false alarm", "missed disease"]
    for label, row in zip((0, 1), found.iter_rows(named=True), strict=True):
        kept = [i for i in np.flatnonzero(label == LABELS).tolist() if i not in wrong + unseen]
        by_hand = sorted(0.0 if i in failed else radii[i] for i in kept)
        assert (row["n"], row["failed"]) == (len(kept), 1)
        assert row["median_radius"] == by_hand[(len(kept) + 1) // 2 - 1]
        assert row["low"] <= row["median_radius"] <= row["high"]
        assert row["largest"] == 2 / 255


def test_where_most_images_are_never_fooled_the_radius_lies_beyond(make_rows):
    found = directed_radii(make_rows(np.ones((3, 60), bool), LABELS))
    assert found["median_radius"].to_list() == [None, None]
    assert directed_radii(make_rows(np.ones((3, 60), bool), LABELS).filter(epsilon_index=0)).is_empty()


def test_more_than_two_classes_have_no_disease(make_rows):
    labels = np.arange(30) % 3
    table = directed_curves(make_rows(np.ones((3, 30), bool), labels))
    assert table["error"].unique().sort().to_list() == [
        "class 0 misclassified",
        "class 1 misclassified",
        "class 2 misclassified",
    ]


def test_threshold_comes_from_clean_validation_and_nowhere_else(scored):
    (val, val_scores), (test, scores) = scored("val", 0), scored("test", 1)
    points = operating_points(pl.concat([val, test]), repetitions=100)
    assert dict(points.schema) == OPERATING
    assert points["split"].unique().to_list() == ["test"]
    threshold = choose_threshold(LABELS, val_scores[0])
    assert points["threshold"].to_list() == pytest.approx([threshold] * 3)
    for index in range(3):
        point = points.filter(epsilon_index=index).row(0, named=True)
        expected = sensitivity_specificity(LABELS, scores[index], threshold)
        assert (point["sensitivity"], point["sensitivity_low"], point["sensitivity_high"]) == pytest.approx(expected[0])
        assert (point["specificity"], point["specificity_low"], point["specificity_high"]) == pytest.approx(expected[1])
        assert (point["auroc"], point["auroc_low"], point["auroc_high"]) == pytest.approx(auroc(LABELS, scores[index]))
        assert (point["brier"] is None) == (point["calibration_error"] is None) == (index > 0)


def test_one_logit_is_two_classes(scored):
    (val, _), (test, _) = scored("val", 0), scored("test", 1)
    both = pl.concat([val, test])
    one = both.with_columns(logits=pl.concat_list(pl.col("logits").list.get(1) - pl.col("logits").list.get(0)))
    a, b = operating_points(both, repetitions=50), operating_points(one, repetitions=50)
    for name in ("auroc", "sensitivity", "specificity", "brier", "calibration_error"):
        assert b[name].to_list() == pytest.approx(a[name].to_list())
    assert directed_curves(one)["rate"].to_list() == directed_curves(both)["rate"].to_list()


def test_an_attack_that_stops_early_has_no_scores(scored):
    (val, _), (test, _) = scored("val", 0), scored("test", 1)
    test = test.with_columns(inherited=(pl.col("epsilon_index") == 2) & (pl.col("image_id") == "i0003"))
    points = operating_points(pl.concat([val, test]), repetitions=50)
    assert points["auroc"].is_null().to_list() == [False, True, True]
    assert "stops at the first success" in points["note"][1]


@pytest.mark.parametrize(
    ("val_labels", "test_labels", "groups", "words", "applies"),
    [
        (None, LABELS, None, "no validation split", "auroc"),
        (np.zeros(30, int), LABELS, None, "one class in the validation split", "auroc"),
        (LABELS, np.zeros(10, int), None, "one class: AUROC", "brier"),
        (LABELS, np.ones(10, int), None, "one class: AUROC", "brier"),
        (LABELS, np.array([0, 1]), None, "", "sensitivity"),
        (LABELS, LABELS, np.zeros(60, int), "one patient or lesion: the calibration error", "specificity"),
        (LABELS, np.arange(30) % 3, None, "3 classes: AUROC", "brier"),
    ],
)
def test_what_does_not_apply_is_null_with_the_reason(scored, val_labels, test_labels, groups, words, applies):
    tables = [scored("test", 1, test_labels, groups=groups)[0]]
    if val_labels is not None:
        tables.append(scored("val", 0, val_labels)[0])
    points = operating_points(pl.concat(tables), repetitions=50)
    clean = points.row(0, named=True)
    assert words in clean["note"]
    assert clean[applies] is not None
    floats = points.select(pl.selectors.float())
    assert not any(floats[name].is_nan().any() for name in floats.columns)


def test_failed_images_are_left_out_and_said(scored, make_rows):
    (val, _), (test, _) = scored("val", 0), scored("test", 1, failed={(1, 0)} | {(2, image) for image in range(60)})
    points = operating_points(pl.concat([val, test]), repetitions=50)
    assert points["failed"].to_list() == [0, 1, 60]
    assert points["note"].to_list() == [
        "",
        "no prediction for 1 of 60 images: left out",
        "no prediction for any of 60 images: no result",
    ]


def test_logits_that_are_not_finite_do_not_crash(scored):
    (val, _), (test, _) = scored("val", 0), scored("test", 1)
    broken = pl.concat([val, test]).with_columns(
        logits=pl.when(pl.col("image_id") == "i0000").then(pl.lit([float("nan"), 0.0])).otherwise(pl.col("logits"))
    )
    points = operating_points(broken, repetitions=50)
    assert "not finite" in points["note"][0]
    assert points["auroc"].is_null().all()
