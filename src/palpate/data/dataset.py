"""`palpate.load`: a task's name in, three splits of labelled images out, decoded lazily.

This composes reader, store, leak check and split, and is the only place of `data/` that knows torch: inside the
image sequence, where stored bytes become float tensors.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from palpate.data import leaks
from palpate.data.preprocess import Preprocess
from palpate.data.split import SPLITS, split, take
from palpate.data.store import open_store
from palpate.data.tasks import Task, find_task, task_folder
from palpate.errors import InputError

if TYPE_CHECKING:
    import torch

PHANTOM_IMAGES = {"train": 1600, "val": 400, "test": 400}


class Images:
    """A sequence of images; slices and index arrays give float32 tensors (n, 3, H, W) in [0, 1]."""

    def __init__(self, pixels: np.ndarray, rows: np.ndarray):
        """Serve `rows` (n,) of `pixels`, uint8 (N, H, W, 1 or 3), without copying them."""
        self._pixels, self._rows = pixels, rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, 3, H, W)."""
        return len(self._rows), 3, self._pixels.shape[1], self._pixels.shape[2]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: "slice | int | Sequence[int] | np.ndarray | torch.Tensor") -> "torch.Tensor":
        """One image (3, H, W) for an integer, else (n, 3, H, W); booleans select."""
        import torch

        rows = self._rows[index.cpu().numpy() if isinstance(index, torch.Tensor) else index]
        pixels = np.array(self._pixels[rows])  # a copy: the map is read-only; (n, H, W, C) or (H, W, C)
        images = torch.from_numpy(pixels).movedim(-1, -3).to(torch.float32).div_(255)
        return images.expand(*images.shape[:-3], 3, *images.shape[-2:]).contiguous()


@dataclass(frozen=True)
class Split:
    """One of train, val and test, shuffled by the data seed.

    Attributes:
        labels: (n,) int64.   groups, ids: (n,) str.   images: see `Images`.   masks: (n, H, W) bool, or None.
    """

    images: Images
    labels: np.ndarray
    groups: np.ndarray
    ids: np.ndarray
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A task's images, split.

    Attributes:
        size: side in pixels.   notes: what was done to the data, to be printed beside results.
        identity: SHA-256 over ids, labels, groups, splits and pixels, equal on every machine with the same data.
    """

    task: Task
    size: int
    train: Split
    val: Split
    test: Split
    identity: str
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.task.classes

    @property
    def finding(self) -> str:
        """What the label is about."""
        return self.task.finding

    @property
    def majority_rate(self) -> float:
        """Share of the test images in their most frequent class: what constant guessing scores."""
        return float(np.bincount(self.test.labels).max() / len(self.test)) if len(self.test) else float("nan")


def load(
    task: str,
    root: Path | str | None = None,
    size: int = 224,
    seed: int = 0,
    train_images: int | None = None,
    val_images: int | None = None,
    test_images: int | None = None,
    chest_filter: str | None = None,
    chest_dtype: str = "uint8",
) -> Dataset:
    """Load a task, decoding and resizing it first where that was not done before.

    Args:
        task: a name in `palpate.data.tasks.TASKS`.
        root: the folder of the publishers' folders; `PALPATE_DATA` where None. Phantoms need none.
        size: side in pixels, 8 to 1024.
        seed: of the split, of the subsets and of phantoms.
        train_images, val_images, test_images: at most so many, in the split's class proportions.
        chest_filter: "off", "after" or "before" the resize; None for the task's own.
        chest_dtype: of the chest filter, "uint8" or "float32".

    Raises:
        InputError: unknown task, missing data, unusable tables, or a class without training images.
    """
    spec = find_task(task)
    if not 8 <= size <= 1024:
        raise InputError(f"size: 8 to 1024 pixels are allowed, got {size}")
    limits: dict[str, int | None] = dict(zip(SPLITS, (train_images, val_images, test_images), strict=True))
    settings = replace(spec.preprocess, chest_dtype=chest_dtype)
    settings = settings if chest_filter is None else replace(settings, chest_filter=chest_filter)
    if spec.kind == "phantom":
        return _phantom(spec, size, seed, limits)
    assert spec.reader is not None
    manifest = spec.reader(task_folder(spec, root))
    store = open_store(manifest, spec.name, size, settings)
    pixels = store.index["pixels"].to_list()
    readable = [i for i, found in enumerate(pixels) if found is not None]
    notes = [] if len(readable) == len(pixels) else [f"{len(pixels) - len(readable)} unreadable images left out"]
    manifest = manifest.with_columns(pl.Series("pixels", pixels)).with_row_index("row")[readable]
    manifest, resolved = leaks.resolve(manifest, manifest["pixels"].to_list(), spec.deduplicate)
    manifest = take(split(manifest, seed), limits, seed)
    return _compose(spec, size, settings, manifest, store.images, None, (*notes, *resolved))


def _phantom(spec: Task, size: int, seed: int, limits: Mapping[str, int | None]) -> Dataset:
    from palpate.data.phantom import generate

    assert spec.phantom is not None
    parts, images, masks = [], [], []
    for offset, name in enumerate(SPLITS):
        wanted = limits[name]
        count = PHANTOM_IMAGES[name] if wanted is None else wanted
        if count < 1:
            raise InputError(f"{name}_images: at least 1 is needed, got {count}")
        made = generate(spec.phantom, count, size, 3 * seed + offset)
        parts.append(
            pl.DataFrame(
                {
                    "image_id": [f"{name}/{i}" for i in made.ids],
                    "group_id": [f"{name}/{g}" for g in made.groups],
                    "label": pl.Series(np.asarray(made.labels, np.int32)),
                    "split": [name] * count,
                    "pixels": [hashlib.sha256(image.tobytes()).hexdigest() for image in made.images],
                }
            )
        )
        images.append(made.images)
        masks.append(made.masks)
    manifest = take(pl.concat(parts).with_row_index("row"), {}, seed)
    return _compose(spec, size, spec.preprocess, manifest, np.concatenate(images), np.concatenate(masks), ())


def _compose(
    spec: Task,
    size: int,
    settings: Preprocess,
    manifest: pl.DataFrame,
    pixels: np.ndarray,
    masks: np.ndarray | None,
    notes: tuple[str, ...],
) -> Dataset:
    splits = {}
    for name in SPLITS:
        rows = manifest.filter(pl.col("split") == name)
        if rows.is_empty():
            raise InputError(f"{spec.name}: the {name} split is empty; more images or groups are needed")
        index = rows["row"].to_numpy().astype(np.int64)
        splits[name] = Split(
            images=Images(pixels, index),
            labels=rows["label"].to_numpy().astype(np.int64),
            groups=rows["group_id"].to_numpy().astype(str),
            ids=rows["image_id"].to_numpy().astype(str),
            masks=None if masks is None else masks[index],
        )
    absent = [name for i, name in enumerate(spec.classes) if i not in set(splits["train"].labels.tolist())]
    if absent:
        raise InputError(
            f"{spec.name}: class {', '.join(map(repr, absent))} has no training image, so it cannot be learned; "
            "raise train_images, or complete the data"
        )
    digest = hashlib.sha256(json.dumps([spec.name, spec.classes, size, asdict(settings)], sort_keys=True).encode())
    for row in manifest.select("image_id", "group_id", "label", "split", "pixels").iter_rows():
        digest.update(("\t".join(map(str, row)) + "\n").encode())
    return Dataset(spec, size, splits["train"], splits["val"], splits["test"], digest.hexdigest(), notes)
