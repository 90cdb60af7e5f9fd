"""Every image decoded, resized and filtered once, into a memory-mapped array of its own depth that later runs reuse.

Decoding a data set takes longer than a small training run and its result fits no memory. A store is a folder, written
beside its place and renamed, so it is whole or absent; its name is a hash of everything that shapes it. Its files are compared
with their checksums when it is opened, and a damaged store is made again.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from palpate.core.errors import Damaged, InputError
from palpate.core.io import draft_of, read_record, sha256, sweep, write_record
from palpate.core.tables import DAMAGED

VERSION = 3  # raise it when the same input would be stored as other pixels
DISK_MARGIN = 256 * 2**20  # bytes left free


@dataclass(frozen=True)
class Store:
    """Decoded images.

    Attributes:
        images: memory-mapped uint8, uint16 or float32, (N, S, S, 1 or 3), rows as in `index`.
        index: at least image_id and pixels (SHA-256 of the decoded source).
        folder: where it lies.
    """

    images: np.ndarray
    index: pl.DataFrame
    folder: Path


def cache_folder() -> Path:
    """`PALPATE_CACHE`, else `~/.cache/palpate`."""
    return Path(os.environ.get("PALPATE_CACHE") or Path.home() / ".cache" / "palpate").expanduser()


def open_or_make(folder: Path, fill: Callable[[Path], pl.DataFrame]) -> Store:
    """Open a store, or make it: `fill` writes images.npy (see `new_images`) and files of its own into a folder and returns the index.

    Raises:
        InputError: not enough disk, or the cache folder cannot be written.
    """
    return _open(folder) or make(folder.parent, lambda _: folder.name, fill)


def make(cache: Path, name: Callable[[pl.DataFrame], str], fill: Callable[[Path], pl.DataFrame]) -> Store:
    """Make a store, whose name may depend on its index.

    Raises:
        InputError: as `open_or_make`.
    """
    beside = draft_of(cache / uuid.uuid4().hex[:8])
    try:
        beside.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{cache}: the image cache cannot be written ({error}); set PALPATE_CACHE") from None
    try:
        sweep(cache)
        index = fill(beside)
        index.write_parquet(beside / "index.parquet")
        files = {file.name: [file.stat().st_size, sha256(file)] for file in sorted(beside.iterdir())}
        write_record(beside / "store.json", {"files": files})
        folder = cache / name(index)
        found = _open(folder)  # made by another process meanwhile, or by an earlier run; what is damaged is removed
        if found is None:
            with contextlib.suppress(OSError):
                beside.rename(folder)
            found = _open(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if found is None:
        raise InputError(f"{folder}: written, but it cannot be read back; check the disk, or set PALPATE_CACHE")
    return found


def new_images(beside: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The memory-mapped array images.npy of a store that is being made, with its disk space taken.

    Raises:
        InputError: not enough disk.
    """
    needed, free = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, shutil.disk_usage(beside).free
    remedy = "free some, or set PALPATE_CACHE to a folder on a larger disk, or choose a smaller size"
    if free < needed + DISK_MARGIN:
        full = f"the decoded images need {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free"
        raise InputError(f"{beside.parent}: {full}; {remedy}")
    file = beside / "images.npy"
    images = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # now, because a full disk under a memory map kills the process without a word
        with file.open("r+b") as handle:
            try:
                os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
            except OSError as error:
                raise InputError(f"{beside.parent}: no room for the images ({error.strerror}); {remedy}") from None
    return images


def _open(folder: Path) -> Store | None:
    """The store, or None where it is absent or damaged, by its sizes and checksums; what is damaged is removed."""
    with contextlib.suppress(*DAMAGED, ValueError, KeyError, TypeError):
        for name, written in read_record(folder / "store.json")["files"].items():
            if [(folder / name).stat().st_size, sha256(folder / name)] != written:
                raise Damaged(f"{folder / name}: was changed after it was written")
        images, index = np.load(folder / "images.npy", mmap_mode="r"), pl.read_parquet(folder / "index.parquet")
        if len(index) == len(images):
            return Store(images, index, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return None
