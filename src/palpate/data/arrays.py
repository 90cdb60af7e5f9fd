"""Arrays in memory, an npz file, or a torch data set to a manifest and a store: what is not a file for each image."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.data.manifest import Labelled
from palpate.data.npz import channels_first, plain_type
from palpate.data.split import SPLITS
from palpate.data.table import Columns, label
from palpate.data.table_file import Table


def labelled(
    what: str,
    labels: Any,
    columns: Mapping[str, Any],
    classes: Sequence[str] | None,
    findings: Sequence[str] = (),
    files: Sequence[str] = (),
) -> Labelled:
    """The manifest of images that are no files, as that of a table would be.

    Args:
        what: names the images in errors.
        labels: (N,) of whole numbers or words; with `findings` (N, F) of 1, 0 and -1 (unknown).
        columns: image_id, group and split, each optional; the others are metadata. N values each.
        findings: the names of the F columns of labels.
        files: paths as in a manifest; none where the images are in memory.

    Raises:
        InputError: columns of different lengths, or as `palpate.data.table.read`.
    """
    values = np.asarray(labels)
    wanted = 2 if findings else 1
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != wanted or (findings and values.shape[1] != len(findings)):
        shape = (
            f"(N, {len(findings)}), a column for each finding"
            if findings
            else "(N,), or name the findings of several columns"
        )
        raise InputError(f"{what}: labels must have shape {shape}; they have {np.shape(labels)}")
    table: dict[str, Any] = (
        {name: values[:, place] for place, name in enumerate(findings)} if findings else {"label": values}
    )
    lengths = {name: len(column) for name, column in {**table, **columns}.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{what}: every column needs one value per image; lengths are {lengths}")
    count = len(values)
    rows = pl.DataFrame(
        {name: pl.Series(np.asarray(column).tolist(), strict=False) for name, column in {**columns, **table}.items()}
    )
    ids = (
        rows["image_id"].cast(pl.String).to_list()
        if "image_id" in rows.columns
        else [f"{row:06d}" for row in range(count)]
    )
    source = Table(Path(what), rows.drop("image_id", strict=False), range(count), "image")
    return label(
        source,
        Columns.read({"path": "", "findings": tuple(findings)}, "columns"),
        ids,
        list(files) or ["memory"] * count,
        classes,
    )


def images_of(array: Any, layout: str | None) -> Iterator[tuple[int, np.ndarray]]:
    """Row and pixels of every image of an array, a tensor, or a sequence of images."""
    first = None
    for row, image in enumerate(array):
        image = to_numpy(image)
        if first is None:
            first = channels_first(image.shape, "images", layout)
        yield row, plain_type(np.moveaxis(image, 0, -1) if first else image, "images")


def to_numpy(value: Any) -> np.ndarray:
    """An array of a tensor on any device, a Pillow image or anything with `__array__`."""
    value = value.detach().cpu() if hasattr(value, "detach") else value
    return np.asarray(value)


def read_npz(path: Path, classes: Sequence[str] | None, findings: Sequence[str]) -> Labelled:
    """The manifest of an npz file; the images stay in it.

    It holds `images` and `labels`, and perhaps `image_id`, `group`, `split` and further columns; or `train_images`, `train_labels` and so on.

    Raises:
        InputError: the file is absent, damaged or lacks an array, or as `labelled`.
    """
    try:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files if not name.endswith("images")}
            pictures = {name for name in archive.files if name.endswith("images")}
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; check the path") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged or no npz file ({error}); save it again") from None
    parts = (
        ["images"] if "images" in pictures else [f"{name}_images" for name in SPLITS if f"{name}_images" in pictures]
    )
    names = [part.replace("images", "labels") for part in parts]
    missing = [name for name in names if name not in arrays] if parts else ["images"]
    if missing:
        raise InputError(
            f"{path}: array {', '.join(missing)} is missing; found {', '.join(sorted({*arrays, *pictures}))}"
        )
    files = [
        f"{path.resolve()}#{part}#{i}"
        for part, name in zip(parts, names, strict=True)
        for i in range(len(arrays[name]))
    ]
    columns = {name: arrays[name] for name in arrays if name not in names}
    if parts != ["images"]:
        columns = {
            "split": [part.split("_")[0] for part, name in zip(parts, names, strict=True) for _ in arrays[name]],
            "image_id": [
                f"{part.split('_')[0]}/{i:06d}"
                for part, name in zip(parts, names, strict=True)
                for i in range(len(arrays[name]))
            ],
        }
    return labelled(str(path), np.concatenate([arrays[name] for name in names]), columns, classes, findings, files)
