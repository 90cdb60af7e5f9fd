"""The brushes and the camera that the three kinds of phantom share.

Everything is drawn in a unit square on a canvas of at least 128 pixels and photographed down to the size asked for, so one seed gives the
same picture at every size, and thin signs are blurred by the camera as real ones are instead of being drawn as stairs.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating]
_SUBPIXEL_BITS = 4
_SMALLEST_CANVAS = 128


@dataclass(frozen=True)
class Scene:
    """What stands before the camera: the picture (side, side, 3), nominally in [0, 1], and the sign's place (side, side) in [0, 1]."""

    picture: Plane
    place: Plane


def canvas_side(size: int) -> int:
    """Return the side of the canvas in pixels: `size`, or its smallest multiple of at least 128.

    >>> [canvas_side(size) for size in (32, 64, 100, 224)]
    [128, 128, 200, 224]
    """
    return size * -(-_SMALLEST_CANVAS // size)


def smooth_noise(rng: np.random.Generator, cells: int, side: int) -> Plane:
    """Return a plane (side, side) of noise with mean 0, standard deviation near .7 and `cells` random values along a side."""
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    return np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def fill(outlines: list[NDArray[np.float64]], side: int, soften: float = 0.0) -> Plane:
    """Return a plane (side, side) in [0, 1]: 1 inside any of the outlines (n, 2) of unit (x, y), blurred by `soften` (a share of the side)."""
    plane = np.zeros((side, side), np.uint8)
    for outline in outlines:
        cv2.fillPoly(plane, [_fixed_point(outline, side)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return soft(plane.astype(np.float32) / 255, soften)


def stroke(paths: list[NDArray[np.float64]], width: float, side: int, soften: float = 0.0) -> Plane:
    """Return a plane (side, side) in [0, 1]: 1 on the paths (n, 2) of unit (x, y), as lines of `width` (a share of the side, at least a pixel)."""
    plane = np.zeros((side, side), np.uint8)
    fixed = [_fixed_point(path, side) for path in paths]
    cv2.polylines(plane, fixed, False, 255, max(1, round(width * side)), cv2.LINE_AA, _SUBPIXEL_BITS)
    return soft(plane.astype(np.float32) / 255, soften)


def soft(plane: Plane, sigma: float) -> Plane:
    """Blur a plane by a Gaussian whose sigma is a share of the side; values under .004 become 0, so that its support stays small."""
    if sigma <= 0:
        return plane
    blurred = np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma * plane.shape[0]), np.float32)
    blurred[np.abs(blurred) < 0.004] = 0
    return blurred


def blend(picture: Plane, colour: tuple[float, float, float] | Plane, alpha: Plane) -> None:
    """Paint a colour, or another picture, over `picture` (side, side, 3) in place, covering the share `alpha` (side, side) of it."""
    picture += alpha[..., None] * (np.asarray(colour, np.float32) - picture)


def around(plane: Plane, margin: float) -> Plane:
    """Return 1 (side, side) where `plane` is not 0 or lies within `margin` (a share of the side) of such a pixel, else 0."""
    reach = 2 * max(1, round(margin * plane.shape[0])) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return cv2.dilate((plane != 0).astype(np.uint8), kernel).astype(np.float32)


def curve(
    start: tuple[float, float], bend: tuple[float, float], end: tuple[float, float], points: int = 24
) -> NDArray[np.float64]:
    """Return the quadratic Bézier curve (points, 2) from `start` to `end` drawn towards `bend`."""
    t = np.linspace(0, 1, points)[:, None]
    return (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(bend) + t**2 * np.array(end)


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0, points: int = 32
) -> NDArray[np.float64]:
    """Return the outline (points, 2) of an ellipse turned by `turn` radians."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    rotated = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    return rotated + np.array(centre)


def photograph(
    scene: Scene, rng: np.random.Generator, size: int, turn: float, noise: float, grey: bool
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Take a picture of the scene: a small turn, shift and zoom, uneven light, a colour cast, sensor noise, eight bits.

    `turn` is the largest rotation in radians either way; `noise` the standard deviation of the sensor noise in [0, 1]. A grey camera has no
    colour cast and the same noise in its three channels. Returns the image (size, size, 3) uint8 and the sign's mask (size, size).
    """
    side = scene.picture.shape[0]
    angle, zoom = rng.uniform(-turn, turn), rng.uniform(0.95, 1.06)
    view = cv2.getRotationMatrix2D((side / 2, side / 2), float(np.degrees(angle)), zoom)
    view[:, 2] += rng.uniform(-0.03, 0.03, 2) * side
    picture = cv2.warpAffine(
        scene.picture, view, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    place = cv2.warpAffine(scene.place, view, (side, side), flags=cv2.INTER_LINEAR)
    if side != size:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        place = cv2.resize(place, (size, size), interpolation=cv2.INTER_AREA)

    slope = rng.uniform(-0.12, 0.12, 2)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = rng.uniform(0.9, 1.08) + slope[0] * ramp[None, :] + slope[1] * ramp[:, None]  # (size, size)
    cast = np.ones(3) if grey else rng.uniform(0.94, 1.06, 3)
    grain = rng.standard_normal((size, size, 1 if grey else 3), dtype=np.float32)
    image = picture * light[..., None].astype(np.float32) * cast.astype(np.float32) + np.float32(noise) * grain
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8), place > 0


def _fixed_point(path: NDArray[np.float64], side: int) -> NDArray[np.int32]:
    """Turn unit coordinates into OpenCV's integer ones, whose pixel centres are whole numbers."""
    return np.rint((path * side - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
