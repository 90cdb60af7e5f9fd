"""From files or arrays to a store: each image decoded, brought to one depth and number of channels, resized, filtered and hashed."""

import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from rich.console import Console

from palpate.core.errors import InputError
from palpate.core.progress import progress_bar
from palpate.data.decode import Unreadable, as_channels, decode, pixel_hash
from palpate.data.dicom import Plan
from palpate.data.npz import npz_images
from palpate.data.preprocess import Preprocess, prepare
from palpate.data.store import VERSION, Store, cache_folder, make, new_images, open_or_make

UNREADABLE_LIMIT = 0.01
WAVE = 64  # images decoded between two looks at how many failed
REPEATED = "of one channel were repeated to three"
STRETCHED = "were not square and were stretched"
ENLARGED = "were smaller than the size and were enlarged"
INDEX = {"pixels": pl.String(), "error": pl.String(), "remarks": pl.List(pl.String())}
INDEX |= {"lowest": pl.Float64(), "highest": pl.Float64()}
"""Of the decoded source: its SHA-256, why it cannot be read or null, what was decided about it, and its smallest and largest value."""

Decoder = Callable[[str, bool, set[str]], np.ndarray]
"""From a path, whether to make it grey, and a set that takes remarks, to an image as `palpate.data.decode.decode` gives it."""


class UnreadableImages(UserWarning):
    """Some images could not be decoded and were left out."""


class _Colour(InputError):
    """An image in colour where those before it are grey."""


@dataclass
class Filling:
    """A store that is being filled.

    Attributes:
        name: of the data set, for messages.   ids: of the images, in the order of their rows.
        size: side in pixels; None for the images' own.   settings: how an image is prepared.
        channels: 1 or 3; that of the first image where None.   found: what is known of each row's image: the columns of `INDEX`.
    """

    name: str
    ids: list[str]
    size: int | None
    settings: Preprocess
    decoder: Decoder = decode
    channels: int | None = None
    images: np.ndarray | None = None
    found: dict[int, dict] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)

    def run(self, sources: Iterable[tuple[int, str | np.ndarray]], beside: Path) -> pl.DataFrame:
        """Fill images.npy from the row and the file or pixels of every image; returns the index.

        Returns:
            image_id and the columns of `INDEX`.
        """
        sources, done = iter(sources), 0
        bar = progress_bar(Console(stderr=True), f"decoding {self.name}")
        opencv = cv2.getNumThreads()
        cv2.setNumThreads(1)  # while our own threads share the work: nested, they take twice the processor time
        try:
            with bar as told, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                # one by one until an image has said which depth and how many channels are stored
                while wave := list(itertools.islice(sources, 1 if self.images is None else WAVE)):
                    for _ in pool.map(lambda each: self._one(each, beside), wave):
                        done += 1
                        told(done, len(self.ids), "images")
                    self._check_share()
        finally:
            cv2.setNumThreads(opencv)
        self.unreadable |= {row: "not in the file" for row in range(len(self.ids)) if row not in self.found}
        self._check_share()
        self.found |= {row: {"error": error} for row, error in self.unreadable.items()}
        index = pl.DataFrame([self.found[row] for row in range(len(self.ids))], schema=INDEX)
        if isinstance(self.images, np.memmap):
            self.images.flush()
        return index.insert_column(0, pl.Series("image_id", self.ids, dtype=pl.String))

    def _one(self, source: tuple[int, str | np.ndarray], beside: Path) -> None:
        """Decode and store one image."""
        row, image = source
        remarks: set[str] = set()
        what = image if isinstance(image, str) else f"{self.name}: image {row}"
        try:
            image = self.decoder(image, self.settings.grey, remarks) if isinstance(image, str) else image
        except Unreadable as error:
            self.found[row], self.unreadable[row] = {}, str(error)
            return
        if self.images is None:
            self._allocate(image, beside, what)
        assert self.images is not None
        if image.dtype != self.images.dtype:
            depths = f"has {image.dtype} pixels, and the images before it {self.images.dtype}"
            raise InputError(f"{what}: {depths}; give all images one depth")
        if self.channels == 1 and image.ndim == 3 and image.shape[2] == 3 and not self.settings.grey:
            mixed = "some images have one channel and others three"
            raise _Colour(f"{self.name}: {mixed}; give channels=1, or bring them to one form")
        if self.channels == 3 and image.ndim == 2:
            remarks.add(REPEATED)
        image = as_channels(image, self.channels or 1, remarks)
        size = self.images.shape[1]
        if self.size is None and image.shape[:2] != (size, size):
            sizes = f"is {image.shape[1]} × {image.shape[0]}, and the images before it {size} × {size}"
            raise InputError(f"{what}: {sizes}; give the size to bring them to")
        height, width = image.shape[:2]
        remarks |= {STRETCHED} if height != width else set()
        remarks |= {ENLARGED} if min(height, width) < size else set()
        self.images[row] = prepare(image, size, self.settings)
        lowest, highest = float(image.min()), float(image.max())
        if not np.isfinite(lowest + highest):
            raise InputError(f"{what}: holds values that are not finite; replace them")
        told = {"pixels": pixel_hash(image), "remarks": sorted(remarks)}
        self.found[row] = told | {"lowest": lowest, "highest": highest}

    def _allocate(self, image: np.ndarray, beside: Path, what: str) -> None:
        if self.size is None and image.shape[0] != image.shape[1]:
            given = f"is {image.shape[1]} × {image.shape[0]}, and squares are stored"
            raise InputError(f"{what}: {given}; give the size to bring it to")
        channels = self.channels or (1 if self.settings.grey or image.ndim == 2 else int(image.shape[2]))
        size = self.size or image.shape[0]
        self.channels = channels
        self.images = new_images(beside, (len(self.ids), size, size, channels), image.dtype)

    def _check_share(self) -> None:
        bad = sorted(self.unreadable.items())
        if len(bad) > UNREADABLE_LIMIT * len(self.ids):
            first = ", ".join(f"{self.ids[row]} ({error})" for row, error in bad[:5])
            share = f"{len(bad)} of {len(self.ids)} images are unreadable so far, more than {UNREADABLE_LIMIT:.0%}"
            raise InputError(f"{self.name}: {share}, first {first}; replace them, or leave them out")


def open_files(rows: pl.DataFrame, name: str, size: int, settings: Preprocess, plan: Plan | None = None) -> Store:
    """Open the store of a manifest's files, making it first where it is absent.

    Args:
        rows: a manifest; its order is the order of the store's rows.
        name: of the task, for the folder's name and the progress bar.
        size: side in pixels.
        plan: of DICOM files.

    Warns:
        UnreadableImages: files that are truncated or no images; count and first names.

    Raises:
        InputError: more than 1 % are unreadable, files differ in depth, the disk is too full, or the cache folder cannot be written.
    """
    folder = cache_folder() / f"{name}-{size}-{fingerprint(rows, size, settings, repr(plan))[:16]}"
    ids, paths = rows["image_id"].to_list(), rows["path"].to_list()

    def fill(beside: Path, channels: int | None = None) -> pl.DataFrame:
        filling = Filling(name, ids, size, settings, plan.decode if plan else decode, channels)
        try:
            return filling.run(_sources(paths), beside)
        except _Colour:
            return fill(beside, channels=3)

    store = open_or_make(folder, fill)
    bad = store.index.filter(pl.col("error").is_not_null())
    if not bad.is_empty():
        first = "; ".join(f"{row['image_id']} ({row['error']})" for row in bad.head(5).iter_rows(named=True))
        message = f"{name}: {len(bad)} of {len(store.index)} images are unreadable and left out: {first}"
        warnings.warn(message, UnreadableImages, stacklevel=4)
    return store


def open_arrays(
    images: Iterable[tuple[int, np.ndarray]], total: int, name: str, size: int | None, settings: Preprocess
) -> Store:
    """Make the store of images in memory, named by their pixels; one that is there already is kept.

    Raises:
        InputError: images differ in depth, channels or, where no size is given, in size; or as `open_files`.
    """

    def named(index: pl.DataFrame) -> str:
        digest = hashlib.sha256(json.dumps([VERSION, size, asdict(settings), index["pixels"].to_list()]).encode())
        return f"{name}-{size or 'as-given'}-{digest.hexdigest()[:16]}"

    filling = Filling(name, [str(row) for row in range(total)], size, settings)
    return make(cache_folder(), named, lambda beside: filling.run(images, beside))


def fingerprint(rows: pl.DataFrame, size: int, settings: Preprocess, plan: str) -> str:
    """SHA-256 over ids, paths, file sizes and times, the size and the settings: what shapes the stored pixels."""
    digest = hashlib.sha256(json.dumps([VERSION, size, asdict(settings), plan], sort_keys=True).encode())
    stats: dict[str, os.stat_result] = {}
    for image_id, path in rows.select("image_id", "path").iter_rows():
        file = path.rsplit("#", 2)[0] if ".npz#" in path or "#frame#" in path else path
        try:
            status = stats.get(file) or stats.setdefault(file, os.stat(file))
        except OSError as error:
            raise InputError(f"{file}: cannot be opened ({error.strerror}); finish the download") from None
        digest.update(f"{image_id}\n{path}\n{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _sources(paths: list[str]) -> Iterator[tuple[int, str | np.ndarray]]:
    """Row and source of every image: the path of a file, or the image itself out of an npz."""
    members: dict[tuple[str, str], dict[int, int]] = {}
    for row, path in enumerate(paths):
        if ".npz#" not in path:
            yield row, path
            continue
        file, array, index = path.rsplit("#", 2)
        members.setdefault((file, array), {})[int(index)] = row
    for (file, array), rows in members.items():
        for index, image in enumerate(npz_images(file, array)):
            if index in rows:
                yield rows[index], image
