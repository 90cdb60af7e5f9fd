"""The chest filter of Wasserman 2022, section 3.1, as an image filter: 4 x - 4 blur(x) + 128 on pixels spread to [0, 255].

OpenCV's own functions are called with the published parameters, because the blur's kernel length follows from the pixel type inside OpenCV:
121 taps for uint8, 161 for float32 at sigma 20.
"""

import cv2
import numpy as np

SIGMA = 20.0  # pixels; the published sigmaX, with sigmaY = 0 meaning the same


def chest(image: np.ndarray) -> np.ndarray:
    """Spread to [0, 255] and subtract the local mean, in uint8 (kernel 121, saturating arithmetic).

    Args:
        image: uint8, (H, W) or (H, W, C).

    Returns:
        uint8, same shape. A constant image becomes 128 everywhere.
    """
    return _filtered(image, cv2.CV_8U)


def chest_float32(image: np.ndarray) -> np.ndarray:
    """`chest` in float32: kernel 161, rounded and saturated once, at the end."""
    return np.rint(np.clip(_filtered(image, cv2.CV_32F), 0, 255)).astype(np.uint8)


def _filtered(image: np.ndarray, kind: int) -> np.ndarray:
    spread = cv2.normalize(image, np.empty(0), 0, 255, cv2.NORM_MINMAX, kind)
    return cv2.addWeighted(spread, 4, cv2.GaussianBlur(spread, (0, 0), sigmaX=SIGMA), -4, 128)
