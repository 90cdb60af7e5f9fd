"""Which errors are made: false negatives and positives as epsilon grows, AUROC, sensitivity and specificity, and which classes are taken for which.

A false negative and a false positive do different harm, and accuracy does not tell them apart. Sensitivity and specificity are those at a threshold
fixed on validation data. The tables keep what does not apply as null, with the reason in `note`, so that no report prints NaN.
"""

import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.core.rows import SCHEMA
from palpate.core.tables import columns
from palpate.statistics import operating
from palpate.statistics.curves import DETAILS, KEYS, answered, check_rows, group_names, survived, with_result
from palpate.statistics.intervals import clustered_wilson
from palpate.statistics.radius import median_radius

MODEL = ["task", "finding", "model_id"]

ERRORS = columns("errors", [*KEYS, *DETAILS, "label"])
RADII = columns("radii", (name for name in ERRORS if name in SCHEMA and not name.startswith("epsilon")))

DIRECTIONS = {1: "missed disease", 0: "false alarm"}

OPERATING = columns("operating", [*KEYS, *DETAILS])


def directed_curves(rows: pl.DataFrame, classes: int | None = None) -> pl.DataFrame:
    """Share of each class's images that are misclassified, one line per class and point of the curve, with the columns of `ERRORS`.

    With two classes label 1 is the disease: its errors are false negatives, those of label 0 false positives. The prediction is the
    model's own (largest logit), so the rows of every attack can be used, also those inherited from a smaller epsilon. Failed images count
    as errors; those that could not be attacked by gradients are left out.

    Args:
        rows: any models, attacks and splits together.
        classes: number of classes of the models; counted in their logits when absent.

    Raises:
        InputError: as `palpate.statistics.curves.curve`.
    """
    group, number = group_names().rank("dense"), _classes() if classes is None else pl.lit(classes)
    table = with_result(check_rows(rows)).with_columns(survived=survived(), group=group, classes=number)
    lines = []
    for part in table.partition_by([*KEYS, "label"]):
        first = part.row(0, named=True)
        wrong, groups = ~part["survived"].to_numpy(), part["group"].to_numpy()
        low, high = clustered_wilson(wrong, groups)
        name = f"class {first['label']} misclassified"
        if first["classes"] == 2:
            name = "false negative" if first["label"] == 1 else "false positive"
        counts = {"n": len(part), "groups": part["group"].n_unique(), "failed": int((part["status"] != "ok").sum())}
        keys = {key: first[key] for key in [*KEYS, *DETAILS, "label"]}
        lines.append(keys | counts | {"error": name, "rate": float(wrong.mean()), "low": low, "high": high})
    return pl.DataFrame(lines, schema=ERRORS).sort([*KEYS, "label"])


def directed_radii(rows: pl.DataFrame) -> pl.DataFrame:
    """Median radius of the correctly classified images of each class of a task of two, with the columns of `RADII`.

    With two classes the smallest perturbation of an image of label 1, the disease, is the smallest one that makes the model miss it, and that of
    an image of label 0 the smallest one that raises a false alarm. Images that could not be attacked by gradients are left out.

    Args:
        rows: attacked images with their clean rows, of any models and attacks, of tasks of two classes.

    Raises:
        InputError: as `palpate.statistics.curves.curve`.
    """
    table = with_result(check_rows(rows, needed=["radius", "norm"]))
    table = table.with_columns(survived=survived(), group=group_names())
    image = ["task", "split", "finding", "model_id", "image_id"]
    right = table.filter(pl.col("epsilon_index") == 0).filter("survived").select(image).unique()
    attacked = table.filter(pl.col("epsilon_index") > 0).join(right, on=image, how="semi", nulls_equal=True)
    names = [name for name in RADII if name in attacked.columns and name != "failed"]
    fell = pl.col("epsilon").filter(~pl.col("survived")).min().fill_null(float("inf"))
    found = {"largest": pl.col("epsilon").max(), "failed": (pl.col("status") != "ok").any()}
    found["radius"] = pl.coalesce(pl.col("radius").min(), fell)
    images = attacked.group_by([*names, "image_id"]).agg(pl.col("group").first(), **found)
    lines = []
    for part in images.sort(*names, "image_id").partition_by(names, maintain_order=True):
        first, failed = part.row(0, named=True), part["failed"].to_numpy()
        radius = np.where(failed, 0.0, part["radius"].to_numpy())
        found = median_radius(radius, np.ones(len(part), bool), part["group"].to_numpy())
        assert found is not None  # every image is correct
        line = {name: first[name] for name in (*names, "largest")} | {"direction": DIRECTIONS.get(first["label"])}
        line |= {"n": len(part), "groups": part["group"].n_unique(), "failed": int(failed.sum())}
        lines.append(line | {"median_radius": found.value, "low": found.low, "high": found.high})
    return pl.DataFrame(lines, schema=RADII)


def operating_points(rows: pl.DataFrame, repetitions: int = 2000) -> pl.DataFrame:
    """AUROC, sensitivity and specificity at the threshold of clean validation, Brier score and calibration error, as in `OPERATING`.

    One line per point of the curve on every split but "val", whose clean rows give the threshold (`choose_threshold`). Brier score and
    calibration error are given for clean images. An attack that stops at the first success leaves its images at the boundary, where
    no score means anything: where any of its images is inherited from a smaller epsilon, its scores do not apply.

    Args:
        rows: any models, attacks and splits together; put the validation rows of each model in.
        repetitions: of the bootstrap for the calibration error.

    Raises:
        InputError: as `palpate.statistics.curves.curve`.
    """
    table = check_rows(rows, needed=["logits", "inherited"])
    table = table.with_columns(group=group_names().rank("dense"), classes=_classes())
    validation = table.filter(pl.col("split") == "val", pl.col("epsilon_index") == 0).partition_by(MODEL)
    thresholds = {tuple(part.select(MODEL).row(0)): _threshold(part) for part in validation}
    inherited = table.group_by([*MODEL, "attack_id"]).agg(pl.col("inherited").fill_null(False).any())
    stopped = {row[:-1] for row in inherited.rows() if row[-1]}
    lines = []
    for part in table.filter(pl.col("split") != "val").partition_by(KEYS):
        first = part.row(0, named=True)
        model = tuple(first[key] for key in MODEL)
        known = answered(part)
        line: dict = dict.fromkeys(OPERATING) | {key: first[key] for key in KEYS + DETAILS}
        line |= {"n": len(known), "failed": len(part) - len(known)}
        notes = [f"no prediction for {line['failed']} of {len(part)} images: left out"] if line["failed"] else []
        if not len(known):
            notes = [f"no prediction for any of {len(part)} images: no result"]
        elif (*model, first["attack_id"]) in stopped:
            notes += ["the attack stops at the first success: AUROC, sensitivity and specificity under it do not apply"]
        else:
            absent = "no validation split: sensitivity and specificity need a threshold fixed on it"
            found = [_two_class_figures(known, thresholds.get(model, absent))]
            if first["epsilon_index"] == 0:
                found.append(_calibration(known, repetitions))
            for figures, note in found:
                line |= figures
                notes += [note] if note else []
        lines.append(line | {"note": "; ".join(notes)})
    return pl.DataFrame(lines, schema=OPERATING).sort(KEYS)


def _classes() -> pl.Expr:
    """Number of classes of the model: its logits, where one logit is two classes, and never fewer than the labels show."""
    logits = pl.col("logits").list.len().max().over(MODEL).fill_null(0)
    return pl.max_horizontal(logits, pl.col("label").max().over(MODEL) + 1, pl.lit(2))


def _threshold(part: pl.DataFrame) -> float | str:
    """From the clean validation rows of one model, or why there is none."""
    known = answered(part)
    if known["label"].n_unique() < 2:
        return "one class in the validation split: no threshold, so no sensitivity and specificity"
    if part["classes"][0] > 2:
        return ""
    try:
        return operating.choose_threshold(known["label"].to_numpy(), operating.scores_of(known["logits"].to_list()))
    except InputError as error:
        return f"no threshold from the validation split ({error})"


def _two_class_figures(part: pl.DataFrame, threshold: float | str) -> tuple[dict, str]:
    """AUROC, and sensitivity and specificity where there is a threshold; and what does not apply, or ""."""
    if part["classes"][0] > 2:
        return {}, f"{part['classes'][0]} classes: AUROC, sensitivity and specificity are for two"
    labels, groups = part["label"].to_numpy(), part["group"].to_numpy()
    scores = operating.scores_of(part["logits"].to_list())
    if part["label"].n_unique() == 1:
        return {}, "one class: AUROC, sensitivity and specificity do not apply"
    if not np.isfinite(scores).all():
        return {}, "logits that are not finite: AUROC, sensitivity and specificity do not apply"
    figures = _limits("auroc", operating.auroc(labels, scores, groups))
    if isinstance(threshold, str):
        return figures, threshold
    sensitivity, specificity = operating.sensitivity_specificity(labels, scores, threshold, groups)
    figures |= _limits("sensitivity", sensitivity) | _limits("specificity", specificity)
    return figures | {"threshold": threshold}, ""


def _calibration(part: pl.DataFrame, repetitions: int) -> tuple[dict, str]:
    """Brier score and calibration error; and what does not apply, or ""."""
    logits = np.array(part["logits"].to_list(), float)
    if not np.isfinite(logits).all():
        return {}, "logits that are not finite: Brier score and calibration error do not apply"
    labels, groups, predicted = part["label"].to_numpy(), part["group"].to_numpy(), operating.probabilities(logits)
    figures = _limits("brier", operating.brier(labels, predicted, groups))
    if part["group"].n_unique() < 2:
        return figures, "one patient or lesion: the calibration error does not apply"
    found = operating.calibration_error(labels, predicted, groups, repetitions=repetitions)
    return figures | _limits("calibration_error", found), ""


def _limits(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


COUNTED_BY = [*KEYS, "norm", "epsilon", "label", "prediction"]  # prediction: null where the attack failed
CONFUSION: dict[str, pl.DataType] = {**{name: SCHEMA[name] for name in COUNTED_BY}, "n": pl.UInt32()}


def confusion(rows: pl.DataFrame) -> pl.DataFrame:
    """One line per point of the curve, label and prediction that occurs, with the columns of `CONFUSION`; nothing for what never occurs.

    Args:
        rows: any models, attacks and splits together.

    Raises:
        InputError: as `palpate.statistics.curves.curve`.
    """
    known = pl.when(pl.col("status") == "ok").then("prediction")
    table = check_rows(rows, needed=["prediction"]).with_columns(prediction=known)
    return table.group_by(COUNTED_BY).len("n").sort(COUNTED_BY).cast(CONFUSION)  # pyright: ignore[reportArgumentType]
