"""From rows to the points of a robust-accuracy curve, each with its interval, its baselines and what does not apply.

The report, the terminal and the JSON files all print these points, so a number means the same wherever it is read. An image on which
the attack failed stays in the denominator and counts as not correct; one that could not be attacked by gradients, of which nothing is known beyond
its clean prediction, is left out and counted apart. What cannot be computed is null, never NaN, and `note` says why.
"""

from collections.abc import Sequence

import polars as pl

from palpate.core.errors import InputError
from palpate.core.tables import columns
from palpate.statistics.intervals import balanced_accuracy_interval, clustered_wilson, majority_rate

KEYS = ["task", "split", "finding", "model_id", "attack_id", "epsilon_index"]
DETAILS = ["backbone", "attention", "training", "seed", "attack", "norm", "epsilon"]

COUNTED = [*KEYS, *DETAILS, "image_id", "group_id", "label", "correct", "status"]
"""The columns that every count is made from."""

POINT = columns("point", [*KEYS, *DETAILS])


def curve(rows: pl.DataFrame, level: float = 0.95) -> pl.DataFrame:
    """One line per (task, split, finding, model_id, attack_id, epsilon_index), sorted, with the columns of `POINT`.

    Shares are in [0, 1] and epsilon in units of [0, 1]. Clean accuracy is the line with attack_id "none" and epsilon_index 0.

    Args:
        rows: a table with the columns of `palpate.core.rows.SCHEMA`; any models, attacks and splits together.
        level: the share of intervals that should cover the truth.

    Raises:
        InputError: columns are missing, a label is missing, or an image has two predictions under one condition.
    """
    group = group_names().rank("dense")  # integers sort a hundred times faster than names
    counted = check_rows(rows).select(*KEYS, *DETAILS, "label", "status", survived=survived(), group=group)
    points = [_point(part, level) for part in counted.partition_by(KEYS)]
    return pl.DataFrame(points, schema=POINT).sort(KEYS)


def check_rows(rows: pl.DataFrame, name: str = "rows", needed: Sequence[str] = ()) -> pl.DataFrame:
    """The rows, each image once per condition, or a refusal of what cannot be counted.

    The predict and attack stages both hold the clean rows of the attacked images: a second copy that agrees with the first is dropped.

    Args:
        rows: a table with columns of `palpate.core.rows.SCHEMA`, at least those that every count needs (`COUNTED`).
        name: of the table, for messages.
        needed: further columns that must be there.

    Raises:
        InputError: columns are missing, labels are missing, or one image has two predictions under one condition.
    """
    missing = [column for column in (*COUNTED, *needed) if column not in rows.columns]
    if missing:
        remedy = "give a study's images.parquet"
        raise InputError(f"{name}: columns of palpate.core.rows.SCHEMA are needed, {missing} are missing; {remedy}")
    unlabelled = rows["label"].null_count()
    if unlabelled:
        remedy = "leave them out"
        raise InputError(f"{name}: every image needs a label, {unlabelled} of {len(rows)} rows have none; {remedy}")
    counts = rows.group_by(KEYS).agg(pl.len(), images=pl.col("image_id").n_unique())
    if (counts["len"] == counts["images"]).all():
        return rows  # the usual case, without the memory that comparing whole rows takes
    condition = [*KEYS, "image_id"]
    rows = rows.unique([*condition, "label", "status", "correct"], keep="first", maintain_order=True)
    twice = rows.select(condition).is_duplicated()
    if twice.any():
        example = rows.filter(twice).row(0, named=True)
        where = f"{example['model_id']!r}, {example['attack_id']!r}, epsilon index {example['epsilon_index']}"
        several = f"{example['image_id']!r} has several for {where}; give one study's tables"
        raise InputError(f"{name}: one prediction per image, model, attack and epsilon is needed; {several}")
    return rows


def with_result(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without those of images that could not be attacked by gradients: neither fooled nor robust."""
    return rows.filter(pl.col("status") != "no gradient")


def survived() -> pl.Expr:
    """Whether the image is still classified correctly; a failed one, or one without a prediction, is not."""
    return (pl.col("status") == "ok") & pl.col("correct").fill_null(False)


def answered(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a prediction and its logits."""
    return rows.filter(pl.col("status") == "ok", pl.col("logits").is_not_null())


def norm_of(rows: pl.DataFrame) -> str:
    """The norm of an attack's epsilons and radii, from its rows; "linf" where only clean predictions are there."""
    return next(iter(rows["norm"].drop_nulls().unique().sort()), "linf")


def group_names() -> pl.Expr:
    """The patient or lesion of an image; an image without one is its own."""
    return pl.coalesce("group_id", "image_id")


def _point(every: pl.DataFrame, level: float) -> dict:
    part = with_result(every)
    labels, correct, groups = (part[name].to_numpy() for name in ("label", "survived", "group"))
    n, failed, classes = len(part), int((part["status"] != "ok").sum()), part["label"].n_unique()
    unseen, number = len(every) - n, part["group"].n_unique()
    point: dict = dict.fromkeys(POINT) | every.select(KEYS + DETAILS).row(0, named=True)
    point |= {"n": n, "groups": number, "failed": failed, "no_gradient": unseen}
    if not n:
        return point | {"note": f"no gradient on any of {unseen} images: no result"}
    point |= {"majority_rate": majority_rate(labels)}
    notes = [f"no gradient on {unseen} of {len(every)} images: left out"] if unseen else []
    if failed == n:
        return point | {"note": "; ".join([*notes, f"the attack failed on all {n} images: no result"])}
    if failed:
        notes.append(f"the attack failed on {failed} of {n} images: counted as not correct")
    if number == 1 < n:
        notes.append("one patient or lesion: the interval takes its images as one")
    low, high = clustered_wilson(correct, groups, level)
    point |= {"accuracy": float(correct.mean()), "low": low, "high": high}
    if classes == 1:
        notes.append("one class: balanced accuracy and signal do not apply")
    else:
        predicted = (labels + 1) * correct - 1  # the label where correct, else a class that does not exist
        value, low, high = balanced_accuracy_interval(labels, predicted, groups, level)
        point |= {"balanced_accuracy": value, "balanced_low": low, "balanced_high": high}
        point |= {"chance": 1 / classes, "signal": low > 1 / classes}
    return point | {"note": "; ".join(notes)}
