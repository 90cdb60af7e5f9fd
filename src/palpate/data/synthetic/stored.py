"""Phantoms, drawn once and kept in the same store as decoded photographs, with their masks beside them.

Drawing a few thousand takes tens of seconds, and a study opens its data each time it is resumed.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

import palpate.data
from palpate.data.decode import pixel_hash
from palpate.data.preprocess import Preprocess, prepare
from palpate.data.split import SPLITS
from palpate.data.store import Store, cache_folder, open_or_make, progress_bar
from palpate.data.tasks import Task

COUNTS = {"train": 1600, "val": 400, "test": 400}  # where no limit is given


def open_phantoms(
    task: Task, size: int, seed: int, limits: Mapping[str, int | None], settings: Preprocess
) -> tuple[Store, np.ndarray]:
    """Open the phantoms of a task, drawing them first where that was not done before.

    Every split is drawn with a seed of its own, so its patients are its own.

    Args:
        limits: the number of images of each split; `COUNTS` where None.
        settings: a chest filter asked for runs on the drawn image, whose size is final.

    Returns:
        The store, whose index has image_id, group_id, label, split and pixels; and the masks, memory-mapped bool
        (N, S, S).
    """
    counts = {name: COUNTS[name] if limits[name] is None else int(limits[name] or 0) for name in SPLITS}
    total = sum(counts.values())
    key = hashlib.sha256(f"{_drawing_code()} {counts} {size} {seed} {settings}".encode()).hexdigest()[:16]
    folder = cache_folder() / f"{task.name}-{size}-{key}"
    store = open_or_make(
        folder, (total, size, size, 3), lambda images, beside: _draw(images, beside, task, size, seed, counts, settings)
    )
    return store, np.load(folder / "masks.npy", mmap_mode="r")


def _draw(
    images: np.ndarray, beside: Path, task: Task, size: int, seed: int, counts: dict[str, int], settings: Preprocess
) -> pl.DataFrame:
    from palpate.data.synthetic.generate import generate

    assert task.phantom is not None
    parts, masks, start = [], [], 0
    with progress_bar() as bar:
        shown = bar.add_task(f"drawing {task.name}, {size} px", total=sum(counts.values()))
        for offset, (name, count) in enumerate(counts.items()):
            made = generate(task.phantom, count, size, len(SPLITS) * seed + offset)
            for row, image in enumerate(made.images, start):
                images[row] = prepare(image, size, settings)
            parts.append(
                pl.DataFrame(
                    {
                        "image_id": [f"{name}/{image_id}" for image_id in made.ids],
                        "group_id": [f"{name}/{group}" for group in made.groups],
                        "label": pl.Series(made.labels, dtype=pl.Int32),
                        "split": [name] * count,
                        "pixels": [pixel_hash(image) for image in made.images],
                    }
                )
            )
            masks.append(made.masks)
            start += count
            bar.advance(shown, count)
    np.save(beside / "masks.npy", np.concatenate(masks))
    return pl.concat(parts)


@lru_cache(maxsize=1)
def _drawing_code() -> str:
    """A hash of the code that draws: changed code draws anew."""
    base = Path(palpate.data.__path__[0])
    digest = hashlib.sha256()
    for file in sorted([base / "phantom.py", *(base / "phantoms").glob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()
