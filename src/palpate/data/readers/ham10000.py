"""HAM10000: dermatoscopic images of pigmented lesions, seven diagnoses, grouped by lesion.

A lesion was photographed up to six times, so a random split would put about 40 % of the test images' lesions into
training. The group is therefore the lesion. Layout and counts: Tschandl et al. 2018, doi:10.7910/DVN/DBW86T.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.core.registry import TASKS
from palpate.data.manifest import manifest
from palpate.data.readers.table import attach_paths, encode_labels
from palpate.data.split import quotas, shuffle_key
from palpate.data.table_file import read_table
from palpate.data.tasks import Task

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
CODES = {name: i for i, name in enumerate(CLASSES)}
METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")  # Dataverse serves all three
REFERENCE_SHARE = 0.15  # of the one-image lesions; Datta et al. 2021
CHALLENGE_TABLE = "ISIC2018_Task3_Test_GroundTruth.csv"
FINDING = "skin lesion"


def read(folder: Path) -> pl.DataFrame:
    """Read the metadata table and the images of `HAM10000_images_part_1/` and `_part_2/`.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); `image_id` is the ISIC name, `split` is null.

    Raises:
        InputError: the table or a column is missing, a diagnosis is unknown, or a named image is absent.
    """
    path = next((folder / name for name in METADATA if (folder / name).is_file()), folder / METADATA[0])
    rows = read_table(path, ["image_id", "lesion_id", "dx"])
    rows = encode_labels(rows, "dx", CODES, path)
    rows = attach_paths(rows, rows["image_id"], folder, path)
    return manifest(rows.rename({"lesion_id": "group_id"}), path)


def read_reference(folder: Path) -> pl.DataFrame:
    """HAM10000 with the test set of Datta et al. 2021: 15 % of the lesions with one image, stratified by diagnosis.

    Their draw has no seed, so ours is another draw of the same kind, always the same one: 828 of 5,514 lesions. They
    chose the epoch on this test set; here `val` is drawn from the rest, by lesion.

    Returns:
        A manifest with `split` "train" or "test".
    """
    manifest = read(folder)
    single = manifest.filter(pl.len().over("group_id") == 1).sort("image_id")
    size = -int(-REFERENCE_SHARE * len(single) // 1)  # rounded up
    shares = quotas(dict(sorted(single["label"].value_counts().iter_rows())), size)
    keys = [shuffle_key(0, image_id) for image_id in single["image_id"]]
    shuffled = single[sorted(range(len(single)), key=keys.__getitem__)]
    rank = pl.int_range(pl.len()).over("label")
    test = shuffled.filter(rank < pl.col("label").replace_strict(shares, return_dtype=pl.Int64))["image_id"]
    in_test = pl.col("image_id").is_in(test.to_list())
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
    path = challenge / CHALLENGE_TABLE
    if not path.is_file():
        path = next(iter(sorted(challenge.rglob(CHALLENGE_TABLE))), path)
    try:
        rows = read_table(path, ["image", *(name.upper() for name in CLASSES)])
    except InputError as one_hot:
        try:
            rows = read_table(path, ["image_id", "lesion_id", "dx"]).rename({"lesion_id": "group_id"})
        except InputError:
            raise one_hot from None
    else:
        rows = _from_one_hot(rows, path)
    rows = encode_labels(rows, "dx", CODES, path)
    rows = attach_paths(rows, rows["image_id"], challenge, path)
    test = manifest(rows.with_columns(pl.lit("test").alias("split")), path)
    train = read(folder).with_columns(pl.lit("train").alias("split"))
    return manifest(pl.concat([train, test]), path)


def _from_one_hot(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    columns = [name.upper() for name in CLASSES]
    values = rows.select(pl.col(columns).cast(pl.Float64, strict=False))
    hot = pl.sum_horizontal(pl.all() == 1)
    cold = pl.sum_horizontal(pl.all() == 0)
    odd = rows.filter(values.select((hot == 1) & (cold == len(columns) - 1)).to_series().not_())
    if not odd.is_empty():
        raise InputError(
            f"{path}: {len(odd)} rows do not have one 1 and otherwise 0 in {', '.join(columns)}, first {odd['image'][0]}"
        )
    index = values.select(pl.concat_list(pl.all()).list.arg_max()).to_series()
    dx = pl.Series("dx", [CLASSES[i] for i in index])
    return rows.select(pl.col("image").alias("image_id"), pl.col("image").alias("group_id"), dx)


HAM10000 = Task(
    name="ham10000",
    title="HAM10000: pigmented skin lesions",
    classes=CLASSES,
    finding=FINDING,
    images=10015,
    licence="CC BY-NC 4.0",
    cite="Tschandl et al. 2018, doi:10.7910/DVN/DBW86T",
    how_to_get="download HAM10000_metadata, HAM10000_images_part_1 and _part_2 from doi.org/10.7910/DVN/DBW86T",
    folder="ham10000",
    marker="HAM10000_metadata*",
    reader=read,
)
TASKS.add("ham10000", HAM10000)
TASKS.add(
    "ham10000-reference",
    replace(
        HAM10000,
        name="ham10000-reference",
        title="HAM10000, with a test set as Datta et al. 2021 drew it",
        reader=read_reference,
        caveat="the test set holds only lesions photographed once, so it is no fair sample of all lesions",
    ),
)
TASKS.add(
    "ham10000-isic2018",
    replace(
        HAM10000,
        name="ham10000-isic2018",
        title="HAM10000 for training, ISIC 2018 task 3 for testing",
        images=10015 + 1511,
        how_to_get="HAM10000 as above; ISIC2018_Task3_Test_GroundTruth.csv and _Images from the same page into isic2018/",
        extra_folders=("isic2018",),
        reader=read_external,
    ),
)
