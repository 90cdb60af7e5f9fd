"""ChestX-ray14: frontal chest radiographs of the NIH, pneumothorax against not, grouped by patient.

The labels were mined from reports (Wang et al. 2017), so some are wrong. The official lists are disjoint by patient;
where they are absent we split by patient ourselves.
"""

from pathlib import Path

import polars as pl

from palpate.core.errors import InputError
from palpate.data.readers import add_tasks
from palpate.data.table import read_published
from palpate.data.table_file import open_table

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
    table = open_table(path)
    mentioned = table.column("Finding Labels").drop_nulls().unique().to_list()
    codes = {name: int(name == "Pneumothorax") for name in FINDINGS}
    codes |= {each: int("Pneumothorax" in each.split("|")) for each in mentioned if set(each.split("|")) <= set(codes)}
    names = {"path": "Image Index", "label": "Finding Labels", "group": "Patient ID"}
    rows = _official_split(read_published(table, folder, codes, **names), folder, path)
    return rows.with_columns(pl.col("image_id").str.replace(r"\.png$", ""))


def _official_split(rows: pl.DataFrame, folder: Path, path: Path) -> pl.DataFrame:
    present = {split: folder / name for split, name in LISTS.items() if (folder / name).is_file()}
    if not present:
        return rows
    if len(present) < len(LISTS):
        lacking = next(name for name in LISTS.values() if not (folder / name).is_file())
        raise InputError(f"{folder / lacking}: the other official list is there; get both or neither")
    where: dict[str, str] = {}
    for split, list_path in present.items():
        for name in list_path.read_text(encoding="utf-8-sig").split():
            if where.setdefault(name, split) != split:
                raise InputError(f"{list_path}: {name} is in both official lists; download them again")
    known = set(rows["image_id"])
    unknown = [name for name in where if name not in known]
    unlisted = [name for name in rows["image_id"] if name not in where]
    if unknown or unlisted:
        fault = f"the official lists name {len(unknown)} images that {path.name} does not have"
        fault += f", and {len(unlisted)} images of it are in neither list, first {(unknown or unlisted)[0]}"
        raise InputError(f"{folder}: {fault}; complete the set, or remove both lists to split by patient instead")
    return rows.with_columns(split=pl.col("image_id").replace_strict(where, return_dtype=pl.String))


add_tasks(__file__, chestxray14=read)
