"""IDRiD disease grading: 516 fundus photographs with retinopathy grades, in the official train and test sets.

Both sets number their images from 001, so `image_id` carries the set. Nothing names patients, so every image is its
own group; identical images are joined later, by their pixels (test 064 is train 118). Porwal et al. 2018.
"""

from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.data.readers import add_tasks
from palpate.data.table import read_published

GRADES = {"0": 0, "1": 0, "2": 1, "3": 1, "4": 1}
SETS = {"train": ("a. Training Set", "Training Labels.csv"), "test": ("b. Testing Set", "Testing Labels.csv")}


def read(folder: Path) -> pl.DataFrame:
    """Read both sets of `B. Disease Grading/`; grades 0 and 1 become label 0, grades 2 to 4 label 1.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); `image_id` is "train/IDRiD_001", `split` "train" or "test".

    Raises:
        InputError: a table, a column or a named image is missing, or a grade is not 0 to 4.
    """
    base = folder / "B. Disease Grading"
    if not base.is_dir():
        raise InputError(f"{base}: missing; unpack the publisher's 'B. Disease Grading.zip' in {folder}")
    parts = []
    for split, (images, labels) in SETS.items():
        names = {"path": "Image name", "label": "Retinopathy grade"}
        csv = base / "2. Groundtruths" / f"{images[:2]} IDRiD_Disease Grading_{labels}"
        rows = read_published(csv, base / "1. Original Images" / images, GRADES, **names)
        image_id = split + "/" + pl.col("image_id")
        parts.append(rows.with_columns(image_id=image_id, group_id=image_id, split=pl.lit(split)))
    return pl.concat(parts, how="diagonal_relaxed")


add_tasks(__file__, idrid=read)
