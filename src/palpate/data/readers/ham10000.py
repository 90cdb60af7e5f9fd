"""HAM10000: dermatoscopic images of pigmented lesions, seven diagnoses, grouped by lesion.

A lesion was photographed up to six times, so a random split would put about 40 % of the test images' lesions into
training. The group is therefore the lesion. Layout and counts: Tschandl et al. 2018, doi:10.7910/DVN/DBW86T.
"""

from pathlib import Path

import polars as pl

from palpate.data.readers import table

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
CSV = "HAM10000_metadata.csv"


def read(folder: Path) -> pl.DataFrame:
    """Read `HAM10000_metadata.csv` and the images of `HAM10000_images_part_1/` and `_part_2/`.

    Returns:
        A manifest (`readers.table.MANIFEST`); `image_id` is the ISIC name, `split` is null.

    Raises:
        InputError: the table or a column is missing, a diagnosis is unknown, or a named image is absent.
    """
    # Harvard Dataverse serves the table without suffix or as .tab; the common copies have .csv
    path = next((p for p in (folder / CSV, folder / "HAM10000_metadata") if p.is_file()), folder / CSV)
    rows = table.read_table(path, ["image_id", "lesion_id", "dx"])
    rows = table.encode_labels(rows, "dx", {name: i for i, name in enumerate(CLASSES)}, path)
    rows = table.attach_paths(rows, rows["image_id"], table.image_files(folder), path)
    return table.manifest(rows.rename({"lesion_id": "group_id"}), "skin lesion", path)
