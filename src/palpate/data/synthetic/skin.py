"""A pigmented lesion on skin under a dermatoscope, with hairs.

The sign is a segment of the border that sends out streaks (radial, thin), which make the image positive; its look-alike is the same
segment set with globules (round). Both have the same number, pigment and area, so neither colour nor the darkness of any one pixel
tells them apart.
"""

import numpy as np
from numpy.typing import NDArray

from palpate.data.synthetic import canvas
from palpate.data.synthetic.canvas import Plane, Points, Scene

_STREAK_LENGTH, _STREAK_WIDTH = 0.25, 0.042
_PIGMENT = (0.20, 0.11, 0.09)


def draw_skin(rng: np.random.Generator, positive: bool, hide: bool, side: int) -> Scene:
    """Draw one lesion (3, side, side); `hide` leaves the streaks and globules out and everything else as it is."""
    tone = np.array([0.86, 0.66, 0.60]) * rng.uniform(0.85, 1.05) + rng.uniform(-0.04, 0.04, 3)
    picture = np.empty((3, side, side), np.float32)
    picture[:] = tone[:, None, None]
    picture += 0.022 * canvas.smooth_noise(rng, 6, side) + 0.018 * canvas.smooth_noise(rng, 40, side)

    centre = rng.uniform(0.43, 0.57, 2)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    border = _border(rng, angles)  # (72,) distance of the border from the centre
    body = centre + border[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    alpha = canvas.fill(body[None], side, soften=rng.uniform(0.008, 0.03)) * np.float32(rng.uniform(0.55, 0.9))
    brown = np.array([0.50, 0.32, 0.24]) * rng.uniform(0.75, 1.2) + rng.uniform(-0.03, 0.03, 3)
    mottle = 0.07 * canvas.smooth_noise(rng, 7, side) + 0.05 * canvas.smooth_noise(rng, 22, side)
    canvas.blend(picture, brown[:, None, None] + mottle, alpha)

    sign = _sign(rng, positive, centre, angles, border, side)
    strength = canvas.contrast(rng, 0.35, 0.95)
    if not hide:
        canvas.blend(picture, _PIGMENT, strength * sign)
    _hairs(rng, picture, side)
    return Scene(picture, canvas.around(sign, 0.03))


def _border(rng: np.random.Generator, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a wavy closed border: the distance from the centre at each angle."""
    border = np.full_like(angles, rng.uniform(0.26, 0.34))
    for wave, height in ((2, 0.14), (3, 0.08), (5, 0.05), (9, 0.025)):
        border *= 1 + rng.uniform(0, height) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    return border


def _sign(rng: np.random.Generator, positive: bool, centre: Points, angles: Points, border: Points, side: int) -> Plane:
    """Return the pigment (side, side) of streaks or globules along a third to a half of the border; both take the same random numbers."""
    count = int(rng.integers(6, 10))
    directions = rng.uniform(0, 2 * np.pi) + np.linspace(-1, 1, count) * rng.uniform(1.0, 1.5)
    directions += rng.uniform(-0.12, 0.12, count)
    reach = np.interp(directions, angles, border, period=2 * np.pi) * rng.uniform(0.82, 1.05, count)
    centres = centre + reach[:, None] * np.stack([np.cos(directions), np.sin(directions)], axis=1)
    length = _STREAK_LENGTH * rng.uniform(0.7, 1.3, count)
    turns = directions + rng.uniform(-0.25, 0.25, count)
    # An ellipse's area is π·a·b: the globule has the streak's, and a little more because a thin shape gains more at its rim when drawn.
    round_radius = 1.09 * np.sqrt(length * _STREAK_WIDTH) / 2
    streak = np.stack([length / 2, np.full(count, _STREAK_WIDTH / 2)], axis=1)
    radii = streak if positive else np.stack([round_radius] * 2, axis=1)
    return canvas.fill(canvas.ellipses(centres, radii, turns), side, soften=0.004)


def _hairs(rng: np.random.Generator, picture: Plane, side: int) -> None:
    """Draw up to five long dark hairs across the picture, in place."""
    count = int(rng.integers(0, 6))
    bearing = rng.uniform(0, np.pi, count) + rng.normal(0, 0.1, count)
    along = 0.75 * np.stack([np.cos(bearing), np.sin(bearing)], axis=1)
    middle = rng.uniform(0.1, 0.9, (count, 2))
    bend = middle + rng.uniform(-0.25, 0.25, (count, 2))
    hair = canvas.stroke(canvas.curves(middle - along, bend, middle + along), 0.008, side)
    canvas.blend(picture, (0.22, 0.15, 0.12), hair * np.float32(rng.uniform(0.3, 0.8)))
