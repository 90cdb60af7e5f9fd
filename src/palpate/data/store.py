"""Every image decoded, resized and filtered once, into a memory-mapped uint8 array that later runs reuse.

Decoding a data set takes longer than a small training run and its result fits no memory. A store is a folder, written
beside its place and renamed, so it is whole or absent; its name is a hash of everything that shapes it.
"""

import hashlib
import itertools
import json
import os
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from rich.console import Console

from palpate.core.errors import InputError
from palpate.core.progress import progress_bar
from palpate.data.decode import Unreadable, decode, npz_images, pixel_hash, source_file
from palpate.data.preprocess import Preprocess, prepare

VERSION = 1  # raise it when the same input would be stored as other pixels
UNREADABLE_LIMIT = 0.01
DISK_MARGIN = 256 * 2**20  # bytes left free
WAVE = 512  # images decoded between two looks at how many failed
ABANDONED = 7 * 86400  # seconds after which a half-written store belongs to no living process


class UnreadableImages(UserWarning):
    """Some images could not be decoded and were left out."""


@dataclass(frozen=True)
class Store:
    """Decoded images.

    Attributes:
        images: memory-mapped uint8, (N, S, S, 1 or 3), rows as in `index`.
        index: at least image_id, pixels (SHA-256 of the decoded source) and error (null where readable).
        folder: where it lies.
    """

    images: np.ndarray
    index: pl.DataFrame
    folder: Path


def cache_folder() -> Path:
    """`PALPATE_CACHE`, else `~/.cache/palpate`."""
    return Path(os.environ.get("PALPATE_CACHE") or Path.home() / ".cache" / "palpate").expanduser()


def open_store(manifest: pl.DataFrame, name: str, size: int, settings: Preprocess, cache: Path | None = None) -> Store:
    """Open the store of a manifest, making it first where it is absent.

    Args:
        manifest: `readers.table.MANIFEST`; its order is the order of the rows.
        name: of the task, for the folder's name and the progress bar.
        size: side in pixels.
        cache: folder of all stores; `cache_folder()` where None.

    Warns:
        UnreadableImages: files that are truncated or no images; count and first names.

    Raises:
        InputError: more than 1 % are unreadable, the disk is too full, or the cache folder cannot be written.
    """
    folder = (cache or cache_folder()) / f"{name}-{size}-{fingerprint(manifest, size, settings)[:16]}"
    shape = (len(manifest), size, size, 1 if settings.grey else 3)
    store = open_or_make(folder, shape, lambda images, _: _decode_all(images, manifest, name, size, settings))
    _report_unreadable(store.index, name)
    return store


def open_or_make(folder: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray, Path], pl.DataFrame]) -> Store:
    """Open a store, or make it: `fill` writes the images (and files of its own into the folder) and returns the index.

    Raises:
        InputError: not enough disk, or the cache folder cannot be written.
    """
    found = _open(folder, shape)
    if found is None:
        _make(folder, shape, fill)
        found = _open(folder, shape)
    if found is None:
        raise InputError(
            f"{folder}: written, but it cannot be read back; check the disk, or set PALPATE_CACHE to another"
        )
    return found


def fingerprint(manifest: pl.DataFrame, size: int, settings: Preprocess) -> str:
    """SHA-256 over ids, paths, file sizes and times, the size and the settings: what shapes the stored pixels."""
    digest = hashlib.sha256(json.dumps([VERSION, size, asdict(settings)], sort_keys=True).encode())
    stats: dict[str, str] = {}
    for image_id, path in manifest.select("image_id", "path").iter_rows():
        file = source_file(path)
        if file not in stats:
            try:
                status = os.stat(file)
            except OSError as error:
                raise InputError(f"{file}: cannot be opened ({error.strerror}); finish the download") from None
            stats[file] = f"{status.st_size} {status.st_mtime_ns}"
        digest.update(f"{image_id}\n{path}\n{stats[file]}\n".encode())
    return digest.hexdigest()


def _open(folder: Path, shape: tuple[int, ...]) -> Store | None:
    """The store, or None where it is absent or damaged; what is damaged is removed."""
    if not (folder / "store.json").is_file():
        return None
    try:
        images, index = np.load(folder / "images.npy", mmap_mode="r"), pl.read_parquet(folder / "index.parquet")
        if images.shape == shape and len(index) == len(images):
            return Store(images, index, folder)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _make(folder: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray, Path], pl.DataFrame]) -> None:
    beside = folder.parent / f".{folder.name}-{uuid.uuid4().hex[:8]}"
    try:
        beside.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{folder.parent}: the image cache cannot be written ({error}); set PALPATE_CACHE") from None
    try:
        _sweep_up(folder.parent)
        _check_disk(beside, folder, int(np.prod(shape, dtype=np.int64)))
        images = np.lib.format.open_memmap(beside / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        _reserve(beside / "images.npy", folder)
        index = fill(images, beside)
        images.flush()
        del images
        index.write_parquet(beside / "index.parquet")
        (beside / "store.json").write_text(json.dumps({"version": VERSION, "shape": shape}) + "\n")
        _place(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check_disk(beside: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(beside).free
    if free < needed + DISK_MARGIN:
        raise InputError(
            f"{folder.parent}: the decoded images need {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free; free "
            "some, or set PALPATE_CACHE to a folder on a larger disk, or choose a smaller size"
        )


def _reserve(file: Path, folder: Path) -> None:
    """Take the disk space now: a full disk under a memory map kills the process without a word."""
    if not hasattr(os, "posix_fallocate"):
        return
    with file.open("r+b") as handle:
        try:
            os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
        except OSError as error:
            raise InputError(
                f"{folder.parent}: no room for the decoded images ({error.strerror}); set PALPATE_CACHE"
            ) from None


def _sweep_up(cache: Path) -> None:
    for path in cache.glob(".*-*"):
        if path.is_dir() and time.time() - path.stat().st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)


def _place(beside: Path, folder: Path) -> None:
    try:
        beside.rename(folder)
    except OSError:
        if not (folder / "store.json").is_file():  # not another process that was faster, but a ruin
            shutil.rmtree(folder)
            beside.rename(folder)


def _sources(paths: list[str], grey: bool) -> Iterator[tuple[int, str | np.ndarray]]:
    """Row and source of every image: the path of a file, or the image itself out of an npz."""
    members: dict[tuple[str, str], dict[int, int]] = {}
    for row, path in enumerate(paths):
        if ".npz#" not in path:
            yield row, path
            continue
        file, split, index = path.rsplit("#", 2)
        members.setdefault((file, split), {})[int(index)] = row
    for (file, split), rows in members.items():
        for index, image in enumerate(npz_images(file, split, grey)):
            if index in rows:
                yield rows[index], image


def _decode_all(images: np.ndarray, manifest: pl.DataFrame, name: str, size: int, settings: Preprocess) -> pl.DataFrame:
    paths = manifest["path"].to_list()
    pixels: list[str | None] = [None] * len(paths)
    errors: list[str | None] = ["not in the file"] * len(paths)

    def one(source: tuple[int, str | np.ndarray]) -> None:
        row, image = source
        try:
            image = decode(image, settings.grey) if isinstance(image, str) else image
        except Unreadable as error:
            errors[row] = str(error)
            return
        images[row] = prepare(image, size, settings)
        pixels[row], errors[row] = pixel_hash(image), None

    sources = _sources(paths, settings.grey)
    done: list[int] = []
    bar = progress_bar(Console(stderr=True), f"decoding {name}, {size} px")
    with _serial_opencv(), bar as told, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while wave := list(itertools.islice(sources, WAVE)):
            for count, _ in enumerate(pool.map(one, wave), len(done) + 1):
                told(count, len(paths), "images")
            done += [row for row, _ in wave]
            _check_share([manifest["image_id"][row] for row in done if errors[row]], len(paths), name)
    index = manifest.select("image_id").with_columns(
        pl.Series("pixels", pixels, dtype=pl.String), pl.Series("error", errors, dtype=pl.String)
    )
    _check_share(index.filter(pl.col("error").is_not_null())["image_id"].to_list(), len(paths), name)
    return index


@contextmanager
def _serial_opencv() -> Iterator[None]:
    """One thread inside OpenCV while our own threads share the work: nested, they take twice the processor time."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _check_share(bad: list[str], total: int, name: str) -> None:
    if len(bad) > UNREADABLE_LIMIT * total:
        raise InputError(
            f"{name}: {len(bad)} of {total} images are unreadable so far, more than {UNREADABLE_LIMIT:.0%}, first "
            f"{', '.join(bad[:5])}; download them again"
        )


def _report_unreadable(index: pl.DataFrame, name: str) -> None:
    bad = index.filter(pl.col("error").is_not_null())
    if not bad.is_empty():
        first = "; ".join(f"{row['image_id']} ({row['error']})" for row in bad.head(5).iter_rows(named=True))
        message = f"{name}: {len(bad)} of {len(index)} images are unreadable and left out: {first}"
        warnings.warn(message, UnreadableImages, stacklevel=4)
