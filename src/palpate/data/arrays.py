"""Arrays in memory or in an npz file, to a manifest: what is not a file for each image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.core.npz import array_shapes, read_arrays
from palpate.data.manifest import Labelled
from palpate.data.split import SPLITS
from palpate.data.table import Classes, Columns, label
from palpate.data.table_file import Table


def labelled(
    what: str,
    labels: Any,
    columns: Mapping[str, Any],
    classes: Classes = None,
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
    if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1):
        values = values.reshape(-1, 1)
    names = tuple(findings) or ("label",)
    if values.ndim != 2 or values.shape[1] != len(names):
        shape = f"(N, {len(names)}), a column for each finding" if findings else "(N,), or name several findings"
        raise InputError(f"{what}: labels must have shape {shape}; they have {np.shape(labels)}")
    table = {**columns, **dict(zip(names, values.T, strict=True))}
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{what}: every column needs one value per image; lengths are {lengths}")
    rows = pl.DataFrame({name: pl.Series(np.asarray(column).tolist(), strict=False) for name, column in table.items()})
    ids = rows["image_id"].cast(pl.String).to_list() if "image_id" in table else [f"{i:06d}" for i in range(len(rows))]
    source = Table(Path(what), rows.drop("image_id", strict=False), range(len(rows)), "image")
    wanted = Columns.read({"path": "", "findings": tuple(findings)}, "columns")
    return label(source, wanted, ids, list(files) or ["memory"] * len(rows), classes)


def open_npz(path: Path) -> tuple[np.ndarray, dict[str, Any], list[str]]:
    """The labels of an npz file, its other columns, and the images' paths as in a manifest; the images stay in it.

    It holds `images` and `labels`, and perhaps `image_id`, `group`, `split` and further columns; or `train_images`, `train_labels` and so on.

    Raises:
        InputError: the file is absent, damaged or lacks an array, or images and labels differ in number.
    """
    found = array_shapes(path)
    names = [name for name in ("images", *(f"{split}_images" for split in SPLITS)) if name in found]
    names = ["images"] if "images" in names or not names else names
    needed = [*names, *(name.replace("images", "labels") for name in names)]
    if missing := ", ".join(name for name in needed if name not in found):
        raise InputError(f"{path}: array {missing} is missing; found {', '.join(found)}")
    held = read_arrays(path, leave=names)
    labels = {name: np.atleast_1d(held[name.replace("images", "labels")]) for name in names}
    for name, values in labels.items():
        if len(found[name]) < 3 or found[name][0] != len(values):
            shape = f"{name} has shape {found[name]} and its labels {values.shape}"
            raise InputError(f"{path}: {shape}; images (N, H, W), (N, H, W, C) or (N, C, H, W) and N labels are needed")
    others = {name: array for name, array in held.items() if name not in needed}
    try:
        values = np.concatenate(list(labels.values()))
    except ValueError as error:
        raise InputError(f"{path}: its labels differ in shape ({error})") from None
    places = [(name, i) for name in names for i in range(len(labels[name]))]
    if names != ["images"]:
        splits = [name.removesuffix("_images") for name, _ in places]
        ids = [f"{split}/{i:06d}" for split, (_, i) in zip(splits, places, strict=True)]
        others = {"split": splits, "image_id": ids}
    return values, others, [f"{path.resolve()}#{name}#{i}" for name, i in places]
