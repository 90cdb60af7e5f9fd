"""MedMNIST 2D: small images in one npz per set, with the official train, val and test arrays.

The medmnist package asserts too much and the file is trivial, so it is read here. No patient is named in it: every
image is its own group. Yang et al. 2023, doi:10.1038/s41597-022-01721-8.
"""

import zipfile
from pathlib import Path

import numpy as np
import polars as pl

from palpate.data.readers import table
from palpate.errors import InputError

SPLITS = ("train", "val", "test")


def read_pneumonia(folder: Path) -> pl.DataFrame:
    """Read `pneumoniamnist.npz`: label 1 is pneumonia.

    Returns:
        A manifest (`readers.table.MANIFEST`); `image_id` is "train/00001", `path` is "…/pneumoniamnist.npz#train#1".

    Raises:
        InputError: the file is absent, damaged, lacks an array, or has other labels.
    """
    return read_npz(folder / "pneumoniamnist.npz", finding="pneumonia", classes=2)


def read_npz(path: Path, finding: str, classes: int) -> pl.DataFrame:
    """Read the labels of a MedMNIST file with one label per image; the images stay in it."""
    if not path.is_file():
        raise InputError(f"{path}: missing; download the file of that name from MedMNIST (zenodo.org/records/10519652)")
    parts = []
    try:
        with np.load(path) as arrays:
            names = [f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")]
            missing = [name for name in names if name not in arrays]
            if missing:
                raise InputError(f"{path}: array {', '.join(missing)} is missing; found {', '.join(arrays)}")
            for split in SPLITS:
                labels = np.asarray(arrays[f"{split}_labels"])  # (N, 1)
                if labels.size != len(labels):
                    raise InputError(f"{path}: {split}_labels has shape {labels.shape}; one label per image is needed")
                parts.append(_one_split(path, split, labels.reshape(-1)))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged or no npz file ({error}); download it again") from None
    codes = {str(i): i for i in range(classes)}
    return table.manifest(table.encode_labels(pl.concat(parts), "value", codes, path), finding, path)


def _one_split(path: Path, split: str, labels: np.ndarray) -> pl.DataFrame:
    ids = [f"{split}/{i:05d}" for i in range(len(labels))]
    return pl.DataFrame(
        {
            "image_id": ids,
            "group_id": ids,
            "path": [f"{path.resolve()}#{split}#{i}" for i in range(len(labels))],
            "value": [str(int(value)) for value in labels],
            "split": [split] * len(labels),
        }
    )
