"""An npz is streamed, whatever its layout and depth."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from palpate.core.errors import InputError
from palpate.data.npz import npz_images, plain_image


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (28, 28, 3), (3, 28, 28), (1, 28, 28)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", ">u2"])
def test_images_are_streamed_in_order(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    stored = (np.random.default_rng(0).random((7, *shape)) * (255 if "8" in dtype else 4095)).astype(dtype)
    np.savez_compressed(tmp_path / "a.npz", train_images=stored)
    found = list(npz_images(str(tmp_path / "a.npz"), "train_images"))
    assert len(found) == 7
    for image, original in zip(found, stored, strict=True):
        original = np.moveaxis(original, 0, -1) if shape[0] in (1, 3) else original
        assert image.dtype == {"float64": np.float32, ">u2": np.uint16}.get(dtype, dtype)
        assert np.array_equal(image, original.astype(image.dtype))


@pytest.mark.parametrize(
    "array", [np.zeros((2, 4), np.uint8), np.zeros((2, 4, 4, 2), np.uint8), np.array([{}], object)]
)
def test_npz_of_other_arrays_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", train_images=array)
    with pytest.raises(InputError, match=r"must be uint8|cannot be read|has shape"):
        list(npz_images(str(tmp_path / "a.npz"), "train_images"))


def test_a_damaged_npz_is_refused(tmp_path: Path, publish: SimpleNamespace) -> None:
    path = publish.medmnist(tmp_path, "a.npz", {"train": [0] * 50}) / "a.npz"
    with pytest.raises(InputError, match="val_images cannot be read"):
        list(npz_images(str(path), "val_images"))
    data = bytearray(path.read_bytes())
    data[2000:2100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(InputError, match="train_images cannot be read"):
        list(npz_images(str(path), "train_images"))


def test_a_shape_that_can_be_read_both_ways_must_be_stated() -> None:
    with pytest.raises(InputError, match=r"x: an image has shape \(3, 20, 3\); state layout='CHW' or 'HWC'"):
        plain_image(np.zeros((3, 20, 3)), "x")
    assert plain_image(np.zeros((3, 20, 3)), "x", "CHW").shape == (20, 3, 3)
    assert plain_image(np.zeros((3, 20, 3)), "x", "HWC").shape == (3, 20, 3)
    with pytest.raises(InputError, match=r"images \(H, W\), \(H, W, C\) or \(C, H, W\) with few channels"):
        plain_image(np.zeros((20, 20, 20)), "x")
    assert plain_image(np.zeros((4, 20, 20)), "x").shape == plain_image(np.zeros((20, 20, 4)), "x").shape == (20, 20, 4)
