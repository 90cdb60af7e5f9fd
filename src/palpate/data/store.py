"""Every image decoded, resized and filtered once, into a memory-mapped uint8 array that later runs reuse.

Decoding a data set takes longer than a small training run and its result fits no memory. The store is a folder,
written beside its place and renamed, so it is whole or absent; its name is a hash of everything that shapes it.
"""

import hashlib
import json
import os
import shutil
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from palpate.data.decode import Unreadable, decode, source_file
from palpate.data.preprocess import Preprocess, prepare
from palpate.errors import InputError

VERSION = 1  # raise it when the same input would be stored as other pixels
UNREADABLE_LIMIT = 0.01
DISK_MARGIN = 256 * 2**20  # bytes left free


class UnreadableImages(UserWarning):
    """Some images could not be decoded and were left out."""


@dataclass(frozen=True)
class Store:
    """Decoded images of one manifest.

    Attributes:
        images: memory-mapped uint8, (N, S, S, 1 or 3), rows as in `index`.
        index: image_id, pixels (SHA-256 of the decoded source image), error (null where readable).
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
    cache = cache_folder() if cache is None else cache
    folder = cache / f"{name}-{size}-{fingerprint(manifest, size, settings)[:16]}"
    if not (folder / "store.json").is_file():
        _make(manifest, name, size, settings, folder)
    index = pl.read_parquet(folder / "index.parquet")
    _report_unreadable(index, name)
    return Store(np.load(folder / "images.npy", mmap_mode="r"), index, folder)


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


def _make(manifest: pl.DataFrame, name: str, size: int, settings: Preprocess, folder: Path) -> None:
    shape = (len(manifest), size, size, 1 if settings.grey else 3)
    needed = int(np.prod(shape, dtype=np.int64))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = folder.parent / f".{folder.name}-{uuid.uuid4().hex[:8]}"
        beside.mkdir()
    except OSError as error:
        raise InputError(f"{folder.parent}: the image cache cannot be written ({error}); set PALPATE_CACHE") from None
    try:
        free = shutil.disk_usage(beside).free
        if free < needed + DISK_MARGIN:
            raise InputError(
                f"{folder.parent}: the decoded images of {name} need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are "
                "free; free some, or set PALPATE_CACHE to a larger disk, or choose a smaller size"
            )
        images = np.lib.format.open_memmap(beside / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        index = _fill(images, manifest, name, size, settings)
        images.flush()
        del images
        index.write_parquet(beside / "index.parquet")
        (beside / "store.json").write_text(
            json.dumps({"task": name, "size": size, **asdict(settings)}, indent=1) + "\n"
        )
        _place(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _place(beside: Path, folder: Path) -> None:
    try:
        beside.rename(folder)
    except OSError:
        if not (folder / "store.json").is_file():  # not another process that was faster, but a ruin
            shutil.rmtree(folder)
            beside.rename(folder)


def _fill(images: np.ndarray, manifest: pl.DataFrame, name: str, size: int, settings: Preprocess) -> pl.DataFrame:
    paths = manifest["path"].to_list()

    def one(row: int) -> tuple[str | None, str | None]:
        try:
            image = decode(paths[row], settings.grey)
        except Unreadable as error:
            return None, str(error)
        images[row] = prepare(image, size, settings)
        pixels = hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
        return pixels, None

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    workers = min(8, os.cpu_count() or 1)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar, ThreadPoolExecutor(workers) as pool:
        results = list(
            bar.track(pool.map(one, range(len(paths))), len(paths), description=f"decoding {name}, {size} px")
        )
    schema = {"pixels": pl.String, "error": pl.String}
    found = pl.DataFrame(results, schema=schema, orient="row")
    unreadable = found["error"].is_not_null().sum()
    if unreadable > UNREADABLE_LIMIT * len(manifest):
        first = ", ".join(source for source, error in zip(paths, found["error"], strict=True) if error)[:300]
        raise InputError(
            f"{name}: {unreadable} of {len(manifest)} images are unreadable, more than 1 %, first {first}; "
            "download them again"
        )
    return pl.concat([manifest.select("image_id"), found], how="horizontal")


def _report_unreadable(index: pl.DataFrame, name: str) -> None:
    bad = index.filter(pl.col("error").is_not_null())
    if not bad.is_empty():
        first = "; ".join(f"{row['image_id']} ({row['error']})" for row in bad.head(5).iter_rows(named=True))
        message = f"{name}: {len(bad)} of {len(index)} images are unreadable and left out: {first}"
        warnings.warn(message, UnreadableImages, stacklevel=4)
