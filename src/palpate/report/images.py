"""Arrays as images inside the page: photographs, magnified perturbations and heat maps as data URIs.

Everything a page shows must be in the page, so size matters: `encode` tries smaller and smaller images until a budget is kept, and
tells which, so that the caption can name it. The saved floats are not changed.
"""

import base64
import dataclasses
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# Clear to cyan to pale yellow: seen on skin, fundus and grey films alike, rising in lightness for the colour-blind.
HEAT = np.array([[24, 32, 120], [30, 110, 200], [40, 190, 210], [170, 235, 150], [255, 250, 200]], float)  # (5, RGB)


@dataclasses.dataclass(frozen=True)
class Style:
    """How photographs are stored in the page."""

    side: int  # at most so many pixels wide
    webp: int | None  # quality; None is lossless PNG

    @property
    def words(self) -> str:
        """For captions: "PNG, at most 128 px wide"."""
        return f"{'PNG' if self.webp is None else 'WebP'}, at most {self.side} px wide"


EVERY = 128
"""Up to so many pixels wide every pixel is kept as it is."""

STYLES = (Style(EVERY, None), Style(EVERY, 85), Style(96, 80), Style(64, 75), Style(48, 70))


def encode(images: list[Floats], budget: int) -> tuple[list[str], Style]:
    """Encode images (3, H, W) in [0, 1] within `budget` bytes in all, in the best style that fits, or the smallest."""
    for style in STYLES:
        probe = images[:: max(1, len(images) // 8)]  # an eighth tells whether trying is worth it
        size = sum(len(photo(image, style)) for image in probe) * len(images) / max(1, len(probe))
        if size <= budget or style is STYLES[-1]:
            break
    return [photo(image, style) for image in images], style


def photo(image: Floats, style: Style = STYLES[0]) -> str:
    """An RGB image (3, H, W) in [0, 1] as a data URI; shrunk by area averaging, never enlarged."""
    pixels = _bytes(image)  # (H, W, 3), BGR
    height, width = pixels.shape[:2]
    if width > style.side:
        pixels = cv2.resize(
            pixels, (style.side, max(1, round(height * style.side / width))), interpolation=cv2.INTER_AREA
        )
    if style.webp is None:
        return uri(pixels, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 6])
    return uri(pixels, ".webp", [cv2.IMWRITE_WEBP_QUALITY, style.webp])


def magnification(epsilon: float) -> int:
    """By how much a perturbation is magnified so that ±epsilon nearly fills the grey scale; a round number, at least 1.

    >>> magnification(0.01), magnification(0.00125), magnification(2 / 255), magnification(0.32)
    (50, 400, 50, 1)
    """
    fill = 0.5 / epsilon
    if fill < 2:
        return 1
    power = 10 ** int(np.floor(np.log10(fill) + 1e-9))
    return int(max(step for step in (1, 2, 4, 5) if step * power <= fill * (1 + 1e-9)) * power)


def perturbation(clean: Floats, adversarial: Floats, magnified: int) -> tuple[str, int]:
    """Their difference (3, H, W), magnified around mid-grey, as a data URI: grey is no change.

    A large one keeps every k-th pixel only, because an average of neighbours would show a fainter one; k comes second.
    """
    stride = -(-clean.shape[-1] // EVERY)
    moved = (adversarial.astype(np.float64) - clean)[:, ::stride, ::stride]
    return photo(np.clip(0.5 + magnified * moved, 0, 1), Style(EVERY, None)), stride


def large_photo(image: Floats) -> str:
    """An image (3, H, W) as large as a page needs it: without loss up to EVERY pixels wide, else as fine WebP."""
    return photo(image, Style(EVERY, None) if image.shape[-1] <= EVERY else Style(256, 90))


def heat(values: Floats, side: int = 16) -> str | None:
    """A raw map (h, w) as a see-through colour layer, min-max scaled for display; None where the map is empty.

    The layer is small: a browser enlarges it as smoothly as Grad-CAM is enlarged.
    """
    low, high = float(np.min(values)), float(np.max(values))
    if not high > 0:
        return None
    scaled = (values - low) / (high - low) if high > low else np.ones_like(values)
    grown = cv2.resize(scaled.astype(np.float32), (side, side), interpolation=_interpolation(values.shape, side))
    grown = np.clip(grown, 0, 1)
    stops = np.linspace(0, 1, len(HEAT))
    colour = [np.interp(grown, stops, HEAT[:, channel]) for channel in (2, 1, 0)]
    layer = np.stack([*colour, 255 * 0.7 * np.minimum(1, 1.3 * grown)], -1)  # (side, side, BGRA)
    return uri(np.rint(layer).astype(np.uint8), ".png", [cv2.IMWRITE_PNG_COMPRESSION, 6])


def uri(pixels: NDArray[Any], suffix: str, options: list[int]) -> str:
    """Encode pixels (H, W, BGR or BGRA) as a data URI."""
    done, data = cv2.imencode(suffix, pixels, options)
    if not done:
        raise ValueError(f"OpenCV could not encode a picture of shape {pixels.shape} as {suffix}")
    return f"data:image/{suffix[1:]};base64,{base64.b64encode(data.tobytes()).decode()}"


def _bytes(image: Floats) -> NDArray[np.uint8]:
    rgb = np.rint(np.clip(np.nan_to_num(image.astype(np.float64)), 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(rgb.transpose(1, 2, 0)[..., ::-1])


def _interpolation(shape: tuple[int, ...], side: int) -> int:
    return cv2.INTER_AREA if max(shape) > side else cv2.INTER_CUBIC
