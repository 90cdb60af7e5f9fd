"""Arrays, tensors and npz files: layouts and depths are kept, what cannot be told is asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from palpate.core.errors import InputError
from palpate.data.dataset import Dataset
from palpate.data.store import cache_folder
from palpate.data.values import ValueRangeWarning

N = 24


def pixels(shape: tuple[int, ...] = (16, 16), top: int = 256, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, top, (N, *shape)).astype(dtype)


def labels() -> np.ndarray:
    return np.arange(N) % 2


def whole(dataset: Dataset) -> np.ndarray:
    """The images in the order in which they were given, NCHW."""
    return dataset.test.images[np.argsort(dataset.test.ids)].numpy()


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 1), (16, 16, 3), (1, 16, 16), (3, 16, 16)])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_every_layout_gives_the_same_tensors(shape: tuple[int, ...], as_tensor: bool) -> None:
    array = pixels(shape)
    dataset = Dataset.from_arrays(torch.from_numpy(array) if as_tensor else array, labels(), test_only=True)
    channels = 3 if 3 in shape else 1
    expected = array.reshape(N, 1, 16, 16) if channels == 1 else np.moveaxis(array, -1, 1) if shape[-1] == 3 else array
    assert dataset.test.images.shape == (N, channels, 16, 16)
    assert np.array_equal(whole(dataset), (expected / np.float32(255)).astype(np.float32))
    assert (dataset.channels, dataset.levels, dataset.value_range) == (channels, 256, (0.0, 255.0))


def test_sixteen_bits_keep_their_levels() -> None:
    array = pixels(top=4096, dtype=np.uint16)
    dataset = Dataset.from_arrays(array, labels(), test_only=True, value_range=(0, 4095))
    assert np.array_equal(np.rint(whole(dataset)[:, 0] * 4095), array)
    assert dataset.levels == 4096
    with pytest.raises(
        InputError, match=r"16 bits and values from 0 to 4095; state value_range, for example \(0, 4095\)"
    ):
        Dataset.from_arrays(array, labels(), test_only=True)
    with pytest.warns(
        ValueRangeWarning, match=r"value_range 0 to 1000 is stated, and 24 of 24 images have values outside it"
    ):
        clipped = Dataset.from_arrays(array, labels(), test_only=True, value_range=(0, 1000))
    assert np.array_equal(whole(clipped)[:, 0], (np.minimum(array, 1000) / np.float32(1000)).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_images_are_kept_as_they_are(dtype: Any) -> None:
    array = np.random.default_rng(1).random((N, 16, 16)).astype(dtype)
    dataset = Dataset.from_arrays(array, labels(), test_only=True)
    assert np.array_equal(whole(dataset)[:, 0], array.astype(np.float32))
    assert dataset.levels is None
    hounsfield = array * 2000 - 1000
    with pytest.raises(InputError, match=r"images have values from -\d+.* to .*; state the values of black and white"):
        Dataset.from_arrays(hounsfield, labels(), test_only=True)
    stated = Dataset.from_arrays(hounsfield, labels(), test_only=True, value_range=(-1024, 1024))
    assert np.allclose(whole(stated)[:, 0] * 2048 - 1024, hounsfield, atol=1)
    array[3, 0, 0] = np.nan
    with pytest.raises(InputError, match="image 3: holds values that are not finite"):
        Dataset.from_arrays(array, labels(), test_only=True)


def test_columns_beside_the_images_are_used_or_kept() -> None:
    columns = {
        "image_id": [f"scan {i}" for i in range(N)],
        "group": [f"patient {i // 4}" for i in range(N)],
        "split": ["train", "train", "val", "test", "test", "test"] * 4,
        "age": np.arange(N),
    }
    columns["split"] = np.repeat(["train", "train", "train", "val", "test", "test"], 4).tolist()
    dataset = Dataset.from_arrays(pixels(), labels(), columns=columns, classes=["no", "yes"])
    assert sorted(dataset.val.ids) == ["scan 12", "scan 13", "scan 14", "scan 15"]
    assert set(dataset.val.groups) == {"patient 3"}
    assert [f"scan {age}" for age in dataset.val.metadata["age"]] == dataset.val.ids.tolist()
    assert dataset.classes == ("no", "yes")
    again = Dataset.from_arrays(pixels(), labels(), columns=pl.DataFrame(columns), classes=["no", "yes"])
    assert again.identity == dataset.identity
    assert len(list(cache_folder().iterdir())) == 1  # the same pixels are stored once


def test_findings_and_words_are_labels_too() -> None:
    states = np.stack([labels(), np.where(np.arange(N) % 3 == 0, -1, 1)], axis=1)
    dataset = Dataset.from_arrays(pixels(), states, findings=["edema", "mass"], test_only=True)
    assert np.array_equal(dataset.test.labels[np.argsort(dataset.test.ids)], states)
    assert "mass is absent in no test image" in dataset.notes
    words = Dataset.from_arrays(list(pixels()), np.where(labels() == 1, "ill", "healthy"), test_only=True)
    assert words.classes == ("healthy", "ill")
    one_hot = labels()[:, None]
    assert Dataset.from_arrays(pixels(), one_hot, test_only=True).classes == ("0", "1")


def test_images_of_several_sizes_need_a_size() -> None:
    images = [np.asarray(Image.new("L", (10 + i, 12))) for i in range(4)]
    with pytest.raises(InputError, match="is 10 × 12, and squares are stored; give the size to bring it to"):
        Dataset.from_arrays(images, [0, 1, 0, 1], test_only=True)
    assert Dataset.from_arrays(images, [0, 1, 0, 1], test_only=True, size=8).size == 8
    images[0] = np.zeros((12, 12), np.uint8)
    with pytest.raises(InputError, match="image 1: is 11 × 12, and the images before it 12 × 12"):
        Dataset.from_arrays(images, [0, 1, 0, 1], test_only=True)


@pytest.mark.parametrize(
    ("images", "given", "message"),
    [
        (np.zeros((4, 16, 16), np.int64), [0, 1, 0, 1], "holds int64; make it uint8 or uint16 by what the values mean"),
        (np.zeros((4, 16, 16), bool), [0, 1, 0, 1], "holds bool"),
        (np.zeros((4, 16, 16, 4), np.uint8), [0, 1, 0, 1], r"an image has shape \(16, 16, 4\); images \(H, W\)"),
        (np.zeros((4, 3, 16, 3), np.uint8), [0, 1, 0, 1], "state layout='CHW' or 'HWC'"),
        (np.zeros((4, 16, 16), np.uint8), [0, 1, 0], "images and labels differ in number: 4 and 3"),
        (
            np.zeros((4, 16, 16), np.uint8),
            [[0, 1]] * 4,
            r"labels must have shape \(N,\), or name several findings",
        ),
        (np.zeros((4, 16, 16), np.uint8), [0.5, 1, 0, 1], "labels are whole numbers or words, found '0.5'"),
        (
            [np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint16)],
            [0, 1],
            "has uint16 pixels, and the images before it uint8",
        ),
        (
            [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8)],
            [0, 1],
            "some images have one channel and others three; give channels=1",
        ),
    ],
)
def test_what_is_no_set_of_images_is_refused(images: Any, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dataset.from_arrays(images, given, test_only=True)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"every column needs one value per image; lengths are \{'group': 3, 'label': 24\}"
    ):
        Dataset.from_arrays(pixels(), labels(), columns={"group": [1, 2, 3]})


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3), (3, 16, 16)])
def test_an_npz_file_with_images_and_labels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = pixels(shape)
    np.savez_compressed(
        tmp_path / "a.npz", images=array, labels=labels(), group=np.arange(N) // 2, site=np.array(["x", "y"] * (N // 2))
    )
    dataset = Dataset.from_arrays(tmp_path / "a.npz", size=16, test_only=True)
    assert np.array_equal(whole(dataset), whole(Dataset.from_arrays(array, labels(), test_only=True)))
    assert dataset.test.metadata["site"].to_list() == [["x", "y"][int(name) % 2] for name in dataset.test.ids]
    with pytest.raises(InputError, match="an npz file holds its own; leave labels out"):
        Dataset.from_arrays(tmp_path / "a.npz", labels())


def test_an_npz_file_with_an_array_for_each_split(tmp_path: Path) -> None:
    parts = {
        f"{name}_{kind}": (pixels() if kind == "images" else labels())
        for name in ("train", "test")
        for kind in ("images", "labels")
    }
    parts["test_images"] = 255 - parts["test_images"]
    np.savez(tmp_path / "a.npz", **parts)
    dataset = Dataset.from_arrays(str(tmp_path / "a.npz"), size=16)
    assert len(dataset.test) == N
    assert len(dataset.train) + len(dataset.val) == N
    assert set(dataset.test.ids) == {f"test/{i:06d}" for i in range(N)}


def test_an_npz_file_that_lacks_something_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b.npz: is missing"):
        Dataset.from_arrays(tmp_path / "b.npz")
    np.savez(tmp_path / "a.npz", images=pixels(), target=labels())
    with pytest.raises(InputError, match=r"a.npz: array labels is missing; found images, target"):
        Dataset.from_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=pixels())
    with pytest.raises(InputError, match="array images, labels is missing; found x"):
        Dataset.from_arrays(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="damaged or no npz file"):
        Dataset.from_arrays(tmp_path / "a.npz")
    for images, found in ((pixels()[:3], 24), (pixels(), 20)):  # too few images, too few labels
        np.savez(tmp_path / "a.npz", images=images, labels=labels()[:found])
        with pytest.raises(InputError, match=rf"images has shape .* and its labels \({found},\); .*and N labels"):
            Dataset.from_arrays(tmp_path / "a.npz", test_only=True)
    np.savez(tmp_path / "a.npz", images=np.float32(1), labels=labels()[:1])
    with pytest.raises(InputError, match=r"images has shape \(\)"):
        Dataset.from_arrays(tmp_path / "a.npz", test_only=True)
