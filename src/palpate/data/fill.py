"""From files or arrays to a store: each image decoded, brought to one depth and number of channels, resized, filtered and hashed."""

import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from rich.console import Console

from palpate.core.errors import InputError
from palpate.core.progress import progress_bar
from palpate.data.decode import Unreadable, as_channels, decode, pixel_hash
from palpate.data.npz import npz_images
from palpate.data.preprocess import Preprocess, prepare
from palpate.data.store import VERSION, Store, cache_folder, make, new_images, open_or_make

UNREADABLE_LIMIT = 0.01
WAVE = 64  # images decoded between two looks at how many failed
REPEATED = "of one channel were repeated to three"

Decoder = Callable[[str, bool, set[str]], np.ndarray]
"""From a path, whether to make it grey, and a set that takes remarks, to an image as `palpate.data.decode.decode` gives it."""


class UnreadableImages(UserWarning):
    """Some images could not be decoded and were left out."""


class _Colour(Exception):
    """An image in colour where those before it are grey."""


@dataclass
class Filling:
    """A store that is being filled.

    Attributes:
        name: of the data set, for messages.   ids: of the images, in the order of their rows; for arrays it may grow while they come.
        total: number of images.   size: side in pixels; None for the images' own.   settings: how an image is prepared.
        channels: 1 or 3; that of the first image where None.
    """

    name: str
    ids: list[str]
    total: int
    size: int | None
    settings: Preprocess
    decoder: Decoder = decode
    channels: int | None = None
    images: np.ndarray | None = None
    found: dict[int, dict] = field(default_factory=dict)

    def run(self, sources: Iterable[tuple[int, str | np.ndarray]], beside: Path) -> pl.DataFrame:
        """Fill images.npy from the row and the file or pixels of every image; returns the index.

        Returns:
            image_id, pixels (SHA-256 of the decoded source), error (null where readable), remarks, and the lowest and highest value of the
            decoded source.
        """
        sources, done = iter(sources), 0
        bar = progress_bar(Console(stderr=True), f"decoding {self.name}")
        with _serial_opencv(), bar as told, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            while wave := list(itertools.islice(sources, WAVE)):
                first = (
                    next((i for i, each in enumerate(wave) if self._one(each, beside)), len(wave)) + 1
                    if self.images is None
                    else 0
                )
                for count, _ in enumerate(
                    pool.map(lambda each: self._one(each, beside), wave[first:]), done + first + 1
                ):
                    told(count, self.total, "images")
                done += len(wave)
                self._check_share()
        rows = [self.found.get(row, {"error": "not in the file"}) for row in range(self.total)]
        columns = {
            "pixels": pl.String,
            "error": pl.String,
            "remarks": pl.List(pl.String),
            "lowest": pl.Float64,
            "highest": pl.Float64,
        }
        index = pl.DataFrame(
            {name: pl.Series([row.get(name) for row in rows], dtype=kind) for name, kind in columns.items()}
        )
        self.found = dict(enumerate(rows))
        self._check_share()
        if isinstance(self.images, np.memmap):
            self.images.flush()
        return index.insert_column(0, pl.Series("image_id", self.ids, dtype=pl.String))

    def _one(self, source: tuple[int, str | np.ndarray], beside: Path) -> bool:
        """Decode and store one image; whether it could be read."""
        row, image = source
        remarks: set[str] = set()
        what = image if isinstance(image, str) else f"{self.name}: image {row}"
        try:
            image = self.decoder(image, self.settings.grey, remarks) if isinstance(image, str) else image
        except Unreadable as error:
            self.found[row] = {"error": str(error)}
            return False
        if self.images is None:
            self._allocate(image, beside, what)
        assert self.images is not None
        if image.dtype != self.images.dtype:
            raise InputError(
                f"{what}: has {image.dtype} pixels, and the images before it {self.images.dtype}; give all images one depth"
            )
        if self.channels == 1 and image.ndim == 3 and image.shape[2] == 3 and not self.settings.grey:
            raise _Colour
        if self.channels == 3 and image.ndim == 2:
            remarks.add(REPEATED)
        image = as_channels(image, self.channels or 1, remarks)
        size = self.images.shape[1]
        if self.size is None and image.shape[:2] != (size, size):
            raise InputError(
                f"{what}: is {image.shape[1]} × {image.shape[0]}, and the images before it {size} × {size}; give the size to bring them to"
            )
        self.images[row] = prepare(image, size, self.settings)
        lowest, highest = float(image.min()), float(image.max())
        if not np.isfinite(lowest + highest):
            raise InputError(f"{what}: holds values that are not finite; replace them")
        self.found[row] = {
            "pixels": pixel_hash(image),
            "remarks": sorted(remarks),
            "lowest": lowest,
            "highest": highest,
        }
        return True

    def _allocate(self, image: np.ndarray, beside: Path, what: str) -> None:
        if self.size is None and image.shape[0] != image.shape[1]:
            raise InputError(
                f"{what}: is {image.shape[1]} × {image.shape[0]}, and squares are stored; give the size to bring it to"
            )
        if self.channels is None:
            self.channels = 1 if self.settings.grey or image.ndim == 2 or image.shape[2] == 1 else 3
        size = self.size or image.shape[0]
        self.images = new_images(beside, (self.total, size, size, self.channels), image.dtype)

    def _check_share(self) -> None:
        bad = [(row, found["error"]) for row, found in sorted(self.found.items()) if found.get("error")]
        if len(bad) > UNREADABLE_LIMIT * self.total:
            first = ", ".join(f"{self.ids[row]} ({error})" for row, error in bad[:5])
            raise InputError(
                f"{self.name}: {len(bad)} of {self.total} images are unreadable so far, more than {UNREADABLE_LIMIT:.0%}, first {first}; "
                "replace them, or leave them out"
            )


def open_files(
    rows: pl.DataFrame,
    name: str,
    size: int,
    settings: Preprocess,
    decoder: Decoder = decode,
    key: str = "",
    cache: Path | None = None,
) -> Store:
    """Open the store of a manifest's files, making it first where it is absent.

    Args:
        rows: a manifest; its order is the order of the store's rows.
        name: of the task, for the folder's name and the progress bar.
        size: side in pixels.
        decoder, key: what reads a file, and what else than the file shapes its pixels.
        cache: folder of all stores; `cache_folder()` where None.

    Warns:
        UnreadableImages: files that are truncated or no images; count and first names.

    Raises:
        InputError: more than 1 % are unreadable, files differ in depth, the disk is too full, or the cache folder cannot be written.
    """
    folder = (cache or cache_folder()) / f"{name}-{size}-{fingerprint(rows, size, settings, key)[:16]}"
    ids, paths = rows["image_id"].to_list(), rows["path"].to_list()

    def fill(beside: Path) -> pl.DataFrame:
        try:
            return Filling(name, ids, len(ids), size, settings, decoder).run(_sources(paths), beside)
        except _Colour:
            return Filling(name, ids, len(ids), size, settings, decoder, channels=3).run(_sources(paths), beside)

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

    def fill(beside: Path) -> pl.DataFrame:
        try:
            return Filling(name, [str(row) for row in range(total)], total, size, settings).run(images, beside)
        except _Colour:
            raise InputError(
                f"{name}: some images have one channel and others three; give channels=1, or bring them to one form"
            ) from None

    def named(index: pl.DataFrame) -> str:
        digest = hashlib.sha256(json.dumps([VERSION, size, asdict(settings), index["pixels"].to_list()]).encode())
        return f"{name}-{size or 'as-given'}-{digest.hexdigest()[:16]}"

    return make(cache_folder(), named, fill)


def fingerprint(rows: pl.DataFrame, size: int, settings: Preprocess, key: str = "") -> str:
    """SHA-256 over ids, paths, file sizes and times, the size and the settings: what shapes the stored pixels."""
    digest = hashlib.sha256(json.dumps([VERSION, size, asdict(settings), key], sort_keys=True).encode())
    stats: dict[str, str] = {}
    for image_id, path in rows.select("image_id", "path").iter_rows():
        file = source_file(path)
        if file not in stats:
            try:
                status = os.stat(file)
            except OSError as error:
                raise InputError(f"{file}: cannot be opened ({error.strerror}); finish the download") from None
            stats[file] = f"{status.st_size} {status.st_mtime_ns}"
        digest.update(f"{image_id}\n{path}\n{stats[file]}\n".encode())
    return digest.hexdigest()


def source_file(path: str) -> str:
    """The file behind a manifest's path.

    >>> source_file("/data/a.npz#images#7"), source_file("/data/a.dcm#frame#0"), source_file("/data/b.jpg")
    ('/data/a.npz', '/data/a.dcm', '/data/b.jpg')
    """
    return path.rsplit("#", 2)[0] if ".npz#" in path or "#frame#" in path else path


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


@contextmanager
def _serial_opencv() -> Iterator[None]:
    """One thread inside OpenCV while our own threads share the work: nested, they take twice the processor time."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
