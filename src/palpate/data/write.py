"""Changed images back to files of the kind that they came from: DICOM with its header, else PNG of 8 or 16 bits; and what is read from them again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.core.io import named_errors
from palpate.data import dicom
from palpate.data.fill import open_files
from palpate.data.images import Images, Split
from palpate.data.npz import to_numpy
from palpate.data.preprocess import Preprocess
from palpate.data.values import Native, plain

TABLE = "images.csv"
"""Of the files: path, label or one column for each finding, image_id, group."""


def check_new(folder: Path) -> None:
    """Refuse a folder that cannot be made, or holds something.

    Raises:
        InputError: it is a file, or holds files.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: {'holds files already' if folder.is_dir() else 'is a file'}; name a new folder")


def write_images(
    images: Any,
    folder: Path,
    split: Split,
    places: Sequence[int] | np.ndarray | None,
    native: Native,
    names: tuple[str, ...],
) -> Images:
    """Write one file for each image, see `palpate.data.dataset.Dataset.write`.

    Args:
        images: (n, C, H, W) in [0, 1], those of the split from the first on or at `places`, perhaps changed.
        native: what the values of the originals mean.   names: of the classes, or of several findings.

    Returns:
        The images as they are read from the files.
    """
    pixels = np.moveaxis(to_numpy(images), 1, -1) if np.ndim(images) == 4 else np.empty(0)  # (n, H, W, C)
    shape = (*split.images.shape[2:], split.images.shape[1])
    if pixels.shape[1:] != shape or not 0 < len(pixels) <= len(split):
        most = f"1 to {len(split)} of (C, H, W) = {split.images.shape[1:]}"
        remedy = "give the first images of the split, changed"
        raise InputError(f"images must be {most}, given {np.shape(images)}; {remedy}")
    check_new(folder)
    with named_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    plan = native if isinstance(native, dicom.Plan) else None
    low, high = _ends(split.images, native)
    rows = np.arange(len(split)) if places is None else np.asarray(places)
    rows = rows[: len(pixels)]
    files = [f"{place:05}.{'png' if plan is None else 'dcm'}" for place in range(len(pixels))]
    for name, image, source, image_id in zip(files, pixels, split.files[rows], split.ids[rows], strict=True):
        values = np.asarray(low + image.astype(np.float64) * (high - low))
        if split.images.stored_channels == 1:
            values = _one_channel(values, image_id)
        if plan is None:
            _png(values, folder / name, high)
        else:
            dicom.write(values, source, folder / name, plan)
    _table(split, files, rows, names).write_csv(folder / TABLE)
    return _read_again(split.images, native, folder, files)


def _ends(images: Images, native: Native) -> tuple[float, float]:
    """The values that black and white are written as: their own where the files can hold them, else whole numbers from 0."""
    scale = images.scale
    if native.tagged or (native.levels and (native.low, native.step) == (0, 1)):
        return scale.low, scale.high
    return 0.0, float(scale.steps if scale.levels else 65535)


def _table(split: Split, files: list[str], rows: np.ndarray, names: tuple[str, ...]) -> pl.DataFrame:
    labels = split.labels[rows]
    several = labels.ndim > 1
    told = dict(zip(names, labels.T, strict=True)) if several else {"label": [names[label] for label in labels]}
    return pl.DataFrame({"path": files, **told, "image_id": split.ids[rows], "group": split.groups[rows]})


def _read_again(images: Images, native: Native, folder: Path, files: list[str]) -> Images:
    """The files, at the same size and range."""
    paths = [str(folder.absolute() / name) for name in files]
    plan = dicom.survey(paths) if native.tagged else None
    rows = pl.DataFrame({"image_id": files, "path": paths})
    store = open_files(rows, "written", images.shape[2], Preprocess(), plan)
    kept = plan or plain(store.images.dtype)
    black, white = ((end - kept.low) / kept.step for end in _ends(images, native))
    return Images(store.images, np.arange(len(files)), images.shape[1], black, white, images.scale)


def _png(values: np.ndarray, file: Path, highest: float) -> None:
    """Whole numbers (H, W) or (H, W, 3), 8 bits up to 255."""
    stored = np.clip(np.rint(values), 0, highest).astype(np.uint8 if highest <= 255 else np.uint16)
    written, data = cv2.imencode(".png", stored if stored.ndim == 2 else stored[:, :, ::-1])
    assert written
    file.write_bytes(data.tobytes())


def _one_channel(values: np.ndarray, image_id: str) -> np.ndarray:
    """The one channel of the file of an image (H, W, C) whose channels are equal."""
    if np.ptp(values, axis=-1).max() > 0:
        tied = "attack with channels='tied'"
        raise InputError(f"image {image_id}: has one channel in its file and differs between channels; {tied}")
    return values[:, :, 0]
