"""The paper's chest filter to the last bit, and resizing."""

import cv2
import numpy as np
import pytest

from palpate.core.errors import InputError
from palpate.data.preprocess import Preprocess, chest_filter, prepare, resize


def radiograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(20, 180, (height // 8 + 1, width // 8 + 1), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("shape", [(224, 224), (64, 64), (300, 211)])
def test_uint8_filter_is_opencvs_with_121_taps(shape: tuple[int, int]) -> None:
    image = radiograph(*shape)
    low, high = int(image.min()), int(image.max())
    spread = cv2.convertScaleAbs(image, alpha=255 / (high - low), beta=-low * 255 / (high - low))
    blurred = cv2.GaussianBlur(spread, (121, 121), sigmaX=20, sigmaY=20, borderType=cv2.BORDER_REFLECT_101)
    expected = np.clip(4 * spread.astype(int) - 4 * blurred.astype(int) + 128, 0, 255).astype(np.uint8)
    assert np.array_equal(chest_filter(image), expected)
    other = cv2.GaussianBlur(spread, (161, 161), sigmaX=20, sigmaY=20)
    assert not np.array_equal(blurred, other)  # so the number of taps is being tested


def test_float32_filter_is_opencvs_with_161_taps() -> None:
    image = radiograph(224, 224)
    low, high = int(image.min()), int(image.max())
    spread = ((image.astype(np.float64) - low) * 255 / (high - low)).astype(np.float32)
    blurred = cv2.GaussianBlur(spread, (161, 161), sigmaX=20, sigmaY=20)
    exact = 4.0 * spread - 4.0 * blurred + 128
    found = chest_filter(image, "float32")
    assert np.abs(found - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-3
    assert not np.array_equal(found, chest_filter(image))


def test_a_constant_image_becomes_mid_grey() -> None:
    for dtype in ("uint8", "float32"):
        assert (chest_filter(np.full((50, 60), 77, np.uint8), dtype) == 128).all()


def test_before_and_after_the_resize_differ_and_are_what_they_say() -> None:
    image = radiograph(500, 400)
    after = prepare(image, 64, Preprocess(grey=True, chest_filter="after"))
    before = prepare(image, 64, Preprocess(grey=True, chest_filter="before"))
    assert np.array_equal(after[..., 0], chest_filter(resize(image, 64)))
    assert np.array_equal(before[..., 0], resize(chest_filter(image), 64))
    assert not np.array_equal(before, after)
    assert after.shape == (64, 64, 1)


def test_shrinking_averages_areas() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    expected = image.reshape(20, 2, 20, 3, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, 20) - expected).max() <= 0.5
    assert resize(image[:20, :20], 20) is not None
    assert resize(image, 80).shape == (80, 80, 3)


@pytest.mark.parametrize("values", [{"chest_filter": "later"}, {"chest_dtype": "int16"}])
def test_unknown_settings_are_refused(values: dict) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        Preprocess(**values)
