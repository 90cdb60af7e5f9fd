"""Arrays as pictures that a browser shows: photographs, magnified differences and grey maps, as bytes or as data URIs inside the page.

The saved floats are not changed: a picture is a copy for looking at.
"""

import base64
import dataclasses
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Style:
    """How photographs are stored.

    Attributes:
        side: at most so many pixels wide.   webp: its quality; None is lossless PNG.
    """

    side: int
    webp: int | None

    @property
    def words(self) -> str:
        """For captions: "PNG, at most 128 px wide"."""
        return f"{'PNG' if self.webp is None else 'WebP'}, at most {self.side} px wide"


@dataclasses.dataclass(frozen=True)
class Picture:
    """An encoded picture."""

    mime: str
    data: bytes

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


EVERY = 128
"""Up to so many pixels wide every pixel is kept as it is."""

WHOLE = Style(1_000_000, None)
"""Every pixel, without loss."""

MAP_SIDE = 64
"""Maps are kept at so many pixels at most: a browser enlarges them as smoothly as Grad-CAM is enlarged."""


def photo(image: Floats, style: Style = WHOLE) -> Picture:
    """Encode an image (C, H, W) in [0, 1]; shrunk by area averaging, never enlarged."""
    pixels = shrunk(photograph(image), style.side, image.shape[-1])
    if style.webp is None:
        return _encoded(pixels, "png", [cv2.IMWRITE_PNG_COMPRESSION, 6])
    return _encoded(pixels, "webp", [cv2.IMWRITE_WEBP_QUALITY, style.webp])


def magnification(epsilon: float) -> int:
    """By how much a perturbation is magnified so that ±epsilon nearly fills the grey scale; a round number, at least 1.

    >>> magnification(0.01), magnification(0.00125), magnification(2 / 255), magnification(0.32), magnification(0)
    (50, 400, 50, 1, 1)
    """
    fill = 0.5 / epsilon if epsilon > 0 else 1
    if fill < 2:
        return 1
    power = 10 ** int(np.floor(np.log10(fill) + 1e-9))
    return int(max(step for step in (1, 2, 4, 5) if step * power <= fill * (1 + 1e-9)) * power)


def difference(clean: Floats, changed: Floats, magnified: int, side: int = EVERY) -> tuple[Picture, int]:
    """Encode their difference (C, H, W), magnified around mid-grey: grey is no change.

    A large one keeps every k-th pixel only, because an average of neighbours would show a fainter one; k comes second.
    """
    stride = -(-clean.shape[-1] // side)
    moved = (changed.astype(np.float64) - clean)[:, ::stride, ::stride]
    return photo(np.clip(0.5 + magnified * moved, 0, 1)), stride


def grey_map(values: Floats, side: int = MAP_SIDE) -> Picture | None:
    """Encode a map (h, w) in grey, its smallest value black and its largest white; None where nothing is above 0."""
    low, high = float(np.min(values)), float(np.max(values))
    if not high > 0:
        return None
    scaled = ((values - low) / (high - low) if high > low else np.ones_like(values)).astype(np.float32)
    scaled = shrunk(scaled, side, max(scaled.shape))
    return _encoded(np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8), "png", [cv2.IMWRITE_PNG_COMPRESSION, 6])


def shrunk(pixels: NDArray, side: int, before: int) -> NDArray:
    """Pixels (H, W, …) averaged by area so that a side of `before` becomes one of `side`; never enlarged."""
    size = tuple(max(1, round(each * side / before)) for each in (pixels.shape[1], pixels.shape[0]))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if side < before else pixels


def _encoded(pixels: Any, kind: str, options: list[int]) -> Picture:
    done, data = cv2.imencode(f".{kind}", pixels, options)
    if not done:
        raise ValueError(f"OpenCV could not encode a picture of shape {pixels.shape} as {kind}")
    return Picture(f"image/{kind}", data.tobytes())


def photograph(image: Floats) -> NDArray[np.uint8]:
    """An image (C, H, W) in [0, 1] as pixels (H, W, BGR): of one channel grey, of two with the third dark, of more the first three."""
    rgb = np.rint(np.clip(np.nan_to_num(image[:3].astype(np.float64)), 0, 1) * 255).astype(np.uint8)
    if len(rgb) < 3:
        rgb = np.concatenate([rgb, rgb[:1].repeat(2, 0) if len(rgb) == 1 else np.zeros_like(rgb[:1])])
    return np.ascontiguousarray(rgb.transpose(1, 2, 0)[..., ::-1])
