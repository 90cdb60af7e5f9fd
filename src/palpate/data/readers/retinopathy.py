"""Kaggle's two retinopathy sets, EyePACS 2015 and APTOS 2019: fundus photographs graded 0 to 4, 0-1 against 2-4.

EyePACS names both eyes of a patient, so the group is the patient. APTOS names nobody, and repeats pictures, some with
another grade: its task removes them (`palpate.data.leaks.resolve`).
"""

from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.data.readers import add_tasks
from palpate.data.readers.idrid import GRADES
from palpate.data.table import read_published


def read_eyepacs(folder: Path) -> pl.DataFrame:
    """Read `trainLabels.csv` (image, level) and `train/10_left.jpeg`: the 35,126 images that have public labels.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); the group is the patient, `split` is null.

    Raises:
        InputError: the table or a column is missing, a grade is not 0 to 4, an image is absent or not named
            NUMBER_left or NUMBER_right.
    """
    return _eyes(folder, "trainLabels.csv", "train")


def read_eyepacs_official(folder: Path) -> pl.DataFrame:
    """`read_eyepacs` as "train", and the competition's test set (`retinopathy_solution.csv`, `test/`) as "test".

    Both halves of the test set, Usage "Public" and "Private", are read: 53,576 images.
    """
    tables = {"train": "trainLabels.csv", "test": "retinopathy_solution.csv"}
    parts = [_eyes(folder, csv, split).with_columns(split=pl.lit(split)) for split, csv in tables.items()]
    return pl.concat(parts, how="diagonal_relaxed")


def read_aptos(folder: Path) -> pl.DataFrame:
    """Read APTOS 2019's `train.csv` (id_code, diagnosis) and `train_images/*.png`; its test set has no public grades.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); every image is its own group, `split` is null.
    """
    rows = read_published(folder / "train.csv", folder / "train_images", GRADES, path="id_code", label="diagnosis")
    return rows.with_columns(group_id="image_id")


def _eyes(folder: Path, csv: str, images: str) -> pl.DataFrame:
    rows = read_published(folder / csv, folder / images, GRADES, path="image", label="level")
    odd = rows.filter(~pl.col("image_id").str.contains(r"^\d+_(left|right)$"))["image_id"]
    if len(odd):
        fault = f"{len(odd)} images are not named NUMBER_left or NUMBER_right, first {odd[0]!r}"
        why = "the number is the patient, without which eyes of one patient could be on both sides of the split"
        raise InputError(f"{folder / csv}: {fault}; {why}")
    return rows.with_columns(group_id=pl.col("image_id").str.replace(r"_(left|right)$", ""))


add_tasks(__file__, kaggledr=read_eyepacs, kaggledr_official=read_eyepacs_official, aptos2019=read_aptos)
