"""Resizing, and an image filter before or after it."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from palpate.core.errors import InputError
from palpate.core.registry import IMAGE_FILTERS
from palpate.data.options import ImageOptions
from palpate.data.preprocess import Preprocess, prepare, resize


@pytest.mark.usefixtures("mirror")
def test_before_and_after_the_resize_are_what_they_say(enter: Callable) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 40), dtype=np.uint8)
    enter(IMAGE_FILTERS, "blur", lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 2))
    after = prepare(image, 16, Preprocess(grey=True, filter="blur"))
    before = prepare(image, 16, Preprocess(grey=True, filter="blur", filter_at="before"))
    assert np.array_equal(after[..., 0], cv2.GaussianBlur(resize(image, 16), (0, 0), 2))
    assert np.array_equal(before[..., 0], resize(cv2.GaussianBlur(image, (0, 0), 2), 16))
    assert not np.array_equal(before, after)
    assert after.shape == (16, 16, 1)
    assert prepare(np.zeros((9, 9, 3), np.uint8), 16, Preprocess(filter="mirror")).shape == (16, 16, 3)


def test_shrinking_averages_areas() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    expected = image.reshape(20, 2, 20, 3, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, 20) - expected).max() <= 0.5
    assert resize(image[:20, :20], 20) is not None
    assert resize(image, 80).shape == (80, 80, 3)


def test_unknown_settings_and_a_filter_that_changes_the_type_are_refused(enter: Callable) -> None:
    with pytest.raises(InputError, match="image filter must be one of"):
        ImageOptions.read({"filter": "later"}, "options")
    with pytest.raises(InputError, match="filter_at: Input should be 'before' or 'after', given 'never'"):
        ImageOptions.read({"filter": "blur", "filter_at": "never"}, "options")
    enter(IMAGE_FILTERS, "halve", lambda pixels: pixels / 2)
    with pytest.raises(InputError, match=r"'halve': uint8 \(8, 8, 3\) must stay so, and it gave float64"):
        prepare(np.zeros((8, 8, 3), np.uint8), 8, Preprocess(filter="halve"))
