"""A task: images in one folder for each class, named PATIENT_NUMBER.png, as many people have them."""

from pathlib import Path

import polars as pl

from palpate.data.readers import table
from palpate.data.tasks import Task

CLASSES = ("plain", "striped")


def read(folder: Path) -> pl.DataFrame:
    """Read `plain/` and `striped/`; the part of a file's name before "_" is the patient, who is never in two splits.

    Returns:
        A manifest (`palpate.data.readers.table.MANIFEST`).
    """
    rows = [
        {
            "image_id": f"{name}/{stem}",
            "path": str(path),
            "group_id": stem.split("_")[0],
            "label": label,
            "published": name,
        }
        for label, name in enumerate(CLASSES)
        for stem, path in table.image_files(folder / name).items()
    ]
    return table.manifest(pl.DataFrame(rows), "stripes", folder)


STRIPES = Task(
    name="example-stripes",
    title="Example: plain and striped squares",
    classes=CLASSES,
    finding="stripes",
    images=80,
    licence="Apache-2.0",
    cite="palpate-example-plugin",
    how_to_get="write images into example-stripes/plain/ and example-stripes/striped/",
    folder="example-stripes",
    marker="striped/*.png",
    reader=read,
)
