"""A pigmented lesion on skin under a dermatoscope, with hairs.

The sign is a segment of the border that sends out streaks (radial, thin), which make the image positive; its look-alike is the same
segment set with globules (round). Both have the same number, pigment and area, so neither colour nor the darkness of any one pixel
tells them apart.
"""

import numpy as np
from numpy.typing import NDArray

from palpate.data.phantoms.canvas import Plane, Scene, around, blend, curve, ellipse, fill, smooth_noise, stroke

_STREAK_LENGTH, _STREAK_WIDTH = 0.15, 0.024


def draw_skin(rng: np.random.Generator, positive: bool, hide: bool, side: int) -> Scene:
    """Draw one lesion (side, side, 3); `hide` leaves the streaks and globules out and everything else as it is."""
    tone = np.array([0.86, 0.66, 0.60]) * rng.uniform(0.85, 1.05) + rng.uniform(-0.04, 0.04, 3)
    picture = np.tile(tone.astype(np.float32), (side, side, 1))
    texture = 0.022 * smooth_noise(rng, 6, side) + 0.014 * smooth_noise(rng, 40, side)
    picture += texture[..., None]

    centre = rng.uniform(0.43, 0.57, 2)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    border = _border(rng, angles)  # (72,) distance of the border from the centre
    body = centre + border[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    alpha = fill([body], side, soften=rng.uniform(0.008, 0.03)) * rng.uniform(0.55, 0.9)
    brown = np.array([0.50, 0.32, 0.24]) * rng.uniform(0.7, 1.15) + rng.uniform(-0.03, 0.03, 3)
    mottle = 0.07 * smooth_noise(rng, 7, side) + 0.03 * smooth_noise(rng, 22, side)
    blend(picture, brown.astype(np.float32) + mottle[..., None], alpha)

    sign = _sign(rng, positive, centre, angles, border, side)
    strength = rng.uniform(0.15, 0.6)
    if not hide:
        picture *= 1 - np.float32(strength) * sign[..., None]
    _hairs(rng, picture, side)
    return Scene(picture, around(sign, 0.03))


def _border(rng: np.random.Generator, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a wavy closed border: the distance from the centre at each angle."""
    border = np.full_like(angles, rng.uniform(0.19, 0.30))
    for wave, height in ((2, 0.14), (3, 0.08), (5, 0.05), (9, 0.025)):
        border *= 1 + rng.uniform(0, height) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    return border


def _sign(
    rng: np.random.Generator,
    positive: bool,
    centre: NDArray[np.float64],
    angles: NDArray[np.float64],
    border: NDArray[np.float64],
    side: int,
) -> Plane:
    """Return the pigment (side, side) of streaks or globules along a third of the border; both take the same random numbers."""
    count = int(rng.integers(5, 9))
    directions = (
        rng.uniform(0, 2 * np.pi) + np.linspace(-1, 1, count) * rng.uniform(0.8, 1.2) + rng.uniform(-0.08, 0.08, count)
    )
    reach = np.interp(directions, angles, border, period=2 * np.pi) * rng.uniform(0.85, 1.05, count)
    length = _STREAK_LENGTH * rng.uniform(0.8, 1.2, count)
    outlines = []
    for direction, middle, extent in zip(directions, reach, length, strict=True):
        x, y = centre + middle * np.array([np.cos(direction), np.sin(direction)])
        # An ellipse's area is π·a·b: the globule has the streak's.
        half = (extent / 2, _STREAK_WIDTH / 2) if positive else (np.sqrt(extent * _STREAK_WIDTH) / 2,) * 2
        outlines.append(ellipse((x, y), half, direction))
    return fill(outlines, side, soften=0.004)


def _hairs(rng: np.random.Generator, picture: Plane, side: int) -> None:
    """Draw up to five long dark hairs over the picture, in place."""
    for _ in range(int(rng.integers(0, 6))):
        ends = rng.uniform(-0.1, 1.1, (3, 2))
        hair = stroke([curve(tuple(ends[0]), tuple(ends[1]), tuple(ends[2]))], 0.008, side)
        blend(picture, (0.22, 0.15, 0.12), hair * np.float32(rng.uniform(0.3, 0.8)))
