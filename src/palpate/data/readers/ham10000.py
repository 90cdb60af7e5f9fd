"""HAM10000: dermatoscopic images of pigmented lesions, seven diagnoses, grouped by lesion.

A lesion was photographed up to six times, so a random split would put about 40 % of the test images' lesions into
training. The group is therefore the lesion. Layout and counts: Tschandl et al. 2018, doi:10.7910/DVN/DBW86T.
"""

import math
from dataclasses import replace
from pathlib import Path

import polars as pl

from palpate.data.readers import add_tasks
from palpate.data.split import take
from palpate.data.table import read_published
from palpate.data.table_file import open_table

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
CODES = {name: i for i, name in enumerate(CLASSES)}
METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")  # Dataverse serves all three
REFERENCE_SHARE = 0.15  # of the one-image lesions; Datta et al. 2021
CHALLENGE_TABLE = "ISIC2018_Task3_Test_GroundTruth.csv"


def read(folder: Path) -> pl.DataFrame:
    """Read the metadata table and the images of `HAM10000_images_part_1/` and `_part_2/`.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); `image_id` is the ISIC name, `split` is null.

    Raises:
        InputError: the table or a column is missing, a diagnosis is unknown, or a named image is absent.
    """
    path = next((folder / name for name in METADATA if (folder / name).is_file()), folder / METADATA[0])
    return read_published(path, folder, CODES, path="image_id", label="dx", group="lesion_id")


def read_reference(folder: Path) -> pl.DataFrame:
    """HAM10000 with the test set of Datta et al. 2021: 15 % of the lesions with one image, stratified by diagnosis.

    Their draw has no seed, so ours is another draw of the same kind, always the same one: 828 of 5,514 lesions. They
    chose the epoch on this test set; here `val` is drawn from the rest, by lesion.

    Returns:
        A manifest with `split` "train" or "test".
    """
    manifest = read(folder)
    single = manifest.filter(pl.len().over("group_id") == 1).with_columns(pl.lit("test").alias("split"))
    test = take(single, {"test": math.ceil(REFERENCE_SHARE * len(single))}, seed=0)
    in_test = pl.col("image_id").is_in(test["image_id"].to_list())
    return manifest.with_columns(pl.when(in_test).then(pl.lit("test")).otherwise(pl.lit("train")).alias("split"))


def read_external(folder: Path, challenge: Path) -> pl.DataFrame:
    """Train on all of HAM10000, test on the ISIC 2018 task 3 test set.

    Args:
        folder: of HAM10000.
        challenge: holds `ISIC2018_Task3_Test_GroundTruth.csv` (one-hot MEL, NV, BCC, AKIEC, BKL, DF, VASC; or
            lesion_id, image_id, dx as in HAM10000) and the images, at any depth.

    Returns:
        A manifest with `split` "train" or "test".

    Raises:
        InputError: as `read`, or a row of the table that is not one-hot.
    """
    path = next(iter(sorted(challenge.rglob(CHALLENGE_TABLE))), challenge / CHALLENGE_TABLE)
    table = open_table(path)
    if "dx" in table.rows.columns:
        test = read_published(table, challenge, CODES, path="image_id", label="dx", group="lesion_id")
    else:
        columns = [name.upper() for name in CLASSES]
        table.require(["image", *columns])
        hot = table.rows.select(pl.col(columns).cast(pl.Float64, strict=False)).rows()
        odd = [row for row, values in enumerate(hot) if (values.count(1), values.count(0)) != (1, len(CLASSES) - 1)]
        fault = f"{len(odd)} rows do not have one 1 and otherwise 0 in {', '.join(columns)}"
        table.refuse(odd, fault, "download it again")
        dx = pl.Series("dx", [CLASSES[values.index(1)] for values in hot])
        table = replace(table, rows=table.rows.select("image", dx, group="image"))
        test = read_published(table, challenge, CODES, path="image", label="dx")
    splits = {"train": read(folder), "test": test}
    parts = [rows.with_columns(pl.lit(name).alias("split")) for name, rows in splits.items()]
    return pl.concat(parts, how="diagonal_relaxed")


add_tasks(__file__, ham10000=read, ham10000_reference=read_reference, ham10000_isic2018=read_external)
