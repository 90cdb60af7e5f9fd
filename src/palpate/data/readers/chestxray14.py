"""ChestX-ray14: frontal chest radiographs of the NIH, pneumothorax against not, grouped by patient.

The labels were mined from reports (Wang et al. 2017), so some are wrong. The official lists are disjoint by patient;
where they are absent we split by patient ourselves.
"""

from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.core.registry import TASKS
from palpate.data.manifest import manifest
from palpate.data.preprocess import Preprocess
from palpate.data.readers.table import attach_paths, encode_labels
from palpate.data.table_file import read_table
from palpate.data.tasks import Task

CLASSES = ("no pneumothorax", "pneumothorax")
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "No Finding", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}


def read(folder: Path) -> pl.DataFrame:
    """Read `Data_Entry_2017*.csv`, the images of `images_*/images/` and, where both exist, the official lists.

    Of several versions of the table the newest by name is read. "train" is the official train-and-validation list.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); `image_id` is the file name without suffix.

    Raises:
        InputError: the table or a column is missing, a finding is unknown, a named image is absent, or the lists
            are incomplete or name an image that the table does not have.
    """
    versions = sorted(folder.glob("Data_Entry_2017*.csv"), key=lambda p: p.stem)
    path = versions[-1] if versions else folder / "Data_Entry_2017_v2020.csv"
    rows = read_table(path, ["Image Index", "Finding Labels", "Patient ID"])
    mentioned = rows.select("Image Index", pl.col("Finding Labels").str.split("|")).explode("Finding Labels")
    encode_labels(mentioned, "Finding Labels", {name: i for i, name in enumerate(FINDINGS)}, path)
    positive = pl.col("Finding Labels").str.split("|").list.contains("Pneumothorax")
    rows = rows.with_columns(
        positive.cast(pl.Int32).alias("label"),
        pl.col("Finding Labels").alias("published"),
        pl.col("Image Index").str.replace(r"\.png$", "").alias("image_id"),
    )
    rows = attach_paths(rows, rows["image_id"], folder, path)
    rows = _official_split(rows, folder, path)
    return manifest(rows.rename({"Patient ID": "group_id"}), path)


def _official_split(rows: pl.DataFrame, folder: Path, path: Path) -> pl.DataFrame:
    present = {split: folder / name for split, name in LISTS.items() if (folder / name).is_file()}
    if not present:
        return rows
    if len(present) < len(LISTS):
        lacking = next(name for name in LISTS.values() if not (folder / name).is_file())
        raise InputError(
            f"{folder / lacking}: the other official list is there and this one is not; get both or neither"
        )
    where: dict[str, str] = {}
    for split, list_path in present.items():
        for name in list_path.read_text(encoding="utf-8-sig").split():
            if where.setdefault(name, split) != split:
                raise InputError(f"{list_path}: {name} is in both official lists; download them again")
    known = set(rows["Image Index"])
    unknown = [name for name in where if name not in known]
    if unknown:
        raise InputError(
            f"{folder}: the official lists name {len(unknown)} images that {path.name} does not have, first "
            f"{', '.join(unknown[:5])}; complete the set, or remove both lists to split by patient instead"
        )
    unlisted = [name for name in rows["Image Index"] if name not in where]
    if unlisted:
        raise InputError(
            f"{path}: {len(unlisted)} images are in neither official list, first {', '.join(unlisted[:5])}; "
            "complete the lists, or remove both to split by patient instead"
        )
    return rows.with_columns(pl.col("Image Index").replace_strict(where, return_dtype=pl.String).alias("split"))


TASKS.add(
    "chestxray14",
    Task(
        name="chestxray14",
        title="ChestX-ray14: pneumothorax",
        classes=CLASSES,
        finding="pneumothorax",
        images=112120,
        licence="free use, cite",
        cite="Wang et al. 2017, doi:10.1109/CVPR.2017.369",
        how_to_get="download Data_Entry_2017_v2020.csv, both lists and images_*/ from nihcc.app.box.com/v/ChestXray-NIHCC",
        folder="chestxray14",
        marker="Data_Entry_2017*.csv",
        reader=read,
        preprocess=Preprocess(grey=True),
        caveat="labels were mined from reports by text, so some are wrong",
    ),
)
