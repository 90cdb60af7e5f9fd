"""MedMNIST 2D: twelve sets of small images, each one npz per size, with the official train, val and test arrays.

The medmnist package asserts too much and the files are trivial, so they are read here. No patient is named in them:
every image is its own group. Yang et al. 2023, doi:10.1038/s41597-022-01721-8; files, checksums and counts of its
version 3 (zenodo.org/records/10519652) are in `medmnist.toml`.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.core.registry import TASKS
from palpate.data.arrays import labelled, open_npz
from palpate.data.download import Download
from palpate.data.preprocess import Preprocess
from palpate.data.readers import stated
from palpate.data.split import SPLITS
from palpate.data.tasks import Task

SIZES = (28, 64, 128, 224)
URL = "https://zenodo.org/records/10519652/files"
SETS = stated(__file__)


def file_name(name: str, size: int = 28) -> str:
    """The publisher's file name.

    >>> file_name("pathmnist"), file_name("pathmnist", 224)
    ('pathmnist.npz', 'pathmnist_224.npz')
    """
    return f"{name}.npz" if size == 28 else f"{name}_{size}.npz"


def read(folder: Path, name: str, size: int = 28) -> pl.DataFrame:
    """Read the labels of one set at one of its published sizes; the images stay in the npz.

    Returns:
        A manifest (`palpate.data.manifest.MANIFEST`); `image_id` is "train/000001", `path` is "….npz#train_images#1".

    Raises:
        InputError: the file is absent, damaged, lacks an array, or has labels of another set.
    """
    path, spec = folder / file_name(name, size), SETS[name]
    labels, columns, files = open_npz(path)
    if set(columns.get("split", ())) != set(SPLITS):
        raise InputError(f"{path}: needs train_images, val_images and test_images; download {URL}/{path.name} again")
    if "column" in spec:
        labels = np.reshape(labels, (len(labels), -1))[:, spec["column"] : spec["column"] + 1]
    codes = {str(number): number for number in range(len(spec["classes"]))}
    return labelled(str(path), labels, columns, codes, files=files).rows.with_columns(group_id="image_id")


def task(name: str, size: int = 28) -> Task:
    """The task of one set at one of its published sizes."""
    spec, file = SETS[name], file_name(name, size)
    told: dict[str, Any] = {key: spec[key] for key in ("title", "finding", "images")} | {"marker": file, "sizes": SIZES}
    told |= {"folder": "medmnist", "cite": "Yang et al. 2023, doi:10.1038/s41597-022-01721-8"}
    told["licence"] = "CC BY-NC 4.0" if name == "dermamnist" else "CC BY 4.0"
    told["how_to_get"] = f"it is downloaded when first used; without a network put {URL}/{file} there"
    told["caveat"] = f"published at {size} px; the file names no patients, so one patient may be in two splits"
    told["download"] = Download(file, f"{URL}/{file}", f"md5:{spec['md5'][SIZES.index(size)]}")
    told |= {"preprocess": Preprocess(grey=spec["grey"]), "reader": partial(read, name=name, size=size)}
    named = name if size == 28 else f"{name}-{size}"
    return Task(named, classes=tuple(spec["classes"]), at_size=partial(task, name), **told)


for each in SETS:
    TASKS.add(each, task(each))
