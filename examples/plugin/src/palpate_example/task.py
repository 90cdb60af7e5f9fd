"""A task: images in one folder for each class, named PATIENT_NUMBER.png, as many people have them."""

from pathlib import Path

import polars as pl

from palpate.data.files import image_files
from palpate.data.manifest import manifest
from palpate.data.tasks import Task

CLASSES = ("plain", "striped")


def read(folder: Path) -> pl.DataFrame:
    """Read `plain/` and `striped/`; the part of a file's name before "_" is the patient, who is never in two splits.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`).
    """
    rows = [
        {
            "image_id": f"{name}/{path.stem}",
            "path": str(path),
            "group_id": path.stem.split("_")[0],
            "label": label,
            "published": name,
        }
        for label, name in enumerate(CLASSES)
        for path in image_files(folder / name)
    ]
    return manifest(pl.DataFrame(rows), folder)


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
