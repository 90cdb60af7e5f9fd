"""From a decoded image to the square one that is stored: resize, and a registered image filter before or after it."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from palpate.core.errors import InputError
from palpate.core.registry import IMAGE_FILTERS


@dataclass(frozen=True)
class Preprocess:
    """How a decoded image becomes a stored one.

    Attributes:
        grey: make colour grey.
        filter: an entry of `IMAGE_FILTERS`, or None.   filter_at: when it runs, "before" or "after" the resize.
    """

    grey: bool = False
    filter: str | None = None
    filter_at: Literal["before", "after"] = "after"


def prepare(image: np.ndarray, size: int, settings: Preprocess) -> np.ndarray:
    """Filter and resize one decoded image.

    Args:
        image: uint8, uint16 or float32, (H, W) or (H, W, 3).
        size: side of the square result, in pixels.

    Returns:
        The same type, (size, size, 1) or (size, size, 3).

    Raises:
        InputError: a filter for an image that is not uint8, or one that gives another type or shape than it was given.
    """
    if settings.filter is not None and settings.filter_at == "before":
        image = _filtered(image, settings.filter)
    image = resize(image, size)
    if settings.filter is not None and settings.filter_at == "after":
        image = _filtered(image, settings.filter)
    return image.reshape(size, size, -1)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Stretch to a square, by area where it shrinks (no aliasing) and bilinearly where it grows."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    method = cv2.INTER_AREA if min(height, width) >= size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=method)


def _filtered(image: np.ndarray, name: str) -> np.ndarray:
    if image.dtype != np.uint8:
        fault = f"filters work on 8-bit images, and these are {image.dtype}"
        raise InputError(f"image filter {name!r}: {fault}; leave the filter out")
    result = IMAGE_FILTERS[name](image)
    if result.dtype != image.dtype or result.shape != image.shape:
        fault = f"{image.dtype} {image.shape} must stay so, and it gave {result.dtype} {result.shape}"
        raise InputError(f"image filter {name!r}: {fault}; correct the filter")
    return result
