"""The brushes and the camera that the three kinds of synthetic image share.

Everything is drawn in a unit square on a canvas of at least 128 pixels and photographed down to the size asked for, so one seed gives the
same picture at every size, and thin signs are blurred by the camera as real ones are instead of being drawn as stairs. Pictures are planes
(C, side, side) while they are drawn, with C = 3 for colour and 1 for grey, and many shapes are made by one call: both for speed.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Plane = NDArray[np.floating]
Points = NDArray[np.floating]  # (..., 2), unit x and y
_SUBPIXEL_BITS = 4
_SMALLEST_CANVAS = 128


@dataclass(frozen=True)
class Scene:
    """What stands before the camera."""

    picture: Plane  # (C, side, side), nominally in [0, 1]
    place: Plane  # (side, side), above 0 in the neighbourhood of the sign or its look-alike


@dataclass(frozen=True)
class Camera:
    """How differently two photographs of one scene may come out."""

    turn: float  # largest rotation either way, radians
    shift: float  # largest shift either way, share of the side
    zoom: float  # largest change of scale either way, share
    noise: float  # standard deviation of the sensor noise, in [0, 1]
    border: int  # what lies beyond the scene, as OpenCV's BORDER constant


def canvas_side(size: int) -> int:
    """Return the side of the canvas in pixels: `size`, or its smallest multiple of at least 128.

    >>> [canvas_side(size) for size in (32, 64, 100, 224)]
    [128, 128, 200, 224]
    """
    return size * -(-_SMALLEST_CANVAS // size)


def contrast(rng: np.random.Generator, low: float, high: float) -> np.float32:
    """Return how strongly a sign is drawn: uniform in [low, high], but for one in seven less than half of `low`, mostly too faint to see.

    The faint ones keep a good network's accuracy below 1; the strong ones keep it from having to answer to every trace of a sign, which
    would make it fall to the smallest perturbation.
    """
    faint = rng.random() < 1 / 7
    return np.float32(rng.uniform(0.05 * low, 0.5 * low) if faint else rng.uniform(low, high))


def smooth_noise(rng: np.random.Generator, along: int, side: int) -> Plane:
    """Return a plane (side, side) of noise with mean 0, standard deviation near .7 and `along` random values along a side."""
    grid = rng.standard_normal((along, along), dtype=np.float32)
    return np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def fill(outlines: Points, side: int, soften: float = 0.0) -> Plane:
    """Return a plane (side, side) in [0, 1]: 1 inside any of the outlines (k, n, 2), blurred by `soften` (a share of the side)."""
    plane = np.zeros((side, side), np.uint8)
    for outline in _fixed_point(outlines, side):
        cv2.fillPoly(plane, [outline], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return soft(plane.astype(np.float32) / np.float32(255), soften)


def stroke(paths: Points, width: float, side: int, soften: float = 0.0) -> Plane:
    """Return a plane (side, side) in [0, 1]: 1 on the paths (k, n, 2), as lines of `width` (a share of the side, at least a pixel)."""
    plane = np.zeros((side, side), np.uint8)
    fixed = list(_fixed_point(paths, side))
    cv2.polylines(plane, fixed, False, 255, max(1, round(width * side)), cv2.LINE_AA, _SUBPIXEL_BITS)
    return soft(plane.astype(np.float32) / np.float32(255), soften)


def soft(plane: Plane, sigma: float) -> Plane:
    """Blur a plane by a Gaussian whose sigma is a share of the side; values under .004 become 0, so that its support stays small."""
    if sigma <= 0:
        return plane
    blurred = np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma * plane.shape[0]), np.float32)
    blurred[np.abs(blurred) < 0.004] = 0
    return blurred


def glow(centre: Points, sigma: float, side: int) -> Plane:
    """Return a round Gaussian (side, side) of height 1 about `centre` (2,)."""
    axis = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    across = np.exp(-0.5 * ((axis[None, :] - centre[:, None]) / sigma) ** 2).astype(np.float32)  # (2, side)
    return across[1][:, None] * across[0][None, :]


def blend(picture: Plane, colour: ArrayLike, alpha: Plane) -> None:
    """Paint a colour (C,), or another picture (C, side, side), over `picture` in place; it covers the share `alpha` (side, side)."""
    paint = np.asarray(colour, np.float32)
    picture += alpha * ((paint if paint.ndim == 3 else paint[:, None, None]) - picture)


def around(plane: Plane, margin: float) -> Plane:
    """Return 1 (side, side) where `plane` is not 0 or lies within `margin` (a share of the side) of such a pixel, else 0."""
    reach = 2 * max(1, round(margin * plane.shape[0])) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return np.asarray(cv2.dilate((plane != 0).astype(np.uint8), kernel), np.float32)


def curves(start: ArrayLike, bend: ArrayLike, end: ArrayLike, points: int = 20) -> Points:
    """Return quadratic Bézier curves (k, points, 2) from `start` to `end` drawn towards `bend`, each (k, 2)."""
    t = np.linspace(0, 1, points)[:, None]
    first, middle, last = (np.asarray(end_point, float)[..., None, :] for end_point in (start, bend, end))
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last


def ellipses(centres: ArrayLike, radii: ArrayLike, turns: ArrayLike = 0.0, points: int = 24) -> Points:
    """Return the outlines (k, points, 2) of ellipses with centres (k, 2) and radii (k, 2), turned by `turns` (k,) radians."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (points, 2)
    x, y = np.moveaxis(np.asarray(radii, float)[..., None, :] * unit, -1, 0)  # (k, points) each
    cos, sin = np.cos(turns)[..., None], np.sin(turns)[..., None]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1) + np.asarray(centres, float)[..., None, :]


def walks(
    rng: np.random.Generator, starts: Points, headings: Points, step: ArrayLike, wander: float, steps: int
) -> Points:
    """Return random walks (k, steps + 1, 2) from `starts` (k, 2): each step's heading departs from the last by at most `wander` radians."""
    turns = headings[:, None] + np.cumsum(rng.uniform(-wander, wander, (len(headings), steps)), axis=1)
    strides = np.asarray(step)[..., None, None] * np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    return np.concatenate([starts[:, None], starts[:, None] + np.cumsum(strides, axis=1)], axis=1)


def photograph(
    scene: Scene, rng: np.random.Generator, size: int, camera: Camera
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Take a picture of the scene: a small turn, shift and zoom, uneven light, sensor noise, eight bits.

    A colour scene also gets a colour cast; a grey one has the same noise in the three channels. Returns the image (size, size, 3) and the
    sign's mask (size, size).
    """
    channels, side = scene.picture.shape[:2]
    angle, zoom = rng.uniform(-camera.turn, camera.turn), 1 + rng.uniform(-camera.zoom, camera.zoom)
    view = cv2.getRotationMatrix2D((side / 2, side / 2), float(np.degrees(angle)), zoom)
    view[:, 2] += rng.uniform(-camera.shift, camera.shift, 2) * side
    seen = np.concatenate([scene.picture, scene.place[None]], dtype=np.float32)
    seen = np.ascontiguousarray(np.moveaxis(seen, 0, -1))  # (side, side, C + 1)
    seen = cv2.warpAffine(seen, view, (side, side), flags=cv2.INTER_LINEAR, borderMode=camera.border)
    if side != size:
        seen = cv2.resize(seen, (size, size), interpolation=cv2.INTER_AREA)
    image = np.ascontiguousarray(np.moveaxis(seen, -1, 0)[:channels])  # (C, size, size)

    slope = rng.uniform(-0.12, 0.12, 2).astype(np.float32)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    image *= np.float32(rng.uniform(0.9, 1.08)) + slope[0] * ramp[None, :] + slope[1] * ramp[:, None]
    if channels == 3:
        image *= rng.uniform(0.94, 1.06, (3, 1, 1)).astype(np.float32)
    image += np.float32(camera.noise) * rng.standard_normal(image.shape, dtype=np.float32)
    image8 = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return np.broadcast_to(image8, (3, size, size)).transpose(1, 2, 0), seen[..., channels] > 0


def _fixed_point(paths: Points, side: int) -> NDArray[np.int32]:
    """Turn unit coordinates into OpenCV's integer ones, in which a pixel's centre is a whole number."""
    return np.rint((paths * side - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
