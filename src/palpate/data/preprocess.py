"""From a decoded photograph to the square uint8 image a network sees: resize, and the paper's chest filter.

OpenCV's own functions are called with the paper's own parameters (Wasserman 2022, section 3.1), because the blur's
kernel length follows from the pixel type inside OpenCV: 121 taps for uint8, 161 for float32 at sigma 20.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from palpate.core.errors import InputError

SIGMA = 20.0  # pixels; the paper's sigmaX, with sigmaY = 0 meaning the same


@dataclass(frozen=True)
class Preprocess:
    """How a decoded image becomes a stored one.

    Attributes:
        grey: decode to one channel; it is repeated to three when served.
        chest_filter: "off", or when it runs: "after" or "before" the resize. The paper does not say which; its fixed
            sigma fits 224 px, hence "after".
        chest_dtype: "uint8" (kernel 121, saturating arithmetic) or "float32" (kernel 161, saturated at the end).
    """

    grey: bool = False
    chest_filter: Literal["off", "after", "before"] = "off"
    chest_dtype: Literal["uint8", "float32"] = "uint8"

    def __post_init__(self) -> None:
        if self.chest_filter not in ("off", "after", "before"):
            raise InputError(
                f"chest_filter: 'off', 'after' or 'before' the resize is allowed, got {self.chest_filter!r}"
            )
        if self.chest_dtype not in ("uint8", "float32"):
            raise InputError(f"chest_dtype: 'uint8' or 'float32' is allowed, got {self.chest_dtype!r}")


def prepare(image: np.ndarray, size: int, settings: Preprocess) -> np.ndarray:
    """Filter and resize one decoded image.

    Args:
        image: uint8, (H, W) where `settings.grey`, else (H, W, 3).
        size: side of the square result, in pixels.

    Returns:
        uint8, (size, size, 1) or (size, size, 3).
    """
    if settings.chest_filter == "before":
        image = chest_filter(image, settings.chest_dtype)
    image = resize(image, size)
    if settings.chest_filter == "after":
        image = chest_filter(image, settings.chest_dtype)
    return image.reshape(size, size, -1)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Stretch to a square, by area where it shrinks (no aliasing) and bilinearly where it grows."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    method = cv2.INTER_AREA if min(height, width) >= size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=method)


def chest_filter(image: np.ndarray, dtype: str = "uint8") -> np.ndarray:
    """Spread to [0, 255], subtract the local mean: 4 x - 4 blur(x) + 128, saturated to [0, 255].

    Args:
        image: uint8, (H, W) or (H, W, C).
        dtype: of the arithmetic, "uint8" or "float32".

    Returns:
        uint8, same shape. A constant image becomes 128 everywhere.
    """
    kind = cv2.CV_8U if dtype == "uint8" else cv2.CV_32F
    spread = cv2.normalize(image, np.empty(0), 0, 255, cv2.NORM_MINMAX, kind)
    blurred = cv2.GaussianBlur(spread, (0, 0), sigmaX=SIGMA)
    filtered = cv2.addWeighted(spread, 4, blurred, -4, 128)
    return filtered if dtype == "uint8" else np.rint(np.clip(filtered, 0, 255)).astype(np.uint8)
