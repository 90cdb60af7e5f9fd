"""Synthetic images, generated once and kept in the same store as decoded photographs, with their masks beside them.

Generating a few thousand takes tens of seconds, and a study opens its data each time it is resumed.
"""

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from palpate.core.progress import progress_bar
from palpate.data.decode import pixel_hash
from palpate.data.preprocess import Preprocess, prepare
from palpate.data.split import SPLITS
from palpate.data.store import Store, cache_folder, new_images, open_or_make
from palpate.data.tasks import Task

COUNTS = {"train": 1600, "val": 400, "test": 400}  # where no limit is given


def open_synthetic(
    task: Task, size: int, seed: int, limits: Mapping[str, int | None], settings: Preprocess
) -> tuple[Store, np.ndarray]:
    """Open the images of a synthetic task, generating them first where that was not done before.

    Every split is generated with a seed of its own, so its patients are its own.

    Args:
        limits: the number of images of each split; `COUNTS` where None.
        settings: an image filter asked for runs on the generated image, whose size is final.

    Returns:
        The store, whose index has image_id, group_id, label, split and pixels; and the masks, memory-mapped bool
        (N, S, S).
    """
    counts = {name: COUNTS[name] if limits[name] is None else int(limits[name] or 0) for name in SPLITS}
    key = hashlib.sha256(f"{_code(task.generate)} {counts} {size} {seed} {settings}".encode()).hexdigest()[:16]
    folder = cache_folder() / f"{task.name}-{size}-{key}"
    store = open_or_make(folder, lambda beside: _fill(beside, size, task, seed, counts, settings))
    return store, np.load(folder / "masks.npy", mmap_mode="r")


def _fill(beside: Path, size: int, task: Task, seed: int, counts: dict[str, int], settings: Preprocess) -> pl.DataFrame:
    assert task.generate is not None
    total = sum(counts.values())
    images = new_images(beside, (total, size, size, 3), np.dtype(np.uint8))
    parts, masks, start = [], [], 0
    with progress_bar(Console(stderr=True), f"generating {task.name}, {size} px") as told:
        for offset, (name, count) in enumerate(counts.items()):
            made = task.generate(count, size, len(SPLITS) * seed + offset)
            for row, image in enumerate(made.images, start):
                images[row] = prepare(image, size, settings)
            rows = pl.DataFrame({"image_id": made.ids, "group_id": made.groups, "label": made.labels})
            names = (pl.lit(f"{name}/") + pl.col("image_id", "group_id")).name.keep()
            pixels = pl.Series("pixels", [pixel_hash(image) for image in made.images])
            parts.append(rows.with_columns(names, pl.col("label").cast(pl.Int32), pixels, split=pl.lit(name)))
            masks.append(made.masks)
            start += count
            told(start, total, "images")
    np.save(beside / "masks.npy", np.concatenate(masks))
    return pl.concat(parts)


def _code(generate: Any) -> str:
    """A hash of the folder of code that generates: with changed code the images are made anew."""
    source = inspect.getsourcefile(getattr(generate, "func", generate))
    digest = hashlib.sha256()
    for file in sorted(Path(source or "").parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
