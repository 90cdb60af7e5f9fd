"""`palpate.load`: a task's name in, three splits of labelled images out, decoded lazily.

This composes reader, store, leak check and split, and is the only place of `data/` that knows torch: inside the
image sequence, where stored bytes become float tensors.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from palpate.core.errors import InputError
from palpate.data import leaks
from palpate.data.download import fetch
from palpate.data.preprocess import Preprocess
from palpate.data.split import SPLITS, check_disjoint, split, take
from palpate.data.store import Store, open_store
from palpate.data.synthetic.stored import open_synthetic
from palpate.data.tasks import Task, find_task, task_folders

if TYPE_CHECKING:
    import torch


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
    *,
    train_images: int | None = None,
    val_images: int | None = None,
    test_images: int | None = None,
    filter: str | None = None,
    filter_at: Literal["before", "after"] = "after",
) -> Dataset:
    """Load a task, decoding and resizing it first where that was not done before.

    Args:
        task: a name that `palpate tasks` lists, or one with a published size, as "pathmnist-224".
        root: the folder of the publishers' folders; `PALPATE_DATA` where None. Synthetic tasks need none.
        size: side in pixels, 8 to 1024 (synthetic images from 28).
        seed: of the split, of the subsets and of synthetic images.
        train_images, val_images, test_images: at most so many, in the split's class proportions; exactly so many
            synthetic images.
        filter: a registered image filter, instead of the task's own; None for the task's own, which most tasks lack.
        filter_at: whether `filter` runs "before" or "after" the resize.

    Raises:
        InputError: unknown task or filter, missing data, unusable tables, or a class without training images.
    """
    spec = find_task(task)
    if not 8 <= size <= 1024:
        raise InputError(f"size: 8 to 1024 pixels are allowed, given {size}")
    limits: dict[str, int | None] = dict(zip(SPLITS, (train_images, val_images, test_images), strict=True))
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise InputError(f"{name}_images: at least 1 is needed, given {limit}")
    if filter is None and filter_at != "after":
        raise InputError(f"filter_at: {filter_at!r} is given without a filter; give filter too, or leave filter_at out")
    settings = spec.preprocess if filter is None else replace(spec.preprocess, filter=filter, filter_at=filter_at)
    if spec.kind == "synthetic":
        store, masks = open_synthetic(spec, size, seed, limits, settings)
        return _compose(spec, size, settings, take(store.index.with_row_index("row"), {}, seed), store, masks, [])
    assert spec.reader is not None
    folders = task_folders(spec, root)
    if spec.download is not None:
        fetch(spec.download, folders[0])
    manifest = spec.reader(*folders)
    check_disjoint(manifest)
    store = open_store(manifest, spec.folder, size, settings)  # not spec.name: two tasks may share their images
    manifest = manifest.with_columns(store.index["pixels"]).with_row_index("row")
    readable = manifest.filter(pl.col("pixels").is_not_null())
    lost = len(manifest) - len(readable)
    safe, notes = leaks.resolve(readable, readable["pixels"].to_list(), spec.deduplicate)
    notes = [f"{lost} unreadable images left out"] * bool(lost) + notes
    return _compose(spec, size, settings, take(split(safe, seed), limits, seed), store, None, notes)


def _compose(
    spec: Task,
    size: int,
    settings: Preprocess,
    manifest: pl.DataFrame,
    store: Store,
    masks: np.ndarray | None,
    notes: list[str],
) -> Dataset:
    splits = {}
    for name in SPLITS:
        rows = manifest.filter(pl.col("split") == name)
        if rows.is_empty():
            raise InputError(f"{spec.name}: the {name} split is empty; more images or groups are needed")
        index = rows["row"].to_numpy().astype(np.int64)
        splits[name] = Split(
            images=Images(store.images, index),
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
    notes = [spec.caveat] * bool(spec.caveat) + notes
    return Dataset(spec, size, splits["train"], splits["val"], splits["test"], digest.hexdigest(), tuple(notes))
