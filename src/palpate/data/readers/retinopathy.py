"""Kaggle's two retinopathy sets, EyePACS 2015 and APTOS 2019: fundus photographs graded 0 to 4, 0-1 against 2-4.

EyePACS names both eyes of a patient, so the group is the patient. APTOS names nobody, and repeats pictures, some with
another grade: its task removes them (`palpate.data.leaks.resolve`).
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.core.registry import TASKS
from palpate.data.manifest import manifest
from palpate.data.readers.table import attach_paths, encode_labels
from palpate.data.table_file import read_table
from palpate.data.tasks import Task

CLASSES = ("grade 0-1", "grade 2-4")
GRADES = {"0": 0, "1": 0, "2": 1, "3": 1, "4": 1}
FINDING = "diabetic retinopathy"


def read_eyepacs(folder: Path) -> pl.DataFrame:
    """Read `trainLabels.csv` (image, level) and `train/10_left.jpeg`: the 35,126 images that have public labels.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); the group is the patient, `split` is null.

    Raises:
        InputError: the table or a column is missing, a grade is not 0 to 4, an image is absent or not named
            NUMBER_left or NUMBER_right.
    """
    return manifest(_eyes(folder, "trainLabels.csv", "train"), folder / "trainLabels.csv")


def read_eyepacs_official(folder: Path) -> pl.DataFrame:
    """`read_eyepacs` as "train", and the competition's test set (`retinopathy_solution.csv`, `test/`) as "test".

    Both halves of the test set, Usage "Public" and "Private", are read: 53,576 images.
    """
    train = _eyes(folder, "trainLabels.csv", "train").with_columns(pl.lit("train").alias("split"))
    test = _eyes(folder, "retinopathy_solution.csv", "test").with_columns(pl.lit("test").alias("split"))
    return manifest(pl.concat([train, test]), folder)


def read_aptos(folder: Path) -> pl.DataFrame:
    """Read APTOS 2019's `train.csv` (id_code, diagnosis) and `train_images/*.png`; its test set has no public grades.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); every image is its own group, `split` is null.
    """
    path = folder / "train.csv"
    rows = read_table(path, ["id_code", "diagnosis"])
    rows = encode_labels(rows, "diagnosis", GRADES, path)
    rows = attach_paths(rows, rows["id_code"], folder / "train_images", path)
    rows = rows.with_columns(pl.col("id_code").alias("image_id"), pl.col("id_code").alias("group_id"))
    return manifest(rows, path)


def _eyes(folder: Path, csv: str, images: str) -> pl.DataFrame:
    path = folder / csv
    rows = read_table(path, ["image", "level"])
    rows = encode_labels(rows, "level", GRADES, path)
    odd = rows.filter(~pl.col("image").str.contains(r"^\d+_(left|right)$"))
    if not odd.is_empty():
        raise InputError(
            f"{path}: {len(odd)} images are not named NUMBER_left or NUMBER_right, first {odd['image'][0]!r}; the number "
            "is the patient, without which eyes of one patient could be on both sides of the split"
        )
    rows = attach_paths(rows, rows["image"], folder / images, path)
    patient = pl.col("image").str.replace(r"_(left|right)$", "")
    return rows.with_columns(pl.col("image").alias("image_id"), patient.alias("group_id")).select(
        "image_id", "group_id", "path", "label", "published"
    )


EYEPACS = Task(
    name="kaggledr",
    title="Kaggle DR (EyePACS): diabetic retinopathy, grades 0-1 against 2-4",
    classes=CLASSES,
    finding=FINDING,
    images=35126,
    licence="Kaggle competition rules",
    cite="EyePACS and California Healthcare Foundation 2015",
    how_to_get="download trainLabels.csv and train/ from kaggle.com/c/diabetic-retinopathy-detection",
    folder="kaggledr",
    marker="trainLabels.csv",
    reader=read_eyepacs,
)
TASKS.add("kaggledr", EYEPACS)
TASKS.add(
    "kaggledr-official",
    replace(
        EYEPACS,
        name="kaggledr-official",
        title=EYEPACS.title + ", official test set",
        images=35126 + 53576,
        how_to_get=EYEPACS.how_to_get + ", and retinopathy_solution.csv and test/ besides",
        marker="retinopathy_solution.csv",
        reader=read_eyepacs_official,
    ),
)
TASKS.add(
    "aptos2019",
    Task(
        name="aptos2019",
        title="APTOS 2019: diabetic retinopathy, grades 0-1 against 2-4",
        classes=CLASSES,
        finding=FINDING,
        images=3662,
        licence="Kaggle competition rules",
        cite="APTOS and Aravind Eye Hospital 2019",
        how_to_get="download train.csv and train_images/ from kaggle.com/c/aptos2019-blindness-detection",
        folder="aptos2019",
        marker="train.csv",
        reader=read_aptos,
        caveat="patients are not named, so one patient may be in two splits",
        deduplicate=True,
    ),
)
