"""The store: made once, whole or absent, and honest about images it could not read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import polars as pl
import pytest

from palpate.core.errors import InputError
from palpate.core.io import draft_of
from palpate.data import fill, store
from palpate.data.decode import decode, pixel_hash
from palpate.data.preprocess import Preprocess, prepare
from palpate.data.readers import ham10000, medmnist
from palpate.data.split import SPLITS

RGB = Preprocess()


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


@pytest.fixture
def manifest(tmp_path: Path, publish: SimpleNamespace) -> pl.DataFrame:
    return ham10000.read(publish.ham(tmp_path, {"HAM_1": ("nv", 3), "HAM_2": ("df", 2)}))


def test_holds_every_image_prepared_and_hashed(manifest: pl.DataFrame) -> None:
    made = fill.open_files(manifest, "ham10000", 16, RGB)
    assert made.images.shape == (5, 16, 16, 3)
    assert isinstance(made.images, np.memmap)
    for row, path in enumerate(manifest["path"]):
        image = decode(path)
        assert np.array_equal(made.images[row], prepare(image, 16, RGB))
        assert made.index["pixels"][row] == pixel_hash(image)
    assert made.index["error"].is_null().all()


@pytest.mark.usefixtures("mirror")
def test_is_reused_until_something_that_shapes_it_changes(
    manifest: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(fill, "prepare", lambda *arguments: calls.append(1) or prepare(*arguments))
    first = fill.open_files(manifest, "ham10000", 16, RGB)
    assert len(calls) == 5
    assert fill.open_files(manifest, "ham10000", 16, RGB).folder == first.folder
    assert len(calls) == 5
    others = [
        fill.open_files(manifest, "ham10000", 24, RGB),
        fill.open_files(manifest, "ham10000", 16, Preprocess(grey=True)),
        fill.open_files(manifest, "ham10000", 16, Preprocess(filter="mirror")),
        fill.open_files(manifest[:4], "ham10000", 16, RGB),
    ]
    os.utime(manifest["path"][0], (1, 1))
    others.append(fill.open_files(manifest, "ham10000", 16, RGB))
    assert len({first.folder, *(other.folder for other in others)}) == 6


def files(folder: Path, images: dict[str, np.ndarray]) -> pl.DataFrame:
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        assert cv2.imwrite(str(folder / name), image)
    return pl.DataFrame({"image_id": list(images), "path": [str(folder / name) for name in images]})


def test_grey_images_are_repeated_where_others_are_in_colour_and_it_is_remarked(tmp_path: Path) -> None:
    grey, colour = np.full((8, 8), 7, np.uint8), np.full((8, 8, 3), 9, np.uint8)
    rows = files(tmp_path / "x", {"a.png": grey, "b.png": colour, "c.png": grey})
    made = fill.open_files(rows, "mixed", 8, RGB)
    assert made.images.shape == (3, 8, 8, 3)
    assert made.images[:, 0, 0].tolist() == [[7] * 3, [9] * 3, [7] * 3]
    assert made.index["remarks"].to_list() == [[fill.REPEATED], [], [fill.REPEATED]]
    one = fill.open_files(rows[:1], "mixed", 8, RGB)
    assert one.images.shape == (1, 8, 8, 1)
    assert fill.open_files(rows, "mixed", 8, Preprocess(grey=True)).images.shape == (3, 8, 8, 1)


def test_files_of_two_depths_are_refused_by_name(tmp_path: Path) -> None:
    rows = files(tmp_path / "x", {"a.png": np.zeros((8, 8), np.uint8), "b.png": np.zeros((8, 8), np.uint16)})
    with pytest.raises(
        InputError, match=r"b.png: has uint16 pixels, and the images before it uint8; give all images one depth"
    ):
        fill.open_files(rows, "mixed", 8, RGB)
    assert folders(tmp_path / "cache") == []


def test_filters_are_for_eight_bits(tmp_path: Path, mirror: None) -> None:
    rows = files(tmp_path / "x", {"b.png": np.zeros((8, 8), np.uint16)})
    with pytest.raises(
        InputError, match="'mirror': filters work on 8-bit images, and these are uint16; leave the filter out"
    ):
        fill.open_files(rows, "deep", 8, Preprocess(filter="mirror"))


def test_members_of_an_npz(tmp_path: Path, publish: SimpleNamespace) -> None:
    folder = publish.medmnist(tmp_path, "breastmnist.npz", {"train": [0, 1, 0], "val": [1], "test": [0, 1]})
    manifest = medmnist.read(folder, "breastmnist")
    order = [5, 0, 3, 2]  # rows need neither be complete nor in the file's order
    made = fill.open_files(manifest[order], "medmnist", 28, Preprocess(grey=True))
    with np.load(folder / "breastmnist.npz") as arrays:
        everything = np.concatenate([arrays[f"{split}_images"] for split in SPLITS])
    assert np.array_equal(made.images[..., 0], everything[order])


def test_unreadable_images_are_one_warning_each_time_and_no_row_is_lost(
    tmp_path: Path, publish: SimpleNamespace
) -> None:
    manifest = ham10000.read(publish.ham(tmp_path, {f"HAM_{i}": ("nv", 1) for i in range(200)}))
    Path(manifest["path"][3]).write_text("not an image")
    Path(manifest["path"][7]).write_bytes(Path(manifest["path"][7]).read_bytes()[:300])
    message = (
        r"ham10000: 2 of 200 images are unreadable and left out: ISIC_0024309 \(not an image\); ISIC_0024313 \(trunc"
    )
    for _ in range(2):  # made, then reused
        with pytest.warns(fill.UnreadableImages, match=message) as caught:
            made = fill.open_files(manifest, "ham10000", 8, RGB)
        assert len(caught) == 1
    assert made.index["error"].is_not_null().sum() == 2
    Path(manifest["path"][11]).write_text("not an image")
    with pytest.raises(InputError, match="3 of 200 images are unreadable so far, more than 1%"):
        fill.open_files(manifest, "ham10000", 8, RGB)
    assert len(folders(tmp_path / "cache")) == 1


def test_a_full_disk_is_refused_before_decoding(manifest, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(fill, "prepare", lambda *_: pytest.fail("prepared all the same"))
    with pytest.raises(InputError, match=r"need 0.00 GB and 0.00 GB are free; free some, or set PALPATE_CACHE"):
        fill.open_files(manifest, "ham10000", 16, RGB)
    assert folders(tmp_path / "cache") == []


def test_an_unwritable_cache_is_named(manifest: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PALPATE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="the image cache cannot be written"):
        fill.open_files(manifest, "ham10000", 16, RGB)


def test_interrupted_work_leaves_nothing_that_looks_whole(manifest, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fill, "prepare", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fill.open_files(manifest, "ham10000", 16, RGB)
    assert folders(tmp_path / "cache") == []
    assert len(fill.open_files(manifest, "ham10000", 16, RGB).images) == 5


def test_two_processes_may_make_the_same_store(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "x-8-0"

    def sevens(beside: Path) -> pl.DataFrame:
        store.new_images(beside, (1, 8, 8, 3), np.dtype(np.uint8))[:] = 7
        return pl.DataFrame({"image_id": ["a"]})

    def slower(beside: Path) -> pl.DataFrame:
        store.open_or_make(folder, sevens)  # the other one finishes first
        return sevens(beside)

    assert (store.open_or_make(folder, slower).images == 7).all()
    assert folders(tmp_path / "cache") == ["x-8-0"]
    (folder / "index.parquet").unlink()  # a damaged one is replaced
    assert (store.open_or_make(folder, sevens).images == 7).all()
    assert (folder / "index.parquet").is_file()


@pytest.mark.parametrize("file", ["images.npy", "index.parquet"])
def test_a_damaged_store_is_made_again(manifest: pl.DataFrame, file: str) -> None:
    made = fill.open_files(manifest, "ham10000", 16, RGB)
    pixels, folder = np.array(made.images), made.folder
    del made
    (folder / file).write_bytes((folder / file).read_bytes()[:100])
    assert np.array_equal(fill.open_files(manifest, "ham10000", 16, RGB).images, pixels)


def test_opencv_keeps_the_threads_it_had(manifest: pl.DataFrame) -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        fill.open_files(manifest, "ham10000", 16, RGB)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(threads)


def test_halves_of_ended_processes_are_removed_and_others_left(manifest: pl.DataFrame, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    code = "import sys, pathlib; from palpate.core.io import draft_of; draft_of(pathlib.Path(sys.argv[1])).mkdir()"
    subprocess.run([sys.executable, "-c", code, str(cache / "ended")], check=True)
    here = draft_of(cache / "here")
    here.mkdir()
    os.utime(here, (1, 1))  # the clock says nothing
    fill.open_files(manifest, "ham10000", 16, RGB)
    assert [name for name in folders(cache) if name.endswith(".part")] == [here.name]


@pytest.mark.parametrize("file", ["images.npy", "index.parquet", "store.json"])
def test_one_bit_of_a_store_is_seen(manifest: pl.DataFrame, file: str) -> None:
    made = fill.open_files(manifest, "ham10000", 16, RGB)
    pixels, folder = np.array(made.images), made.folder
    content = bytearray((folder / file).read_bytes())
    content[-20] ^= 4
    (folder / file).write_bytes(content)
    assert np.array_equal(fill.open_files(manifest, "ham10000", 16, RGB).images, pixels)
    assert bytes(content) != (folder / file).read_bytes()
